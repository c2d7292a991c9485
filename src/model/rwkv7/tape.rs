//! The forward pass of weights that learn: the operations of `step`, in the same order, with every activation kept for
//! the backward pass.

use std::ops::Range;

use super::backward_kernels::PrepareKept;
use super::kernels::{Activate, Activation, Add, Finish, TokenShift};
use super::params::{LayerSlots, NormSlots, PairSlots, Slot};
use super::{Config, Params, State};
use crate::error::Result;
use crate::model::VOCAB;
use crate::numeric::buffer::{Rows, filled, made};
use crate::numeric::level::Level;
use crate::numeric::matmul::mul_rows;
use crate::numeric::norm::layer_norm;
use crate::numeric::vector::{Vec16, vectors};
use crate::numeric::wkv;

/// The activations of a layer, a row for each (time step, lane).
#[derive(Debug)]
pub(super) struct Kept {
    /// The residual before the layer.
    pub(super) x: Rows,
    pub(super) normed: Rows,
    /// Token-shifted inputs of r, w, k, v, a, g.
    pub(super) mixed: [Rows; 6],
    /// The low-rank pairs' middle after the activation: decay, rate, value mix, gate.
    pub(super) low: [Rows; 4],
    pub(super) r: Rows,
    /// The key before and after its scale.
    pub(super) k0: Rows,
    pub(super) k: Rows,
    /// The value before and after the mix with layer 0's.
    pub(super) v0: Rows,
    pub(super) v: Rows,
    pub(super) share: Rows,
    /// The sigmoid in the decay, and the decay.
    pub(super) decay: Rows,
    pub(super) w: Rows,
    pub(super) a: Rows,
    pub(super) kk: Rows,
    /// kk * a.
    pub(super) b: Rows,
    pub(super) g: Rows,
    /// The recurrence's output, and the input of W_o.
    pub(super) y: Rows,
    pub(super) gated: Rows,
    /// The residual between the halves.
    pub(super) middle: Rows,
    pub(super) ffn_normed: Rows,
    pub(super) ffn_mixed: Rows,
    /// Before and after the activation.
    pub(super) wide: Rows,
    pub(super) squared: Rows,
}

impl Kept {
    fn new(config: &Config, n: usize) -> Result<Self> {
        let rows = || Rows::new(n, config.hidden);
        let rank = |rank| Rows::new(n, rank);
        let wide = || Rows::new(n, config.intermediate);
        Ok(Self {
            x: rows()?,
            normed: rows()?,
            mixed: [rows()?, rows()?, rows()?, rows()?, rows()?, rows()?],
            low: [rank(config.decay_rank)?, rank(config.a_rank)?, rank(config.v_rank)?, rank(config.g_rank)?],
            r: rows()?,
            k0: rows()?,
            k: rows()?,
            v0: rows()?,
            v: rows()?,
            share: rows()?,
            decay: rows()?,
            w: rows()?,
            a: rows()?,
            kk: rows()?,
            b: rows()?,
            g: rows()?,
            y: rows()?,
            gated: rows()?,
            middle: rows()?,
            ffn_normed: rows()?,
            ffn_mixed: rows()?,
            wide: wide()?,
            squared: wide()?,
        })
    }
}

/// The activations of some consecutive time steps in all lanes, from a start state on.
#[derive(Debug)]
pub struct Tape {
    lanes: usize,
    /// The time steps held.
    held: usize,
    /// `[step][lane]`.
    tokens: Vec<u8>,
    /// The state before each step, and after the last one.
    states: Vec<State>,
    pub(super) layers: Vec<Kept>,
    /// The residual after the last layer.
    pub(super) x: Rows,
    /// The input of the head.
    pub(super) features: Rows,
    /// Scratch memory.
    out: Rows,
    low_out: Rows,
}

impl Tape {
    /// Memory for this many time steps and lanes. The start state is zero.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(config: &Config, steps: usize, lanes: usize) -> Result<Self> {
        let n = steps * lanes;
        Ok(Self {
            lanes,
            held: 0,
            tokens: filled(n, 0, "activations")?,
            states: made(steps + 1, "activations", |_| State::new(config, lanes))?,
            layers: made(config.layers, "activations", |_| Kept::new(config, n))?,
            x: Rows::new(n, config.hidden)?,
            features: Rows::new(n, config.hidden)?,
            out: Rows::new(lanes, config.hidden)?,
            low_out: Rows::new(lanes, config.hidden)?,
        })
    }

    /// Its size in bytes; saturates.
    pub fn bytes(config: &Config, steps: u64, lanes: u64) -> u64 {
        let ranks = [config.decay_rank, config.a_rank, config.v_rank, config.g_rank];
        let ranks = ranks.iter().map(|r| *r as u64 + 16).sum::<u64>();
        let row = 25 * config.hidden as u64 + ranks + 2 * (config.intermediate as u64 + 16);
        let rows = row.saturating_mul(4 * config.layers as u64).saturating_add(8 * config.hidden as u64);
        let states = config.state_bytes().saturating_mul(steps + 1);
        rows.saturating_mul(steps).saturating_add(states).saturating_mul(lanes)
    }

    /// The number of time steps held.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The number of lanes.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// The bytes of all steps held, `[step][lane]`.
    pub fn tokens(&self) -> &[u8] {
        &self.tokens[..self.held * self.lanes]
    }

    /// Drops all time steps and starts from this state.
    pub fn start(&mut self, state: &State) {
        self.held = 0;
        self.states[0].copy_from(state);
    }

    /// Drops all time steps and starts from the state after `step` of them.
    pub fn start_after(&mut self, step: usize) {
        assert!(step <= self.held);
        self.held = 0;
        self.states.swap(0, step);
    }

    /// Drops all but the first time steps.
    pub fn truncate(&mut self, steps: usize) {
        self.held = self.held.min(steps);
    }

    /// The state before a step, or after the last one.
    pub fn state(&self, step: usize) -> &State {
        &self.states[step]
    }

    /// The head's input in a row.
    pub fn features(&self) -> &Rows {
        &self.features
    }

    /// Processes one byte in each lane.
    ///
    /// # Panics
    /// If the tape is full, or there is not one token a lane.
    pub fn step(&mut self, level: Level, params: &Params, tokens: &[u8]) {
        assert!(tokens.len() == self.lanes && self.held + 1 < self.states.len());
        let rows = self.held * self.lanes..(self.held + 1) * self.lanes;
        self.tokens[rows.clone()].copy_from_slice(tokens);
        let (config, layout) = (params.config(), &*params.layout);
        let width = vectors(config.hidden);
        let [before, state] = self.states.get_disjoint_mut([self.held, self.held + 1]).expect("two different steps");
        state.copy_from(before);
        let embeddings = params.of(layout.embeddings);
        for (lane, token) in tokens.iter().enumerate() {
            let row = &embeddings[usize::from(*token) * width..][..width];
            norm(level, params, &layout.pre_norm, row, self.layers[0].x.row_mut(rows.start + lane));
        }
        for (index, slots) in layout.layers.iter().enumerate() {
            let (first, rest) = self.layers.split_at_mut(index);
            let (kept, rest) = rest.split_first_mut().expect("a tape has all layers");
            let pass = Pass { level, params, slots, index, rows: rows.clone() };
            let v_first = first.first().map(|first| &first.v0);
            pass.attention(kept, state, v_first, &mut self.out, &mut self.low_out);
            let next = rest.first_mut().map_or(&mut self.x, |next| &mut next.x);
            pass.feed_forward(kept, state, &mut self.out, next);
        }
        for row in rows {
            norm(level, params, &layout.norm, self.x.row(row), self.features.row_mut(row));
        }
        self.held += 1;
    }

    /// The logits after some rows (step * lanes + lane), one row each.
    pub fn logits(&self, level: Level, params: &Params, rows: Range<usize>, logits: &mut Rows) {
        let n = rows.len();
        let out = logits.span_mut(0..n);
        product(level, params, params.layout.head, n, self.features.span(rows), out);
        let bias = params.of(params.layout.bias);
        for row in out.chunks_exact_mut(vectors(VOCAB)) {
            level.run(Add { x: row, y: bias });
        }
    }
}

/// A product by a matrix of the parameters.
pub(super) fn product(level: Level, params: &Params, matrix: Slot, n: usize, x: &[Vec16], y: &mut [Vec16]) {
    mul_rows(level, params.of(matrix), matrix.cols(), n, x, y);
}

fn norm(level: Level, params: &Params, [weight, bias]: &NormSlots, x: &[Vec16], out: &mut [Vec16]) {
    layer_norm(level, x, params.of(*weight), params.of(*bias), Config::LAYER_NORM_EPS, out);
}

/// A layer's part of a time step.
struct Pass<'a> {
    level: Level,
    params: &'a Params,
    slots: &'a LayerSlots,
    index: usize,
    rows: Range<usize>,
}

impl Pass<'_> {
    fn mul(&self, matrix: Slot, x: &Rows, y: &mut Rows) {
        let (x, y) = (x.span(self.rows.clone()), y.span_mut(self.rows.clone()));
        product(self.level, self.params, matrix, self.rows.len(), x, y);
    }

    /// `out = up * activation(down * x)`; `out` has one row a lane.
    fn low_rank(&self, pair: &PairSlots, activation: Option<Activation>, x: &Rows, low: &mut Rows, out: &mut [Vec16]) {
        self.mul(pair.down, x, low);
        for row in self.rows.clone() {
            if let Some(kind) = activation {
                self.level.run(Activate { kind, x: low.row_mut(row), n: pair.down.rows() });
            }
        }
        product(self.level, self.params, pair.up, self.rows.len(), low.span(self.rows.clone()), out);
    }

    fn attention(&self, t: &mut Kept, state: &mut State, v_first: Option<&Rows>, out: &mut Rows, low: &mut Rows) {
        let Self { level, params, slots, index, .. } = *self;
        let lanes = self.rows.len();
        for (lane, row) in self.rows.clone().enumerate() {
            norm(level, params, &slots.attn_norm, t.x.row(row), t.normed.row_mut(row));
            let mix = slots.mix.map(|m| params.of(m));
            let out = t.mixed.each_mut().map(|rows| rows.row_mut(row));
            level.run(TokenShift { x: t.normed.row(row), last: state.shift_mut(index, 0, lane), mix, out });
        }
        let [receptance, key, value, output] = slots.projections;
        self.mul(receptance, &t.mixed[0], &mut t.r);
        self.mul(key, &t.mixed[2], &mut t.k0);
        self.mul(value, &t.mixed[3], &mut t.v0);
        let span = self.rows.clone();
        self.low_rank(&slots.decay, Some(Activation::Tanh), &t.mixed[1], &mut t.low[0], t.w.span_mut(span.clone()));
        self.low_rank(&slots.rate, None, &t.mixed[4], &mut t.low[1], t.a.span_mut(span.clone()));
        self.low_rank(&slots.gate, Some(Activation::Sigmoid), &t.mixed[5], &mut t.low[3], t.g.span_mut(span));
        if let Some(pair) = &slots.value_mix {
            self.low_rank(pair, None, &t.mixed[3], &mut t.low[2], low.span_mut(0..lanes));
        }
        for lane in 0..lanes {
            self.recur(t, state, v_first, low, lane);
        }
        self.mul_out(output, &t.gated, out);
        for (lane, row) in self.rows.clone().enumerate() {
            t.middle.row_mut(row).copy_from_slice(t.x.row(row));
            level.run(Add { x: t.middle.row_mut(row), y: out.row(lane) });
        }
    }

    /// A product whose result has one row a lane.
    fn mul_out(&self, matrix: Slot, x: &Rows, out: &mut Rows) {
        let n = self.rows.len();
        product(self.level, self.params, matrix, n, x.span(self.rows.clone()), out.span_mut(0..n));
    }

    /// The recurrence of all heads in one lane.
    fn recur(&self, t: &mut Kept, state: &mut State, v_first: Option<&Rows>, low: &Rows, lane: usize) {
        let Self { level, params, slots, index, .. } = *self;
        let (config, row) = (params.config(), self.rows.start + lane);
        let head = vectors(config.head_size);
        let value_mix = slots.value_mix.as_ref().and_then(|pair| pair.bias).zip(v_first);
        level.run(PrepareKept {
            head,
            decay: t.decay.row_mut(row),
            w: t.w.row_mut(row),
            w_bias: params.of(slots.decay.bias.expect("the decay has a bias")),
            a: t.a.row_mut(row),
            a_bias: params.of(slots.rate.bias.expect("the rate has a bias")),
            k0: t.k0.row(row),
            k: t.k.row_mut(row),
            kk: t.kk.row_mut(row),
            b: t.b.row_mut(row),
            k_k: params.of(slots.k_k),
            k_a: params.of(slots.k_a),
            v0: t.v0.row(row),
            v: t.v.row_mut(row),
            share: t.share.row_mut(row),
            value_mix: value_mix.map(|(bias, first)| (first.row(row), params.of(bias), low.row(lane))),
        });
        let rows = [&t.r, &t.w, &t.k, &t.v, &t.kk, &t.b].map(|rows| rows.row(row));
        let states = state.wkv_mut(index, lane).chunks_exact_mut(head * config.head_size);
        for ((i, state), y) in states.enumerate().zip(t.y.row_mut(row).chunks_exact_mut(head)) {
            let [r, w, k, v, kk, b] = rows.map(|row| &row[i * head..(i + 1) * head]);
            wkv::step_head(level, state, wkv::Head { r, w, k, v, kk, b }, y);
        }
        t.gated.row_mut(row).copy_from_slice(t.y.row(row));
        level.run(Finish {
            head,
            eps: config.group_norm_eps(),
            y: t.gated.row_mut(row),
            // Scratch memory: the residual between the halves is written later.
            normed: t.middle.row_mut(row),
            norm: (params.of(slots.group_norm[0]), params.of(slots.group_norm[1])),
            r: t.r.row(row),
            k: t.k.row(row),
            v: t.v.row(row),
            r_k: params.of(slots.r_k),
            gate: t.g.row(row),
        });
    }

    fn feed_forward(&self, t: &mut Kept, state: &mut State, out: &mut Rows, next: &mut Rows) {
        let Self { level, params, slots, index, .. } = *self;
        for (lane, row) in self.rows.clone().enumerate() {
            norm(level, params, &slots.ffn_norm, t.middle.row(row), t.ffn_normed.row_mut(row));
            let (last, mix) = (state.shift_mut(index, 1, lane), [params.of(slots.ffn_mix)]);
            let out = [t.ffn_mixed.row_mut(row)];
            level.run(TokenShift { x: t.ffn_normed.row(row), last, mix, out });
        }
        self.mul(slots.ffn_key, &t.ffn_mixed, &mut t.wide);
        for row in self.rows.clone() {
            t.squared.row_mut(row).copy_from_slice(t.wide.row(row));
            let n = slots.ffn_key.rows();
            level.run(Activate { kind: Activation::SquaredRelu, x: t.squared.row_mut(row), n });
        }
        self.mul_out(slots.ffn_value, &t.squared, out);
        for (lane, row) in self.rows.clone().enumerate() {
            next.row_mut(row).copy_from_slice(t.middle.row(row));
            level.run(Add { x: next.row_mut(row), y: out.row(lane) });
        }
    }
}
