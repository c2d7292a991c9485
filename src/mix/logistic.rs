//! The logistic domain in fixed point: `stretch(p) = ln(p / (1 - p))` and its inverse, `squash`, as tables.
//!
//! Probabilities are in 1/65536, from 1 to 65535. Stretched values are in 1/256, from `-LIMIT` to `LIMIT`. The tables
//! are computed by the functions of [`crate::numeric::math`], which give the same bits on every CPU.

use std::sync::Once;
use std::sync::atomic::{AtomicI16, AtomicU16, Ordering};

use crate::numeric::math::{Function, scalar};

/// Bits of a probability.
pub(crate) const P_BITS: u32 = 16;
/// Probability 1; no prediction reaches it.
pub(crate) const ONE: i32 = 1 << P_BITS;
/// The largest stretched value: that of the probability 65535 / 65536, in 1/256.
pub(crate) const LIMIT: i32 = 2839;

// The tables are statics, so that leak checkers do not report them, and atomics, so that they can be initialised on
// first use. A relaxed load compiles to a plain load.
static SQUASH: [AtomicU16; 2 * LIMIT as usize + 1] = [const { AtomicU16::new(0) }; 2 * LIMIT as usize + 1];
/// Indexed by the upper 12 bits of a probability. This takes 8 KB; all 16 bits would take 128 KB.
static STRETCH: [AtomicI16; 1 << STRETCH_BITS] = [const { AtomicI16::new(0) }; 1 << STRETCH_BITS];
const STRETCH_BITS: u32 = 12;

/// Token: the tables are initialised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logistic(());

impl Logistic {
    /// The tables. The first call fills them.
    #[inline(always)]
    pub(crate) fn get() -> Self {
        static FILLED: Once = Once::new();
        FILLED.call_once(fill);
        Self(())
    }

    /// Converts a stretched value to a probability. Values beyond the limits are clamped.
    #[inline(always)]
    pub(crate) fn squash(self, t: i32) -> i32 {
        i32::from(SQUASH[(t.clamp(-LIMIT, LIMIT) + LIMIT) as usize].load(Ordering::Relaxed))
    }

    /// Converts a probability to a stretched value.
    #[inline(always)]
    pub(crate) fn stretch(self, p: i32) -> i32 {
        i32::from(STRETCH[(p as usize >> (P_BITS - STRETCH_BITS)) & ((1 << STRETCH_BITS) - 1)].load(Ordering::Relaxed))
    }
}

#[cold]
fn fill() {
    for (i, cell) in SQUASH.iter().enumerate() {
        let t = i as i32 - LIMIT;
        let p = scalar(Function::Sigmoid, t as f32 / 256.0) * ONE as f32;
        cell.store((p as i32).clamp(1, ONE - 1) as u16, Ordering::Relaxed);
    }
    for (p, cell) in STRETCH.iter().enumerate() {
        // The middle of the interval of probabilities with these upper bits.
        let p = ((2 * p + 1) << (P_BITS - STRETCH_BITS - 1)) as f32;
        let t = scalar(Function::Ln, p / (ONE as f32 - p)) * 256.0;
        cell.store((t as i32).clamp(-LIMIT, LIMIT) as i16, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squash_and_stretch_are_inverse_monotonic_and_stay_inside() {
        let l = Logistic::get();
        for p in 1..ONE {
            let t = l.stretch(p);
            assert!(t.abs() <= LIMIT);
            assert!(p == 1 || l.stretch(p - 1) <= t, "stretch falls at {p}");
            // A step of 1/256 is p(1-p)/256; half an interval of 12 bits is 8.
            let step = f64::from(p) * f64::from(ONE - p) / f64::from(ONE) / 256.0;
            assert!(f64::from((l.squash(t) - p).abs()) <= 2.0 * step + 10.0, "{p}: {t}, {}", l.squash(t));
        }
        for t in -LIMIT..LIMIT {
            assert!(l.squash(t) <= l.squash(t + 1));
        }
        assert_eq!((l.squash(-100_000), l.squash(100_000)), (l.squash(-LIMIT), l.squash(LIMIT)));
        assert!(l.squash(-LIMIT) >= 1 && l.squash(LIMIT) < ONE);
        assert_eq!(l.stretch(ONE / 2).abs(), 0);
    }
}
