//! The logistic domain in fixed point: `stretch(p) = ln(p / (1 - p))` and its inverse, `squash`, by tables.
//!
//! Probabilities have 16 bits, in 1..=65535; stretched ones count 1/256 and lie in `-LIMIT..=LIMIT`. The tables come
//! from the exact functions of [`crate::numeric::math`], so they are the same everywhere.

use std::sync::OnceLock;

use crate::numeric::math::{Function, scalar};

/// Bits of a probability.
pub(crate) const P_BITS: u32 = 16;
/// Probability 1, which no bit has.
pub(crate) const ONE: i32 = 1 << P_BITS;
/// The largest stretched probability: that of 65535 / 65536, in 1/256.
pub(crate) const LIMIT: i32 = 2839;

/// Both tables.
#[derive(Debug)]
pub(crate) struct Logistic {
    squash: Box<[u16]>,
    stretch: Box<[i16; ONE as usize]>,
}

impl Logistic {
    /// The tables, made when they are first asked for.
    pub(crate) fn get() -> &'static Self {
        static TABLES: OnceLock<Logistic> = OnceLock::new();
        TABLES.get_or_init(|| {
            let squash = (-LIMIT..=LIMIT)
                .map(|t| {
                    let p = scalar(Function::Sigmoid, t as f32 / 256.0) * ONE as f32;
                    (p as i32).clamp(1, ONE - 1) as u16
                })
                .collect();
            let stretch = |p: f32| {
                let odds = p / (ONE as f32 - p);
                let t = scalar(Function::Ln, odds) * 256.0;
                (t as i32).clamp(-LIMIT, LIMIT) as i16
            };
            let mut table = Box::new([0; ONE as usize]);
            for (p, t) in table.iter_mut().enumerate() {
                *t = stretch(p.max(1) as f32);
            }
            Self { squash, stretch: table }
        })
    }

    /// 1/256 to a probability; beyond the limits as at them.
    #[inline(always)]
    pub(crate) fn squash(&self, t: i32) -> i32 {
        i32::from(self.squash[(t.clamp(-LIMIT, LIMIT) + LIMIT) as usize])
    }

    /// A probability to 1/256.
    #[inline(always)]
    pub(crate) fn stretch(&self, p: i32) -> i32 {
        i32::from(self.stretch[p as usize & 0xffff])
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
            // A step of 1/256 is p(1-p)/256.
            let step = f64::from(p) * f64::from(ONE - p) / f64::from(ONE) / 256.0;
            assert!(f64::from((l.squash(t) - p).abs()) <= 2.0 * step + 2.0, "{p}: {t}, {}", l.squash(t));
        }
        for t in -LIMIT..LIMIT {
            assert!(l.squash(t) <= l.squash(t + 1));
        }
        assert_eq!((l.squash(-100_000), l.squash(100_000)), (l.squash(-LIMIT), l.squash(LIMIT)));
        assert!(l.squash(-LIMIT) >= 1 && l.squash(LIMIT) < ONE);
        assert_eq!(l.stretch(ONE / 2).abs(), 0);
    }
}
