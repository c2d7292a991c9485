//! The forward step: one byte in each lane, or several consecutive bytes of each lane.

use super::kernels::{Activate, Activation, Add, Finish, Prepare, TokenShift, ValueMix};
use super::weights::{Layer, LowRank};
use super::{Config, State, Weights};
use crate::error::Result;
use crate::numeric::buffer::Rows;
use crate::numeric::level::Level;
use crate::numeric::matmul::Activations;
use crate::numeric::norm::layer_norm;
use crate::numeric::vector::vectors;
use crate::numeric::wkv;

/// Memory for the intermediate results of a step, so that a step does not allocate.
#[derive(Debug)]
pub struct Scratch {
    x: Rows,
    normed: Rows,
    /// Token-shifted inputs of r, w, k, v, a, g.
    mixed: [Rows; 6],
    r: Rows,
    w: Rows,
    k: Rows,
    v: Rows,
    a: Rows,
    g: Rows,
    kk: Rows,
    y: Rows,
    v_first: Rows,
    v_low: Rows,
    low: [Rows; 4],
    wide: Rows,
    quantised: Activations,
    /// The number of lanes whose bytes a step processes.
    state_lanes: usize,
}

impl Scratch {
    /// Scratch memory for steps of up to `lanes` bytes in all lanes together.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(config: &Config, lanes: usize) -> Result<Self> {
        let rows = || Rows::new(lanes, config.hidden);
        let rank = |n| Rows::new(lanes, n);
        let widest =
            [config.intermediate, config.hidden, config.decay_rank, config.a_rank, config.v_rank, config.g_rank];
        Ok(Self {
            x: rows()?,
            normed: rows()?,
            mixed: [rows()?, rows()?, rows()?, rows()?, rows()?, rows()?],
            r: rows()?,
            w: rows()?,
            k: rows()?,
            v: rows()?,
            a: rows()?,
            g: rows()?,
            kk: rows()?,
            y: rows()?,
            v_first: rows()?,
            v_low: rows()?,
            low: [rank(config.decay_rank)?, rank(config.a_rank)?, rank(config.v_rank)?, rank(config.g_rank)?],
            wide: Rows::new(lanes, config.intermediate)?,
            quantised: Activations::new(lanes, widest.into_iter().max().unwrap_or(0))?,
            state_lanes: 1,
        })
    }

    /// Sets the number of bytes of the next step.
    fn set_lanes(&mut self, lanes: usize) {
        let Self { x, normed, mixed, r, w, k, v, a, g, kk, y, v_first, v_low, low, wide, .. } = self;
        let rows = [x, normed, r, w, k, v, a, g, kk, y, v_first, v_low, wide];
        rows.into_iter().chain(mixed).chain(low).for_each(|rows| rows.set_lanes(lanes));
    }

    /// The input of the head: the final norm's output, a row of `hidden` values for each byte.
    pub fn features(&self) -> &Rows {
        &self.normed
    }

    /// Its size in bytes for each lane. Saturates.
    pub fn bytes(config: &Config) -> u64 {
        let hidden = 20 * config.hidden as u64;
        let ranks = [config.decay_rank, config.a_rank, config.v_rank, config.g_rank]
            .iter()
            .map(|r| *r as u64 + 16)
            .sum::<u64>();
        (hidden + ranks + 3 * config.intermediate as u64 + 32).saturating_mul(4)
    }
}

impl Weights {
    /// Processes bytes of the first `lanes` lanes of `state`: one byte of each lane in order, then the next ones. The last
    /// lanes may have one byte less. Then `scratch` holds the head's input after each byte. The weights are read once,
    /// and the results are the same bits as those of bytes processed one at a time.
    ///
    /// # Panics
    /// If there are more `tokens` than `scratch` was made for, if `state` has fewer lanes, or if an argument was made for
    /// another shape.
    pub fn step(&self, level: Level, tokens: &[u8], lanes: usize, state: &mut State, scratch: &mut Scratch) {
        assert!((1..=state.lanes()).contains(&lanes));
        scratch.set_lanes(tokens.len());
        scratch.state_lanes = lanes;
        let width = vectors(self.config.hidden);
        for (lane, token) in tokens.iter().enumerate() {
            let row = &self.embeddings[usize::from(*token) * width..][..width];
            scratch.x.row_mut(lane).copy_from_slice(row);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            self.attention(level, index, layer, state, scratch);
            feed_forward(level, index, layer, state, scratch);
        }
        norm_lanes(level, &self.norm, &scratch.x, &mut scratch.normed);
    }

    /// The frozen head: the logits of the next byte, a row of 256 for each row of a step's features.
    pub fn logits(&self, level: Level, features: &Rows, logits: &mut Rows, scratch: &mut Scratch) {
        self.head().mul(level, features, logits, &mut scratch.quantised);
    }

    /// The same for the features of the last step that used `scratch`.
    pub fn logits_of_step(&self, level: Level, logits: &mut Rows, scratch: &mut Scratch) {
        self.head().mul(level, &scratch.normed, logits, &mut scratch.quantised);
    }

    /// A layer's first half: token shift, projections, the recurrence, group norm, gate.
    fn attention(&self, level: Level, index: usize, layer: &Layer, state: &mut State, t: &mut Scratch) {
        let lanes = t.x.lanes();
        norm_lanes(level, &layer.attn_norm, &t.x, &mut t.normed);
        for lane in 0..lanes {
            let x = t.normed.row(lane);
            let out = t.mixed.each_mut().map(|rows| rows.row_mut(lane));
            let mix = layer.mix.each_ref().map(|m| &**m);
            level.run(TokenShift { x, last: state.shift_mut(index, 0, lane % t.state_lanes), mix, out });
        }
        let [x_r, x_w, x_k, x_v, x_a, x_g] = &t.mixed;
        let [low_w, low_a, low_v, low_g] = &mut t.low;
        let q = &mut t.quantised;
        layer.receptance.mul(level, x_r, &mut t.r, q);
        layer.key.mul(level, x_k, &mut t.k, q);
        layer.value.mul(level, x_v, &mut t.v, q);
        low_rank(level, &layer.decay, Some(Activation::Tanh), x_w, low_w, &mut t.w, q);
        low_rank(level, &layer.rate, None, x_a, low_a, &mut t.a, q);
        low_rank(level, &layer.gate, Some(Activation::Sigmoid), x_g, low_g, &mut t.g, q);
        match &layer.value_mix {
            Some(pair) => low_rank(level, pair, None, x_v, low_v, &mut t.v_low, q),
            None => {
                for lane in 0..lanes {
                    t.v_first.row_mut(lane).copy_from_slice(t.v.row(lane));
                }
            }
        }
        for lane in 0..lanes {
            self.recur(level, index, layer, state, t, lane);
        }
        layer.output.mul(level, &t.y, &mut t.normed, &mut t.quantised);
        add_lanes(level, &t.normed, &mut t.x);
    }

    /// The recurrence of all heads in one lane, with the elementwise operations before and after it.
    fn recur(&self, level: Level, index: usize, layer: &Layer, state: &mut State, t: &mut Scratch, lane: usize) {
        let head = vectors(self.config.head_size);
        level.run(Prepare {
            head,
            w: t.w.row_mut(lane),
            w_bias: &layer.decay.bias,
            a: t.a.row_mut(lane),
            a_bias: &layer.rate.bias,
            k: t.k.row_mut(lane),
            kk: t.kk.row_mut(lane),
            k_k: &layer.k_k,
            k_a: &layer.k_a,
            v: t.v.row_mut(lane),
            value_mix: layer.value_mix.as_ref().map(|pair| ValueMix {
                first: t.v_first.row(lane),
                bias: &pair.bias,
                low_rank: t.v_low.row(lane),
            }),
        });
        let rows = [&t.r, &t.w, &t.k, &t.v, &t.kk, &t.a].map(|rows| rows.row(lane));
        let states = state.wkv_mut(index, lane % t.state_lanes).chunks_exact_mut(head * self.config.head_size);
        for ((i, state), y) in states.enumerate().zip(t.y.row_mut(lane).chunks_exact_mut(head)) {
            let [r, w, k, v, kk, b] = rows.map(|row| &row[i * head..(i + 1) * head]);
            wkv::step_head(level, state, wkv::Head { r, w, k, v, kk, b }, y);
        }
        level.run(Finish {
            head,
            eps: self.config.group_norm_eps(),
            y: t.y.row_mut(lane),
            normed: t.normed.row_mut(lane),
            norm: (&layer.group_norm.weight, &layer.group_norm.bias),
            r: t.r.row(lane),
            k: t.k.row(lane),
            v: t.v.row(lane),
            r_k: &layer.r_k,
            gate: t.g.row(lane),
        });
    }
}

/// A layer's second half: `x += W_v relu(W_k shifted)^2`.
fn feed_forward(level: Level, index: usize, layer: &Layer, state: &mut State, t: &mut Scratch) {
    norm_lanes(level, &layer.ffn_norm, &t.x, &mut t.normed);
    let [mixed, ..] = &mut t.mixed;
    for lane in 0..t.x.lanes() {
        let last = state.shift_mut(index, 1, lane % t.state_lanes);
        let out = [mixed.row_mut(lane)];
        level.run(TokenShift { x: t.normed.row(lane), last, mix: [&layer.ffn_mix], out });
    }
    layer.ffn_key.mul(level, mixed, &mut t.wide, &mut t.quantised);
    activate_lanes(level, Activation::SquaredRelu, &mut t.wide, layer.ffn_key.rows());
    layer.ffn_value.mul_sparse(level, &t.wide, &mut t.normed, &mut t.quantised);
    add_lanes(level, &t.normed, &mut t.x);
}

/// `out = up * activation(down * x)`.
fn low_rank(
    level: Level,
    pair: &LowRank,
    activation: Option<Activation>,
    x: &Rows,
    middle: &mut Rows,
    out: &mut Rows,
    quantised: &mut Activations,
) {
    pair.down.mul(level, x, middle, quantised);
    if let Some(kind) = activation {
        activate_lanes(level, kind, middle, pair.down.rows());
    }
    pair.up.mul(level, middle, out, quantised);
}

fn activate_lanes(level: Level, kind: Activation, rows: &mut Rows, n: usize) {
    for lane in 0..rows.lanes() {
        level.run(Activate { kind, x: rows.row_mut(lane), n });
    }
}

fn norm_lanes(level: Level, norm: &super::weights::Norm, x: &Rows, out: &mut Rows) {
    for lane in 0..x.lanes() {
        layer_norm(level, x.row(lane), &norm.weight, &norm.bias, Config::LAYER_NORM_EPS, out.row_mut(lane));
    }
}

/// `x = x + y`.
fn add_lanes(level: Level, y: &Rows, x: &mut Rows) {
    for lane in 0..x.lanes() {
        level.run(Add { x: x.row_mut(lane), y: y.row(lane) });
    }
}
