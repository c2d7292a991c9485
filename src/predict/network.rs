//! A network of either kind in memory: it predicts the next byte and learns from it.
//!
//! [`super::predictor`] uses it alone or as one input of a mix.

use std::sync::Arc;

use super::rwkv7;
use crate::adapt::policy::Policy;
use crate::adapt::{Gru, GruRule, GruWork, Learner, LearnerWork};
use crate::coder::Frequencies;
use crate::error::Result;
use crate::mix::BitView;
use crate::model::rwkv7::Params;
use crate::model::{VOCAB, gru};
use crate::numeric::buffer::{Rows, boxed, made};
use crate::numeric::level::Level;
use crate::numeric::transfer::Transfer;
use crate::numeric::vector::flat;

/// The byte that every network observes first.
const PRIMING: u8 = 0;

/// A network and how it learns.
#[derive(Clone, Debug)]
pub enum Blueprint {
    /// RWKV-7 with shared weights; only its head may learn.
    Rwkv7(rwkv7::Blueprint),
    /// RWKV-7 with weights that learn by a policy.
    Learner {
        /// The initial weights.
        params: Arc<Params>,
        /// What learns, when and how.
        policy: Arc<Policy>,
    },
    /// A GRU. All its weights learn; they start at random.
    Gru {
        /// The shape.
        config: gru::Config,
        /// The seed of the initial weights.
        seed: u64,
        /// How it trains.
        rule: GruRule,
    },
}

impl Blueprint {
    /// The bytes that a state of this many lanes takes, without shared weights and [`Blueprint::scratch_bytes`]; saturates.
    pub fn bytes(&self, lanes: u64) -> u64 {
        match self {
            Self::Rwkv7(b) => rwkv7::NetworkState::bytes(b.weights.config(), b.rule.train, lanes),
            Self::Learner { params, policy } => Learner::bytes(params.config(), policy),
            Self::Gru { config, rule, .. } => Gru::bytes(config, rule, lanes),
        }
        .saturating_add(8 * VOCAB as u64)
    }

    /// The bytes of scratch memory of a predictor of this many lanes; saturates. That of a GRU is in
    /// [`Blueprint::bytes`].
    pub fn scratch_bytes(&self, lanes: u64) -> u64 {
        let own = match self {
            Self::Rwkv7(b) => rwkv7::Scratch::bytes(b.weights.config(), lanes),
            Self::Learner { params, policy } => LearnerWork::bytes(params.config(), policy),
            Self::Gru { .. } => 0,
        };
        // Logits, errors, distributions and views of further lanes.
        let lane = 4 * VOCAB as u64 * (2 + 3 * self.heads() as u64);
        own.saturating_add(lanes.saturating_sub(1).saturating_mul(lane))
    }

    /// The bytes that the shared weights take; saturates.
    pub fn shared_bytes(&self) -> u64 {
        match self {
            Self::Rwkv7(b) => b.weights.config().weight_bytes(b.weights.packing()),
            Self::Learner { params, .. } => Params::vectors(params.config()).saturating_mul(64),
            Self::Gru { .. } => 0,
        }
    }

    /// The approximate number of multiplications a byte, on average; saturates.
    pub fn work(&self) -> u64 {
        match self {
            Self::Rwkv7(b) => rwkv7::work(b.weights.config(), &b.rule, b.second_head),
            Self::Learner { params, policy } => LearnerWork::work(params.config(), policy),
            Self::Gru { config, rule, .. } => Gru::work(config, rule),
        }
    }

    /// The approximate number of multiplications of the costliest byte; saturates.
    pub fn peak_work(&self) -> u64 {
        match self {
            Self::Rwkv7(_) => self.work(),
            Self::Learner { params, policy } => LearnerWork::peak_work(params.config(), policy),
            Self::Gru { config, rule, .. } => Gru::peak_work(config, rule),
        }
    }

    /// The number of heads: each gives a distribution of the next byte.
    pub fn heads(&self) -> usize {
        match self {
            Self::Rwkv7(b) => b.heads(),
            Self::Learner { .. } | Self::Gru { .. } => 1,
        }
    }

    /// A state of this many lanes whose content does not matter, into which another one is copied or loaded.
    pub(super) fn initial(&self, lanes: usize) -> Result<NetworkState> {
        Ok(match self {
            Self::Rwkv7(b) => NetworkState::Rwkv7(b.initial(lanes)?),
            Self::Learner { params, policy } => {
                NetworkState::Learner(boxed(Learner::new(params, policy)?, "a network that learns")?)
            }
            Self::Gru { config, seed, rule } => {
                NetworkState::Gru(boxed(Gru::new(config, *seed, rule, lanes)?, "a GRU")?)
            }
        })
    }
}

/// Everything that bytes have changed. Networks in equal states make equal predictions.
#[derive(Debug)]
pub enum NetworkState {
    /// The recurrent state, and the head if it learns.
    Rwkv7(rwkv7::NetworkState),
    /// All weights and moments, and the segment under way.
    Learner(Box<Learner>),
    /// All weights and the activations of the last time steps.
    Gru(Box<Gru>),
}

impl NetworkState {
    /// A copy of a state of this many lanes.
    ///
    /// # Errors
    /// `Memory`.
    pub fn try_clone(&self, blueprint: &Blueprint, lanes: usize) -> Result<Self> {
        let mut copy = blueprint.initial(lanes)?;
        copy.copy_from(self);
        Ok(copy)
    }

    /// Copies another state of the same blueprint. If it has one lane, all lanes become copies of it. Allocates nothing.
    pub fn copy_from(&mut self, other: &Self) {
        match (self, other) {
            (Self::Rwkv7(to), Self::Rwkv7(from)) => to.copy_from(from),
            (Self::Learner(to), Self::Learner(from)) => to.copy_from(from),
            (Self::Gru(to), Self::Gru(from)) => to.copy_from(from),
            _ => unreachable!("of the same blueprint"),
        }
    }

    /// Stores or loads the whole state of one lane.
    ///
    /// # Errors
    /// Those of `t`.
    pub fn transfer(&mut self, t: &mut impl Transfer) -> Result<()> {
        match self {
            Self::Rwkv7(state) => state.transfer(t),
            Self::Learner(learner) => learner.transfer(t),
            Self::Gru(gru) => gru.transfer(t),
        }
    }
}

/// The immutable part of a network, and its scratch memory.
#[derive(Debug)]
enum Worker {
    Rwkv7(rwkv7::Blueprint, Box<rwkv7::Scratch>),
    Learner(Box<LearnerWork>),
    Gru(GruRule, Box<GruWork>),
}

/// A network with its state and scratch memory. Its methods allocate nothing.
///
/// A step is one byte in each of its first lanes. A network with a policy has one lane.
#[derive(Debug)]
pub struct Network {
    worker: Worker,
    level: Level,
    state: NetworkState,
    /// A row for each lane.
    logits: Rows,
    /// Target minus probability, a row for each lane.
    errors: Rows,
    heads: usize,
    /// `[lane][head]`.
    frequencies: Vec<Frequencies>,
    /// The same distributions as probabilities of bits, for the mix.
    views: Vec<BitView>,
    /// The number of lanes in which `frequencies` are up to date with `state`.
    has_frequencies: usize,
    /// The number of lanes in which `views` are up to date with `frequencies`.
    has_views: usize,
}

impl Network {
    /// A network of this many lanes, of which the first one is after the priming byte, before any other.
    ///
    /// # Errors
    /// `Memory`.
    #[inline(never)] // For the same reason as `new_mix`.
    pub fn new(blueprint: &Blueprint, lanes: usize) -> Result<Self> {
        let worker = match blueprint {
            Blueprint::Rwkv7(b) => Worker::Rwkv7(b.clone(), boxed(b.scratch(lanes)?, "scratch memory")?),
            Blueprint::Learner { params, policy } => {
                assert!(lanes == 1, "a policy has one lane");
                Worker::Learner(boxed(LearnerWork::new(params, policy)?, "scratch memory")?)
            }
            Blueprint::Gru { config, rule, .. } => {
                Worker::Gru(*rule, boxed(GruWork::new(config, rule, lanes)?, "scratch memory")?)
            }
        };
        let heads = blueprint.heads();
        let view = |_| Ok(BitView::new(&Frequencies::default()));
        let mut network = Self {
            worker,
            level: Level::current(),
            state: blueprint.initial(lanes)?,
            logits: Rows::new(lanes, VOCAB)?,
            errors: Rows::new(lanes, VOCAB)?,
            heads,
            frequencies: made(lanes * heads, "distributions", |_| Ok(Frequencies::default()))?,
            views: made(lanes * heads, "distributions", view)?,
            has_frequencies: 0,
            has_views: 0,
        };
        network.step(&[PRIMING], true);
        Ok(network)
    }

    /// Switches to the current CPU level.
    pub fn use_current_level(&mut self) {
        self.level = Level::current();
    }

    /// The state. Must not be called within a lookahead batch.
    pub fn state(&self) -> &NetworkState {
        debug_assert!(!matches!(&self.worker, Worker::Rwkv7(_, scratch) if !scratch.is_drained()));
        &self.state
    }

    /// Copies another state of the same blueprint, of one lane or of as many lanes, and switches to the current CPU
    /// level.
    pub fn restore(&mut self, state: &NetworkState) {
        self.use_current_level();
        self.state.copy_from(state);
        match (&mut self.worker, &self.state) {
            (Worker::Rwkv7(_, scratch), _) => scratch.clear(),
            (Worker::Learner(work), NetworkState::Learner(learner)) => work.restore(self.level, learner),
            _ => {}
        }
        self.forget();
    }

    /// The distributions and views are those of a state before.
    fn forget(&mut self) {
        (self.has_frequencies, self.has_views) = (0, 0);
    }

    /// Copies the state of a lane, but for weights, to another one.
    pub fn copy_lane(&mut self, from: usize, to: usize) {
        match &mut self.state {
            NetworkState::Rwkv7(state) => state.copy_lane(from, to),
            NetworkState::Gru(gru) => gru.copy_lane(from, to),
            NetworkState::Learner(_) => {}
        }
        if let Worker::Rwkv7(_, scratch) = &mut self.worker {
            scratch.clear();
        }
        self.forget();
    }

    /// The distribution of the next byte of the first lane as the coders use it.
    pub fn frequencies(&mut self) -> &Frequencies {
        self.prepare(1);
        self.distribution(0)
    }

    /// Brings the distributions of the first `lanes` lanes up to date.
    pub fn prepare(&mut self, lanes: usize) {
        if self.has_frequencies >= lanes {
            return;
        }
        (self.has_frequencies, self.has_views) = (lanes, 0);
        let (level, logits) = (self.level, &mut self.logits);
        for head in 0..self.heads {
            match (&mut self.worker, &mut self.state) {
                (Worker::Rwkv7(b, scratch), NetworkState::Rwkv7(s)) => b.logits(level, head, lanes, s, logits, scratch),
                (Worker::Learner(work), NetworkState::Learner(learner)) => {
                    work.logits(level, learner, logits);
                }
                (_, NetworkState::Gru(gru)) => gru.logits(level, lanes, logits),
                _ => unreachable!("of the same blueprint"),
            }
            for lane in 0..lanes {
                self.frequencies[lane * self.heads + head].set(level, logits.row(lane));
            }
        }
    }

    /// The distribution of a lane's next byte as the coders use it, as of the last [`Network::prepare`]: that of the last
    /// head. Of two heads, the last one learns.
    pub fn distribution(&self, lane: usize) -> &Frequencies {
        &self.frequencies[lane * self.heads + self.heads - 1]
    }

    /// Brings [`Network::views`] of the first `lanes` lanes up to date.
    pub fn prepare_views(&mut self, lanes: usize) {
        self.prepare(lanes);
        if self.has_views < lanes {
            self.has_views = lanes;
            let n = lanes * self.heads;
            self.views[..n].iter_mut().zip(&self.frequencies).for_each(|(view, frequencies)| view.set(frequencies));
        }
    }

    /// The distributions of all heads in a lane, as of the last [`Network::prepare_views`].
    pub fn views(&self, lane: usize) -> &[BitView] {
        &self.views[lane * self.heads..][..self.heads]
    }

    /// Gives the network the next bytes, one of each of the first `lanes` lanes and so on, so that it may batch some of
    /// them. All bytes of a batch must be observed before any other call. `needs_logits`: whether the distributions after
    /// these bytes will be used.
    pub fn lookahead(&mut self, bytes: &[u8], lanes: usize, needs_logits: bool) {
        if let (Worker::Rwkv7(b, scratch), NetworkState::Rwkv7(state)) = (&mut self.worker, &mut self.state) {
            b.lookahead(self.level, bytes, lanes, needs_logits, state, scratch);
        }
    }

    /// Trains on a step if the rule requires it, then updates the state with it. `kept`: whether its bytes become part of
    /// a GRU's history.
    pub fn observe(&mut self, bytes: &[u8], kept: bool) {
        let lanes = bytes.len();
        let learns = match (&self.worker, &self.state) {
            (_, NetworkState::Rwkv7(state)) => state.learns_next(lanes),
            (Worker::Learner(work), NetworkState::Learner(learner)) => work.learns_next(learner),
            _ => true,
        };
        if learns {
            self.prepare(lanes);
            for (lane, byte) in bytes.iter().enumerate() {
                let error = self.distribution(lane).error(*byte);
                self.errors.row_mut(lane).copy_from_slice(&error);
            }
        }
        let errors = &self.errors;
        match (&mut self.worker, &mut self.state) {
            (Worker::Rwkv7(b, _), NetworkState::Rwkv7(state)) => b.learn(self.level, lanes, state, errors),
            (Worker::Learner(work), NetworkState::Learner(learner)) => work.learn(self.level, learner, errors.row(0)),
            (Worker::Gru(rule, work), NetworkState::Gru(gru)) => gru.learn(self.level, rule, lanes, errors, work),
            _ => unreachable!("of the same blueprint"),
        }
        self.step(bytes, kept);
    }

    fn step(&mut self, bytes: &[u8], kept: bool) {
        match (&mut self.worker, &mut self.state) {
            (Worker::Rwkv7(b, scratch), NetworkState::Rwkv7(state)) => b.step(self.level, bytes, state, scratch),
            (Worker::Learner(work), NetworkState::Learner(learner)) => work.step(self.level, learner, bytes[0]),
            (Worker::Gru(_, work), NetworkState::Gru(gru)) => gru.step(self.level, bytes, kept, work),
            _ => unreachable!("of the same blueprint"),
        }
        self.forget();
    }

    /// Adds a block's bytes to a GRU's history.
    pub fn keep(&mut self, bytes: &[u8]) {
        if let NetworkState::Gru(gru) = &mut self.state {
            gru.keep(bytes);
        }
    }

    /// Whether it learns by a policy.
    pub fn has_policy(&self) -> bool {
        matches!(self.worker, Worker::Learner(_))
    }

    /// Whether its policy, if it has one, can tell what happens at each position.
    pub fn knows_length(&self) -> bool {
        match (&self.worker, &self.state) {
            (Worker::Learner(work), NetworkState::Learner(learner)) => work.knows_length(learner),
            _ => true,
        }
    }

    /// Whether its policy has positions in percent.
    pub fn needs_length(&self) -> bool {
        matches!(&self.worker, Worker::Learner(work) if work.needs_length())
    }

    /// Starts a stream of `total` bytes for a policy: the cursor becomes 0, and pairs not yet trained on are dropped.
    pub fn begin_stream(&mut self, total: Option<u64>) {
        if let (Worker::Learner(work), NetworkState::Learner(learner)) = (&mut self.worker, &mut self.state) {
            work.begin(self.level, learner, total);
            self.forget();
        }
    }

    /// Ends a policy's stream: trains on the pairs not yet trained on.
    pub fn end_stream(&mut self) {
        if let (Worker::Learner(work), NetworkState::Learner(learner)) = (&mut self.worker, &mut self.state) {
            work.end(self.level, learner);
            self.forget();
        }
    }

    /// The probabilities of all bytes, as the coders use them.
    pub fn probabilities(&mut self, out: &mut [f32; VOCAB]) {
        out.copy_from_slice(flat(&self.frequencies().probabilities()));
    }
}
