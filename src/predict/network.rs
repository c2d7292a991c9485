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
use crate::numeric::vector::{Vec16, WIDTH, flat};

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
    /// The bytes that a state takes, without shared weights and [`Blueprint::scratch_bytes`]; saturates.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Rwkv7(b) => rwkv7::NetworkState::bytes(b.weights.config(), b.rule.train),
            Self::Learner { params, policy } => Learner::bytes(params.config(), policy),
            Self::Gru { config, rule, .. } => Gru::bytes(config, rule),
        }
        .saturating_add(8 * VOCAB as u64)
    }

    /// The bytes of scratch memory of a predictor; saturates. 0 for a GRU, whose scratch memory [`Blueprint::bytes`]
    /// includes.
    pub fn scratch_bytes(&self) -> u64 {
        match self {
            Self::Rwkv7(b) => rwkv7::Scratch::bytes(b.weights.config()),
            Self::Learner { params, policy } => LearnerWork::bytes(params.config(), policy),
            Self::Gru { .. } => 0,
        }
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

    /// A state whose content does not matter, into which another one is copied or loaded.
    pub(super) fn initial(&self) -> Result<NetworkState> {
        Ok(match self {
            Self::Rwkv7(b) => NetworkState::Rwkv7(b.initial()?),
            Self::Learner { params, policy } => {
                NetworkState::Learner(boxed(Learner::new(params, policy)?, "a network that learns")?)
            }
            Self::Gru { config, seed, rule } => NetworkState::Gru(boxed(Gru::new(config, *seed, rule)?, "a GRU")?),
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
    /// A copy.
    ///
    /// # Errors
    /// `Memory`.
    pub fn try_clone(&self, blueprint: &Blueprint) -> Result<Self> {
        let mut copy = blueprint.initial()?;
        copy.copy_from(self);
        Ok(copy)
    }

    /// Copies another state of the same blueprint. Allocates nothing.
    pub fn copy_from(&mut self, other: &Self) {
        match (self, other) {
            (Self::Rwkv7(to), Self::Rwkv7(from)) => to.copy_from(from),
            (Self::Learner(to), Self::Learner(from)) => to.copy_from(from),
            (Self::Gru(to), Self::Gru(from)) => to.copy_from(from),
            _ => unreachable!("of the same blueprint"),
        }
    }

    /// Stores or loads the whole state.
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
#[derive(Debug)]
pub struct Network {
    worker: Worker,
    level: Level,
    state: NetworkState,
    logits: Rows,
    /// One for each head.
    frequencies: Vec<Frequencies>,
    /// The same distributions as probabilities of bits, for the mix.
    views: Vec<BitView>,
    /// Whether `frequencies` are up to date with `state`.
    has_frequencies: bool,
    /// Whether `views` are up to date with `frequencies`.
    has_views: bool,
}

impl Network {
    /// A network after the priming byte, before any other.
    ///
    /// # Errors
    /// `Memory`.
    #[inline(never)] // For the same reason as `new_mix`.
    pub fn new(blueprint: &Blueprint) -> Result<Self> {
        let worker = match blueprint {
            Blueprint::Rwkv7(b) => Worker::Rwkv7(b.clone(), boxed(b.scratch()?, "scratch memory")?),
            Blueprint::Learner { params, policy } => {
                Worker::Learner(boxed(LearnerWork::new(params, policy)?, "scratch memory")?)
            }
            Blueprint::Gru { config, rule, .. } => {
                Worker::Gru(*rule, boxed(GruWork::new(config, rule)?, "scratch memory")?)
            }
        };
        let mut network = Self {
            worker,
            level: Level::current(),
            state: blueprint.initial()?,
            logits: Rows::new(1, VOCAB)?,
            frequencies: made(blueprint.heads(), "distributions", |_| Ok(Frequencies::default()))?,
            views: made(blueprint.heads(), "distributions", |_| Ok(BitView::new(&Frequencies::default())))?,
            has_frequencies: false,
            has_views: false,
        };
        network.step(PRIMING);
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

    /// Copies another state of the same blueprint, and switches to the current CPU level.
    pub fn restore(&mut self, state: &NetworkState) {
        self.use_current_level();
        self.state.copy_from(state);
        match (&mut self.worker, &self.state) {
            (Worker::Rwkv7(_, scratch), _) => scratch.clear(),
            (Worker::Learner(work), NetworkState::Learner(learner)) => work.restore(self.level, learner),
            _ => {}
        }
        (self.has_frequencies, self.has_views) = (false, false);
    }

    /// The distribution of the next byte as the coders use it: that of the last head. Of two heads, the last one
    /// learns.
    pub fn frequencies(&mut self) -> &Frequencies {
        if !std::mem::replace(&mut self.has_frequencies, true) {
            let (level, logits) = (self.level, &mut self.logits);
            for (head, frequencies) in self.frequencies.iter_mut().enumerate() {
                match (&mut self.worker, &self.state) {
                    (Worker::Rwkv7(b, scratch), NetworkState::Rwkv7(s)) => b.logits(level, head, s, logits, scratch),
                    (Worker::Learner(work), NetworkState::Learner(learner)) => {
                        work.logits(level, learner, logits);
                    }
                    (_, NetworkState::Gru(gru)) => gru.logits(level, logits),
                    _ => unreachable!("of the same blueprint"),
                }
                frequencies.set(level, logits.row(0));
            }
        }
        self.frequencies.last().expect("one head at least")
    }

    /// Brings [`Network::views`] up to date.
    pub fn prepare_views(&mut self) {
        self.frequencies();
        if !std::mem::replace(&mut self.has_views, true) {
            self.views.iter_mut().zip(&self.frequencies).for_each(|(view, frequencies)| view.set(frequencies));
        }
    }

    /// The distributions of all heads, as of the last [`Network::prepare_views`].
    pub fn views(&self) -> &[BitView] {
        &self.views
    }

    /// Gives the network the next bytes, so that it may batch some of them. All bytes of a batch must be observed
    /// before any other call. `needs_logits`: whether the distributions after these bytes will be used.
    pub fn lookahead(&mut self, bytes: &[u8], needs_logits: bool) {
        if let (Worker::Rwkv7(b, scratch), NetworkState::Rwkv7(state)) = (&mut self.worker, &mut self.state) {
            b.lookahead(self.level, bytes, needs_logits, state, scratch);
        }
    }

    /// Trains on the byte if the rule requires it, then updates the state with it.
    pub fn observe(&mut self, byte: u8) {
        let learns = match (&self.worker, &self.state) {
            (_, NetworkState::Rwkv7(state)) => state.learns_next(),
            (Worker::Learner(work), NetworkState::Learner(learner)) => work.learns_next(learner),
            _ => true,
        };
        let error = if learns { self.frequencies().error(byte) } else { [Vec16::ZERO; VOCAB / WIDTH] };
        match (&mut self.worker, &mut self.state) {
            (Worker::Rwkv7(b, _), NetworkState::Rwkv7(state)) => b.learn(self.level, state, &error),
            (Worker::Learner(work), NetworkState::Learner(learner)) => work.learn(self.level, learner, &error),
            (Worker::Gru(rule, work), NetworkState::Gru(gru)) => gru.learn(self.level, rule, &error, work),
            _ => unreachable!("of the same blueprint"),
        }
        self.step(byte);
    }

    fn step(&mut self, byte: u8) {
        match (&mut self.worker, &mut self.state) {
            (Worker::Rwkv7(b, scratch), NetworkState::Rwkv7(state)) => b.step(self.level, byte, state, scratch),
            (Worker::Learner(work), NetworkState::Learner(learner)) => work.step(self.level, learner, byte),
            (Worker::Gru(_, work), NetworkState::Gru(gru)) => gru.step(self.level, byte, work),
            _ => unreachable!("of the same blueprint"),
        }
        (self.has_frequencies, self.has_views) = (false, false);
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
            (self.has_frequencies, self.has_views) = (false, false);
        }
    }

    /// Ends a policy's stream: trains on the pairs not yet trained on.
    pub fn end_stream(&mut self) {
        if let (Worker::Learner(work), NetworkState::Learner(learner)) = (&mut self.worker, &mut self.state) {
            work.end(self.level, learner);
            (self.has_frequencies, self.has_views) = (false, false);
        }
    }

    /// The probabilities of all bytes, as the coders use them.
    pub fn probabilities(&mut self, out: &mut [f32; VOCAB]) {
        out.copy_from_slice(flat(&self.frequencies().probabilities()));
    }
}
