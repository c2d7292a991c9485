//! From bytes to a frame.

use super::driver::{Counted, Progress, ProgressFn, Send, Show, drive};
use super::params::Param;
use super::predictor::{Learned, Predictor};
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
        let (mut payload, mut bytes) = (Vec::new(), Vec::new());
        for (index, raw) in src.chunks(size).enumerate() {
            // Before the first block lies the base.
            match &mut self.checkpoint {
                _ if index == 0 => {}
                Some(checkpoint) => work.save_to(checkpoint),
                None => self.checkpoint = Some(work.save(&self.blueprint)?),
            }
            let before = self.checkpoint.as_ref().filter(|_| index > 0).unwrap_or_else(|| self.base_learned());
            payload.clear();
            let mut block = Coding { work, raw, before, payload: &mut payload };
            let may_rest = block.work.may_rest();
            let kind = if may_rest { block.choose::<E>(progress)? } else { block.code::<E>(progress)? };
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

/// Networks are tried for so many bytes before it is looked whether they help.
const PIECE: usize = 1 << 14;
/// They cost an order of magnitude more time than a mix alone: they must save more than this share of its bits.
const WORTH: f64 = 1.0 / 128.0;
/// Where they save more than this share of the first piece, the rest of the block is theirs.
const OBVIOUS: f64 = 1.0 / 16.0;

/// A block on its way: what is done leaves the predictor where a decoder's will be.
struct Coding<'a> {
    work: &'a mut Predictor,
    raw: &'a [u8],
    /// What was learned before the block.
    before: &'a Learned,
    payload: &'a mut Vec<u8>,
}

impl Coding<'_> {
    /// Codes the block, or stores it.
    fn code<E: Encoder + Default>(&mut self, progress: &mut Progress) -> Result<BlockKind> {
        let mut encoder = E::default();
        drive(self.work, &mut Send::new(self.raw, &mut encoder), progress)?;
        encoder.finish(self.payload)?;
        self.unless_stored(BlockKind::Coded)
    }

    /// The kind that a coded block is given; if it is stored and skipped, the predictor goes back.
    fn unless_stored(&mut self, coded: BlockKind) -> Result<BlockKind> {
        let kind = kind_of(self.raw.len(), self.payload.len(), coded);
        if kind == BlockKind::StoredSkipped {
            self.work.restore(self.before)?;
        }
        Ok(kind)
    }

    /// Codes the block with networks where they are worth their time, else without. A mix alone costs little: it goes first
    /// and tells what is to be beaten, in the first piece and, where that leaves a doubt, in all of them.
    fn choose<E: Encoder + Default>(&mut self, progress: &mut Progress) -> Result<BlockKind> {
        if self.obvious::<E>(progress)? {
            return self.unless_larger(progress);
        }
        let mut limits = Vec::new();
        let mut encoder = E::default();
        self.work.rest(true);
        progress.trial(|progress| {
            self.pieces(&mut encoder, progress, |bits| {
                limits.push(bits * (1.0 - WORTH));
                true
            })
        })?;
        encoder.finish(self.payload)?;
        // What is noise to a mix, after more than a few bytes, is noise to a network.
        let hopeless = self.raw.len() > PIECE && self.payload.len() >= self.raw.len();
        let mut left = self.raw.len();
        if !hopeless && self.try_networks::<E>(&limits, &mut left, progress)? {
            return Ok(BlockKind::Coded);
        }
        progress.advance(left as u64)?;
        let kind = self.unless_stored(BlockKind::CodedAlone)?;
        self.work.rest(false);
        Ok(kind)
    }

    /// Codes a block of several pieces with networks, if they save much of the first one. If not, all is as before, and
    /// progress was told of nothing.
    fn obvious<E: Encoder + Default>(&mut self, progress: &mut Progress) -> Result<bool> {
        let Some((first, rest)) = self.raw.split_at_checked(PIECE).filter(|(_, rest)| !rest.is_empty()) else {
            return Ok(false);
        };
        self.work.rest(true);
        let alone = progress.trial(|progress| self.cost(first, &mut E::default(), progress))?;
        self.work.restore(self.before)?;
        if alone >= 8.0 * first.len() as f64 {
            return Ok(false);
        }
        let mut encoder = E::default();
        let with = progress.trial(|progress| self.cost(first, &mut encoder, progress))?;
        if with >= alone * (1.0 - OBVIOUS) {
            self.work.restore(self.before)?;
            return Ok(false);
        }
        progress.advance(first.len() as u64)?;
        drive(self.work, &mut Send::new(rest, &mut encoder), progress)?;
        encoder.finish(self.payload)?;
        Ok(true)
    }

    /// Codes these bytes; tells how many bits they took.
    fn cost<E: Encoder>(&mut self, bytes: &[u8], encoder: &mut E, progress: &mut Progress) -> Result<f64> {
        let mut port = Counted::new(Send::new(bytes, encoder));
        drive(self.work, &mut port, progress)?;
        Ok(port.bits)
    }

    /// Codes the block with networks, if they stay below these bits after each piece. If not, all is as before, and `left`
    /// says how many bytes progress was not told of.
    fn try_networks<E: Encoder + Default>(
        &mut self,
        limits: &[f64],
        left: &mut usize,
        progress: &mut Progress,
    ) -> Result<bool> {
        self.work.restore(self.before)?;
        let (mut encoder, mut limits, mut better) = (E::default(), limits.iter(), true);
        *left = self.pieces(&mut encoder, progress, |bits| {
            better = limits.next().is_some_and(|limit| bits < *limit);
            better
        })?;
        if better {
            let mut payload = Vec::new();
            encoder.finish(&mut payload)?;
            if payload.len() < self.payload.len().min(self.raw.len()) {
                *self.payload = payload;
                return Ok(true);
            }
        }
        self.show(progress)?;
        Ok(false)
    }

    /// Goes back, and shows the mix alone the block.
    fn show(&mut self, progress: &mut Progress) -> Result<()> {
        self.work.restore(self.before)?;
        self.work.rest(true);
        progress.trial(|progress| drive(self.work, &mut Show::new(self.raw), progress))
    }

    /// The kind of a block that networks coded. If it is stored after all, they are to have rested, as they will where it is
    /// decoded.
    fn unless_larger(&mut self, progress: &mut Progress) -> Result<BlockKind> {
        let kind = self.unless_stored(BlockKind::Coded)?;
        if kind == BlockKind::StoredLearned {
            self.show(progress)?;
            self.work.rest(false);
        }
        Ok(kind)
    }

    /// Codes piece after piece as long as the bits so far suit; tells how many bytes are left.
    fn pieces<E: Encoder>(
        &mut self,
        encoder: &mut E,
        progress: &mut Progress,
        mut suits: impl FnMut(f64) -> bool,
    ) -> Result<usize> {
        let (mut bits, mut left) = (0.0, self.raw.len());
        for piece in self.raw.chunks(PIECE) {
            bits += self.cost(piece, encoder, progress)?;
            left -= piece.len();
            if !suits(bits) {
                return Ok(left);
            }
        }
        Ok(0)
    }
}

/// Stored where coding saves nothing. What nearly paid is learned from, for what follows may be like it; what did not
/// come near is skipped: the decoder saves its time, and the predictor is not led astray.
fn kind_of(raw: usize, payload: usize, coded: BlockKind) -> BlockKind {
    if payload < raw {
        coded
    } else if payload < raw + raw / 16 {
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

#[cfg(all(test, feature = "builtin-model"))]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    const TEXT: &[u8] = include_bytes!("../../tests/data/alice29.txt");

    /// Hardly any real block does that, so that its payload is made longer here.
    #[test]
    fn networks_have_rested_in_a_block_that_grew_after_a_good_start() {
        let mut session = Session::create("mix:neural=(builtin:1;head:),mem=64K").unwrap();
        let (mut work, mut progress) = (session.take_work().unwrap(), Progress::start(None, 0).unwrap());
        let hash = |work: &Predictor| {
            let mut hash = Sha256::new();
            work.save(&session.blueprint).unwrap().hash(&mut hash);
            hash.finalize()
        };
        let (raw, before) = (&TEXT[..PIECE + 500], session.base_learned());
        for (longer, kind) in [(0, BlockKind::StoredLearned), (raw.len(), BlockKind::StoredSkipped)] {
            let mut payload = Vec::new();
            let mut block = Coding { work: &mut work, raw, before, payload: &mut payload };
            assert!(block.obvious::<RangeEncoder>(&mut progress).unwrap());
            assert!(block.payload.len() < raw.len() / 2);
            block.payload.resize(raw.len() + longer, 0);
            assert_eq!(block.unless_larger(&mut progress).unwrap(), kind);
            let coded = hash(&work);
            work.restore(before).unwrap();
            if kind == BlockKind::StoredLearned {
                work.rest(true);
                drive(&mut work, &mut Show::new(raw), &mut progress).unwrap();
                work.rest(false);
            }
            assert_eq!(coded, hash(&work), "{kind:?}");
            work.restore(before).unwrap();
        }
    }
}
