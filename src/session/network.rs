//! A network, its state and its learning head: what the next byte will be, and what to make of it.
//!
//! [`super::predictor`] uses it alone or as one input of a mix.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::adapt::{Head, Rule, Train};
use crate::coder::{Distribution, Frequencies};
use crate::error::Result;
use crate::model::VOCAB;
use crate::model::rwkv7::{Config, Scratch, State, Weights};
use crate::numeric::buffer::{Rows, Vec16, flat};
use crate::numeric::level::Level;
use crate::numeric::simd::WIDTH;

/// The byte that an empty stream is taken to follow.
const PRIMING: u8 = 0;

/// A network and how its head learns: immutable, shared.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// The network.
    pub weights: Arc<Weights>,
    /// How the head learns.
    pub rule: Rule,
}

/// Everything that bytes have changed: two equal ones predict the same for ever.
#[derive(Clone, Debug)]
pub struct Learned {
    state: State,
    /// What the head takes in for the next byte.
    features: Rows,
    head: Option<Head>,
}

impl Learned {
    /// The state before any byte.
    ///
    /// # Errors
    /// `Memory`.
    fn fresh(blueprint: &Blueprint) -> Result<Self> {
        let config = blueprint.weights.config();
        let head = match (blueprint.rule.train, blueprint.weights.head_panels()) {
            (Train::None, _) => None,
            (train, panels) => Some(Head::new(panels.expect("a head that is trained is held as f32"), train)?),
        };
        Ok(Self { state: State::new(config, 1)?, features: Rows::new(1, config.hidden)?, head })
    }

    /// A copy, where there is memory for it.
    ///
    /// # Errors
    /// `Memory`.
    pub fn try_clone(&self, blueprint: &Blueprint) -> Result<Self> {
        let mut copy = Self::fresh(blueprint)?;
        copy.copy_from(self);
        Ok(copy)
    }

    /// Takes over another one of the same blueprint, without taking memory.
    pub fn copy_from(&mut self, other: &Self) {
        self.state.copy_from(&other.state);
        self.features.row_mut(0).copy_from_slice(other.features.row(0));
        if let (Some(to), Some(from)) = (&mut self.head, &other.head) {
            to.copy_from(from);
        }
    }

    /// Hashes all of it. A NaN counts as the same whatever its payload, which is the CPU's choice.
    pub fn hash(&self, hash: &mut Sha256) {
        let mut add = |vectors: &[Vec16]| {
            for v in vectors {
                let bytes = v.0.map(|x| if x.is_nan() { f32::NAN } else { x }.to_le_bytes());
                hash.update(bytes.as_flattened());
            }
        };
        self.state.parts().into_iter().for_each(&mut add);
        add(self.features.row(0));
        if let Some(head) = &self.head {
            let (parts, powers, wait) = head.parts();
            parts.into_iter().for_each(&mut add);
            hash.update(powers.map(f32::to_le_bytes).as_flattened());
            hash.update(wait.to_le_bytes());
        }
    }

    /// How many bytes it takes; saturates.
    pub fn bytes(config: &Config, train: Train) -> u64 {
        let head = if train == Train::None { 0 } else { Head::bytes(config.hidden as u64, train) };
        config.state_bytes().saturating_add(head).saturating_add(config.hidden as u64 * 4)
    }
}

/// A predictor at work: it holds all the memory that it will need.
#[derive(Debug)]
pub struct Predictor {
    blueprint: Blueprint,
    level: Level,
    learned: Learned,
    scratch: Scratch,
    logits: Rows,
    frequencies: Frequencies,
    /// Whether `frequencies` are those of `learned`.
    current: bool,
}

impl Predictor {
    /// A predictor before any byte: primed.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(blueprint: &Blueprint) -> Result<Self> {
        let mut predictor = Self {
            blueprint: blueprint.clone(),
            level: Level::current(),
            learned: Learned::fresh(blueprint)?,
            scratch: Scratch::new(blueprint.weights.config(), 1)?,
            logits: Rows::new(1, VOCAB)?,
            frequencies: Frequencies::default(),
            current: false,
        };
        predictor.step(PRIMING);
        Ok(predictor)
    }

    /// How many bytes one takes, without the network; saturates.
    pub fn bytes(config: &Config, train: Train) -> u64 {
        Learned::bytes(config, train).saturating_add(Scratch::bytes(config)).saturating_add(8 * VOCAB as u64)
    }

    /// Goes on with the CPU level that is allowed now.
    pub fn use_current_level(&mut self) {
        self.level = Level::current();
    }

    /// What bytes have changed so far.
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// Goes on from elsewhere, with the CPU level that is allowed now.
    pub fn restore(&mut self, learned: &Learned) {
        self.use_current_level();
        self.learned.copy_from(learned);
        self.current = false;
    }

    /// The distribution of the next byte, as the coders use it.
    pub fn frequencies(&mut self) -> &Frequencies {
        if !self.current {
            let Learned { features, head, .. } = &self.learned;
            match head {
                Some(head) => head.logits(self.level, features, &mut self.logits),
                None => self.blueprint.weights.logits(self.level, features, &mut self.logits, &mut self.scratch),
            }
            self.frequencies.set(self.level, self.logits.row(0));
            self.current = true;
        }
        &self.frequencies
    }

    /// Takes in a byte: learns from it where the rule says so, then steps.
    pub fn observe(&mut self, byte: u8) {
        if self.learned.head.as_ref().is_some_and(Head::learns_next) {
            let error = error_of(self.frequencies(), byte);
            self.learn(&error);
        } else if self.learned.head.is_some() {
            self.learn(&[Vec16::ZERO; VOCAB / WIDTH]);
        }
        self.step(byte);
    }

    fn learn(&mut self, error: &[Vec16; VOCAB / WIDTH]) {
        let Learned { features, head, .. } = &mut self.learned;
        if let Some(head) = head {
            head.learn(self.level, &self.blueprint.rule, error, features.row(0));
        }
    }

    fn step(&mut self, byte: u8) {
        self.blueprint.weights.step(self.level, &[byte], &mut self.learned.state, &mut self.scratch);
        self.learned.features.row_mut(0).copy_from_slice(self.scratch.features().row(0));
        self.current = false;
    }

    /// The probabilities of all bytes, as the coders use them.
    pub fn probabilities(&mut self, out: &mut [f32; VOCAB]) {
        let frequencies = self.frequencies();
        out.copy_from_slice(flat(&probabilities(frequencies)));
    }
}

/// Each byte's frequency over the total: `float(frequency) * (1 / float(total))`.
fn probabilities(frequencies: &Frequencies) -> [Vec16; VOCAB / WIDTH] {
    let scale = 1.0 / frequencies.total() as f32;
    std::array::from_fn(|row| {
        Vec16(std::array::from_fn(|i| frequencies.weight((row * WIDTH + i) as u8) as f32 * scale))
    })
}

/// Target minus probability: the gradient of the byte's log-probability in the logits.
fn error_of(frequencies: &Frequencies, byte: u8) -> [Vec16; VOCAB / WIDTH] {
    let mut error = probabilities(frequencies).map(|v| Vec16(v.0.map(|p| 0.0 - p)));
    let target = &mut error[usize::from(byte) / WIDTH].0[usize::from(byte) % WIDTH];
    *target += 1.0;
    error
}
