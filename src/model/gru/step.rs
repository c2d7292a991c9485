//! The forward step. It keeps everything that the backward pass needs.

use super::Config;
use super::weights::Weights;
use crate::error::Result;
use crate::model::VOCAB;
use crate::numeric::buffer::{Rows, filled, made};
use crate::numeric::level::{Kernel, Level};
use crate::numeric::math::{sigmoid, tanh};
use crate::numeric::matmul::mul_rows;
use crate::numeric::simd::Simd;
use crate::numeric::transfer::Transfer;
use crate::numeric::vector::{Vec16, WIDTH, flat, flat_mut};

/// The activations of a layer in a time step, for all lanes.
#[derive(Debug)]
pub(super) struct Gates {
    /// The layer's input.
    pub(super) x: Rows,
    /// The layer's state before the step.
    pub(super) before: Rows,
    /// The reset gate, the update gate, the candidate, and the recurrent part of the candidate before the reset gate:
    /// four times `hidden` values.
    pub(super) gates: Rows,
}

/// A time step of all lanes.
#[derive(Debug)]
pub struct Moment {
    /// The lanes that have a byte in this step, a bit each. The states of the others did not change.
    pub(super) active: u64,
    pub(super) tokens: Vec<u8>,
    pub(super) layers: Vec<Gates>,
    /// The states of all layers after the step: the head's input.
    pub features: Rows,
    /// Target minus probability for each byte value. Valid if `trains`.
    pub error: Rows,
    /// Whether the step's loss is part of the next update.
    pub trains: bool,
}

impl Moment {
    /// Memory for a time step of at most 64 lanes.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(config: &Config, lanes: usize) -> Result<Self> {
        assert!(lanes <= 64);
        let layer = |l| {
            Ok(Gates {
                x: Rows::new(lanes, config.inputs(l))?,
                before: Rows::new(lanes, config.hidden)?,
                gates: Rows::new(lanes, 4 * config.hidden)?,
            })
        };
        Ok(Self {
            active: 0,
            tokens: filled(lanes, 0, "tokens")?,
            layers: made(config.layers, "activations", layer)?,
            features: Rows::new(lanes, config.features())?,
            error: Rows::new(lanes, VOCAB)?,
            trains: false,
        })
    }

    /// Copies another time step of the same network. If it has one lane, all lanes become copies of it,
    /// but only the first one has its error.
    pub fn copy_from(&mut self, other: &Self) {
        let one = other.tokens.len() == 1;
        for lane in 0..self.tokens.len() {
            self.copy_lane_from(other, if one { 0 } else { lane }, lane);
            if one && lane > 0 {
                self.error.row_mut(lane).fill(Vec16::ZERO);
            }
        }
        self.trains = other.trains;
    }

    fn copy_lane_from(&mut self, other: &Self, from: usize, to: usize) {
        self.tokens[to] = other.tokens[from];
        self.active = self.active & !(1 << to) | (other.active >> from & 1) << to;
        for (to_rows, rows) in self.rows_mut().zip(other.rows()) {
            to_rows.row_mut(to).copy_from_slice(rows.row(from));
        }
    }

    /// Copies a lane to another one.
    pub fn copy_lane(&mut self, from: usize, to: usize) {
        self.tokens[to] = self.tokens[from];
        self.active = self.active & !(1 << to) | (self.active >> from & 1) << to;
        self.rows_mut().for_each(|rows| rows.copy_row(from, to));
    }

    /// All rows, one for each lane.
    fn rows(&self) -> impl Iterator<Item = &Rows> {
        self.layers
            .iter()
            .flat_map(|gates| [&gates.x, &gates.before, &gates.gates])
            .chain([&self.features, &self.error])
    }

    /// The same, mutable.
    fn rows_mut(&mut self) -> impl Iterator<Item = &mut Rows> {
        let layers = self.layers.iter_mut().flat_map(|gates| [&mut gates.x, &mut gates.before, &mut gates.gates]);
        layers.chain([&mut self.features, &mut self.error])
    }

    /// Whether a lane has a byte in this step.
    #[inline(always)]
    pub fn is_active(&self, lane: usize) -> bool {
        self.active >> lane & 1 != 0
    }

    /// Stores or loads the time step of one lane. The error is included only if `trains`.
    ///
    /// # Errors
    /// Those of `t`.
    pub fn transfer(&mut self, t: &mut impl Transfer) -> Result<()> {
        self.active = 1;
        t.bytes(&mut self.tokens)?;
        let mut trains = self.trains.into();
        t.number(&mut trains, 0, 1, "whether a time step trains")?;
        self.trains = trains == 1;
        let rows = self.layers.iter_mut().flat_map(|gates| [&mut gates.x, &mut gates.before, &mut gates.gates]);
        let mut rows = rows.chain([&mut self.features]).chain(self.trains.then_some(&mut self.error));
        rows.try_for_each(|rows| t.floats(rows.all_mut()))
    }

    /// The step's byte in each lane.
    pub fn tokens(&self) -> &[u8] {
        &self.tokens
    }
}

/// Scratch memory of a step.
#[derive(Debug)]
pub struct Scratch {
    a: Rows,
    u: Rows,
}

impl Scratch {
    /// Scratch memory for this many lanes.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(config: &Config, lanes: usize) -> Result<Self> {
        Ok(Self { a: Rows::new(lanes, 3 * config.hidden)?, u: Rows::new(lanes, 3 * config.hidden)? })
    }
}

impl Weights {
    /// Processes a byte in each of the first lanes, starting from the states of `before`, or from zero states if it is
    /// `None`. The other lanes keep their states.
    pub fn step(&self, level: Level, tokens: &[u8], before: Option<&Moment>, scratch: &mut Scratch, now: &mut Moment) {
        let (embed, hidden) = (self.config.embed / WIDTH, self.config.hidden / WIDTH);
        let n = tokens.len();
        now.rest(n, before);
        now.tokens[..n].copy_from_slice(tokens);
        for (l, layer) in self.layers.iter().enumerate() {
            let Gates { x, before: h, gates } = &mut now.layers[l];
            for (lane, token) in tokens.iter().enumerate() {
                let (embedding, below) = x.row_mut(lane).split_at_mut(embed);
                embedding.copy_from_slice(self.embeddings.row((*token).into()));
                if l > 0 {
                    below.copy_from_slice(&now.features.row(lane)[(l - 1) * hidden..l * hidden]);
                }
                match before {
                    Some(before) => h.row_mut(lane).copy_from_slice(&before.features.row(lane)[l * hidden..][..hidden]),
                    None => h.row_mut(lane).fill(Vec16::ZERO),
                }
            }
            for (matrix, x, out) in [(&layer.input, &*x, &mut scratch.a), (&layer.recurrent, &*h, &mut scratch.u)] {
                mul_rows(level, &matrix.panels, matrix.cols, n, x.span(0..n), out.span_mut(0..n));
            }
            for lane in 0..n {
                level.run(Cells {
                    biases: [&layer.input.bias, &layer.recurrent.bias],
                    a: scratch.a.row(lane),
                    u: scratch.u.row(lane),
                    before: h.row(lane),
                    gates: gates.row_mut(lane),
                    after: &mut now.features.row_mut(lane)[l * hidden..][..hidden],
                });
            }
        }
    }

    /// The logits of the next byte in the first `lanes` lanes, a row for each: the dot products plus the bias.
    pub fn logits(&self, level: Level, lanes: usize, features: &Rows, logits: &mut Rows) {
        let (x, y) = (features.span(0..lanes), logits.span_mut(0..lanes));
        mul_rows(level, &self.head.panels, self.head.cols, lanes, x, y);
        for lane in 0..lanes {
            let bias = flat(&self.head.bias);
            flat_mut(logits.row_mut(lane)).iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
    }
}

impl Moment {
    /// Starts a step in which the first `active` lanes have a byte. The other lanes keep the states of `before`, and their
    /// activations are zeros.
    fn rest(&mut self, active: usize, before: Option<&Self>) {
        self.active = u64::MAX >> (64 - active);
        self.trains = false;
        for lane in active..self.tokens.len() {
            for gates in &mut self.layers {
                let rows = [&mut gates.x, &mut gates.before, &mut gates.gates];
                rows.into_iter().for_each(|rows| rows.row_mut(lane).fill(Vec16::ZERO));
            }
            match before {
                Some(before) => self.features.row_mut(lane).copy_from_slice(before.features.row(lane)),
                None => self.features.row_mut(lane).fill(Vec16::ZERO),
            }
        }
    }
}

/// Computes the gates and the new state of a lane.
struct Cells<'a> {
    biases: [&'a [Vec16]; 2],
    a: &'a [Vec16],
    u: &'a [Vec16],
    before: &'a [Vec16],
    gates: &'a mut [Vec16],
    after: &'a mut [Vec16],
}

impl Kernel for Cells<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.before.len();
        let [b, c] = self.biases;
        for i in 0..n {
            let a = |gate: usize| s.load(&self.a[gate * n + i]) + s.load(&b[gate * n + i]);
            let u = |gate: usize| s.load(&self.u[gate * n + i]) + s.load(&c[gate * n + i]);
            let reset = sigmoid(s, a(0) + u(0));
            let update = sigmoid(s, a(1) + u(1));
            let recurrent = u(2);
            let candidate = tanh(s, a(2) + reset * recurrent);
            let h = candidate + update * (s.load(&self.before[i]) - candidate);
            s.store(h, &mut self.after[i]);
            for (part, value) in [reset, update, candidate, recurrent].into_iter().enumerate() {
                s.store(value, &mut self.gates[part * n + i]);
            }
        }
    }
}
