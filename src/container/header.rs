//! What a frame says of itself before its content.

use super::read::Reader;
use crate::error::{Result, fail};

/// The bytes that every frame starts with: magic, version, coder, length, CRC-32.
pub const COMMON_LEN: usize = 18;
/// The longest canonical method string that a frame may carry.
pub const MAX_METHOD_LEN: usize = 1024;
/// The most bytes that a header takes.
pub const MAX_HEADER_LEN: usize = COMMON_LEN + 2 + 2 + 3 + MAX_METHOD_LEN + 8 + 8 + 3 + 4;
/// Blocks of 4 KiB are the smallest.
pub const MIN_BLOCK_LOG: u8 = 12;
/// Blocks of 16 MiB are the largest.
pub const MAX_BLOCK_LOG: u8 = 24;

const MAGIC: [u8; 4] = *b"GPTZ";

const LENGTH_IN_HEADER: u16 = 1;
const CRC_IN_HEADER: u16 = 2;
const FINGERPRINT: u16 = 4;
const BASE: u16 = 8;
const NO_CRC: u16 = 16;
const KNOWN_FLAGS: u16 = LENGTH_IN_HEADER | CRC_IN_HEADER | FINGERPRINT | BASE | NO_CRC;

/// How symbols are coded. The numbers are the format's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Coder {
    /// The range coder.
    Range = 0,
    /// rANS.
    Rans = 1,
}

impl Coder {
    /// The coder of this number.
    pub fn from_number(n: u8) -> Option<Self> {
        [Self::Range, Self::Rans].into_iter().find(|c| *c as u8 == n)
    }
}

/// The method of a version 3 frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MethodRef {
    /// A registered one, by its number, 1 to 255.
    Registered(u8),
    /// Any other, by its canonical string.
    Text(String),
}

/// A number that is either known when the header is written or stands in the trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streamed<T> {
    /// In the header.
    Header(T),
    /// In the trailer.
    Trailer,
    /// Nowhere: the frame carries no checksums.
    Absent,
}

/// What follows the 18 bytes that all frames share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// Version 0: `length` bytes to be skipped.
    Skippable,
    /// Version 2: one payload and no word of the method.
    V2,
    /// Version 3: self-describing, in blocks.
    V3 {
        /// The version of the arithmetic.
        numerics: u16,
        /// The method.
        method: MethodRef,
        /// The first bytes of the weights' fingerprint, where the method has a weights file.
        fingerprint: Option<[u8; 8]>,
        /// The base's identifier, where there is one.
        base: Option<[u8; 8]>,
        /// Binary logarithm of the size of a block.
        block_log: u8,
    },
}

/// A frame's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The coder; without meaning in a skippable frame.
    pub coder: Coder,
    /// The content's length in bytes. In version 3 alone it may stand in the trailer.
    pub length: Streamed<u64>,
    /// CRC-32 of the content. In version 3 alone it may stand in the trailer or be absent.
    pub crc: Streamed<u32>,
    /// The rest.
    pub version: Version,
}

fn known<T: Default + Copy>(value: Streamed<T>) -> T {
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
        out.extend(known(self.length).to_le_bytes());
        out.extend(known(self.crc).to_le_bytes());
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
        // One lane, one segment: the logarithms are 0.
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
    /// `Format` for what is not gptz or not known, `Truncated`, `Corrupt`.
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

    /// Reads on after the common bytes of a version 3 frame that began at `start`.
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
            fail!(Format, "the frame at byte {start} has lanes or segments; this library reads one of each");
        }
        if !(MIN_BLOCK_LOG..=MAX_BLOCK_LOG).contains(&block_log) || text.len() > MAX_METHOD_LEN {
            fail!(
                Corrupt,
                "the header of the frame at byte {start} has a block size of 2^{block_log} or too long a method"
            );
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
        // There is one way to write a header: whatever else was read is damage (a length beside the flag that says
        // that it is in the trailer, both CRC flags).
        let mut again = Vec::new();
        self.write(&mut again);
        if again != r.since(start) {
            fail!(Corrupt, "the header of the frame at byte {start} contradicts itself");
        }
        Ok(self)
    }
}
