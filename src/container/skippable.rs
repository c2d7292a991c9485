//! Skippable frames, which hold no content: data of applications, and indexes.

use super::header::{MAGIC, SKIPPABLE};
use super::read::Reader;
use crate::coder::varint;
use crate::error::{Result, fail};

/// The kind of an application's data.
pub const SKIPPABLE_DATA: u8 = 0;
/// The kind of an index.
pub const SKIPPABLE_INDEX: u8 = 1;
/// The largest size of a skippable frame without its data: magic, version, kind, length, CRC-32.
pub const MAX_SKIPPABLE_HEADER_LEN: usize = MAGIC.len() + 2 + varint::MAX_LEN + 4;

/// A skippable frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skippable<'a> {
    /// What the data is. Readers skip kinds that they do not know.
    pub kind: u8,
    /// The data.
    pub data: &'a [u8],
}

/// What precedes the data of a skippable frame.
#[derive(Clone, Debug)]
pub struct SkippableHeader {
    /// What the data is.
    pub kind: u8,
    /// The length of the data in bytes.
    pub len: u64,
    /// The position of the frame in the input.
    pub at: u64,
    expected: u32,
    /// The CRC-32 of the fields before it and of the data so far.
    crc: crc32fast::Hasher,
}

impl SkippableHeader {
    /// Reads what follows the version byte of a frame that starts at `start`.
    pub(super) fn read(r: &mut Reader, start: u64) -> Result<Self> {
        const WHAT: &str = "a skippable frame";
        let (kind, len) = (r.u8(WHAT)?, r.varint64(WHAT)?);
        let mut crc = crc32fast::Hasher::new();
        crc.update(r.since(start));
        Ok(Self { kind, len, at: start, expected: r.u32(WHAT)?, crc })
    }

    /// Takes the next bytes of the data in.
    pub fn update(&mut self, data: &[u8]) {
        self.crc.update(data);
    }

    /// Checks the data, all of which was taken in.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn check(self) -> Result<()> {
        let (start, expected, found) = (self.at, self.expected, self.crc.finalize());
        if found != expected {
            fail!(Corrupt, "the skippable frame at byte {start} is damaged: CRC-32 {found:08x}, not {expected:08x}");
        }
        Ok(())
    }
}

impl<'a> Skippable<'a> {
    /// Appends the frame's bytes.
    pub fn write(self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(MAGIC);
        out.extend([SKIPPABLE, self.kind]);
        varint::put(out, self.data.len() as u64);
        // The CRC-32 over the fields before it and the data after it.
        let mut crc = crc32fast::Hasher::new();
        crc.update(&out[start..]);
        crc.update(self.data);
        out.extend(crc.finalize().to_le_bytes());
        out.extend(self.data);
    }

    /// Reads what follows the version byte of a frame that starts at `start`.
    ///
    /// # Errors
    /// `Truncated`, `Corrupt`.
    pub(super) fn read(r: &mut Reader<'a>, start: u64) -> Result<Self> {
        let mut header = SkippableHeader::read(r, start)?;
        let data = r.take(header.len, "a skippable frame")?;
        header.update(data);
        let kind = header.kind;
        header.check()?;
        Ok(Self { kind, data })
    }
}
