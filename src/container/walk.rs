//! The order of blocks and segment headers in a version 3 frame.

use super::block::{Block, BlockHeader};
use super::header::{HeaderV3, Shape};
use super::read::Reader;
use super::segment::Segment;
use crate::error::{Result, fail};

/// A part of a version 3 frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A segment starts. Only frames of several segments have these.
    Segment(Segment),
    /// A block.
    Block(Block<'a>),
}

/// The header of a part of a version 3 frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceHeader {
    /// A segment starts, see [`Piece::Segment`].
    Segment(Segment),
    /// A block, whose payload follows.
    Block(BlockHeader),
}

/// The position of a reader in the blocks of a frame. It knows what may come next.
///
/// A segment is full before the next one starts. A block is shorter than the block size where a segment or the content
/// ends, or where a stream was flushed.
#[derive(Clone, Debug)]
pub struct Walk {
    shape: Shape,
    checksums: bool,
    tag: u32,
    /// The content of the blocks so far, in bytes.
    raw: u64,
    /// Whether the segment of the next block has been opened.
    open: bool,
}

impl Walk {
    /// The start of the blocks behind a header of this [`frame_tag`](super::frame_tag).
    pub fn new(header: &HeaderV3, tag: u32) -> Self {
        Self { shape: header.shape, checksums: header.checksums, tag, raw: 0, open: false }
    }

    /// The content of the blocks so far, in bytes.
    pub fn raw(&self) -> u64 {
        self.raw
    }

    /// The walk over the segments from content byte `raw` on, where one starts.
    pub fn at_segment(&self, raw: u64) -> Self {
        Self { raw, open: false, ..self.clone() }
    }

    /// Reads the next block or segment header from the start of a part of the input, which is at byte `base` of it.
    /// Returns the length read too. `None` at the end of the blocks.
    ///
    /// # Errors
    /// `Format`, `Truncated`, `Corrupt`. The walk does not move then.
    pub fn read<'a>(&mut self, part: &'a [u8], base: u64) -> Result<(Option<Piece<'a>>, usize)> {
        let (mut walk, mut r) = (self.clone(), Reader::part(part, base));
        let piece = walk.next(&mut r)?;
        *self = walk;
        Ok((piece, r.pos()))
    }

    /// As [`Walk::read`], without the payload of a block, which the caller skips.
    ///
    /// # Errors
    /// As [`Walk::read`].
    pub fn read_header(&mut self, part: &[u8], base: u64) -> Result<(Option<PieceHeader>, usize)> {
        let (mut walk, mut r) = (self.clone(), Reader::part(part, base));
        let piece = walk.next_header(&mut r)?;
        *self = walk;
        Ok((piece, r.pos()))
    }

    /// Reads the next block or segment header. `None` at the end of the blocks.
    ///
    /// # Errors
    /// `Format`, `Truncated`, `Corrupt`.
    pub(super) fn next<'a>(&mut self, r: &mut Reader<'a>) -> Result<Option<Piece<'a>>> {
        Ok(match self.next_header(r)? {
            None => None,
            Some(PieceHeader::Segment(segment)) => Some(Piece::Segment(segment)),
            Some(PieceHeader::Block(header)) => {
                let payload = r.take(u64::from(header.coded_len), "a block's payload")?;
                Some(Piece::Block(header.with(payload)))
            }
        })
    }

    fn next_header(&mut self, r: &mut Reader) -> Result<Option<PieceHeader>> {
        let segmented = self.shape.segment_log != 0;
        if segmented && !self.open {
            return self.segment(r);
        }
        let at = r.at();
        let Some(block) = BlockHeader::read(r, self.shape, self.checksums)? else {
            if segmented && self.raw.is_multiple_of(1 << self.shape.segment_log) {
                fail!(Corrupt, "the blocks end at byte {at}, in a segment without any");
            }
            return Ok(None);
        };
        let (before, len) = (self.raw, u64::from(block.raw_len));
        let Some(raw) = before.checked_add(len) else {
            fail!(Corrupt, "the block at byte {} ends past 2^64 bytes of content", block.at);
        };
        if segmented {
            let room = (1 << self.shape.segment_log) - before % (1 << self.shape.segment_log);
            if len > room {
                fail!(Corrupt, "the block at byte {} holds {len} bytes, its segment has room for {room}", block.at);
            }
            self.open = len < room;
        }
        self.raw = raw;
        Ok(Some(PieceHeader::Block(block)))
    }

    /// Reads a segment's header, or the end of the blocks.
    fn segment(&mut self, r: &mut Reader) -> Result<Option<PieceHeader>> {
        let at = r.at();
        if r.peek() == Some(super::END_BLOCK) {
            r.u8("a block")?;
            return Ok(None);
        }
        let segment = Segment::read(r)?;
        if segment.tag != self.tag {
            fail!(Corrupt, "the segment at byte {at} is of another frame");
        }
        if segment.raw_offset != self.raw {
            let (found, expected) = (segment.raw_offset, self.raw);
            fail!(
                Corrupt,
                "the segment at byte {at} states that it starts at byte {found} of the content, not {expected}"
            );
        }
        self.open = true;
        Ok(Some(PieceHeader::Segment(segment)))
    }
}

/// The blocks and segment headers of a frame whose structure was checked.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    reader: Reader<'a>,
    walk: Walk,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(reader: Reader<'a>, walk: Walk) -> Self {
        Self { reader, walk }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        self.walk.next(&mut self.reader).ok()?
    }
}
