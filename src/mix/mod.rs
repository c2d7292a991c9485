//! Context models and the mixer that combines them. They predict and learn one bit at a time, in integer arithmetic.
//!
//! The design is that of PAQ (Mahoney 2005, "Adaptive Weighing of Context Models for Lossless Data Compression") in its
//! later, lighter forms: bit histories in hashed slots, adaptive maps from a history to a probability, match models,
//! one logistic mixer with several sets of weights, and adaptive probability maps (APMs) after it. The predictions of
//! networks are further inputs of the mixer. docs/NUMERICS.md, "Mix", specifies all of it.

mod bits;
mod bypass;
mod content;
mod contexts;
mod history;
mod kernels;
mod lanes;
mod logistic;
mod maps;
mod matches;
mod mixer;
mod slots;
mod start;
mod store;
mod stripes;
mod table;
mod trial;

pub use self::bits::BitView;
use self::bypass::Bypass;
pub use self::content::Content;
use self::contexts::{Kinds, MAX_CONTEXTS, Text};
use self::lanes::Lanes;
use self::logistic::ONE;
use self::maps::{Adaptive, Apm, Cells};
use self::matches::Match;
use self::mixer::Mixer;
use self::slots::{LINE, Slots};
use self::start::StartLayout;
pub use self::start::{MixStatistics, Start, StartKind};
use self::table::{Marked, Table};
use crate::error::Result;
use crate::numeric::buffer::copied;
use crate::numeric::level::Level;

/// Number of direct tables: orders 0 and 1. They are indexed without a hash. A cell has a fast and a slow probability
/// of 16 bits.
const DIRECT: usize = 2;
/// Cells of a direct table in a cache line.
const DIRECT_LINE: usize = 16;
/// A cache line of cells: the fast and the slow probability of each.
type DirectLine = [[u16; 2]; DIRECT_LINE];
/// Adaptation shifts of the fast and the slow probability.
const DIRECT_RATES: [u32; 2] = [4, 6];
/// Direct cells store their probability xor this bit, so that zeroed memory means a probability of one half.
const HALF: u16 = 1 << 15;
/// Count limit of the adaptive probabilities of histories.
const HISTORY_LIMIT: u32 = 1023;
/// Minimum length and log2 of the hash table's size of each match model.
const MATCHES: [(u32, u32); 2] = [(19, 16), (5, 18)];
/// log2 of the number of rows of each APM. The context of the last one is hashed.
const APM_LOGS: [u32; APMS] = [14, 16, APM_LOG];
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

    /// The number of rows of each weight set.
    fn rows(&self) -> [usize; SETS] {
        let mut rows = ROWS;
        if self.neural > 0 {
            rows[FEATURES] = CONFIDENCE_STEPS * 8;
        }
        rows
    }

    /// The number of APMs that are used.
    fn apms(&self) -> usize {
        if self.fast > 0 { 2 } else { APMS }
    }

    /// log2 of the length of the window: a quarter of the size of the slots, at most 16 MiB.
    fn window_log(&self) -> u32 {
        u32::from(self.log - 2).min(24)
    }

    /// For each table: its bytes, those of a unit, and the most units that a byte touches.
    fn tables(&self) -> [(u64, u64, u64); 14] {
        let (contexts, line) = (u64::from(self.kinds().mask().count_ones()), LINE as u64);
        let inputs = contexts + 2 * DIRECT as u64 + MATCHES.len() as u64 + u64::from(self.neural) + 1;
        let row = inputs.next_multiple_of(16) * 4;
        let followers = if self.sparse { [1 << 9, 1 << 17] } else { [0, 0] };
        let heads = MATCHES.map(|(_, log)| if self.matches { 4u64 << log } else { 0 });
        let bypass = if self.neural == 0 && self.matches { Bypass::TABLES } else { [(0, 1, 0); 3] };
        let apm = |i: usize| if i < self.apms() { line << APM_LOGS[i] } else { line };
        [
            (1 << self.window_log(), line, 1),
            (followers[0], line, 1),
            (followers[1], line, 1),
            (1 << self.log, line, 3 * contexts),
            (4 << 8, line, 8),
            (4 << 16, line, 8),
            (heads[0], line, 1),
            (heads[1], line, 1),
            (self.rows().iter().sum::<usize>() as u64 * row, row, 8 * SETS as u64),
            bypass[0],
            bypass[1],
            bypass[2],
            (apm(0) + apm(1), line, 16),
            (apm(2), line, 8),
        ]
    }

    /// The memory of a [`Mix`] in bytes if all of its tables are used, without logs.
    pub fn bytes(&self) -> u64 {
        let maps = 2 * 1024 * u64::from(self.kinds().mask().count_ones());
        // For each unit, a bit in each of two sets.
        self.tables().iter().map(|(bytes, unit, _)| bytes + bytes / unit / 4).sum::<u64>() + maps
    }

    /// The memory in bytes of the initial content: that of tables that do not start as zeros, and for each unit its part
    /// of a set and of the ranks.
    pub fn initial_bytes(&self) -> u64 {
        let tables = self.tables();
        let filled = [4, 8, 9].map(|i| tables[i].0).iter().sum::<u64>();
        let maps = 1024 * u64::from(self.kinds().mask().count_ones());
        filled + maps + tables.iter().map(|(bytes, unit, _)| bytes / unit / 4).sum::<u64>() + (1 << 13)
    }

    /// The memory in bytes of what [`Mix::undo`] needs after `bytes` bytes.
    pub fn log_bytes(&self, bytes: usize) -> u64 {
        let log = |(table, unit, touches): &(u64, u64, u64)| {
            (table / unit).min(touches.saturating_mul(bytes as u64 + 1)) * (unit + 4)
        };
        self.tables().iter().map(log).sum()
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
    direct: [Table<DirectLine>; DIRECT],
    matches: Option<[Match; 2]>,
    mixer: Mixer<SETS>,
    bypass: Option<Bypass>,
    apms: [Apm; APMS],
    bit_state: BitState,
    lanes: Lanes,
    /// Number of bits that the mixer has learned, at most 2^24. It determines the learning rate.
    seen: u32,
    /// The learning rate that follows from `seen`.
    rate: i32,
    marked: MarkedState,
}

/// What is not in tables, at the mark.
#[derive(Debug)]
struct MarkedState {
    maps: Vec<[Adaptive; 256]>,
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
        Self::with(&*Content::initial(options)?)
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
        Self::with(&Content::starting(options, start)?)
    }

    /// A mix with this content.
    ///
    /// # Errors
    /// `Memory`.
    pub fn with(content: &Content) -> Result<Self> {
        let options = content.options;
        let follow = |i: usize, contents: &[_; 2]| Match::new(MATCHES[i].0, &contents[i]);
        let [order0, order1] = &content.direct;
        let [a, b, c] = &content.apms;
        let bit_state = BitState {
            partial: 1,
            bits: 0,
            hashes: [0; MAX_CONTEXTS],
            at: [0; MAX_CONTEXTS],
            states: [0; MAX_CONTEXTS],
            cells: [Adaptive::new(0, 0); _],
            direct_at: [0; DIRECT],
            bypassed: false,
        };
        let mut mix = Self {
            options,
            level: Level::current(),
            text: Text::new(options.kinds(), &content.text)?,
            slots: Slots::new(&content.slots)?,
            contexts: content.maps.len(),
            maps: copied(&content.maps, "context maps")?,
            direct: [Table::new(order0, "order 0")?, Table::new(order1, "order 1")?],
            matches: match &content.matches {
                Some(contents) => Some([follow(0, contents)?, follow(1, contents)?]),
                None => None,
            },
            mixer: Mixer::new(options.rows(), &content.mixer)?,
            bypass: content.bypass.as_ref().map(Bypass::new).transpose()?,
            apms: [Apm::new(a)?, Apm::new(b)?, Apm::new(c)?],
            bit_state,
            lanes: Lanes::one(),
            seen: content.seen,
            rate: kernels::rate(&options, content.seen),
            marked: MarkedState { maps: copied(&content.maps, "context maps")?, bit_state, seen: 0 },
        };
        mix.continue_at(content);
        Ok(mix)
    }

    /// The learned probabilities and weights, from which a [`Start`] is trained.
    ///
    /// # Panics
    /// If the mix has an input for which `start` has no column.
    pub fn statistics(&self, start: &Start) -> MixStatistics {
        MixStatistics::new(&StartLayout::new(start, &self.options), self)
    }

    /// A cell of order 0, by the bits so far.
    fn order0(&self, at: usize) -> [u16; 2] {
        self.direct[0].get(at / DIRECT_LINE).map_or([0; 2], |lines| lines[0][at % DIRECT_LINE])
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Continues with the CPU level that is allowed now.
    pub fn use_current_level(&mut self) {
        self.level = Level::current();
    }

    /// Sets the content to that of a mix with the same options, without allocating. The time does not depend on what
    /// the content has.
    pub fn start_at(&mut self, content: &Content) {
        debug_assert!(self.options == content.options);
        self.lanes.start_at(content);
        self.text.start_at(&content.text);
        self.slots.table.start_at(&content.slots);
        self.maps.copy_from_slice(&content.maps);
        self.direct.iter_mut().zip(&content.direct).for_each(|(table, origin)| table.start_at(origin));
        for (m, content) in self.matches.iter_mut().flatten().zip(content.matches.iter().flatten()) {
            m.start_at(content);
        }
        self.mixer.table.start_at(&content.mixer);
        self.bypass.iter_mut().zip(&content.bypass).for_each(|(bypass, content)| bypass.start_at(content));
        self.apms.iter_mut().zip(&content.apms).for_each(|(apm, origin)| apm.table.start_at(origin));
        self.seen = content.seen;
        self.rate = kernels::rate(&self.options, self.seen);
        self.continue_at(content);
    }

    /// Sets the bit state to that of a content, to which all tables are set.
    fn continue_at(&mut self, content: &Content) {
        let state = &mut self.bit_state;
        (state.partial, state.bits, state.bypassed) = (1, 0, content.bypassed);
        for (to, from) in state.at.iter_mut().zip(&content.at) {
            *to = *from as usize;
        }
        if !content.bypassed {
            self.text.contexts(&mut state.hashes);
        }
        self.touch_slots();
    }

    /// Touches the slots that were found, as [`Slots::find`] does.
    fn touch_slots(&mut self) {
        if !self.bit_state.bypassed {
            let at = &self.bit_state.at[..self.contexts];
            at.iter().for_each(|at| self.slots.table.touch(at / LINE));
        }
    }

    /// A copy of the content of a mix of one lane, at a byte boundary.
    ///
    /// # Errors
    /// `Memory`.
    pub fn freeze(&self) -> Result<Content> {
        debug_assert!(self.bit_state.bits == 0);
        let [order0, order1] = &self.direct;
        let [a, b, c] = &self.apms;
        let mut at = [0; MAX_CONTEXTS];
        if !self.bit_state.bypassed {
            at.iter_mut().zip(&self.bit_state.at[..self.contexts]).for_each(|(to, from)| *to = *from as u32);
        }
        Ok(Content {
            options: self.options,
            text: self.text.freeze()?,
            slots: self.slots.table.freeze()?,
            maps: copied(&self.maps, "context maps")?,
            direct: [order0.freeze()?, order1.freeze()?],
            matches: match &self.matches {
                Some([long, short]) => Some([long.freeze()?, short.freeze()?]),
                None => None,
            },
            mixer: self.mixer.table.freeze()?,
            bypass: self.bypass.as_ref().map(Bypass::freeze).transpose()?,
            apms: [a.table.freeze()?, b.table.freeze()?, c.table.freeze()?],
            at,
            bypassed: self.bit_state.bypassed,
            seen: self.seen,
            shared: false,
        })
    }

    /// Passes each table, with the most calls of [`Table::touch`] that a byte makes, to `visit`.
    fn each_table(&mut self, visit: &mut dyn FnMut(&mut dyn Marked, usize)) {
        // The window, and the followers of one byte and of two.
        self.text.tables().into_iter().for_each(|table| visit(table, 1));
        // For both nibbles, and once more where a bypass ends.
        visit(&mut self.slots.table, 3 * self.contexts);
        self.direct.iter_mut().for_each(|table| visit(table, 8));
        self.matches.iter_mut().flatten().for_each(|m| visit(m.table(), 1));
        visit(&mut self.mixer.table, 8 * SETS);
        if let Some(bypass) = &mut self.bypass {
            bypass.tables().into_iter().zip(Bypass::TOUCHES).for_each(|(table, touches)| visit(table, touches));
        }
        self.apms.iter_mut().for_each(|apm| visit(&mut apm.table, 8));
    }

    /// Sets a mark, at a byte boundary, to which [`Mix::undo`] goes back. It replaces an earlier one.
    pub fn mark(&mut self) {
        debug_assert!(self.bit_state.bits == 0);
        self.mark_lanes();
        self.each_table(&mut |table, _| table.mark());
        self.text.mark();
        self.matches.iter_mut().flatten().for_each(Match::mark);
        self.bypass.iter_mut().for_each(Bypass::mark);
        self.marked.maps.copy_from_slice(&self.maps);
        (self.marked.bit_state, self.marked.seen) = (self.bit_state, self.seen);
        self.touch_slots();
    }

    /// Drops the mark. `free`: whether the memory of its logs is freed too, or kept for the next mark.
    pub fn unmark(&mut self, free: bool) {
        self.each_table(&mut |table, _| table.unmark(free));
    }

    /// Makes room in the logs of the mark for `bytes` more bytes, so that [`Mix::undo`] is possible after them. Does
    /// nothing without a mark.
    ///
    /// # Errors
    /// `Memory`.
    pub fn reserve(&mut self, bytes: usize) -> Result<()> {
        let mut result = Ok(());
        self.each_table(&mut |table, touches| {
            if result.is_ok() {
                // One byte more for `touch_slots`.
                result = table.reserve((bytes + 1).saturating_mul(touches));
            }
        });
        result
    }

    /// Goes back to the mark, which stays. The time is proportional to the changes since then. The result is false, and
    /// nothing changes, if there is no mark or if the logs are not complete, because [`Mix::reserve`] was not called.
    #[must_use]
    pub fn undo(&mut self) -> bool {
        let mut whole = true;
        self.each_table(&mut |table, _| whole &= table.is_logged());
        if whole {
            self.each_table(&mut |table, _| table.undo());
            self.undo_lanes();
            self.text.undo();
            self.matches.iter_mut().flatten().for_each(Match::undo);
            self.bypass.iter_mut().for_each(Bypass::undo);
            self.maps.copy_from_slice(&self.marked.maps);
            (self.bit_state, self.seen) = (self.marked.bit_state, self.marked.seen);
            self.rate = kernels::rate(&self.options, self.seen);
            self.touch_slots();
        }
        whole
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
