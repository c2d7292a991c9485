//! Initial values of the probabilities and weights of a mix: means of the values that mixes learned from many other
//! texts (Reptile: Nichol, Achiam and Schulman 2018). The texts themselves are not stored.
//!
//! `tools/pretrain/mix_start.rs` makes the files. Their bytes are part of the arithmetic (docs/NUMERICS.md, "Mix").

use super::history::Histories;
use super::maps::Adaptive;
use super::matches::{self, Match};
use super::mixer::WEIGHT_ONE;
use super::{CONTEXTS, DIRECT, FEATURES, HALF, MATCHES, Mix, Options, ROWS, SETS, probability};
use crate::error::Result;
use crate::numeric::buffer::filled;

/// The kind of mix for which a start was trained. Each kind has a file, with the contexts and columns of such mixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartKind {
    /// All contexts, no pretrained network.
    Alone,
    /// All contexts and a pretrained network with a second head.
    Beside,
    /// `fast=1`.
    Nine,
    /// `fast=2`.
    Six,
}

impl StartKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Alone, Self::Beside, Self::Nine, Self::Six];

    /// The kind for a mix with these options.
    fn of(options: &Options) -> Self {
        match (options.knowing, options.fast) {
            (1.., _) => Self::Beside,
            (0, 0) => Self::Alone,
            (0, 1) => Self::Nine,
            (0, _) => Self::Six,
        }
    }

    fn file(self) -> &'static [u8] {
        match self {
            Self::Alone => include_bytes!("../../models/mix-alone.bin"),
            Self::Beside => include_bytes!("../../models/mix-beside.bin"),
            Self::Nine => include_bytes!("../../models/mix-nine.bin"),
            Self::Six => include_bytes!("../../models/mix-six.bin"),
        }
    }

    /// Options that have the contexts and columns of the file.
    fn options(self) -> Options {
        let views = if self == Self::Beside { VIEWS as u8 } else { 0 };
        let fast = match self {
            Self::Alone | Self::Beside => 0,
            Self::Nine => 1,
            Self::Six => 2,
        };
        Options {
            neural: views,
            knowing: views,
            highest_order: 6,
            words: true,
            matches: true,
            sparse: true,
            fast,
            log: 24,
        }
    }
}

/// Number of columns of contexts, direct tables and matches, in a mix with all contexts of orders up to 6. They precede
/// the columns of network predictions.
const OWN: usize = CONTEXTS + 2 * DIRECT + MATCHES.len();
/// Number of all columns. The last one is that of the bias.
pub(super) const COLUMNS: usize = OWN + VIEWS + 1;
/// Number of columns of network predictions: those of the frozen head and of the second head of a pretrained network.
const VIEWS: usize = 2;
/// Number of adaptive probabilities: those of histories, by context, then those of the matches.
const PROBABILITIES: usize = CONTEXTS * 256 + MATCHES.len() * matches::KINDS;
/// The unit of the difference of a row from the base row of its set.
const STEP: i32 = 1 << 8;
/// The unit of a base row.
const BASE_STEP: i32 = 1 << 2;

/// The untrained weight of an input, over all sets, in 1/65536. It is small because the inputs are strongly correlated.
const FIRST_WEIGHT: i32 = WEIGHT_ONE / 17;
/// Untrained weights beside a pretrained network: of other inputs, and of the predictions of the network.
const FIRST_WEIGHTS_BESIDE: [i32; 2] = [WEIGHT_ONE / 25, WEIGHT_ONE * 3 / 10];

/// Initial values. Rows of weights have `COLUMNS` columns.
#[derive(Clone, Debug)]
pub struct Start {
    /// The kind of mix for which it is trained.
    pub kind: StartKind,
    /// Adaptive probabilities: the probability in 1/65536, and the count.
    pub probabilities: Vec<(u16, u8)>,
    /// The fast and the slow probability of order 0, in 1/65536, by the bits so far.
    pub order0: Vec<[u16; 2]>,
    /// The base row of each set, in 1/65536.
    pub base: [[i32; COLUMNS]; SETS],
    /// The difference of each row from the base row of its set, in 1/256.
    pub rows: Vec<[i8; COLUMNS]>,
}

/// Values that a mix has learned, for training a [`Start`].
#[derive(Clone, Debug)]
pub struct MixStatistics {
    /// Adaptive probabilities: the probability in 1/65536, and the count.
    pub probabilities: Vec<(u16, u16)>,
    /// The fast and the slow probability of order 0, in 1/65536, by the bits so far.
    pub order0: Vec<[u16; 2]>,
    /// The rows of each set, in 1/65536.
    pub rows: Vec<Vec<[i32; COLUMNS]>>,
}

impl Start {
    /// The number of rows of each set.
    pub const ROWS: [usize; SETS] = ROWS;

    /// A base weight in 1/65536, rounded to the unit of the file.
    pub fn base(weight: f64) -> i32 {
        (weight / f64::from(BASE_STEP)).round().clamp(-32768.0, 32767.0) as i32 * BASE_STEP
    }

    /// A difference in 1/65536, in the unit of the file.
    pub fn difference(weight: f64) -> i8 {
        (weight / f64::from(STEP)).round().clamp(-127.0, 127.0) as i8
    }

    /// Untrained values.
    pub fn untrained(kind: StartKind) -> Self {
        let beside = kind == StartKind::Beside;
        let histories = Histories::get();
        let guesses = (0..CONTEXTS * 256).map(|i| (histories.guess(i as u8), 0));
        let matches = (0..MATCHES.len() * matches::KINDS).map(|i| (matches::guess(i), 0));
        let [others, views] = if beside { FIRST_WEIGHTS_BESIDE } else { [FIRST_WEIGHT; 2] };
        let mut base = [others / SETS as i32; COLUMNS];
        base[OWN..OWN + VIEWS].fill(views / SETS as i32);
        Self {
            kind,
            probabilities: guesses.chain(matches).collect(),
            order0: vec![[1 << 15; 2]; 256],
            base: [base; SETS],
            rows: vec![[0; COLUMNS]; ROWS.iter().sum()],
        }
    }

    /// The built-in values for these options.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn of(options: &Options) -> Result<Self> {
        let kind = StartKind::of(options);
        Self::read(kind, kind.file())
    }

    /// Adaptive probability number `i`.
    fn probability(&self, i: usize) -> Adaptive {
        let (p, n) = self.probabilities[i];
        Adaptive::new(p, n.into())
    }

    /// The numbers of the adaptive probabilities that the file of a kind contains, in order.
    fn probabilities_of(layout: &StartLayout) -> impl Iterator<Item = usize> {
        let of_contexts = layout.contexts.iter().flat_map(|context| context * 256..(context + 1) * 256);
        of_contexts.chain(CONTEXTS * 256..PROBABILITIES)
    }

    /// Parses a file written by [`Start::write`].
    fn read(kind: StartKind, file: &[u8]) -> Result<Self> {
        let mut rest = file;
        let mut take = |n: usize| rest.split_off(..n).expect("a whole file");
        let mut start = Self {
            kind,
            probabilities: filled(PROBABILITIES, (1 << 15, 0), "initial values of a mix")?,
            order0: filled(256, [0; 2], "initial values of a mix")?,
            base: [[0; COLUMNS]; SETS],
            rows: filled(ROWS.iter().sum(), [0; COLUMNS], "initial values of a mix")?,
        };
        let layout = StartLayout::new(&start, &kind.options());
        let probabilities: Vec<usize> = Self::probabilities_of(&layout).collect();
        let columns: Vec<usize> = layout.columns.iter().copied().flatten().collect();
        for i in probabilities {
            let bytes = take(3);
            start.probabilities[i] = (u16::from_le_bytes([bytes[0], bytes[1]]), bytes[2]);
        }
        let mut short = || take(2).try_into().map(i16::from_le_bytes).expect("two bytes");
        start.order0.as_flattened_mut().iter_mut().for_each(|p| *p = short() as u16);
        for base in &mut start.base {
            columns.iter().for_each(|column| base[*column] = i32::from(short()) * BASE_STEP);
        }
        let which = take(start.rows.len().div_ceil(8));
        for (i, row) in start.rows.iter_mut().enumerate() {
            if which[i / 8] >> (i % 8) & 1 != 0 {
                columns.iter().zip(take(columns.len())).for_each(|(column, byte)| row[*column] = *byte as i8);
            }
        }
        Ok(start)
    }

    /// The bytes of a file: adaptive probabilities, three bytes each; order 0; base rows, in 1/16384; a bit for each
    /// row, lowest bit first, which is 1 if the row differs from the base row; these rows, in 1/256. Numbers of two
    /// bytes are little-endian.
    pub fn write(&self) -> Vec<u8> {
        let layout = StartLayout::new(self, &self.kind.options());
        let columns: Vec<usize> = layout.columns.iter().copied().flatten().collect();
        let mut file = Vec::new();
        for i in Self::probabilities_of(&layout) {
            let (p, n) = self.probabilities[i];
            file.extend(p.to_le_bytes());
            file.push(n);
        }
        file.extend(self.order0.as_flattened().iter().flat_map(|p| p.to_le_bytes()));
        for base in &self.base {
            for column in &columns {
                let steps = i16::try_from(base[*column] / BASE_STEP).expect("a weight below 2");
                file.extend(steps.to_le_bytes());
            }
        }
        let differs = |row: &[i8; COLUMNS]| row.iter().any(|x| *x != 0);
        for rows in self.rows.chunks(8) {
            file.push(rows.iter().rev().fold(0, |bits, row| bits << 1 | u8::from(differs(row))));
        }
        let rows = self.rows.iter().filter(|row| differs(row));
        file.extend(rows.flat_map(|row| columns.iter().map(|column| row[*column] as u8)));
        file
    }
}

/// Maps the columns of a [`Start`] to the inputs of a mix.
pub(super) struct StartLayout<'a> {
    start: &'a Start,
    /// For each context of the mix, its number among the [`CONTEXTS`] of a start.
    contexts: Vec<usize>,
    /// For each input, its column. `None` for predictions of networks that are not pretrained.
    columns: Vec<Option<usize>>,
    /// Whether the pretrained network has one view only, which gets the sum of the weights of both columns.
    one_view: bool,
    /// Whether the rows of [`FEATURES`] are selected by the same values as in training.
    as_learned: bool,
}

impl<'a> StartLayout<'a> {
    pub(super) fn new(start: &'a Start, options: &Options) -> Self {
        let mask = options.kinds().mask();
        // Orders 7 and 8 get the values of order 6.
        let column = |number: usize| if number < 7 { number.min(4) } else { number - 2 };
        let contexts: Vec<usize> = (0..CONTEXTS + 2).filter(|number| mask >> number & 1 != 0).map(column).collect();
        let direct = CONTEXTS..CONTEXTS + 2 * DIRECT;
        let matches = (direct.end..OWN).filter(|_| options.matches);
        let knowing = VIEWS.min(options.knowing.into());
        let views = (0..usize::from(options.neural)).map(|i| (i < knowing).then_some(OWN + i));
        let own = contexts.iter().copied().chain(direct).chain(matches).map(Some);
        let columns = own.chain(views).chain([Some(COLUMNS - 1)]).collect();
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

    /// The initial map of a context.
    pub(super) fn map(&self, context: usize) -> [Adaptive; 256] {
        let first = self.contexts[context] * 256;
        std::array::from_fn(|history| self.start.probability(first + history))
    }

    /// The initial probabilities of a match model, by kind.
    pub(super) fn confidence(&self, which: usize) -> [Adaptive; matches::KINDS] {
        let first = CONTEXTS * 256 + which * matches::KINDS;
        std::array::from_fn(|kind| self.start.probability(first + kind))
    }

    /// Writes the initial weights of a row, from the first input on.
    pub(super) fn weights<'w>(&self, set: usize, row: usize, out: impl Iterator<Item = &'w mut i32>) {
        let row = if set == FEATURES && !self.as_learned { 0 } else { row };
        let (base, row) = (&self.start.base[set], &self.start.rows[first_row(set) + row]);
        let weight = |column: usize| base[column] + i32::from(row[column]) * STEP;
        for (column, out) in self.columns.iter().zip(out) {
            *out = match *column {
                Some(OWN) if self.one_view => weight(OWN) + weight(OWN + 1),
                Some(column) => weight(column),
                None => FIRST_WEIGHTS_BESIDE[0] / SETS as i32,
            };
        }
    }

    /// The initial cells of order 0, by the bits so far.
    pub(super) fn order0(&self) -> Vec<[u16; 2]> {
        self.start.order0.iter().map(|cells| cells.map(|p| p ^ HALF)).collect()
    }
}

/// The index of the first row of a set in [`Start::rows`].
fn first_row(set: usize) -> usize {
    ROWS[..set].iter().sum()
}

impl MixStatistics {
    /// The values of a mix. `layout`: that of the mix's options.
    pub(super) fn new(layout: &StartLayout, mix: &Mix) -> Self {
        let tables = mix.maps.iter().flatten().chain(mix.matches.iter().flatten().flat_map(Match::confidence));
        // Contexts that the mix does not have get a count of 0.
        let mut probabilities = vec![(1 << 15, 0); PROBABILITIES];
        for (i, p) in Start::probabilities_of(layout).zip(tables) {
            probabilities[i] = (p.p() as u16, p.count());
        }
        let rows = |set: usize| 0..mix.options.rows()[set];
        let row = |set: usize, row: usize| {
            let mut weights = [0; COLUMNS];
            let inputs = layout.columns.iter().zip(mix.mixer.row(set, row));
            inputs.for_each(|(column, weight)| weights[column.expect("a column for each input")] = *weight);
            weights
        };
        Self {
            probabilities,
            order0: (0..256).map(|at| mix.order0(at).map(|cell| probability(cell) as u16)).collect(),
            rows: (0..SETS).map(|set| rows(set).map(|i| row(set, i)).collect()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn files_are_written_back_unchanged() {
        for kind in StartKind::ALL {
            let (file, beside) = (kind.file(), kind == StartKind::Beside);
            let start = Start::read(kind, file).unwrap();
            assert!(start.write() == file);
            let sha256: String = Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(include_str!("../../docs/NUMERICS.md").contains(&sha256), "docs/NUMERICS.md must contain {sha256}");
            assert!(start.probabilities.iter().all(|(p, n)| *p > 0 && u32::from(*n) <= 255));
            // Views have a weight only in the file that was trained with views.
            let views: i32 = start.base.iter().map(|base| base[OWN]).sum();
            assert!((views > WEIGHT_ONE / 8) == beside, "{kind:?}: {views}");
            let untrained = Start::untrained(kind);
            let bytes = untrained.write();
            let again = Start::read(kind, &bytes).unwrap();
            assert!(again.write() == bytes && again.rows == untrained.rows && again.order0 == untrained.order0);
            let near = |a: &i32, b: &i32| (a - b).abs() < BASE_STEP;
            let columns = StartLayout::new(&start, &kind.options()).columns;
            for column in columns.into_iter().flatten() {
                assert!(again.base.iter().zip(&untrained.base).all(|(a, b)| near(&a[column], &b[column])));
            }
        }
    }

    #[test]
    fn a_start_fits_mixes_of_all_options() {
        let starts = StartKind::ALL.map(|kind| Start::read(kind, kind.file()).unwrap());
        for highest_order in 2..=8 {
            for (neural, knowing) in [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2)] {
                for flags in 0..24 {
                    let [words, matches, sparse] = [0, 1, 2].map(|bit| flags >> bit & 1 != 0);
                    let fast = flags as u8 >> 3;
                    let options = Options { neural, knowing, highest_order, words, matches, sparse, fast, log: 16 };
                    let mix = Mix::new(options).unwrap();
                    let start = &starts[if knowing > 0 { 1 } else { [0, 2, 3][usize::from(fast)] }];
                    assert_eq!(start.kind, StartKind::of(&options));
                    let layout = StartLayout::new(start, &options);
                    let own = mix.contexts + 2 * DIRECT + 2 * usize::from(matches);
                    assert_eq!(layout.inputs(), own + usize::from(neural) + 1, "{options:?}");
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
                        assert_eq!(found[0], of(0), "order 2 is the first context");
                        assert_eq!(found[mix.contexts - 1], of(layout.contexts[mix.contexts - 1]));
                        assert_eq!(found[mix.contexts], of(CONTEXTS), "order 0");
                        assert_eq!(found.last(), Some(&of(COLUMNS - 1)));
                        let views = &found[own..];
                        match (knowing, neural) {
                            (0, 0) => {}
                            (0, _) => assert_eq!(views[0], FIRST_WEIGHTS_BESIDE[0] / SETS as i32),
                            (1, _) => assert_eq!(views[0], of(OWN) + of(OWN + 1)),
                            _ => assert_eq!(views[..2], [0, 1].map(|i| of(OWN + i))),
                        }
                    }
                    let of_features = if neural > 0 && knowing == 0 { 0 } else { 7 };
                    assert_eq!(row(FEATURES, 7)[0], column(FEATURES, of_features, 0));
                }
            }
        }
    }

    #[test]
    fn statistics_of_a_new_mix_equal_its_start() {
        let options = Options {
            neural: 2,
            knowing: 2,
            highest_order: 6,
            words: true,
            matches: true,
            sparse: true,
            fast: 0,
            log: 16,
        };
        let start = Start::untrained(StartKind::Beside);
        let learned = Mix::starting(options, &start).unwrap().statistics(&start);
        assert!(
            learned.probabilities.iter().zip(&start.probabilities).all(|(a, b)| a.0 == b.0 && a.1 == u16::from(b.1))
        );
        assert_eq!(learned.order0, start.order0);
        for (set, rows) in learned.rows.iter().enumerate() {
            assert!(rows.iter().all(|row| *row == start.base[set]));
        }
        let of_file = Start::of(&options).unwrap();
        let learned = Mix::new(options).unwrap().statistics(&of_file);
        let differs = of_file.rows[first_row(2) + 32].iter().position(|x| *x != 0).expect("a row of its own");
        let weight = of_file.base[2][differs] + i32::from(of_file.rows[first_row(2) + 32][differs]) * STEP;
        assert_eq!(learned.rows[2][32][differs], weight);
    }
}
