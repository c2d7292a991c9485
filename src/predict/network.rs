//! A network of either kind at work: the distribution of the next byte, and learning from the byte that came.
//!
//! [`super::predictor`] uses it alone or as one input of a mix.

use super::rwkv7;
use crate::adapt::{Gru, GruRule, GruWork};
use crate::coder::Frequencies;
use crate::error::Result;
use crate::mix::BitView;
use crate::model::{VOCAB, gru};
use crate::numeric::buffer::Rows;
use crate::numeric::level::Level;
use crate::numeric::vector::{Vec16, WIDTH, flat};
use crate::numeric::visit::Visitor;

/// The byte that an empty stream is taken to follow.
const PRIMING: u8 = 0;

/// Which network, and how it learns.
#[derive(Clone, Debug)]
pub enum Blueprint {
    /// Shared weights.
    Rwkv7(rwkv7::Blueprint),
    /// Weights that start from a seed and all learn.
    Gru {
        /// The shape.
        config: gru::Config,
        /// Names the first weights.
        seed: u64,
        /// How they learn.
        rule: GruRule,
    },
}

impl Blueprint {
    /// How many bytes a state takes, without shared weights and [`Blueprint::scratch_bytes`]; saturates.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Rwkv7(b) => rwkv7::NetworkState::bytes(b.weights.config(), b.rule.train),
            Self::Gru { config, rule, .. } => Gru::bytes(config, rule),
        }
        .saturating_add(8 * VOCAB as u64)
    }

    /// How many bytes of scratch memory a predictor takes, where that is much; saturates.
    pub fn scratch_bytes(&self) -> u64 {
        match self {
            Self::Rwkv7(b) => rwkv7::Scratch::bytes(b.weights.config()),
            Self::Gru { .. } => 0,
        }
    }

    /// How many bytes the shared weights take.
    pub fn shared_bytes(&self) -> u64 {
        match self {
            Self::Rwkv7(b) => b.weights.config().weight_bytes(b.weights.packing()),
            Self::Gru { .. } => 0,
        }
    }

    /// How many distributions of the next byte it gives.
    pub fn heads(&self) -> usize {
        match self {
            Self::Rwkv7(b) => b.heads(),
            Self::Gru { .. } => 1,
        }
    }

    fn initial(&self) -> Result<NetworkState> {
        Ok(match self {
            Self::Rwkv7(b) => NetworkState::Rwkv7(b.initial()?),
            Self::Gru { config, seed, rule } => NetworkState::Gru(Box::new(Gru::new(config, *seed, rule)?)),
        })
    }
}

/// Everything that bytes have changed: equal states predict the same from here on.
#[derive(Debug)]
pub enum NetworkState {
    /// A recurrent state, and a head where it learns.
    Rwkv7(rwkv7::NetworkState),
    /// All weights, and the last steps.
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

    /// Copies another state of the same blueprint, without taking memory.
    pub fn copy_from(&mut self, other: &Self) {
        match (self, other) {
            (Self::Rwkv7(to), Self::Rwkv7(from)) => to.copy_from(from),
            (Self::Gru(to), Self::Gru(from)) => to.copy_from(from),
            _ => unreachable!("of the same blueprint"),
        }
    }

    /// Shows all of it, in a fixed order.
    pub fn visit(&self, visitor: &mut impl Visitor) {
        match self {
            Self::Rwkv7(state) => state.visit(visitor),
            Self::Gru(gru) => gru.visit(visitor),
        }
    }
}

/// A blueprint with its scratch memory.
#[derive(Debug)]
enum Worker {
    Rwkv7(rwkv7::Blueprint, Box<rwkv7::Scratch>),
    Gru(GruRule, Box<GruWork>),
}

/// A network at work. It holds all the memory that it will need.
#[derive(Debug)]
pub struct Network {
    worker: Worker,
    level: Level,
    state: NetworkState,
    logits: Rows,
    /// One for each head.
    frequencies: Vec<Frequencies>,
    /// The same distributions as a mix asks for them, bit by bit.
    views: Vec<BitView>,
    /// Whether `frequencies` are those of `state`.
    has_frequencies: bool,
    /// Whether `views` are.
    has_views: bool,
}

impl Network {
    /// A network before any byte, after the priming byte.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(blueprint: &Blueprint) -> Result<Self> {
        let worker = match blueprint {
            Blueprint::Rwkv7(b) => Worker::Rwkv7(b.clone(), Box::new(b.scratch()?)),
            Blueprint::Gru { config, rule, .. } => Worker::Gru(*rule, Box::new(GruWork::new(config, rule)?)),
        };
        let mut network = Self {
            worker,
            level: Level::current(),
            state: blueprint.initial()?,
            logits: Rows::new(1, VOCAB)?,
            frequencies: vec![Frequencies::default(); blueprint.heads()],
            views: vec![BitView::new(&Frequencies::default()); blueprint.heads()],
            has_frequencies: false,
            has_views: false,
        };
        network.step(PRIMING);
        Ok(network)
    }

    /// Computes at the CPU level that is allowed now.
    pub fn use_current_level(&mut self) {
        self.level = Level::current();
    }

    /// What bytes have changed so far. Not in the middle of a lookahead batch.
    pub fn state(&self) -> &NetworkState {
        debug_assert!(!matches!(&self.worker, Worker::Rwkv7(_, scratch) if !scratch.is_drained()));
        &self.state
    }

    /// Replaces the state by a copy of another one, and computes at the CPU level that is allowed now.
    pub fn restore(&mut self, state: &NetworkState) {
        self.use_current_level();
        self.state.copy_from(state);
        if let Worker::Rwkv7(_, scratch) = &mut self.worker {
            scratch.clear();
        }
        (self.has_frequencies, self.has_views) = (false, false);
    }

    /// The distribution of the next byte as the coders use it: the last head's, which learns where there are two.
    pub fn frequencies(&mut self) -> &Frequencies {
        if !std::mem::replace(&mut self.has_frequencies, true) {
            let (level, logits) = (self.level, &mut self.logits);
            for (head, frequencies) in self.frequencies.iter_mut().enumerate() {
                match (&mut self.worker, &self.state) {
                    (Worker::Rwkv7(b, scratch), NetworkState::Rwkv7(s)) => b.logits(level, head, s, logits, scratch),
                    (_, NetworkState::Gru(gru)) => gru.logits(level, logits),
                    _ => unreachable!("of the same blueprint"),
                }
                frequencies.set(level, logits.row(0));
            }
        }
        self.frequencies.last().expect("one head at least")
    }

    /// Makes [`Network::views`] those of the next byte.
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

    /// Told which bytes come next, it may batch some of them. All bytes of a batch must be observed before anything else
    /// is done. `needs_logits`: whether the distribution after each of them will be asked for.
    pub fn lookahead(&mut self, bytes: &[u8], needs_logits: bool) {
        if let (Worker::Rwkv7(b, scratch), NetworkState::Rwkv7(state)) = (&mut self.worker, &mut self.state) {
            b.lookahead(self.level, bytes, needs_logits, state, scratch);
        }
    }

    /// Takes in a byte: trains on it where the rule says so, then steps.
    pub fn observe(&mut self, byte: u8) {
        let learns = match &self.state {
            NetworkState::Rwkv7(state) => state.learns_next(),
            NetworkState::Gru(_) => true,
        };
        let error = if learns { self.frequencies().error(byte) } else { [Vec16::ZERO; VOCAB / WIDTH] };
        match (&mut self.worker, &mut self.state) {
            (Worker::Rwkv7(b, _), NetworkState::Rwkv7(state)) => b.learn(self.level, state, &error),
            (Worker::Gru(rule, work), NetworkState::Gru(gru)) => gru.learn(self.level, rule, &error, work),
            _ => unreachable!("of the same blueprint"),
        }
        self.step(byte);
    }

    fn step(&mut self, byte: u8) {
        match (&mut self.worker, &mut self.state) {
            (Worker::Rwkv7(b, scratch), NetworkState::Rwkv7(state)) => b.step(self.level, byte, state, scratch),
            (Worker::Gru(_, work), NetworkState::Gru(gru)) => gru.step(self.level, byte, work),
            _ => unreachable!("of the same blueprint"),
        }
        (self.has_frequencies, self.has_views) = (false, false);
    }

    /// The probabilities of all bytes, as the coders use them.
    pub fn probabilities(&mut self, out: &mut [f32; VOCAB]) {
        out.copy_from_slice(flat(&self.frequencies().probabilities()));
    }
}
