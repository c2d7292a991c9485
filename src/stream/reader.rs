//! Random access to the content of a source of frames.

use super::frames::{Frames, Head, Start, is_about_content, single};
use super::source::{Source, Window};
use crate::container::{Layout, PieceHeader, Walk};
use crate::error::{Result, fail};
use crate::numeric::buffer::grow;
use crate::session::{FrameDecoder, Guests, Param, Progress, ProgressFn, Session};

/// The longest segment that is kept after it was decoded: 16 MiB. Reads that go back in a longer one decode it again from
/// its start.
pub const MAX_KEPT_SEGMENT: u64 = 16 << 20;

/// A reader of the content of a source. Between its calls nothing else may use the session.
#[derive(Debug)]
pub struct Reader<S> {
    window: Window<S>,
    frames: Frames,
    guests: Guests,
    cursor: Option<Cursor>,
    kept: Kept,
    decoded: u64,
}

/// Where decoding goes on.
#[derive(Debug)]
struct Cursor {
    frame: usize,
    head: Head,
    decoder: FrameDecoder,
    walk: Walk,
    /// The position of the next block or segment header in the source.
    at: u64,
}

/// Content that was decoded.
#[derive(Debug, Default)]
struct Kept {
    /// The position of its first byte in the content of the source.
    start: u64,
    bytes: Vec<u8>,
}

impl Kept {
    fn from(&self, offset: u64) -> Option<&[u8]> {
        let skip = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(skip..).filter(|bytes| !bytes.is_empty())
    }
}

impl<S: Source> Reader<S> {
    /// Finds the frames of a source and checks that the session can decode all of them. Decodes nothing.
    ///
    /// # Errors
    /// `Mismatch`, `Method` (the work limit), `Memory`, `Numerics`; `State` for a version 2 frame; `Format`, `Truncated`,
    /// `Corrupt`, `Cancelled`; those of the source.
    pub fn open<'p>(session: &Session, source: S, progress: Option<&'p mut ProgressFn<'p>>) -> Result<Self> {
        let (mut window, mut guests) = (Window::new(source), Guests::default());
        let mut progress = Progress::start(progress, u64::MAX)?;
        let limit = session.params().get(Param::MemoryLimit) as u64;
        let mut before: Option<Head> = None;
        let mut admit = |head: &Head| {
            // Many frames may follow each other, which seldom differ.
            let is_like = |other: &Head| {
                let (a, b) = (&head.header, &other.header);
                (&a.method, a.shape, a.numerics, a.base, a.fingerprint)
                    == (&b.method, b.shape, b.numerics, b.base, b.fingerprint)
            };
            if !before.as_ref().is_some_and(is_like) {
                FrameDecoder::new(session, &mut guests, &head.header, head.at)?;
                before = Some(head.clone());
            }
            Ok(())
        };
        let frames = Frames::find(&mut window, limit, &mut admit, &mut progress)?;
        Ok(Self { window, frames, guests, cursor: None, kept: Kept::default(), decoded: 0 })
    }

    /// The length of the content of all frames.
    pub fn size(&self) -> u64 {
        self.frames.size()
    }

    /// The bytes of content that were decoded since the reader was opened.
    pub fn decoded(&self) -> u64 {
        self.decoded
    }

    /// Reads content from `offset` on to the start of `dst`. Returns how many bytes: fewer than `dst` has room for only at
    /// the end of the content.
    ///
    /// # Errors
    /// `Corrupt`, `Truncated`, `Format`, `Memory`, `Cancelled`; those of the source. `dst` may hold part of the content
    /// then. The reader can go on.
    pub fn read<'p>(
        &mut self,
        session: &mut Session,
        offset: u64,
        dst: &mut [u8],
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<usize> {
        let mut progress = Progress::start(progress, u64::MAX)?;
        let left = self.size().saturating_sub(offset);
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(dst.len());
        let mut done = 0;
        while done < n {
            let at = offset + done as u64;
            if let Some(kept) = self.kept.from(at) {
                let m = kept.len().min(n - done);
                dst[done..][..m].copy_from_slice(&kept[..m]);
                done += m;
                continue;
            }
            let frame = self.frames.at_offset(at);
            self.advance(session, frame, at, &mut progress)
                .map_err(|e| e.within(format_args!("frame at byte {}", self.frames.place(frame).at)))?;
        }
        Ok(n)
    }

    /// Decodes the next block on the way to the content's byte `offset`, which is in this frame and not kept.
    fn advance(&mut self, session: &mut Session, frame: usize, offset: u64, progress: &mut Progress) -> Result<()> {
        let within = offset - self.frames.place(frame).start;
        let cursor = self.cursor.take().filter(|cursor| cursor.leads_to(frame, within));
        let mut cursor = match cursor {
            Some(cursor) => cursor,
            None => self.seek(session, frame, within, progress)?,
        };
        // Without a cursor the next read starts at a segment again.
        if cursor.head.header.layout == Layout::Blocks {
            self.block(session, &mut cursor, progress)?;
            self.cursor = Some(cursor);
        } else {
            self.single(session, &mut cursor, progress)?;
        }
        Ok(())
    }

    /// Goes to the start of the segment of byte `within` of a frame's content.
    fn seek(&mut self, session: &mut Session, frame: usize, within: u64, progress: &mut Progress) -> Result<Cursor> {
        let place = self.frames.place(frame);
        let head = match Start::read(&mut self.window, place.at)? {
            Start::Frame(head) if head.tag == place.tag => head,
            _ => fail!(Corrupt, "the source has changed: another frame is there than before"),
        };
        let mut decoder = FrameDecoder::new(session, &mut self.guests, &head.header, head.at)?;
        let (log, walk) = (head.header.shape.segment_log, Walk::new(&head.header, head.tag));
        if log == 0 || head.header.layout != Layout::Blocks {
            decoder.seek(session, &mut self.guests, 0)?;
            return Ok(Cursor { frame, at: head.body, head, decoder, walk });
        }
        let (segment, raw) = (within >> log, within >> log << log);
        let walk = walk.at_segment(raw);
        let mut at = self.segment_at(frame, segment, &walk);
        if place.by_index && at.as_ref().is_err_and(is_about_content) {
            // The index misled. If the frame itself is damaged, the first error stays.
            match self.frames.rescan(&mut self.window, frame, &head, progress) {
                Ok(()) => at = self.segment_at(frame, segment, &walk),
                Err(e) if is_about_content(&e) => {}
                Err(e) => return Err(e),
            }
        }
        let at = at.map_err(|e| e.within(format_args!("segment of content byte {raw}")))?;
        if raw == 0 {
            // The header of every other segment does it.
            decoder.seek(session, &mut self.guests, 0)?;
        }
        Ok(Cursor { frame, at, head, decoder, walk })
    }

    /// The position of a segment's header, which was found there.
    fn segment_at(&mut self, frame: usize, segment: u64, walk: &Walk) -> Result<u64> {
        let Some(at) = self.frames.segment(frame, segment) else {
            fail!(Corrupt, "the frame has no segment {segment}")
        };
        match self.window.parse(at, |part| walk.clone().read_header(part, at))? {
            (Some(PieceHeader::Segment(_)), _) => Ok(at),
            _ => fail!(Corrupt, "no segment starts at byte {at}"),
        }
    }

    /// Decodes the next block of a frame of several blocks.
    fn block(&mut self, session: &mut Session, cursor: &mut Cursor, progress: &mut Progress) -> Result<()> {
        loop {
            let (at, raw) = (cursor.at, cursor.walk.raw());
            let (piece, len) = self.window.parse(at, |part| cursor.walk.read_header(part, at))?;
            cursor.at += len as u64;
            let header = match piece {
                None => fail!(Corrupt, "the blocks end at byte {at}, after {raw} bytes of content; more was stated"),
                Some(PieceHeader::Segment(segment)) => {
                    cursor.decoder.segment(session, &mut self.guests, segment)?;
                    continue;
                }
                Some(PieceHeader::Block(header)) => header,
            };
            let payload = self.window.exactly(cursor.at, u64::from(header.coded_len), "a block's payload")?;
            let block = header.with(payload);
            let start = self.frames.place(cursor.frame).start;
            let end = self.frames.content_end(cursor.frame);
            let Some(segment) = segment_of(&cursor.head, raw, end - start) else {
                fail!(Corrupt, "the block at byte {at} is behind the stated end of the content");
            };
            self.kept.keep(session, start, raw, segment);
            let (decoder, guests) = (&mut cursor.decoder, &mut self.guests);
            self.kept.append(header.raw_len, |to| decoder.block(session, guests, &block, to, progress))?;
            self.decoded += u64::from(header.raw_len);
            cursor.at += u64::from(header.coded_len);
            return Ok(());
        }
    }

    /// Decodes a frame of one block.
    fn single(&mut self, session: &mut Session, cursor: &mut Cursor, progress: &mut Progress) -> Result<()> {
        let found = single(&mut self.window, &cursor.head)?;
        let payload = self.window.exactly(found.payload, u64::from(found.header.coded_len), "a payload")?;
        let block = found.header.with(payload);
        self.kept.bytes.clear();
        self.kept.start = self.frames.place(cursor.frame).start;
        let (decoder, guests) = (&mut cursor.decoder, &mut self.guests);
        self.kept.append(found.header.raw_len, |to| {
            decoder.block(session, guests, &block, to, progress)?;
            FrameDecoder::check_content(found.crc, crc32fast::hash(to))
        })?;
        self.decoded += u64::from(found.header.raw_len);
        Ok(())
    }
}

/// The start and the length of the segment of content byte `raw`, in a content of `len` bytes. `None` past its end.
fn segment_of(head: &Head, raw: u64, len: u64) -> Option<(u64, u64)> {
    let log = head.header.shape.segment_log;
    let start = if log == 0 { 0 } else { raw >> log << log };
    (raw < len).then(|| (start, head.header.shape.segment_len(len, start)))
}

impl Cursor {
    /// Whether decoding from here on reaches a byte of a frame's content without blocks of other segments.
    fn leads_to(&self, frame: usize, within: u64) -> bool {
        let log = self.head.header.shape.segment_log;
        let start = if log == 0 { 0 } else { within >> log << log };
        self.frame == frame && (start..=within).contains(&self.walk.raw())
    }
}

impl Kept {
    /// Makes room for the block at content byte `raw` of a frame whose content starts at `start`: drops what is kept unless
    /// the block continues it and the whole segment may be kept.
    fn keep(&mut self, session: &Session, start: u64, raw: u64, (segment, len): (u64, u64)) {
        let end = self.start + self.bytes.len() as u64;
        let continues = raw > segment && self.start == start + segment && end == start + raw;
        let fits = len <= MAX_KEPT_SEGMENT && session.has_room_for(len);
        if !(continues && fits) {
            self.bytes.clear();
            self.start = start + raw;
        }
    }

    /// Appends `n` bytes that `fill` writes.
    fn append(&mut self, n: u32, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<()> {
        let before = self.bytes.len();
        grow(&mut self.bytes, n as usize, "decoded content")?;
        self.bytes.resize(before + n as usize, 0);
        let filled = fill(&mut self.bytes[before..]);
        if filled.is_err() {
            self.bytes.truncate(before);
        }
        filled
    }
}
