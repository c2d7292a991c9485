//! Adaptive probabilities: how often 1 followed, by a small context; and maps that correct a probability (APM, SSE).

use super::contexts::MAX_CONTEXTS;
use super::logistic::{LIMIT, Logistic, ONE};
use super::undo::Undo;
use crate::error::Result;
use crate::numeric::buffer::{Lines, prefetch};
use crate::numeric::simd::Simd;
use crate::numeric::vector::WIDTH;

/// A probability in the upper 22 bits and how often it was updated in the lower 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Adaptive(u32);

/// Counts go up to this.
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
    /// Starts at `p` of 65536, as if `n` bits had taught it.
    pub(crate) fn new(p: u16, n: u16) -> Self {
        Self((u32::from(p) << 16) | (u32::from(n) % COUNTS as u32))
    }

    /// How many bits taught it, as far as it counts.
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
        // It may wrap, and so may the sum: what comes out lies within 32 bits again.
        let step = (error >> 3).wrapping_mul(RATES[n as usize]);
        self.0 = self.0.wrapping_add(step as u32 & !(COUNTS as u32 - 1)) + u32::from(n < limit);
    }
}

/// As many as there may be contexts, and the rest of whole vectors.
pub(crate) type Cells = [Adaptive; MAX_CONTEXTS.next_multiple_of(WIDTH)];

/// Sixteen of them.
#[inline(always)]
fn words(cells: &[Adaptive; WIDTH]) -> [i32; WIDTH] {
    cells.map(|p| p.0 as i32)
}

/// How far from one half a probability is loses these bits as an input.
pub(crate) const DISTANCE: u32 = 6;

/// How far from one half each is, of 512; `out` takes whole vectors.
#[inline(always)]
pub(crate) fn distances<S: Simd>(s: S, cells: &Cells, out: &mut [i32]) {
    for (cells, out) in cells.as_chunks::<WIDTH>().0.iter().zip(out.as_chunks_mut::<WIDTH>().0) {
        let p = s.shr::<16>(s.load_i(&words(cells))) & s.splat_i(ONE - 1);
        s.store_i(s.shr::<DISTANCE>(p - s.splat_i(ONE / 2)), out);
    }
}

/// As `RATES` has them. No quotient lies so near one half that the division's rounding could decide.
#[inline(always)]
fn rates<S: Simd>(s: S, counts: S::I) -> S::I {
    let below = s.to_float(counts + counts + s.splat_i(3));
    // Added to 1.5 * 2^23, a number's lowest bits are the nearest integer's.
    let magic = s.splat(12_582_912.0);
    s.as_int(s.splat((1 << 14) as f32) / below + magic) - s.as_int(magic)
}

/// [`Adaptive::update`] of all of them.
#[inline(always)]
pub(crate) fn update_all<S: Simd>(s: S, cells: &mut Cells, bit: u32, limit: u32) {
    let target = s.splat_i((bit << 22) as i32 - bit as i32);
    let counts = s.splat_i(COUNTS as i32 - 1);
    for cells in cells.as_chunks_mut::<WIDTH>().0 {
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

/// Corrects a probability by a context: between 32 points on the stretched axis, a line of the cache, the
/// nearest one moves.
#[derive(Debug)]
pub(crate) struct Apm {
    /// Less where each point starts, modulo 2^16: fresh maps are zeros.
    points: Lines<[u16; POINTS]>,
    starts: [u16; POINTS],
    now: Now,
    pub(crate) undo: Undo<u16>,
}

/// The point at work.
#[derive(Clone, Copy, Debug)]
struct Now {
    row: usize,
    point: usize,
}

/// What a bit changes: to go back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SavedPoint {
    now: Now,
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
            now: Now { row: 0, point: 0 },
            undo: Undo::default(),
        })
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.points.copy_from_slice(&other.points);
    }

    pub(crate) fn visit(&self, add: &mut dyn FnMut(&[u8])) {
        self.points.as_flattened().iter().for_each(|p| add(&p.to_le_bytes()));
    }

    /// Back to where the log began.
    pub(crate) fn roll_back(&mut self) {
        self.undo.go_back(|at, point| self.points[at / POINTS][at % POINTS] = point);
    }

    /// Before [`Apm::update`].
    #[inline(always)]
    pub(crate) fn save(&self) -> SavedPoint {
        SavedPoint { now: self.now, point: self.points[self.now.row][self.now.point] }
    }

    #[inline(always)]
    pub(crate) fn go_back(&mut self, saved: SavedPoint) {
        self.now = saved.now;
        self.points[saved.now.row][saved.now.point] = saved.point;
    }

    /// Turns to a context, before [`Apm::refine`].
    #[inline(always)]
    pub(crate) fn turn_to(&mut self, context: usize) {
        self.now.row = context;
        self.prefetch(context);
    }

    /// Asks for the memory of a context that may come.
    #[inline(always)]
    pub(crate) fn prefetch(&self, context: usize) {
        prefetch(&self.points[context]);
    }

    /// What a stretched probability is after the context turned to.
    #[inline(always)]
    pub(crate) fn refine(&mut self, stretched: i32) -> i32 {
        let t = stretched - FIRST;
        let (low, weight) = ((t / SPAN) as usize, t % SPAN);
        self.now.point = low + usize::from(2 * weight >= SPAN);
        let row = &self.points[self.now.row];
        let point = |i: usize| i32::from(row[i].wrapping_add(self.starts[i]));
        ((point(low) * (SPAN - weight) + point(low + 1) * weight) / SPAN).clamp(1, ONE - 1)
    }

    /// Moves the point that was nearest.
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: u32, shift: u32) {
        let Now { row, point } = self.now;
        let (cell, start) = (&mut self.points[row][point], self.starts[point]);
        self.undo.note(row * POINTS + point, *cell);
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
        struct All<'a>(&'a mut Cells, u32, &'a mut [i32]);
        impl Kernel for All<'_> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, s: S) {
                distances(s, self.0, self.2);
                update_all(s, self.0, self.1, 127);
            }
        }
        for level in Level::available() {
            let mut random = Random::new(5, "maps");
            let mut cells: Cells = std::array::from_fn(|_| Adaptive(random.next_u64() as u32));
            for i in 0..2000 {
                let (mut one_by_one, bit) = (cells, u32::from(random.next_u64() % 5 < 2 || i > 1500));
                let want = cells.map(|p| ((p.0 >> 16) as i32 - ONE / 2) >> DISTANCE);
                one_by_one.iter_mut().for_each(|p| p.update(bit, 127));
                let mut out = [0; 32];
                level.run(All(&mut cells, bit, &mut out));
                assert_eq!((cells, out), (one_by_one, want));
            }
        }
    }

    #[test]
    fn a_map_starts_as_it_is_and_learns_what_follows() {
        let mut apm = Apm::new(2).unwrap();
        let logistic = Logistic::get();
        for t in -LIMIT..=LIMIT {
            let (p, q) = (logistic.squash(t), {
                apm.turn_to(0);
                apm.refine(t)
            });
            assert!((p - q).abs() < ONE / 50, "{t}: {p} {q}");
        }
        // Half way between two, only one of them would move.
        let at_a_point = FIRST + 16 * SPAN;
        for _ in 0..1000 {
            apm.turn_to(1);
            apm.refine(at_a_point);
            apm.update(1, 6);
        }
        assert!(apm.refine(at_a_point) > ONE * 9 / 10);
        apm.turn_to(0);
        assert!((apm.refine(0) - ONE / 2).abs() < ONE / 50);
    }
}
