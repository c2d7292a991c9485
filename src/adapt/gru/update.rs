//! The optimiser's update of a matrix or of the embeddings, from gradients summed over time and lanes.

use crate::adapt::optimiser::{AdamStep, Moments};
use crate::error::Result;
use crate::model::VOCAB;
use crate::model::gru::{Config, Matrix, Moment};
use crate::numeric::buffer::{Rows, filled};
use crate::numeric::level::Kernel;
use crate::numeric::simd::Simd;
use crate::numeric::vector::{Vec16, WIDTH};

/// One update of the optimiser.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    pub(super) lr: f32,
    pub(super) clip: f32,
    pub(super) adam: Option<AdamStep>,
}

impl Update {
    /// Moves the weights of vector `i` along the gradient `g`.
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, g: S::F, w: &mut Vec16, moments: &mut Moments, i: usize) {
        // A NaN becomes the lower bound.
        let g = s.min(s.max(g, s.splat(-self.clip)), s.splat(self.clip));
        match self.adam {
            Some(step) => step.update(s, g, w, &mut moments.first[i], &mut moments.second[i]),
            None => s.store(s.load(w) + s.splat(self.lr) * g, w),
        }
    }
}

/// The factors of a matrix's gradient: for each (time step, lane) the derivative in the matrix's output and its input.
/// The gradient is the sum of their outer products in this order.
#[derive(Debug)]
pub(super) struct Factors {
    /// `[panel][pair]`.
    deltas: Vec<Vec16>,
    /// `[input][pair]`.
    inputs: Vec<f32>,
    pairs: usize,
}

impl Factors {
    /// Room for any matrix of the network.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn new(config: &Config, pairs: usize) -> Result<Self> {
        let outputs = (3 * config.hidden).max(VOCAB) / WIDTH;
        let inputs = (config.embed + config.hidden).max(config.features());
        Ok(Self {
            deltas: filled(outputs * pairs, Vec16::ZERO, "gradients")?,
            inputs: filled(inputs * pairs, 0.0, "gradients")?,
            pairs: 0,
        })
    }

    /// Collects (derivatives, inputs) of time steps, each with one row a lane.
    pub(super) fn gather<'a>(&mut self, steps: impl Iterator<Item = (&'a Rows, &'a Rows)> + Clone, cols: usize) {
        self.pairs = steps.clone().map(|(deltas, _)| deltas.lanes()).sum();
        let rows = steps.flat_map(|(d, x)| (0..d.lanes()).map(move |lane| (d.row(lane), &x.values(lane)[..cols])));
        for (i, (deltas, inputs)) in rows.enumerate() {
            for (to, d) in self.deltas[i..].iter_mut().step_by(self.pairs).zip(deltas) {
                *to = *d;
            }
            for (to, x) in self.inputs[i..].iter_mut().step_by(self.pairs).zip(inputs) {
                *to = *x;
            }
        }
    }
}

/// Updates a matrix and its bias.
pub(super) struct UpdateMatrix<'a> {
    pub(super) matrix: &'a mut Matrix,
    pub(super) moments: &'a mut Moments,
    pub(super) factors: &'a Factors,
    pub(super) update: Update,
}

impl Kernel for UpdateMatrix<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const AT_ONCE: usize = 4;
        let Self { matrix, moments, factors: Factors { deltas, inputs, pairs }, update } = self;
        let (cols, n) = (matrix.cols, *pairs);
        if n == 0 {
            return;
        }
        let all = matrix.panels.len();
        for (p, deltas) in deltas.chunks_exact(n).take(matrix.bias.len()).enumerate() {
            for k in (0..cols).step_by(AT_ONCE) {
                let inputs: [&[f32]; AT_ONCE] = std::array::from_fn(|i| &inputs[(k + i) * n..][..n]);
                let mut g = [s.splat(0.0); AT_ONCE];
                for (t, d) in deltas.iter().enumerate() {
                    let d = s.load(d);
                    for (g, x) in g.iter_mut().zip(inputs) {
                        *g = *g + d * s.splat(x[t]);
                    }
                }
                let at = p * cols + k;
                for (i, g) in g.into_iter().enumerate() {
                    update.apply(s, g, &mut matrix.panels[at + i], moments, at + i);
                }
            }
            let g = deltas.iter().fold(s.splat(0.0), |g, d| g + s.load(d));
            update.apply(s, g, &mut matrix.bias[p], moments, all + p);
        }
    }
}

/// Gradients of the embeddings that were used: one sum for each distinct byte, in order of first use.
#[derive(Debug)]
pub(super) struct EmbeddingGradients {
    /// The distinct bytes. Only the first `used` are valid.
    bytes: Vec<u8>,
    used: usize,
    sums: Rows,
}

impl EmbeddingGradients {
    /// Room for all bytes.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn new(config: &Config) -> Result<Self> {
        Ok(Self { bytes: filled(VOCAB, 0, "gradients")?, used: 0, sums: Rows::new(VOCAB, config.embed)? })
    }

    /// Sums the gradients of time steps, each with one row for each lane that has a byte.
    pub(super) fn gather<'a>(&mut self, steps: impl Iterator<Item = (&'a Moment, &'a Rows)>) {
        self.used = 0;
        let lanes = |(moment, rows): (&'a Moment, &'a Rows)| {
            let active = (0..rows.lanes()).filter(|lane| moment.is_active(*lane));
            active.map(move |lane| (&moment.tokens()[lane], rows.row(lane)))
        };
        for (byte, more) in steps.flat_map(lanes) {
            match self.bytes[..self.used].iter().position(|b| b == byte) {
                Some(at) => {
                    for (to, more) in self.sums.row_mut(at).iter_mut().zip(more) {
                        to.0.iter_mut().zip(more.0).for_each(|(to, more)| *to += more);
                    }
                }
                None => {
                    self.sums.row_mut(self.used).copy_from_slice(more);
                    self.bytes[self.used] = *byte;
                    self.used += 1;
                }
            }
        }
    }
}

/// Updates the embeddings that were used.
pub(super) struct UpdateEmbeddings<'a> {
    pub(super) rows: &'a mut Rows,
    pub(super) moments: &'a mut Moments,
    pub(super) gradients: &'a EmbeddingGradients,
    pub(super) update: Update,
}

impl Kernel for UpdateEmbeddings<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { rows, moments, gradients, update } = self;
        for (i, byte) in gradients.bytes[..gradients.used].iter().enumerate() {
            let row = rows.row_mut((*byte).into());
            let first = usize::from(*byte) * row.len();
            for (j, (w, g)) in row.iter_mut().zip(gradients.sums.row(i)).enumerate() {
                update.apply(s, s.load(g), w, moments, first + j);
            }
        }
    }
}
