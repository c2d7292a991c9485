//! Context models and the mixer that combines them. They predict and learn one bit at a time, in integer arithmetic.
//!
//! The design is that of PAQ (Mahoney 2005, "Adaptive Weighing of Context Models for Lossless Data Compression") in its
//! later, lighter forms: bit histories in hashed slots, adaptive maps from a history to a probability, match models,
//! one logistic mixer with several sets of weights, and adaptive probability maps (APMs) after it. The predictions of
//! networks are further inputs of the mixer. docs/NUMERICS.md, "Mix", specifies all of it.

mod bits;
mod bypass;
mod contexts;
mod history;
mod journal;
mod kernels;
mod logistic;
mod maps;
mod matches;
mod mixer;
mod slots;
mod start;
mod trial;

pub use self::bits::BitView;
use self::bypass::Bypass;
use self::contexts::{Kinds, MAX_CONTEXTS, Text};
use self::journal::{CHECKPOINT_BYTES, Journal};
use self::logistic::ONE;
use self::maps::{Adaptive, Apm, Cells};
use self::matches::Match;
use self::mixer::Mixer;
use self::slots::Slots;
use self::start::StartLayout;
pub use self::start::{MixStatistics, Start, StartKind};
use crate::error::Result;
use crate::numeric::buffer::{filled, zeroed};
use crate::numeric::level::Level;

/// Number of direct tables: orders 0 and 1. They are indexed without a hash. A cell has a fast and a slow probability
/// of 16 bits.
const DIRECT: usize = 2;
/// Adaptation shifts of the fast and the slow probability.
const DIRECT_RATES: [u32; 2] = [4, 6];
/// Direct cells store their probability xor this bit, so that zeroed memory means a probability of one half.
const HALF: u16 = 1 << 15;
/// Count limit of the adaptive probabilities of histories.
const HISTORY_LIMIT: u32 = 1023;
/// Minimum length and log2 of the hash table's size of each match model.
const MATCHES: [(u32, u32); 2] = [(19, 16), (5, 18)];
/// log2 of the number of rows of the last APM, whose context is hashed.
const APM_LOG: u32 = 16;
/// Adaptation shift of each APM.
const APM_RATES: [u32; APMS] = [5, 6, 5];
/// The maximum number of network predictions (views) among the inputs.
pub const MAX_VIEWS: usize = 3;

/// The networks' predictions of the next byte; `None` for each network that is bypassed.
pub type Views<'a> = [Option<&'a BitView>; MAX_VIEWS];

/// Quantisation steps of a network's stretched prediction.
const CONFIDENCE_STEPS: usize = 12;
/// How many of the first six contexts have a history that is not empty: 0 to 6. The number of values is rounded up to a
/// power of two.
const SEEN_CONTEXTS: usize = 8;
/// Number of pairs of length classes of the two match models.
const LENGTHS: usize = 10 * 10;
/// Number of APMs.
const APMS: usize = 3;
/// Number of weight sets.
const SETS: usize = 7;
/// Number of rows of each weight set. With a network, [`FEATURES`] has fewer rows.
const ROWS: [usize; SETS] = [256, 2 * SEEN_CONTEXTS * 8, 256, LENGTHS, 256, 256, 16 << 8];
/// The set whose rows are selected by the last network's prediction, or, without networks, by the lengths of the
/// matches.
const FEATURES: usize = 3;
const _: () = assert!(CONFIDENCE_STEPS * 8 <= LENGTHS);
/// The number of hashed contexts with orders up to 6, words and the sparse ones.
const CONTEXTS: usize = 21;

/// The inputs and sizes of a mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Number of network predictions among the inputs, at most [`MAX_VIEWS`].
    pub neural: u8,
    /// How many of these predictions are those of pretrained networks. They are the first ones.
    pub knowing: u8,
    /// The highest order, 2 to 8. All orders from 0 to this one are used.
    pub highest_order: u8,
    /// Whether word contexts are used.
    pub words: bool,
    /// Whether match models are used.
    pub matches: bool,
    /// Whether sparse contexts are used: skips, columns, fields, shapes, keys and followers.
    pub sparse: bool,
    /// 0: all contexts that the other options enable. 1 and 2: at most nine and six of them, for speed.
    pub fast: u8,
    /// log2 of the size of the slots of hashed contexts in bytes, 16 to 27.
    pub log: u8,
}

impl Options {
    /// The contexts that are used.
    fn kinds(&self) -> Kinds {
        Kinds { highest_order: self.highest_order.into(), words: self.words, sparse: self.sparse, fast: self.fast }
    }

    /// The number of APMs that are used.
    fn apms(&self) -> usize {
        if self.fast > 0 { 2 } else { APMS }
    }

    /// log2 of the length of the window: a quarter of the size of the slots, at most 16 MiB.
    fn window_log(&self) -> u32 {
        u32::from(self.log - 2).min(24)
    }

    /// The memory of a [`Mix`] in bytes, rounded up; saturates.
    pub fn bytes(&self) -> u64 {
        // APMs take 9 MiB; matches, mixers and direct tables 3 MiB; journals up to 15 MiB. Two of the six mixes of a
        // handle have journals, so the mean is 5 MiB.
        const REST: u64 = 17 << 20;
        (1u64 << self.log) + (1u64 << self.window_log()) + REST
    }
}

/// A bitwise predictor: context models, match models and their mixer.
#[derive(Debug)]
pub struct Mix {
    options: Options,
    level: Level,
    text: Text,
    slots: Slots,
    /// Number of hashed contexts.
    contexts: usize,
    /// The probability of 1 by history, one table for each context.
    maps: Vec<[Adaptive; 256]>,
    direct: [Vec<[u16; 2]>; DIRECT],
    matches: Option<[Match; 2]>,
    mixer: Mixer<SETS>,
    bypass: Option<Bypass>,
    apms: [Apm; APMS],
    bit_state: BitState,
    /// Number of bits that the mixer has learned, at most 2^24. It determines the learning rate.
    seen: u32,
    /// The learning rate that follows from `seen`.
    rate: i32,
    checkpoint: Checkpoint,
}

/// State at the checkpoint. Large tables have journals instead.
#[derive(Debug)]
struct Checkpoint {
    /// How many more bytes the journals may cover.
    left: u32,
    maps: Vec<[Adaptive; 256]>,
    direct: [Journal<[u16; 2]>; DIRECT],
    bit_state: BitState,
    seen: u32,
}

/// State of the current bit.
#[derive(Clone, Copy, Debug)]
struct BitState {
    /// The bits of this byte so far, with a leading 1.
    partial: u32,
    /// Number of bits in `partial`.
    bits: u32,
    hashes: [u32; MAX_CONTEXTS],
    /// Offset of each context's slot for the current nibble.
    at: [usize; MAX_CONTEXTS],
    /// For the current bit, the history in each context, and the adaptive probability of this history.
    states: [u8; MAX_CONTEXTS],
    cells: Cells,
    direct_at: [usize; DIRECT],
    /// Whether the next bit is predicted by the bypass. `hashes`, `at`, `states` and `cells` are then not valid.
    bypassed: bool,
}

impl Mix {
    /// A mix in its initial state.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(options: Options) -> Result<Self> {
        Self::starting(options, &Start::of(&options)?)
    }

    /// A mix that starts from the given values instead of the built-in ones. For training only: frames always use the
    /// built-in ones.
    ///
    /// # Errors
    /// `Memory`.
    ///
    /// # Panics
    /// If the tables of `start` do not have the lengths that [`Start::untrained`] gives them.
    pub fn starting(options: Options, start: &Start) -> Result<Self> {
        let text = Text::new(options.kinds(), options.window_log())?;
        let mut hashes = [0; MAX_CONTEXTS];
        let contexts = text.contexts(&mut hashes);
        let start = StartLayout::new(start, &options);
        let mut maps = filled(contexts, [Adaptive::new(0, 0); 256], "context maps")?;
        maps.iter_mut().enumerate().for_each(|(context, map)| *map = start.map(context));
        let follow = |i: usize| Match::new(MATCHES[i].0, MATCHES[i].1, &start.confidence(i));
        let matches = if options.matches { Some([follow(0)?, follow(1)?]) } else { None };
        let mut order0 = zeroed(1 << 8, "order 0")?;
        order0.copy_from_slice(&start.order0());
        let mut rows = ROWS;
        if options.neural > 0 {
            rows[FEATURES] = CONFIDENCE_STEPS * 8;
        }
        let bit_state = BitState {
            partial: 1,
            bits: 0,
            hashes,
            at: [0; MAX_CONTEXTS],
            states: [0; MAX_CONTEXTS],
            cells: [Adaptive::new(0, 0); _],
            direct_at: [0; DIRECT],
            bypassed: false,
        };
        let mut mix = Self {
            checkpoint: Checkpoint {
                left: 0,
                maps: filled(contexts, [Adaptive::new(0, 0); 256], "context maps")?,
                direct: [Journal::default(), Journal::default()],
                bit_state,
                seen: 0,
            },
            options,
            level: Level::current(),
            text,
            slots: Slots::new(options.log.into())?,
            contexts,
            maps,
            direct: [order0, zeroed(1 << 16, "order 1")?],
            matches,
            mixer: Mixer::new(rows, start.inputs(), |set, row, out| start.weights(set, row, out))?,
            bypass: if options.neural == 0 && options.matches { Some(Bypass::new()?) } else { None },
            apms: [
                Apm::new(1 << 14)?,
                Apm::new(if options.apms() > 1 { 1 << 16 } else { 1 })?,
                Apm::new(if options.apms() > 2 { 1 << APM_LOG } else { 1 })?,
            ],
            bit_state,
            seen: 0,
            rate: kernels::rate(&options, 0),
        };
        mix.find_slots(0);
        mix.checkpoint();
        Ok(mix)
    }

    /// The learned probabilities and weights, from which a [`Start`] is trained.
    ///
    /// # Panics
    /// If the mix has an input for which `start` has no column.
    pub fn statistics(&self, start: &Start) -> MixStatistics {
        MixStatistics::new(&StartLayout::new(start, &self.options), self)
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Continues with the CPU level that is allowed now.
    pub fn use_current_level(&mut self) {
        self.level = Level::current();
    }

    /// Copies the state of a mix with the same options, at a byte boundary, without allocating. Then sets a checkpoint.
    pub fn copy_from(&mut self, other: &Self) {
        debug_assert!(self.options == other.options && other.bit_state.bits == 0);
        self.text.copy_from(&other.text);
        self.slots.copy_from(&other.slots);
        self.maps.copy_from_slice(&other.maps);
        for (to, from) in self.direct.iter_mut().zip(&other.direct) {
            to.copy_from_slice(from);
        }
        for (to, from) in self.matches.iter_mut().flatten().zip(other.matches.iter().flatten()) {
            to.copy_from(from);
        }
        self.mixer.copy_from(&other.mixer);
        for (to, from) in self.bypass.iter_mut().zip(&other.bypass) {
            to.copy_from(from);
        }
        for (to, from) in self.apms.iter_mut().zip(&other.apms) {
            to.copy_from(from);
        }
        (self.bit_state, self.seen, self.rate) = (other.bit_state, other.seen, other.rate);
        self.checkpoint();
    }

    /// Sets the checkpoint to which [`Mix::roll_back`] returns, at a byte boundary.
    fn checkpoint(&mut self) {
        self.text.checkpoint();
        self.slots.checkpoint(&self.bit_state.at[..self.contexts]);
        self.mixer.checkpoint();
        self.bypass.iter_mut().for_each(Bypass::checkpoint);
        self.matches.iter_mut().flatten().for_each(Match::checkpoint);
        self.apms.iter_mut().for_each(|apm| apm.journal.start());
        let saved = &mut self.checkpoint;
        saved.direct.iter_mut().for_each(Journal::start);
        saved.maps.copy_from_slice(&self.maps);
        (saved.left, saved.bit_state, saved.seen) = (CHECKPOINT_BYTES, self.bit_state, self.seen);
    }

    /// Drops the checkpoint, so that writes are no longer recorded.
    fn discard_checkpoint(&mut self) {
        self.text.discard_checkpoint();
        self.slots.discard_checkpoint();
        self.mixer.discard_checkpoint();
        self.bypass.iter_mut().for_each(Bypass::discard_checkpoint);
        self.matches.iter_mut().flatten().for_each(Match::discard_checkpoint);
        self.apms.iter_mut().for_each(|apm| apm.journal.discard());
        self.checkpoint.direct.iter_mut().for_each(Journal::discard);
    }

    /// Returns to the checkpoint if the journals cover all writes since then. The checkpoint is set at creation, by
    /// [`Mix::copy_from`] and by this function. The result is whether the mix was rolled back; otherwise it is
    /// unchanged. The time is about proportional to the number of bytes since the checkpoint.
    #[must_use]
    pub fn roll_back(&mut self) -> bool {
        let whole = self.text.is_complete()
            && self.slots.is_complete()
            && self.mixer.is_complete()
            && self.bypass.iter().all(Bypass::is_complete)
            && self.matches.iter().flatten().all(Match::is_complete)
            && self.apms.iter().all(|apm| apm.journal.is_complete())
            && self.checkpoint.direct.iter().all(Journal::is_complete);
        if whole {
            self.text.roll_back();
            self.slots.roll_back();
            self.mixer.roll_back();
            self.bypass.iter_mut().for_each(Bypass::roll_back);
            self.matches.iter_mut().flatten().for_each(Match::roll_back);
            self.apms.iter_mut().for_each(Apm::roll_back);
            let saved = &mut self.checkpoint;
            for (table, journal) in self.direct.iter_mut().zip(&mut saved.direct) {
                journal.undo_all(|at, cell| table[at] = cell);
            }
            self.maps.copy_from_slice(&saved.maps);
            (self.bit_state, self.seen) = (saved.bit_state, saved.seen);
            self.rate = kernels::rate(&self.options, self.seen);
            self.checkpoint();
        }
        whole
    }

    /// Passes the complete state to `add`, for hashing, at a byte boundary (docs/FORMAT.md, "State of a mix").
    pub fn visit(&self, add: &mut dyn FnMut(&[u8])) {
        self.text.visit(add);
        self.slots.visit(add);
        self.maps.iter().flatten().for_each(|p| add(&p.to_bytes()));
        self.direct.iter().flatten().flatten().for_each(|p| add(&p.to_le_bytes()));
        self.matches.iter().flatten().for_each(|m| m.visit(add));
        self.mixer.visit(add);
        self.bypass.iter().for_each(|bypass| bypass.visit(add));
        self.apms.iter().for_each(|apm| apm.visit(add));
        add(&self.seen.to_le_bytes());
    }

    /// The probability that the next bit is 1, in 1/65536, never 0 and never 65536. `neural`: the predictions of the
    /// networks. [`Mix::update`] must be called before the next bit is predicted.
    pub fn predict(&mut self, neural: &Views) -> u32 {
        self.level.run(kernels::Predict { mix: self, views: neural })
    }

    /// Learns the bit that [`Mix::predict`] predicted.
    pub fn update(&mut self, bit: u32) {
        self.level.run(kernels::Learn { mix: self, bit });
    }

    /// Predicts and learns the eight bits of a byte, as [`Mix::predict`] and [`Mix::update`] do. `code` gets the
    /// probability of 1 of each bit and returns the bit.
    pub fn code_byte(&mut self, neural: &Views, code: &mut dyn FnMut(u32) -> u32) {
        self.level.run(kernels::Byte { mix: self, views: neural, code });
    }

    /// Goes on to the next bit. `bypassed`: whether `bit` was predicted by the bypass.
    #[inline(always)]
    fn advance(&mut self, bit: u32, bypassed: bool) {
        let bit_state = &mut self.bit_state;
        bit_state.partial = bit_state.partial << 1 | bit;
        bit_state.bits += 1;
        if bit_state.bits == 8 {
            self.end_byte();
        } else if bypassed {
            if !self.bit_state.bypassed {
                // The byte is not the expected one: the contexts predict the remaining bits.
                self.text.contexts(&mut self.bit_state.hashes);
                let nibble = nibble(self.bit_state.bits, self.bit_state.partial);
                self.prefetch_slots(nibble);
                self.find_slots(nibble);
            }
        } else if bit_state.bits == 3 {
            // Both values of the next bit select a slot on the same line.
            let nibble = bit_state.partial << 1;
            self.prefetch_slots(nibble);
        } else if bit_state.bits == 4 {
            self.find_slots(self.bit_state.partial);
        }
    }

    /// Updates the text, the matches and the contexts after the last bit of a byte.
    #[inline(never)]
    fn end_byte(&mut self) {
        self.text.push(self.bit_state.partial as u8);
        (self.bit_state.partial, self.bit_state.bits) = (1, 0);
        match self.checkpoint.left.checked_sub(1) {
            Some(left) => self.checkpoint.left = left,
            None => self.discard_checkpoint(),
        }
        if let Some(matches) = &mut self.matches {
            let hit = matches[0].hit(&self.text);
            matches.iter_mut().for_each(|m| m.byte(&self.text));
            if let Some(bypass) = &mut self.bypass {
                self.bit_state.bypassed = bypass.byte(&self.text, &matches[0], hit);
            }
        }
        if !self.bit_state.bypassed {
            self.text.contexts(&mut self.bit_state.hashes);
            self.prefetch_slots(0);
            self.find_slots(0);
        }
    }

    /// Starts a line that has no line above it, at a byte boundary. Whether the next byte is bypassed does not change.
    pub fn begin_line(&mut self) {
        debug_assert!(self.bit_state.bits == 0);
        self.text.begin_line();
        if !self.bit_state.bypassed {
            self.text.contexts(&mut self.bit_state.hashes);
            self.find_slots(0);
        }
    }

    /// Prefetches the lines that [`Mix::find_slots`] will access.
    #[inline(always)]
    fn prefetch_slots(&self, nibble: u32) {
        self.bit_state.hashes[..self.contexts].iter().for_each(|hash| self.slots.prefetch(*hash, nibble));
    }

    /// Looks up the slots of all contexts for a nibble. `nibble`: see [`nibble`].
    #[inline(never)]
    fn find_slots(&mut self, nibble: u32) {
        let hashes = &self.bit_state.hashes[..self.contexts];
        for (at, hash) in self.bit_state.at.iter_mut().zip(hashes) {
            *at = self.slots.find(*hash, nibble);
        }
    }

    /// Index of the current bit's history within a slot.
    fn node(&self) -> usize {
        let mask = (1 << (self.bit_state.bits % 4)) - 1;
        mask + (self.bit_state.partial as usize & mask)
    }
}

/// The nibble to which the next bit belongs, as an argument of [`Slots::find`]: 0 for the first nibble of a byte; for
/// the second one, the first nibble with a leading 1.
fn nibble(bits: u32, partial: u32) -> u32 {
    match bits.checked_sub(4) {
        Some(second) => partial >> second,
        None => 0,
    }
}

/// The probability that a direct cell contains.
#[inline(always)]
fn probability(cell: u16) -> i32 {
    i32::from(cell ^ HALF)
}

#[cfg(test)]
mod tests;
