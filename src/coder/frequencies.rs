//! Quantises logits to integer frequencies, for every model and both coders.

use super::{Distribution, Interval};
use crate::numeric::level::{Kernel, Level};
use crate::numeric::math;
use crate::numeric::simd::Simd;
use crate::numeric::vector::{Vec16, WIDTH};

/// The number of symbols.
const SYMBOLS: usize = 256;
const ROWS: usize = SYMBOLS / WIDTH;

/// The weight of the most probable symbol is this plus 1. Every symbol's weight is at least 1.
const SCALE: f32 = 4_194_304.0; // 2^22

/// Adding this to a float in 0..2^23 rounds it to an integer, half to even, which the low bits of the sum then hold.
const ROUND: f32 = 8_388_608.0; // 2^23

/// The weights of 256 symbols, proportional to exp(logit): `1 + round(2^22 * exp(logit - largest))`.
///
/// Intervals are ordered column by column: symbols with equal low four bits are neighbours, ordered by their high bits.
/// So a search reads at most sixteen column sums, which the vector code computes in any case, and sixteen weights.
#[derive(Clone, Debug)]
pub struct Frequencies {
    weights: [[i32; WIDTH]; ROWS],
    columns: [i32; WIDTH],
    total: u32,
}

impl Default for Frequencies {
    fn default() -> Self {
        let mut all = Self { weights: [[1; WIDTH]; ROWS], columns: [ROWS as i32; WIDTH], total: SYMBOLS as u32 };
        all.set(Level::PORTABLE, &[Vec16::ZERO; ROWS]);
        all
    }
}

impl Frequencies {
    /// A byte of payload holds fewer symbols than this: a symbol costs at least log2(total / (total - 255)) bits, and
    /// the total is at least 2^22. A stated length that requires more is damage.
    pub const MAX_SYMBOLS_A_BYTE: u64 = 92_000;

    /// Sets the weights from 256 logits. A non-finite logit counts as the smallest finite one. If no logit is finite,
    /// all symbols have the same weight.
    ///
    /// # Panics
    /// If `logits` are not 16 vectors.
    pub fn set(&mut self, level: Level, logits: &[Vec16]) {
        let logits: &[Vec16; ROWS] = logits.try_into().expect("256 logits");
        let all_finite = level.run(Quantise { logits, to: self });
        if !all_finite {
            let replaced = replace_non_finite(logits);
            level.run(Quantise { logits: &replaced, to: self });
        }
    }

    /// The symbols' probabilities: `float(weight) * (1 / float(total))`.
    pub fn probabilities(&self) -> [Vec16; ROWS] {
        let scale = 1.0 / self.total as f32;
        self.weights.map(|row| Vec16(row.map(|weight| weight as f32 * scale)))
    }

    /// Target minus probability: the gradient of the symbol's log-probability with respect to the logits.
    pub fn error(&self, symbol: u8) -> [Vec16; ROWS] {
        let mut error = self.probabilities().map(|v| Vec16(v.0.map(|p| 0.0 - p)));
        let target = &mut error[usize::from(symbol) / WIDTH].0[usize::from(symbol) % WIDTH];
        *target += 1.0;
        error
    }

    /// A symbol's weight. Divided by [`Distribution::total`], it is the probability that the coders use.
    pub fn weight(&self, symbol: u8) -> u32 {
        self.weights[usize::from(symbol) / WIDTH][usize::from(symbol) % WIDTH] as u32
    }
}

/// Replaces non-finite logits as [`Frequencies::set`] describes.
fn replace_non_finite(logits: &[Vec16; ROWS]) -> [Vec16; ROWS] {
    let finite = logits.iter().flat_map(|v| v.0).filter(|x| x.is_finite());
    let smallest = finite.reduce(|m, x| if x < m { x } else { m }).unwrap_or(0.0);
    logits.map(|v| Vec16(v.0.map(|x| if x.is_finite() { x } else { smallest })))
}

struct Quantise<'a> {
    logits: &'a [Vec16; ROWS],
    to: &'a mut Frequencies,
}

impl Kernel for Quantise<'_> {
    /// Whether all logits were finite. If not, the weights are meaningless.
    type Output = bool;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> bool {
        let mut largest = s.load(&self.logits[0]);
        // x * 0 is 0 only for a finite x.
        let mut zero = s.splat(0.0);
        for v in self.logits {
            let x = s.load(v);
            largest = s.max(x, largest);
            zero = zero + x * s.splat(0.0);
        }
        let largest = s.splat(s.tree_max(largest));
        let mut columns = s.splat_i(0);
        for (v, out) in self.logits.iter().zip(&mut self.to.weights) {
            let e = math::exp(s, s.load(v) - largest);
            let w = (e * s.splat(SCALE) + s.splat(1.0)) + s.splat(ROUND);
            let w = s.as_int(w) - s.splat_i(ROUND.to_bits() as i32);
            columns = columns + w;
            s.store_i(w, out);
        }
        s.store_i(columns, &mut self.to.columns);
        // The sum wraps only if a logit was not finite. Then the weights are not used.
        self.to.total = self.to.columns.iter().fold(0i32, |sum, c| sum.wrapping_add(*c)) as u32;
        s.tree_sum(zero) == 0.0
    }
}

impl Distribution for Frequencies {
    fn total(&self) -> u32 {
        self.total
    }

    #[inline]
    fn interval(&self, symbol: u32) -> Interval {
        let (row, column) = (symbol as usize / WIDTH, symbol as usize % WIDTH);
        let before: i32 = self.columns[..column].iter().sum();
        let above: i32 = self.weights[..row].iter().map(|w| w[column]).sum();
        Interval { cumulative: (before + above) as u32, frequency: self.weights[row][column] as u32 }
    }

    #[inline]
    fn find(&self, target: u32) -> (u32, Interval) {
        let mut rest = target as i32;
        let mut column = 0;
        while rest >= self.columns[column] {
            rest -= self.columns[column];
            column += 1;
        }
        let mut row = 0;
        while rest >= self.weights[row][column] {
            rest -= self.weights[row][column];
            row += 1;
        }
        let interval = Interval { cumulative: target - rest as u32, frequency: self.weights[row][column] as u32 };
        ((row * WIDTH + column) as u32, interval)
    }
}
