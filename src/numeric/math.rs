//! exp, sigmoid, tanh, ln, log2 and softplus from additions, multiplications, divisions and bit patterns alone.
//!
//! The polynomials are those of S. Moshier's Cephes library (`expf`, `logf`, `tanhf`), evaluated with separate
//! multiplications and additions in the order written here, which is part of the numeric contract: libm's functions
//! differ between C libraries, and a fused multiply-add between CPUs. Largest errors are tested against f64.

use super::level::{Kernel, Level};
use super::simd::Simd;
use super::vector::Vec16;

const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;

/// exp clamps its argument to -87..=87, so that every result is a normal number.
const EXP_LIMIT: f32 = 87.0;

/// (e^r - 1 - r) / r^2 for |r| <= ln(2)/2. Here and below: coefficients from the highest power down.
#[expect(clippy::excessive_precision, reason = "as published")]
const EXP: [f32; 6] =
    [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1];

/// (ln(1 + m) - m + m^2/2) / m^3 for 1 + m in [sqrt(1/2), sqrt(2)).
#[expect(clippy::excessive_precision, reason = "as published")]
const LOG: [f32; 9] = [
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
];

/// (tanh(x) - x) / x^3 in z = x^2, for |x| < 0.625.
#[expect(clippy::excessive_precision, reason = "as published")]
const TANH: [f32; 5] = [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1];

/// log2(e) - 1.
#[expect(clippy::excessive_precision, reason = "as published")]
const LOG2_E_MINUS_1: f32 = 0.44269504088896341;

/// Adding this to a small float rounds it to an integer, half to even, in the low bits of the sum.
const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

/// Horner's rule: for each coefficient one multiplication, then one addition.
#[inline(always)]
fn horner<S: Simd>(s: S, x: S::F, coefficients: &[f32]) -> S::F {
    let mut p = s.splat(coefficients[0]);
    for &c in &coefficients[1..] {
        p = p * x + s.splat(c);
    }
    p
}

/// e^x for x clamped to -87..=87; NaN counts as -87.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let c = |v: f32| s.splat(v);
    let x = s.min(s.max(x, c(-EXP_LIMIT)), c(EXP_LIMIT));
    let t = x * c(std::f32::consts::LOG2_E) + c(ROUND);
    let n = t - c(ROUND);
    let r = (x - n * c(LN2_HI)) - n * c(LN2_LO);
    let p = horner(s, r, &EXP);
    let y = (p * (r * r) + r) + c(1.0);
    // The low bits of t hold n. Shifted into the exponent, they multiply by 2^n.
    s.as_float(s.as_int(y) + s.shl23(s.as_int(t)))
}

/// 1 / (1 + e^-x); NaN counts as +87.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    s.splat(1.0) / (exp(s, x * s.splat(-1.0)) + s.splat(1.0))
}

/// tanh x; NaN gives -1.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let c = |v: f32| s.splat(v);
    let a = s.abs(x);
    let large = c(1.0) - c(2.0) / (exp(s, a + a) + c(1.0));
    // A comparison and not the sign bit, because the sign of a NaN differs between CPUs.
    let large = s.select(s.gt(c(0.0), x), large * c(-1.0), large);
    let z = x * x;
    let p = horner(s, z, &TANH);
    let small = p * z * x + x;
    s.select(s.gt(c(0.625), a), small, large)
}

/// For a positive normal x = 2^e * (1 + m) with 1 + m in [sqrt(1/2), sqrt(2)): e, m, and ln(1 + m) - m + m^2/2.
#[inline(always)]
fn log_parts<S: Simd>(s: S, x: S::F) -> (S::F, S::F, S::F) {
    const SQRT_HALF: i32 = 0x3f35_04f3;
    let c = |v: f32| s.splat(v);
    let b = s.as_int(x) - s.splat_i(SQRT_HALF);
    let e = s.to_float(s.shr::<23>(b));
    let m = s.as_float((b & s.splat_i(0x007f_ffff)) + s.splat_i(SQRT_HALF)) - c(1.0);
    let p = horner(s, m, &LOG);
    (e, m, p * m * (m * m))
}

/// ln x of a positive normal number. For any other x the result is unspecified but the same on every CPU.
#[inline(always)]
pub(crate) fn ln<S: Simd>(s: S, x: S::F) -> S::F {
    let (e, m, y) = log_parts(s, x);
    let y = e * s.splat(LN2_LO) + y;
    let y = y - m * m * s.splat(0.5);
    (m + y) + e * s.splat(LN2_HI)
}

/// log2 x of a positive normal number. For any other x the result is unspecified but the same on every CPU.
#[inline(always)]
pub(crate) fn log2<S: Simd>(s: S, x: S::F) -> S::F {
    let (e, m, y) = log_parts(s, x);
    let y = y - m * m * s.splat(0.5);
    ((y * s.splat(LOG2_E_MINUS_1) + m * s.splat(LOG2_E_MINUS_1)) + y + m) + e
}

/// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))): GELU in its approximation by tanh (Hendrycks, Gimpel 2016).
#[inline(always)]
pub(crate) fn gelu<S: Simd>(s: S, x: S::F) -> S::F {
    const FACTOR: f32 = 0.797_884_6; // sqrt(2 / pi)
    let inner = (x + (x * x * x) * s.splat(0.044_715)) * s.splat(FACTOR);
    (x * s.splat(0.5)) * (tanh(s, inner) + s.splat(1.0))
}

/// x / (1 + e^-x): SiLU.
#[inline(always)]
pub(crate) fn silu<S: Simd>(s: S, x: S::F) -> S::F {
    x * sigmoid(s, x)
}

/// c tanh(x / c).
#[inline(always)]
pub(crate) fn soft_cap<S: Simd>(s: S, x: S::F, c: f32) -> S::F {
    tanh(s, x / s.splat(c)) * s.splat(c)
}

/// Quantises a vector to int8 with one scale: q = round(x * (127 / m)) with m the largest magnitude. Passes sixteen
/// numbers at a time to `store` and returns the scale, m / 127. If m is below 1e-30, all are 0.
#[inline(always)]
pub(crate) fn quantise<S: Simd>(s: S, x: &[Vec16], mut store: impl FnMut(usize, S::I)) -> f32 {
    const LIMIT: f32 = 127.0;
    // max(|x|, m) keeps m where x is NaN.
    let m = s.tree_max(x.iter().fold(s.splat(0.0), |m, v| s.max(s.abs(s.load(v)), m)));
    let (factor, scale) = if m < 1e-30 { (0.0, 0.0) } else { (LIMIT / m, m / LIMIT) };
    for (i, v) in x.iter().enumerate() {
        let q = s.load(v) * s.splat(factor);
        let q = s.min(s.max(q, s.splat(-LIMIT)), s.splat(LIMIT));
        store(i, s.as_int(q + s.splat(ROUND)) - s.splat_i(ROUND.to_bits() as i32));
    }
    scale
}

/// The activations of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// GELU, approximated by tanh.
    Gelu,
    /// SiLU.
    Silu,
}

struct Gated<'a>(Gate, &'a mut [Vec16], &'a [Vec16]);

impl Kernel for Gated<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (gate, up) in self.1.iter_mut().zip(self.2) {
            let x = s.load(gate);
            let y = match self.0 {
                Gate::Gelu => gelu(s, x),
                Gate::Silu => silu(s, x),
            };
            s.store(y * s.load(up), gate);
        }
    }
}

/// Replaces each number of `gate` by its activation times the number of `up`.
pub fn gated(level: Level, activation: Gate, gate: &mut [Vec16], up: &[Vec16]) {
    level.run(Gated(activation, gate, up));
}

struct Capped<'a>(f32, &'a mut [Vec16]);

impl Kernel for Capped<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.1.iter_mut().for_each(|v| s.store(soft_cap(s, s.load(v), self.0), v));
    }
}

/// Replaces each number x by c tanh(x / c).
pub fn capped(level: Level, c: f32, values: &mut [Vec16]) {
    level.run(Capped(c, values));
}

/// ln(1 + e^x); NaN gives 0.
#[inline(always)]
pub(crate) fn softplus<S: Simd>(s: S, x: S::F) -> S::F {
    let c = |v: f32| s.splat(v);
    let u = exp(s, s.abs(x) * c(-1.0));
    // ln(1+u) * u / ((1+u) - 1) corrects the rounding of 1+u (Kahan). If 1+u rounds to 1 the result is u.
    let w = u + c(1.0);
    let d = w - c(1.0);
    let lost = s.gt(c(f32::MIN_POSITIVE), d);
    let tail = s.select(lost, u, ln(s, w) * (u / s.select(lost, c(1.0), d)));
    s.max(x, c(0.0)) + tail
}

/// The functions of one variable, for tables, tests and benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// e^x, x clamped to -87..=87.
    Exp,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// Natural logarithm of a positive normal number.
    Ln,
    /// Binary logarithm of a positive normal number.
    Log2,
    /// ln(1 + e^x).
    Softplus,
    /// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
    Gelu,
    /// x / (1 + e^-x).
    Silu,
}

struct Map<'a>(Function, &'a mut [Vec16]);

impl Kernel for Map<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for v in self.1 {
            let x = s.load(v);
            let y = match self.0 {
                Function::Exp => exp(s, x),
                Function::Sigmoid => sigmoid(s, x),
                Function::Tanh => tanh(s, x),
                Function::Ln => ln(s, x),
                Function::Log2 => log2(s, x),
                Function::Softplus => softplus(s, x),
                Function::Gelu => gelu(s, x),
                Function::Silu => silu(s, x),
            };
            s.store(y, v);
        }
    }
}

/// Applies the function to each value, in place.
pub fn map(level: Level, f: Function, values: &mut [Vec16]) {
    level.run(Map(f, values));
}

/// Applies the function to one number. Slow: for tables and statistics.
pub fn scalar(f: Function, x: f32) -> f32 {
    let mut v = [Vec16([x; 16])];
    map(Level::PORTABLE, f, &mut v);
    v[0].0[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Function; 8] = [
        Function::Exp,
        Function::Sigmoid,
        Function::Tanh,
        Function::Ln,
        Function::Log2,
        Function::Softplus,
        Function::Gelu,
        Function::Silu,
    ];

    /// The oracle: the same definitions in scalar f32.
    fn naive(f: Function, x: f32) -> f32 {
        fn max(a: f32, b: f32) -> f32 {
            if a > b { a } else { b }
        }
        fn min(a: f32, b: f32) -> f32 {
            if a < b { a } else { b }
        }
        fn horner(x: f32, coefficients: &[f32]) -> f32 {
            coefficients.iter().copied().reduce(|p, c| p * x + c).unwrap()
        }
        fn exp(x: f32) -> f32 {
            let x = min(max(x, -87.0), 87.0);
            let t = x * std::f32::consts::LOG2_E + ROUND;
            let n = t - ROUND;
            let r = (x - n * LN2_HI) - n * LN2_LO;
            let p = horner(r, &EXP);
            let y: f32 = (p * (r * r) + r) + 1.0;
            f32::from_bits(y.to_bits().wrapping_add(t.to_bits() << 23))
        }
        fn parts(x: f32) -> (f32, f32, f32) {
            let b = (x.to_bits() as i32).wrapping_sub(0x3f35_04f3);
            let m = f32::from_bits(((b & 0x7f_ffff) + 0x3f35_04f3) as u32) - 1.0;
            let p = horner(m, &LOG);
            ((b >> 23) as f32, m, p * m * (m * m))
        }
        fn ln(x: f32) -> f32 {
            let (e, m, y) = parts(x);
            let y = e * LN2_LO + y;
            let y = y - m * m * 0.5;
            (m + y) + e * LN2_HI
        }
        match f {
            Function::Exp => exp(x),
            Function::Sigmoid => 1.0 / (exp(-x) + 1.0),
            Function::Tanh => {
                let a = x.abs();
                if a < 0.625 {
                    let z = x * x;
                    horner(z, &TANH) * z * x + x
                } else {
                    let y = 1.0 - 2.0 / (exp(a + a) + 1.0);
                    if x < 0.0 { -y } else { y }
                }
            }
            Function::Gelu => {
                let inner = (x + (x * x * x) * 0.044_715) * 0.797_884_6;
                (x * 0.5) * (naive(Function::Tanh, inner) + 1.0)
            }
            Function::Silu => x * naive(Function::Sigmoid, x),
            Function::Ln => ln(x),
            Function::Log2 => {
                let (e, m, y) = parts(x);
                let y = y - m * m * 0.5;
                ((y * LOG2_E_MINUS_1 + m * LOG2_E_MINUS_1) + y + m) + e
            }
            Function::Softplus => {
                let u = exp(-x.abs());
                let w = u + 1.0;
                let d = w - 1.0;
                let tail = if d < f32::MIN_POSITIVE { u } else { ln(w) * (u / d) };
                max(x, 0.0) + tail
            }
        }
    }

    fn inputs() -> Vec<f32> {
        let mut v: Vec<f32> = vec![0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, 1e-45, -1e-45, f32::MAX, f32::MIN];
        v.extend([f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, 0.625, -0.625, 87.0, -87.0, 88.8, -103.9]);
        // A stride coprime to 2^32 visits bit patterns of every exponent.
        v.extend((0..200_000u32).map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761))));
        v.extend((-40_000..40_000).map(|i| i as f32 * 0.002_5));
        v.resize(v.len().next_multiple_of(16), 0.5);
        v
    }

    #[test]
    fn every_level_gives_the_bits_of_the_naive_definition() {
        super::super::float_env::set_default();
        let x = inputs();
        for f in ALL {
            for level in Level::available() {
                let mut v: Vec<Vec16> = x.chunks(16).map(|c| Vec16(c.try_into().unwrap())).collect();
                map(level, f, &mut v);
                for (x, y) in x.iter().zip(super::super::vector::flat(&v)) {
                    let want = naive(f, *x);
                    // The payload and sign of a NaN depend on the CPU; no result may depend on them.
                    assert!(
                        want.to_bits() == y.to_bits() || want.is_nan() && y.is_nan(),
                        "{f:?}({x:e}) at {level:?}: {y:e}, naive {want:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn errors_stay_within_the_stated_ulps() {
        // Function, range, exact function, and the bound that docs/NUMERICS.md states.
        type Truth = fn(f64) -> f64;
        let cases: [(Function, f32, f32, Truth, f64); 6] = [
            (Function::Exp, -87.0, 87.0, f64::exp, 1.0),
            (Function::Sigmoid, -80.0, 80.0, |x| 1.0 / (1.0 + (-x).exp()), 2.5),
            (Function::Tanh, -20.0, 20.0, f64::tanh, 1.5),
            (Function::Ln, 1e-30, 1e30, f64::ln, 1.0),
            (Function::Log2, 1e-30, 1e30, f64::log2, 1.5),
            (Function::Softplus, -80.0, 80.0, |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), 3.0),
        ];
        for (f, low, high, truth, bound) in cases {
            let mut worst = (0.0, 0.0);
            for i in 0..400_000 {
                let u = i as f32 / 399_999.0;
                // Logarithms are sampled evenly in the exponent, the others evenly in x.
                let x = if low > 0.0 { 10f32.powf(-30.0 + 60.0 * u) } else { low + (high - low) * u };
                let want = truth(f64::from(x));
                let size = (want as f32).abs().max(f32::MIN_POSITIVE);
                let ulp = f64::from(size.next_up() - size);
                let error = (f64::from(scalar(f, x)) - want).abs() / ulp;
                if error > worst.0 {
                    worst = (error, x);
                }
            }
            println!("{f:?}: largest error {:.2} ulp at {:e}", worst.0, worst.1);
            assert!(worst.0 <= bound, "{f:?}: {:.2} ulp at {:e}, stated {bound}", worst.0, worst.1);
        }
    }
}
