//! The order of blocks and segment headers in a version 3 frame.

use super::block::Block;
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
    pub(super) fn new(header: &HeaderV3, tag: u32) -> Self {
        Self { shape: header.shape, checksums: header.checksums, tag, raw: 0, open: false }
    }

    /// The content of the blocks so far, in bytes.
    pub fn raw(&self) -> u64 {
        self.raw
    }

    /// Reads the next block or segment header. `None` at the end of the blocks.
    ///
    /// # Errors
    /// `Format`, `Truncated`, `Corrupt`.
    pub(super) fn next<'a>(&mut self, r: &mut Reader<'a>) -> Result<Option<Piece<'a>>> {
        let segmented = self.shape.segment_log != 0;
        if segmented && !self.open {
            return self.segment(r);
        }
        let at = r.at();
        let Some(block) = Block::read(r, self.shape, self.checksums)? else {
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
        Ok(Some(Piece::Block(block)))
    }

    /// Reads a segment's header, or the end of the blocks.
    fn segment<'a>(&mut self, r: &mut Reader<'a>) -> Result<Option<Piece<'a>>> {
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
        Ok(Some(Piece::Segment(segment)))
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
