//! The elementwise operations of the backward pass, one row at a time, and the forward operation that keeps what they
//! need. Derivatives of parameters are added up in the order of the calls.

use super::kernels::DECAY;
use crate::numeric::level::Kernel;
use crate::numeric::math;
use crate::numeric::norm::{moments, strided_sum};
use crate::numeric::simd::Simd;
use crate::numeric::vector::{Vec16, WIDTH, flat};

/// `Prepare` with every intermediate result kept.
pub(super) struct PrepareKept<'a> {
    /// The number of vectors per head.
    pub(super) head: usize,
    /// Out: the sigmoid in the decay.
    pub(super) decay: &'a mut [Vec16],
    /// In: the decay's low-rank output; out: the decay.
    pub(super) w: &'a mut [Vec16],
    pub(super) w_bias: &'a [Vec16],
    /// In: the learning rate's low-rank output; out: the learning rate.
    pub(super) a: &'a mut [Vec16],
    pub(super) a_bias: &'a [Vec16],
    pub(super) k0: &'a [Vec16],
    pub(super) k: &'a mut [Vec16],
    pub(super) kk: &'a mut [Vec16],
    pub(super) b: &'a mut [Vec16],
    pub(super) k_k: &'a [Vec16],
    pub(super) k_a: &'a [Vec16],
    pub(super) v0: &'a [Vec16],
    pub(super) v: &'a mut [Vec16],
    pub(super) share: &'a mut [Vec16],
    /// Layer 0's values, the bias, the low-rank output.
    pub(super) value_mix: Option<(&'a [Vec16], &'a [Vec16], &'a [Vec16])>,
}

/// 1 / the length of a head's removal key before it is normalised, and whether the length is that of the key.
#[inline(always)]
fn inverse_length<S: Simd>(s: S, k0: &[Vec16], k_k: &[Vec16]) -> (f32, bool) {
    let squares = strided_sum(s, k0.len(), |i| {
        let u = s.load(&k0[i]) * s.load(&k_k[i]);
        u * u
    });
    let length = squares.sqrt();
    (1.0 / if length > 1e-12 { length } else { 1e-12 }, length > 1e-12)
}

impl Kernel for PrepareKept<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let one = s.splat(1.0);
        for first in (0..self.k.len()).step_by(self.head) {
            let head = first..first + self.head;
            let (inverse, _) = inverse_length(s, &self.k0[head.clone()], &self.k_k[head.clone()]);
            let inverse = s.splat(inverse);
            for i in head {
                let k0 = s.load(&self.k0[i]);
                let kk = (k0 * s.load(&self.k_k[i])) * inverse;
                s.store(kk, &mut self.kk[i]);
                let decay = math::sigmoid(s, s.load(&self.w_bias[i]) + s.load(&self.w[i]));
                s.store(decay, &mut self.decay[i]);
                s.store(math::exp(s, decay * s.splat(-DECAY)), &mut self.w[i]);
                let a = math::sigmoid(s, s.load(&self.a_bias[i]) + s.load(&self.a[i]));
                s.store(a, &mut self.a[i]);
                s.store(kk * a, &mut self.b[i]);
                s.store(k0 * (one + (a - one) * s.load(&self.k_a[i])), &mut self.k[i]);
                let v = s.load(&self.v0[i]);
                let v = match self.value_mix {
                    Some((v_first, bias, low)) => {
                        let share = math::sigmoid(s, s.load(&bias[i]) + s.load(&low[i]));
                        s.store(share, &mut self.share[i]);
                        v + (s.load(&v_first[i]) - v) * share
                    }
                    None => v,
                };
                s.store(v, &mut self.v[i]);
            }
        }
    }
}

/// `to = to + x`.
#[inline(always)]
fn add<S: Simd>(s: S, x: S::F, to: &mut Vec16) {
    s.store(s.load(to) + x, to);
}

/// The derivatives of [`PrepareKept`].
pub(super) struct PrepareBack<'a> {
    pub(super) head: usize,
    pub(super) decay: &'a [Vec16],
    pub(super) w: &'a [Vec16],
    pub(super) a: &'a [Vec16],
    pub(super) k0: &'a [Vec16],
    pub(super) kk: &'a [Vec16],
    pub(super) k_k: &'a [Vec16],
    pub(super) k_a: &'a [Vec16],
    pub(super) v0: &'a [Vec16],
    pub(super) share: &'a [Vec16],
    pub(super) db: &'a [Vec16],
    pub(super) dkk: &'a [Vec16],
    /// In: in the decay; out: in the decay's low-rank output.
    pub(super) dw: &'a mut [Vec16],
    /// Out: in the learning rate's low-rank output.
    pub(super) da: &'a mut [Vec16],
    /// In: in k; out: in k0.
    pub(super) dk: &'a mut [Vec16],
    /// In: in v; out: in v0.
    pub(super) dv: &'a mut [Vec16],
    /// In: layer 0's values; out: in the value mix's low-rank output. `None` in layer 0.
    pub(super) value_mix: Option<(&'a [Vec16], &'a mut [Vec16])>,
    /// The derivative in layer 0's values, of all layers.
    pub(super) dv_first: &'a mut [Vec16],
    pub(super) dk_k: &'a mut [Vec16],
    pub(super) dk_a: &'a mut [Vec16],
}

impl Kernel for PrepareBack<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let one = s.splat(1.0);
        for first in (0..self.k0.len()).step_by(self.head) {
            let head = first..first + self.head;
            let (inverse, normal) = inverse_length(s, &self.k0[head.clone()], &self.k_k[head.clone()]);
            // dkk with what comes through b = kk * a.
            let total = |i: usize| s.load(&self.dkk[i]) + s.load(&self.db[i]) * s.load(&self.a[i]);
            let along = strided_sum(s, self.head, |i| total(first + i) * s.load(&self.kk[first + i]));
            let along = s.splat(if normal { along } else { 0.0 });
            for i in head {
                let (k0, a, kk) = (s.load(&self.k0[i]), s.load(&self.a[i]), s.load(&self.kk[i]));
                let k_a = s.load(&self.k_a[i]);
                let du = (total(i) - kk * along) * s.splat(inverse);
                let dk = s.load(&self.dk[i]);
                let scale = one + (a - one) * k_a;
                let dscale = dk * k0;
                add(s, dscale * (a - one), &mut self.dk_a[i]);
                add(s, du * k0, &mut self.dk_k[i]);
                s.store(dk * scale + du * s.load(&self.k_k[i]), &mut self.dk[i]);
                let da = s.load(&self.db[i]) * kk + dscale * k_a;
                s.store(da * (a * (one - a)), &mut self.da[i]);
                let (decay, w) = (s.load(&self.decay[i]), s.load(&self.w[i]));
                let dw = (s.load(&self.dw[i]) * w) * s.splat(-DECAY);
                s.store(dw * (decay * (one - decay)), &mut self.dw[i]);
                let dv = s.load(&self.dv[i]);
                match &mut self.value_mix {
                    Some((v_first, out)) => {
                        let share = s.load(&self.share[i]);
                        let from_first = dv * share;
                        let dshare = dv * (s.load(&v_first[i]) - s.load(&self.v0[i]));
                        s.store(dshare * (share * (one - share)), &mut out[i]);
                        add(s, from_first, &mut self.dv_first[i]);
                        s.store(dv - from_first, &mut self.dv[i]);
                    }
                    None => s.store(dv + s.load(&self.dv_first[i]), &mut self.dv[i]),
                }
            }
        }
    }
}

/// The derivatives of `Finish`: gate, bonus, group norm.
pub(super) struct FinishBack<'a> {
    pub(super) head: usize,
    pub(super) eps: f32,
    pub(super) y: &'a [Vec16],
    pub(super) norm: (&'a [Vec16], &'a [Vec16]),
    pub(super) r: &'a [Vec16],
    pub(super) k: &'a [Vec16],
    pub(super) v: &'a [Vec16],
    pub(super) r_k: &'a [Vec16],
    pub(super) gate: &'a [Vec16],
    /// In: in the gated output; out: in the recurrence's output.
    pub(super) dy: &'a mut [Vec16],
    /// Out.
    pub(super) dr: &'a mut [Vec16],
    pub(super) dk: &'a mut [Vec16],
    pub(super) dv: &'a mut [Vec16],
    pub(super) dgate: &'a mut [Vec16],
    pub(super) dr_k: &'a mut [Vec16],
    pub(super) dnorm: [&'a mut [Vec16]; 2],
}

impl Kernel for FinishBack<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { head, y, norm: (weight, bias), r, k, v, r_k, gate, dy, dnorm: [dweight, dbias], .. } = self;
        for first in (0..y.len()).step_by(head) {
            let (mean, scale) = moments(s, &y[first..first + head], self.eps);
            let normed = |i: usize| (s.load(&y[i]) - mean) * scale;
            let rk = |i: usize| (s.load(&r[i]) * s.load(&k[i])) * s.load(&r_k[i]);
            let bonus = s.splat(strided_sum(s, head, |i| rk(first + i)));
            for i in first..first + head {
                let z = (normed(i) * s.load(&weight[i]) + s.load(&bias[i])) + bonus * s.load(&v[i]);
                let d = s.load(&dy[i]);
                s.store(d * z, &mut self.dgate[i]);
                s.store(d * s.load(&gate[i]), &mut dy[i]);
            }
            let dbonus = s.splat(strided_sum(s, head, |i| s.load(&dy[first + i]) * s.load(&v[first + i])));
            for i in first..first + head {
                let (r, k, r_k) = (s.load(&r[i]), s.load(&k[i]), s.load(&r_k[i]));
                s.store(dbonus * (k * r_k), &mut self.dr[i]);
                s.store(dbonus * (r * r_k), &mut self.dk[i]);
                add(s, dbonus * (r * k), &mut self.dr_k[i]);
                let d = s.load(&dy[i]);
                s.store(d * bonus, &mut self.dv[i]);
                add(s, d * normed(i), &mut dweight[i]);
                add(s, d, &mut dbias[i]);
                s.store(d * s.load(&weight[i]), &mut dy[i]);
            }
            norm_input(s, &y[first..first + head], (mean, scale), &mut dy[first..first + head]);
        }
    }
}

/// Turns the derivative in a norm's output, times its weight, into that in its input.
#[inline(always)]
fn norm_input<S: Simd>(s: S, x: &[Vec16], (mean, scale): (S::F, S::F), d: &mut [Vec16]) {
    let n = (x.len() * WIDTH) as f32;
    let normed = |i: usize| (s.load(&x[i]) - mean) * scale;
    let sum = s.splat(strided_sum(s, x.len(), |i| s.load(&d[i])) / n);
    let along = s.splat(strided_sum(s, x.len(), |i| s.load(&d[i]) * normed(i)) / n);
    for (i, d) in d.iter_mut().enumerate() {
        s.store(((s.load(d) - sum) - normed(i) * along) * scale, d);
    }
}

/// The derivatives of a layer norm.
pub(super) struct NormBack<'a> {
    pub(super) x: &'a [Vec16],
    pub(super) weight: &'a [Vec16],
    pub(super) eps: f32,
    /// In: in the output; out: in the input.
    pub(super) d: &'a mut [Vec16],
    pub(super) dnorm: [&'a mut [Vec16]; 2],
}

impl Kernel for NormBack<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, weight, d, dnorm: [dweight, dbias], .. } = self;
        let (mean, scale) = moments(s, x, self.eps);
        for i in 0..x.len() {
            let out = s.load(&d[i]);
            add(s, out * ((s.load(&x[i]) - mean) * scale), &mut dweight[i]);
            add(s, out, &mut dbias[i]);
            s.store(out * s.load(&weight[i]), &mut d[i]);
        }
        norm_input(s, x, (mean, scale), d);
    }
}

/// The derivatives of a token shift by one mix.
pub(super) struct ShiftBack<'a> {
    pub(super) x: &'a [Vec16],
    pub(super) last: &'a [Vec16],
    pub(super) mix: &'a [Vec16],
    /// In the shifted input.
    pub(super) d: &'a [Vec16],
    /// Added to: in the input, in the last input, in the mix.
    pub(super) dx: &'a mut [Vec16],
    pub(super) dlast: &'a mut [Vec16],
    pub(super) dmix: &'a mut [Vec16],
}

impl Kernel for ShiftBack<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for i in 0..self.x.len() {
            let d = s.load(&self.d[i]);
            let to_last = d * s.load(&self.mix[i]);
            add(s, d * (s.load(&self.last[i]) - s.load(&self.x[i])), &mut self.dmix[i]);
            add(s, to_last, &mut self.dlast[i]);
            add(s, d - to_last, &mut self.dx[i]);
        }
    }
}

/// The derivative of an activation, from its output.
#[derive(Clone, Copy)]
pub(super) enum Slope<'a> {
    /// 1 - y^2.
    Tanh(&'a [Vec16]),
    /// y (1 - y).
    Sigmoid(&'a [Vec16]),
    /// 2 max(x, 0), from the input.
    SquaredRelu(&'a [Vec16]),
}

/// `d = d * slope`.
pub(super) struct ActivateBack<'a> {
    pub(super) slope: Slope<'a>,
    pub(super) d: &'a mut [Vec16],
}

impl Kernel for ActivateBack<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let one = s.splat(1.0);
        for (i, d) in self.d.iter_mut().enumerate() {
            let slope = match self.slope {
                Slope::Tanh(y) => one - s.load(&y[i]) * s.load(&y[i]),
                Slope::Sigmoid(y) => s.load(&y[i]) * (one - s.load(&y[i])),
                Slope::SquaredRelu(x) => {
                    let x = s.max(s.load(&x[i]), s.splat(0.0));
                    x + x
                }
            };
            s.store(s.load(d) * slope, d);
        }
    }
}

/// The gradient of a matrix: for each weight the sum over rows of the derivative in its output times its input.
pub(super) struct Outer<'a> {
    /// The rows' derivatives in the matrix's output, and the rows' inputs.
    pub(super) d: &'a [Vec16],
    pub(super) x: &'a [Vec16],
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Panels of the matrix.
    pub(super) out: &'a mut [Vec16],
}

impl Kernel for Outer<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const AT_ONCE: usize = 4;
        let Self { d, x, rows, cols, out } = self;
        let (d_stride, x_stride) = (d.len() / rows, x.len() / rows * WIDTH);
        let x = flat(x);
        for (p, out) in out.chunks_exact_mut(cols).enumerate() {
            let mut k = 0;
            while k + AT_ONCE <= cols {
                let mut g = [s.splat(0.0); AT_ONCE];
                for row in 0..rows {
                    let d = s.load(&d[row * d_stride + p]);
                    let x = &x[row * x_stride + k..][..AT_ONCE];
                    for i in 0..AT_ONCE {
                        g[i] = g[i] + d * s.splat(x[i]);
                    }
                }
                for (i, g) in g.into_iter().enumerate() {
                    s.store(g, &mut out[k + i]);
                }
                k += AT_ONCE;
            }
            for k in k..cols {
                let mut g = s.splat(0.0);
                for row in 0..rows {
                    g = g + s.load(&d[row * d_stride + p]) * s.splat(x[row * x_stride + k]);
                }
                s.store(g, &mut out[k]);
            }
        }
    }
}

/// Adds rows to one row, in order.
pub(super) struct AddRows<'a> {
    pub(super) d: &'a [Vec16],
    pub(super) out: &'a mut [Vec16],
}

impl Kernel for AddRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for row in self.d.chunks_exact(self.out.len()) {
            for (out, d) in self.out.iter_mut().zip(row) {
                add(s, s.load(d), out);
            }
        }
    }
}

/// Panels of the transposed matrix.
pub(super) fn transpose(panels: &[Vec16], cols: usize, rows: usize, out: &mut Vec<Vec16>) {
    out.clear();
    out.resize(cols.div_ceil(WIDTH) * rows, Vec16::ZERO);
    for (p, panel) in panels.chunks_exact(cols).enumerate() {
        let outputs = WIDTH.min(rows - p * WIDTH);
        for (q, columns) in panel.chunks(WIDTH).enumerate() {
            let to = &mut out[q * rows + p * WIDTH..][..outputs];
            for (k, column) in columns.iter().enumerate() {
                for (o, to) in to.iter_mut().enumerate() {
                    to.0[k] = column.0[o];
                }
            }
        }
    }
}

/// The derivatives of the recurrence of one head in one step. S is the state before the step, column by column.
pub(super) struct RecurBack<'a> {
    pub(super) before: &'a [Vec16],
    pub(super) after: &'a [Vec16],
    /// In: in the state after the step; out: in the state before.
    pub(super) carried: &'a mut [Vec16],
    /// w, k, v, kk, b.
    pub(super) inputs: [&'a [Vec16]; 5],
    pub(super) r: &'a [Vec16],
    pub(super) dy: &'a [Vec16],
    /// Added to.
    pub(super) dr: &'a mut [Vec16],
    pub(super) dk: &'a mut [Vec16],
    pub(super) dv: &'a mut [Vec16],
    /// Out.
    pub(super) dw: &'a mut [Vec16],
    pub(super) dkk: &'a mut [Vec16],
    pub(super) db: &'a mut [Vec16],
}

impl Kernel for RecurBack<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.dy.len() {
            4 => recur_back::<S, 4>(s, self),
            2 => recur_back::<S, 2>(s, self),
            _ => unreachable!("head sizes are 32 and 64"),
        }
    }
}

#[inline(always)]
fn recur_back<S: Simd, const V: usize>(s: S, t: RecurBack) {
    let n = V * WIDTH;
    debug_assert!(t.before.len() == n * V && t.after.len() == n * V);
    let (before, _) = t.before.as_chunks::<V>();
    let (after, _) = t.after.as_chunks::<V>();
    let (carried, _) = t.carried.as_chunks_mut::<V>();
    let [w, k, v, kk, b] = t.inputs;
    let take = |x| &flat(x)[..n];
    let (r, w, k, kk, b) = (take(t.r), take(w), take(k), take(kk), take(b));
    let vector = |x: &[Vec16]| -> [S::F; V] { std::array::from_fn(|q| s.load(&x[q])) };
    let (v, dy) = (vector(v), vector(t.dy));
    // What was removed, and the derivatives in it and in v.
    let mut removed = [s.splat(0.0); V];
    let mut dremoved = [s.splat(0.0); V];
    let mut dv = [s.splat(0.0); V];
    for j in 0..n {
        let (x, rj, kj, bj) = (s.splat(kk[j]), s.splat(r[j]), s.splat(k[j]), s.splat(b[j]));
        for q in 0..V {
            removed[q] = removed[q] + s.load(&before[j][q]) * x;
            let d = s.load(&carried[j][q]) + dy[q] * rj;
            s.store(d, &mut carried[j][q]);
            dv[q] = dv[q] + d * kj;
            dremoved[q] = dremoved[q] - d * bj;
        }
    }
    for (dv, to) in dv.into_iter().zip(t.dv) {
        add(s, dv, to);
    }
    // The sums over i of sixteen j at a time; each is sixteen strided sums, then the tree.
    for first in (0..n).step_by(WIDTH) {
        let mut sums = [[Vec16::ZERO; WIDTH]; 5];
        for l in 0..WIDTH {
            let j = first + l;
            let (wj, kj) = (s.splat(w[j]), s.splat(kk[j]));
            let mut acc = [s.splat(0.0); 5];
            for q in 0..V {
                let (d, old) = (s.load(&carried[j][q]), s.load(&before[j][q]));
                acc[0] = acc[0] + s.load(&after[j][q]) * dy[q];
                acc[1] = acc[1] + d * v[q];
                acc[2] = acc[2] + d * old;
                acc[3] = acc[3] + dremoved[q] * old;
                acc[4] = acc[4] - d * removed[q];
                s.store(d * wj + dremoved[q] * kj, &mut carried[j][q]);
            }
            for (sums, acc) in sums.iter_mut().zip(acc) {
                s.store(acc, &mut sums[l]);
            }
        }
        let at = first / WIDTH;
        let [dr, dk, dw, dkk, db] = sums.map(|sums| trees(s, &sums));
        add(s, dr, &mut t.dr[at]);
        add(s, dk, &mut t.dk[at]);
        s.store(dw, &mut t.dw[at]);
        s.store(dkk, &mut t.dkk[at]);
        s.store(db, &mut t.db[at]);
    }
}

/// The tree sums of sixteen vectors.
#[inline(always)]
fn trees<S: Simd>(s: S, v: &[Vec16; WIDTH]) -> S::F {
    let mut columns: [S::F; WIDTH] = std::array::from_fn(|i| s.load(&Vec16(std::array::from_fn(|l| v[l].0[i]))));
    let mut n = WIDTH / 2;
    while n > 0 {
        for i in 0..n {
            columns[i] = columns[i] + columns[i + n];
        }
        n /= 2;
    }
    columns[0]
}
