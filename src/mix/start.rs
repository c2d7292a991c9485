//! Initial values of a mix's probabilities and weights: averages of what mixes learned on many other texts (Reptile: Nichol,
//! Achiam and Schulman 2018). The texts themselves are not stored.
//!
//! `tools/pretrain/mix_start.rs` makes the files; their bytes are part of the numeric contract (docs/NUMERICS.md).

use super::history::Histories;
use super::maps::Adaptive;
use super::matches::{self, Match};
use super::mixer::{LAST, SETS, WEIGHT_ONE};
use super::{CONTEXTS, DIRECT, FEATURES, HALF, LAST_ROWS, MATCHES, Mix, Options, ROWS, probability};
use crate::error::Result;
use crate::numeric::buffer::filled;

/// For mixes without a pretrained network, and with one.
const FILES: [&[u8]; 2] = [include_bytes!("../../models/mix-alone.bin"), include_bytes!("../../models/mix-beside.bin")];

/// Of a mix with all contexts of orders up to 6: each context's probability, stretched, then how far each is from one half;
/// two inputs of each direct table and match; the same of each view of networks that know something; 1.
const OWN: usize = 2 * CONTEXTS + 2 * DIRECT + 2 * MATCHES.len();
/// With two views.
pub(super) const COLUMNS: usize = OWN + 2 * VIEWS + 1;
const VIEWS: usize = 2;
/// Adaptive probabilities: of histories, by context, and of matches.
const PROBABILITIES: usize = CONTEXTS * 256 + MATCHES.len() * matches::KINDS;
/// Step of a row's difference from its set's base row.
const STEP: i32 = 1 << 9;
/// Step of a set's base row.
const BASE_STEP: i32 = 1 << 2;
const _: () = assert!(STEP * 128 == WEIGHT_ONE && BASE_STEP << 15 == 2 * WEIGHT_ONE);

/// Untrained weight, in 1/65536: inputs are too strongly correlated for more.
const FIRST_WEIGHT: i32 = WEIGHT_ONE / 17;
/// Untrained weights with a pretrained network: of other inputs, and of the network's.
const FIRST_WEIGHTS_BESIDE: [i32; 2] = [WEIGHT_ONE / 25, WEIGHT_ONE * 3 / 10];

/// Initial values. Rows of weights have [`COLUMNS`] columns.
#[derive(Clone, Debug)]
pub struct Start {
    /// Probability in 1/65536, and count.
    pub probabilities: Vec<(u16, u8)>,
    /// Of 65536, fast and slow, by the bits so far.
    pub order0: Vec<[u16; 2]>,
    /// Base row of each set, in 1/65536.
    pub base: [[i32; COLUMNS]; SETS],
    /// Difference of each row from its set's base row, in 1/128.
    pub rows: Vec<[i8; COLUMNS]>,
    /// The rows of all last mixers, one after the other, of 65536.
    pub last: Vec<[i32; SETS]>,
}

/// Learned values of a mix that has all columns, for training a [`Start`].
#[derive(Clone, Debug)]
pub struct MixStatistics {
    /// As in [`Start`], with full counts.
    pub probabilities: Vec<(u16, u16)>,
    /// As in [`Start`].
    pub order0: Vec<[u16; 2]>,
    /// The rows of each set, of 65536.
    pub rows: Vec<Vec<[i32; COLUMNS]>>,
    /// As in [`Start`].
    pub last: Vec<[i32; SETS]>,
}

impl Start {
    /// How many rows each set has.
    pub const ROWS: [usize; SETS] = ROWS;
    /// How many rows each last mixer has.
    pub const LAST_ROWS: [usize; LAST] = LAST_ROWS;

    /// A base weight rounded to the file's steps.
    pub fn base(weight: f64) -> i32 {
        (weight / f64::from(BASE_STEP)).round().clamp(-32768.0, 32767.0) as i32 * BASE_STEP
    }

    /// A difference rounded to the file's steps.
    pub fn difference(weight: f64) -> i8 {
        (weight / f64::from(STEP)).round().clamp(-127.0, 127.0) as i8
    }

    /// Untrained values.
    pub fn untrained(beside: bool) -> Self {
        let histories = Histories::get();
        let guesses = (0..CONTEXTS * 256).map(|i| (histories.guess(i as u8), 0));
        let matches = (0..MATCHES.len() * matches::KINDS).map(|i| (matches::guess(i), 0));
        let [others, views] = if beside { FIRST_WEIGHTS_BESIDE } else { [FIRST_WEIGHT; 2] };
        let mut base = [others; COLUMNS];
        // Only of the stretched input: the distance input says the same.
        base[OWN..].iter_mut().step_by(2).take(VIEWS).for_each(|weight| *weight = views);
        Self {
            probabilities: guesses.chain(matches).collect(),
            order0: vec![[1 << 15; 2]; 256],
            base: [base; SETS],
            rows: vec![[0; COLUMNS]; ROWS.iter().sum()],
            last: vec![[WEIGHT_ONE / SETS as i32; SETS]; LAST_ROWS.iter().sum()],
        }
    }

    /// The built-in values for these options.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn of(options: &Options) -> Result<Self> {
        Self::read(FILES[usize::from(options.knowing > 0)])
    }

    fn probability(&self, i: usize) -> Adaptive {
        let (p, n) = self.probabilities[i];
        Adaptive::new(p, n.into())
    }

    /// Parses a file written by [`Start::write`].
    fn read(file: &[u8]) -> Result<Self> {
        let mut rest = file;
        let mut take = |n: usize| rest.split_off(..n).expect("a whole file");
        let mut start = Self {
            probabilities: filled(PROBABILITIES, (0, 0), "what a mix starts from")?,
            order0: filled(256, [0; 2], "what a mix starts from")?,
            base: [[0; COLUMNS]; SETS],
            rows: filled(ROWS.iter().sum(), [0; COLUMNS], "what a mix starts from")?,
            last: filled(LAST_ROWS.iter().sum(), [0; SETS], "what a mix starts from")?,
        };
        for probability in &mut start.probabilities {
            let bytes = take(3);
            *probability = (u16::from_le_bytes([bytes[0], bytes[1]]), bytes[2]);
        }
        let mut short = || take(2).try_into().map(i16::from_le_bytes).expect("two bytes");
        start.order0.as_flattened_mut().iter_mut().for_each(|p| *p = short() as u16);
        let weights = start.base.as_flattened_mut().iter_mut().chain(start.last.as_flattened_mut());
        weights.for_each(|weight| *weight = i32::from(short()) * BASE_STEP);
        let which = take(start.rows.len().div_ceil(8));
        for (i, row) in start.rows.iter_mut().enumerate() {
            if which[i / 8] >> (i % 8) & 1 != 0 {
                row.iter_mut().zip(take(COLUMNS)).for_each(|(to, byte)| *to = *byte as i8);
            }
        }
        Ok(start)
    }

    /// The bytes of a file: probabilities, three bytes each; those of order 0; base rows and final mixers, in 1/16384; a bit
    /// for each row, lowest first, set where it differs from the base; those rows. Numbers of two bytes are little-endian.
    pub fn write(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for (p, n) in &self.probabilities {
            file.extend(p.to_le_bytes());
            file.push(*n);
        }
        file.extend(self.order0.as_flattened().iter().flat_map(|p| p.to_le_bytes()));
        for weight in self.base.as_flattened().iter().chain(self.last.as_flattened()) {
            let steps = i16::try_from(weight / BASE_STEP).expect("a weight below 2");
            file.extend(steps.to_le_bytes());
        }
        let differs = |row: &[i8; COLUMNS]| row.iter().any(|x| *x != 0);
        for rows in self.rows.chunks(8) {
            file.push(rows.iter().rev().fold(0, |bits, row| bits << 1 | u8::from(differs(row))));
        }
        file.extend(self.rows.iter().filter(|row| differs(row)).flatten().map(|x| *x as u8));
        file
    }
}

/// Maps the columns of a [`Start`] to the inputs of a mix.
pub(super) struct StartLayout<'a> {
    start: &'a Start,
    /// Which of [`CONTEXTS`] each context is.
    contexts: Vec<usize>,
    /// Which column each input has, where it has one.
    columns: Vec<Option<usize>>,
    /// Whether there is one view only: it takes the weights of both.
    one_view: bool,
    /// Whether the rows of [`FEATURES`] are selected as they were in training.
    as_learned: bool,
}

impl<'a> StartLayout<'a> {
    pub(super) fn new(start: &'a Start, options: &Options) -> Self {
        // Orders above 6 take the values of order 6.
        let orders = (2..=usize::from(options.highest_order)).map(|order| order.min(6) - 2);
        let words = (5..9).filter(|_| options.words);
        let sparse = (9..CONTEXTS).filter(|_| options.sparse);
        let contexts: Vec<usize> = orders.chain(words).chain(sparse).collect();
        let both = contexts.iter().copied().chain(contexts.iter().map(|context| CONTEXTS + context));
        let direct = 2 * CONTEXTS..2 * CONTEXTS + 2 * DIRECT;
        let matches = (direct.end..OWN).filter(|_| options.matches);
        let knowing = 2 * VIEWS.min(options.knowing.into());
        let views = (0..2 * usize::from(options.neural)).map(|i| (i < knowing).then_some(OWN + i));
        let columns = both.chain(direct).chain(matches).map(Some).chain(views).chain([Some(COLUMNS - 1)]).collect();
        Self {
            start,
            contexts,
            columns,
            one_view: options.knowing == 1,
            as_learned: options.neural == 0 || options.knowing > 0,
        }
    }

    /// Number of inputs.
    pub(super) fn inputs(&self) -> usize {
        self.columns.len()
    }

    /// Initial map of a context.
    pub(super) fn map(&self, context: usize) -> [Adaptive; 256] {
        let first = self.contexts[context] * 256;
        std::array::from_fn(|history| self.start.probability(first + history))
    }

    /// Initial probabilities of a match model.
    pub(super) fn confidence(&self, which: usize) -> [Adaptive; matches::KINDS] {
        let first = CONTEXTS * 256 + which * matches::KINDS;
        std::array::from_fn(|kind| self.start.probability(first + kind))
    }

    /// Writes a row's weights, from the first input on.
    pub(super) fn weights<'w>(&self, set: usize, row: usize, out: impl Iterator<Item = &'w mut i32>) {
        let row = if set == FEATURES && !self.as_learned { 0 } else { row };
        let (base, row) = (&self.start.base[set], &self.start.rows[first_row(set) + row]);
        let weight = |column: usize| base[column] + i32::from(row[column]) * STEP;
        for (column, out) in self.columns.iter().zip(out) {
            *out = match *column {
                Some(OWN) if self.one_view => weight(OWN) + weight(OWN + 2),
                Some(column) => weight(column),
                None => FIRST_WEIGHTS_BESIDE[0],
            };
        }
    }

    /// By the bits so far.
    pub(super) fn order0(&self) -> Vec<[u16; 2]> {
        self.start.order0.iter().map(|cells| cells.map(|p| p ^ HALF)).collect()
    }

    /// The rows of all last mixers, one after the other.
    pub(super) fn last(&self) -> &[[i32; SETS]] {
        &self.start.last
    }
}

/// Where the rows of a set begin.
fn first_row(set: usize) -> usize {
    ROWS[..set].iter().sum()
}

impl MixStatistics {
    /// Of a mix that has all columns of `start`, the one that it was layout to.
    pub(super) fn new(layout: &StartLayout, mix: &Mix) -> Self {
        let tables = mix.maps.iter().flatten().chain(mix.matches.iter().flatten().flat_map(Match::confidence));
        let rows = |set: usize| 0..mix.mixer.rows(set);
        let row = |set: usize, row: usize| {
            let mut weights = [0; COLUMNS];
            let inputs = layout.columns.iter().zip(mix.mixer.row(set, row));
            inputs.for_each(|(column, weight)| weights[column.expect("as it was learned")] = *weight);
            weights
        };
        Self {
            probabilities: tables.map(|p| (p.p() as u16, p.count())).collect(),
            order0: mix.direct[0].iter().map(|cells| cells.map(|cell| probability(cell) as u16)).collect(),
            rows: (0..SETS).map(|set| rows(set).map(|i| row(set, i)).collect()).collect(),
            last: mix.mixer.last_rows().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn files_hold_what_is_written_and_no_more() {
        for (file, beside) in FILES.into_iter().zip([false, true]) {
            let start = Start::read(file).unwrap();
            assert!(start.write() == file);
            let sha256: String = Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(include_str!("../../docs/NUMERICS.md").contains(&sha256), "the numeric contract names {sha256}");
            assert!(start.probabilities.iter().all(|(p, n)| *p > 0 && u32::from(*n) <= 255));
            // Views count where there are some, and nowhere else.
            assert!(start.base.iter().all(|base| (base[OWN] > WEIGHT_ONE / 4) == beside));
            let untrained = Start::untrained(beside);
            let bytes = untrained.write();
            let again = Start::read(&bytes).unwrap();
            assert!(
                again.probabilities == untrained.probabilities
                    && again.rows == untrained.rows
                    && again.order0 == untrained.order0
            );
            let near = |a: &i32, b: &i32| (a - b).abs() < BASE_STEP;
            assert!(again.base.as_flattened().iter().zip(untrained.base.as_flattened()).all(|(a, b)| near(a, b)));
        }
    }

    #[test]
    fn a_start_fits_whatever_is_mixed() {
        let (alone, beside) = (Start::read(FILES[0]).unwrap(), Start::read(FILES[1]).unwrap());
        for highest_order in 2..=8 {
            for (neural, knowing) in [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2)] {
                for flags in 0..8 {
                    let [words, matches, sparse] = [0, 1, 2].map(|bit| flags >> bit & 1 != 0);
                    let options = Options { neural, knowing, highest_order, words, matches, sparse, log: 16 };
                    let mix = Mix::new(options).unwrap();
                    let start = if knowing > 0 { &beside } else { &alone };
                    let layout = StartLayout::new(start, &options);
                    let own = 2 * mix.contexts + 2 * DIRECT + 4 * usize::from(matches);
                    assert_eq!(layout.inputs(), own + 2 * usize::from(neural) + 1, "{options:?}");
                    let row = |set, row| -> Vec<i32> {
                        let mut weights = vec![0; layout.inputs()];
                        layout.weights(set, row, weights.iter_mut());
                        weights
                    };
                    let column = |set: usize, row: usize, column: usize| {
                        start.base[set][column] + i32::from(start.rows[first_row(set) + row][column]) * STEP
                    };
                    for (set, i) in [(0, 1), (2, 101), (6, 300)] {
                        let (found, of) = (row(set, i), |c| column(set, i, c));
                        assert_eq!(found[0], of(0), "order 2 is the first of all");
                        assert_eq!(found[mix.contexts], of(CONTEXTS));
                        assert_eq!(found[mix.contexts - 1], of(layout.contexts[mix.contexts - 1]));
                        assert_eq!(found[2 * mix.contexts], of(2 * CONTEXTS), "order 0");
                        assert_eq!(found.last(), Some(&of(COLUMNS - 1)));
                        let views = &found[own..];
                        match (knowing, neural) {
                            (0, 0) => {}
                            (0, _) => assert_eq!(views[..2], FIRST_WEIGHTS_BESIDE[..1].repeat(2)),
                            (1, _) => assert_eq!(views[..2], [of(OWN) + of(OWN + 2), of(OWN + 1)]),
                            _ => assert_eq!(views[..4], [0, 1, 2, 3].map(|i| of(OWN + i))),
                        }
                    }
                    let of_features = if neural > 0 && knowing == 0 { 0 } else { 7 };
                    assert_eq!(row(FEATURES, 7)[0], column(FEATURES, of_features, 0));
                }
            }
        }
    }

    #[test]
    fn what_was_learned_is_where_the_next_one_starts() {
        let options =
            Options { neural: 2, knowing: 2, highest_order: 6, words: true, matches: true, sparse: true, log: 16 };
        let start = Start::untrained(true);
        let learned = Mix::starting(options, &start).unwrap().statistics(&start);
        assert!(
            learned.probabilities.iter().zip(&start.probabilities).all(|(a, b)| a.0 == b.0 && a.1 == u16::from(b.1))
        );
        assert_eq!((&learned.order0, &learned.last), (&start.order0, &start.last));
        for (set, rows) in learned.rows.iter().enumerate() {
            assert!(rows.iter().all(|row| *row == start.base[set]));
        }
        let of_file = Start::of(&options).unwrap();
        let learned = Mix::new(options).unwrap().statistics(&of_file);
        let differs = of_file.rows[first_row(2) + 32].iter().position(|x| *x != 0).expect("a space is known");
        let weight = of_file.base[2][differs] + i32::from(of_file.rows[first_row(2) + 32][differs]) * STEP;
        assert_eq!(learned.rows[2][32][differs], weight);
    }
}
