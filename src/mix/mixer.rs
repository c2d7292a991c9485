//! Logistic mixing (Mahoney 2005): stretched probabilities are weighted, summed and squashed; each weight moves by its
//! input times the error. Several sets of weights, each chosen by a small context of its own, and a few smaller mixers over
//! what they answer, which are averaged. Fixed point throughout: sums are exact, so that no order of adding can be seen in them.

use super::logistic::{LIMIT, Logistic, ONE};
use super::start::Fitted;
use super::undo::Undo;
use crate::error::Result;
use crate::numeric::buffer::filled;
use crate::numeric::simd::Simd;

/// How many sets of weights.
pub(crate) const SETS: usize = 7;
/// How many mixers of what the sets answer: their answers are averaged.
pub(crate) const LAST: usize = 3;
/// Of 65536: 1 / [`LAST`], and no more, so that a third of three is within their limits.
const THIRD: i32 = 21_845;
/// Inputs come in whole lines.
const LINE: usize = 16;
/// The most inputs. Sums of products and the first layer's weights wrap where they grow out of bounds, on every CPU in the
/// same way: that costs bits and nothing else. Stretched values are below 2^11.5, weights are cut to 11 bits behind the
/// point, so that all products together may come to weights of 356.
pub(crate) const MAX_INPUTS: usize = MOST_LINES * LINE;
const MOST_LINES: usize = 4;

pub(crate) const WEIGHT_ONE: i32 = 1 << 16;
/// Of the second layer's weights.
const WEIGHT_LIMIT: i32 = 6 * WEIGHT_ONE;
/// Weights lose these bits when they multiply.
const CUT: u32 = 5;
/// Of the last mixers' steps.
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
    /// Lines in use.
    width: usize,
    weights: Vec<Line>,
    /// Where each set's rows begin.
    first: [usize; SETS],
    last_weights: Vec<[i32; SETS]>,
    /// Where each last mixer's weights begin.
    last_first: [usize; LAST],
    now: Now,
    /// Lines of rows before they were first trained.
    undo: Undo<Line>,
    last_undo: Undo<[i32; SETS]>,
    /// Whether each line has been noted.
    noted: Vec<bool>,
}

/// The bit at work.
#[derive(Clone, Copy, Debug)]
struct Now {
    inputs: Inputs,
    /// Where each set's row begins.
    chosen: [usize; SETS],
    /// What each set answered.
    stretched: [i32; SETS],
    /// Where each last mixer's weights are, and what it answered.
    last_chosen: [usize; LAST],
    last_answers: [i32; LAST],
}

/// All that a bit changes: to try one and go back.
#[derive(Debug)]
pub(crate) struct Saved {
    now: Now,
    rows: [[Line; MOST_LINES]; SETS],
    last: [[i32; SETS]; LAST],
}

/// The sum of products of each set, cut to 1/256. `W` is a row's lines: loops that are unrolled.
#[inline(always)]
fn answers<const W: usize, S: Simd>(s: S, weights: &[Line], chosen: [usize; SETS], inputs: &Inputs) -> [i32; SETS] {
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

/// Where each part of so many rows starts, one after the other, and where the last one ends.
fn starts<const N: usize>(rows: [usize; N]) -> ([usize; N], usize) {
    let mut end = 0;
    let starts = rows.map(|n| {
        end += n;
        end - n
    });
    (starts, end)
}

impl Mixer {
    /// Sets, and last mixers, with so many contexts each.
    pub(crate) fn new(contexts: [usize; SETS], last: [usize; LAST], start: &Fitted) -> Result<Self> {
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
            undo: Undo::default(),
            last_undo: Undo::default(),
            noted: filled(total, false, "mixer weights")?,
            width,
            weights,
            first,
            last_first,
            last_weights,
            now: Now {
                inputs: Inputs([0; MAX_INPUTS]),
                chosen: first,
                stretched: [0; SETS],
                last_chosen: last_first,
                last_answers: [ONE / 2; LAST],
            },
        })
    }

    /// How many rows of weights a set has.
    pub(crate) fn rows(&self, set: usize) -> usize {
        let end = self.first.get(set + 1).copied().unwrap_or(self.weights.len());
        (end - self.first[set]) / self.width
    }

    /// A row of a set; what is filled up at its end included.
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

    /// A log of changes begins.
    pub(crate) fn begin(&mut self) {
        self.undo.begin();
        self.last_undo.begin();
        self.noted.fill(false);
    }

    pub(crate) fn stop(&mut self) {
        self.undo.stop();
        self.last_undo.stop();
    }

    pub(crate) fn pause(&mut self, paused: bool) {
        self.undo.pause(paused);
        self.last_undo.pause(paused);
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.undo.is_whole() && self.last_undo.is_whole()
    }

    /// Back to where the log began.
    pub(crate) fn roll_back(&mut self) {
        self.undo.go_back(|at, line| self.weights[at] = line);
        self.last_undo.go_back(|at, weights| self.last_weights[at] = weights);
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
            now: self.now,
            rows: self.now.chosen.map(row),
            last: self.now.last_chosen.map(|at| self.last_weights[at]),
        }
    }

    pub(crate) fn go_back(&mut self, saved: &Saved) {
        self.now = saved.now;
        for (at, row) in self.now.chosen.into_iter().zip(&saved.rows) {
            self.weights[at..at + self.width].copy_from_slice(&row[..self.width]);
        }
        for (at, last) in self.now.last_chosen.into_iter().zip(saved.last) {
            self.last_weights[at] = last;
        }
    }

    /// Where the next bit's inputs go, before [`Mixer::mix`].
    #[inline(always)]
    pub(crate) fn inputs(&mut self) -> &mut Inputs {
        &mut self.now.inputs
    }

    /// The stretched probability of 1, from the inputs, under these contexts.
    #[inline(always)]
    pub(crate) fn mix<S: Simd>(&mut self, s: S, contexts: [usize; SETS], last: [usize; LAST]) -> i32 {
        let (now, weights) = (&mut self.now, &self.weights);
        for ((chosen, first), context) in now.chosen.iter_mut().zip(self.first).zip(contexts) {
            *chosen = first + context * self.width;
        }
        now.stretched = match self.width {
            1 => answers::<1, S>(s, weights, now.chosen, &now.inputs),
            2 => answers::<2, S>(s, weights, now.chosen, &now.inputs),
            3 => answers::<3, S>(s, weights, now.chosen, &now.inputs),
            _ => answers::<MOST_LINES, S>(s, weights, now.chosen, &now.inputs),
        };
        let mut sum = 0;
        let lasts = now.last_chosen.iter_mut().zip(&mut now.last_answers);
        for ((chosen, answer), (first, context)) in lasts.zip(self.last_first.iter().zip(last)) {
            *chosen = first + context;
            let products = self.last_weights[*chosen].iter().zip(now.stretched).map(|(w, t)| (w >> CUT) * t);
            let t = (products.sum::<i32>() >> (16 - CUT)).clamp(-LIMIT, LIMIT);
            *answer = Logistic::get().squash(t);
            sum += t;
        }
        // A third: with a shift, so that there is no question how negative numbers are rounded.
        (sum * THIRD) >> 16
    }

    /// Learns from the bit that came; `rate` is of the first layer's steps.
    #[inline(always)]
    pub(crate) fn update<S: Simd>(&mut self, s: S, bit: u32, rate: i32) {
        if self.undo.is_noting() {
            self.note();
        }
        let (logistic, now, weights) = (Logistic::get(), &self.now, &mut self.weights);
        let target = if bit != 0 { ONE - 1 } else { 0 };
        let errors = now.stretched.map(|t| ((target - logistic.squash(t)) * rate) >> 12);
        match self.width {
            1 => train::<1, S>(s, weights, now.chosen, &now.inputs, errors),
            2 => train::<2, S>(s, weights, now.chosen, &now.inputs, errors),
            3 => train::<3, S>(s, weights, now.chosen, &now.inputs, errors),
            _ => train::<MOST_LINES, S>(s, weights, now.chosen, &now.inputs, errors),
        }
        for (at, answer) in now.last_chosen.into_iter().zip(now.last_answers) {
            let error = ((target - answer) * LAST_RATE) >> 12;
            for (w, t) in self.last_weights[at].iter_mut().zip(now.stretched) {
                *w = (*w + ((t * error + (1 << 13)) >> 14)).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT);
            }
        }
    }

    /// Notes the rows at work, where that was not done since the log began.
    fn note(&mut self) {
        for first in self.now.chosen {
            for at in first..first + self.width {
                if !std::mem::replace(&mut self.noted[at], true) {
                    self.undo.note(at, self.weights[at]);
                }
            }
        }
        for at in self.now.last_chosen {
            self.last_undo.note(at, self.last_weights[at]);
        }
    }
}
