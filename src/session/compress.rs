//! Compression of a content into one frame.

use super::Session;
use super::block::BlockEncoder;
use super::driver::{Encode, drive};
use super::params::Param;
use super::progress::{Progress, ProgressFn};
use crate::coder::{Encoder, RANS_BLOCK, RangeEncoder, RansEncoder};
use crate::container::{
    Coder, END_BLOCK, Header, MAX_BLOCK_OVERHEAD, MAX_HEADER_LEN, MIN_BLOCK_LOG, Streamed, Version, block_crc,
    write_block_header,
};
use crate::error::{Error, Result};
use crate::method::reference;
use crate::numeric::NUMERICS_VERSION;
use crate::numeric::buffer::reserved;
use crate::predict::Predictor;

/// The most bytes that a version 3 frame of `len` bytes of content takes, whatever the method and parameters; `None` if
/// that overflows a `usize`.
///
/// It is the length of a frame of stored blocks and an eighth of the content more. Version 2 has no stored blocks, so
/// its frames may be longer than this if the method predicts the content badly.
pub fn compress_bound(len: usize) -> Option<usize> {
    let blocks = (len >> MIN_BLOCK_LOG).checked_add(1)?;
    let overhead = blocks.checked_mul(MAX_BLOCK_OVERHEAD)?.checked_add(MAX_HEADER_LEN + 1)?;
    len.checked_add(overhead)?.checked_add(len / 8)
}

/// A destination that counts on after it is full, so that an error can state the length that is needed.
pub(super) struct Sink<'a> {
    dst: &'a mut [u8],
    len: usize,
}

impl<'a> Sink<'a> {
    pub(super) fn new(dst: &'a mut [u8]) -> Self {
        Self { dst, len: 0 }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        if let Some(to) = self.dst.get_mut(self.len..).and_then(|rest| rest.get_mut(..bytes.len())) {
            to.copy_from_slice(bytes);
        }
        self.len = self.len.saturating_add(bytes.len());
    }

    pub(super) fn finish(self) -> Result<usize> {
        if self.len > self.dst.len() {
            return Err(Error::buffer_too_small(self.dst.len(), self.len as u64));
        }
        Ok(self.len)
    }
}

impl Session {
    /// Compresses `src` into one frame at the start of `dst`; returns its length.
    ///
    /// # Errors
    /// `BufferTooSmall` with the length that was needed, `Memory`, `Cancelled`.
    pub fn compress<'p>(
        &mut self,
        src: &[u8],
        dst: &mut [u8],
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<usize> {
        let mut sink = Sink::new(dst);
        self.with_scratch(|session, scratch| {
            let mut progress = Progress::start(progress, src.len() as u64)?;
            scratch.begin_stream(Some(src.len() as u64));
            let header = session.header(src);
            let mut bytes = reserved(MAX_HEADER_LEN, "a frame's header")?;
            header.write(&mut bytes);
            sink.put(&bytes);
            match (&header.version, header.coder) {
                (Version::V3 { block_log, .. }, coder) => {
                    let checksums = header.crc != Streamed::Absent;
                    let size = 1 << block_log;
                    match coder {
                        Coder::Range => {
                            session.blocks::<RangeEncoder>(scratch, src, size, checksums, &mut sink, &mut progress)
                        }
                        Coder::Rans => {
                            session.blocks::<RansEncoder>(scratch, src, size, checksums, &mut sink, &mut progress)
                        }
                    }
                }
                (_, Coder::Range) => version_2_range(scratch, src, &mut sink, &mut progress),
                (_, Coder::Rans) => version_2_rans(scratch, src, &mut sink, &mut progress),
            }
        })?;
        sink.finish()
    }

    fn header(&self, src: &[u8]) -> Header {
        let (coder, length) = (self.params.coder(), Streamed::Header(src.len() as u64));
        if self.params.get(Param::Format) == 2 {
            return Header { coder, length, crc: Streamed::Header(crc32fast::hash(src)), version: Version::V2 };
        }
        let checksums = self.params.get(Param::Checksum) != 0;
        let version = Version::V3 {
            numerics: NUMERICS_VERSION,
            method: reference(&self.identity.canonical),
            fingerprint: self.identity.fingerprint.map(|f| std::array::from_fn(|i| f[i])),
            base: self.base.as_ref().map(|b| b.id()),
            block_log: self.params.get(Param::BlockLog) as u8,
        };
        let crc = if checksums { Streamed::Header(crc32fast::hash(src)) } else { Streamed::Absent };
        Header { coder, length, crc, version }
    }

    /// The blocks of a version 3 frame.
    fn blocks<E: Encoder + Default>(
        &mut self,
        scratch: &mut Predictor,
        src: &[u8],
        size: usize,
        checksums: bool,
        sink: &mut Sink,
        progress: &mut Progress,
    ) -> Result<()> {
        let (mut payload, mut bytes) = (Vec::new(), reserved(MAX_BLOCK_OVERHEAD, "a block's header")?);
        for (index, raw) in src.chunks(size).enumerate() {
            // The checkpoint of the first block is the base, unless the beginning of a policy's stream changed it.
            let at_base = index == 0 && !scratch.has_policy();
            match &mut self.checkpoint {
                _ if at_base => {}
                Some(checkpoint) => scratch.save_to(checkpoint),
                None => self.checkpoint = Some(scratch.save(&self.blueprint)?),
            }
            let checkpoint = self.checkpoint.as_ref().filter(|_| !at_base).unwrap_or_else(|| self.base_state());
            payload.clear();
            let kind =
                BlockEncoder { predictor: scratch, raw, checkpoint, payload: &mut payload }.encode::<E>(progress)?;
            let crc = checksums.then(|| block_crc(kind, raw));
            bytes.clear();
            write_block_header(&mut bytes, kind, raw.len() as u32, crc, payload.len());
            sink.put(&bytes);
            sink.put(if kind.is_coded() { &payload } else { raw });
        }
        sink.put(&[END_BLOCK]);
        Ok(())
    }
}

/// The body of a version 2 frame with the range coder: one payload.
fn version_2_range(predictor: &mut Predictor, src: &[u8], sink: &mut Sink, progress: &mut Progress) -> Result<()> {
    let mut encoder = RangeEncoder::default();
    drive(predictor, &mut Encode::new(src, &mut encoder), progress)?;
    let mut payload = Vec::new();
    encoder.finish(&mut payload)?;
    sink.put(&payload);
    Ok(())
}

/// The body of a version 2 frame with rANS: the number of blocks, then the length and payload of each.
fn version_2_rans(predictor: &mut Predictor, src: &[u8], sink: &mut Sink, progress: &mut Progress) -> Result<()> {
    let mut encoder = RansEncoder::default();
    let mut payload = Vec::new();
    sink.put(&(src.len().div_ceil(RANS_BLOCK) as u32).to_le_bytes());
    for part in src.chunks(RANS_BLOCK) {
        payload.clear();
        drive(predictor, &mut Encode::new(part, &mut encoder), progress)?;
        encoder.finish(&mut payload)?;
        sink.put(&(payload.len() as u32).to_le_bytes());
        sink.put(&payload);
    }
    Ok(())
}
