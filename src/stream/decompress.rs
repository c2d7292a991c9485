//! Decompression of a stream of frames.

use super::ports::{Input, Output};
use crate::container::{
    Block, Header, HeaderV3, Layout, Opening, Piece, SkippableHeader, Walk, opening, single, trailer,
};
use crate::error::{Result, fail};
use crate::numeric::buffer::grow_exact;
use crate::numeric::reserve;
use crate::session::{FrameDecoder, Guests, Progress, ProgressFn, Session};

/// The magic and the version of a frame: what is read first.
const FIRST: usize = 5;

/// Where a stream is.
#[derive(Debug)]
enum Phase {
    /// Between frames.
    Start,
    /// In the data of a skippable frame, of which so many bytes are to come.
    Skippable(SkippableHeader, u64),
    /// In a frame.
    Frame(Box<Frame>),
    /// Behind an error.
    Failed,
}

/// A frame that is being decompressed.
#[derive(Debug)]
struct Frame {
    decoder: FrameDecoder,
    header: HeaderV3,
    walk: Walk,
    /// The CRC-32 of the content so far.
    crc: crc32fast::Hasher,
    /// The position of its first byte in the stream.
    at: u64,
    /// Whether the end of its blocks was read.
    has_end_block: bool,
    /// Whether all of it was read.
    is_over: bool,
}

impl Frame {
    fn begin(session: &mut Session, guests: &mut Guests, header: HeaderV3, tag: u32, at: u64) -> Result<Self> {
        let mut decoder = FrameDecoder::new(session, guests, &header, at)?;
        if header.length != Some(0) {
            decoder.seek(session, guests, 0)?;
        }
        let walk = Walk::new(&header, tag);
        Ok(Self { decoder, header, walk, crc: crc32fast::Hasher::new(), at, has_end_block: false, is_over: false })
    }

    /// Decodes a block to `raw`, which is empty.
    fn block(
        &mut self,
        session: &mut Session,
        guests: &mut Guests,
        block: &Block,
        raw: &mut Vec<u8>,
        progress: &mut Progress,
    ) -> Result<()> {
        let len = block.raw_len as usize;
        grow_exact(raw, len, "a block of a stream")?;
        raw.resize(len, 0);
        let decoded = if len == 0 { Ok(()) } else { self.decoder.block(session, guests, block, raw, progress) };
        if let Err(e) = decoded {
            raw.clear();
            return Err(e.within(format_args!("frame at byte {}", self.at)));
        }
        self.crc.update(raw);
        Ok(())
    }

    /// The frame is over; checks the CRC-32 of its content.
    fn end(&mut self, crc: Option<u32>) -> Result<()> {
        self.is_over = true;
        FrameDecoder::check_content(crc, self.crc.clone().finalize())
            .map_err(|e| e.within(format_args!("frame at byte {}", self.at)))
    }
}

/// A stream that is being decompressed. While it is in a frame, nothing else may use the session.
#[derive(Debug)]
pub struct Decompressor {
    guests: Guests,
    /// Input that was not parsed yet.
    pending: Vec<u8>,
    /// The position of its first byte in the stream.
    at: u64,
    /// The bytes that `pending` must have before it is parsed.
    wanted: usize,
    phase: Phase,
    /// The content of the last block.
    raw: Vec<u8>,
    /// How much of it was given.
    given: usize,
    /// All content that was decoded, in bytes.
    decoded: u64,
}

impl Default for Decompressor {
    fn default() -> Self {
        Self {
            guests: Guests::default(),
            pending: Vec::new(),
            at: 0,
            wanted: FIRST,
            phase: Phase::Start,
            raw: Vec::new(),
            given: 0,
            decoded: 0,
        }
    }
}

impl Decompressor {
    /// Whether the stream is between two frames, and all content of those before was given.
    pub fn is_between_frames(&self) -> bool {
        matches!(self.phase, Phase::Start) && self.pending.is_empty() && self.given == self.raw.len()
    }

    /// Takes input and gives content, as far as there is room, up to the end of a frame. Returns how much input is
    /// useful next, in bytes: 0 behind the end of a frame, all of whose content was given.
    ///
    /// # Errors
    /// `State` after an error, and for a version 2 frame; otherwise those of [`Session::decompress`]. The stream cannot go
    /// on then. Content of a damaged block is never given.
    pub fn run<'p>(
        &mut self,
        session: &mut Session,
        input: &mut Input,
        output: &mut Output,
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<usize> {
        if matches!(self.phase, Phase::Failed) {
            fail!(State, "an earlier call of this stream failed: reset it");
        }
        let total = match &self.phase {
            Phase::Frame(frame) => frame.header.length,
            _ => None,
        };
        let result = Progress::resume(progress, self.decoded, total.unwrap_or(u64::MAX))
            .and_then(|mut progress| self.advance(session, input, output, &mut progress))
            .and_then(|hint| reserve::check().map(|()| hint));
        if result.is_err() {
            self.phase = Phase::Failed;
        }
        result
    }

    fn advance(
        &mut self,
        session: &mut Session,
        input: &mut Input,
        output: &mut Output,
        progress: &mut Progress,
    ) -> Result<usize> {
        loop {
            self.given += output.give(&self.raw[self.given..]);
            if self.given < self.raw.len() {
                return Ok(self.wanted.saturating_sub(self.pending.len()).max(1));
            }
            self.raw.clear();
            self.given = 0;
            match &mut self.phase {
                Phase::Skippable(header, left) => {
                    let data = input.take(usize::try_from(*left).unwrap_or(usize::MAX));
                    header.update(data);
                    (*left, self.at) = (*left - data.len() as u64, self.at + data.len() as u64);
                    if *left > 0 {
                        return Ok(usize::try_from(*left).unwrap_or(usize::MAX));
                    }
                    let Phase::Skippable(header, _) = std::mem::replace(&mut self.phase, Phase::Start) else {
                        unreachable!("just matched")
                    };
                    header.check()?;
                    self.wanted = FIRST;
                    return Ok(0);
                }
                Phase::Frame(frame) if frame.is_over => {
                    (self.phase, self.wanted) = (Phase::Start, FIRST);
                    return Ok(0);
                }
                _ => {}
            }
            input.fill(&mut self.pending, self.wanted)?;
            if self.pending.len() < self.wanted {
                let is_at_end = self.at > 0 && self.is_between_frames();
                return Ok(if is_at_end { 0 } else { self.wanted - self.pending.len() });
            }
            match self.parse(session, progress) {
                Ok(used) => {
                    debug_assert_eq!(used, self.pending.len(), "no more was read than was wanted");
                    self.at += used as u64;
                    self.pending.clear();
                    self.wanted = 1;
                }
                Err(e) => match e.wanted().and_then(|wanted| usize::try_from(wanted).ok()) {
                    Some(wanted) => self.wanted = wanted,
                    None => return Err(e),
                },
            }
        }
    }

    /// Reads the next part of the stream from the start of `pending`. Returns its length.
    fn parse(&mut self, session: &mut Session, progress: &mut Progress) -> Result<usize> {
        let Self { guests, pending, at, phase, raw, .. } = self;
        let (part, base) = (&pending[..], *at);
        let Phase::Frame(frame) = phase else {
            let (opening, len) = opening(part, base)?;
            *phase = match opening {
                Opening::Skippable(header) => {
                    let left = header.len;
                    Phase::Skippable(header, left)
                }
                Opening::Frame { header: Header::V3(header), tag } => {
                    Phase::Frame(Box::new(Frame::begin(session, guests, header, tag, base)?))
                }
                Opening::Frame { header: Header::V2(_), .. } => fail!(
                    State,
                    "the frame at byte {base} is of version 2, which does not state where it ends: decompress it in one call"
                ),
            };
            return Ok(len);
        };
        if frame.header.layout != Layout::Blocks {
            let (block, crc, len) = single(part, base, &frame.header, frame.at)?;
            frame.block(session, guests, &block, raw, progress)?;
            frame.end(crc).inspect_err(|_| raw.clear())?;
            self.decoded += u64::from(block.raw_len);
            return Ok(len);
        }
        if frame.has_end_block {
            let (crc, len) = trailer(part, base, &frame.header, frame.at, frame.walk.raw())?;
            frame.end(crc)?;
            return Ok(len);
        }
        let (piece, len) = frame.walk.read(part, base)?;
        if let Some(length) = frame.header.length.filter(|length| *length < frame.walk.raw()) {
            let (at, raw) = (frame.at, frame.walk.raw());
            fail!(Corrupt, "the frame at byte {at} states {length} bytes, its blocks hold {raw} or more");
        }
        match piece {
            None => frame.has_end_block = true,
            Some(Piece::Segment(segment)) => frame.decoder.segment(session, guests, segment)?,
            Some(Piece::Block(block)) => {
                frame.block(session, guests, &block, raw, progress)?;
                self.decoded += u64::from(block.raw_len);
            }
        }
        Ok(len)
    }
}
