//! Decompression of frames.

use super::Session;
use super::driver::{Decode, Observe, drive};
use super::progress::{Progress, ProgressFn};
use crate::coder::{RANS_BLOCK, RangeDecoder, RansDecoder};
use crate::container::{Block, BlockKind, Body, Coder, Frame, Version, block_crc, frames};
use crate::error::{Error, Result, Status, fail, shortened};
use crate::method::resolve;
use crate::numeric::NUMERICS_VERSION;
use crate::predict::Predictor;
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
    /// # Errors
    /// `Format`, `Truncated`, `Corrupt`, `Numerics`, `Mismatch` and `Method` (the work limit) before anything is
    /// decoded, `BufferTooSmall` with the length that is needed, `Memory`, `Cancelled`.
    pub fn decompress<'p>(
        &mut self,
        src: &[u8],
        dst: &mut [u8],
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<usize> {
        let total = decompressed_size(src)?;
        for frame in frames(src) {
            self.check(&frame?)?;
        }
        self.check_work()?;
        let Some(dst) = usize::try_from(total).ok().and_then(|n| dst.get_mut(..n)) else {
            return Err(Error::buffer_too_small(dst.len(), total));
        };
        self.with_scratch(|session, scratch| {
            let mut progress = Progress::start(progress, total)?;
            let mut rest = &mut *dst;
            for frame in frames(src) {
                let frame = frame?;
                let (content, after) = rest.split_at_mut(frame.length as usize);
                // An input may consist of very many empty frames, so these copy no state, and the call can be cancelled
                // between them.
                progress.advance(0)?;
                if !content.is_empty() {
                    scratch.restore(session.base_state())?;
                    scratch.begin_stream(Some(frame.length));
                }
                decode(scratch, &frame, content, &mut progress)
                    .map_err(|e| e.within(format_args!("frame at byte {}", frame.at)))?;
                rest = after;
            }
            Ok(())
        })?;
        Ok(dst.len())
    }

    /// Checks that a frame is of this handle's method, weights and base.
    fn check(&self, frame: &Frame) -> Result<()> {
        let Version::V3 { numerics, method, fingerprint, base, .. } = &frame.header.version else { return Ok(()) };
        check_numerics(*numerics)?;
        let (text, at) = (resolve(method)?, frame.at);
        if text != self.identity.canonical {
            let text = shortened(text);
            fail!(
                Mismatch,
                "the frame at byte {at} is of method \"{text}\", the handle has {}",
                self.identity.describe()
            );
        }
        let describe = |id: Option<&[u8]>| id.map_or("none".to_owned(), hex);
        let own = self.identity.fingerprint.as_ref().map(|f| &f[..8]);
        if fingerprint.as_ref().map(|f| &f[..]) != own {
            let theirs = describe(fingerprint.as_ref().map(|f| &f[..]));
            fail!(Mismatch, "the frame at byte {at} needs weights {theirs}, the handle has {}", describe(own));
        }
        let own = self.base.as_ref().map(|b| b.id());
        if *base != own {
            let [theirs, own] = [base, &own].map(|id| describe(id.as_ref().map(|id| &id[..])));
            fail!(Mismatch, "the frame at byte {at} needs base {theirs}, the handle has {own}");
        }
        Ok(())
    }
}

/// Decodes a frame into a buffer of its length. Its structure was checked.
fn decode(predictor: &mut Predictor, frame: &Frame, content: &mut [u8], progress: &mut Progress) -> Result<()> {
    let decoded = decode_body(predictor, frame, content, progress);
    let checked = decoded.and_then(|()| check_crc(frame.crc, crc32fast::hash(content)));
    checked.map_err(|e| match (&frame.header.version, e.status()) {
        // A version 2 frame names no method, so a wrong method looks like damage.
        (Version::V2, Status::Corrupt) => Error::new(
            Status::Corrupt,
            format!("{e} (version 2 names no method: the frame is damaged, or another method or base made it)"),
        ),
        _ => e,
    })
}

fn decode_body(predictor: &mut Predictor, frame: &Frame, content: &mut [u8], progress: &mut Progress) -> Result<()> {
    match &frame.body {
        Body::Whole(payload) => symbols(predictor, frame.header.coder, payload, content, progress)?,
        Body::Parts(parts) => {
            for (payload, raw) in parts.clone().zip(content.chunks_mut(RANS_BLOCK)) {
                symbols(predictor, frame.header.coder, payload, raw, progress)?;
            }
        }
        Body::Blocks(blocks) => {
            let mut rest = &mut *content;
            for block in blocks.clone() {
                let (raw, after) = rest.split_at_mut(block.raw_len as usize);
                decode_block(predictor, frame.header.coder, &block, raw, progress)
                    .map_err(|e| e.within(format_args!("block at byte {}", block.at)))?;
                rest = after;
            }
        }
    }
    Ok(())
}

fn decode_block(
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

fn check_crc(expected: Option<u32>, found: u32) -> Result<()> {
    match expected {
        Some(expected) if expected != found => {
            fail!(Corrupt, "the content is damaged: CRC-32 {found:08x}, not {expected:08x}")
        }
        _ => Ok(()),
    }
}
