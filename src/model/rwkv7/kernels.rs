//! The elementwise operations between the matrix products, fused, one lane at a time.

use crate::numeric::level::Kernel;
use crate::numeric::math;
use crate::numeric::norm::{group_norm, strided_sum};
use crate::numeric::simd::Simd;
use crate::numeric::vector::{Vec16, WIDTH};

/// exp(-1/2). The decay lies between exp(-exp(-1/2)) and 1.
pub(super) const DECAY: f32 = 0.606_530_66;

/// Token shift: for each mix i, `out_i = x + mu_i * (last - x)`; then `last = x`.
pub(super) struct TokenShift<'a, const N: usize> {
    pub(super) x: &'a [Vec16],
    pub(super) last: &'a mut [Vec16],
    pub(super) mix: [&'a [Vec16]; N],
    pub(super) out: [&'a mut [Vec16]; N],
}

impl<const N: usize> Kernel for TokenShift<'_, N> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.x.len();
        let mix = self.mix.map(|m| &m[..n]);
        let out = self.out.map(|o| &mut o[..n]);
        let last = &mut self.last[..n];
        for i in 0..n {
            let x = s.load(&self.x[i]);
            let d = s.load(&last[i]) - x;
            for j in 0..N {
                s.store(x + s.load(&mix[j][i]) * d, &mut out[j][i]);
            }
            last[i] = self.x[i];
        }
    }
}

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    Tanh,
    Sigmoid,
    /// max(x, 0)^2, with max(NaN, 0) = 0.
    SquaredRelu,
}

/// Applies an activation to the first `n` values of a row and sets the padding after them to zero.
pub(super) struct Activate<'a> {
    pub(super) kind: Activation,
    pub(super) x: &'a mut [Vec16],
    pub(super) n: usize,
}

impl Kernel for Activate<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for v in self.x.iter_mut() {
            let x = s.load(v);
            let y = match self.kind {
                Activation::Tanh => math::tanh(s, x),
                Activation::Sigmoid => math::sigmoid(s, x),
                Activation::SquaredRelu => {
                    let x = s.max(x, s.splat(0.0));
                    x * x
                }
            };
            s.store(y, v);
        }
        if let Some(tail) = self.x.get_mut(self.n / WIDTH) {
            tail.0[self.n % WIDTH..].fill(0.0);
        }
    }
}

/// The parameters that mix the values of a later layer with those of layer 0.
pub(super) struct ValueMix<'a> {
    pub(super) first: &'a [Vec16],
    pub(super) bias: &'a [Vec16],
    /// The low-rank pair's output.
    pub(super) low_rank: &'a [Vec16],
}

/// Computes the inputs of the recurrence from a layer's matrix products.
pub(super) struct Prepare<'a> {
    /// The number of vectors per head.
    pub(super) head: usize,
    /// In: the decay's low-rank output; out: the decay.
    pub(super) w: &'a mut [Vec16],
    pub(super) w_bias: &'a [Vec16],
    /// In: the learning rate's low-rank output; out: kk * a.
    pub(super) a: &'a mut [Vec16],
    pub(super) a_bias: &'a [Vec16],
    /// In: W_k x; out: k * (1 + (a - 1) * k_a).
    pub(super) k: &'a mut [Vec16],
    /// Out: the normalised removal key.
    pub(super) kk: &'a mut [Vec16],
    pub(super) k_k: &'a [Vec16],
    pub(super) k_a: &'a [Vec16],
    pub(super) v: &'a mut [Vec16],
    pub(super) value_mix: Option<ValueMix<'a>>,
}

impl Kernel for Prepare<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let one = s.splat(1.0);
        for first in (0..self.k.len()).step_by(self.head) {
            let head = first..first + self.head;
            for i in head.clone() {
                let u = s.load(&self.k[i]) * s.load(&self.k_k[i]);
                s.store(u, &mut self.kk[i]);
            }
            let kk = &self.kk[head.clone()];
            let squares = strided_sum(s, kk.len(), |i| {
                let u = s.load(&kk[i]);
                u * u
            });
            let length = squares.sqrt();
            let inverse = s.splat(1.0 / if length > 1e-12 { length } else { 1e-12 });
            for i in head {
                let kk = s.load(&self.kk[i]) * inverse;
                s.store(kk, &mut self.kk[i]);
                let decay = math::sigmoid(s, s.load(&self.w_bias[i]) + s.load(&self.w[i]));
                s.store(math::exp(s, decay * s.splat(-DECAY)), &mut self.w[i]);
                let a = math::sigmoid(s, s.load(&self.a_bias[i]) + s.load(&self.a[i]));
                s.store(kk * a, &mut self.a[i]);
                let scale = one + (a - one) * s.load(&self.k_a[i]);
                s.store(s.load(&self.k[i]) * scale, &mut self.k[i]);
                if let Some(mix) = &self.value_mix {
                    let v = s.load(&self.v[i]);
                    let share = math::sigmoid(s, s.load(&mix.bias[i]) + s.load(&mix.low_rank[i]));
                    s.store(v + (s.load(&mix.first[i]) - v) * share, &mut self.v[i]);
                }
            }
        }
    }
}

/// Computes the input of W_o from the recurrence's output: group norm, the bonus `sum(r * k * r_k) * v`, the gate.
pub(super) struct Finish<'a> {
    /// The number of vectors per head.
    pub(super) head: usize,
    pub(super) eps: f32,
    /// In: the recurrence's output; out: gated.
    pub(super) y: &'a mut [Vec16],
    /// Scratch memory for the normed output.
    pub(super) normed: &'a mut [Vec16],
    pub(super) norm: (&'a [Vec16], &'a [Vec16]),
    pub(super) r: &'a [Vec16],
    pub(super) k: &'a [Vec16],
    pub(super) v: &'a [Vec16],
    pub(super) r_k: &'a [Vec16],
    pub(super) gate: &'a [Vec16],
}

impl Kernel for Finish<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        group_norm(s, self.y, self.head, self.norm, self.eps, self.normed);
        for first in (0..self.y.len()).step_by(self.head) {
            let bonus = strided_sum(s, self.head, |i| {
                let i = first + i;
                (s.load(&self.r[i]) * s.load(&self.k[i])) * s.load(&self.r_k[i])
            });
            let bonus = s.splat(bonus);
            for i in first..first + self.head {
                let y = s.load(&self.normed[i]) + bonus * s.load(&self.v[i]);
                s.store(y * s.load(&self.gate[i]), &mut self.y[i]);
            }
        }
    }
}

/// The residual: `x = x + y`.
pub(super) struct Add<'a> {
    pub(super) x: &'a mut [Vec16],
    pub(super) y: &'a [Vec16],
}

impl Kernel for Add<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (x, y) in self.x.iter_mut().zip(self.y) {
            s.store(s.load(x) + s.load(y), x);
        }
    }
}
