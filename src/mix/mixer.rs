//! Logistic mixing (Mahoney 2005): the output is the squashed dot product of stretched probabilities and weights. A
//! weight changes by the product of its input and the error. There are several sets of weights. In each set, a small
//! context selects one row. The weight of an input is the sum of its weights in the selected rows, so all selected rows
//! share one dot product, one error and one step. Sums are of integers modulo 2^32, so their order does not matter.

use std::sync::Arc;

use super::logistic::{LIMIT, Logistic, ONE};
use super::table::{Frozen, Table};
use crate::error::Result;
use crate::numeric::buffer::{filled, prefetch};
use crate::numeric::simd::Simd;

/// Inputs in a cache line. The number of inputs is padded to whole lines.
const LINE: usize = 16;
/// The maximum number of inputs.
///
/// Sums and products wrap, on every CPU in the same way, so an overflow only costs compression. Inputs are at most 2306
/// in magnitude, and weights have 11 bits after the point in products. So the dot product does not overflow as long as
/// the magnitudes of the summed weights add up to less than 454.
pub(crate) const MAX_INPUTS: usize = MOST_LINES * LINE;
const MOST_LINES: usize = 3;

/// A weight of 1.
pub(crate) const WEIGHT_ONE: i32 = 1 << 16;
/// Right shift of a weight before the multiplication.
const CUT: u32 = 5;
/// Right shift of the product of error and learning rate.
const RATE_SHIFT: u32 = 8;
/// Right shift of the product of an input and that error.
const STEP_SHIFT: u32 = 18;

/// Errors below this are not learned: no step of an input of at most [`LIMIT`] would be 1.
const LEAST_ERROR: i32 = (1 << (STEP_SHIFT - 1)) / (LIMIT + 1) + 1;

/// Sixteen weights.
pub(crate) type Line = [i32; LINE];

/// The inputs of a bit.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Inputs(pub(crate) [i32; MAX_INPUTS]);

/// A mixer with `SETS` sets of weights.
#[derive(Debug)]
pub(crate) struct Mixer<const SETS: usize> {
    /// Lines per row.
    width: usize,
    /// A unit is a row.
    pub(crate) table: Table<Line>,
    /// The index of the first row of each set.
    first: [usize; SETS],
    bit_state: BitState<SETS>,
}

/// State of the current bit.
#[derive(Clone, Copy, Debug)]
struct BitState<const SETS: usize> {
    inputs: Inputs,
    /// The index of the first line of the selected row of each set.
    selected: [usize; SETS],
    /// The stretched output.
    output: i32,
}

/// Everything that one bit changes.
#[derive(Debug)]
pub(crate) struct Saved<const SETS: usize> {
    bit_state: BitState<SETS>,
    rows: [[Line; MOST_LINES]; SETS],
}

/// The dot product of the inputs and the sum of the selected rows, in 1/256. `W`, the number of lines of a row, is a
/// constant, so that the loops unroll.
#[inline(always)]
fn dot_product<const W: usize, const SETS: usize, S: Simd>(
    s: S,
    weights: &[Line],
    selected: [usize; SETS],
    inputs: &Inputs,
) -> i32 {
    let (lines, _) = inputs.0.as_chunks::<LINE>();
    let mut sums = s.splat_i(0);
    for (i, x) in lines.iter().enumerate().take(W) {
        let mut weight = s.load_i(&weights[selected[0] + i]);
        for at in &selected[1..] {
            weight = weight + s.load_i(&weights[at + i]);
        }
        sums = sums + s.mul_i(s.shr::<CUT>(weight), s.load_i(x));
    }
    (s.sum_i(sums) >> (16 - CUT)).clamp(-LIMIT, LIMIT)
}

/// Adds the product of inputs and error to all selected rows.
#[inline(always)]
fn train<const W: usize, const SETS: usize, S: Simd>(
    s: S,
    weights: &mut [Line],
    selected: [usize; SETS],
    inputs: &Inputs,
    error: i32,
) {
    let (lines, _) = inputs.0.as_chunks::<LINE>();
    let error = s.splat_i(error);
    // Plain loops: the closures of `from_fn` and `map` are not always inlined, and are then compiled without the level's
    // instructions.
    for (i, x) in lines.iter().enumerate().take(W) {
        let step = s.shr::<STEP_SHIFT>(s.mul_i(s.load_i(x), error) + s.splat_i(1 << (STEP_SHIFT - 1)));
        for at in selected {
            let weights = &mut weights[at + i];
            s.store_i(s.load_i(weights) + step, weights);
        }
    }
}

impl<const SETS: usize> Mixer<SETS> {
    /// The initial content of a mixer whose sets have the given numbers of rows. `weights(set, row, out)` writes the
    /// initial weights of a row.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn initial(
        rows: [usize; SETS],
        inputs: usize,
        mut weights: impl FnMut(usize, usize, &mut dyn Iterator<Item = &mut i32>),
    ) -> Result<Arc<Frozen<Line>>> {
        assert!(inputs <= MAX_INPUTS);
        let width = inputs.div_ceil(LINE);
        let mut lines = filled(rows.iter().sum::<usize>() * width, [0; LINE], "mixer weights")?;
        let mut all = lines.chunks_exact_mut(width);
        for (set, rows) in rows.into_iter().enumerate() {
            for (row, lines) in all.by_ref().take(rows).enumerate() {
                weights(set, row, &mut lines.iter_mut().flatten());
            }
        }
        Frozen::full(lines, width)
    }

    /// A mixer with this content, whose sets have the given numbers of rows.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn new(rows: [usize; SETS], content: &Arc<Frozen<Line>>) -> Result<Self> {
        let mut total = 0;
        let first = rows.map(|n| {
            total += n;
            total - n
        });
        let width = content.stride();
        let selected = first.map(|row| row * width);
        Ok(Self {
            width,
            table: Table::new(content, "mixer weights")?,
            first,
            bit_state: BitState { inputs: Inputs([0; MAX_INPUTS]), selected, output: 0 },
        })
    }

    /// The weights of a row, with its padding.
    pub(crate) fn row(&self, set: usize, row: usize) -> impl Iterator<Item = &i32> {
        self.table.get(self.first[set] + row).into_iter().flatten().flatten()
    }

    /// The state that [`Mixer::update`] will change.
    pub(crate) fn save(&mut self) -> Saved<SETS> {
        self.bit_state.selected.into_iter().for_each(|at| self.table.touch(at / self.width));
        let row = |at: usize| std::array::from_fn(|i| self.table.lines().get(at + i).copied().unwrap_or([0; LINE]));
        Saved { bit_state: self.bit_state, rows: self.bit_state.selected.map(row) }
    }

    pub(crate) fn restore(&mut self, saved: &Saved<SETS>) {
        self.bit_state = saved.bit_state;
        for (at, row) in self.bit_state.selected.into_iter().zip(&saved.rows) {
            self.table.lines_mut()[at..at + self.width].copy_from_slice(&row[..self.width]);
        }
    }

    /// The inputs of the next bit, which the caller writes before [`Mixer::mix`]. The padding must remain 0.
    #[inline(always)]
    pub(crate) fn inputs(&mut self) -> &mut Inputs {
        &mut self.bit_state.inputs
    }

    /// Prefetches a row that may be selected next.
    #[inline(always)]
    pub(crate) fn prefetch(&self, set: usize, row: usize) {
        let at = (self.first[set] + row) * self.width;
        prefetch(&self.table.lines()[at]);
        prefetch(&self.table.lines()[at + self.width - 1]);
    }

    /// The number of lines of a row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The stretched probability of 1 with the rows selected by these contexts. `W`: the number of lines of a row, or 0
    /// if it is not a constant.
    #[inline(always)]
    pub(crate) fn mix<const W: usize, S: Simd>(&mut self, s: S, contexts: [usize; SETS]) -> i32 {
        let width = if W > 0 { W } else { self.width };
        for ((selected, first), context) in self.bit_state.selected.iter_mut().zip(self.first).zip(contexts) {
            let row = first + context;
            self.table.touch(row);
            *selected = row * width;
        }
        let (bit_state, weights) = (&mut self.bit_state, self.table.lines());
        bit_state.output = match width {
            1 => dot_product::<1, SETS, S>(s, weights, bit_state.selected, &bit_state.inputs),
            2 => dot_product::<2, SETS, S>(s, weights, bit_state.selected, &bit_state.inputs),
            _ => dot_product::<MOST_LINES, SETS, S>(s, weights, bit_state.selected, &bit_state.inputs),
        };
        bit_state.output
    }

    /// Adapts the selected rows to the bit. `W`: as in [`Mixer::mix`].
    #[inline(always)]
    pub(crate) fn update<const W: usize, S: Simd>(&mut self, s: S, bit: u32, rate: i32) {
        let target = if bit != 0 { ONE - 1 } else { 0 };
        let error = ((target - Logistic::get().squash(self.bit_state.output)) * rate) >> RATE_SHIFT;
        if error.abs() < LEAST_ERROR {
            return;
        }
        let (bit_state, weights) = (&self.bit_state, self.table.lines_mut());
        match if W > 0 { W } else { self.width } {
            1 => train::<1, SETS, S>(s, weights, bit_state.selected, &bit_state.inputs, error),
            2 => train::<2, SETS, S>(s, weights, bit_state.selected, &bit_state.inputs, error),
            _ => train::<MOST_LINES, SETS, S>(s, weights, bit_state.selected, &bit_state.inputs, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::level::{Kernel, Level};
    use crate::numeric::random::Random;

    struct Bit<'a>(&'a mut Mixer<3>, [usize; 3], u32);
    impl Kernel for Bit<'_> {
        type Output = i32;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> i32 {
            let t = self.0.mix::<0, S>(s, self.1);
            self.0.update::<0, S>(s, self.2, 300);
            t
        }
    }

    #[test]
    fn errors_that_are_not_learned_have_no_steps() {
        let step = |input: i32, error: i32| (input * error + (1 << (STEP_SHIFT - 1))) >> STEP_SHIFT;
        for input in -LIMIT..=LIMIT {
            assert!((1 - LEAST_ERROR..LEAST_ERROR).all(|error| step(input, error) == 0), "{input}");
        }
        assert_eq!(step(LIMIT, LEAST_ERROR), 1, "larger errors have steps");
    }

    #[test]
    fn vectors_equal_the_naive_mixer() {
        for (level, inputs) in Level::available().into_iter().flat_map(|level| [5, 16, 30, 48].map(|n| (level, n))) {
            let mut random = Random::new(3, "mixer");
            let mut below = |n: i32| (random.next_u64() >> 33) as i32 % n;
            let rows = [4, 2, 7];
            let mut naive: Vec<Vec<Vec<i32>>> = rows
                .iter()
                .map(|rows| (0..*rows).map(|_| (0..inputs).map(|_| below(60_000) - 20_000).collect()).collect())
                .collect();
            let initial = Mixer::initial(rows, inputs, |set, row, out| {
                out.zip(&naive[set][row]).for_each(|(to, weight)| *to = *weight);
            });
            let mut mixer = Mixer::new(rows, &initial.unwrap()).unwrap();
            for _ in 0..300 {
                let selected = rows.map(|rows| below(rows as i32) as usize);
                let x: Vec<i32> = (0..inputs).map(|_| below(2 * 2307) - 2307).collect();
                mixer.inputs().0[..inputs].copy_from_slice(&x);
                let mut sum = 0i32;
                for (i, x) in x.iter().enumerate() {
                    let weight: i32 = (0..3).map(|set| naive[set][selected[set]][i]).sum();
                    sum = sum.wrapping_add((weight >> 5).wrapping_mul(*x));
                }
                let (t, bit) = ((sum >> 11).clamp(-LIMIT, LIMIT), below(2) as u32);
                let error = ((65_535 * bit as i32 - Logistic::get().squash(t)) * 300) >> 8;
                for (set, row) in selected.into_iter().enumerate() {
                    naive[set][row].iter_mut().zip(&x).for_each(|(w, x)| *w += (x * error + (1 << 17)) >> 18);
                }
                assert_eq!(level.run(Bit(&mut mixer, selected, bit)), t, "{level:?}, {inputs} inputs");
            }
            for (set, rows) in naive.iter().enumerate() {
                assert!(rows.iter().enumerate().all(|(i, row)| mixer.row(set, i).take(inputs).eq(row)));
            }
        }
    }
}
