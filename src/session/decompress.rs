//! Decompression of frames.

use super::Session;
use super::driver::{Decode, Observe, drive};
use super::guests::Guests;
use super::progress::{Progress, ProgressFn};
use crate::coder::{RANS_BLOCK, RangeDecoder, RansDecoder};
use crate::container::{
    Block, BlockKind, Body, Coder, Frame, Header, HeaderV3, MethodRef, Piece, Shape, block_crc, frames,
};
use crate::error::{Error, Result, Status, fail, shortened};
use crate::method::{registered_method, resolve};
use crate::numeric::NUMERICS_VERSION;
use crate::predict::{Predictor, State};
use crate::snapshot::hex;

/// The length of the content of all frames of `src`. Their structure is checked; nothing is decoded.
///
/// # Errors
/// `Format`, `Truncated`, `Corrupt`.
pub fn decompressed_size(src: &[u8]) -> Result<u64> {
    let mut total = 0u64;
    for frame in frames(src) {
        let frame = frame?;
        total = match total.checked_add(frame.length) {
            Some(total) => total,
            None => fail!(Corrupt, "the frame at byte {} states {} bytes after {total}", frame.at, frame.length),
        };
    }
    Ok(total)
}

/// Checks that this library has a frame's version of the arithmetic.
pub(super) fn check_numerics(version: u16) -> Result<()> {
    if version != NUMERICS_VERSION {
        fail!(Numerics, "the frame has version {version} of the arithmetic; this library has {NUMERICS_VERSION}");
    }
    Ok(())
}

impl Session {
    /// Decompresses all frames of `src`, one after the other, to the start of `dst`. Returns the total length.
    ///
    /// A frame of a registered method that needs no weights file and no base is decoded whatever the handle's method and
    /// base are, within the limits of the handle.
    ///
    /// # Errors
    /// `Format`, `Truncated`, `Corrupt`, `Numerics`, `Mismatch`, `Method` (the work limit) and `Memory` (the memory
    /// limit) before anything is decoded, `BufferTooSmall` with the length that is needed, `Memory`, `Cancelled`.
    pub fn decompress<'p>(
        &mut self,
        src: &[u8],
        dst: &mut [u8],
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<usize> {
        let total = decompressed_size(src)?;
        let mut guests = Guests::default();
        for frame in frames(src) {
            let frame = frame?;
            match self.origin_of(&frame)? {
                Origin::Base | Origin::Initial => self.check_work()?,
                Origin::Registered(method) => guests.admit(self, method, frame.at as u64, 0)?,
            }
        }
        let Some(dst) = usize::try_from(total).ok().and_then(|n| dst.get_mut(..n)) else {
            return Err(Error::buffer_too_small(dst.len(), total));
        };
        let mut progress = Progress::start(progress, total)?;
        let mut rest = &mut *dst;
        for frame in frames(src) {
            let frame = frame?;
            let (content, after) = rest.split_at_mut(frame.length as usize);
            // An input may consist of very many empty frames, so these copy no state, and the call can be cancelled
            // between them.
            progress.advance(0)?;
            let decoded = match self.origin_of(&frame)? {
                _ if content.is_empty() => check_crc(frame.crc, crc32fast::hash(content)),
                Origin::Base => self.decode(&frame, content, false, &mut progress),
                Origin::Initial => self.decode(&frame, content, true, &mut progress),
                Origin::Registered(method) => {
                    guests.of(self, method).and_then(|guest| guest.decode(&frame, content, false, &mut progress))
                }
            };
            decoded.map_err(|e| e.within(format_args!("frame at byte {}", frame.at)))?;
            rest = after;
        }
        Ok(dst.len())
    }

    /// Decodes a frame of this handle's method from its base, or from the initial state.
    fn decode(&mut self, frame: &Frame, content: &mut [u8], initial: bool, progress: &mut Progress) -> Result<()> {
        self.with_scratch(|session, scratch| {
            let start = if initial { &session.initial } else { session.base_state() };
            if initial {
                scratch.start_at(start);
            }
            decode(scratch, start, frame, content, progress)
        })
    }

    /// As [`Session::origin`], of any frame.
    fn origin_of(&self, frame: &Frame) -> Result<Origin> {
        match &frame.header {
            Header::V3(header) => self.origin(header, frame.at as u64),
            Header::V2(_) => Ok(Origin::Base),
        }
    }

    /// From which state a frame at byte `at` is decoded. It is checked that its version of the arithmetic, its method,
    /// weights and base are there, and that this library decodes its shape.
    pub(super) fn origin(&self, header: &HeaderV3, at: u64) -> Result<Origin> {
        check_numerics(header.numerics)?;
        let text = resolve(&header.method)?;
        if header.shape.lanes_log != 0 {
            let lanes = 1 << header.shape.lanes_log;
            fail!(Format, "the frame at byte {at} has {lanes} lanes; this library decodes 1");
        }
        // A registered method needs no weights file.
        let registered = match header.method {
            MethodRef::Registered(id) if header.base.is_none() && header.fingerprint.is_none() => registered_method(id),
            _ => None,
        };
        if text != self.identity.canonical {
            if let Some(method) = registered {
                return Ok(Origin::Registered(method));
            }
            let text = shortened(text);
            fail!(
                Mismatch,
                "the frame at byte {at} is of method \"{text}\", the handle has {}",
                self.identity.describe()
            );
        }
        let describe = |id: Option<&[u8]>| id.map_or("none".to_owned(), hex);
        let own = self.identity.fingerprint.as_ref().map(|f| &f[..8]);
        if header.fingerprint.as_ref().map(|f| &f[..]) != own {
            let theirs = describe(header.fingerprint.as_ref().map(|f| &f[..]));
            fail!(Mismatch, "the frame at byte {at} needs weights {theirs}, the handle has {}", describe(own));
        }
        let own = self.base.as_ref().map(|b| b.id());
        if header.base != own {
            if registered.is_some() {
                return Ok(Origin::Initial);
            }
            let [theirs, own] = [&header.base, &own].map(|id| describe(id.as_ref().map(|id| &id[..])));
            fail!(Mismatch, "the frame at byte {at} needs base {theirs}, the handle has {own}");
        }
        Ok(Origin::Base)
    }
}

/// The state from which a frame is decoded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// The handle's base.
    Base,
    /// The initial state of the handle's method.
    Initial,
    /// The initial state of another method, which is registered.
    Registered(&'static str),
}

/// Decodes a frame into a buffer of its length. Its structure was checked. The predictor is in the state `start`.
fn decode(
    predictor: &mut Predictor,
    start: &State,
    frame: &Frame,
    content: &mut [u8],
    progress: &mut Progress,
) -> Result<()> {
    let decoded = decode_body(predictor, start, frame, content, progress);
    let checked = decoded.and_then(|()| check_crc(frame.crc, crc32fast::hash(content)));
    checked.map_err(|e| match (&frame.header, e.status()) {
        // A version 2 frame names no method, so a wrong method looks like damage.
        (Header::V2(_), Status::Corrupt) => Error::new(
            Status::Corrupt,
            format!("{e} (version 2 names no method: the frame is damaged, or another method or base made it)"),
        ),
        _ => e,
    })
}

fn decode_body(
    predictor: &mut Predictor,
    start: &State,
    frame: &Frame,
    content: &mut [u8],
    progress: &mut Progress,
) -> Result<()> {
    let (coder, length) = (frame.header.coder(), content.len() as u64);
    let shape = match &frame.header {
        Header::V3(header) => header.shape,
        Header::V2(_) => Shape::default(),
    };
    predictor.begin_stream(Some(shape.segment_len(length, 0)));
    match &frame.body {
        Body::Whole(payload) => symbols(predictor, coder, payload, content, progress)?,
        Body::Parts(parts) => {
            for (payload, raw) in parts.clone().zip(content.chunks_mut(RANS_BLOCK)) {
                symbols(predictor, coder, payload, raw, progress)?;
            }
        }
        Body::Single(block) => decode_block(predictor, coder, block, content, progress)?,
        Body::Blocks(pieces) => {
            let (mut rest, mut segment_at) = (&mut *content, None);
            for piece in pieces.clone() {
                match piece {
                    Piece::Segment(segment) => {
                        if segment.raw_offset > 0 {
                            predictor.start_at(start);
                            predictor.begin_stream(Some(shape.segment_len(length, segment.raw_offset)));
                        }
                        segment_at = Some(segment.raw_offset);
                    }
                    Piece::Block(block) => {
                        let (raw, after) = rest.split_at_mut(block.raw_len as usize);
                        decode_block(predictor, coder, &block, raw, progress)
                            .map_err(|e| e.within(format_args!("block at byte {}", block.at)))
                            .map_err(|e| match segment_at {
                                Some(at) => e.within(format_args!("segment of content byte {at}")),
                                None => e,
                            })?;
                        rest = after;
                    }
                }
            }
        }
    }
    Ok(())
}

pub(super) fn decode_block(
    predictor: &mut Predictor,
    coder: Coder,
    block: &Block,
    raw: &mut [u8],
    progress: &mut Progress,
) -> Result<()> {
    match block.kind {
        BlockKind::Coded => symbols(predictor, coder, block.payload, raw, progress)?,
        BlockKind::CodedAlone => {
            if !predictor.may_bypass_networks() {
                fail!(Corrupt, "a block bypasses networks that the method may not bypass");
            }
            predictor.bypass_networks(true);
            symbols(predictor, coder, block.payload, raw, progress)?;
            predictor.bypass_networks(false);
        }
        BlockKind::StoredLearned => {
            raw.copy_from_slice(block.payload);
            predictor.bypass_networks(predictor.may_bypass_networks());
            drive(predictor, &mut Observe::new(raw), progress)?;
            predictor.bypass_networks(false);
        }
        BlockKind::StoredSkipped => {
            raw.copy_from_slice(block.payload);
            progress.advance(raw.len() as u64)?;
        }
    }
    check_crc(block.crc, block_crc(block.kind, raw))
}

/// Decodes one payload.
fn symbols(
    predictor: &mut Predictor,
    coder: Coder,
    payload: &[u8],
    raw: &mut [u8],
    progress: &mut Progress,
) -> Result<()> {
    match coder {
        Coder::Range => {
            let mut port = Decode::new(raw, RangeDecoder::new(payload));
            drive(predictor, &mut port, progress)?;
            port.finish()
        }
        Coder::Rans => {
            let mut port = Decode::new(raw, RansDecoder::new(payload));
            drive(predictor, &mut port, progress)?;
            port.finish()
        }
    }
}

pub(super) fn check_crc(expected: Option<u32>, found: u32) -> Result<()> {
    match expected {
        Some(expected) if expected != found => {
            fail!(Corrupt, "the content is damaged: CRC-32 {found:08x}, not {expected:08x}")
        }
        _ => Ok(()),
    }
}
