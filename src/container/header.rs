//! Frame headers.

use super::check::{HEADER_CHECK_LEN, header_check};
use super::read::Reader;
use crate::coder::varint;
use crate::error::{Result, fail};

/// The first bytes of every frame.
pub const MAGIC: [u8; 4] = *b"GPTZ";
/// The version byte of a skippable frame.
pub(super) const SKIPPABLE: u8 = 0;
/// The size of a version 2 header: magic, version, coder, length, CRC-32.
pub const V2_HEADER_LEN: usize = 18;
/// The longest method string, in a call and in a frame, in bytes.
pub const MAX_METHOD_LEN: usize = 4096;
/// The longest canonical method string of this version. It bounds the headers that are written, and so the overhead
/// that `compress_bound` allows for.
pub const MAX_CANONICAL_LEN: usize = 1024;
/// The largest size of a header that is written.
pub const MAX_HEADER_LEN: usize =
    MAGIC.len() + 2 + varint::MAX_LEN + 3 + MAX_CANONICAL_LEN + 8 + 8 + 4 + varint::MAX_LEN + HEADER_CHECK_LEN;
/// Binary logarithm of the smallest block size: 4 KiB.
pub const MIN_BLOCK_LOG: u8 = 12;
/// Binary logarithm of the largest block size: 16 MiB.
pub const MAX_BLOCK_LOG: u8 = 24;
/// Binary logarithm of the block size of a frame that does not state it: 128 KiB.
pub const DEFAULT_BLOCK_LOG: u8 = 17;
/// Binary logarithm of the largest number of lanes.
pub const MAX_LANES_LOG: u8 = 6;
/// Binary logarithm of the smallest segment size: 64 KiB.
pub const MIN_SEGMENT_LOG: u8 = 16;
/// Binary logarithm of the largest segment size: 1 TiB.
pub const MAX_SEGMENT_LOG: u8 = 40;

// The flags. The two highest bits are the layout.
const RANS: u8 = 1;
const NO_CHECKSUMS: u8 = 2;
const LENGTH_IN_TRAILER: u8 = 4;
const FINGERPRINT: u8 = 8;
const BASE: u8 = 16;
const SHAPE: u8 = 32;
const LAYOUT_SHIFT: u32 = 6;

// The fields of the shape that follow its byte.
const LANES: u8 = 1;
const BLOCK: u8 = 2;
const SEGMENT: u8 = 4;

/// What the fields of a header are, in messages about an input that ends in them.
const WHAT: &str = "a frame's header";

/// An entropy coder. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Coder {
    /// The range coder.
    Range = 0,
    /// rANS.
    Rans = 1,
}

impl Coder {
    /// The coder with this number.
    pub fn from_number(n: u8) -> Option<Self> {
        [Self::Range, Self::Rans].into_iter().find(|c| *c as u8 == n)
    }
}

/// How a version 3 frame names its method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MethodRef {
    /// By its registered number, 1 to 255.
    Registered(u8),
    /// By its canonical string.
    Text(String),
}

/// What follows a version 3 header. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Layout {
    /// Blocks with headers, the end block, the trailer.
    Blocks = 0,
    /// One block without a header: coded if its payload is shorter than the content, else stored.
    Single = 1,
    /// One block without a header, coded by the mix alone.
    SingleAlone = 2,
}

/// Lanes, blocks and segments, as binary logarithms of their number and sizes. A value that is the default is not
/// stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Of the number of lanes: 0 to [`MAX_LANES_LOG`].
    pub lanes_log: u8,
    /// Of the block size: [`MIN_BLOCK_LOG`] to [`MAX_BLOCK_LOG`].
    pub block_log: u8,
    /// Of the segment size, [`MIN_SEGMENT_LOG`] to [`MAX_SEGMENT_LOG`]; 0 for one segment.
    pub segment_log: u8,
}

impl Default for Shape {
    fn default() -> Self {
        Self { lanes_log: 0, block_log: DEFAULT_BLOCK_LOG, segment_log: 0 }
    }
}

impl Shape {
    /// The most bytes of content in a block. Blocks do not cross segments.
    pub fn max_block(self) -> u64 {
        1 << if self.segment_log == 0 { self.block_log } else { self.block_log.min(self.segment_log) }
    }

    /// The bytes of content in the segment that begins at `at`, in a content of `len` bytes.
    pub fn segment_len(self, len: u64, at: u64) -> u64 {
        let left = len - at;
        if self.segment_log == 0 { left } else { left.min(1 << self.segment_log) }
    }

    /// The fields that differ from the defaults, with their bits.
    fn stored(self) -> impl Iterator<Item = (u8, u8)> {
        let default = Self::default();
        [
            (LANES, self.lanes_log, default.lanes_log),
            (BLOCK, self.block_log, default.block_log),
            (SEGMENT, self.segment_log, default.segment_log),
        ]
        .into_iter()
        .filter(|(_, value, default)| value != default)
        .map(|(bit, value, _)| (bit, value))
    }

    fn read(r: &mut Reader, start: u64) -> Result<Self> {
        let fields = r.u8(WHAT)?;
        if fields & !(LANES | BLOCK | SEGMENT) != 0 {
            fail!(Format, "the frame at byte {start} has a shape {fields:#04x}; 0x01 to 0x07 are known");
        }
        let mut shape = Self::default();
        for (bit, value) in
            [(LANES, &mut shape.lanes_log), (BLOCK, &mut shape.block_log), (SEGMENT, &mut shape.segment_log)]
        {
            if fields & bit != 0 {
                *value = r.u8(WHAT)?;
            }
        }
        Ok(shape)
    }

    /// Checks the ranges, after the header's check.
    fn check(self, start: u64) -> Result<()> {
        let Self { lanes_log, block_log, segment_log } = self;
        if lanes_log > MAX_LANES_LOG {
            fail!(Corrupt, "the frame at byte {start} has 2^{lanes_log} lanes; 2^{MAX_LANES_LOG} are the most");
        }
        if !(MIN_BLOCK_LOG..=MAX_BLOCK_LOG).contains(&block_log) {
            fail!(Corrupt, "the header of the frame at byte {start} has a block size of 2^{block_log}");
        }
        if segment_log != 0 && !(MIN_SEGMENT_LOG..=MAX_SEGMENT_LOG).contains(&segment_log) {
            fail!(Corrupt, "the header of the frame at byte {start} has a segment size of 2^{segment_log}");
        }
        Ok(())
    }
}

/// The header of a version 3 frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderV3 {
    /// The coder.
    pub coder: Coder,
    /// Whether the frame has the CRC-32 of its content, and of its blocks if they have headers.
    pub checksums: bool,
    /// The version of the arithmetic.
    pub numerics: u16,
    /// The method.
    pub method: MethodRef,
    /// The first eight bytes of the weights' fingerprint, if the method has a weights file.
    pub fingerprint: Option<[u8; 8]>,
    /// The base's identifier, if a base was set.
    pub base: Option<[u8; 8]>,
    /// Lanes, blocks, segments.
    pub shape: Shape,
    /// What follows the header.
    pub layout: Layout,
    /// The content's length in bytes. `None` if only the trailer has it, which the layout of one block does not allow.
    pub length: Option<u64>,
}

/// The header of a version 2 frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderV2 {
    /// The coder.
    pub coder: Coder,
    /// The content's length in bytes.
    pub length: u64,
    /// CRC-32 of the content.
    pub crc: u32,
}

/// The header of a frame with content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// Version 2: one payload. The method is not named.
    V2(HeaderV2),
    /// Version 3.
    V3(HeaderV3),
}

impl HeaderV2 {
    /// Appends the header's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend(MAGIC);
        out.extend([2, self.coder as u8]);
        out.extend(self.length.to_le_bytes());
        out.extend(self.crc.to_le_bytes());
    }

    fn read(r: &mut Reader, start: u64) -> Result<Self> {
        let coder = r.u8(WHAT)?;
        let Some(coder) = Coder::from_number(coder) else {
            fail!(Format, "the frame at byte {start} has coder {coder}; 0 (range) and 1 (rANS) are known");
        };
        Ok(Self { coder, length: r.u64(WHAT)?, crc: r.u32(WHAT)? })
    }
}

impl HeaderV3 {
    /// Appends the header's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(MAGIC);
        out.extend([3, self.flags()]);
        varint::put(out, self.numerics);
        match &self.method {
            MethodRef::Registered(id) => out.push(*id),
            MethodRef::Text(text) => {
                out.push(0);
                varint::put(out, text.len() as u64);
                out.extend(text.as_bytes());
            }
        }
        out.extend(self.fingerprint.iter().chain(&self.base).flatten());
        let shape = self.shape.stored().fold(0, |bits, (bit, _)| bits | bit);
        if shape != 0 {
            out.push(shape);
            out.extend(self.shape.stored().map(|(_, value)| value));
        }
        if let Some(length) = self.length {
            varint::put(out, length);
        }
        out.push(header_check(&out[start..]));
    }

    fn flags(&self) -> u8 {
        let when = |flag, on: bool| if on { flag } else { 0 };
        when(RANS, self.coder == Coder::Rans)
            | when(NO_CHECKSUMS, !self.checksums)
            | when(LENGTH_IN_TRAILER, self.length.is_none())
            | when(FINGERPRINT, self.fingerprint.is_some())
            | when(BASE, self.base.is_some())
            | when(SHAPE, self.shape != Shape::default())
            | (self.layout as u8) << LAYOUT_SHIFT
    }

    /// Reads the fields that follow the version byte of a header that starts at `start`.
    fn read(r: &mut Reader, start: u64) -> Result<Self> {
        let flags = r.u8(WHAT)?;
        let layouts = [Layout::Blocks, Layout::Single, Layout::SingleAlone];
        let Some(layout) = layouts.into_iter().find(|l| *l as u8 == flags >> LAYOUT_SHIFT) else {
            fail!(Format, "the frame at byte {start} has flags {flags:#04x}; this library does not know layout 3");
        };
        let numerics = r.varint(WHAT)?;
        let id = r.u8(WHAT)?;
        let text = if id == 0 {
            let len = r.varint(WHAT)?;
            if len as usize > MAX_METHOD_LEN {
                fail!(Corrupt, "the frame at byte {start} has a method of {len} bytes; {MAX_METHOD_LEN} are allowed");
            }
            r.take(len.into(), "a frame's method")?
        } else {
            &[]
        };
        let fingerprint = if flags & FINGERPRINT != 0 { Some(r.array(WHAT)?) } else { None };
        let base = if flags & BASE != 0 { Some(r.array(WHAT)?) } else { None };
        let shape = if flags & SHAPE != 0 { Shape::read(r, start)? } else { Shape::default() };
        let length = if flags & LENGTH_IN_TRAILER == 0 { Some(r.varint64(WHAT)?) } else { None };
        let expected = header_check(r.since(start));
        let found = r.u8(WHAT)?;
        if found != expected {
            fail!(Corrupt, "the header of the frame at byte {start} is damaged: check {found:02x}, not {expected:02x}");
        }
        shape.check(start)?;
        let Ok(numerics) = u16::try_from(numerics) else {
            fail!(Numerics, "the frame at byte {start} has version {numerics} of the arithmetic");
        };
        let method = match std::str::from_utf8(text) {
            _ if id != 0 => MethodRef::Registered(id),
            Ok(text) => MethodRef::Text(text.to_owned()),
            Err(_) => fail!(Corrupt, "the frame at byte {start} has a method that is not text"),
        };
        let coder = if flags & RANS == 0 { Coder::Range } else { Coder::Rans };
        let checksums = flags & NO_CHECKSUMS == 0;
        let header = Self { coder, checksums, numerics, method, fingerprint, base, shape, layout, length };
        header.check_consistent(r.since(start), start)?;
        Ok(header)
    }

    /// A header has exactly one encoding, so any other is damage: a shape that stores a default, for example. The
    /// content of one block is not longer than a block, and its length is in the header.
    fn check_consistent(&self, read: &[u8], start: u64) -> Result<()> {
        let mut written = Vec::new();
        self.write(&mut written);
        let fits = match (self.layout, self.length) {
            (Layout::Blocks, _) => true,
            (_, length) => length.is_some_and(|length| length <= self.shape.max_block()),
        };
        if written != read || !fits {
            fail!(Corrupt, "the header of the frame at byte {start} has fields that contradict each other");
        }
        Ok(())
    }
}

/// Reads the magic and the version of a frame.
///
/// # Errors
/// `Format` if it is not a gptz frame or of an unknown version; `Truncated`.
pub(super) fn read_version(r: &mut Reader) -> Result<u8> {
    let start = r.at();
    let magic = r.take(4, WHAT)?;
    if magic != MAGIC {
        fail!(Format, "not a gptz frame: byte {start} starts with {magic:02x?}, expected {MAGIC:02x?} (\"GPTZ\")");
    }
    let version = r.u8(WHAT)?;
    if !matches!(version, SKIPPABLE | 2 | 3) {
        fail!(Format, "the frame at byte {start} has version {version}; this library reads 2 and 3");
    }
    Ok(version)
}

impl Header {
    /// Reads what follows the version byte of a header that starts at `start`.
    ///
    /// # Errors
    /// `Format` for an unknown coder, flag or layout; `Truncated`; `Corrupt`; `Numerics`.
    pub(super) fn read(r: &mut Reader, version: u8, start: u64) -> Result<Self> {
        Ok(if version == 2 { Self::V2(HeaderV2::read(r, start)?) } else { Self::V3(HeaderV3::read(r, start)?) })
    }

    /// The coder.
    pub fn coder(&self) -> Coder {
        match self {
            Self::V2(header) => header.coder,
            Self::V3(header) => header.coder,
        }
    }

    /// The content's length, if the header has it.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::V2(header) => Some(header.length),
            Self::V3(header) => header.length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use proptest::prelude::*;

    fn headers() -> impl Strategy<Value = HeaderV3> {
        let method =
            prop_oneof![(1..=255u8).prop_map(MethodRef::Registered), "[a-z:=,]{0,200}".prop_map(MethodRef::Text)];
        let shape = (0..=MAX_LANES_LOG, MIN_BLOCK_LOG..=MAX_BLOCK_LOG, prop_oneof![Just(0), 16..=MAX_SEGMENT_LOG])
            .prop_map(|(lanes_log, block_log, segment_log)| Shape { lanes_log, block_log, segment_log });
        let shape = prop_oneof![Just(Shape::default()), shape];
        let layout = prop_oneof![Just(Layout::Blocks), Just(Layout::Single), Just(Layout::SingleAlone)];
        let ids = (any::<Option<[u8; 8]>>(), any::<Option<[u8; 8]>>());
        (any::<(bool, bool, u16)>(), method, ids, shape, layout, any::<Option<u64>>()).prop_map(
            |((rans, checksums, numerics), method, (fingerprint, base), shape, layout, length)| {
                let coder = if rans { Coder::Rans } else { Coder::Range };
                let single = layout != Layout::Blocks;
                let length = if single { Some(length.unwrap_or(0) % shape.max_block()) } else { length };
                HeaderV3 { coder, checksums, numerics, method, fingerprint, base, shape, layout, length }
            },
        )
    }

    fn read(bytes: &[u8]) -> Result<Header> {
        let mut r = Reader::new(bytes);
        let version = read_version(&mut r)?;
        let header = Header::read(&mut r, version, 0)?;
        assert!(r.is_empty(), "{} of {} bytes read", r.pos(), bytes.len());
        Ok(header)
    }

    proptest! {
        #[test]
        fn a_header_is_read_as_written(header in headers()) {
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            prop_assert!(bytes.len() <= MAX_HEADER_LEN);
            prop_assert_eq!(read(&bytes), Ok(Header::V3(header)));
            for cut in 0..bytes.len() {
                prop_assert_eq!(read(&bytes[..cut]).unwrap_err().status(), Status::Truncated);
            }
        }

        #[test]
        fn every_changed_byte_is_noticed(header in headers(), change in 1..=255u8) {
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            for at in 0..bytes.len() {
                let mut bad = bytes.clone();
                bad[at] ^= change;
                // Bytes behind the header, which a changed length may reach.
                bad.extend([0; 300]);
                let mut r = Reader::new(&bad);
                let read = read_version(&mut r).and_then(|version| Header::read(&mut r, version, 0));
                // A version 0 or 2 is another kind of frame. A byte that changes the length of the header has a check
                // elsewhere, which agrees by chance in one of 256 cases.
                if at != 4 && r.pos() == bytes.len() {
                    prop_assert!(read.is_err(), "byte {} ^ {:#x}", at, change);
                }
            }
        }
    }

    #[test]
    fn a_header_of_a_registered_method_is_short() {
        let mut header = HeaderV3 {
            coder: Coder::Range,
            checksums: true,
            numerics: 2,
            method: MethodRef::Registered(6),
            fingerprint: None,
            base: None,
            shape: Shape::default(),
            layout: Layout::Single,
            length: Some(127),
        };
        let len = |header: &HeaderV3| {
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            bytes.len()
        };
        assert_eq!(len(&header), 10);
        header.length = Some(16_383);
        assert_eq!(len(&header), 11);
    }

    #[test]
    fn a_header_has_one_encoding() {
        let sealed = |fields: &[u8]| {
            let mut bytes = [&b"GPTZ\x03"[..], fields].concat();
            bytes.push(header_check(&bytes));
            bytes
        };
        // Flags, numerics, method, and what each case adds.
        assert!(read(&sealed(&[0x40, 2, 6, 35])).is_ok());
        let cases: [(&[u8], Status, &str); 10] = [
            (&[0xc0, 2, 6, 35], Status::Format, "layout 3"),
            (&[0x44, 2, 6], Status::Corrupt, "contradict"),
            (&[0x60, 2, 6, 0, 35], Status::Corrupt, "contradict"),
            (&[0x60, 2, 6, 2, 17, 35], Status::Corrupt, "contradict"),
            (&[0x60, 2, 6, 8, 17, 35], Status::Format, "shape 0x08"),
            (&[0x20, 2, 6, 1, 7, 35], Status::Corrupt, "2^7 lanes"),
            (&[0x20, 2, 6, 2, 25, 35], Status::Corrupt, "block size of 2^25"),
            (&[0x20, 2, 6, 4, 15, 35], Status::Corrupt, "segment size of 2^15"),
            // One byte more than a block.
            (&[0x60, 2, 6, 2, 12, 0x81, 0x20], Status::Corrupt, "contradict"),
            (&[0x40, 0x80, 0x80, 4, 6, 35], Status::Numerics, "65536"),
        ];
        for (fields, status, quoted) in cases {
            let e = read(&sealed(fields)).unwrap_err();
            assert!(e.status() == status && e.message().contains(quoted), "{fields:02x?}: {e}");
        }
    }
}
