//! Layer norm and group norm. A mean is a sum (16 strided partial sums, then the fixed tree) divided by the count.

use super::level::{Kernel, Level};
use super::simd::Simd;
use super::vector::{Vec16, WIDTH};

/// The sum of `f(0)` to `f(n - 1)` over all lanes, in the contract's order.
#[inline(always)]
pub(crate) fn strided_sum<S: Simd>(s: S, n: usize, f: impl Fn(usize) -> S::F) -> f32 {
    let mut acc = s.splat(0.0);
    for i in 0..n {
        acc = acc + f(i);
    }
    s.tree_sum(acc)
}

/// The mean of `x` and 1 / sqrt(variance + eps); the variance is the mean of squared deviations.
#[inline(always)]
pub(crate) fn moments<S: Simd>(s: S, x: &[Vec16], eps: f32) -> (S::F, S::F) {
    let n = (x.len() * WIDTH) as f32;
    let mean = s.splat(strided_sum(s, x.len(), |i| s.load(&x[i])) / n);
    let variance = strided_sum(s, x.len(), |i| {
        let d = s.load(&x[i]) - mean;
        d * d
    }) / n;
    (mean, s.splat(1.0 / (variance + eps).sqrt()))
}

/// `((x - mean) * inverse deviation) * weight + bias`, over groups of `group` vectors.
#[inline(always)]
pub(crate) fn group_norm<S: Simd>(
    s: S,
    x: &[Vec16],
    group: usize,
    (weight, bias): (&[Vec16], &[Vec16]),
    eps: f32,
    out: &mut [Vec16],
) {
    for g in (0..x.len()).step_by(group) {
        let (mean, scale) = moments(s, &x[g..g + group], eps);
        for i in g..g + group {
            let y = ((s.load(&x[i]) - mean) * scale) * s.load(&weight[i]) + s.load(&bias[i]);
            s.store(y, &mut out[i]);
        }
    }
}

struct LayerNorm<'a> {
    x: &'a [Vec16],
    weight: &'a [Vec16],
    bias: &'a [Vec16],
    eps: f32,
    out: &'a mut [Vec16],
}

impl Kernel for LayerNorm<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        group_norm(s, self.x, self.x.len(), (self.weight, self.bias), self.eps, self.out);
    }
}

/// Layer norm of one vector (Ba, Kiros, Hinton 2016). All slices have the same length.
pub fn layer_norm(level: Level, x: &[Vec16], weight: &[Vec16], bias: &[Vec16], eps: f32, out: &mut [Vec16]) {
    let n = x.len();
    let (weight, bias, out) = (&weight[..n], &bias[..n], &mut out[..n]);
    level.run(LayerNorm { x, weight, bias, eps, out });
}

struct RmsNorm<'a> {
    x: &'a mut [Vec16],
    weight: &'a [Vec16],
    eps: f32,
}

impl Kernel for RmsNorm<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = (self.weight.len() * WIDTH) as f32;
        for x in self.x.chunks_exact_mut(self.weight.len()) {
            let mean = strided_sum(s, x.len(), |i| {
                let v = s.load(&x[i]);
                v * v
            }) / n;
            let scale = s.splat(1.0 / (mean + self.eps).sqrt());
            for (x, w) in x.iter_mut().zip(self.weight) {
                s.store((s.load(x) * scale) * s.load(w), x);
            }
        }
    }
}

/// RMS norm (Zhang, Sennrich 2019) of every group of `weight.len()` vectors, in place: `(x * (1 / sqrt(mean of squares
/// + eps))) * weight`.
pub fn rms_norm(level: Level, x: &mut [Vec16], weight: &[Vec16], eps: f32) {
    assert!(!weight.is_empty() && x.len().is_multiple_of(weight.len()));
    level.run(RmsNorm { x, weight, eps });
}

#[cfg(test)]
mod tests {
    use super::super::buffer::padded;
    use super::super::random::Random;
    use super::super::testing::{KINDS, assert_same, naive_sum, values};
    use super::super::vector::flat;
    use super::*;

    struct Groups<'a>(&'a [Vec16], usize, &'a [Vec16], &'a [Vec16], &'a mut [Vec16]);

    impl Kernel for Groups<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            group_norm(s, self.0, self.1, (self.2, self.3), 64e-5, self.4);
        }
    }

    fn naive(x: &[f32], w: &[f32], b: &[f32], eps: f32) -> Vec<f32> {
        let mean = naive_sum(x) / x.len() as f32;
        let squares: Vec<f32> = x.iter().map(|x| (x - mean) * (x - mean)).collect();
        let scale = 1.0 / (naive_sum(&squares) / x.len() as f32 + eps).sqrt();
        (0..x.len()).map(|i| ((x[i] - mean) * scale) * w[i] + b[i]).collect()
    }

    #[test]
    fn every_level_gives_the_bits_of_the_naive_loop() {
        for kind in KINDS {
            for n in [32, 64, 128, 320] {
                let mut random = Random::new(n as u64, "norm");
                let [x, w, b] = std::array::from_fn(|_| values(&mut random, n, kind));
                let [vx, vw, vb] = [&x, &w, &b].map(|v| padded(v, "test").unwrap());
                let group = if n % 64 == 0 { 64 } else { 32 };
                let by_group: Vec<f32> = (0..n)
                    .step_by(group)
                    .flat_map(|g| naive(&x[g..g + group], &w[g..g + group], &b[g..g + group], 64e-5))
                    .collect();
                for level in Level::available() {
                    let mut out = vec![Vec16::ZERO; n / 16];
                    layer_norm(level, &vx, &vw, &vb, 1e-5, &mut out);
                    assert_same(flat(&out), &naive(&x, &w, &b, 1e-5), &format!("layer {n} {kind:?} {level:?}"));
                    let mut rms = vx.clone();
                    rms_norm(level, &mut rms, &vw, 1e-6);
                    let squares: Vec<f32> = x.iter().map(|x| x * x).collect();
                    let scale = 1.0 / (naive_sum(&squares) / n as f32 + 1e-6).sqrt();
                    let by_rms: Vec<f32> = x.iter().zip(&w).map(|(x, w)| (x * scale) * w).collect();
                    assert_same(flat(&rms), &by_rms, &format!("rms {n} {kind:?} {level:?}"));
                    level.run(Groups(&vx, group / 16, &vw, &vb, &mut out));
                    assert_same(flat(&out), &by_group, &format!("group {n} {kind:?} {level:?}"));
                }
            }
        }
    }
}
