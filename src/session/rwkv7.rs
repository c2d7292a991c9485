//! An RWKV-7 network at work: shared weights, a state, and a head that may learn.

use std::sync::Arc;

use crate::adapt::{Head, Rule, Train};
use crate::error::Result;
use crate::model::VOCAB;
use crate::model::rwkv7::{Config, Scratch, State, Weights};
use crate::numeric::buffer::{Rows, Vec16};
use crate::numeric::level::Level;
use crate::numeric::simd::WIDTH;

/// A network and how its head learns: immutable, shared.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// The network.
    pub weights: Arc<Weights>,
    /// How the head learns.
    pub rule: Rule,
    /// Whether the head that learns stands beside the frozen one, not in its place.
    pub beside: bool,
}

/// Everything that bytes have changed.
#[derive(Debug)]
pub struct Learned {
    state: State,
    /// What the head takes in for the next byte.
    features: Rows,
    head: Option<Head>,
}

impl Blueprint {
    /// The state before any byte.
    ///
    /// # Errors
    /// `Memory`.
    pub fn fresh(&self) -> Result<Learned> {
        let config = self.weights.config();
        let head = match (self.rule.train, self.weights.start()) {
            (Train::None, _) => None,
            (train, start) => Some(Head::new(start.expect("a head that is trained has a start"), train)?),
        };
        Ok(Learned { state: State::new(config, 1)?, features: Rows::new(1, config.hidden)?, head })
    }

    /// Memory to work in.
    ///
    /// # Errors
    /// `Memory`.
    pub fn scratch(&self) -> Result<Scratch> {
        Scratch::new(self.weights.config(), 1)
    }

    /// How many heads there are.
    pub fn heads(&self) -> usize {
        1 + usize::from(self.beside)
    }

    /// The logits of the next byte that a head gives; the last one is the one that learns.
    pub fn logits(&self, level: Level, head: usize, learned: &Learned, logits: &mut Rows, scratch: &mut Scratch) {
        match &learned.head {
            Some(learned_head) if head + 1 == self.heads() => learned_head.logits(level, &learned.features, logits),
            _ => self.weights.logits(level, &learned.features, logits, scratch),
        }
    }

    /// Learns from a byte; the error serves only where [`Learned::wants_error`].
    pub fn learn(&self, level: Level, learned: &mut Learned, error: &[Vec16; VOCAB / WIDTH]) {
        let Learned { features, head, .. } = learned;
        if let Some(head) = head {
            head.learn(level, &self.rule, error, features.row(0));
        }
    }

    /// Takes in a byte.
    pub fn step(&self, level: Level, byte: u8, learned: &mut Learned, scratch: &mut Scratch) {
        self.weights.step(level, &[byte], &mut learned.state, scratch);
        learned.features.copy_from(scratch.features());
    }
}

impl Learned {
    /// Whether the next byte is learned from: if not it need not be given probabilities.
    pub fn wants_error(&self) -> bool {
        self.head.as_ref().is_some_and(Head::learns_next)
    }

    /// Takes over another one of the same blueprint, without taking memory.
    pub fn copy_from(&mut self, other: &Self) {
        self.state.copy_from(&other.state);
        self.features.copy_from(&other.features);
        if let (Some(to), Some(from)) = (&mut self.head, &other.head) {
            to.copy_from(from);
        }
    }

    /// Shows all of its numbers, in a fixed order: floats, then others.
    pub fn visit(&self, floats: &mut dyn FnMut(&[Vec16]), others: &mut dyn FnMut(&[u8])) {
        self.state.parts().into_iter().for_each(&mut *floats);
        floats(self.features.row(0));
        if let Some(head) = &self.head {
            let (parts, powers, wait) = head.parts();
            parts.into_iter().for_each(&mut *floats);
            others(powers.map(f32::to_le_bytes).as_flattened());
            others(&wait.to_le_bytes());
        }
    }

    /// How many bytes it takes; saturates.
    pub fn bytes(config: &Config, train: Train) -> u64 {
        let head = if train == Train::None { 0 } else { Head::bytes(config.hidden as u64, train) };
        config.state_bytes().saturating_add(head).saturating_add(config.hidden as u64 * 4)
    }
}
