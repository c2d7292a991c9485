//! Segment headers. A segment starts from the base, so that it can be decoded without those before it. Its header can
//! be found again in damaged input.

use super::read::Reader;
use crate::coder::varint;
use crate::error::{Result, fail};

/// The first bytes of a segment. The first one differs from the end block's.
pub const SEGMENT_MAGIC: [u8; 4] = *b"GPTS";
/// The largest size of a segment's header: magic, frame tag, raw offset, CRC-32.
pub const MAX_SEGMENT_HEADER_LEN: usize = SEGMENT_MAGIC.len() + 4 + varint::MAX_LEN + 4;

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The [`frame_tag`](super::frame_tag) of its frame.
    pub tag: u32,
    /// The position of its first byte in the frame's content.
    pub raw_offset: u64,
}

impl Segment {
    /// Appends the header's bytes.
    pub fn write(self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(SEGMENT_MAGIC);
        out.extend(self.tag.to_le_bytes());
        varint::put(out, self.raw_offset);
        let crc = crc32fast::hash(&out[start..]);
        out.extend(crc.to_le_bytes());
    }

    /// Reads a header of any frame from the start of a part of an input, which is at byte `base` of it. Returns the length
    /// read too.
    ///
    /// # Errors
    /// `Truncated`, `Corrupt`.
    pub fn parse(part: &[u8], base: u64) -> Result<(Self, usize)> {
        let mut r = Reader::part(part, base);
        let segment = Self::read(&mut r)?;
        Ok((segment, r.pos()))
    }

    /// Reads a header.
    ///
    /// # Errors
    /// `Truncated`, `Corrupt`.
    pub(super) fn read(r: &mut Reader) -> Result<Self> {
        const WHAT: &str = "a segment's header";
        let start = r.at();
        let magic = r.take(4, WHAT)?;
        if magic != SEGMENT_MAGIC {
            fail!(Corrupt, "byte {start} starts with {magic:02x?}, expected a segment's {SEGMENT_MAGIC:02x?}");
        }
        let (tag, raw_offset) = (r.u32(WHAT)?, r.varint64(WHAT)?);
        let expected = crc32fast::hash(r.since(start));
        let found = r.u32(WHAT)?;
        if found != expected {
            fail!(Corrupt, "the segment at byte {start} has a damaged header: CRC-32 {found:08x}, not {expected:08x}");
        }
        Ok(Self { tag, raw_offset })
    }
}
