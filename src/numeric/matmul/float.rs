//! f32 weights. Each output is `acc = acc + w * x` for k ascending, from +0, with two roundings a step.

use super::super::buffer::{Rows, filled};
use super::super::level::{Kernel, Level};
use super::super::simd::Simd;
use super::super::vector::{Vec16, WIDTH, flat};
use super::{Tiles, walk};
use crate::error::Result;

/// Panels of sixteen rows, column by column: `columns[panel * cols + k]` is column k of a panel.
#[derive(Debug)]
pub(super) struct Panels {
    columns: Vec<Vec16>,
    cols: usize,
}

impl Panels {
    pub(super) fn pack(values: &[f32], rows: usize, cols: usize) -> Result<Self> {
        let mut packed = Self::zeroed(rows, cols)?;
        for (row, values) in values.chunks_exact(cols.max(1)).enumerate() {
            packed.set_row(row, values);
        }
        Ok(packed)
    }

    /// Panels of zeros, for [`Panels::set_row`].
    pub(super) fn zeroed(rows: usize, cols: usize) -> Result<Self> {
        let n = rows.div_ceil(WIDTH).checked_mul(cols);
        let n = n.ok_or_else(|| crate::error::out_of_memory(usize::MAX, "weights"))?;
        Ok(Self { columns: filled(n, Vec16::ZERO, "weights")?, cols })
    }

    pub(super) fn set_row(&mut self, row: usize, values: &[f32]) {
        let panel = &mut self.columns[row / WIDTH * self.cols..][..self.cols];
        for (column, value) in panel.iter_mut().zip(values) {
            column.0[row % WIDTH] = *value;
        }
    }

    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        let panel = &self.columns[row / WIDTH * self.cols..][..self.cols];
        out.iter_mut().zip(panel).for_each(|(to, column)| *to = column.0[row % WIDTH]);
    }

    pub(super) fn columns(&self) -> &[Vec16] {
        &self.columns
    }

    pub(super) fn mul(&self, level: Level, x: &Rows, y: &mut Rows) {
        mul_panels(level, &self.columns, self.cols, x, y);
    }
}

/// Multiplies by panels in the layout of [`Panels`], which trained matrices have too.
pub(crate) fn mul_panels(level: Level, columns: &[Vec16], cols: usize, x: &Rows, y: &mut Rows) {
    let lanes = x.lanes();
    mul_rows(level, columns, cols, lanes, x.span(0..lanes), y.span_mut(0..lanes));
}

/// [`mul_panels`] for `lanes` rows, end to end in `x` and `y`.
pub(crate) fn mul_rows(level: Level, columns: &[Vec16], cols: usize, lanes: usize, x: &[Vec16], y: &mut [Vec16]) {
    let strides = (x.len() / lanes.max(1), y.len() / lanes.max(1));
    level.run(Mul { columns, cols, lanes, strides, x, y });
}

struct Mul<'a> {
    columns: &'a [Vec16],
    cols: usize,
    lanes: usize,
    /// The vectors in a row of `x` and of `y`.
    strides: (usize, usize),
    x: &'a [Vec16],
    y: &'a mut [Vec16],
}

impl Kernel for Mul<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let panels = self.columns.len() / self.cols.max(1);
        let lanes = self.lanes;
        walk(s, &mut self, panels, lanes);
    }
}

impl Tiles for Mul<'_> {
    fn registers<S: Simd>() -> usize {
        S::F_REGISTERS
    }

    #[inline(always)]
    fn tile<S: Simd, const P: usize, const B: usize>(&mut self, s: S, panel: usize, lane: usize) {
        let n = self.cols;
        let w: [&[Vec16]; P] = std::array::from_fn(|p| &self.columns[(panel + p) * n..][..n]);
        let x: [&[f32]; B] = std::array::from_fn(|b| &flat(&self.x[(lane + b) * self.strides.0..])[..n]);
        let mut acc = [[s.splat(0.0); P]; B];
        for k in 0..n {
            let column: [S::F; P] = std::array::from_fn(|p| s.load(&w[p][k]));
            for b in 0..B {
                let value = s.splat(x[b][k]);
                for p in 0..P {
                    acc[b][p] = acc[b][p] + column[p] * value;
                }
            }
        }
        for (b, sums) in acc.iter().enumerate() {
            let out = &mut self.y[(lane + b) * self.strides.1 + panel..][..P];
            for (sum, to) in sums.iter().zip(out) {
                s.store(*sum, to);
            }
        }
    }
}
