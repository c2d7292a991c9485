//! Truncated backpropagation through time, over the time steps that are held (Williams, Peng 1990, "An Efficient
//! Gradient-Based Algorithm for On-Line Training of Recurrent Network Trajectories").

use super::Config;
use super::step::{Gates, Moment};
use super::weights::{Matrix, Weights};
use crate::error::Result;
use crate::numeric::buffer::{Rows, filled, made};
use crate::numeric::level::{Kernel, Level};
use crate::numeric::simd::Simd;
use crate::numeric::vector::{Vec16, WIDTH, flat_mut};

/// The derivatives of the log-likelihood with respect to each matrix's output in a time step, for all lanes. A matrix's
/// gradient is the sum of their outer products with its inputs.
#[derive(Debug)]
struct Deltas {
    input: Vec<Rows>,
    recurrent: Vec<Rows>,
    embedding: Rows,
}

/// The derivatives in all time steps that are held.
#[derive(Debug)]
pub struct Gradients {
    steps: Vec<Deltas>,
    /// The derivative with respect to each layer's state, propagated from later time steps.
    carried: Vec<Rows>,
    /// Scratch memory: the product of a transposed matrix.
    back: Vec<Vec16>,
}

impl Gradients {
    /// Memory for this many time steps and lanes.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(config: &Config, steps: usize, lanes: usize) -> Result<Self> {
        let rows = |width: usize| made(config.layers, "gradients", |_| Rows::new(lanes, width));
        let step = |_| {
            Ok(Deltas {
                input: rows(3 * config.hidden)?,
                recurrent: rows(3 * config.hidden)?,
                embedding: Rows::new(lanes, config.embed)?,
            })
        };
        let widest = (config.embed + config.hidden).max(config.features()) / WIDTH;
        Ok(Self {
            steps: made(steps, "gradients", step)?,
            carried: rows(config.hidden)?,
            back: filled(widest, Vec16::ZERO, "gradients")?,
        })
    }

    /// Propagates derivatives backward through `moments`, which are ordered from the earliest to the latest.
    pub fn run<'a, I>(&mut self, level: Level, weights: &Weights, moments: I)
    where
        I: DoubleEndedIterator<Item = &'a Moment> + ExactSizeIterator,
    {
        for rows in &mut self.carried {
            (0..rows.lanes()).for_each(|lane| rows.row_mut(lane).fill(Vec16::ZERO));
        }
        for (i, moment) in moments.enumerate().rev() {
            for lane in 0..moment.tokens.len() {
                let (step, carried, back) = (&mut self.steps[i], &mut self.carried, &mut self.back);
                level.run(Step { weights, moment, lane, step, carried, back });
            }
        }
    }

    /// The derivatives with respect to the output of a layer's input matrix in a step.
    pub fn input(&self, step: usize, layer: usize) -> &Rows {
        &self.steps[step].input[layer]
    }

    /// The derivatives with respect to the output of a layer's recurrent matrix in a step.
    pub fn recurrent(&self, step: usize, layer: usize) -> &Rows {
        &self.steps[step].recurrent[layer]
    }

    /// The derivatives with respect to the embedding of a step's byte.
    pub fn embedding(&self, step: usize) -> &Rows {
        &self.steps[step].embedding
    }
}

/// The inputs of the matrices. A gradient is the product of such an input and a derivative in [`Gradients`].
impl Moment {
    /// The input of a layer's input matrix.
    pub fn input(&self, layer: usize) -> &Rows {
        &self.layers[layer].x
    }

    /// The input of a layer's recurrent matrix: its state before the step.
    pub fn before(&self, layer: usize) -> &Rows {
        &self.layers[layer].before
    }
}

/// The backward pass of a lane in a time step.
struct Step<'a> {
    weights: &'a Weights,
    moment: &'a Moment,
    lane: usize,
    step: &'a mut Deltas,
    carried: &'a mut [Rows],
    back: &'a mut [Vec16],
}

impl Kernel for Step<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { weights, moment, lane, step, carried, back } = self;
        let (embed, hidden) = (weights.config.embed / WIDTH, weights.config.hidden / WIDTH);
        if moment.trains {
            transposed(s, &weights.head, moment.error.row(lane), back);
            for (layer, rows) in carried.iter_mut().enumerate() {
                add(s, rows.row_mut(lane), &back[layer * hidden..]);
            }
        }
        step.embedding.row_mut(lane).fill(Vec16::ZERO);
        if !moment.is_active(lane) {
            // The state did not change in this step.
            let all = step.input.iter_mut().chain(&mut step.recurrent);
            all.for_each(|rows| rows.row_mut(lane).fill(Vec16::ZERO));
            return;
        }
        for (layer, matrices) in weights.layers.iter().enumerate().rev() {
            let (input, recurrent) = (step.input[layer].row_mut(lane), step.recurrent[layer].row_mut(lane));
            gates(s, &moment.layers[layer], lane, carried[layer].row_mut(lane), input, recurrent);
            transposed(s, &matrices.recurrent, recurrent, back);
            add(s, carried[layer].row_mut(lane), back);
            transposed(s, &matrices.input, input, back);
            add(s, step.embedding.row_mut(lane), back);
            if layer > 0 {
                add(s, carried[layer - 1].row_mut(lane), &back[embed..]);
            }
        }
    }
}

/// `carried` is the derivative with respect to the state after a step. Computes from it the derivatives with respect to
/// the outputs of the two matrices. Afterwards `carried` is the part of the derivative with respect to the state before
/// the step that does not pass through the recurrent matrix.
#[inline(always)]
fn gates<S: Simd>(
    s: S,
    made: &Gates,
    lane: usize,
    carried: &mut [Vec16],
    input: &mut [Vec16],
    recurrent: &mut [Vec16],
) {
    let n = carried.len();
    let (values, before) = (made.gates.row(lane), made.before.row(lane));
    let one = s.splat(1.0);
    for i in 0..n {
        let [reset, update, candidate, part] = [0, 1, 2, 3].map(|gate| s.load(&values[gate * n + i]));
        let d = s.load(&carried[i]);
        let d_candidate = (d * (one - update)) * (one - candidate * candidate);
        let d_update = (d * (s.load(&before[i]) - candidate)) * (update * (one - update));
        let d_reset = (d_candidate * part) * (reset * (one - reset));
        for (gate, d) in [d_reset, d_update].into_iter().enumerate() {
            s.store(d, &mut input[gate * n + i]);
            s.store(d, &mut recurrent[gate * n + i]);
        }
        s.store(d_candidate, &mut input[2 * n + i]);
        s.store(d_candidate * reset, &mut recurrent[2 * n + i]);
        s.store(d * update, &mut carried[i]);
    }
}

/// The transposed matrix times `d`: for each input, sixteen strided sums over the outputs, then the fixed tree sum.
#[inline(always)]
fn transposed<S: Simd>(s: S, matrix: &Matrix, d: &[Vec16], out: &mut [Vec16]) {
    const AT_ONCE: usize = 4;
    let (out, _) = flat_mut(out)[..matrix.cols].as_chunks_mut::<AT_ONCE>();
    for (i, out) in out.iter_mut().enumerate() {
        let mut sums = [s.splat(0.0); AT_ONCE];
        for (d, panel) in d.iter().zip(matrix.panels.chunks_exact(matrix.cols)) {
            let (d, columns) = (s.load(d), &panel[i * AT_ONCE..][..AT_ONCE]);
            for (sum, w) in sums.iter_mut().zip(columns) {
                *sum = *sum + s.load(w) * d;
            }
        }
        *out = sums.map(|sum| s.tree_sum(sum));
    }
}

#[inline(always)]
fn add<S: Simd>(s: S, to: &mut [Vec16], more: &[Vec16]) {
    for (to, more) in to.iter_mut().zip(more) {
        s.store(s.load(to) + s.load(more), to);
    }
}
