//! A version 3 frame that is decoded block by block, by streams, readers and salvage.

use super::Session;
use super::decompress::{Origin, check_crc, decode_block};
use super::guests::Guests;
use super::progress::Progress;
use crate::container::{Block, Coder, HeaderV3, Segment, Shape};
use crate::error::{Result, fail};

/// A frame that is being decoded. Between its calls nothing else may use the session, or the guests.
#[derive(Debug)]
pub struct FrameDecoder {
    origin: Origin,
    coder: Coder,
    shape: Shape,
    length: Option<u64>,
    /// The segment of the next block, for messages.
    segment: Option<u64>,
}

impl FrameDecoder {
    /// Checks that this session can decode a frame, whose header is at byte `at`, itself or by a guest, within its limits.
    /// Decodes nothing.
    ///
    /// # Errors
    /// `Numerics`, `Mismatch`, `Method` (the work limit), `Memory` (the memory limit), `Format`.
    pub fn new(host: &Session, guests: &mut Guests, header: &HeaderV3, at: u64) -> Result<Self> {
        let origin = host.origin(header, at)?;
        let buffers = header.shape.max_block().saturating_mul(2);
        match origin {
            Origin::Base | Origin::Initial => {
                host.check_work()?;
                host.check_memory(true, buffers)?;
            }
            Origin::Registered(method) => guests.admit(host, method, at, buffers)?,
        }
        let (coder, shape, length) = (header.coder, header.shape, header.length);
        Ok(Self { origin, coder, shape, length, segment: None })
    }

    /// The session that decodes the frame.
    fn session<'a>(&self, host: &'a mut Session, guests: &'a mut Guests) -> Result<&'a mut Session> {
        match self.origin {
            Origin::Base | Origin::Initial => Ok(host),
            Origin::Registered(method) => guests.of(host, method),
        }
    }

    /// Goes to the start of the segment whose first byte is `raw` of the content; 0 is the start of the frame.
    ///
    /// # Errors
    /// `Memory`; `Corrupt` if the policy needs a length that the header does not state.
    pub fn seek(&mut self, host: &mut Session, guests: &mut Guests, raw: u64) -> Result<()> {
        let session = self.session(host, guests)?;
        let mut scratch = session.take_scratch()?;
        if matches!(self.origin, Origin::Initial) {
            scratch.start_at(&session.initial);
        }
        let len = self.length.map(|len| self.shape.segment_len(len, raw.min(len)));
        let known = if len.is_none() { scratch.check_unknown_length() } else { Ok(()) };
        scratch.begin_stream(len);
        session.scratch = Some(scratch);
        if known.is_err() {
            fail!(Corrupt, "the frame's policy has positions in percent, and its header does not state a length");
        }
        self.segment = None;
        Ok(())
    }

    /// Goes to the start of a segment.
    ///
    /// # Errors
    /// As [`FrameDecoder::seek`].
    pub fn segment(&mut self, host: &mut Session, guests: &mut Guests, segment: Segment) -> Result<()> {
        if segment.raw_offset > 0 {
            self.seek(host, guests, segment.raw_offset)?;
        }
        self.segment = Some(segment.raw_offset);
        Ok(())
    }

    /// Decodes the next block into a buffer of its length, and checks its CRC-32.
    ///
    /// # Errors
    /// `Corrupt`, `Memory`, `Cancelled`. The segment cannot go on then.
    pub fn block(
        &mut self,
        host: &mut Session,
        guests: &mut Guests,
        block: &Block,
        raw: &mut [u8],
        progress: &mut Progress,
    ) -> Result<()> {
        let session = self.session(host, guests)?;
        let Some(scratch) = &mut session.scratch else { fail!(Internal, "no segment begun") };
        decode_block(scratch, self.coder, block, raw, progress)
            .map_err(|e| e.within(format_args!("block at byte {}", block.at)))
            .map_err(|e| match self.segment {
                Some(at) => e.within(format_args!("segment of content byte {at}")),
                None => e,
            })
    }

    /// Checks the CRC-32 of the content.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn check_content(expected: Option<u32>, found: u32) -> Result<()> {
        check_crc(expected, found)
    }
}
