//! From bytes to a frame.

use super::driver::{Progress, ProgressFn, Send, drive};
use super::params::Param;
use super::predictor::Predictor;
use super::{Session, method};
use crate::coder::{Encoder, RANS_BLOCK, RangeEncoder, RansEncoder};
use crate::container::{
    BlockKind, Coder, END_BLOCK, Header, MAX_BLOCK_OVERHEAD, MAX_HEADER_LEN, MIN_BLOCK_LOG, Streamed, Version,
    block_crc, write_block_header,
};
use crate::error::{Error, Result};
use crate::numeric::NUMERICS_VERSION;

/// The most bytes that a version 3 frame of `len` bytes takes, whatever the method and options; `None` if that is
/// more than a `usize` counts.
///
/// An eighth more than stored blocks could take: for version 2, which stores nothing, that is room enough unless the
/// content is worse than random to the method.
pub fn compress_bound(len: usize) -> Option<usize> {
    let blocks = (len >> MIN_BLOCK_LOG).checked_add(1)?;
    let overhead = blocks.checked_mul(MAX_BLOCK_OVERHEAD)?.checked_add(MAX_HEADER_LEN + 1)?;
    len.checked_add(overhead)?.checked_add(len / 8)
}

/// A destination that counts on when it is full, so that an error can tell what would have been enough.
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
        self.with_work(|session, work| {
            let mut progress = Progress::start(progress, src.len() as u64)?;
            let header = session.header(src);
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            sink.put(&bytes);
            match (&header.version, header.coder) {
                (Version::V3 { block_log, .. }, coder) => {
                    let checksums = header.crc != Streamed::Absent;
                    let size = 1 << block_log;
                    match coder {
                        Coder::Range => {
                            session.blocks::<RangeEncoder>(work, src, size, checksums, &mut sink, &mut progress)
                        }
                        Coder::Rans => {
                            session.blocks::<RansEncoder>(work, src, size, checksums, &mut sink, &mut progress)
                        }
                    }
                }
                (_, Coder::Range) => whole(work, src, &mut sink, &mut progress),
                (_, Coder::Rans) => parts(work, src, &mut sink, &mut progress),
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
            method: method::reference(&self.identity.canonical),
            fingerprint: self.identity.fingerprint.map(|f| std::array::from_fn(|i| f[i])),
            base: self.base.as_ref().map(|b| b.id()),
            block_log: self.params.get(Param::BlockLog) as u8,
        };
        let crc = if checksums { Streamed::Header(crc32fast::hash(src)) } else { Streamed::Absent };
        Header { coder, length, crc, version }
    }

    /// Version 3: block after block, stored where coding does not pay.
    fn blocks<E: Encoder + Default>(
        &mut self,
        work: &mut Predictor,
        src: &[u8],
        size: usize,
        checksums: bool,
        sink: &mut Sink,
        progress: &mut Progress,
    ) -> Result<()> {
        let mut encoder = E::default();
        let (mut payload, mut bytes) = (Vec::new(), Vec::new());
        for (index, raw) in src.chunks(size).enumerate() {
            // Before the first block lies the base.
            match &mut self.checkpoint {
                _ if index == 0 => {}
                Some(checkpoint) => work.save_to(checkpoint),
                None => self.checkpoint = Some(work.save(&self.blueprint)?),
            }
            payload.clear();
            drive(work, &mut Send::new(raw, &mut encoder), progress)?;
            encoder.finish(&mut payload)?;
            let kind = kind_of(raw.len(), payload.len());
            if kind == BlockKind::StoredSkipped {
                let before = self.checkpoint.as_ref().filter(|_| index > 0);
                work.restore(before.unwrap_or_else(|| self.base_learned()))?;
            }
            let crc = checksums.then(|| block_crc(kind, raw));
            bytes.clear();
            if kind == BlockKind::Coded {
                write_block_header(&mut bytes, kind, raw.len() as u32, crc, payload.len());
                sink.put(&bytes);
                sink.put(&payload);
            } else {
                write_block_header(&mut bytes, kind, raw.len() as u32, crc, 0);
                sink.put(&bytes);
                sink.put(raw);
            }
        }
        sink.put(&[END_BLOCK]);
        Ok(())
    }
}

/// Stored where coding saves nothing. What nearly paid is learned from, for what follows may be like it; what did not
/// come near is skipped: the decoder saves its time, and the predictor is not led astray.
fn kind_of(raw: usize, coded: usize) -> BlockKind {
    if coded < raw {
        BlockKind::Coded
    } else if coded < raw + raw / 16 {
        BlockKind::StoredLearned
    } else {
        BlockKind::StoredSkipped
    }
}

/// Version 2 with the range coder: one payload.
fn whole(work: &mut Predictor, src: &[u8], sink: &mut Sink, progress: &mut Progress) -> Result<()> {
    let mut encoder = RangeEncoder::default();
    drive(work, &mut Send::new(src, &mut encoder), progress)?;
    let mut payload = Vec::new();
    encoder.finish(&mut payload)?;
    sink.put(&payload);
    Ok(())
}

/// Version 2 with rANS: the number of blocks, then each with its length.
fn parts(work: &mut Predictor, src: &[u8], sink: &mut Sink, progress: &mut Progress) -> Result<()> {
    let mut encoder = RansEncoder::default();
    let mut payload = Vec::new();
    sink.put(&(src.len().div_ceil(RANS_BLOCK) as u32).to_le_bytes());
    for part in src.chunks(RANS_BLOCK) {
        payload.clear();
        drive(work, &mut Send::new(part, &mut encoder), progress)?;
        encoder.finish(&mut payload)?;
        sink.put(&(payload.len() as u32).to_le_bytes());
        sink.put(&payload);
    }
    Ok(())
}
