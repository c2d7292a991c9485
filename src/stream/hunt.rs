//! The search for what a damaged source still has: magics of frames, segments and indexes.

use memchr::memmem;

use super::frames::{Head, Start, is_about_content, single, skip};
use super::parts::{Blocks, Part, about, stored_is_sound};
use super::source::{Source, Window};
use crate::container::{INDEX_FOOTER_LEN, Index, Layout, SEGMENT_MAGIC, SKIPPABLE_INDEX, Segment, Walk, plausible};
use crate::error::Result;
use crate::session::Progress;

/// What the magics of frames and segments start with, and their last bytes.
const PREFIX: &[u8] = b"GPT";
const FRAME: u8 = b'Z';
const SEGMENT: u8 = SEGMENT_MAGIC[3];

/// The bytes that are searched, compared and walked over in total, as a multiple of the source's size. Sound sources take
/// less than 8. Hostile ones could otherwise take a time that grows with the square of their size.
const PASSES: u64 = 64;
/// The least such number, so that each block of a small source can be decoded once in vain.
const LEAST: u64 = 1 << 26;

/// What may still be spent on damage.
#[derive(Debug)]
pub(super) struct Effort(u64);

impl Effort {
    pub(super) fn new(size: u64) -> Self {
        Self(size.saturating_mul(PASSES).max(LEAST))
    }

    /// Spends the work of `n` bytes. Returns whether there was as much.
    pub(super) fn spend(&mut self, n: u64) -> bool {
        let enough = self.0 >= n;
        self.0 = self.0.saturating_sub(n);
        enough
    }
}

/// Where a frame goes on behind damage, or ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sync {
    /// At a segment header of the frame.
    Segment(u64),
    /// Before its index, which states the length of its content.
    Index(u64, u64),
    /// Before another frame.
    Frame(u64),
}

/// The first position in `from..to` with a magic, and the magic's last byte.
fn next_magic<S: Source>(
    window: &mut Window<S>,
    mut from: u64,
    to: u64,
    effort: &mut Effort,
    progress: &mut Progress,
) -> Result<Option<(u64, u8)>> {
    let to = to.min(window.size());
    while from < to {
        let part = window.ahead(from)?;
        let found = memmem::find_iter(part, PREFIX).find_map(|at| match part.get(at + PREFIX.len()) {
            Some(&last @ (FRAME | SEGMENT)) => Some((from + at as u64, last)),
            _ => None,
        });
        let passed = found.map_or(part.len() as u64, |(at, _)| at - from);
        if let Some((at, last)) = found.filter(|(at, _)| *at < to) {
            return Ok(effort.spend(passed).then_some((at, last)));
        }
        progress.advance(0)?;
        if found.is_some() || !effort.spend(passed) || part.len() <= PREFIX.len() {
            return Ok(None);
        }
        // A magic may start in the last bytes.
        from += passed - PREFIX.len() as u64;
    }
    Ok(None)
}

/// The first position in `from..to` where a frame starts whose header is sound and fits what follows it.
pub(super) fn next_frame<S: Source>(
    window: &mut Window<S>,
    mut from: u64,
    to: u64,
    effort: &mut Effort,
    progress: &mut Progress,
) -> Result<Option<u64>> {
    while let Some((at, last)) = next_magic(window, from, to, effort, progress)? {
        if last == FRAME && is_frame(window, at, effort, progress)? {
            return Ok(Some(at));
        }
        from = at + 1;
    }
    Ok(None)
}

/// Whether a frame starts here. One byte of a header is its check, so that more is asked for than a header.
fn is_frame<S: Source>(window: &mut Window<S>, at: u64, effort: &mut Effort, progress: &mut Progress) -> Result<bool> {
    effort.spend(64);
    let Ok(start) = about(Start::read(window, at))? else { return Ok(false) };
    match start {
        Start::Skippable(header, data) => {
            Ok(effort.spend(header.len.min(window.size())) && about(skip(window, header, data, progress))?.is_ok())
        }
        Start::Frame(head) => {
            effort.spend(head.body - at);
            if head.header.layout != Layout::Blocks {
                return about(single(window, &head)).map(|found| found.is_ok());
            }
            let (mut walk, body) = (Walk::new(&head.header, head.tag), head.body);
            let first = about(window.parse(body, |part| walk.read_header(part, body)))?;
            Ok(matches!(first, Ok((Some(_), _))))
        }
    }
}

/// The position in the content of the segment of this frame whose header is here. A position that no source of this size
/// could hold is not one.
pub(super) fn segment_here<S: Source>(window: &mut Window<S>, head: &Head, at: u64) -> Result<Option<u64>> {
    let Ok((Segment { tag, raw_offset }, _)) = about(window.parse(at, |part| Segment::parse(part, at)))? else {
        return Ok(None);
    };
    let is_ours = tag == head.tag
        && raw_offset.is_multiple_of(1 << head.header.shape.segment_log)
        && head.header.length.is_none_or(|length| raw_offset < length)
        && plausible(raw_offset, window.size() - head.body);
    Ok(is_ours.then_some(raw_offset))
}

/// A search for the next sync of a frame.
pub(super) struct Hunt<'a, S> {
    pub(super) window: &'a mut Window<S>,
    pub(super) head: &'a Head,
    pub(super) effort: &'a mut Effort,
    /// The first frame that was found: another one, or one in the stored content of this one.
    pub(super) nested: Option<u64>,
}

impl<S: Source> Hunt<'_, S> {
    /// Searches from the start of a part of the frame on. Stored blocks whose checksum holds are passed over: a frame in
    /// them is content.
    pub(super) fn behind(&mut self, part: &Part, progress: &mut Progress) -> Result<Option<Sync>> {
        let checksums = self.head.header.checksums;
        let mut blocks = Blocks::new(self.head, part);
        // Behind the part's own header, which would be found again.
        let mut from = part.at + u64::from(self.head.header.shape.segment_log != 0);
        let mut at = part.at;
        while at < part.stop {
            let Some(block) = blocks.next(self.window)? else { break };
            let n = u64::from(block.coded_len);
            let is_sound = match checksums {
                // Nothing tells, but the walk led past it.
                false => blocks.at < part.stop,
                true if block.kind.is_coded() => false,
                true => {
                    let payload = self.window.exactly(blocks.payload, n, "a block's payload")?;
                    self.effort.spend(n) && stored_is_sound(&block, payload) == Some(true)
                }
            };
            if is_sound {
                if let Some(sync) = self.between(from, block.at, progress)? {
                    return Ok(Some(sync));
                }
                from = blocks.at;
            }
            at = blocks.at;
        }
        Ok(self.between(from, u64::MAX, progress)?.or(self.nested.map(Sync::Frame)))
    }

    /// Searches in `from..to`.
    pub(super) fn between(&mut self, mut from: u64, to: u64, progress: &mut Progress) -> Result<Option<Sync>> {
        let log = self.head.header.shape.segment_log;
        while let Some((at, last)) = next_magic(self.window, from, self.limit().min(to), self.effort, progress)? {
            from = at + 1;
            if last == SEGMENT {
                if log != 0 && segment_here(self.window, self.head, at)?.is_some() {
                    return Ok(Some(Sync::Segment(at)));
                }
                self.effort.spend(16);
                continue;
            }
            if let Some(content) = self.index_here(at)? {
                return Ok(Some(Sync::Index(at, content)));
            }
            if self.nested.is_none() && is_frame(self.window, at, self.effort, progress)? {
                self.nested = Some(at);
                // Its segments could not be told from those of this frame.
                let same =
                    matches!(about(Start::read(self.window, at))?, Ok(Start::Frame(next)) if next.tag == self.head.tag);
                if same || log == 0 {
                    return Ok(Some(Sync::Frame(at)));
                }
            }
        }
        Ok(None)
    }

    /// Where the search ends. The rest of this frame is not far behind a frame in its stored content: the next segment
    /// header, or the one after that.
    fn limit(&self) -> u64 {
        let segment = 1u64 << self.head.header.shape.segment_log;
        self.nested.map_or(u64::MAX, |at| at.saturating_add(segment.saturating_mul(2)).saturating_add(segment / 64))
    }

    /// The length of the content that the index of this frame states, if it is here.
    fn index_here(&mut self, at: u64) -> Result<Option<u64>> {
        let Ok(Start::Skippable(header, data)) = about(Start::read(self.window, at))? else { return Ok(None) };
        let len = header.len.saturating_add(data - at);
        if header.kind != SKIPPABLE_INDEX
            || header.len < INDEX_FOOTER_LEN as u64
            || !self.effort.spend(len.min(1 << 40))
        {
            return Ok(None);
        }
        let bytes = match self.window.exactly(at, len, "an index") {
            Err(e) if is_about_content(&e) => return Ok(None),
            bytes => bytes?,
        };
        let Ok(index) = about(Index::read(bytes, at))? else { return Ok(None) };
        let is_ours = index.tag == self.head.tag
            && index.segment_log == self.head.header.shape.segment_log
            && self.head.at.checked_add(index.frame_len) == Some(at);
        Ok(is_ours.then_some(index.content_len))
    }
}
