//! Adaptive probabilities, and adaptive probability maps (APM, SSE) that refine a probability by a small context.

use super::contexts::MAX_CONTEXTS;
use super::journal::Journal;
use super::logistic::{LIMIT, Logistic, ONE};
use crate::error::Result;
use crate::numeric::buffer::{Lines, prefetch};
use crate::numeric::simd::Simd;
use crate::numeric::vector::WIDTH;

/// A 22-bit probability in the upper bits and an update count in the lower 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Adaptive(u32);

/// Number of count values.
const COUNTS: usize = 1 << 10;

/// 2^14 / (2n + 3), rounded, by the count.
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
    /// Starts at `p` of 65536, with count `n`.
    pub(crate) fn new(p: u16, n: u16) -> Self {
        Self((u32::from(p) << 16) | (u32::from(n) % COUNTS as u32))
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// As [`Adaptive::bits`] gives it.
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The update count.
    pub(crate) fn count(self) -> u16 {
        (self.0 % COUNTS as u32) as u16
    }

    pub(crate) fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    /// Of 65536, never 0.
    #[inline(always)]
    pub(crate) fn p(self) -> i32 {
        ((self.0 >> 16) as i32).max(1)
    }

    /// Moves towards the bit by 1 / (n + 1.5), where n counts up to `limit`, at most 1023.
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: u32, limit: u32) {
        let n = self.0 % COUNTS as u32;
        // In 22 bits; an eighth of it times 2^14 / (2n + 3) is the step with ten bits below.
        let error = (bit << 22) as i32 - bit as i32 - (self.0 >> 10) as i32;
        // Both may wrap; the final value fits 32 bits again.
        let step = (error >> 3).wrapping_mul(RATES[n as usize]);
        self.0 = self.0.wrapping_add(step as u32 & !(COUNTS as u32 - 1)) + u32::from(n < limit);
    }
}

/// One cell per context, padded to whole vectors.
pub(crate) type Cells = [Adaptive; MAX_CONTEXTS.next_multiple_of(WIDTH)];

/// Sixteen of them.
#[inline(always)]
fn words(cells: &[Adaptive; WIDTH]) -> [i32; WIDTH] {
    cells.map(|p| p.0 as i32)
}

/// As `RATES` has them. No quotient lies so near one half that the division's rounding could decide.
#[inline(always)]
fn rates<S: Simd>(s: S, counts: S::I) -> S::I {
    let below = s.to_float(counts + counts + s.splat_i(3));
    // Added to 1.5 * 2^23, a number's lowest bits are the nearest integer's.
    let magic = s.splat(12_582_912.0);
    s.as_int(s.splat((1 << 14) as f32) / below + magic) - s.as_int(magic)
}

/// [`Adaptive::update`] of the first `used` of them, and of what fills up their last vector.
#[inline(always)]
pub(crate) fn update_all<S: Simd>(s: S, cells: &mut Cells, used: usize, bit: u32, limit: u32) {
    let target = s.splat_i((bit << 22) as i32 - bit as i32);
    let counts = s.splat_i(COUNTS as i32 - 1);
    for cells in cells.as_chunks_mut::<WIDTH>().0.iter_mut().take(used.div_ceil(WIDTH)) {
        let cell = s.load_i(&words(cells));
        let rates = rates(s, cell & counts);
        let error = target - (s.shr::<10>(cell) & s.splat_i((1 << 22) - 1));
        let step = s.mul_i(s.shr::<3>(error), rates);
        // All ones, or -1, where the count is below the limit.
        let below = s.shr::<31>((cell & counts) - s.splat_i(limit as i32));
        let mut next = [0; WIDTH];
        s.store_i(cell + (step - (step & counts)) - below, &mut next);
        *cells = next.map(|word| Adaptive(word as u32));
    }
}

/// Refines a probability by a context: interpolates between 32 points on the stretched axis (one cache line per context);
/// the nearest point adapts.
#[derive(Debug)]
pub(crate) struct Apm {
    /// Difference of each point from its initial value, modulo 2^16, so that a new map is zeros.
    points: Lines<[u16; POINTS]>,
    starts: [u16; POINTS],
    position: ApmPosition,
    pub(crate) journal: Journal<u16>,
}

/// The selected point.
#[derive(Clone, Copy, Debug)]
struct ApmPosition {
    row: usize,
    point: usize,
}

/// What one bit changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SavedApm {
    position: ApmPosition,
    point: u16,
}

const POINTS: usize = 32;
/// Stretched distance between points.
const SPAN: i32 = 2 * (LIMIT + 1) / (POINTS as i32 - 1) + 1;
/// Of the first point.
const FIRST: i32 = -SPAN * (POINTS as i32 - 1) / 2;

impl Apm {
    pub(crate) fn new(contexts: usize) -> Result<Self> {
        let start = |i| Logistic::get().squash(FIRST + i as i32 * SPAN) as u16;
        Ok(Self {
            points: Lines::zeroed(contexts, "adaptive probability maps")?,
            starts: std::array::from_fn(start),
            position: ApmPosition { row: 0, point: 0 },
            journal: Journal::default(),
        })
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.points.copy_from_slice(&other.points);
    }

    pub(crate) fn visit(&self, add: &mut dyn FnMut(&[u8])) {
        self.points.as_flattened().iter().for_each(|p| add(&p.to_le_bytes()));
    }

    /// Returns to the checkpoint.
    pub(crate) fn roll_back(&mut self) {
        self.journal.undo_all(|at, point| self.points[at / POINTS][at % POINTS] = point);
    }

    /// Before [`Apm::update`].
    #[inline(always)]
    pub(crate) fn save(&self) -> SavedApm {
        SavedApm { position: self.position, point: self.points[self.position.row][self.position.point] }
    }

    #[inline(always)]
    pub(crate) fn restore(&mut self, saved: SavedApm) {
        self.position = saved.position;
        self.points[saved.position.row][saved.position.point] = saved.point;
    }

    /// Selects a context, before [`Apm::refine`].
    #[inline(always)]
    pub(crate) fn select(&mut self, context: usize) {
        self.position.row = context;
        self.prefetch(context);
    }

    /// Prefetches a context's row.
    #[inline(always)]
    pub(crate) fn prefetch(&self, context: usize) {
        prefetch(&self.points[context]);
    }

    /// Refines a stretched probability in the selected context.
    #[inline(always)]
    pub(crate) fn refine(&mut self, stretched: i32) -> i32 {
        let t = stretched - FIRST;
        let (low, weight) = ((t / SPAN) as usize, t % SPAN);
        self.position.point = low + usize::from(2 * weight >= SPAN);
        let row = &self.points[self.position.row];
        let point = |i: usize| i32::from(row[i].wrapping_add(self.starts[i]));
        ((point(low) * (SPAN - weight) + point(low + 1) * weight) / SPAN).clamp(1, ONE - 1)
    }

    /// Adapts the nearest point.
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: u32, shift: u32) {
        let ApmPosition { row, point } = self.position;
        let (cell, start) = (&mut self.points[row][point], self.starts[point]);
        self.journal.record(row * POINTS + point, *cell);
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
    fn an_adaptive_probability_finds_the_share_of_ones() {
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
    fn all_at_once_are_as_one_by_one() {
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
    fn a_map_starts_as_it_is_and_learns_what_follows() {
        let mut apm = Apm::new(2).unwrap();
        let logistic = Logistic::get();
        for t in -LIMIT..=LIMIT {
            let (p, q) = (logistic.squash(t), {
                apm.select(0);
                apm.refine(t)
            });
            assert!((p - q).abs() < ONE / 50, "{t}: {p} {q}");
        }
        // Half way between two, only one of them would move.
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
