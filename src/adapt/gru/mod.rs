//! A GRU that trains all its weights online, by truncated backpropagation through time.
//!
//! This file has the state and the training step, `replay` the training on earlier text, and `update` the optimiser.

mod replay;
mod update;

#[cfg(test)]
mod tests;

use self::replay::{HISTORY, Replay};
use self::update::{EmbeddingGradients, Factors, Update, UpdateEmbeddings, UpdateMatrix};
use super::optimiser::{Moments, Powers, Train};
use crate::error::Result;
use crate::model::VOCAB;
use crate::model::gru::{Config, Gradients, Matrix, Moment, Scratch, Weights};
use crate::numeric::buffer::{Rows, filled, made};
use crate::numeric::level::Level;
use crate::numeric::random::Random;
use crate::numeric::transfer::Transfer;
use crate::numeric::vector::Vec16;

/// How a GRU trains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The optimiser.
    pub train: Train,
    /// Learning rate.
    pub lr: f32,
    /// Each weight's gradient is clipped to -clip..=clip.
    pub clip: f32,
    /// The time steps over which errors are propagated back.
    pub bptt: u32,
    /// Bytes between training steps, at most `bptt`. A training step uses the losses since the previous one.
    pub stride: u32,
    /// The number of earlier segments of text that a training step also uses; each has `bptt` steps.
    pub replay: u32,
}

/// Everything that bytes have changed: weights, the optimiser's moments, the activations of the last time steps.
#[derive(Debug)]
pub struct Gru {
    weights: Weights,
    /// In the order of [`Weights::matrices`], panels before biases; then those of the embeddings.
    moments: Vec<Moments>,
    powers: Powers,
    /// The activations of the last time steps, in a ring that has room for one more.
    tape: Vec<Moment>,
    /// The index of the latest time step.
    latest: usize,
    /// The number of time steps held.
    held: usize,
    /// Bytes until the next training step.
    countdown: u32,
    /// The last bytes of the text, in a ring; empty without replay.
    history: Vec<u8>,
    /// The number of bytes that were ever written to `history`.
    count: u64,
    /// Chooses the segments to replay.
    random: Random,
}

/// Scratch memory of a GRU.
#[derive(Debug)]
pub struct Workspace {
    scratch: Scratch,
    gradients: Gradients,
    factors: Factors,
    embeddings: EmbeddingGradients,
    replay: Option<Replay>,
}

impl Workspace {
    /// For this many lanes. The replayed segments have lanes of their own.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(config: &Config, rule: &Rule, lanes: usize) -> Result<Self> {
        let steps = rule.bptt as usize;
        Ok(Self {
            scratch: Scratch::new(config, lanes)?,
            gradients: Gradients::new(config, steps, lanes)?,
            factors: Factors::new(config, steps * (lanes + rule.replay as usize))?,
            embeddings: EmbeddingGradients::new(config)?,
            replay: if rule.replay == 0 { None } else { Some(Replay::new(config, rule)?) },
        })
    }
}

impl Gru {
    /// The state of this many lanes before any byte.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(config: &Config, seed: u64, rule: &Rule, lanes: usize) -> Result<Self> {
        let weights = Weights::new(config, seed)?;
        let mut moments = made(2 * config.layers + 2, "the optimiser's moments", |_| Moments::new(0, rule.train))?;
        let vectors = weights.matrices().map(|m| m.panels.len() + m.bias.len());
        for (moments, n) in moments.iter_mut().zip(vectors.chain([weights.embeddings.all().len()])) {
            *moments = Moments::new(n, rule.train)?;
        }
        Ok(Self {
            moments,
            powers: Powers::FIRST,
            tape: made(rule.bptt as usize + 1, "activations", |_| Moment::new(config, lanes))?,
            weights,
            latest: 0,
            held: 0,
            countdown: rule.stride,
            history: if rule.replay > 0 { filled(HISTORY, 0, "the replay history")? } else { Vec::new() },
            count: 0,
            random: Random::new(seed, "gru.replay"),
        })
    }

    /// The bytes that a GRU of this many lanes and its workspace take; saturates.
    pub fn bytes(config: &Config, rule: &Rule, lanes: u64) -> u64 {
        let copies = if rule.train == Train::Adam { 3 } else { 1 };
        let (layers, hidden, steps) = (config.layers as u64, config.hidden as u64, u64::from(rule.bptt));
        // One time step: its activations, its gradients, and its part of the factors.
        let step = layers * (4 * config.embed as u64 + 18 * hidden) + 3 * VOCAB as u64;
        let lanes = lanes + u64::from(rule.replay);
        let all_steps = lanes.saturating_mul(steps).saturating_add(1);
        let rest = VOCAB as u64 * (config.embed as u64 + lanes) + lanes * hidden * (6 + layers);
        let floats = config.parameters().saturating_mul(copies).saturating_add(step.saturating_mul(all_steps));
        let history = if rule.replay > 0 { HISTORY as u64 } else { 0 };
        floats.saturating_add(rest).saturating_mul(4).saturating_add(history)
    }

    /// The approximate number of multiplications a byte, on average; saturates.
    pub fn work(config: &Config, rule: &Rule) -> u64 {
        config.parameters().saturating_mul(2 + Self::passes(rule) / u64::from(rule.stride))
    }

    /// The approximate number of multiplications of a byte after which the GRU trains; saturates.
    pub fn peak_work(config: &Config, rule: &Rule) -> u64 {
        config.parameters().saturating_mul(2 + Self::passes(rule))
    }

    /// The cost of a training step in forward passes of one byte. A backward pass costs two. The forward passes of the
    /// live segment are not part of the step.
    fn passes(rule: &Rule) -> u64 {
        2 * u64::from(rule.bptt) + 3 * u64::from(rule.bptt) * u64::from(rule.replay)
    }

    /// Copies another state of the same network and rule. If it has one lane, all lanes become copies of it, but only
    /// the first one has its losses that were not trained on. Allocates nothing.
    pub fn copy_from(&mut self, other: &Self) {
        self.weights.copy_from(&other.weights);
        for (to, from) in self.moments.iter_mut().zip(&other.moments) {
            to.copy_from(from);
        }
        for (to, from) in self.tape.iter_mut().zip(&other.tape) {
            to.copy_from(from);
        }
        (self.powers, self.latest, self.held) = (other.powers, other.latest, other.held);
        self.countdown = other.countdown;
        self.history.copy_from_slice(&other.history);
        (self.count, self.random) = (other.count, other.random.clone());
    }

    /// Stores or loads the whole state.
    ///
    /// # Errors
    /// Those of `t`.
    pub fn transfer(&mut self, t: &mut impl Transfer) -> Result<()> {
        self.weights.transfer(t)?;
        self.moments.iter_mut().try_for_each(|moments| moments.transfer(t))?;
        let n = self.tape.len();
        let mut held = self.held as u64;
        t.number(&mut held, 0, n as u64 - 1, "the number of time steps of a GRU")?;
        // The earliest step first. Where the ring begins does not matter, so a loaded state may begin anywhere.
        self.held = held as usize;
        for back in (0..self.held).rev() {
            self.tape[(self.latest + n - back) % n].transfer(t)?;
        }
        t.values(&mut self.powers.0)?;
        let mut countdown = self.countdown.into();
        t.number(&mut countdown, 1, u32::MAX.into(), "the countdown of a GRU")?;
        self.countdown = countdown as u32;
        if !self.history.is_empty() {
            t.number(&mut self.count, 0, u64::MAX >> 1, "the number of bytes of a GRU")?;
            let mut random = self.random.state();
            t.number(&mut random, 0, u64::MAX, "the random numbers of a GRU")?;
            self.random = Random::at(random);
            t.bytes(&mut self.history)?;
        }
        Ok(())
    }

    /// Updates the recurrent states with a byte in each of the first lanes. `replayed`: whether the byte becomes part of the
    /// text that is replayed; only if there is one.
    pub fn step(&mut self, level: Level, bytes: &[u8], replayed: bool, work: &mut Workspace) {
        if replayed {
            self.keep(bytes);
        }
        let n = self.tape.len();
        let next = (self.latest + 1) % n;
        let [now, before] = self.tape.get_disjoint_mut([next, self.latest]).expect("a ring of two at least");
        let before = (self.held > 0).then_some(&*before);
        self.weights.step(level, bytes, before, &mut work.scratch, now);
        (self.latest, self.held) = (next, (self.held + 1).min(n - 1));
    }

    /// Appends bytes to the text that is replayed.
    pub fn keep(&mut self, bytes: &[u8]) {
        if !self.history.is_empty() {
            for byte in bytes {
                self.history[self.count as usize % HISTORY] = *byte;
                self.count += 1;
            }
        }
    }

    /// Copies a lane to another one.
    pub fn copy_lane(&mut self, from: usize, to: usize) {
        self.tape.iter_mut().for_each(|moment| moment.copy_lane(from, to));
    }

    /// The logits of the next byte in the first `lanes` lanes.
    pub fn logits(&self, level: Level, lanes: usize, logits: &mut Rows) {
        self.weights.logits(level, lanes, &self.tape[self.latest].features, logits);
    }

    /// Records the losses of a step: one byte in each of the first `lanes` lanes. Trains after a step with a stride-th
    /// byte. A row of `errors` is target minus probability for each of the 256 outputs. The loss of a step is the mean of
    /// those of its lanes.
    pub fn learn(&mut self, level: Level, rule: &Rule, lanes: usize, errors: &Rows, work: &mut Workspace) {
        let latest = &mut self.tape[self.latest];
        let share = 1.0 / lanes as f32;
        for lane in 0..latest.tokens().len() {
            let to = latest.error.row_mut(lane);
            if lane < lanes {
                let scaled = errors.row(lane).iter().map(|v| Vec16(v.0.map(|e| e * share)));
                to.iter_mut().zip(scaled).for_each(|(to, error)| *to = error);
            } else {
                to.fill(Vec16::ZERO);
            }
        }
        latest.trains = true;
        let n = lanes as u32;
        if self.countdown > n {
            self.countdown -= n;
            return;
        }
        // The first stride-th byte after this step.
        self.countdown = self.countdown + ((n - self.countdown) / rule.stride + 1) * rule.stride - n;
        self.train(level, rule, work);
    }

    fn train(&mut self, level: Level, rule: &Rule, work: &mut Workspace) {
        let (tape, latest, held) = (&self.tape, self.latest, self.held);
        let live = |step: usize| &tape[(latest + tape.len() + 1 + step - held) % tape.len()];
        let Workspace { gradients, factors, embeddings, replay, .. } = work;
        gradients.run(level, &self.weights, (0..held).map(live));
        let replay = replay.as_mut().filter(|replay| self.count > 2 * replay.tape.len() as u64);
        let replay = replay.map(|replay| {
            replay.run(level, &self.weights, &self.history, self.count, &mut self.random);
            &*replay
        });
        // (activations, gradients, index of the time step in them): the replayed segments first, then the live one.
        let replayed = || replay.into_iter().flat_map(|r| r.tape.iter().enumerate().map(|(i, m)| (m, &r.gradients, i)));
        let steps = || replayed().chain((0..held).map(|i| (live(i), &*gradients, i)));
        let adam = (rule.train == Train::Adam).then(|| self.powers.next(rule.lr));
        let update = Update { lr: rule.lr, clip: rule.clip, adam };
        let mut all_moments = self.moments.iter_mut();
        let mut learn = |matrix: &mut Matrix, factors: &Factors| {
            let moments = all_moments.next().expect("as many as there are matrices");
            level.run(UpdateMatrix { matrix, moments, factors, update });
        };
        for (l, layer) in self.weights.layers.iter_mut().enumerate() {
            factors.gather(steps().map(|(m, g, i)| (g.input(i, l), m.input(l))), layer.input.cols);
            learn(&mut layer.input, factors);
            factors.gather(steps().map(|(m, g, i)| (g.recurrent(i, l), m.before(l))), layer.recurrent.cols);
            learn(&mut layer.recurrent, factors);
        }
        let trained = steps().filter(|(m, ..)| m.trains).map(|(m, ..)| (&m.error, &m.features));
        factors.gather(trained, self.weights.head.cols);
        learn(&mut self.weights.head, factors);
        embeddings.gather(steps().map(|(m, g, i)| (m, g.embedding(i))));
        let moments = all_moments.next().expect("the embeddings' come last");
        level.run(UpdateEmbeddings { rows: &mut self.weights.embeddings, moments, gradients: embeddings, update });
        self.tape.iter_mut().for_each(|moment| moment.trains = false);
    }
}
