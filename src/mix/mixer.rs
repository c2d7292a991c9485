//! Logistic mixing (Mahoney 2005): stretched probabilities are weighted, summed and squashed; each weight moves by its
//! input times the error. The first layer has several weight sets, each selected by a small context; the final layer has a few
//! mixers over the sets' outputs, which are averaged. All arithmetic is in fixed point and exact, so the order of summation
//! does not matter.

use super::journal::Journal;
use super::logistic::{LIMIT, Logistic, ONE};
use super::start::StartLayout;
use crate::error::Result;
use crate::numeric::buffer::filled;
use crate::numeric::simd::Simd;

/// Number of weight sets.
pub(crate) const SETS: usize = 7;
/// Number of final mixers over the sets' outputs; their outputs are averaged.
pub(crate) const LAST: usize = 3;
/// 1 / [`LAST`] in 1/65536, rounded down so that the average stays within the limits.
const THIRD: i32 = 21_845;
/// Inputs per cache line; the count is padded to whole lines.
const LINE: usize = 16;
/// The most inputs. Sums of products and the first layer's weights wrap where they grow out of bounds, on every CPU in the
/// same way: that costs bits and nothing else. Stretched values are below 2^11.5, weights are cut to 11 bits behind the
/// point, so that all products together may come to weights of 356.
pub(crate) const MAX_INPUTS: usize = MOST_LINES * LINE;
const MOST_LINES: usize = 4;

pub(crate) const WEIGHT_ONE: i32 = 1 << 16;
/// Of the second layer's weights.
const WEIGHT_LIMIT: i32 = 6 * WEIGHT_ONE;
/// Right shift of a weight before multiplication.
const CUT: u32 = 5;
/// Learning rate of the final mixers.
const LAST_RATE: i32 = 500;

/// Sixteen inputs, or their weights.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([i32; LINE]);

/// The inputs of a bit.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Inputs(pub(crate) [i32; MAX_INPUTS]);

/// Both layers.
#[derive(Debug)]
pub(crate) struct Mixer {
    /// Lines per row.
    width: usize,
    weights: Vec<Line>,
    /// Where each set's rows begin.
    first: [usize; SETS],
    last_weights: Vec<[i32; SETS]>,
    /// Where each last mixer's weights begin.
    last_first: [usize; LAST],
    bit_state: BitState,
    /// Lines of rows as they were before their first update since the checkpoint.
    journal: Journal<Line>,
    final_journal: Journal<[i32; SETS]>,
    /// Whether each line is in the journal.
    noted: Vec<bool>,
}

/// State of the current bit.
#[derive(Clone, Copy, Debug)]
struct BitState {
    inputs: Inputs,
    /// Where each set's row begins.
    chosen: [usize; SETS],
    /// Each set's output.
    stretched: [i32; SETS],
    /// Each final mixer's selected row, and its output.
    last_chosen: [usize; LAST],
    final_outputs: [i32; LAST],
}

/// Everything one bit changes.
#[derive(Debug)]
pub(crate) struct Saved {
    bit_state: BitState,
    rows: [[Line; MOST_LINES]; SETS],
    last: [[i32; SETS]; LAST],
}

/// The dot product of each set, in 1/256. `W`, the lines of a row, is a constant so that the loops unroll.
#[inline(always)]
fn dot_products<const W: usize, S: Simd>(
    s: S,
    weights: &[Line],
    chosen: [usize; SETS],
    inputs: &Inputs,
) -> [i32; SETS] {
    let (lines, _) = inputs.0.as_chunks::<LINE>();
    chosen.map(|at| {
        let row: &[Line; W] = weights[at..at + W].try_into().expect("a whole row");
        let mut sums = s.splat_i(0);
        for (w, x) in row.iter().zip(lines) {
            sums = sums + s.mul_i(s.shr::<CUT>(s.load_i(&w.0)), s.load_i(x));
        }
        (s.sum_i(sums) >> (16 - CUT)).clamp(-LIMIT, LIMIT)
    })
}

/// Each weight moves by its input times its set's error, of 2^14.
#[inline(always)]
fn train<const W: usize, S: Simd>(
    s: S,
    weights: &mut [Line],
    chosen: [usize; SETS],
    inputs: &Inputs,
    errors: [i32; SETS],
) {
    let (lines, _) = inputs.0.as_chunks::<LINE>();
    for (at, error) in chosen.into_iter().zip(errors) {
        let row: &mut [Line; W] = (&mut weights[at..at + W]).try_into().expect("a whole row");
        let error = s.splat_i(error);
        for (w, x) in row.iter_mut().zip(lines) {
            let step = s.shr::<14>(s.mul_i(s.load_i(x), error) + s.splat_i(1 << 13));
            s.store_i(s.load_i(&w.0) + step, &mut w.0);
        }
    }
}

/// The start of each of the given row ranges laid end to end, and the end of the last.
fn starts<const N: usize>(rows: [usize; N]) -> ([usize; N], usize) {
    let mut end = 0;
    let starts = rows.map(|n| {
        end += n;
        end - n
    });
    (starts, end)
}

impl Mixer {
    /// A mixer whose sets and final mixers have the given numbers of rows.
    pub(crate) fn new(contexts: [usize; SETS], last: [usize; LAST], start: &StartLayout) -> Result<Self> {
        assert!(start.inputs() <= MAX_INPUTS);
        let width = start.inputs().div_ceil(LINE);
        let (first, total) = starts(contexts.map(|n| n * width));
        let (last_first, last_total) = starts(last);
        let mut weights = filled(total, Line([0; LINE]), "mixer weights")?;
        for (set, (first, rows)) in first.into_iter().zip(contexts).enumerate() {
            for (row, lines) in weights[first..first + rows * width].chunks_exact_mut(width).enumerate() {
                start.weights(set, row, lines.iter_mut().flat_map(|line| &mut line.0));
            }
        }
        let mut last_weights = filled(last_total, [0; SETS], "mixer weights")?;
        last_weights.copy_from_slice(start.last());
        Ok(Self {
            journal: Journal::default(),
            final_journal: Journal::default(),
            noted: filled(total, false, "mixer weights")?,
            width,
            weights,
            first,
            last_first,
            last_weights,
            bit_state: BitState {
                inputs: Inputs([0; MAX_INPUTS]),
                chosen: first,
                stretched: [0; SETS],
                last_chosen: last_first,
                final_outputs: [ONE / 2; LAST],
            },
        })
    }

    /// How many rows of weights a set has.
    pub(crate) fn rows(&self, set: usize) -> usize {
        let end = self.first.get(set + 1).copied().unwrap_or(self.weights.len());
        (end - self.first[set]) / self.width
    }

    /// A row of a set, with its padding.
    pub(crate) fn row(&self, set: usize, row: usize) -> impl Iterator<Item = &i32> {
        let at = self.first[set] + row * self.width;
        self.weights[at..at + self.width].iter().flat_map(|line| &line.0)
    }

    /// The rows of all last mixers.
    pub(crate) fn last_rows(&self) -> &[[i32; SETS]] {
        &self.last_weights
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.weights.copy_from_slice(&other.weights);
        self.last_weights.copy_from_slice(&other.last_weights);
    }

    /// Sets a checkpoint.
    pub(crate) fn checkpoint(&mut self) {
        self.journal.start();
        self.final_journal.start();
        self.noted.fill(false);
    }

    pub(crate) fn discard_checkpoint(&mut self) {
        self.journal.discard();
        self.final_journal.discard();
    }

    pub(crate) fn pause(&mut self, paused: bool) {
        self.journal.pause(paused);
        self.final_journal.pause(paused);
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.journal.is_complete() && self.final_journal.is_complete()
    }

    /// Returns to the checkpoint.
    pub(crate) fn roll_back(&mut self) {
        self.journal.undo_all(|at, line| self.weights[at] = line);
        self.final_journal.undo_all(|at, weights| self.last_weights[at] = weights);
        self.noted.fill(false);
    }

    pub(crate) fn visit(&self, add: &mut dyn FnMut(&[u8])) {
        let weights = self.weights.iter().flat_map(|line| &line.0);
        weights.chain(self.last_weights.iter().flatten()).for_each(|w| add(&w.to_le_bytes()));
    }

    /// Before [`Mixer::update`].
    pub(crate) fn save(&self) -> Saved {
        let row = |at: usize| std::array::from_fn(|i| self.weights.get(at + i).copied().unwrap_or(Line([0; LINE])));
        Saved {
            bit_state: self.bit_state,
            rows: self.bit_state.chosen.map(row),
            last: self.bit_state.last_chosen.map(|at| self.last_weights[at]),
        }
    }

    pub(crate) fn restore(&mut self, saved: &Saved) {
        self.bit_state = saved.bit_state;
        for (at, row) in self.bit_state.chosen.into_iter().zip(&saved.rows) {
            self.weights[at..at + self.width].copy_from_slice(&row[..self.width]);
        }
        for (at, last) in self.bit_state.last_chosen.into_iter().zip(saved.last) {
            self.last_weights[at] = last;
        }
    }

    /// The next bit's inputs, to be filled in before [`Mixer::mix`].
    #[inline(always)]
    pub(crate) fn inputs(&mut self) -> &mut Inputs {
        &mut self.bit_state.inputs
    }

    /// The stretched probability of 1 with the rows selected by these contexts.
    #[inline(always)]
    pub(crate) fn mix<S: Simd>(&mut self, s: S, contexts: [usize; SETS], last: [usize; LAST]) -> i32 {
        let (bit_state, weights) = (&mut self.bit_state, &self.weights);
        for ((chosen, first), context) in bit_state.chosen.iter_mut().zip(self.first).zip(contexts) {
            *chosen = first + context * self.width;
        }
        bit_state.stretched = match self.width {
            1 => dot_products::<1, S>(s, weights, bit_state.chosen, &bit_state.inputs),
            2 => dot_products::<2, S>(s, weights, bit_state.chosen, &bit_state.inputs),
            3 => dot_products::<3, S>(s, weights, bit_state.chosen, &bit_state.inputs),
            _ => dot_products::<MOST_LINES, S>(s, weights, bit_state.chosen, &bit_state.inputs),
        };
        let mut sum = 0;
        let lasts = bit_state.last_chosen.iter_mut().zip(&mut bit_state.final_outputs);
        for ((chosen, output), (first, context)) in lasts.zip(self.last_first.iter().zip(last)) {
            *chosen = first + context;
            let products = self.last_weights[*chosen].iter().zip(bit_state.stretched).map(|(w, t)| (w >> CUT) * t);
            let t = (products.sum::<i32>() >> (16 - CUT)).clamp(-LIMIT, LIMIT);
            *output = Logistic::get().squash(t);
            sum += t;
        }
        // By a shift, which defines how negative numbers round.
        (sum * THIRD) >> 16
    }

    /// Adapts the selected rows to the coded bit; `rate`: learning rate of the first layer.
    #[inline(always)]
    pub(crate) fn update<S: Simd>(&mut self, s: S, bit: u32, rate: i32) {
        if self.journal.is_recording() {
            self.note();
        }
        let (logistic, bit_state, weights) = (Logistic::get(), &self.bit_state, &mut self.weights);
        let target = if bit != 0 { ONE - 1 } else { 0 };
        let errors = bit_state.stretched.map(|t| ((target - logistic.squash(t)) * rate) >> 12);
        match self.width {
            1 => train::<1, S>(s, weights, bit_state.chosen, &bit_state.inputs, errors),
            2 => train::<2, S>(s, weights, bit_state.chosen, &bit_state.inputs, errors),
            3 => train::<3, S>(s, weights, bit_state.chosen, &bit_state.inputs, errors),
            _ => train::<MOST_LINES, S>(s, weights, bit_state.chosen, &bit_state.inputs, errors),
        }
        for (at, output) in bit_state.last_chosen.into_iter().zip(bit_state.final_outputs) {
            let error = ((target - output) * LAST_RATE) >> 12;
            for (w, t) in self.last_weights[at].iter_mut().zip(bit_state.stretched) {
                *w = (*w + ((t * error + (1 << 13)) >> 14)).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT);
            }
        }
    }

    /// Records the selected rows that are not in the journal yet.
    fn note(&mut self) {
        for first in self.bit_state.chosen {
            for at in first..first + self.width {
                if !std::mem::replace(&mut self.noted[at], true) {
                    self.journal.record(at, self.weights[at]);
                }
            }
        }
        for at in self.bit_state.last_chosen {
            self.final_journal.record(at, self.last_weights[at]);
        }
    }
}
