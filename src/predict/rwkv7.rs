//! RWKV-7 in memory: shared weights, a state, and a head that may learn online.

use std::ops::Range;
use std::sync::Arc;

use crate::adapt::{Head, Rule, Train};
use crate::error::Result;
use crate::model::VOCAB;
use crate::model::rwkv7::{Config, Scratch as StepScratch, State, Weights};
use crate::numeric::buffer::{Rows, filled};
use crate::numeric::level::Level;
use crate::numeric::transfer::Transfer;

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

/// The most bytes in a batch of whole steps of `lanes` lanes, given the work a byte.
fn batch_len(work: u64, lanes: usize) -> usize {
    let most = (BATCH_WORK / work.max(1)).clamp(1, LOOKAHEAD as u64) as usize;
    (most / lanes).max(1) * lanes
}

/// Scratch memory of a step, and the current batch.
#[derive(Debug)]
pub struct Scratch {
    step: StepScratch,
    /// The bytes of the batch, and the range of those not yet observed.
    bytes: Vec<u8>,
    pending: Range<usize>,
    /// The frozen head's logits after each byte of the batch, if `batch_has_logits`.
    batch_logits: Rows,
    batch_has_logits: bool,
    /// The frozen head's logits after the last observed byte of each lane, in the first `known` lanes. The batch may
    /// already contain later bytes.
    logits: Rows,
    known: usize,
}

impl Scratch {
    fn new(config: &Config, lanes: usize) -> Result<Self> {
        let batch = LOOKAHEAD.max(lanes);
        Ok(Self {
            step: StepScratch::new(config, batch)?,
            bytes: filled(batch, 0, "a batch")?,
            pending: 0..0,
            batch_logits: Rows::new(batch, VOCAB)?,
            batch_has_logits: false,
            logits: Rows::new(lanes, VOCAB)?,
            known: 0,
        })
    }

    /// The bytes that it takes for this many lanes; saturates.
    pub fn bytes(config: &Config, lanes: u64) -> u64 {
        let batch = (LOOKAHEAD as u64).max(lanes);
        let all = StepScratch::bytes(config).saturating_add(4 * VOCAB as u64).saturating_mul(batch);
        all.saturating_add(lanes.saturating_sub(1).saturating_mul(4 * VOCAB as u64))
    }

    /// Drops the batch, after the state was replaced.
    pub fn clear(&mut self) {
        (self.pending, self.known) = (0..0, 0);
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
    /// The input of the head for the next byte: `[lane][hidden]`.
    features: Rows,
    head: Option<Head>,
}

impl Blueprint {
    /// The state of this many lanes before any byte.
    ///
    /// # Errors
    /// `Memory`.
    pub fn initial(&self, lanes: usize) -> Result<NetworkState> {
        let config = self.weights.config();
        let head = match (self.rule.train, self.weights.start()) {
            (Train::None, _) => None,
            (train, start) => Some(Head::new(start.expect("a head that is trained has a start"), train)?),
        };
        Ok(NetworkState { recurrent: State::new(config, lanes)?, features: Rows::new(lanes, config.hidden)?, head })
    }

    /// New scratch memory for this many lanes.
    ///
    /// # Errors
    /// `Memory`.
    pub fn scratch(&self, lanes: usize) -> Result<Scratch> {
        Scratch::new(self.weights.config(), lanes)
    }

    /// The number of heads.
    pub fn heads(&self) -> usize {
        1 + usize::from(self.second_head)
    }

    /// The logits of the next byte by one head in the first `lanes` lanes: `[lane][256]`.
    pub fn logits(
        &self,
        level: Level,
        head: usize,
        lanes: usize,
        state: &mut NetworkState,
        logits: &mut Rows,
        scratch: &mut Scratch,
    ) {
        match &state.head {
            Some(trained) if head + 1 == self.heads() => trained.logits(level, lanes, &state.features, logits),
            _ if scratch.known >= lanes => {
                logits.span_mut(0..lanes).copy_from_slice(scratch.logits.span(0..lanes));
            }
            _ => {
                state.features.set_lanes(lanes);
                logits.set_lanes(lanes);
                self.weights.logits(level, &state.features, logits, &mut scratch.step);
            }
        }
    }

    /// Processes the first of these bytes as one batch, unless the current batch has bytes left. They are in the order in
    /// which they are coded: one byte of each of the first `lanes` lanes, then the next ones. `needs_logits`: whether the
    /// frozen head's logits after these bytes will be used.
    pub fn lookahead(
        &self,
        level: Level,
        bytes: &[u8],
        lanes: usize,
        needs_logits: bool,
        state: &mut NetworkState,
        scratch: &mut Scratch,
    ) {
        if !scratch.is_drained() || bytes.is_empty() {
            return;
        }
        let most = batch_len(work(self.weights.config(), &self.rule, self.second_head), lanes);
        // Whole steps, or, at the end of a block, one with fewer lanes.
        let n = if bytes.len() < lanes { bytes.len() } else { most.min(bytes.len() / lanes * lanes) };
        scratch.bytes[..n].copy_from_slice(&bytes[..n]);
        self.weights.step(level, &bytes[..n], lanes, &mut state.recurrent, &mut scratch.step);
        scratch.pending = 0..n;
        scratch.batch_has_logits = needs_logits && (self.second_head || state.head.is_none());
        if scratch.batch_has_logits {
            scratch.batch_logits.set_lanes(n);
            self.weights.logits_of_step(level, &mut scratch.batch_logits, &mut scratch.step);
        }
    }

    /// Trains the head on a step: one byte in each of the first `lanes` lanes. `errors` are ignored unless
    /// [`NetworkState::learns_next`].
    pub fn learn(&self, level: Level, lanes: usize, state: &mut NetworkState, errors: &Rows) {
        let NetworkState { features, head, .. } = state;
        if let Some(head) = head {
            head.learn(level, &self.rule, lanes, errors, features);
        }
    }

    /// Updates the state with a byte in each of the first lanes. If the current batch has bytes left, they must be the next
    /// of them.
    pub fn step(&self, level: Level, bytes: &[u8], state: &mut NetworkState, scratch: &mut Scratch) {
        self.lookahead(level, bytes, bytes.len(), false, state, scratch);
        let first = scratch.pending.start;
        scratch.pending.start += bytes.len();
        let rows = first..scratch.pending.start;
        debug_assert!(scratch.bytes[rows.clone()] == *bytes, "the lookahead had other bytes");
        state.features.span_mut(0..bytes.len()).copy_from_slice(scratch.step.features().span(rows.clone()));
        scratch.known = if scratch.batch_has_logits { bytes.len() } else { 0 };
        if scratch.known > 0 {
            scratch.logits.span_mut(0..bytes.len()).copy_from_slice(scratch.batch_logits.span(rows));
        }
    }
}

impl NetworkState {
    /// The number of lanes.
    fn lanes(&self) -> usize {
        self.recurrent.lanes()
    }

    /// Whether the head trains on the next step, of `lanes` bytes.
    pub fn learns_next(&self, lanes: usize) -> bool {
        self.head.as_ref().is_some_and(|head| head.learns_next(lanes))
    }

    /// Copies another state of the same blueprint. If it has one lane, all lanes become copies of it. Allocates nothing.
    pub fn copy_from(&mut self, other: &Self) {
        self.recurrent.copy_from(&other.recurrent);
        for lane in 0..self.lanes() {
            let from = if other.lanes() == 1 { 0 } else { lane };
            self.features.row_mut(lane).copy_from_slice(other.features.row(from));
        }
        if let (Some(to), Some(from)) = (&mut self.head, &other.head) {
            to.copy_from(from);
        }
    }

    /// Copies a lane to another one.
    pub fn copy_lane(&mut self, from: usize, to: usize) {
        self.recurrent.copy_lane(from, to);
        self.features.copy_row(from, to);
    }

    /// Stores or loads the whole state of one lane.
    ///
    /// # Errors
    /// Those of `t`.
    pub fn transfer(&mut self, t: &mut impl Transfer) -> Result<()> {
        self.recurrent.parts_mut().into_iter().try_for_each(|part| t.floats(part))?;
        t.floats(self.features.row_mut(0))?;
        self.head.as_mut().map_or(Ok(()), |head| head.transfer(t))
    }

    /// The bytes that it takes with this many lanes; saturates.
    pub fn bytes(config: &Config, train: Train, lanes: u64) -> u64 {
        let head = if train == Train::None { 0 } else { Head::bytes(config.hidden as u64, train) };
        config.state_bytes().saturating_add(config.hidden as u64 * 4).saturating_mul(lanes).saturating_add(head)
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
        assert_eq!(batch_len(small / 4, 1), LOOKAHEAD);
        assert_eq!([3, 8, 64].map(|lanes| batch_len(small / 4, lanes)), [30, 32, 64], "whole steps");
        let large = work_of(1024, 24, 4096);
        assert!(batch_len(large, 1) as u64 * large <= BATCH_WORK || batch_len(large, 1) == 1, "{large}");
        assert_eq!(batch_len(work_of(65_536, 1024, 65_536), 1), 1);
    }
}
