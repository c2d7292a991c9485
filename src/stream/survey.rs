//! What is left of the frames of a damaged source: where their segments are, by headers alone. Nothing is decoded.
//!
//! A frame is walked from its header. Where the walk breaks, it goes on at the next *sync*: a segment header or the index
//! of the same frame, or else the header of another frame.

use super::frames::{End, Head, SingleBlock, Start, index_len, is_about_content, single, skip};
use super::hunt::{Effort, Hunt, Sync, next_frame, segment_here};
use super::parts::{Blocks, Part, about};
use super::source::{Source, Window};
use crate::coder::varint;
use crate::container::{END_BLOCK, HeaderV3, Layout, MAX_TRAILER_LEN, plausible, trailer};
use crate::error::{Error, Result, fail};
use crate::numeric::buffer::grow;
use crate::session::Progress;

/// What a frame of several blocks consists of.
#[derive(Debug)]
pub(super) struct Parts {
    /// In the order of the content. No two start at the same position.
    pub(super) list: Vec<Part>,
    /// The CRC-32 of the content, if the whole frame fits together.
    pub(super) crc: Option<u32>,
    /// Whether positions of segments were not believed, because the coded bytes that are lost cannot hold what is missing
    /// before them.
    pub(super) has_doubts: bool,
}

/// The body of a frame.
#[derive(Debug)]
pub(super) enum Body {
    /// One block; the reason if it was not found.
    Single(std::result::Result<SingleBlock, Error>),
    Parts(Parts),
}

/// A frame.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) head: Head,
    pub(super) body: Body,
    /// The length of the content, if anything sound states it.
    pub(super) content: Option<u64>,
    /// The position behind the frame.
    end: u64,
}

/// What comes next in a source.
#[derive(Debug)]
pub(super) enum Found {
    Frame(Box<Survey>),
    /// Bytes that are no frame, and why.
    Unknown(Error),
}

/// A pass over a source.
#[derive(Debug)]
pub(super) struct Scan<'w, S> {
    pub(super) window: &'w mut Window<S>,
    pub(super) effort: Effort,
    at: u64,
}

impl<'w, S: Source> Scan<'w, S> {
    /// Starts at the start of the source.
    pub(super) fn new(window: &'w mut Window<S>) -> Self {
        let effort = Effort::new(window.size());
        Self { window, effort, at: 0 }
    }

    /// The next frame, or bytes that are none. Skippable frames are skipped. `None` at the end.
    ///
    /// # Errors
    /// `Memory`, `Cancelled`, `Numerics`; those of the source.
    pub(super) fn next(&mut self, progress: &mut Progress) -> Result<Option<Found>> {
        let size = self.window.size();
        while self.at < size {
            progress.advance(0)?;
            let unknown = match Start::read(self.window, self.at) {
                Ok(Start::Frame(head)) => {
                    let survey = self.frame(head, progress)?;
                    self.at = survey.end;
                    return Ok(Some(Found::Frame(Box::new(survey))));
                }
                Ok(Start::Skippable(header, data)) => {
                    let end = data.saturating_add(header.len);
                    match skip(self.window, header, data, progress) {
                        Ok(end) => {
                            self.at = end;
                            continue;
                        }
                        // It has no content, so that only its length matters. What follows may confirm it.
                        Err(e) if is_about_content(&e) && self.is_boundary(end)? => {
                            self.at = end;
                            continue;
                        }
                        Err(e) => e,
                    }
                }
                Err(e) => e,
            };
            if !is_about_content(&unknown) {
                return Err(unknown);
            }
            let next = next_frame(self.window, self.at + 1, size, &mut self.effort, progress)?.unwrap_or(size);
            let start = std::mem::replace(&mut self.at, next);
            if about(index_len(self.window, next))?.is_ok_and(|len| len.map(u64::from) == Some(next - start)) {
                // An index whose start is damaged has no content either.
                continue;
            }
            return Ok(Some(Found::Unknown(unknown)));
        }
        Ok(None)
    }

    /// Whether a frame starts at this position, or the source ends there.
    fn is_boundary(&mut self, at: u64) -> Result<bool> {
        match at == self.window.size() {
            true => Ok(true),
            false => about(Start::read(self.window, at)).map(|start| start.is_ok()),
        }
    }

    fn frame(&mut self, head: Head, progress: &mut Progress) -> Result<Survey> {
        if head.header.layout == Layout::Blocks { self.parts(head, progress) } else { self.single(head, progress) }
    }

    fn single(&mut self, head: Head, progress: &mut Progress) -> Result<Survey> {
        let found = about(single(self.window, &head))?;
        let mut end = None;
        if let Ok(block) = &found {
            let is_sound = self.is_boundary(block.end)? || self.is_stored_and_sound(block, head.header.checksums)?;
            end = is_sound.then_some(block.end);
        }
        let size = self.window.size();
        let end = match end {
            Some(end) => end,
            None => next_frame(self.window, head.body, size, &mut self.effort, progress)?.unwrap_or(size),
        };
        Ok(Survey { content: head.header.length, body: Body::Single(found), head, end })
    }

    fn is_stored_and_sound(&mut self, block: &SingleBlock, checksums: bool) -> Result<bool> {
        let len = u64::from(block.header.coded_len);
        if block.header.kind.is_coded() || !checksums || !self.effort.spend(len) {
            return Ok(false);
        }
        let payload = self.window.exactly(block.payload, len, "a payload")?;
        Ok(Some(crc32fast::hash(payload)) == block.crc)
    }

    /// Finds the segments of a frame.
    fn parts(&mut self, head: Head, progress: &mut Progress) -> Result<Survey> {
        let is_segmented = head.header.shape.segment_log != 0;
        let (mut list, mut highest) = (Vec::new(), 0);
        // Where the walk goes on, and where to search if nothing is there.
        let (mut at, mut content, mut trailer) = (head.body, head.header.length, None);
        let end = loop {
            let raw = if is_segmented { segment_here(self.window, &head, at)? } else { Some(0) };
            let mut broken = None;
            if let Some(raw) = raw {
                let (part, has_end_block) = self.part(&head, raw, at, progress)?;
                highest = highest.max(part.raw_end);
                grow(&mut list, 1, "the segments of a frame")?;
                list.push(part);
                broken = Some(part);
                at = part.stop;
                if part.is_closed && !has_end_block {
                    continue;
                }
            }
            if let Ok((end, crc)) = about(self.end(&head, at, highest))? {
                if let Some(last) = list.last_mut() {
                    last.is_closed = true;
                }
                content = Some(end.content);
                trailer = Some(crc);
                break end.at;
            }
            if let Some(last) = list.last_mut().filter(|last: &&mut Part| last.stop == at) {
                last.is_misfit = self.ends_here(&head, at)?;
            }
            let mut hunt = Hunt { window: self.window, head: &head, effort: &mut self.effort, nested: None };
            let sync = match broken {
                Some(part) => hunt.behind(&part, progress)?,
                None => hunt.between(at, u64::MAX, progress)?.or(hunt.nested.map(Sync::Frame)),
            };
            match sync {
                Some(Sync::Segment(next)) => at = next,
                Some(Sync::Index(next, len)) => {
                    content = content.or(Some(len));
                    break next;
                }
                Some(Sync::Frame(next)) => break next,
                None => break self.window.size(),
            }
        };
        let has_doubts = settle(&mut list, &head.header, content, end - head.body);
        let crc = trailer.flatten();
        Ok(Survey { head, body: Body::Parts(Parts { list, crc, has_doubts }), content, end })
    }

    /// Walks over the blocks of a segment that starts at content byte `raw` and position `at`. Returns whether the end of
    /// the frame's blocks follows.
    fn part(&mut self, head: &Head, raw: u64, at: u64, progress: &mut Progress) -> Result<(Part, bool)> {
        let log = head.header.shape.segment_log;
        let mut part =
            Part { raw, raw_end: raw, at, stop: at, is_closed: false, fits: false, expected: raw, is_misfit: false };
        let mut blocks = Blocks::new(head, &part);
        loop {
            progress.advance(0)?;
            self.effort.spend(16);
            match about(blocks.next(self.window))? {
                Ok(Some(block)) => {
                    let room = self.window.check_room(blocks.payload, u64::from(block.coded_len), "a block's payload");
                    if room.is_err() || head.header.length.is_some_and(|length| blocks.walk.raw() > length) {
                        return Ok((part, false));
                    }
                    (part.raw_end, part.stop) = (blocks.walk.raw(), blocks.at);
                }
                Ok(None) => return Ok((part, true)),
                Err(_) => {
                    part.is_closed =
                        log != 0 && part.stop > at && segment_here(self.window, head, part.stop)?.is_some();
                    return Ok((part, false));
                }
            }
            if log != 0 && part.raw_end.is_multiple_of(1 << log) {
                part.is_closed = segment_here(self.window, head, part.stop)?.is_some();
                // Otherwise the end of the frame may follow.
                return Ok((part, false));
            }
        }
    }

    /// Whether an end block is here and, behind a trailer of any content, a frame or the end of the source.
    fn ends_here(&mut self, head: &Head, at: u64) -> Result<bool> {
        let part = self.window.part(at, 1 + MAX_TRAILER_LEN as u64)?;
        let Some((&END_BLOCK, trailer)) = part.split_first() else { return Ok(false) };
        let mut len = if head.header.checksums { 4 } else { 0 };
        if head.header.length.is_none() {
            let Ok((_, n)) = varint::get(trailer, 64) else { return Ok(false) };
            len += n;
        }
        self.is_boundary(at + 1 + len as u64)
    }

    /// Reads the end block and the trailer of a frame with `content` bytes of content.
    fn end(&mut self, head: &Head, at: u64, content: u64) -> Result<(End, Option<u32>)> {
        let at = match self.window.part(at, 1)?.first() {
            Some(&END_BLOCK) => at + 1,
            _ => fail!(Corrupt, "no end block is at byte {at}"),
        };
        let (crc, len) = self.window.parse(at, |part| trailer(part, at, &head.header, head.at, content))?;
        Ok((End { at: at + len as u64, content }, crc))
    }
}

/// Sorts the segments, drops those that come twice, and decides which are sound in themselves and which are not believed.
/// The frame has `coded` bytes behind its header. Returns whether some are not believed.
fn settle(list: &mut Vec<Part>, header: &HeaderV3, content: Option<u64>, coded: u64) -> bool {
    let log = header.shape.segment_log;
    for part in &mut *list {
        let whole = if log == 0 { u64::MAX } else { part.raw.saturating_add(1 << log) };
        // Without a known length only a full segment can be told from a part of one.
        let expected = content.map_or(whole, |content| content.min(whole));
        part.expected = expected;
        part.fits = part.is_closed && part.raw_end == expected;
        part.is_misfit = (part.is_misfit || part.is_closed) && part.raw_end != expected;
    }
    list.sort_unstable_by_key(|part| (part.raw, !part.fits, part.at));
    list.dedup_by_key(|part| part.raw);
    list.retain(|part| content.is_none_or(|content| part.raw < content));
    let sound: u64 = list.iter().filter(|part| part.fits).map(|part| part.stop - part.at).sum();
    let (mut missing, mut before) = (0u64, 0);
    for i in 0..list.len() {
        let part = list[i];
        missing = missing.saturating_add(part.raw.saturating_sub(before));
        if !plausible(missing, coded.saturating_sub(sound)) {
            list.truncate(i);
            return true;
        }
        before = part.raw_end;
    }
    false
}
