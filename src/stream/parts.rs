//! The parts of a damaged frame, and the blocks in them.

use super::frames::{Head, is_about_content};
use super::source::{Source, Window};
use crate::container::{BlockHeader, BlockKind, PieceHeader, Walk, block_crc};
use crate::error::{Error, Result};

/// A segment that was found; the only one of a frame without segments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The position of its first byte in the frame's content.
    pub(super) raw: u64,
    /// The content of its blocks ends here, as far as they could be walked over.
    pub(super) raw_end: u64,
    /// The position of its header in the source; of its first block, if the frame has no segments.
    pub(super) at: u64,
    /// The position where the walk over its blocks stopped.
    pub(super) stop: u64,
    /// Whether the walk stopped at the next sync, and not at damage.
    pub(super) is_closed: bool,
    /// Whether it is closed and its blocks hold what it should: then its blocks are where they seem to be.
    pub(super) fits: bool,
    /// The content that it should hold ends here; a whole segment's end, if the length of the content is not known.
    pub(super) expected: u64,
    /// Whether its blocks end properly and do not hold what they should: some may be missing or come twice, or one states
    /// a wrong length.
    pub(super) is_misfit: bool,
}

/// The blocks of a part of a frame, one header after the other.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) walk: Walk,
    /// The position of the next header.
    pub(super) at: u64,
    /// The position of the last block's payload.
    pub(super) payload: u64,
}

impl Blocks {
    pub(super) fn new(head: &Head, part: &Part) -> Self {
        Self { walk: Walk::new(&head.header, head.tag).at_segment(part.raw), at: part.at, payload: part.at }
    }

    /// A walk over blocks only, whatever may come next, from the place where the walk over a part stopped.
    pub(super) fn behind(head: &Head, part: &Part) -> Self {
        let mut header = head.header.clone();
        header.shape.segment_log = 0;
        Self { walk: Walk::new(&header, head.tag), at: part.stop, payload: part.stop }
    }

    /// The next block's header, past the segment's own header. `None` at the end of the frame's blocks.
    pub(super) fn next<S: Source>(&mut self, window: &mut Window<S>) -> Result<Option<BlockHeader>> {
        loop {
            let at = self.at;
            let (piece, len) = window.parse(at, |part| self.walk.read_header(part, at))?;
            match piece {
                None => return Ok(None),
                Some(PieceHeader::Segment(_)) => self.at += len as u64,
                Some(PieceHeader::Block(block)) => {
                    self.payload = at + len as u64;
                    self.at = self.payload.saturating_add(u64::from(block.coded_len));
                    return Ok(Some(block));
                }
            }
        }
    }
}

/// Whether a stored block, whose payload is given, is sound. `None` if nothing says so.
pub(super) fn stored_is_sound(block: &BlockHeader, payload: &[u8]) -> Option<bool> {
    debug_assert!(matches!(block.kind, BlockKind::StoredLearned | BlockKind::StoredSkipped));
    block.crc.map(|crc| crc == block_crc(block.kind, payload))
}

/// Separates errors of the bytes that were read from all others.
pub(super) fn about<T>(result: Result<T>) -> Result<std::result::Result<T, Error>> {
    match result {
        Err(e) if !is_about_content(&e) => Err(e),
        result => Ok(result),
    }
}
