//! int8 weights and activations. The i32 sums are exact, so every instruction and every order gives the same result. An
//! output is `float(sum) * (row_scale * vector_scale)`.

use super::super::buffer::{Rows, filled};
use super::super::level::{Kernel, Level};
use super::super::simd::Simd;
use super::super::vector::{Bytes64, Vec16, WIDTH};
use super::{STRIP, Tiles, walk};
use crate::error::Result;

/// Weights and activations are in -LIMIT..=LIMIT, which is symmetric.
pub(super) const LIMIT: f32 = 127.0;

/// A row or vector whose magnitudes are all below this is quantised to zeros, because its scale would lose precision.
pub(super) const SMALLEST: f32 = 1e-30;

/// Adding this rounds a float of magnitude below 2^22 to an integer, half to even, in the sum's low bits.
pub(super) const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

/// The columns in a group: one [`Simd::dot`] consumes a group.
pub(super) const GROUP: usize = 4;

/// Panels of sixteen rows. An element of `groups` is four columns of a panel, row by row. The panels of a strip are
/// interleaved: see [`Strip::at`].
#[derive(Debug)]
pub(super) struct Panels {
    pub(super) groups: Vec<Bytes64>,
    pub(super) per_panel: usize,
    pub(super) scales: Vec<Vec16>,
    sums: Vec<[i32; WIDTH]>,
}

/// The layout of one strip of at most [`STRIP`] panels.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    first: usize,
    panels: usize,
    per_panel: usize,
}

impl Strip {
    /// The index of a panel's group. The same group of the strip's next panels follows it.
    #[inline(always)]
    pub(super) fn at(self, panel: usize, group: usize) -> usize {
        self.first * self.per_panel + group * self.panels + (panel - self.first)
    }
}

impl Panels {
    #[inline(always)]
    pub(super) fn strip(&self, panel: usize) -> Strip {
        let first = panel - panel % STRIP;
        Strip { first, panels: STRIP.min(self.scales.len() - first), per_panel: self.per_panel }
    }

    pub(super) fn pack(values: &[f32], rows: usize, cols: usize) -> Result<Self> {
        let mut packed = Self::zeroed(rows, cols)?;
        for (row, values) in values.chunks_exact(cols.max(1)).enumerate() {
            packed.set_row(row, values);
        }
        Ok(packed)
    }

    /// Panels of zeros, for [`Panels::set_row`].
    pub(super) fn zeroed(rows: usize, cols: usize) -> Result<Self> {
        let panels = rows.div_ceil(WIDTH);
        let per_panel = cols.div_ceil(GROUP);
        let groups = panels.checked_mul(per_panel).ok_or_else(|| crate::error::out_of_memory(usize::MAX, "weights"))?;
        Ok(Self {
            groups: filled(groups, Bytes64([0; 64]), "weights")?,
            per_panel,
            scales: filled(panels, Vec16::ZERO, "weights")?,
            sums: filled(panels, [0i32; WIDTH], "weights")?,
        })
    }

    /// Quantises a row that was not set before.
    pub(super) fn set_row(&mut self, row: usize, values: &[f32]) {
        let (panel, lane) = (row / WIDTH, row % WIDTH);
        let scale = row_scale(values);
        self.scales[panel].0[lane] = scale;
        let strip = self.strip(panel);
        let mut sum = 0;
        for (group, values) in values.chunks(GROUP).enumerate() {
            let to = &mut self.groups[strip.at(panel, group)].0[lane * GROUP..][..GROUP];
            for (to, value) in to.iter_mut().zip(values) {
                *to = quantise(*value, scale);
                sum += i32::from(*to);
            }
        }
        self.sums[panel][lane] = sum;
    }

    /// The values of a row: each weight times the row's scale.
    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        let (panel, lane) = (row / WIDTH, row % WIDTH);
        let (scale, strip) = (self.scales[panel].0[lane], self.strip(panel));
        for (group, out) in out.chunks_mut(GROUP).enumerate() {
            let from = &self.groups[strip.at(panel, group)].0[lane * GROUP..][..GROUP];
            out.iter_mut().zip(from).for_each(|(to, q)| *to = f32::from(*q) * scale);
        }
    }

    pub(super) fn mul(&self, level: Level, x: &Activations, y: &mut Rows) {
        assert!(x.groups_per_lane == self.per_panel && x.lanes == y.lanes());
        level.run(Mul { weights: self, x, y, only: None });
    }

    /// Like [`Panels::mul`], for one lane. Weights whose group of activations is all zero are not read.
    pub(super) fn mul_sparse(&self, level: Level, x: &mut Activations, y: &mut Rows) {
        assert!(x.groups_per_lane == self.per_panel && x.lanes == 1 && y.lanes() == 1);
        let mut nonzero = std::mem::take(&mut x.nonzero);
        let groups = level.run(ListNonzero { x, nonzero: &mut nonzero }).map(|n| &nonzero[..n]);
        level.run(Mul { weights: self, x, y, only: groups });
        x.nonzero = nonzero;
    }
}

/// A row's scale: its largest magnitude / 127, or 0 if that magnitude is below [`SMALLEST`].
pub(crate) fn row_scale(values: &[f32]) -> f32 {
    let largest = values.iter().fold(0.0, |m, v| if v.abs() > m { v.abs() } else { m });
    if largest < SMALLEST { 0.0 } else { largest / LIMIT }
}

/// A weight of a row with this scale as an integer: rounded half to even, at most 127 in magnitude.
pub(crate) fn quantise(value: f32, scale: f32) -> i8 {
    if scale == 0.0 {
        return 0;
    }
    let q = value / scale;
    let q = if q > -LIMIT { q } else { -LIMIT };
    let q = if q < LIMIT { q } else { LIMIT };
    (q + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i8
}

/// Quantised activations of every lane. Reused between calls, so that a step allocates nothing.
#[derive(Debug)]
pub struct Activations {
    /// Each lane's groups, in the format of the level that quantised them.
    pub(super) groups: Vec<u64>,
    pub(super) scales: Vec<f32>,
    /// Of activations with a scale for each group of 32: the shift of each group, lane by lane.
    pub(super) shifts: Vec<u8>,
    /// Of the same: what the bias of weights adds to each lane's sums.
    pub(super) excess: Vec<i32>,
    /// Scratch: the indices of the groups of one lane that are not all zero.
    nonzero: Vec<u32>,
    level: Level,
    pub(super) lanes: usize,
    pub(super) groups_per_lane: usize,
}

impl Activations {
    /// For `lanes` vectors of up to `cols` values.
    pub fn new(lanes: usize, cols: usize) -> Result<Self> {
        let stride = cols.div_ceil(WIDTH) * (WIDTH / GROUP);
        let n = lanes.checked_mul(stride).ok_or_else(|| crate::error::out_of_memory(usize::MAX, "activations"))?;
        Ok(Self {
            groups: filled(n, 0, "activations")?,
            scales: filled(lanes, 0.0, "activations")?,
            shifts: filled(n.div_ceil(GROUP) + lanes, 0, "activations")?,
            excess: filled(lanes, 0, "activations")?,
            nonzero: filled(stride, 0, "activations")?,
            level: Level::PORTABLE,
            lanes: 0,
            groups_per_lane: 0,
        })
    }

    /// Quantises the first `cols` values of each row: q = round(x * (127 / m)) with m the largest magnitude, scale
    /// m / 127. The rest of the last vector of a row must be zeros.
    pub(super) fn quantise(&mut self, level: Level, x: &Rows, cols: usize) {
        self.prepare(level, x.lanes(), cols);
        let stride = self.stride();
        for lane in 0..self.lanes {
            let groups = &mut self.groups[lane * stride..][..stride];
            self.scales[lane] = level.run(Quantise { x: &x.row(lane)[..cols.div_ceil(WIDTH)], groups });
        }
    }

    /// Sets the shape of the activations that follow.
    pub(super) fn prepare(&mut self, level: Level, lanes: usize, cols: usize) {
        self.level = level;
        self.lanes = lanes;
        self.groups_per_lane = cols.div_ceil(GROUP);
    }

    /// The groups from one lane to the next, a multiple of those in a vector.
    pub(super) fn stride(&self) -> usize {
        self.groups_per_lane.next_multiple_of(WIDTH / GROUP)
    }
}

struct Quantise<'a> {
    x: &'a [Vec16],
    groups: &'a mut [u64],
}

impl Kernel for Quantise<'_> {
    /// The scale.
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        // max(|x|, m) keeps m where x is NaN.
        let m = self.x.iter().fold(s.splat(0.0), |m, v| s.max(s.abs(s.load(v)), m));
        let m = s.tree_max(m);
        let (factor, scale) = if m < SMALLEST { (0.0, 0.0) } else { (LIMIT / m, m / LIMIT) };
        let (out, _) = self.groups.as_chunks_mut::<{ WIDTH / GROUP }>();
        for (v, out) in self.x.iter().zip(out) {
            let q = s.load(v) * s.splat(factor);
            let q = s.min(s.max(q, s.splat(-LIMIT)), s.splat(LIMIT));
            let q = s.as_int(q + s.splat(ROUND)) - s.splat_i(ROUND.to_bits() as i32);
            *out = s.pack_groups(q);
        }
        scale
    }
}

/// Lists the groups of the first lane that are not all zero.
struct ListNonzero<'a> {
    x: &'a Activations,
    nonzero: &'a mut [u32],
}

impl Kernel for ListNonzero<'_> {
    /// The number of groups. `None` if an activation is negative at a level that biases activations, because the bias
    /// cannot be removed then.
    type Output = Option<usize>;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Option<usize> {
        let (mut n, mut negative) = (0, 0);
        let nonzero = &mut self.nonzero[..self.x.groups_per_lane];
        for (k, group) in self.x.groups[..nonzero.len()].iter().enumerate() {
            let plain = group ^ S::BIAS;
            nonzero[n] = k as u32;
            n += usize::from(plain != 0);
            negative |= plain & S::BIAS;
        }
        (negative == 0).then_some(n)
    }
}

struct Mul<'a> {
    weights: &'a Panels,
    x: &'a Activations,
    y: &'a mut Rows,
    /// The groups to multiply, for a single lane; `None` for all groups. At a level that biases activations, no
    /// activation of these groups is negative.
    only: Option<&'a [u32]>,
}

impl Kernel for Mul<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (panels, lanes) = (self.weights.scales.len(), self.x.lanes);
        walk(s, &mut self, panels, lanes);
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
        let strip = self.weights.strip(panel);
        let column = |k: usize| -> &[Bytes64; P] {
            let at = strip.at(panel, k);
            self.weights.groups[at..at + P].try_into().expect("the panels of a tile")
        };
        let x: [&[u64]; B] = std::array::from_fn(|b| &self.x.groups[(lane + b) * stride..][..n]);
        let mut acc = [[s.acc(); P]; B];
        if let Some(only) = self.only {
            for k in only.iter().map(|k| *k as usize) {
                let group = x[0][k] ^ S::BIAS;
                for (acc, w) in acc[0].iter_mut().zip(column(k)) {
                    *acc = s.dot(*acc, s.load_weights(w), group);
                }
            }
        } else {
            for (k, columns) in (0..n).map(|k| (k, column(k))) {
                for (p, w) in columns.iter().enumerate() {
                    let w = s.load_weights(w);
                    for b in 0..B {
                        acc[b][p] = s.dot(acc[b][p], w, x[b][k]);
                    }
                }
            }
        }
        let biased = self.only.is_none();
        for (b, acc) in acc.iter().enumerate() {
            let scale = s.splat(self.x.scales[lane + b]);
            let out = &mut self.y.row_mut(lane + b)[panel..panel + P];
            for (p, to) in out.iter_mut().enumerate() {
                let row_sums = if biased { &self.weights.sums[panel + p] } else { &[0; WIDTH] };
                let sums = s.to_float(s.finish(acc[p], row_sums));
                s.store(sums * (s.load(&self.weights.scales[panel + p]) * scale), to);
            }
        }
    }
}
