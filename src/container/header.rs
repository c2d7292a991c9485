//! Frame headers.

use super::read::Reader;
use crate::error::{Result, fail};

/// The size of the part that all frame versions share: magic, version, coder, length, CRC-32.
pub const COMMON_LEN: usize = 18;
/// The longest method string, in a call and in a frame, in bytes.
pub const MAX_METHOD_LEN: usize = 4096;
/// The longest canonical method string of this version. It bounds the headers that are written, and so the overhead
/// that `compress_bound` allows for.
pub const MAX_CANONICAL_LEN: usize = 1024;
/// The largest size of a header that is written.
pub const MAX_HEADER_LEN: usize = COMMON_LEN + 2 + 2 + 3 + MAX_CANONICAL_LEN + 8 + 8 + 3 + 4;
/// Binary logarithm of the smallest block size: 4 KiB.
pub const MIN_BLOCK_LOG: u8 = 12;
/// Binary logarithm of the largest block size: 16 MiB.
pub const MAX_BLOCK_LOG: u8 = 24;

const MAGIC: [u8; 4] = *b"GPTZ";

const LENGTH_IN_HEADER: u16 = 1;
const CRC_IN_HEADER: u16 = 2;
const FINGERPRINT: u16 = 4;
const BASE: u16 = 8;
const NO_CRC: u16 = 16;
const KNOWN_FLAGS: u16 = LENGTH_IN_HEADER | CRC_IN_HEADER | FINGERPRINT | BASE | NO_CRC;

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

/// A value that is in the header, or in the trailer if it is not known when the header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streamed<T> {
    /// In the header.
    Header(T),
    /// In the trailer.
    Trailer,
    /// In neither: the frame has no checksums.
    Absent,
}

/// A frame's version, and the header fields after the 18 bytes that all versions share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// Version 0: `length` bytes to skip.
    Skippable,
    /// Version 2: one payload. The method is not named.
    V2,
    /// Version 3: names its method; the content is in blocks.
    V3 {
        /// The version of the arithmetic.
        numerics: u16,
        /// The method.
        method: MethodRef,
        /// The first eight bytes of the weights' fingerprint, if the method has a weights file.
        fingerprint: Option<[u8; 8]>,
        /// The base's identifier, if a base was set.
        base: Option<[u8; 8]>,
        /// Binary logarithm of the block size.
        block_log: u8,
    },
}

/// A frame's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The coder. Not used in a skippable frame.
    pub coder: Coder,
    /// The content's length in bytes. Only version 3 may have it in the trailer.
    pub length: Streamed<u64>,
    /// CRC-32 of the content. Only version 3 may have it in the trailer or not at all.
    pub crc: Streamed<u32>,
    /// The version and its fields.
    pub version: Version,
}

fn value_or_default<T: Default + Copy>(value: Streamed<T>) -> T {
    if let Streamed::Header(v) = value { v } else { T::default() }
}

impl Header {
    /// Appends the header's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(MAGIC);
        out.push(match self.version {
            Version::Skippable => 0,
            Version::V2 => 2,
            Version::V3 { .. } => 3,
        });
        out.push(self.coder as u8);
        out.extend(value_or_default(self.length).to_le_bytes());
        out.extend(value_or_default(self.crc).to_le_bytes());
        let Version::V3 { numerics, method, fingerprint, base, block_log } = &self.version else { return };
        out.extend(self.flags(fingerprint.is_some(), base.is_some()).to_le_bytes());
        out.extend(numerics.to_le_bytes());
        match method {
            MethodRef::Registered(id) => out.push(*id),
            MethodRef::Text(text) => {
                out.push(0);
                out.extend((text.len() as u16).to_le_bytes());
                out.extend(text.as_bytes());
            }
        }
        out.extend(fingerprint.iter().chain(base).flatten());
        // One lane and one segment: both logarithms are 0.
        out.extend([0, *block_log, 0]);
        let crc = crc32fast::hash(&out[start..]);
        out.extend(crc.to_le_bytes());
    }

    fn flags(&self, fingerprint: bool, base: bool) -> u16 {
        let mut flags = 0;
        let mut set = |flag, on: bool| flags |= if on { flag } else { 0 };
        set(LENGTH_IN_HEADER, matches!(self.length, Streamed::Header(_)));
        set(CRC_IN_HEADER, matches!(self.crc, Streamed::Header(_)));
        set(NO_CRC, self.crc == Streamed::Absent);
        set(FINGERPRINT, fingerprint);
        set(BASE, base);
        flags
    }

    /// Reads a header.
    ///
    /// # Errors
    /// `Format` if it is not a gptz frame or has an unknown version, coder or flag; `Truncated`; `Corrupt`.
    pub(super) fn read(r: &mut Reader) -> Result<Self> {
        let start = r.at();
        let magic = r.take(4, "a frame's header")?;
        if magic != MAGIC {
            fail!(Format, "not a gptz frame: byte {start} starts with {magic:02x?}, expected {MAGIC:02x?} (\"GPTZ\")");
        }
        let version = r.u8("a frame's header")?;
        if !matches!(version, 0 | 2 | 3) {
            fail!(Format, "the frame at byte {start} has version {version}; this library reads 2 and 3");
        }
        let coder = r.u8("a frame's header")?;
        let Some(coder) = Coder::from_number(coder) else {
            fail!(Format, "the frame at byte {start} has coder {coder}; 0 (range) and 1 (rANS) are known");
        };
        let length = Streamed::Header(r.u64("a frame's header")?);
        let crc = Streamed::Header(r.u32("a frame's header")?);
        let header = Self { coder, length, crc, version: Version::V2 };
        match version {
            0 => Ok(Self { version: Version::Skippable, ..header }),
            2 => Ok(header),
            _ => header.read_v3(r, start),
        }
    }

    /// Reads the fields that follow the common bytes of a version 3 header, which starts at `start`.
    fn read_v3(mut self, r: &mut Reader, start: usize) -> Result<Self> {
        const WHAT: &str = "a frame's header";
        let flags = r.u16(WHAT)?;
        if flags & !KNOWN_FLAGS != 0 {
            fail!(Format, "the frame at byte {start} has flags {flags:#06x}; {KNOWN_FLAGS:#06x} are known");
        }
        let numerics = r.u16(WHAT)?;
        let id = r.u8(WHAT)?;
        let text = if id == 0 {
            let len = r.u16(WHAT)?;
            r.take(u64::from(len), "a frame's method")?
        } else {
            &[]
        };
        let fingerprint = if flags & FINGERPRINT != 0 { Some(r.array(WHAT)?) } else { None };
        let base = if flags & BASE != 0 { Some(r.array(WHAT)?) } else { None };
        let [lanes_log, block_log, segment_log] = r.array(WHAT)?;
        let expected = crc32fast::hash(r.since(start));
        let found = r.u32(WHAT)?;
        if found != expected {
            fail!(
                Corrupt,
                "the header of the frame at byte {start} is damaged: CRC-32 {found:08x}, not {expected:08x}"
            );
        }
        if lanes_log != 0 || segment_log != 0 {
            fail!(Format, "the frame at byte {start} has several lanes or segments; this library reads one of each");
        }
        if !(MIN_BLOCK_LOG..=MAX_BLOCK_LOG).contains(&block_log) {
            fail!(Corrupt, "the header of the frame at byte {start} has a block size of 2^{block_log}");
        }
        if text.len() > MAX_METHOD_LEN {
            let n = text.len();
            fail!(Corrupt, "the frame at byte {start} has a method of {n} bytes; {MAX_METHOD_LEN} are allowed");
        }
        let method = match std::str::from_utf8(text) {
            _ if id != 0 => MethodRef::Registered(id),
            Ok(text) => MethodRef::Text(text.to_owned()),
            Err(_) => fail!(Corrupt, "the frame at byte {start} has a method that is not text"),
        };
        if flags & LENGTH_IN_HEADER == 0 {
            self.length = Streamed::Trailer;
        }
        if flags & CRC_IN_HEADER == 0 {
            self.crc = if flags & NO_CRC != 0 { Streamed::Absent } else { Streamed::Trailer };
        }
        self.version = Version::V3 { numerics, method, fingerprint, base, block_log };
        // A header has exactly one encoding. Any other is damage: both CRC flags, for example, or a length in the
        // header although the flags state that it is in the trailer.
        let mut written = Vec::new();
        self.write(&mut written);
        if written != r.since(start) {
            fail!(Corrupt, "the header of the frame at byte {start} has fields that contradict each other");
        }
        Ok(self)
    }
}
