//! int8 weights, and int8 activations with a scale for each group of 32: the vector's scale over 2^k.
//!
//! A weight row has one scale, so that an output is `float(sum) * (row_scale * (vector_scale / 2^most))`, where `sum`
//! is the i32 sum over the groups of `(sum of the group's products) << (most - k)`. Sums are exact, so every instruction
//! and every order gives the same result.

use super::super::level::{Kernel, Level};
use super::super::simd::Simd;
use super::super::vector::{Bytes64, Vec16, WIDTH};
use super::int8::{Activations, GROUP, LIMIT, Panels, ROUND, SMALLEST};
use super::{Tiles, walk};
use crate::numeric::buffer::Rows;

/// The columns that share a scale.
pub(super) const BLOCK: usize = 32;

/// [`super::super::simd::Simd::dot`] consumes this many columns of a block at a time.
const GROUPS_PER_BLOCK: usize = BLOCK / GROUP;

/// The largest k for a matrix of so many columns. Sums stay below 2^31: `columns * 127^2 * 2^k < 2^31`.
pub(super) fn most_shift(cols: usize) -> u32 {
    match cols {
        0..=2048 => 6,
        2049..=8191 => 4,
        8192..=32767 => 2,
        _ => 0,
    }
}

/// The largest number of columns for which sums of products cannot overflow.
pub(super) const MOST_COLUMNS: usize = (i32::MAX / (127 * 127)) as usize;

impl Activations {
    /// Quantises the first `cols` values of each row. With m the largest magnitude of the row and g that of a group:
    /// the vector's scale is m / 127, and k is the largest integer up to [`most_shift`] for which `g * 2^k <= m`. An
    /// activation is round(x * ((127 / m) * 2^k)). The rest of the last vector of a row must be zeros.
    pub(super) fn quantise_grouped(&mut self, level: Level, x: &Rows, cols: usize) {
        let most = most_shift(cols);
        self.prepare(level, x.lanes(), cols);
        let (stride, blocks) = (self.stride(), cols.div_ceil(BLOCK));
        for lane in 0..self.lanes {
            let scale = level.run(Quantise {
                x: &x.row(lane)[..cols.div_ceil(WIDTH)],
                most,
                groups: &mut self.groups[lane * stride..][..stride],
                shifts: &mut self.shifts[lane * blocks..][..blocks],
                excess: &mut self.excess[lane],
            });
            self.scales[lane] = scale / (1u32 << most) as f32;
        }
    }
}

struct Quantise<'a> {
    x: &'a [Vec16],
    most: u32,
    groups: &'a mut [u64],
    /// most - k of each block.
    shifts: &'a mut [u8],
    /// What the bias of [`Simd::BIASED_WEIGHTS`] adds to every sum, wrapping.
    excess: &'a mut i32,
}

impl Kernel for Quantise<'_> {
    /// The vector's scale.
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        // max(|x|, m) keeps m where x is NaN.
        let largest = |x: &[Vec16]| s.tree_max(x.iter().fold(s.splat(0.0), |m, v| s.max(s.abs(s.load(v)), m)));
        let m = largest(self.x);
        let (factor, scale) = if m < SMALLEST { (0.0, 0.0) } else { (LIMIT / m, m / LIMIT) };
        let (out, _) = self.groups.as_chunks_mut::<{ WIDTH / GROUP }>();
        *self.excess = 0;
        for (block, shift) in self.shifts.iter_mut().enumerate() {
            let first = block * (BLOCK / WIDTH);
            let end = self.x.len().min(first + BLOCK / WIDTH);
            // Exponents subtract as integers: the difference is the largest k before its limit.
            let k = (m.to_bits().wrapping_sub(largest(&self.x[first..end]).to_bits()) >> 23).min(self.most);
            let (power, up) = (s.splat(factor * (1u32 << k) as f32), self.most - k);
            *shift = up as u8;
            let mut sum = s.splat_i(0);
            for (v, out) in self.x[first..end].iter().zip(&mut out[first..end]) {
                let q = s.load(v) * power;
                let q = s.min(s.max(q, s.splat(-LIMIT)), s.splat(LIMIT));
                let q = s.as_int(q + s.splat(ROUND)) - s.splat_i(ROUND.to_bits() as i32);
                sum = sum + q;
                *out = if S::WIDE_GROUPS {
                    s.pack_groups(s.mul_i(q, s.splat_i(1 << up)))
                } else {
                    s.pack_groups(q).map(|group| group ^ S::BIAS)
                };
            }
            if S::BIASED_WEIGHTS {
                *self.excess = self.excess.wrapping_add((s.sum_i(sum) << 7) << up);
            }
        }
        scale
    }
}

impl Panels {
    /// Multiplies activations of [`Activations::quantise_grouped`].
    pub(super) fn mul_grouped(&self, level: Level, x: &Activations, y: &mut Rows) {
        assert!(x.groups_per_lane == self.per_panel && x.lanes == y.lanes());
        level.run(Mul { weights: self, x, y });
    }
}

struct Mul<'a> {
    weights: &'a Panels,
    x: &'a Activations,
    y: &'a mut Rows,
}

impl Kernel for Mul<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (panels, lanes) = (self.weights.scales.len(), self.x.lanes);
        walk(s, &mut self, panels, lanes);
    }
}

/// Adds the products of the columns of some groups. Not a closure, which the compiler may leave out of line, without the
/// level's instructions.
#[inline(always)]
fn products<S: Simd, const P: usize, const B: usize>(
    s: S,
    weights: &Panels,
    panel: usize,
    x: &[&[u64]; B],
    acc: &mut [[S::Acc; P]; B],
    groups: std::ops::Range<usize>,
) {
    let strip = weights.strip(panel);
    for k in groups {
        let at = strip.at(panel, k);
        let column: &[Bytes64; P] = weights.groups[at..at + P].try_into().expect("the panels of a tile");
        for (p, w) in column.iter().enumerate() {
            let w = s.load_weights_signed(w);
            for b in 0..B {
                acc[b][p] = s.dot_signed(acc[b][p], w, x[b][k]);
            }
        }
    }
}

impl Tiles for Mul<'_> {
    fn registers<S: Simd>() -> usize {
        S::ACC_REGISTERS
    }

    #[inline(always)]
    fn tile<S: Simd, const P: usize, const B: usize>(&mut self, s: S, panel: usize, lane: usize) {
        let n = self.weights.per_panel;
        let stride = self.x.stride();
        let x: [&[u64]; B] = std::array::from_fn(|b| &self.x.groups[(lane + b) * stride..][..n]);
        let mut total = [[s.acc(); P]; B];
        if S::WIDE_GROUPS {
            products(s, self.weights, panel, &x, &mut total, 0..n);
        } else {
            let blocks = n.div_ceil(GROUPS_PER_BLOCK);
            let shifts: [&[u8]; B] = std::array::from_fn(|b| &self.x.shifts[(lane + b) * blocks..][..blocks]);
            for (block, first) in (0..n).step_by(GROUPS_PER_BLOCK).enumerate() {
                let mut part = [[s.acc(); P]; B];
                products(s, self.weights, panel, &x, &mut part, first..n.min(first + GROUPS_PER_BLOCK));
                for b in 0..B {
                    for p in 0..P {
                        total[b][p] = s.add_shifted(total[b][p], part[b][p], shifts[b][block].into());
                    }
                }
            }
        }
        for (b, total) in total.iter().enumerate() {
            let scale = s.splat(self.x.scales[lane + b]);
            let out = &mut self.y.row_mut(lane + b)[panel..panel + P];
            for (p, to) in out.iter_mut().enumerate() {
                let sums = s.to_float(s.finish_signed(total[p], self.x.excess[lane + b]));
                s.store(sums * (s.load(&self.weights.scales[panel + p]) * scale), to);
            }
        }
    }
}
