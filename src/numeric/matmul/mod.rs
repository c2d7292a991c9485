//! Matrix times activations: `y[lane][row] = sum over k of W[row][k] * x[lane][k]`.
//!
//! Weights are packed once, as panels of sixteen rows, so that a vector holds one column of a panel. The work is
//! vectorised over outputs and lanes, never over k, and every output has one accumulator.

mod float;
mod grouped;
mod int8;

use super::buffer::{Rows, filled};
use super::level::Level;
use super::simd::Simd;
use super::vector::{Vec16, WIDTH};
use crate::error::Result;

pub(crate) use float::{mul_panels, mul_rows};
pub use int8::Activations;
pub(crate) use int8::{quantise, row_scale};

/// The number format of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// int8 weights with one scale a row; activations are quantised to int8 with one scale a vector.
    I8,
    /// int8 weights with one scale a row; activations are quantised to int8 with one scale for each group of 32, which
    /// is the vector's over a power of two.
    Grouped,
    /// f32 weights and activations.
    F32,
}

/// A packed matrix.
#[derive(Debug)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    packed: Packed,
}

#[derive(Debug)]
enum Packed {
    F32(float::Panels),
    I8(int8::Panels),
    Grouped(int8::Panels),
}

impl Matrix {
    /// Packs `values`, `rows` x `cols`, row by row.
    ///
    /// # Panics
    /// If `values` has another length.
    pub fn pack(values: &[f32], rows: usize, cols: usize, precision: Precision) -> Result<Self> {
        assert_eq!(values.len(), rows * cols);
        let packed = match precision {
            Precision::F32 => Packed::F32(float::Panels::pack(values, rows, cols)?),
            Precision::I8 => Packed::I8(int8::Panels::pack(values, rows, cols)?),
            Precision::Grouped => Packed::Grouped(int8::Panels::pack(values, rows, cols)?),
        };
        Ok(Self { rows, cols, packed })
    }

    /// The most columns of a matrix whose activations have a scale for each group.
    pub const MOST_GROUPED_COLUMNS: usize = grouped::MOST_COLUMNS;

    /// Packs rows that `read(row, values)` gives one at a time, so that memory holds only one that is not packed.
    ///
    /// # Errors
    /// `Memory`, and those of `read`.
    pub fn pack_rows(
        rows: usize,
        cols: usize,
        precision: Precision,
        mut read: impl FnMut(usize, &mut [f32]) -> Result<()>,
    ) -> Result<Self> {
        let mut packed = match precision {
            Precision::F32 => Packed::F32(float::Panels::zeroed(rows, cols)?),
            Precision::I8 => Packed::I8(int8::Panels::zeroed(rows, cols)?),
            Precision::Grouped => Packed::Grouped(int8::Panels::zeroed(rows, cols)?),
        };
        let mut values = filled(cols, 0.0, "a row of weights")?;
        for row in 0..rows {
            read(row, &mut values)?;
            match &mut packed {
                Packed::F32(panels) => panels.set_row(row, &values),
                Packed::I8(panels) | Packed::Grouped(panels) => panels.set_row(row, &values),
            }
        }
        Ok(Self { rows, cols, packed })
    }

    /// The values of a row, for embeddings. int8 weights are multiplied by their scale.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows && out.len() == self.cols);
        match &self.packed {
            Packed::F32(panels) => panels.row(row, out),
            Packed::I8(panels) | Packed::Grouped(panels) => panels.row(row, out),
        }
    }

    /// Outputs per lane.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs per lane.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The bytes that a packed matrix of this shape takes; saturates.
    pub fn bytes(rows: u64, cols: u64, precision: Precision) -> u64 {
        let rows = rows.next_multiple_of(WIDTH as u64);
        match precision {
            Precision::F32 => rows.saturating_mul(cols).saturating_mul(4),
            Precision::I8 | Precision::Grouped => rows.saturating_mul(cols.next_multiple_of(4).saturating_add(8)),
        }
    }

    /// The panels of an f32 matrix: `[panel of sixteen rows][column]`.
    pub(crate) fn f32_panels(&self) -> Option<&[Vec16]> {
        match &self.packed {
            Packed::F32(panels) => Some(panels.columns()),
            Packed::I8(_) | Packed::Grouped(_) => None,
        }
    }

    /// Multiplies each lane of `x` (its first `cols` values) and writes `rows` values to the lane of `y`; the padding
    /// of its last vector becomes zero. `scratch` holds the quantised activations.
    pub fn mul(&self, level: Level, x: &Rows, y: &mut Rows, scratch: &mut Activations) {
        match &self.packed {
            Packed::F32(panels) => panels.mul(level, x, y),
            Packed::I8(panels) => {
                scratch.quantise(level, x, self.cols);
                panels.mul(level, scratch, y);
            }
            Packed::Grouped(panels) => {
                scratch.quantise_grouped(level, x, self.cols);
                panels.mul_grouped(level, scratch, y);
            }
        }
    }

    /// Like [`Matrix::mul`], with the same result. Faster for one lane whose activations are mostly zero and never
    /// negative, such as the output of a rectifier.
    pub fn mul_sparse(&self, level: Level, x: &Rows, y: &mut Rows, scratch: &mut Activations) {
        match &self.packed {
            Packed::I8(panels) if x.lanes() == 1 => {
                scratch.quantise(level, x, self.cols);
                panels.mul_sparse(level, scratch, y);
            }
            _ => self.mul(level, x, y, scratch),
        }
    }
}

/// A computation in tiles of P panels by B lanes.
trait Tiles {
    /// The registers that an accumulator takes.
    fn registers<S: Simd>() -> usize;
    fn tile<S: Simd, const P: usize, const B: usize>(&mut self, s: S, panel: usize, lane: usize);
}

/// The panels in a strip.
const STRIP: usize = 8;

/// Computes every (panel, lane) once, in tiles whose accumulators take half of the registers. A strip of panels stays
/// in the cache while all lanes use it. The order does not affect the results, since tiles are independent.
#[inline(always)]
fn walk<S: Simd, T: Tiles>(s: S, tiles: &mut T, panels: usize, lanes: usize) {
    for first in (0..panels).step_by(STRIP) {
        let strip = (first, (first + STRIP).min(panels));
        let mut lane = 0;
        match S::REGISTERS / 2 / T::registers::<S>() {
            16.. => {
                lane = across::<S, T, 2, 8>(s, tiles, strip, lane, lanes);
                lane = across::<S, T, 4, 4>(s, tiles, strip, lane, lanes);
                across::<S, T, 8, 1>(s, tiles, strip, lane, lanes);
            }
            4.. => {
                lane = across::<S, T, 1, 4>(s, tiles, strip, lane, lanes);
                across::<S, T, 4, 1>(s, tiles, strip, lane, lanes);
            }
            2.. => {
                lane = across::<S, T, 1, 2>(s, tiles, strip, lane, lanes);
                across::<S, T, 2, 1>(s, tiles, strip, lane, lanes);
            }
            _ => {
                across::<S, T, 1, 1>(s, tiles, strip, lane, lanes);
            }
        }
    }
}

/// Computes a strip for all whole groups of B lanes from `lane` on. Returns the first lane that is left.
#[inline(always)]
fn across<S: Simd, T: Tiles, const P: usize, const B: usize>(
    s: S,
    tiles: &mut T,
    (first, end): (usize, usize),
    mut lane: usize,
    lanes: usize,
) -> usize {
    while lane + B <= lanes {
        let mut panel = first;
        while panel + P <= end {
            tiles.tile::<S, P, B>(s, panel, lane);
            panel += P;
        }
        while panel < end {
            tiles.tile::<S, 1, B>(s, panel, lane);
            panel += 1;
        }
        lane += B;
    }
    lane
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::random::Random;
    use super::super::testing::{KINDS, Kind, assert_same, rows, values};
    use super::super::vector::flat;
    use super::*;

    const SHAPES: [(usize, usize); 7] = [(1, 1), (16, 16), (5, 7), (33, 20), (48, 65), (130, 96), (256, 129)];
    const LANES: [usize; 8] = [1, 2, 3, 5, 8, 15, 16, 64];

    pub(crate) fn naive_f32(w: &[f32], x: &[f32]) -> f32 {
        let mut acc = 0.0;
        for (w, x) in w.iter().zip(x) {
            acc += w * x;
        }
        acc
    }

    /// The definition: quantise, sum exactly in i64, scale.
    fn naive_i8(w: &[f32], x: &[f32]) -> f32 {
        let largest = |v: &[f32]| v.iter().fold(0.0, |m, v| if v.abs() > m { v.abs() } else { m });
        let round = |v: f32| {
            let v = if v > -127.0 { v } else { -127.0 };
            (if v < 127.0 { v } else { 127.0 }).round_ties_even() as i64
        };
        let (mw, mx) = (largest(w), largest(x));
        let (sw, sx) = (if mw < 1e-30 { 0.0 } else { mw / 127.0 }, if mx < 1e-30 { 0.0 } else { mx / 127.0 });
        let factor = if mx < 1e-30 { 0.0 } else { 127.0 / mx };
        let sum: i64 =
            w.iter().zip(x).map(|(w, x)| if sw == 0.0 { 0 } else { round(w / sw) * round(x * factor) }).sum();
        sum as f32 * (sw * sx)
    }

    /// The definition of activations in groups of 32, in i64.
    pub(crate) fn naive_grouped(w: &[f32], x: &[f32]) -> f32 {
        let largest = |v: &[f32]| v.iter().fold(0.0, |m, v| if v.abs() > m { v.abs() } else { m });
        let round = |v: f32| {
            let v = if v > -127.0 { v } else { -127.0 };
            (if v < 127.0 { v } else { 127.0 }).round_ties_even() as i64
        };
        let most = if x.len() <= 2048 { 6 } else { 4 };
        let (mw, mx) = (largest(w), largest(x));
        let (sw, sx) = (if mw < 1e-30 { 0.0 } else { mw / 127.0 }, if mx < 1e-30 { 0.0 } else { mx / 127.0 });
        let factor = if mx < 1e-30 { 0.0 } else { 127.0 / mx };
        let mut sum = 0;
        for (w, x) in w.chunks(32).zip(x.chunks(32)) {
            let g = f64::from(largest(x));
            // An infinite row differs from others in the exponent alone.
            let k = match mx.is_finite() {
                true => (0..=most).rev().find(|k| g * f64::from(1 << k) <= f64::from(mx)).unwrap(),
                false => most.min((mx.to_bits() - largest(x).to_bits()) as i32 >> 23),
            };
            let products = w
                .iter()
                .zip(x)
                .map(|(w, x)| if sw == 0.0 { 0 } else { round(w / sw) * round(x * (factor * (1 << k) as f32)) });
            sum += products.sum::<i64>() << (most - k);
        }
        assert!(i32::try_from(sum).is_ok());
        sum as f32 * (sw * (sx / (1 << most) as f32))
    }

    #[test]
    fn the_largest_sums_of_groups_fit() {
        for (c, most) in [(2048, 6), (2049, 4), (8191, 4), (8192, 2), (32767, 2), (Matrix::MOST_GROUPED_COLUMNS, 0)] {
            assert_eq!(grouped::most_shift(c), most);
            assert!((127 * 127 * c as i64) << most <= i64::from(i32::MAX));
        }
        for (c, sign) in [(2048, 1.0), (4096, -1.0), (8191, 1.0)] {
            let matrix = Matrix::pack(&vec![sign * 3.0; 16 * c], 16, c, Precision::Grouped).unwrap();
            let x = vec![-2.0; c];
            for level in Level::available() {
                let mut y = Rows::new(1, 16).unwrap();
                matrix.mul(level, &rows(1, &x), &mut y, &mut Activations::new(1, c).unwrap());
                assert_same(y.values(0), &[naive_grouped(&vec![sign * 3.0; c], &x); 16], &format!("{c} {level:?}"));
            }
        }
    }

    #[test]
    fn rows_come_back_from_every_format() {
        let w = values(&mut Random::new(1, "rows"), 33 * 21, Kind::Even);
        for precision in [Precision::F32, Precision::I8, Precision::Grouped] {
            let matrix = Matrix::pack_rows(33, 21, precision, |row, out| {
                out.copy_from_slice(&w[row * 21..][..21]);
                Ok(())
            })
            .unwrap();
            let mut out = vec![0.0; 21];
            for row in [0, 15, 16, 32] {
                matrix.row(row, &mut out);
                let step = if precision == Precision::F32 { 0.0 } else { 0.5 / 127.0 + 1e-6 };
                assert!(out.iter().zip(&w[row * 21..]).all(|(a, b)| (a - b).abs() <= step));
            }
        }
    }

    #[test]
    fn every_level_shape_and_lane_count_gives_the_bits_of_the_naive_loop() {
        for (i, &(r, c)) in SHAPES.iter().enumerate() {
            for kind in KINDS {
                let mut random = Random::new(i as u64, "matmul");
                // Loading refuses weights with infinities or NaN.
                let finite = if kind == Kind::Wild { Kind::Wide } else { kind };
                let w = values(&mut random, r * c, finite);
                for precision in [Precision::F32, Precision::I8, Precision::Grouped] {
                    let matrix = Matrix::pack(&w, r, c, precision).unwrap();
                    for lanes in LANES {
                        let x = values(&mut random, lanes * c, kind);
                        let input = rows(lanes, &x);
                        let naive = match precision {
                            Precision::F32 => naive_f32,
                            Precision::I8 => naive_i8,
                            Precision::Grouped => naive_grouped,
                        };
                        for level in Level::available() {
                            let mut y = Rows::new(lanes, r).unwrap();
                            let mut scratch = Activations::new(lanes, c).unwrap();
                            matrix.mul(level, &input, &mut y, &mut scratch);
                            for lane in 0..lanes {
                                let want: Vec<_> =
                                    w.chunks(c).map(|w| naive(w, &x[lane * c..(lane + 1) * c])).collect();
                                let what = format!("{r}x{c} {precision:?} {kind:?} lane {lane}/{lanes} {level:?}");
                                assert_same(&flat(y.row(lane))[..r], &want, &what);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn skipping_zeros_changes_nothing() {
        for (i, &(r, c)) in SHAPES.iter().enumerate() {
            for kind in KINDS {
                let mut random = Random::new(i as u64, "sparse");
                let w = values(&mut random, r * c, if kind == Kind::Wild { Kind::Wide } else { kind });
                let x = values(&mut random, c, kind);
                let rectified = |(k, x): (usize, &f32)| if k / 4 % 3 == 0 && *x > 0.0 { x * x } else { 0.0 };
                let all_but_one = |(k, x): (usize, &f32)| if k == c / 2 { *x } else { 0.0 };
                let inputs = [
                    x.clone(),
                    x.iter().enumerate().map(rectified).collect(),
                    x.iter().enumerate().map(all_but_one).collect(),
                    vec![0.0; c],
                ];
                for x in &inputs {
                    for precision in [Precision::F32, Precision::I8] {
                        let matrix = Matrix::pack(&w, r, c, precision).unwrap();
                        for level in Level::available() {
                            let [mut dense, mut sparse] = [0, 1].map(|_| Rows::new(1, r).unwrap());
                            let mut scratch = Activations::new(1, c).unwrap();
                            matrix.mul_sparse(level, &rows(1, x), &mut sparse, &mut scratch);
                            matrix.mul(level, &rows(1, x), &mut dense, &mut scratch);
                            let what = format!("{r}x{c} {precision:?} {kind:?} {level:?}");
                            assert_same(sparse.values(0), dense.values(0), &what);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn sums_of_extreme_int8_products_are_exact() {
        // 127 * 127 over many columns, all of one sign: 16-bit sums or saturating products would give another result.
        let (r, c) = (16, 4096);
        for sign in [1.0, -1.0] {
            let matrix = Matrix::pack(&vec![sign * 3.0; r * c], r, c, Precision::I8).unwrap();
            let x = rows(1, &vec![-2.0; c]);
            for level in Level::available() {
                let mut y = Rows::new(1, r).unwrap();
                matrix.mul(level, &x, &mut y, &mut Activations::new(1, c).unwrap());
                let scale: f32 = (3.0 / 127.0) * (2.0 / 127.0);
                let want = (127 * 127 * c as i64) as f32 * scale * -sign;
                assert_same(y.values(0), &[want; 16], &format!("{level:?}"));
            }
        }
    }
}
