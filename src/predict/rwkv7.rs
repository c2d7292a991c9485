//! RWKV-7 in memory: shared weights, a state, and a head that may learn online.

use std::ops::Range;
use std::sync::Arc;

use crate::adapt::{Head, Rule, Train};
use crate::error::Result;
use crate::model::VOCAB;
use crate::model::rwkv7::{Config, Scratch as StepScratch, State, Weights};
use crate::numeric::buffer::Rows;
use crate::numeric::level::Level;
use crate::numeric::transfer::Transfer;
use crate::numeric::vector::{Vec16, WIDTH};

/// The weights and how the head learns. Immutable and shared.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// The network.
    pub weights: Arc<Weights>,
    /// How the head learns.
    pub rule: Rule,
    /// Whether a head that learns is used in addition to the frozen one. If not, it replaces the frozen one.
    pub second_head: bool,
}

/// The size of a batch: when the input is known in advance, this many bytes share one pass over the weights.
const LOOKAHEAD: usize = 32;
/// A batch takes at most this many multiplications, so that a call can be cancelled in time. The size of batches does
/// not affect results.
const BATCH_WORK: u64 = 1 << 26;

/// The approximate number of multiplications a byte.
pub fn work(config: &Config, rule: &Rule, second_head: bool) -> u64 {
    // Multiplications for each weight of a head that trains.
    let training = match rule.train {
        Train::None => 0,
        Train::Sgd => 1,
        Train::Adam => 8,
    };
    let heads = 1 + u64::from(second_head) + training;
    config.multiplications().saturating_add(VOCAB as u64 * config.hidden as u64 * heads)
}

/// The most bytes in a batch, given the work a byte.
fn batch_len(work: u64) -> usize {
    (BATCH_WORK / work.max(1)).clamp(1, LOOKAHEAD as u64) as usize
}

/// Scratch memory of a step, and the current batch.
#[derive(Debug)]
pub struct Scratch {
    step: StepScratch,
    /// The bytes of the batch, and the range of those not yet observed.
    bytes: [u8; LOOKAHEAD],
    pending: Range<usize>,
    /// The frozen head's logits after each byte of the batch, if `batch_has_logits`.
    batch_logits: Rows,
    batch_has_logits: bool,
    /// The frozen head's logits after the last observed byte, if `has_logits`. The batch may already contain later
    /// bytes.
    logits: Rows,
    has_logits: bool,
}

impl Scratch {
    fn new(config: &Config) -> Result<Self> {
        Ok(Self {
            step: StepScratch::new(config, LOOKAHEAD)?,
            bytes: [0; LOOKAHEAD],
            pending: 0..0,
            batch_logits: Rows::new(LOOKAHEAD, VOCAB)?,
            batch_has_logits: false,
            logits: Rows::new(1, VOCAB)?,
            has_logits: false,
        })
    }

    /// The bytes that it takes; saturates.
    pub fn bytes(config: &Config) -> u64 {
        StepScratch::bytes(config).saturating_add(4 * VOCAB as u64).saturating_mul(LOOKAHEAD as u64)
    }

    /// Drops the batch, after the state was replaced.
    pub fn clear(&mut self) {
        (self.pending, self.has_logits) = (0..0, false);
    }

    /// Whether every byte of the batch was observed. Only then is the network's state that of the observed bytes.
    pub fn is_drained(&self) -> bool {
        self.pending.is_empty()
    }
}

/// Everything that bytes have changed. Networks in equal states make equal predictions.
#[derive(Debug)]
pub struct NetworkState {
    recurrent: State,
    /// The input of the head for the next byte: `[1][hidden]`.
    features: Rows,
    head: Option<Head>,
}

impl Blueprint {
    /// The state before any byte.
    ///
    /// # Errors
    /// `Memory`.
    pub fn initial(&self) -> Result<NetworkState> {
        let config = self.weights.config();
        let head = match (self.rule.train, self.weights.start()) {
            (Train::None, _) => None,
            (train, start) => Some(Head::new(start.expect("a head that is trained has a start"), train)?),
        };
        Ok(NetworkState { recurrent: State::new(config, 1)?, features: Rows::new(1, config.hidden)?, head })
    }

    /// New scratch memory.
    ///
    /// # Errors
    /// `Memory`.
    pub fn scratch(&self) -> Result<Scratch> {
        Scratch::new(self.weights.config())
    }

    /// The number of heads.
    pub fn heads(&self) -> usize {
        1 + usize::from(self.second_head)
    }

    /// The logits of the next byte by one head, `[1][256]`. Of two heads, the last one learns.
    pub fn logits(&self, level: Level, head: usize, state: &NetworkState, logits: &mut Rows, scratch: &mut Scratch) {
        match &state.head {
            Some(trained) if head + 1 == self.heads() => trained.logits(level, &state.features, logits),
            _ if scratch.has_logits => logits.copy_from(&scratch.logits),
            _ => self.weights.logits(level, &state.features, logits, &mut scratch.step),
        }
    }

    /// Processes the first of these bytes as one batch, unless the current batch has bytes left. `needs_logits`:
    /// whether the frozen head's logits after these bytes will be used.
    pub fn lookahead(
        &self,
        level: Level,
        bytes: &[u8],
        needs_logits: bool,
        state: &mut NetworkState,
        scratch: &mut Scratch,
    ) {
        if !scratch.is_drained() || bytes.is_empty() {
            return;
        }
        let n = bytes.len().min(batch_len(work(self.weights.config(), &self.rule, self.second_head)));
        scratch.bytes[..n].copy_from_slice(&bytes[..n]);
        self.weights.step(level, &bytes[..n], &mut state.recurrent, &mut scratch.step);
        scratch.pending = 0..n;
        scratch.batch_has_logits = needs_logits && (self.second_head || state.head.is_none());
        if scratch.batch_has_logits {
            scratch.batch_logits.set_lanes(n);
            self.weights.logits_of_step(level, &mut scratch.batch_logits, &mut scratch.step);
        }
    }

    /// Trains the head on a byte. `error` is ignored unless [`NetworkState::learns_next`].
    pub fn learn(&self, level: Level, state: &mut NetworkState, error: &[Vec16; VOCAB / WIDTH]) {
        let NetworkState { features, head, .. } = state;
        if let Some(head) = head {
            head.learn(level, &self.rule, error, features.row(0));
        }
    }

    /// Updates the state with a byte. If the current batch has bytes left, it must be the next of them.
    pub fn step(&self, level: Level, byte: u8, state: &mut NetworkState, scratch: &mut Scratch) {
        self.lookahead(level, &[byte], false, state, scratch);
        let row = scratch.pending.next().expect("the batch has at least this byte");
        debug_assert!(scratch.bytes[row] == byte, "the lookahead had another byte");
        state.features.row_mut(0).copy_from_slice(scratch.step.features().row(row));
        scratch.has_logits = scratch.batch_has_logits;
        if scratch.has_logits {
            scratch.logits.row_mut(0).copy_from_slice(scratch.batch_logits.row(row));
        }
    }
}

impl NetworkState {
    /// Whether the head trains on the next byte.
    pub fn learns_next(&self) -> bool {
        self.head.as_ref().is_some_and(Head::learns_next)
    }

    /// Copies another state of the same blueprint. Allocates nothing.
    pub fn copy_from(&mut self, other: &Self) {
        self.recurrent.copy_from(&other.recurrent);
        self.features.copy_from(&other.features);
        if let (Some(to), Some(from)) = (&mut self.head, &other.head) {
            to.copy_from(from);
        }
    }

    /// Stores or loads the whole state.
    ///
    /// # Errors
    /// Those of `t`.
    pub fn transfer(&mut self, t: &mut impl Transfer) -> Result<()> {
        self.recurrent.parts_mut().into_iter().try_for_each(|part| t.floats(part))?;
        t.floats(self.features.row_mut(0))?;
        self.head.as_mut().map_or(Ok(()), |head| head.transfer(t))
    }

    /// The bytes that it takes; saturates.
    pub fn bytes(config: &Config, train: Train) -> u64 {
        let head = if train == Train::None { 0 } else { Head::bytes(config.hidden as u64, train) };
        config.state_bytes().saturating_add(head).saturating_add(config.hidden as u64 * 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_of_a_slow_network_are_short() {
        let rule = Rule { train: Train::None, lr: 0.001, stride: 1, least: 0.0 };
        let work_of = |hidden, layers, intermediate| {
            work(&Config { hidden, layers, intermediate, ..Config::default() }, &rule, false)
        };
        // About as many multiplications as weights.
        let small = work_of(256, 6, 1024);
        assert!((4_000_000..8_000_000).contains(&small), "{small}");
        assert_eq!(batch_len(small / 4), LOOKAHEAD);
        let large = work_of(1024, 24, 4096);
        assert!(batch_len(large) as u64 * large <= BATCH_WORK || batch_len(large) == 1, "{large}");
        assert_eq!(batch_len(work_of(65_536, 1024, 65_536)), 1);
    }
}
