//! Cheap predictors that learn as they go, and the mixer that weighs them: bit by bit, in integers alone.
//!
//! The design is PAQ's (Mahoney 2005, "Adaptive Weighing of Context Models for Lossless Data Compression") in its later,
//! lighter forms: bit histories in hashed slots, adaptive maps from a history to a probability, a match model, logistic
//! mixing in two layers, adaptive probability maps at the end. A network's prediction of the next byte is one more input.

mod bits;
mod contexts;
mod history;
mod journal;
mod logistic;
mod maps;
mod matches;
mod mixer;
mod slots;
mod start;

pub use self::bits::BitView;
use self::contexts::{Kinds, MAX_CONTEXTS, Text, hash};
use self::history::Histories;
use self::journal::{CHECKPOINT_BYTES, Journal};
use self::logistic::{Logistic, ONE};
use self::maps::{Adaptive, Apm, Cells, DISTANCE, SavedApm, distances, update_all};
use self::matches::{Match, MatchState};
use self::mixer::{LAST, Mixer, SETS, Saved as SavedMixer};
use self::slots::{LINE, Slots};
use self::start::StartLayout;
pub use self::start::{MixStatistics, Start};
use crate::error::Result;
use crate::model::VOCAB;
use crate::numeric::buffer::{filled, zeroed};
use crate::numeric::level::{Kernel, Level};
use crate::numeric::simd::Simd;

/// Orders 0 and 1, not hashed: each a fast and a slow probability of 16 bits.
const DIRECT: usize = 2;
/// Shifts of their steps.
const DIRECT_RATES: [u32; 2] = [4, 6];
/// Cells store their probability xor this bit, so that a zeroed table means one half.
const HALF: u16 = 1 << 15;
/// Limit of the count of a history's probability.
const HISTORY_LIMIT: u32 = 255;
/// Minimum length and log2 of the hash table's size of each match model.
const MATCHES: [(u32, u32); 2] = [(20, 16), (6, 18)];
/// log2 of the number of hashed contexts of the last APM.
const APM_LOG: u32 = 16;
/// Adaptation shift of the APMs.
const APM_RATE: u32 = 5;
/// The maximum number of network predictions (views) among the inputs.
pub const MAX_VIEWS: usize = 3;

/// The networks' predictions of the next byte; `None` for each network that is bypassed.
pub type Views<'a> = [Option<&'a BitView>; MAX_VIEWS];

/// Quantisation steps of a network's stretched prediction.
const CONFIDENCE_STEPS: usize = 12;
/// Values of the count of the first six contexts whose history is not empty (0 to 6), rounded up to a power of two.
const SEEN_CONTEXTS: usize = 8;
/// Pairs of length classes of the two match models.
const LENGTHS: usize = 10 * 10;
/// Rows of weights by set; of [`FEATURES`] there are fewer with a network.
const ROWS: [usize; SETS] = [256, 2 * SEEN_CONTEXTS * 8, 256, LENGTHS, 256, 256, 16 << 8];
/// Rows of the last mixers.
const LAST_ROWS: [usize; LAST] = [256, 256, SEEN_CONTEXTS];
/// The set whose rows are selected by the last network's prediction, or by the match lengths where there is no network.
const FEATURES: usize = 3;
const _: () = assert!(CONFIDENCE_STEPS * 8 <= LENGTHS);
/// The number of hashed contexts with orders up to 6, words and the sparse ones.
const CONTEXTS: usize = 21;

/// What is mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Number of network predictions among the inputs, at most [`MAX_VIEWS`].
    pub neural: u8,
    /// How many of them, from the first on, come from pretrained networks.
    pub knowing: u8,
    /// Orders go from 0 to this one, 2 to 8.
    pub highest_order: u8,
    /// Whether word contexts are used.
    pub words: bool,
    /// Whether match models are used.
    pub matches: bool,
    /// Skips, columns, fields, shapes, keys, and what followed before.
    pub sparse: bool,
    /// The tables of hashed contexts take 2^this bytes, 16 to 27.
    pub log: u8,
}

impl Options {
    /// The window of the text takes a quarter of the tables, at most 16 MiB.
    fn window_log(&self) -> u32 {
        u32::from(self.log - 2).min(24)
    }

    /// How many bytes a [`Mix`] takes; saturates.
    pub fn bytes(&self) -> u64 {
        // Rounded up: maps 9 MiB, matches, mixers and direct tables 3, journals up to 15 (two of a handle's six mixes
        // have them).
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
    /// How many contexts there are.
    contexts: usize,
    /// Probability of 1 by bit history, one table per context.
    maps: Vec<[Adaptive; 256]>,
    direct: [Vec<[u16; 2]>; DIRECT],
    matches: Option<[Match; 2]>,
    mixer: Mixer,
    apms: [Apm; 3],
    bit_state: BitState,
    /// Number of bits coded, saturating: sets the learning rate.
    seen: u32,
    checkpoint: Checkpoint,
}

/// State at the checkpoint. Large tables have journals of their own.
#[derive(Debug)]
struct Checkpoint {
    /// How many more bytes the checkpoint covers.
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
    /// The current bit's history in each context, and its map cell.
    states: [u8; MAX_CONTEXTS],
    cells: Cells,
    direct_at: [usize; DIRECT],
}

/// Everything one bit changes, saved so that a bit can be tried and undone.
struct SavedBit {
    bit_state: BitState,
    seen: u32,
    maps: [Adaptive; MAX_CONTEXTS],
    histories: [u8; MAX_CONTEXTS],
    lines: Vec<(usize, [u8; LINE])>,
    direct: [[u16; 2]; DIRECT],
    matches: Option<[(MatchState, Adaptive); 2]>,
    mixer: SavedMixer,
    apms: [SavedApm; 3],
}

impl Mix {
    /// A mix in its initial state.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(options: Options) -> Result<Self> {
        Self::starting(options, &Start::of(&options)?)
    }

    /// A mix that starts from the given tables instead of the built-in ones. For training only: frames always use the
    /// built-in ones.
    ///
    /// # Errors
    /// `Memory`.
    ///
    /// # Panics
    /// If the start's tables are not as long as [`Start::untrained`] has them.
    pub fn starting(options: Options, start: &Start) -> Result<Self> {
        let kinds = Kinds { highest_order: options.highest_order.into(), words: options.words, sparse: options.sparse };
        let text = Text::new(kinds, options.window_log())?;
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
            mixer: Mixer::new(rows, LAST_ROWS, &start)?,
            apms: [Apm::new(1 << 8)?, Apm::new(1 << 16)?, Apm::new(1 << APM_LOG)?],
            bit_state,
            seen: 0,
        };
        mix.find_slots(0);
        mix.checkpoint();
        Ok(mix)
    }

    /// The learned probabilities and weights, in the form from which a [`Start`] is trained.
    ///
    /// # Panics
    /// If the options do not have exactly the contexts and inputs of a start.
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

    /// Copies the state of a mix with the same options, at a byte boundary, without allocating. Sets a checkpoint there.
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
        for (to, from) in self.apms.iter_mut().zip(&other.apms) {
            to.copy_from(from);
        }
        (self.bit_state, self.seen) = (other.bit_state, other.seen);
        self.checkpoint();
    }

    /// Sets the checkpoint that [`Mix::roll_back`] returns to, at a byte boundary.
    fn checkpoint(&mut self) {
        self.text.checkpoint();
        self.slots.checkpoint(&self.bit_state.at[..self.contexts]);
        self.mixer.checkpoint();
        self.matches.iter_mut().flatten().for_each(Match::checkpoint);
        self.apms.iter_mut().for_each(|apm| apm.journal.start());
        let saved = &mut self.checkpoint;
        saved.direct.iter_mut().for_each(Journal::start);
        saved.maps.copy_from_slice(&self.maps);
        (saved.left, saved.bit_state, saved.seen) = (CHECKPOINT_BYTES, self.bit_state, self.seen);
    }

    fn discard_checkpoint(&mut self) {
        self.text.discard_checkpoint();
        self.slots.discard_checkpoint();
        self.mixer.discard_checkpoint();
        self.matches.iter_mut().flatten().for_each(Match::discard_checkpoint);
        self.apms.iter_mut().for_each(|apm| apm.journal.discard());
        self.checkpoint.direct.iter_mut().for_each(Journal::discard);
    }

    /// Returns to the checkpoint (creation or the last copy) if the journals still cover everything since; returns whether
    /// it did. The cost is proportional to the number of bytes coded since.
    #[must_use]
    pub fn roll_back(&mut self) -> bool {
        let whole = self.text.is_complete()
            && self.slots.is_complete()
            && self.mixer.is_complete()
            && self.matches.iter().flatten().all(Match::is_complete)
            && self.apms.iter().all(|apm| apm.journal.is_complete())
            && self.checkpoint.direct.iter().all(Journal::is_complete);
        if whole {
            self.text.roll_back();
            self.slots.roll_back();
            self.mixer.roll_back();
            self.matches.iter_mut().flatten().for_each(Match::roll_back);
            self.apms.iter_mut().for_each(Apm::roll_back);
            let saved = &mut self.checkpoint;
            for (table, journal) in self.direct.iter_mut().zip(&mut saved.direct) {
                journal.undo_all(|at, cell| table[at] = cell);
            }
            self.maps.copy_from_slice(&saved.maps);
            (self.bit_state, self.seen) = (saved.bit_state, saved.seen);
            self.checkpoint();
        }
        whole
    }

    /// Feeds the complete adaptive state to `add` (for hashing), at a byte boundary.
    pub fn visit(&self, add: &mut dyn FnMut(&[u8])) {
        self.text.visit(add);
        self.slots.visit(add);
        self.maps.iter().flatten().for_each(|p| add(&p.to_bytes()));
        self.direct.iter().flatten().flatten().for_each(|p| add(&p.to_le_bytes()));
        self.matches.iter().flatten().for_each(|m| m.visit(add));
        self.mixer.visit(add);
        self.apms.iter().for_each(|apm| apm.visit(add));
        add(&self.seen.to_le_bytes());
    }

    /// The probability that the next bit is 1, in 1/65536, never 0 and never 65536. `neural`: the networks' predictions.
    /// Every call is followed by one of [`Mix::update`].
    pub fn predict(&mut self, neural: &Views) -> u32 {
        let partial = self.bit_state.partial;
        let views = neural.map(|view| view.map_or(ONE / 2, |view| view.p(partial) as i32));
        self.level.run(Predict { mix: self, views })
    }

    /// Learns the bit that was predicted last.
    pub fn update(&mut self, bit: u32) {
        self.level.run(Learn { mix: self, bit });
        let bit_state = &mut self.bit_state;
        bit_state.partial = bit_state.partial << 1 | bit;
        bit_state.bits += 1;
        if bit_state.bits == 3 {
            // The next bit selects one of these two.
            let nibble = bit_state.partial << 1;
            self.prefetch_slots(nibble);
            self.prefetch_slots(nibble | 1);
        } else if bit_state.bits == 4 {
            self.find_slots(self.bit_state.partial);
        } else if bit_state.bits == 8 {
            self.text.push(bit_state.partial as u8);
            (bit_state.partial, bit_state.bits) = (1, 0);
            match self.checkpoint.left.checked_sub(1) {
                Some(left) => self.checkpoint.left = left,
                None => self.discard_checkpoint(),
            }
            self.text.contexts(&mut self.bit_state.hashes);
            self.prefetch_slots(0);
            for m in self.matches.iter_mut().flatten() {
                m.byte(&self.text);
            }
            self.find_slots(0);
        }
    }

    /// Starts a line that has no line above it, at a byte boundary.
    pub fn begin_line(&mut self) {
        debug_assert!(self.bit_state.bits == 0);
        self.text.begin_line();
        self.text.contexts(&mut self.bit_state.hashes);
        self.find_slots(0);
    }

    /// The probability of every byte: the product of its bits' probabilities. Leaves the state unchanged.
    pub fn probabilities(&mut self, neural: &Views, out: &mut [f32; VOCAB]) {
        // Each trial is undone at once. Journalling it would only make the journals grow with every call.
        self.pause(true);
        self.walk_bits(neural, 1.0, out);
        self.pause(false);
    }

    /// Pauses or resumes the journals of the tables that bits write to.
    fn pause(&mut self, paused: bool) {
        self.slots.pause(paused);
        self.mixer.pause(paused);
        self.matches.iter_mut().flatten().for_each(|m| m.pause(paused));
        self.apms.iter_mut().for_each(|apm| apm.journal.pause(paused));
        self.checkpoint.direct.iter_mut().for_each(|journal| journal.pause(paused));
    }

    fn walk_bits(&mut self, neural: &Views, so_far: f32, out: &mut [f32; VOCAB]) {
        let ones = self.predict(neural);
        let first = self.bit_state.partial << 1 & 0xff;
        for (bit, share) in [ONE as u32 - ones, ones].into_iter().enumerate() {
            let p = so_far * (share as f32 * (1.0 / ONE as f32));
            if self.bit_state.bits == 7 {
                out[first as usize + bit] = p;
            } else {
                let saved = self.save();
                self.update(bit as u32);
                self.walk_bits(neural, p, out);
                self.restore(&saved);
            }
        }
    }

    fn save(&self) -> SavedBit {
        let (bit_state, node) = (self.bit_state, self.node());
        let mut saved = SavedBit {
            bit_state,
            seen: self.seen,
            maps: [Adaptive::new(0, 0); MAX_CONTEXTS],
            histories: bit_state.states,
            lines: Vec::new(),
            direct: std::array::from_fn(|i| self.direct[i][bit_state.direct_at[i]]),
            matches: self.matches.as_ref().map(|m| m.each_ref().map(Match::save)),
            mixer: self.mixer.save(),
            apms: self.apms.each_ref().map(Apm::save),
        };
        for (i, map) in self.maps.iter().enumerate() {
            saved.maps[i] = map[usize::from(bit_state.states[i])];
            saved.histories[i] = self.slots.histories()[bit_state.at[i] + node];
        }
        if bit_state.bits == 3 {
            let nibbles = [0, 1].map(|bit| bit_state.partial << 1 | bit);
            let hashes = &bit_state.hashes[..self.contexts];
            saved.lines = hashes.iter().flat_map(|h| nibbles.map(|nibble| self.slots.save(*h, nibble))).collect();
        }
        saved
    }

    fn restore(&mut self, saved: &SavedBit) {
        (self.bit_state, self.seen) = (saved.bit_state, saved.seen);
        // Lines first: the histories restored below lie on them.
        saved.lines.iter().for_each(|line| self.slots.restore(line));
        let node = self.node();
        for (i, map) in self.maps.iter_mut().enumerate() {
            map[usize::from(self.bit_state.states[i])] = saved.maps[i];
            self.slots.histories_mut()[self.bit_state.at[i] + node] = saved.histories[i];
        }
        for (i, table) in self.direct.iter_mut().enumerate() {
            table[self.bit_state.direct_at[i]] = saved.direct[i];
        }
        for (m, saved) in self.matches.iter_mut().flatten().zip(saved.matches.iter().flatten()) {
            m.restore(*saved);
        }
        self.mixer.restore(&saved.mixer);
        for (apm, saved) in self.apms.iter_mut().zip(saved.apms) {
            apm.restore(saved);
        }
    }

    /// Prefetches the lines that [`Mix::find_slots`] will access.
    #[inline(always)]
    fn prefetch_slots(&self, nibble: u32) {
        self.bit_state.hashes[..self.contexts].iter().for_each(|hash| self.slots.prefetch(*hash, nibble));
    }

    /// Looks up all contexts' slots at a nibble boundary. `nibble`: 0 for a byte's first nibble, else the first nibble with a
    /// leading 1.
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

/// The probability that a direct cell stores.
#[inline(always)]
fn probability(cell: u16) -> i32 {
    i32::from(cell ^ HALF)
}

/// [`Mix::predict`] at one CPU level.
struct Predict<'a> {
    mix: &'a mut Mix,
    views: [i32; MAX_VIEWS],
}

impl Kernel for Predict<'_> {
    type Output = u32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u32 {
        let node = self.mix.node();
        let Mix { options, bit_state, text, slots, maps, direct, matches, mixer, apms, .. } = self.mix;
        let (logistic, partial) = (Logistic::get(), bit_state.partial);
        let [c1, c2, c3] = [1, 2, 3].map(|i| text.back(i));
        let last_three = c1 | c2 << 8 | c3 << 16;
        let order3 = |partial| (hash(last_three, partial) >> (32 - APM_LOG)) as usize;
        apms[0].select(partial as usize);
        apms[1].select((c1 << 8 | partial) as usize);
        apms[2].select(order3(partial));
        if bit_state.bits < 7 {
            // The next bit selects one of these two.
            for next in [partial << 1, partial << 1 | 1] {
                apms[1].prefetch((c1 << 8 | next) as usize);
                apms[2].prefetch(order3(next));
            }
        }
        let (x, contexts) = (&mut mixer.inputs().0, maps.len());
        // Two inputs from each probability: stretched, and how far it is from one half.
        let (found, histories) =
            (bit_state.at.iter().zip(&mut bit_state.states).zip(&mut bit_state.cells), slots.histories());
        for ((((at, state), cell), map), x) in found.zip(maps).zip(&mut *x) {
            *state = histories[at + node];
            *cell = map[usize::from(*state)];
            *x = logistic.stretch(cell.p());
        }
        distances(s, &bit_state.cells, &mut x[contexts..]);
        let both = |p: i32| [logistic.stretch(p), (p - ONE / 2) >> DISTANCE];
        x[2 * contexts..].fill(0);
        let mut free = x[2 * contexts..].as_chunks_mut::<2>().0.iter_mut();
        bit_state.direct_at = [partial as usize, (c1 << 8 | partial) as usize];
        for (table, at) in direct.iter().zip(bit_state.direct_at) {
            *free.next().expect("room for all inputs") = table[at].map(|cell| logistic.stretch(probability(cell)));
        }
        let mut lengths = [0; 2];
        for (m, length) in matches.iter_mut().flatten().zip(&mut lengths) {
            let p = m.predict(partial, bit_state.bits).unwrap_or(ONE / 2);
            *free.next().expect("room for all inputs") = both(p);
            *length = m.length_class();
        }
        let bits = bit_state.bits as usize;
        let views = &self.views[..options.neural.into()];
        for p in views {
            *free.next().expect("room for all inputs") = both(*p);
        }
        free.next().expect("room for all inputs")[0] = 256;
        let confidence = match views.last() {
            // The network's stretched prediction in steps of one half, from -2.5 to 2.5.
            Some(p) => (((logistic.stretch(*p) >> 7) + 6).clamp(0, CONFIDENCE_STEPS as i32 - 1) as usize) << 3 | bits,
            None => lengths[0] * 10 + lengths[1],
        };
        // How many of the first contexts, mostly the orders from 2 on, were seen before.
        let seen_contexts = bit_state.states[..6].iter().filter(|s| **s != 0).count();
        let (shape, outline) = (text.shape(), text.outline());
        let sets: [usize; SETS] = [
            partial as usize,
            (usize::from(lengths[0] > 0) << 3 | seen_contexts) << 3 | bits,
            c1 as usize,
            confidence,
            outline & 0xff,
            shape >> 4 & 0xff,
            (shape & 15) << 8 | partial as usize,
        ];
        let last: [usize; LAST] = [partial as usize, shape & 0xff, seen_contexts];
        let t = mixer.mix(s, sets, last);
        let [a, b, c] = apms.each_mut().map(|apm| apm.refine(t));
        ((logistic.squash(t) * 2 + a + b * 2 + c * 3) >> 3) as u32
    }
}

/// [`Mix::update`] at one CPU level.
struct Learn<'a> {
    mix: &'a mut Mix,
    bit: u32,
}

impl Kernel for Learn<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mix, bit } = self;
        let (histories, node) = (Histories::get(), mix.node());
        // The learning rate falls with the number of bits.
        let rate = 600 + (3200 << 12) / (4096 + mix.seen as i32 / 16);
        mix.seen = (mix.seen + 1).min(1 << 24);
        mix.mixer.update(s, bit, rate);
        for apm in &mut mix.apms {
            apm.update(bit, APM_RATE);
        }
        update_all(s, &mut mix.bit_state.cells, bit, HISTORY_LIMIT);
        let (bit_state, slots) = (&mix.bit_state, mix.slots.histories_mut());
        for (((at, state), cell), map) in
            bit_state.at.iter().zip(&bit_state.states).zip(&bit_state.cells).zip(&mut mix.maps)
        {
            map[usize::from(*state)] = *cell;
            slots[at + node] = histories.next(*state, bit);
        }
        let target = if bit != 0 { ONE - 1 } else { 0 };
        for ((table, at), journal) in mix.direct.iter_mut().zip(mix.bit_state.direct_at).zip(&mut mix.checkpoint.direct)
        {
            journal.record(at, table[at]);
            for (cell, shift) in table[at].iter_mut().zip(DIRECT_RATES) {
                let p = probability(*cell);
                *cell = ((p + ((target - p) >> shift)).max(1) as u16) ^ HALF;
            }
        }
        for m in mix.matches.iter_mut().flatten() {
            m.update(bit);
        }
    }
}

#[cfg(test)]
mod tests;
