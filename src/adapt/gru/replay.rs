//! Replay: the GRU also trains on earlier segments of the text, several of them side by side in lanes.

use super::Rule;
use crate::coder::Frequencies;
use crate::error::Result;
use crate::model::VOCAB;
use crate::model::gru::{Config, Gradients, Moment, Scratch, Weights};
use crate::numeric::buffer::{Rows, filled, made};
use crate::numeric::level::Level;
use crate::numeric::random::Random;

/// The bytes of text that are kept for replay.
pub(super) const HISTORY: usize = 1 << 18;

/// Scratch memory for the segments of one training step.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) tape: Vec<Moment>,
    pub(super) gradients: Gradients,
    scratch: Scratch,
    logits: Rows,
    frequencies: Frequencies,
    /// The position of each segment's first byte.
    starts: Vec<u64>,
    /// The bytes of one time step, by lane.
    tokens: Vec<u8>,
}

impl Replay {
    /// Scratch memory for the rule's segments: `replay` lanes of `bptt` time steps.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn new(config: &Config, rule: &Rule) -> Result<Self> {
        let lanes = rule.replay as usize;
        Ok(Self {
            tape: made(rule.bptt as usize, "activations", |_| Moment::new(config, lanes))?,
            gradients: Gradients::new(config, rule.bptt as usize, lanes)?,
            scratch: Scratch::new(config, lanes)?,
            logits: Rows::new(lanes, VOCAB)?,
            frequencies: Frequencies::default(),
            starts: filled(lanes, 0, "segments")?,
            tokens: filled(lanes, 0, "segments")?,
        })
    }

    /// Forward and backward passes over segments that `random` chooses, from zero states. `history` is a ring, and
    /// `count` the number of bytes that were ever written to it.
    pub(super) fn run(&mut self, level: Level, weights: &Weights, history: &[u8], count: u64, random: &mut Random) {
        let (steps, kept) = (self.tape.len() as u64, count.min(history.len() as u64));
        let byte = |at: u64| history[(at % history.len() as u64) as usize];
        for start in &mut self.starts {
            *start = count - kept + random.next_u64() % (kept - steps);
        }
        for step in 0..self.tape.len() {
            for (token, start) in self.tokens.iter_mut().zip(&self.starts) {
                *token = byte(start + step as u64);
            }
            let (before, now) = self.tape.split_at_mut(step);
            let now = &mut now[0];
            weights.step(level, &self.tokens, before.last(), &mut self.scratch, now);
            // The first quarter only warms up the state, which starts at zero.
            now.trains = 4 * step as u64 >= steps;
            if now.trains {
                weights.logits(level, self.starts.len(), &now.features, &mut self.logits);
                for (lane, start) in self.starts.iter().enumerate() {
                    self.frequencies.set(level, self.logits.row(lane));
                    let error = self.frequencies.error(byte(start + step as u64 + 1));
                    now.error.row_mut(lane).copy_from_slice(&error);
                }
            }
        }
        self.gradients.run(level, weights, self.tape.iter());
    }
}
