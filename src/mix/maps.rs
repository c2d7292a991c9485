//! Adaptive probabilities, and adaptive probability maps (APM, SSE) that refine a probability by a small context.

use std::sync::Arc;

use super::contexts::MAX_CONTEXTS;
use super::logistic::{LIMIT, Logistic, ONE};
use super::table::{Frozen, Table};
use crate::error::Result;
use crate::numeric::simd::Simd;
use crate::numeric::vector::WIDTH;

/// A 22-bit probability in the upper bits and an update count in the lower 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Adaptive(u32);

/// Number of count values.
const COUNTS: usize = 1 << 10;

/// 2^14 / (2n + 3), rounded to nearest, by the count n.
static RATES: [i32; COUNTS] = {
    let mut t = [0; COUNTS];
    let mut n = 0;
    while n < COUNTS {
        let below = 2 * n as i32 + 3;
        t[n] = ((1 << 14) + below / 2) / below;
        n += 1;
    }
    t
};

impl Adaptive {
    /// An adaptive probability that starts at `p`, in 1/65536, with the count `n`.
    pub(crate) fn new(p: u16, n: u16) -> Self {
        Self((u32::from(p) << 16) | (u32::from(n) % COUNTS as u32))
    }

    /// The probability and the count in one word.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// The inverse of [`Adaptive::bits`].
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The update count.
    pub(crate) fn count(self) -> u16 {
        (self.0 % COUNTS as u32) as u16
    }

    /// The probability in 1/65536, never 0.
    #[inline(always)]
    pub(crate) fn p(self) -> i32 {
        ((self.0 >> 16) as i32).max(1)
    }

    /// Moves the probability towards the bit by 1 / (n + 1.5) of the distance. The count n then grows, up to `limit`,
    /// which is at most 1023.
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: u32, limit: u32) {
        let n = self.0 % COUNTS as u32;
        // The error has 22 bits. An eighth of it times 2^14 / (2n + 3) is the step, with ten bits below the point.
        let error = (bit << 22) as i32 - bit as i32 - (self.0 >> 10) as i32;
        // Product and sum may wrap. The final value fits 32 bits.
        let step = (error >> 3).wrapping_mul(RATES[n as usize]);
        self.0 = self.0.wrapping_add(step as u32 & !(COUNTS as u32 - 1)) + u32::from(n < limit);
    }
}

/// One adaptive probability for each context, padded to whole vectors.
pub(crate) type Cells = [Adaptive; MAX_CONTEXTS.next_multiple_of(WIDTH)];

/// The words of one vector of cells.
#[inline(always)]
fn words(cells: &[Adaptive; WIDTH]) -> [i32; WIDTH] {
    cells.map(|p| p.0 as i32)
}

/// The entries of [`RATES`] for these counts. For none of the 1024 counts is the quotient so close to half an integer
/// that the rounding of the division changes the result.
#[inline(always)]
fn rates<S: Simd>(s: S, counts: S::I) -> S::I {
    let below = s.to_float(counts + counts + s.splat_i(3));
    // After adding 1.5 * 2^23, the lowest bits of the float are the nearest integer.
    let magic = s.splat(12_582_912.0);
    s.as_int(s.splat((1 << 14) as f32) / below + magic) - s.as_int(magic)
}

/// [`Adaptive::update`] of the first `used` cells, and of those that fill up their last vector.
#[inline(always)]
pub(crate) fn update_all<S: Simd>(s: S, cells: &mut Cells, used: usize, bit: u32, limit: u32) {
    let target = s.splat_i((bit << 22) as i32 - bit as i32);
    let counts = s.splat_i(COUNTS as i32 - 1);
    for cells in cells.as_chunks_mut::<WIDTH>().0.iter_mut().take(used.div_ceil(WIDTH)) {
        let cell = s.load_i(&words(cells));
        let rates = rates(s, cell & counts);
        let error = target - (s.shr::<10>(cell) & s.splat_i((1 << 22) - 1));
        let step = s.mul_i(s.shr::<3>(error), rates);
        // -1 if the count is below the limit, otherwise 0.
        let below = s.shr::<31>((cell & counts) - s.splat_i(limit as i32));
        let mut next = [0; WIDTH];
        s.store_i(cell + (step - (step & counts)) - below, &mut next);
        *cells = next.map(|word| Adaptive(word as u32));
    }
}

/// An adaptive probability map: refines a probability by a context. A row, which is one cache line, belongs to each
/// context. It has 32 points on the stretched axis. The result is interpolated between two points. The nearest point
/// adapts.
#[derive(Debug)]
pub(crate) struct Apm {
    /// The difference of each point from its initial value, modulo 2^16, so that a new map is zeros.
    pub(crate) table: Table<[u16; POINTS]>,
    /// Initial values of the points of every row.
    starts: [u16; POINTS],
    position: ApmPosition,
}

/// The selected point.
#[derive(Clone, Copy, Debug)]
struct ApmPosition {
    row: usize,
    point: usize,
}

/// Everything that one bit changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SavedApm {
    position: ApmPosition,
    point: u16,
}

/// Points of a row.
pub(crate) const POINTS: usize = 32;
/// Stretched distance between points.
const SPAN: i32 = 2 * (LIMIT + 1) / (POINTS as i32 - 1) + 1;
/// The stretched value of the first point.
const FIRST: i32 = -SPAN * (POINTS as i32 - 1) / 2;

impl Apm {
    /// The initial content of a map with a row for each of `contexts` contexts.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn initial(contexts: usize) -> Result<Arc<Frozen<[u16; POINTS]>>> {
        Frozen::zeros(contexts, 1)
    }

    /// A map with this content.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn new(content: &Arc<Frozen<[u16; POINTS]>>) -> Result<Self> {
        let start = |i| Logistic::get().squash(FIRST + i as i32 * SPAN) as u16;
        Ok(Self {
            table: Table::new(content, "adaptive probability maps")?,
            starts: std::array::from_fn(start),
            position: ApmPosition { row: 0, point: 0 },
        })
    }

    /// The state that [`Apm::update`] will change.
    #[inline(always)]
    pub(crate) fn save(&mut self) -> SavedApm {
        self.table.touch(self.position.row);
        SavedApm { position: self.position, point: self.table.lines()[self.position.row][self.position.point] }
    }

    /// Undoes [`Apm::update`].
    #[inline(always)]
    pub(crate) fn restore(&mut self, saved: SavedApm) {
        self.position = saved.position;
        self.table.lines_mut()[saved.position.row][saved.position.point] = saved.point;
    }

    /// Selects the row of a context, for [`Apm::refine`].
    #[inline(always)]
    pub(crate) fn select(&mut self, context: usize) {
        self.position.row = context;
        self.table.prefetch(context);
        self.table.touch(context);
    }

    /// Prefetches the row of a context.
    #[inline(always)]
    pub(crate) fn prefetch(&self, context: usize) {
        self.table.prefetch(context);
    }

    /// The probability in 1/65536 for a stretched value in the selected context.
    #[inline(always)]
    pub(crate) fn refine(&mut self, stretched: i32) -> i32 {
        let t = stretched - FIRST;
        let (low, weight) = ((t / SPAN) as usize, t % SPAN);
        self.position.point = low + usize::from(2 * weight >= SPAN);
        let row = &self.table.lines()[self.position.row];
        let point = |i: usize| i32::from(row[i].wrapping_add(self.starts[i]));
        ((point(low) * (SPAN - weight) + point(low + 1) * weight) / SPAN).clamp(1, ONE - 1)
    }

    /// Adapts the nearest point.
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: u32, shift: u32) {
        let ApmPosition { row, point } = self.position;
        let (cell, start) = (&mut self.table.lines_mut()[row][point], self.starts[point]);
        let p = i32::from(cell.wrapping_add(start));
        let target = if bit != 0 { ONE - 1 } else { 0 };
        *cell = ((p + ((target - p) >> shift)) as u16).wrapping_sub(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::level::{Kernel, Level};
    use crate::numeric::random::Random;

    #[test]
    fn an_adaptive_probability_approaches_the_share_of_ones() {
        let mut p = Adaptive::new(1 << 15, 0);
        for i in 0..3000 {
            p.update(u32::from(i % 4 == 0), 1023);
        }
        assert!((p.p() - ONE / 4).abs() < ONE / 100, "{}", p.p());
        for bit in [0, 1] {
            for _ in 0..100_000 {
                p.update(bit, 1023);
            }
            assert!(p.p() > 0 && p.p() < ONE);
        }
    }

    #[test]
    fn update_all_equals_single_updates() {
        struct All<'a>(&'a mut Cells, u32);
        impl Kernel for All<'_> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, s: S) {
                update_all(s, self.0, MAX_CONTEXTS, self.1, 127);
            }
        }
        for level in Level::available() {
            let mut random = Random::new(5, "maps");
            let mut cells: Cells = std::array::from_fn(|_| Adaptive(random.next_u64() as u32));
            for i in 0..2000 {
                let (mut one_by_one, bit) = (cells, u32::from(random.next_u64() % 5 < 2 || i > 1500));
                one_by_one.iter_mut().for_each(|p| p.update(bit, 127));
                level.run(All(&mut cells, bit));
                assert_eq!(cells, one_by_one);
            }
        }
    }

    #[test]
    fn a_map_starts_as_the_identity_and_learns() {
        let mut apm = Apm::new(&Apm::initial(2).unwrap()).unwrap();
        let logistic = Logistic::get();
        for t in -LIMIT..=LIMIT {
            let (p, q) = (logistic.squash(t), {
                apm.select(0);
                apm.refine(t)
            });
            assert!((p - q).abs() < ONE / 50, "{t}: {p} {q}");
        }
        // At a point, since half way between two points only one of them would adapt.
        let at_a_point = FIRST + 16 * SPAN;
        for _ in 0..1000 {
            apm.select(1);
            apm.refine(at_a_point);
            apm.update(1, 6);
        }
        assert!(apm.refine(at_a_point) > ONE * 9 / 10);
        apm.select(0);
        assert!((apm.refine(0) - ONE / 2).abs() < ONE / 50);
    }
}
