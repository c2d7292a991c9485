//! One block of a version 3 frame: coded with networks, coded by the mix alone, or stored.

use super::driver::{Counted, Encode, Observe, drive};
use super::progress::Progress;
use crate::coder::Encoder;
use crate::container::BlockKind;
use crate::error::Result;
use crate::numeric::buffer::reserved;
use crate::predict::{Predictor, to_coding_order};

/// The number of bytes after which coding with networks and by the mix alone are compared again.
const PIECE: usize = 1 << 14;
/// Networks take an order of magnitude more time than the mix alone, so they must save more than this share of its
/// bits.
const WORTH: f64 = 1.0 / 128.0;
/// If networks save more than this share of the first piece's bits, the rest of the block is coded with them at once.
const OBVIOUS: f64 = 1.0 / 16.0;

/// Encodes a block, before which the predictor has a mark. Afterwards the predictor is in the state of a decoder after the block.
pub(super) struct BlockEncoder<'a> {
    pub(super) predictor: &'a mut Predictor,
    pub(super) raw: &'a [u8],
    pub(super) payload: &'a mut Vec<u8>,
}

impl BlockEncoder<'_> {
    /// Encodes the block into the payload and returns its kind. A stored block's payload is the raw bytes.
    pub(super) fn encode<E: Encoder + Default>(&mut self, progress: &mut Progress) -> Result<BlockKind> {
        let lanes = self.predictor.begin_block(self.raw.len())?;
        let ordered = in_coding_order(self.raw, lanes)?;
        let mut block = BlockEncoder {
            predictor: &mut *self.predictor,
            raw: if lanes > 1 { &ordered } else { self.raw },
            payload: &mut *self.payload,
        };
        let kind = block.encode_ordered::<E>(progress)?;
        if is_observed(kind, self.predictor) {
            self.predictor.end_block(self.raw);
        }
        Ok(kind)
    }

    /// The same of a block that has begun and is in the order in which it is coded.
    fn encode_ordered<E: Encoder + Default>(&mut self, progress: &mut Progress) -> Result<BlockKind> {
        if self.predictor.may_bypass_networks() { self.choose::<E>(progress) } else { self.code::<E>(progress) }
    }

    /// Goes back to the mark and begins the block again.
    fn restart(&mut self) -> Result<()> {
        self.predictor.undo();
        self.predictor.begin_block(self.raw.len()).map(|_| ())
    }

    /// Codes the block with the whole method, or stores it.
    fn code<E: Encoder + Default>(&mut self, progress: &mut Progress) -> Result<BlockKind> {
        let mut encoder = E::default();
        drive(self.predictor, &mut Encode::new(self.raw, &mut encoder), progress)?;
        encoder.finish(self.payload)?;
        self.unless_stored(BlockKind::Coded)
    }

    /// Returns the kind of a block that was coded as `coded`. If it is to be stored and skipped instead, goes back to the
    /// mark.
    fn unless_stored(&mut self, coded: BlockKind) -> Result<BlockKind> {
        let kind = kind_of(self.raw.len(), self.payload.len(), coded);
        if kind == BlockKind::StoredSkipped {
            self.predictor.undo();
        }
        Ok(kind)
    }

    /// Codes the block with networks if they are worth their time, otherwise by the mix alone. The mix alone takes
    /// little time, so it codes first: only the first piece, or all pieces if the first does not decide.
    fn choose<E: Encoder + Default>(&mut self, progress: &mut Progress) -> Result<BlockKind> {
        if self.try_obvious::<E>(progress)? {
            return self.unless_larger(progress);
        }
        let mut limits = reserved(self.raw.len().div_ceil(PIECE), "the limits of pieces")?;
        let mut encoder = E::default();
        self.predictor.bypass_networks(true);
        progress.trial(|progress| {
            self.pieces(&mut encoder, progress, |bits| {
                limits.push(bits * (1.0 - WORTH));
                true
            })
        })?;
        encoder.finish(self.payload)?;
        // If the mix cannot compress a block, networks cannot either, except for short blocks.
        let hopeless = self.raw.len() > PIECE && self.payload.len() >= self.raw.len();
        let mut left = self.raw.len();
        if !hopeless && self.try_networks::<E>(&limits, &mut left, progress)? {
            return Ok(BlockKind::Coded);
        }
        progress.advance(left as u64)?;
        let kind = self.unless_stored(BlockKind::CodedAlone)?;
        self.predictor.bypass_networks(false);
        Ok(kind)
    }

    /// Codes a block of several pieces with networks if they save much of the first one. If not, goes back to the
    /// mark and counts no progress.
    fn try_obvious<E: Encoder + Default>(&mut self, progress: &mut Progress) -> Result<bool> {
        let Some((first, rest)) = self.raw.split_at_checked(PIECE).filter(|(_, rest)| !rest.is_empty()) else {
            return Ok(false);
        };
        self.predictor.bypass_networks(true);
        let alone = progress.trial(|progress| self.cost(first, &mut E::default(), progress))?;
        self.restart()?;
        if alone >= 8.0 * first.len() as f64 {
            return Ok(false);
        }
        let mut encoder = E::default();
        let with = progress.trial(|progress| self.cost(first, &mut encoder, progress))?;
        if with >= alone * (1.0 - OBVIOUS) {
            self.restart()?;
            return Ok(false);
        }
        progress.advance(first.len() as u64)?;
        drive(self.predictor, &mut Encode::new(rest, &mut encoder), progress)?;
        encoder.finish(self.payload)?;
        Ok(true)
    }

    /// Codes these bytes and returns their cost in bits.
    fn cost<E: Encoder>(&mut self, bytes: &[u8], encoder: &mut E, progress: &mut Progress) -> Result<f64> {
        let mut port = Counted::new(Encode::new(bytes, encoder));
        drive(self.predictor, &mut port, progress)?;
        Ok(port.bits)
    }

    /// Codes the block with networks if their bits stay below the limit after each piece. If not, the predictor has
    /// observed the block with networks bypassed. `left` is then the number of bytes that progress has not counted.
    fn try_networks<E: Encoder + Default>(
        &mut self,
        limits: &[f64],
        left: &mut usize,
        progress: &mut Progress,
    ) -> Result<bool> {
        self.restart()?;
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
        self.observe_alone(progress)?;
        Ok(false)
    }

    /// Goes back to the mark, then observes the block with networks bypassed.
    fn observe_alone(&mut self, progress: &mut Progress) -> Result<()> {
        self.restart()?;
        self.predictor.bypass_networks(true);
        progress.trial(|progress| drive(self.predictor, &mut Observe::new(self.raw), progress))
    }

    /// Returns the kind of a block that was coded with networks. If it is to be stored and learned instead, the
    /// predictor observes the block again with networks bypassed, as a decoder does.
    fn unless_larger(&mut self, progress: &mut Progress) -> Result<BlockKind> {
        let kind = self.unless_stored(BlockKind::Coded)?;
        if kind == BlockKind::StoredLearned {
            self.observe_alone(progress)?;
            self.predictor.bypass_networks(false);
        }
        Ok(kind)
    }

    /// Codes piece after piece while `accept`, which gets the bits so far, returns true. Returns the number of bytes
    /// left.
    fn pieces<E: Encoder>(
        &mut self,
        encoder: &mut E,
        progress: &mut Progress,
        mut accept: impl FnMut(f64) -> bool,
    ) -> Result<usize> {
        let (mut bits, mut left) = (0.0, self.raw.len());
        for piece in self.raw.chunks(PIECE) {
            bits += self.cost(piece, encoder, progress)?;
            left -= piece.len();
            if !accept(bits) {
                return Ok(left);
            }
        }
        Ok(0)
    }
}

/// The bytes of a block in the order in which they are coded; none for one lane.
fn in_coding_order(raw: &[u8], lanes: usize) -> Result<Vec<u8>> {
    let mut ordered = reserved(if lanes > 1 { raw.len() } else { 0 }, "a block")?;
    if lanes > 1 {
        to_coding_order(raw, lanes, &mut ordered);
    }
    Ok(ordered)
}

/// Whether the networks observe a block of this kind.
pub(super) fn is_observed(kind: BlockKind, predictor: &Predictor) -> bool {
    match kind {
        BlockKind::Coded => true,
        BlockKind::StoredLearned => !predictor.may_bypass_networks(),
        BlockKind::CodedAlone | BlockKind::StoredSkipped => false,
    }
}

/// Lets the predictor observe a stored block, as it does a coded one.
pub(super) fn observe_stored(predictor: &mut Predictor, raw: &[u8], progress: &mut Progress) -> Result<()> {
    let lanes = predictor.begin_block(raw.len())?;
    let ordered = in_coding_order(raw, lanes)?;
    predictor.bypass_networks(predictor.may_bypass_networks());
    drive(predictor, &mut Observe::new(if lanes > 1 { &ordered } else { raw }), progress)?;
    predictor.bypass_networks(false);
    if is_observed(BlockKind::StoredLearned, predictor) {
        predictor.end_block(raw);
    }
    Ok(())
}

/// A block is stored if coding saves nothing. If the payload is not much longer than the block, the predictor learns
/// the block, since later blocks may be similar. Otherwise the block is skipped, so that decoders save time and the
/// predictor does not learn noise.
fn kind_of(raw: usize, payload: usize, coded: BlockKind) -> BlockKind {
    if payload < raw {
        coded
    } else if payload < raw + raw / 16 {
        BlockKind::StoredLearned
    } else {
        BlockKind::StoredSkipped
    }
}

#[cfg(all(test, feature = "builtin-model"))]
mod tests {
    use super::*;
    use crate::coder::RangeEncoder;
    use crate::session::Session;

    const TEXT: &[u8] = include_bytes!("../../tests/data/alice29.txt");

    /// Hardly any real block becomes longer after a well compressed first piece, so the test lengthens the payload.
    #[test]
    fn networks_are_bypassed_in_a_block_that_is_stored_after_all() {
        let mut session = Session::create("mix:neural=(builtin:1;head:),mem=64K").unwrap();
        let (mut predictor, mut progress) = (session.take_scratch(1).unwrap(), Progress::start(None, 0).unwrap());
        let digest = |predictor: &Predictor| {
            let (state, mut out) = (predictor.save(&session.blueprint).unwrap(), Vec::new());
            state.store_networks(&mut out).unwrap();
            state.mix().unwrap().store(&mut out).unwrap();
            out
        };
        let (raw, base) = (&TEXT[..PIECE + 500], session.base_state());
        for (longer, kind) in [(0, BlockKind::StoredLearned), (raw.len(), BlockKind::StoredSkipped)] {
            let mut payload = Vec::new();
            predictor.mark(&session.blueprint).unwrap();
            let mut block = BlockEncoder { predictor: &mut predictor, raw, payload: &mut payload };
            assert!(block.try_obvious::<RangeEncoder>(&mut progress).unwrap());
            assert!(block.payload.len() < raw.len() / 2);
            block.payload.resize(raw.len() + longer, 0);
            assert_eq!(block.unless_larger(&mut progress).unwrap(), kind);
            let coded = digest(&predictor);
            predictor.start_at(base);
            if kind == BlockKind::StoredLearned {
                predictor.bypass_networks(true);
                drive(&mut predictor, &mut Observe::new(raw), &mut progress).unwrap();
                predictor.bypass_networks(false);
            }
            assert!(coded == digest(&predictor), "{kind:?}");
            predictor.start_at(base);
        }
    }
}
