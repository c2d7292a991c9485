//! Adaptive probabilities: how often 1 followed, by a small context; and maps that correct a probability (APM, SSE).

use super::logistic::{LIMIT, Logistic, ONE};
use super::undo::Undo;
use crate::error::Result;
use crate::numeric::buffer::zeroed;

/// A probability in the upper 22 bits and how often it was updated in the lower 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Adaptive(u32);

/// Counts go up to this.
const COUNTS: usize = 1 << 10;

/// 2^14 / (2n + 3), by the count.
static RATES: [i32; COUNTS] = {
    let mut t = [0; COUNTS];
    let mut n = 0;
    while n < COUNTS {
        t[n] = (1 << 14) / (2 * n as i32 + 3);
        n += 1;
    }
    t
};

impl Adaptive {
    /// Starts at `p` of 65536.
    pub(crate) fn new(p: u32) -> Self {
        Self(p << 16)
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

/// Corrects a probability by a context: between 33 points on the stretched axis, the two next to it move.
#[derive(Debug)]
pub(crate) struct Apm {
    /// Less where each point starts, modulo 2^16: fresh maps are zeros.
    points: Vec<u16>,
    starts: [u16; POINTS],
    now: Now,
    pub(crate) undo: Undo<u16>,
}

/// The point at work.
#[derive(Clone, Copy, Debug)]
struct Now {
    at: usize,
    /// Where it starts.
    start: u16,
}

/// What a bit changes: to go back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SavedPoint {
    now: Now,
    point: u16,
}

const POINTS: usize = 33;
/// Stretched distance between points.
const SPAN: i32 = 2 * (LIMIT + 1) / (POINTS as i32 - 1) + 1;

impl Apm {
    pub(crate) fn new(contexts: usize) -> Result<Self> {
        let start = |i| Logistic::get().squash((i as i32 - POINTS as i32 / 2) * SPAN) as u16;
        Ok(Self {
            points: zeroed(contexts * POINTS, "adaptive probability maps")?,
            starts: std::array::from_fn(start),
            now: Now { at: 0, start: 0 },
            undo: Undo::default(),
        })
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.points.copy_from_slice(&other.points);
    }

    pub(crate) fn visit(&self, add: &mut dyn FnMut(&[u8])) {
        self.points.iter().for_each(|p| add(&p.to_le_bytes()));
    }

    /// Back to where the log began.
    pub(crate) fn roll_back(&mut self) {
        self.undo.go_back(|at, point| self.points[at] = point);
    }

    /// Before [`Apm::update`].
    #[inline(always)]
    pub(crate) fn save(&self) -> SavedPoint {
        SavedPoint { now: self.now, point: self.points[self.now.at] }
    }

    #[inline(always)]
    pub(crate) fn go_back(&mut self, saved: SavedPoint) {
        self.now = saved.now;
        self.points[saved.now.at] = saved.point;
    }

    /// What a stretched probability is after this context.
    #[inline(always)]
    pub(crate) fn refine(&mut self, stretched: i32, context: usize) -> i32 {
        let t = stretched + SPAN * (POINTS as i32 / 2);
        let (low, weight) = ((t / SPAN) as usize, t % SPAN);
        let at = context * POINTS + low;
        let near = usize::from(2 * weight >= SPAN);
        self.now = Now { at: at + near, start: self.starts[low + near] };
        let point = |i: usize| i32::from(self.points[at + i].wrapping_add(self.starts[low + i]));
        ((point(0) * (SPAN - weight) + point(1) * weight) / SPAN).clamp(1, ONE - 1)
    }

    /// Moves the point that was nearest.
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: u32, shift: u32) {
        let Now { at, start } = self.now;
        self.undo.note(at, self.points[at]);
        let p = i32::from(self.points[at].wrapping_add(start));
        let target = if bit != 0 { ONE - 1 } else { 0 };
        self.points[at] = ((p + ((target - p) >> shift)) as u16).wrapping_sub(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adaptive_probability_finds_the_share_of_ones() {
        let mut p = Adaptive::new(1 << 15);
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
    fn a_map_starts_as_it_is_and_learns_what_follows() {
        let mut apm = Apm::new(2).unwrap();
        let logistic = Logistic::get();
        for t in -LIMIT..=LIMIT {
            let (p, q) = (logistic.squash(t), apm.refine(t, 0));
            assert!((p - q).abs() < ONE / 50, "{t}: {p} {q}");
        }
        for _ in 0..1000 {
            apm.refine(0, 1);
            apm.update(1, 6);
        }
        assert!(apm.refine(0, 1) > ONE * 9 / 10);
        assert!((apm.refine(0, 0) - ONE / 2).abs() < ONE / 50);
    }
}
