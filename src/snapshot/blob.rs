//! Portable snapshots: a header and sections, as docs/FORMAT.md specifies them. What sections contain is not known here.
//!
//! Input is not trusted: every length is checked against the rest of the input before it is used, and the checksum
//! before any section is decoded.

use super::Identity;
use crate::coder::bytes::{put_varint, take_varint};
use crate::container::MAX_METHOD_LEN;
use crate::error::{Result, Status, fail};
use crate::numeric::NUMERICS_VERSION;
use crate::numeric::buffer::{grow, reserved};

/// The first bytes of every portable snapshot.
pub const MAGIC: [u8; 8] = *b"GPTZSNAP";
/// The version of the format.
pub const VERSION: u8 = 1;
/// The most sections that a snapshot may have.
const MAX_SECTIONS: u64 = 64;

/// What a snapshot is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The state of a handle.
    Handle = 1,
}

/// The contents of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// [`super::History`].
    History = 1,
    /// The states of the networks.
    Networks = 2,
    /// The content of the mix.
    Mix = 3,
}

impl Section {
    /// The number and the version of its format.
    const ALL: [(Self, u8); 3] = [(Self::History, 1), (Self::Networks, 1), (Self::Mix, 1)];

    fn version(self) -> u8 {
        Self::ALL[self as usize - 1].1
    }
}

/// Writes a snapshot.
///
/// # Errors
/// `Memory`.
pub fn write(kind: Kind, identity: &Identity, sections: &[(Section, &[u8])]) -> Result<Vec<u8>> {
    let length = |n: usize, (_, bytes): &(Section, &[u8])| n + bytes.len() + 12;
    let room = sections.iter().fold(identity.canonical.len() + 64, length);
    let mut out = reserved(room, "a snapshot")?;
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, kind as u8]);
    out.extend_from_slice(&NUMERICS_VERSION.to_le_bytes());
    put_varint(&mut out, identity.canonical.len() as u64)?;
    grow(&mut out, identity.canonical.len() + 33, "a snapshot")?;
    out.extend_from_slice(identity.canonical.as_bytes());
    out.push(identity.fingerprint.is_some().into());
    out.extend_from_slice(identity.fingerprint.as_ref().map_or(&[], |f| &f[..]));
    put_varint(&mut out, sections.len() as u64)?;
    for (section, bytes) in sections {
        out.extend_from_slice(&[*section as u8, section.version()]);
        put_varint(&mut out, bytes.len() as u64)?;
        grow(&mut out, bytes.len() + 16, "a snapshot")?;
        out.extend_from_slice(bytes);
    }
    let crc = crc32fast::hash(&out);
    grow(&mut out, 4, "a snapshot")?;
    out.extend_from_slice(&crc.to_le_bytes());
    Ok(out)
}

/// A snapshot whose checksum was checked.
#[derive(Debug)]
pub struct Blob<'a> {
    /// The method and weights.
    pub identity: Identity,
    sections: Vec<(Section, &'a [u8])>,
}

impl<'a> Blob<'a> {
    /// Reads a snapshot of this kind.
    ///
    /// # Errors
    /// `Format` if it is not a snapshot, or of another version or kind; `Truncated`; `Numerics`; `Corrupt`; `Memory`.
    pub fn read(kind: Kind, blob: &'a [u8]) -> Result<Self> {
        let total = blob.len();
        let mut from = Source { rest: blob, total };
        let magic = from.take(MAGIC.len().min(total), "the magic")?;
        if magic != &MAGIC[..magic.len()] || magic.is_empty() {
            fail!(Format, "this is no snapshot: it begins with {}, not {}", super::hex(magic), super::hex(&MAGIC));
        }
        if magic.len() < MAGIC.len() {
            fail!(Truncated, "the snapshot has {total} bytes, its magic has {}", MAGIC.len());
        }
        let &[version, found_kind, low, high] = from.take(4, "the header")? else { unreachable!("four bytes") };
        if version != VERSION {
            fail!(Format, "the snapshot has version {version}, this library reads version {VERSION}");
        }
        if found_kind != kind as u8 {
            fail!(Format, "the snapshot is of kind {found_kind}, not {}", kind as u8);
        }
        let blob_parts = Self::parts(&mut from);
        // A cut snapshot is told as such. All other damage shows in the checksum.
        let truncated = matches!(&blob_parts, Err(e) if e.status() == Status::Truncated);
        let crc = match blob.split_last_chunk::<4>() {
            Some((bytes, crc)) if !truncated => Some((crc32fast::hash(bytes), u32::from_le_bytes(*crc))),
            _ => None,
        };
        if let Some((found, expected)) = crc.filter(|(found, expected)| found != expected) {
            fail!(Corrupt, "the snapshot is damaged: CRC-32 {found:08x}, not {expected:08x}");
        }
        let numerics = u16::from_le_bytes([low, high]);
        if !truncated && numerics != NUMERICS_VERSION {
            fail!(Numerics, "the snapshot has numerics version {numerics}, this library has {NUMERICS_VERSION}");
        }
        blob_parts
    }

    /// The parts after the header, up to the checksum.
    fn parts(from: &mut Source<'a>) -> Result<Self> {
        let n = from.number("the length of the method")?;
        if n > MAX_METHOD_LEN as u64 {
            fail!(Corrupt, "the method of the snapshot has {n} bytes, {MAX_METHOD_LEN} are the most");
        }
        let method = from.take(n as usize, "the method")?;
        let Ok(method) = std::str::from_utf8(method) else { fail!(Corrupt, "the method of the snapshot is not UTF-8") };
        let mut canonical = String::new();
        if canonical.try_reserve_exact(method.len()).is_err() {
            return Err(crate::error::out_of_memory(method.len(), "a method string"));
        }
        canonical.push_str(method);
        let fingerprint = match from.take(1, "whether there are weights")? {
            [0] => None,
            [1] => Some(from.take(32, "the fingerprint")?.try_into().expect("32 bytes")),
            other => fail!(Corrupt, "the snapshot has {} instead of 0 or 1 before its fingerprint", other[0]),
        };
        let count = from.number("the number of sections")?;
        if count > MAX_SECTIONS {
            fail!(Corrupt, "the snapshot has {count} sections, {MAX_SECTIONS} are the most");
        }
        let mut sections = reserved(count as usize, "a snapshot")?;
        for _ in 0..count {
            let at = from.position();
            let &[id, version] = from.take(2, "a section")? else { unreachable!("two bytes") };
            let n = from.number("the length of a section")?;
            let bytes = from.take_long(n, "a section")?;
            match Section::ALL.iter().find(|(section, _)| *section as u8 == id) {
                Some((section, known)) if *known == version => sections.push((*section, bytes)),
                Some((section, known)) => {
                    fail!(
                        Format,
                        "the section {section:?} at byte {at} has version {version}, this library reads {known}"
                    )
                }
                None => fail!(Format, "the section at byte {at} has the unknown number {id}"),
            }
        }
        from.take(4, "the checksum")?;
        if !from.rest.is_empty() {
            fail!(Corrupt, "{} bytes follow the snapshot", from.rest.len());
        }
        Ok(Self { identity: Identity { canonical, fingerprint }, sections })
    }

    /// The bytes of a section.
    ///
    /// # Errors
    /// `Corrupt` if there is none, or more than one.
    pub fn section(&self, which: Section) -> Result<&'a [u8]> {
        let mut all = self.sections.iter().filter(|(section, _)| *section == which);
        match (all.next(), all.next()) {
            (Some((_, bytes)), None) => Ok(bytes),
            (None, _) => fail!(Corrupt, "the snapshot has no section {which:?}"),
            (Some(_), Some(_)) => fail!(Corrupt, "the snapshot has two sections {which:?}"),
        }
    }
}

/// The rest of a snapshot.
struct Source<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Source<'a> {
    fn position(&self) -> usize {
        self.total - self.rest.len()
    }

    fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8]> {
        self.take_long(n as u64, what)
    }

    fn take_long(&mut self, n: u64, what: &str) -> Result<&'a [u8]> {
        match usize::try_from(n).ok().and_then(|n| self.rest.split_at_checked(n)) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => {
                let (at, left) = (self.position(), self.rest.len());
                fail!(Truncated, "the snapshot ends within {what} at byte {at}, which needs {n} bytes: {left} are left")
            }
        }
    }

    fn number(&mut self, what: &str) -> Result<u64> {
        let at = self.position();
        match take_varint(&mut self.rest) {
            Some(n) => Ok(n),
            None if self.total - at < 10 => fail!(Truncated, "the snapshot ends within {what} at byte {at}"),
            None => fail!(Corrupt, "{what} at byte {at} exceeds 64 bits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(fingerprint: Option<[u8; 32]>) -> Vec<u8> {
        let identity = Identity { canonical: "mix:mem=64K".to_owned(), fingerprint };
        write(Kind::Handle, &identity, &[(Section::History, &[1; 40]), (Section::Mix, &[2; 300])]).unwrap()
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_told() {
        for fingerprint in [None, Some([7; 32])] {
            let blob = sample(fingerprint);
            let read = Blob::read(Kind::Handle, &blob).unwrap();
            assert_eq!((read.section(Section::Mix).unwrap(), read.identity.fingerprint), (&[2; 300][..], fingerprint));
            assert_eq!(read.section(Section::Networks).unwrap_err().status(), Status::Corrupt);
            for cut in 0..blob.len() {
                let status = Blob::read(Kind::Handle, &blob[..cut]).unwrap_err().status();
                assert_eq!(status, if cut == 0 { Status::Format } else { Status::Truncated }, "{cut}");
            }
            for bit in 0..8 * blob.len() {
                let mut damaged = blob.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let e = Blob::read(Kind::Handle, &damaged).unwrap_err();
                let head = matches!(e.status(), Status::Format) && bit / 8 < MAGIC.len() + 2;
                let told = matches!(e.status(), Status::Corrupt | Status::Truncated);
                assert!(head || told && bit / 8 >= MAGIC.len() + 2, "bit {bit}: {e}");
            }
            let longer = [&blob[..], &[0]].concat();
            assert_eq!(Blob::read(Kind::Handle, &longer).unwrap_err().status(), Status::Corrupt);
        }
    }

    /// With a valid checksum, fields of other versions are told for what they are.
    #[test]
    fn other_versions_are_told() {
        let with = |at: usize, byte: u8| {
            let mut blob = sample(None);
            blob[at] = byte;
            let end = blob.len() - 4;
            let crc = crc32fast::hash(&blob[..end]);
            blob[end..].copy_from_slice(&crc.to_le_bytes());
            let e = Blob::read(Kind::Handle, &blob).unwrap_err();
            (e.status(), e.to_string())
        };
        let first_section = MAGIC.len() + 4 + 1 + 11 + 1 + 1;
        for (at, byte, status, message) in [
            (8, 9, Status::Format, "version 9"),
            (9, 2, Status::Format, "kind 2"),
            (10, 99, Status::Numerics, "numerics version 99"),
            (first_section, 9, Status::Format, "unknown number 9"),
            (first_section + 1, 9, Status::Format, "version 9"),
        ] {
            let (found, text) = with(at, byte);
            assert!(found == status && text.contains(message), "{at}: {found:?} {text}");
        }
    }

    #[test]
    fn promised_lengths_are_not_believed() {
        let mut blob = sample(None);
        blob.truncate(MAGIC.len() + 4 + 1 + 11 + 1 + 1 + 2);
        put_varint(&mut blob, 1 << 62).unwrap();
        blob.extend_from_slice(&[0; 20]);
        assert_eq!(Blob::read(Kind::Handle, &blob).unwrap_err().status(), Status::Truncated);
    }
}
