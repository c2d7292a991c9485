//! Backpropagation through the time steps of a tape, for every parameter and for the state before the first step.
//!
//! The derivatives are those of the sum over rows (time step, lane) of a function of the logits, whose derivatives in the
//! logits the caller gives. Sums over rows are in the order (time step, lane). Products by transposed matrices have one
//! accumulator for each result, in ascending order of the matrix's outputs.

use super::backward_kernels::{
    ActivateBack, AddRows, FinishBack, NormBack, Outer, PrepareBack, RecurBack, ShiftBack, Slope, transpose,
};
use super::kernels::Add;
use super::params::{LayerSlots, NormSlots, PairSlots, Slot};
use super::tape::{Kept, Tape};
use super::{Config, Group, Params, State};
use crate::error::Result;
use crate::model::VOCAB;
use crate::numeric::buffer::{Rows, filled};
use crate::numeric::level::Level;
use crate::numeric::matmul::mul_rows;
use crate::numeric::vector::{Vec16, vectors};

/// The gradients, and the memory that computing them takes.
#[derive(Debug)]
pub struct Backward {
    gradients: Vec<Vec16>,
    /// The derivative in the state before the first step. While a layer is processed, it is carried backward in time.
    start: State,
    /// Scratch memory: a transposed matrix.
    transposed: Vec<Vec16>,
    work: Work,
}

/// Derivatives in activations, a row for each (time step, lane).
#[derive(Debug)]
struct Work {
    /// In the residual.
    x: Rows,
    normed: Rows,
    mixed: Rows,
    r: Rows,
    w: Rows,
    k: Rows,
    v: Rows,
    a: Rows,
    g: Rows,
    kk: Rows,
    b: Rows,
    y: Rows,
    value_mix: Rows,
    v_first: Rows,
    low: [Rows; 4],
    wide: Rows,
}

impl Backward {
    /// Memory for tapes of this many time steps and lanes.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(params: &Params, steps: usize, lanes: usize) -> Result<Self> {
        let (config, n) = (params.config(), steps * lanes);
        let rows = || Rows::new(n, config.hidden);
        let rank = |rank| Rows::new(n, rank);
        let largest = params.slots().iter().map(|slot| vectors(slot.cols()) * slot.rows()).max().unwrap_or(0);
        let work = Work {
            x: rows()?,
            normed: rows()?,
            mixed: rows()?,
            r: rows()?,
            w: rows()?,
            k: rows()?,
            v: rows()?,
            a: rows()?,
            g: rows()?,
            kk: rows()?,
            b: rows()?,
            y: rows()?,
            value_mix: rows()?,
            v_first: rows()?,
            low: [rank(config.decay_rank)?, rank(config.a_rank)?, rank(config.v_rank)?, rank(config.g_rank)?],
            wide: Rows::new(n, config.intermediate)?,
        };
        let transposed = filled(largest, Vec16::ZERO, "gradients")?;
        let gradients = filled(params.values().len(), Vec16::ZERO, "gradients")?;
        Ok(Self { gradients, start: State::new(config, lanes)?, transposed, work })
    }

    /// Its size in bytes; saturates.
    pub fn bytes(config: &Config, steps: u64, lanes: u64) -> u64 {
        let widest = config.hidden.max(config.intermediate).max(VOCAB) as u64 + 16;
        let row = 16 * config.hidden as u64 + 2 * widest;
        let rows = row.saturating_mul(4).saturating_mul(steps).saturating_mul(lanes);
        let transposed = widest.saturating_mul(4 * (config.hidden as u64 + 16));
        let gradients = Params::vectors(config).saturating_mul(64);
        gradients.saturating_add(rows).saturating_add(transposed).saturating_add(config.state_bytes() * lanes)
    }

    /// The gradients, in the layout of the parameters. Those of groups that were not wanted are unspecified.
    pub fn gradients(&self) -> &[Vec16] {
        &self.gradients
    }

    /// The gradient of the state before the first step.
    pub fn start(&self) -> &State {
        &self.start
    }

    /// Computes the gradients. `errors` has the derivatives in the logits, a row of 256 for each (time step, lane).
    /// `wanted` are the groups whose gradients are needed.
    ///
    /// # Panics
    /// If the tape holds nothing, or an argument was made for another shape.
    pub fn run(&mut self, level: Level, params: &Params, tape: &Tape, errors: &Rows, wanted: impl Fn(Group) -> bool) {
        let n = tape.held() * tape.lanes();
        let layout = &params.layout;
        for slot in params.slots() {
            // The gradients of matrices are written at once, the others added up.
            if slot.rows() == 1 || slot.group() == Group::Embed {
                self.gradients[slot.range()].fill(Vec16::ZERO);
            }
        }
        let trunk = [Group::Embed, Group::PreNorm, Group::AttnNorm, Group::FfnNorm, Group::Attn, Group::Ffn];
        let trunk = trunk.into_iter().any(&wanted);
        let Self { gradients, start, transposed, work } = self;
        let mut pass = Pass { level, params, tape, n, gradients, wanted: &wanted, transposed };
        pass.add_rows(layout.bias, errors);
        if !trunk && !wanted(Group::Head) {
            return;
        }
        pass.matrix(layout.head, errors, &tape.features, Some(&mut work.x));
        pass.norm(&layout.norm, &tape.x, &mut work.x);
        if !trunk {
            return;
        }
        start.clear();
        work.v_first.span_mut(0..n).fill(Vec16::ZERO);
        for (index, (slots, kept)) in layout.layers.iter().zip(&tape.layers).enumerate().rev() {
            pass.feed_forward(index, slots, kept, work, start);
            pass.attention(index, slots, kept, work, start);
        }
        pass.embeddings(work);
    }
}

/// A pass over a tape.
struct Pass<'a> {
    level: Level,
    params: &'a Params,
    tape: &'a Tape,
    /// The number of rows.
    n: usize,
    gradients: &'a mut [Vec16],
    wanted: &'a dyn Fn(Group) -> bool,
    transposed: &'a mut Vec<Vec16>,
}

/// Two tensors' gradients.
fn two<'a>(gradients: &'a mut [Vec16], [first, second]: &NormSlots) -> [&'a mut [Vec16]; 2] {
    gradients.get_disjoint_mut([first.range(), second.range()]).expect("two tensors do not overlap")
}

impl Pass<'_> {
    /// The gradient of a matrix, and the derivative in its input.
    fn matrix(&mut self, slot: Slot, d: &Rows, x: &Rows, dx: Option<&mut Rows>) {
        let (n, d) = (self.n, d.span(0..self.n));
        if (self.wanted)(slot.group()) {
            let out = &mut self.gradients[slot.range()];
            self.level.run(Outer { d, x: x.span(0..n), rows: n, cols: slot.cols(), out });
        }
        if let Some(dx) = dx {
            let transposed = &mut *self.transposed;
            transpose(self.params.of(slot), slot.cols(), slot.rows(), transposed);
            mul_rows(self.level, transposed, slot.rows(), n, d, dx.span_mut(0..n));
        }
    }

    fn add_rows(&mut self, slot: Slot, d: &Rows) {
        self.level.run(AddRows { d: d.span(0..self.n), out: &mut self.gradients[slot.range()] });
    }

    /// Turns the derivatives in the outputs of a layer norm into those in its inputs.
    fn norm(&mut self, slots: &NormSlots, x: &Rows, d: &mut Rows) {
        let weight = self.params.of(slots[0]);
        for row in 0..self.n {
            let (x, d, dnorm) = (x.row(row), d.row_mut(row), two(self.gradients, slots));
            self.level.run(NormBack { x, weight, eps: Config::LAYER_NORM_EPS, d, dnorm });
        }
    }

    /// Adds the derivatives that a token-shifted input passes to the inputs and to the start state.
    fn shift(
        &mut self,
        (index, half): (usize, usize),
        mix: Slot,
        x: &Rows,
        d: &Rows,
        dx: &mut Rows,
        start: &mut State,
    ) {
        let lanes = self.tape.lanes();
        for row in 0..self.n {
            let (step, lane) = (row / lanes, row % lanes);
            let last = self.tape.state(step).shift(index, half, lane);
            let width = last.len();
            let (before, from) = dx.span_mut(0..self.n).split_at_mut(row * width);
            let dlast = match step {
                0 => start.shift_mut(index, half, lane),
                _ => &mut before[(row - lanes) * width..][..width],
            };
            let (dx, dmix) = (&mut from[..width], &mut self.gradients[mix.range()]);
            let mix = self.params.of(mix);
            self.level.run(ShiftBack { x: x.row(row), last, mix, d: d.row(row), dx, dlast, dmix });
        }
    }

    fn add(&self, y: &Rows, x: &mut Rows) {
        self.level.run(Add { x: x.span_mut(0..self.n), y: y.span(0..self.n) });
    }

    fn feed_forward(&mut self, index: usize, slots: &LayerSlots, t: &Kept, work: &mut Work, start: &mut State) {
        let n = self.n;
        self.matrix(slots.ffn_value, &work.x, &t.squared, Some(&mut work.wide));
        let slope = Slope::SquaredRelu(t.wide.span(0..n));
        self.level.run(ActivateBack { slope, d: work.wide.span_mut(0..n) });
        self.matrix(slots.ffn_key, &work.wide, &t.ffn_mixed, Some(&mut work.mixed));
        work.normed.span_mut(0..n).fill(Vec16::ZERO);
        self.shift((index, 1), slots.ffn_mix, &t.ffn_normed, &work.mixed, &mut work.normed, start);
        self.norm(&slots.ffn_norm, &t.middle, &mut work.normed);
        self.add(&work.normed, &mut work.x);
    }

    fn attention(&mut self, index: usize, slots: &LayerSlots, t: &Kept, work: &mut Work, start: &mut State) {
        let n = self.n;
        self.matrix(slots.projections[3], &work.x, &t.gated, Some(&mut work.y));
        (0..n).for_each(|row| self.finish(slots, t, work, row));
        self.recur(index, t, work, start);
        (0..n).for_each(|row| self.prepare(index, slots, t, work, row));
        work.normed.span_mut(0..n).fill(Vec16::ZERO);
        let Work { normed, mixed, low, r, k, v, w, a, g, value_mix, .. } = &mut *work;
        for (projection, mix, d) in [(0, 0, r), (1, 2, k), (2, 3, &mut *v)] {
            self.matrix(slots.projections[projection], d, &t.mixed[mix], Some(&mut *mixed));
            self.shift((index, 0), slots.mix[mix], &t.normed, mixed, normed, start);
        }
        let pairs = [
            (Some(&slots.decay), 0, 1, w),
            (Some(&slots.rate), 1, 4, a),
            (slots.value_mix.as_ref(), 2, 3, value_mix),
            (Some(&slots.gate), 3, 5, g),
        ];
        for (pair, which, mix, d) in pairs {
            let Some(pair) = pair else { continue };
            self.low_rank(pair, which, d, t, (mix, &mut low[which], &mut *mixed));
            self.shift((index, 0), slots.mix[mix], &t.normed, mixed, normed, start);
        }
        self.norm(&slots.attn_norm, &t.x, normed);
        self.add(&work.normed, &mut work.x);
    }

    /// The derivative `d` in the output of a low-rank pair, back to its input.
    fn low_rank(
        &mut self,
        pair: &PairSlots,
        which: usize,
        d: &Rows,
        t: &Kept,
        (mix, low, mixed): (usize, &mut Rows, &mut Rows),
    ) {
        let (n, y) = (self.n, &t.low[which]);
        if let Some(bias) = pair.bias {
            self.add_rows(bias, d);
        }
        self.matrix(pair.up, d, y, Some(&mut *low));
        let slope = match which {
            0 => Some(Slope::Tanh(y.span(0..n))),
            3 => Some(Slope::Sigmoid(y.span(0..n))),
            _ => None,
        };
        if let Some(slope) = slope {
            self.level.run(ActivateBack { slope, d: low.span_mut(0..n) });
        }
        self.matrix(pair.down, low, &t.mixed[mix], Some(mixed));
    }

    /// Gate, bonus and group norm of a row.
    fn finish(&mut self, slots: &LayerSlots, t: &Kept, work: &mut Work, row: usize) {
        let (params, config) = (self.params, self.params.config());
        let [weight, bias] = slots.group_norm;
        let tensors = [slots.r_k.range(), weight.range(), bias.range()];
        let [dr_k, dweight, dbias] = self.gradients.get_disjoint_mut(tensors).expect("tensors do not overlap");
        self.level.run(FinishBack {
            head: vectors(config.head_size),
            eps: config.group_norm_eps(),
            y: t.y.row(row),
            norm: (params.of(weight), params.of(bias)),
            r: t.r.row(row),
            k: t.k.row(row),
            v: t.v.row(row),
            r_k: params.of(slots.r_k),
            gate: t.g.row(row),
            dy: work.y.row_mut(row),
            dr: work.r.row_mut(row),
            dk: work.k.row_mut(row),
            dv: work.v.row_mut(row),
            dgate: work.g.row_mut(row),
            dr_k,
            dnorm: [dweight, dbias],
        });
    }

    /// The recurrence of all heads, backward in time.
    fn recur(&mut self, index: usize, t: &Kept, work: &mut Work, start: &mut State) {
        let (lanes, config) = (self.tape.lanes(), self.params.config());
        let head = vectors(config.head_size);
        let matrix = head * config.head_size;
        for row in (0..self.n).rev() {
            let (step, lane) = (row / lanes, row % lanes);
            let before = self.tape.state(step).wkv(index, lane);
            let after = self.tape.state(step + 1).wkv(index, lane);
            let carried = start.wkv_mut(index, lane);
            for h in 0..config.heads() {
                let (part, state) = (h * head..(h + 1) * head, h * matrix..(h + 1) * matrix);
                self.level.run(RecurBack {
                    before: &before[state.clone()],
                    after: &after[state.clone()],
                    carried: &mut carried[state],
                    inputs: [&t.w, &t.k, &t.v, &t.kk, &t.b].map(|rows| &rows.row(row)[part.clone()]),
                    r: &t.r.row(row)[part.clone()],
                    dy: &work.y.row(row)[part.clone()],
                    dr: &mut work.r.row_mut(row)[part.clone()],
                    dk: &mut work.k.row_mut(row)[part.clone()],
                    dv: &mut work.v.row_mut(row)[part.clone()],
                    dw: &mut work.w.row_mut(row)[part.clone()],
                    dkk: &mut work.kk.row_mut(row)[part.clone()],
                    db: &mut work.b.row_mut(row)[part],
                });
            }
        }
    }

    /// What the recurrence's inputs are made of, in a row.
    fn prepare(&mut self, index: usize, slots: &LayerSlots, t: &Kept, work: &mut Work, row: usize) {
        let params = self.params;
        let tensors = [slots.k_k.range(), slots.k_a.range()];
        let [dk_k, dk_a] = self.gradients.get_disjoint_mut(tensors).expect("tensors do not overlap");
        let v_first = self.tape.layers[0].v0.row(row);
        self.level.run(PrepareBack {
            head: vectors(params.config().head_size),
            decay: t.decay.row(row),
            w: t.w.row(row),
            a: t.a.row(row),
            k0: t.k0.row(row),
            kk: t.kk.row(row),
            k_k: params.of(slots.k_k),
            k_a: params.of(slots.k_a),
            v0: t.v0.row(row),
            share: t.share.row(row),
            db: work.b.row(row),
            dkk: work.kk.row(row),
            dw: work.w.row_mut(row),
            da: work.a.row_mut(row),
            dk: work.k.row_mut(row),
            dv: work.v.row_mut(row),
            value_mix: (index > 0).then(|| (v_first, work.value_mix.row_mut(row))),
            dv_first: work.v_first.row_mut(row),
            dk_k,
            dk_a,
        });
    }

    /// The pre-norm and the embeddings.
    fn embeddings(&mut self, work: &mut Work) {
        let layout = &self.params.layout;
        let width = vectors(self.params.config().hidden);
        let all = self.params.of(layout.embeddings);
        for (row, token) in self.tape.tokens().iter().enumerate() {
            let at = usize::from(*token) * width;
            let (weight, x) = (self.params.of(layout.pre_norm[0]), &all[at..at + width]);
            let d = work.x.row_mut(row);
            let dnorm = two(self.gradients, &layout.pre_norm);
            self.level.run(NormBack { x, weight, eps: Config::LAYER_NORM_EPS, d, dnorm });
            let out = &mut self.gradients[layout.embeddings.range()][at..at + width];
            self.level.run(Add { x: out, y: d });
        }
    }
}
