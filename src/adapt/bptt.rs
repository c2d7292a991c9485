//! Truncated backpropagation through time by a policy: all parameters of an RWKV-7 network learn while it predicts
//! (Williams, Peng 1990, "An Efficient Gradient-Based Algorithm for On-Line Training of Recurrent Network Trajectories").
//!
//! A pair is a byte that the network has processed and the byte that followed it. A segment of pairs ends when it is as
//! long as the policy's window, when the setting changes, at a position that is not trained on, and at the end of a
//! stream. Then the gradients of the mean of ln p over its pairs are computed from the segment's start state, the optimiser
//! makes one step, and the network goes on from the state that the segment's activations ended in. These are kept from the
//! predictions, so nothing is computed twice.

use std::sync::Arc;

use super::optimiser::{AdamStep, Moments, Powers, Train};
use super::policy::{Policy, Schedule, Training};
use crate::coder::Frequencies;
use crate::error::Result;
use crate::model::VOCAB;
use crate::model::rwkv7::{Backward, Config, Params, State, Tape};
use crate::numeric::buffer::{Rows, filled};
use crate::numeric::level::{Kernel, Level};
use crate::numeric::simd::Simd;
use crate::numeric::transfer::Transfer;
use crate::numeric::vector::Vec16;

/// A length that is not known.
const UNKNOWN: u64 = u64::MAX;

/// Everything that bytes have changed.
#[derive(Debug)]
pub struct Learner {
    params: Params,
    /// Adam's moments, in the layout of the parameters; empty if no action uses Adam.
    moments: Moments,
    powers: Powers,
    /// The velocity of SGD with momentum; empty if no action has momentum.
    velocity: Vec<Vec16>,
    /// The state before the first byte of the segment.
    start: State,
    /// The bytes of the segment. All but the last one have a target: the byte after them.
    segment: Vec<u8>,
    held: usize,
    /// The position in the stream of the next byte, and the length of the stream or [`UNKNOWN`].
    cursor: u64,
    total: u64,
}

/// Scratch memory, which depends only on the state: [`Work::restore`] computes it.
#[derive(Debug)]
pub struct Work {
    schedule: Schedule,
    tape: Tape,
    backward: Backward,
    /// Target minus probability, a row for each pair.
    errors: Rows,
    logits: Rows,
    frequencies: Frequencies,
}

impl Learner {
    /// The state before any byte.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(params: &Params, policy: &Policy) -> Result<Self> {
        let n = params.values().len();
        let (adam, momentum) = policy.optimisers();
        let velocity = filled(if momentum { n } else { 0 }, Vec16::ZERO, "the optimiser's velocity")?;
        Ok(Self {
            params: params.try_clone()?,
            moments: Moments::new(n, if adam { Train::Adam } else { Train::Sgd })?,
            powers: Powers::FIRST,
            velocity,
            start: State::new(params.config(), 1)?,
            segment: filled(policy.window(), 0, "a segment")?,
            held: 0,
            cursor: 0,
            total: UNKNOWN,
        })
    }

    /// The bytes that it takes; saturates.
    pub fn bytes(config: &Config, policy: &Policy) -> u64 {
        let (adam, momentum) = policy.optimisers();
        let copies = 1 + 2 * u64::from(adam) + u64::from(momentum);
        let arrays = Params::vectors(config).saturating_mul(64 * copies);
        arrays.saturating_add(config.state_bytes()).saturating_add(policy.window() as u64)
    }

    /// Copies another state of the same network and policy. Allocates nothing.
    pub fn copy_from(&mut self, other: &Self) {
        self.params.values_mut().copy_from_slice(other.params.values());
        self.moments.copy_from(&other.moments);
        self.powers = other.powers;
        self.velocity.copy_from_slice(&other.velocity);
        self.start.copy_from(&other.start);
        self.segment.copy_from_slice(&other.segment);
        (self.held, self.cursor, self.total) = (other.held, other.cursor, other.total);
    }

    /// Stores or loads the whole state.
    ///
    /// # Errors
    /// Those of `t`.
    pub fn transfer(&mut self, t: &mut impl Transfer) -> Result<()> {
        t.floats(self.params.values_mut())?;
        self.moments.transfer(t)?;
        t.floats(&mut self.velocity)?;
        t.values(&mut self.powers.0)?;
        self.start.parts_mut().into_iter().try_for_each(|part| t.floats(part))?;
        let mut held = self.held as u64;
        // After the priming byte, a segment is never empty.
        t.number(&mut held, 1, self.segment.len() as u64, "the number of bytes of a segment")?;
        self.held = held as usize;
        t.bytes(&mut self.segment[..self.held])?;
        t.number(&mut self.cursor, 0, u64::MAX >> 1, "the position of a policy")?;
        t.number(&mut self.total, 0, u64::MAX, "the length of a stream")
    }

    /// The length of the stream, if it is known.
    fn total(&self) -> Option<u64> {
        (self.total != UNKNOWN).then_some(self.total)
    }
}

impl Work {
    /// Scratch memory.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(params: &Params, policy: &Arc<Policy>) -> Result<Self> {
        let window = policy.window();
        Ok(Self {
            schedule: Schedule::new(policy)?,
            tape: Tape::new(params.config(), window, 1)?,
            backward: Backward::new(params, window, 1)?,
            errors: Rows::new(window, VOCAB)?,
            logits: Rows::new(1, VOCAB)?,
            frequencies: Frequencies::default(),
        })
    }

    /// The bytes that it takes; saturates.
    pub fn bytes(config: &Config, policy: &Policy) -> u64 {
        let window = policy.window() as u64;
        let rows = (window + 1).saturating_mul(4 * VOCAB as u64);
        Tape::bytes(config, window, 1).saturating_add(Backward::bytes(config, window, 1)).saturating_add(rows)
    }

    /// The approximate number of multiplications of a byte on average.
    pub fn work(config: &Config, policy: &Policy) -> u64 {
        // Forward, backward, outer products; the optimiser's step once a segment, which may be one pair long.
        let forward = config.multiplications().saturating_add((VOCAB * config.hidden) as u64);
        let (adam, _) = policy.optimisers();
        forward.saturating_mul(if adam { 6 } else { 5 })
    }

    /// The same of the costliest byte: the one that ends a segment.
    pub fn peak_work(config: &Config, policy: &Policy) -> u64 {
        Self::work(config, policy).saturating_mul(policy.window() as u64 + 1)
    }

    /// Brings the scratch memory up to date with a state.
    pub fn restore(&mut self, level: Level, learner: &Learner) {
        self.schedule.set_total(learner.total());
        self.tape.start(&learner.start);
        for (i, byte) in learner.segment[..learner.held].iter().enumerate() {
            if i > 0 {
                self.set_error(level, learner, *byte);
            }
            self.tape.step(level, &learner.params, &[*byte]);
        }
    }

    /// Records the error of the last prediction, given the byte that came.
    fn set_error(&mut self, level: Level, learner: &Learner, byte: u8) {
        let row = self.tape.held() - 1;
        self.tape.logits(level, &learner.params, row..row + 1, &mut self.logits);
        self.frequencies.set(level, self.logits.row(0));
        self.errors.row_mut(row).copy_from_slice(&self.frequencies.error(byte));
    }

    /// The logits of the next byte.
    pub fn logits(&self, level: Level, learner: &Learner, logits: &mut Rows) {
        let row = self.tape.held() - 1;
        self.tape.logits(level, &learner.params, row..row + 1, logits);
    }

    /// Whether the next byte is trained on. If not, [`Work::learn`] ignores its error.
    pub fn learns_next(&self, learner: &Learner) -> bool {
        self.schedule.at(learner.cursor).is_some()
    }

    /// Whether all positions of the policy are known: none is in percent, or the stream's length is known.
    pub fn knows_length(&self, learner: &Learner) -> bool {
        learner.total().is_some() || !self.needs_length()
    }

    /// Whether the policy has positions in percent.
    pub fn needs_length(&self) -> bool {
        self.schedule.needs_length()
    }

    /// Counts a byte and learns from it. `error` is target minus probability for each of the 256 outputs.
    pub fn learn(&mut self, level: Level, learner: &mut Learner, error: &[Vec16]) {
        let held = self.tape.held();
        let (now, next) = (self.schedule.at(learner.cursor), self.schedule.at(learner.cursor + 1));
        learner.cursor += 1;
        let ends = match now {
            None => true,
            Some((setting, training)) => {
                self.errors.row_mut(held - 1).copy_from_slice(error);
                let ends = held >= training.window() || next.is_none_or(|(next, _)| next != setting);
                if ends {
                    let training = *training;
                    self.train(level, learner, &training);
                }
                ends
            }
        };
        if ends {
            self.end_segment(learner, held);
        }
    }

    /// Processes a byte.
    pub fn step(&mut self, level: Level, learner: &mut Learner, byte: u8) {
        learner.segment[learner.held] = byte;
        learner.held += 1;
        self.tape.step(level, &learner.params, &[byte]);
    }

    /// Starts a new segment from the state after `step` bytes of this one.
    fn end_segment(&mut self, learner: &mut Learner, step: usize) {
        self.tape.start_after(step);
        learner.start.copy_from(self.tape.state(0));
        learner.held = 0;
    }

    /// Starts a stream of `total` bytes: drops the pairs of the segment and sets the cursor to 0.
    pub fn begin(&mut self, level: Level, learner: &mut Learner, total: Option<u64>) {
        learner.cursor = 0;
        learner.total = total.unwrap_or(UNKNOWN);
        self.schedule.set_total(total);
        self.step_again(level, learner);
    }

    /// Ends a stream: trains on the pairs of the segment.
    pub fn end(&mut self, level: Level, learner: &mut Learner) {
        let pairs = learner.held.saturating_sub(1);
        if pairs > 0
            && let Some((_, training)) = learner.cursor.checked_sub(1).and_then(|last| self.schedule.at(last))
        {
            let training = *training;
            self.tape.truncate(pairs);
            self.train(level, learner, &training);
            self.step_again(level, learner);
        }
    }

    /// Makes the last byte the only one of its segment.
    fn step_again(&mut self, level: Level, learner: &mut Learner) {
        if let Some(last) = learner.held.checked_sub(1) {
            let byte = learner.segment[last];
            self.end_segment(learner, last);
            self.step(level, learner, byte);
        }
    }

    /// Trains on the pairs that the tape holds.
    fn train(&mut self, level: Level, learner: &mut Learner, training: &Training) {
        let pairs = self.tape.held();
        level.run(Scale { x: self.errors.span_mut(0..pairs), by: 1.0 / pairs as f32 });
        let Learner { params, moments, powers, velocity, .. } = learner;
        let wanted = |group| training.scope.has(group);
        self.backward.run(level, params, &self.tape, &self.errors, wanted);
        let adam = (training.train == Train::Adam).then(|| powers.next(training.lr));
        let limit = if training.clip > 0.0 { training.clip } else { f32::MAX };
        let mut at = 0;
        while at < params.slots().len() {
            let slot = params.slots()[at];
            at += 1;
            if !wanted(slot.group()) {
                continue;
            }
            // Tensors side by side are updated in one pass.
            let mut range = slot.range();
            while let Some(next) = params.slots().get(at).filter(|next| wanted(next.group())) {
                range.end = next.range().end;
                at += 1;
            }
            let (g, w) = (&self.backward.gradients()[range.clone()], &mut params.values_mut()[range.clone()]);
            match adam {
                Some(step) => {
                    let [m, v] = [&mut moments.first, &mut moments.second].map(|all| &mut all[range.clone()]);
                    level.run(Adam { g, w, m, v, step, limit });
                }
                None => {
                    let velocity = if training.momentum > 0.0 { &mut velocity[range] } else { &mut [] };
                    level.run(Sgd { g, w, velocity, lr: training.lr, momentum: training.momentum, limit });
                }
            }
        }
    }
}

/// `x = x * by`.
struct Scale<'a> {
    x: &'a mut [Vec16],
    by: f32,
}

impl Kernel for Scale<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for x in self.x {
            s.store(s.load(x) * s.splat(self.by), x);
        }
    }
}

/// A gradient between `-limit` and `limit`. A NaN becomes `-limit`.
#[inline(always)]
fn clipped<S: Simd>(s: S, g: &Vec16, limit: f32) -> S::F {
    s.min(s.max(s.load(g), s.splat(-limit)), s.splat(limit))
}

struct Adam<'a> {
    g: &'a [Vec16],
    w: &'a mut [Vec16],
    m: &'a mut [Vec16],
    v: &'a mut [Vec16],
    step: AdamStep,
    limit: f32,
}

impl Kernel for Adam<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (((g, w), m), v) in self.g.iter().zip(self.w).zip(self.m).zip(self.v) {
            self.step.update(s, clipped(s, g, self.limit), w, m, v);
        }
    }
}

/// `velocity = momentum * velocity + g; w = w + lr * velocity`; without momentum `w = w + lr * g`.
struct Sgd<'a> {
    g: &'a [Vec16],
    w: &'a mut [Vec16],
    velocity: &'a mut [Vec16],
    lr: f32,
    momentum: f32,
    limit: f32,
}

impl Kernel for Sgd<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (lr, momentum) = (s.splat(self.lr), s.splat(self.momentum));
        for (i, (g, w)) in self.g.iter().zip(self.w).enumerate() {
            let mut g = clipped(s, g, self.limit);
            if let Some(velocity) = self.velocity.get_mut(i) {
                g = momentum * s.load(velocity) + g;
                s.store(g, velocity);
            }
            s.store(s.load(w) + lr * g, w);
        }
    }
}
