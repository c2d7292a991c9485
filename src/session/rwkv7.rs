//! An RWKV-7 network at work: shared weights, a state, and a head that may learn.

use std::ops::Range;
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

/// How many bytes that are known to come are taken in at once: the weights are read once for all of them.
const AHEAD: usize = 32;

/// Memory to work in.
#[derive(Debug)]
pub struct Work {
    scratch: Scratch,
    /// The bytes in `scratch`, and those of them that are still to be shown.
    bytes: [u8; AHEAD],
    ahead: Range<usize>,
    /// What the frozen head said of what follows each of them, where it was asked.
    said: Rows,
    asked: bool,
    /// The same of the next byte: `said` may be of those after it.
    now: Rows,
    has_said: bool,
}

impl Work {
    fn new(config: &Config) -> Result<Self> {
        let (scratch, said, now) = (Scratch::new(config, AHEAD)?, Rows::new(AHEAD, VOCAB)?, Rows::new(1, VOCAB)?);
        Ok(Self { scratch, bytes: [0; AHEAD], ahead: 0..0, said, asked: false, now, has_said: false })
    }

    /// How many bytes it takes; saturates.
    pub fn bytes(config: &Config) -> u64 {
        Scratch::bytes(config).saturating_add(4 * VOCAB as u64).saturating_mul(AHEAD as u64)
    }

    /// Forgets what was taken in ahead: the state is another one now.
    pub fn turn(&mut self) {
        (self.ahead, self.has_said) = (0..0, false);
    }

    /// Whether the state is that of the bytes shown, and no further.
    pub fn is_even(&self) -> bool {
        self.ahead.is_empty()
    }
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
    pub fn work(&self) -> Result<Work> {
        Work::new(self.weights.config())
    }

    /// How many heads there are.
    pub fn heads(&self) -> usize {
        1 + usize::from(self.beside)
    }

    /// The logits of the next byte that a head gives; the last one is the one that learns.
    pub fn logits(&self, level: Level, head: usize, learned: &Learned, logits: &mut Rows, work: &mut Work) {
        match &learned.head {
            Some(learned_head) if head + 1 == self.heads() => learned_head.logits(level, &learned.features, logits),
            _ if work.has_said => logits.copy_from(&work.now),
            _ => self.weights.logits(level, &learned.features, logits, &mut work.scratch),
        }
    }

    /// Takes in some of the bytes that will be shown, from the next one on, if none was taken in ahead. `asked`: whether the
    /// frozen head will be asked what follows each.
    pub fn foresee(&self, level: Level, bytes: &[u8], asked: bool, learned: &mut Learned, work: &mut Work) {
        if !work.is_even() || bytes.is_empty() {
            return;
        }
        let n = bytes.len().min(AHEAD);
        work.bytes[..n].copy_from_slice(&bytes[..n]);
        self.weights.step(level, &bytes[..n], &mut learned.state, &mut work.scratch);
        (work.ahead, work.asked) = (0..n, asked && (self.beside || learned.head.is_none()));
        if work.asked {
            work.said.set_lanes(n);
            self.weights.logits_of_step(level, &mut work.said, &mut work.scratch);
        }
    }

    /// Learns from a byte; the error serves only where [`Learned::wants_error`].
    pub fn learn(&self, level: Level, learned: &mut Learned, error: &[Vec16; VOCAB / WIDTH]) {
        let Learned { features, head, .. } = learned;
        if let Some(head) = head {
            head.learn(level, &self.rule, error, features.row(0));
        }
    }

    /// Takes in a byte, where that was not done ahead.
    pub fn step(&self, level: Level, byte: u8, learned: &mut Learned, work: &mut Work) {
        self.foresee(level, &[byte], false, learned, work);
        let row = work.ahead.next().expect("taken in, now or before");
        debug_assert!(work.bytes[row] == byte, "another byte was foreseen");
        learned.features.row_mut(0).copy_from_slice(work.scratch.features().row(row));
        work.has_said = work.asked;
        if work.asked {
            work.now.row_mut(0).copy_from_slice(work.said.row(row));
        }
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
