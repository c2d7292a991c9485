//! Inputs and comparisons for the tests that compare every level with the naive loop.

use super::buffer::Rows;
use super::random::Random;
use super::vector::flat_mut;

/// The range of a test's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Uniform in [-1, 1).
    Even,
    /// Also signed zeros, subnormals and magnitudes from 1e-30 to 1e15.
    Wide,
    /// Also infinities, NaN and the largest numbers.
    Wild,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Even, Kind::Wide, Kind::Wild];

pub(crate) fn values(random: &mut Random, n: usize, kind: Kind) -> Vec<f32> {
    // Kernels assume the default environment, which calls of the ABI set.
    super::float_env::set_default();
    let special = [0.0, -0.0, 1e-45, -1e-40, 1e-30, 1e15, -1e15, 0.5];
    let wild = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN];
    (0..n)
        .map(|_| {
            let (pick, x) = (random.next_u64() % 100, random.symmetric());
            match kind {
                Kind::Wild if pick < 4 => wild[(random.next_u64() % 5) as usize],
                Kind::Wide | Kind::Wild if pick < 15 => special[(random.next_u64() % 8) as usize],
                Kind::Wide | Kind::Wild if pick < 30 => x * 1000.0,
                _ => x,
            }
        })
        .collect()
}

pub(crate) fn rows(lanes: usize, values: &[f32]) -> Rows {
    let width = values.len() / lanes;
    let mut rows = Rows::new(lanes, width).unwrap();
    for lane in 0..lanes {
        flat_mut(rows.row_mut(lane))[..width].copy_from_slice(&values[lane * width..][..width]);
    }
    rows
}

/// Asserts equal bits. All NaNs count as equal: their payload depends on the CPU.
#[track_caller]
pub(crate) fn assert_same(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "{what}, value {i}: {a:e}, expected {b:e}");
    }
}

/// The contract's sum: sixteen strided partial sums, then halves added.
pub(crate) fn naive_sum(x: &[f32]) -> f32 {
    let mut part = [0f32; 16];
    for (i, x) in x.iter().enumerate() {
        part[i % 16] += x;
    }
    for n in [8, 4, 2, 1] {
        for i in 0..n {
            part[i] += part[i + n];
        }
    }
    part[0]
}
