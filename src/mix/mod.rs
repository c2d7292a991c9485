//! Cheap predictors that learn as they go, and the mixer that weighs them: bit by bit, in integers alone.
//!
//! The design is PAQ's (Mahoney 2005, "Adaptive Weighing of Context Models for Lossless Data Compression") in its later,
//! lighter forms: bit histories in hashed slots, adaptive maps from a history to a probability, a match model, logistic
//! mixing in two layers, adaptive probability maps at the end. What a network says of the next byte is one more input.

mod bits;
mod contexts;
mod history;
mod logistic;
mod maps;
mod matches;
mod mixer;
mod slots;
mod start;
mod undo;

pub use self::bits::BitView;
use self::contexts::{Kinds, MAX_CONTEXTS, Text, hash};
use self::history::Histories;
use self::logistic::{Logistic, ONE};
use self::maps::{Adaptive, Apm, Cells, DISTANCE, SavedPoint, distances, update_all};
use self::matches::{Follow, Match};
use self::mixer::{LAST, Mixer, SETS, Saved as SavedMixer};
use self::slots::{LINE, Slots};
use self::start::Fitted;
pub use self::start::{Learned, Start};
use self::undo::{MOST_BYTES, Undo};
use crate::error::Result;
use crate::model::VOCAB;
use crate::numeric::buffer::{filled, zeroed};
use crate::numeric::level::{Kernel, Level};
use crate::numeric::simd::Simd;

/// Orders 0 and 1, not hashed: each a fast and a slow probability of 16 bits.
const DIRECT: usize = 2;
/// Shifts of their steps.
const DIRECT_RATES: [u32; 2] = [4, 6];
/// Cells hold their probability with this bit changed, so that zeros are one half.
const HALF: u16 = 1 << 15;
/// A history's probability counts up to this.
const HISTORY_LIMIT: u32 = 255;
/// The minimum lengths of the two matches, and how many positions each keeps in mind, as logarithms.
const MATCHES: [(u32, u32); 2] = [(20, 16), (6, 18)];
/// Contexts of the last map, hashed, as a logarithm.
const APM_LOG: u32 = 16;
/// Shift of the maps' steps.
const APM_RATE: u32 = 5;
/// The most views of the next byte that networks give.
pub const MAX_VIEWS: usize = 3;

/// What networks say of the next byte; none of it where they are left out.
pub type Views<'a> = [Option<&'a BitView>; MAX_VIEWS];

/// Steps of how sure the network is.
const SURE: usize = 12;
/// How many of six contexts have come before: up to 6.
const KNOWN: usize = 8;
/// The lengths of both matches.
const LENGTHS: usize = 10 * 10;
/// Rows of weights by set; of [`FEATURES`] there are fewer with a network.
const ROWS: [usize; SETS] = [256, 2 * KNOWN * 8, 256, LENGTHS, 256, 256, 16 << 8];
/// Rows of the last mixers.
const LAST_ROWS: [usize; LAST] = [256, 256, KNOWN];
/// The set whose rows are chosen by what a network says, or by the lengths of matches.
const FEATURES: usize = 3;
const _: () = assert!(SURE * 8 <= LENGTHS);
/// Contexts that there are with orders up to 6, words and the sparse ones.
const CONTEXTS: usize = 21;

/// What is mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many views of the next byte networks give, at most [`MAX_VIEWS`].
    pub neural: u8,
    /// How many of them, from the first on, are of networks that know something before the first byte.
    pub knowing: u8,
    /// Orders go from 0 to this one, 2 to 8.
    pub highest_order: u8,
    /// Words as contexts.
    pub words: bool,
    /// A model of long repeats.
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
        // Rounded up: maps 9 MiB, matches, mixers and direct tables 3, and logs of changes up to 15, which two of the six
        // that a handle may hold have.
        const REST: u64 = 17 << 20;
        (1u64 << self.log) + (1u64 << self.window_log()) + REST
    }
}

/// Predicts bits. A fresh one knows nothing of its text.
#[derive(Debug)]
pub struct Mix {
    options: Options,
    level: Level,
    text: Text,
    slots: Slots,
    /// How many contexts there are.
    contexts: usize,
    /// What follows a history, by context.
    maps: Vec<[Adaptive; 256]>,
    direct: [Vec<[u16; 2]>; DIRECT],
    matches: Option<[Match; 2]>,
    mixer: Mixer,
    apms: [Apm; 3],
    now: Now,
    /// Bits so far, while they count for the rate.
    seen: u32,
    log: Log,
}

/// Where a log of changes began; the tables have their own.
#[derive(Debug)]
struct Log {
    /// How many bytes more it covers.
    left: u32,
    maps: Vec<[Adaptive; 256]>,
    direct: [Undo<[u16; 2]>; DIRECT],
    now: Now,
    seen: u32,
}

/// The bit at work.
#[derive(Clone, Copy, Debug)]
struct Now {
    /// The bits of this byte so far, with a leading 1.
    partial: u32,
    /// How many.
    bits: u32,
    hashes: [u32; MAX_CONTEXTS],
    /// Where each context's histories of this nibble lie.
    at: [usize; MAX_CONTEXTS],
    /// The histories of this bit, and what their maps say.
    states: [u8; MAX_CONTEXTS],
    cells: Cells,
    direct_at: [usize; DIRECT],
}

/// All that a bit changes: to try one and go back.
struct Saved {
    now: Now,
    seen: u32,
    maps: [Adaptive; MAX_CONTEXTS],
    histories: [u8; MAX_CONTEXTS],
    lines: Vec<(usize, [u8; LINE])>,
    direct: [[u16; 2]; DIRECT],
    matches: Option<[(Follow, Adaptive); 2]>,
    mixer: SavedMixer,
    apms: [SavedPoint; 3],
}

impl Mix {
    /// A fresh one.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(options: Options) -> Result<Self> {
        Self::starting(options, &Start::of(&options)?)
    }

    /// A fresh one that starts from elsewhere: frames are not made so.
    ///
    /// # Errors
    /// `Memory`.
    ///
    /// # Panics
    /// If the start's tables are not as long as [`Start::unlearned`] has them.
    pub fn starting(options: Options, start: &Start) -> Result<Self> {
        let kinds = Kinds { highest_order: options.highest_order.into(), words: options.words, sparse: options.sparse };
        let text = Text::new(kinds, options.window_log())?;
        let mut hashes = [0; MAX_CONTEXTS];
        let contexts = text.contexts(&mut hashes);
        let start = Fitted::new(start, &options);
        let mut maps = filled(contexts, [Adaptive::new(0, 0); 256], "context maps")?;
        maps.iter_mut().enumerate().for_each(|(context, map)| *map = start.map(context));
        let follow = |i: usize| Match::new(MATCHES[i].0, MATCHES[i].1, &start.confidence(i));
        let matches = if options.matches { Some([follow(0)?, follow(1)?]) } else { None };
        let mut order0 = zeroed(1 << 8, "order 0")?;
        order0.copy_from_slice(&start.order0());
        let mut rows = ROWS;
        if options.neural > 0 {
            rows[FEATURES] = SURE * 8;
        }
        let now = Now {
            partial: 1,
            bits: 0,
            hashes,
            at: [0; MAX_CONTEXTS],
            states: [0; MAX_CONTEXTS],
            cells: [Adaptive::new(0, 0); _],
            direct_at: [0; DIRECT],
        };
        let mut mix = Self {
            log: Log {
                left: 0,
                maps: filled(contexts, [Adaptive::new(0, 0); 256], "context maps")?,
                direct: [Undo::default(), Undo::default()],
                now,
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
            now,
            seen: 0,
        };
        mix.find_slots(0);
        mix.begin();
        Ok(mix)
    }

    /// What it has learned, for a [`Start`] of others.
    ///
    /// # Panics
    /// If the options do not ask for all that a start knows of, or for more.
    pub fn learned(&self, start: &Start) -> Learned {
        Learned::new(&Fitted::new(start, &self.options), self)
    }

    /// What is mixed.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Goes on with the CPU level that is allowed now.
    pub fn use_current_level(&mut self) {
        self.level = Level::current();
    }

    /// Takes over another one of the same options, at a byte's start, without taking memory.
    pub fn copy_from(&mut self, other: &Self) {
        debug_assert!(self.options == other.options && other.now.bits == 0);
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
        (self.now, self.seen) = (other.now, other.seen);
        self.begin();
    }

    /// A log of changes begins, at a byte's start.
    fn begin(&mut self) {
        self.text.begin();
        self.slots.begin(&self.now.at[..self.contexts]);
        self.mixer.begin();
        self.matches.iter_mut().flatten().for_each(Match::begin);
        self.apms.iter_mut().for_each(|apm| apm.undo.begin());
        let log = &mut self.log;
        log.direct.iter_mut().for_each(Undo::begin);
        log.maps.copy_from_slice(&self.maps);
        (log.left, log.now, log.seen) = (MOST_BYTES, self.now, self.seen);
    }

    fn stop(&mut self) {
        self.text.stop();
        self.slots.stop();
        self.mixer.stop();
        self.matches.iter_mut().flatten().for_each(Match::stop);
        self.apms.iter_mut().for_each(|apm| apm.undo.stop());
        self.log.direct.iter_mut().for_each(Undo::stop);
    }

    /// Goes back to where it was when it was made or last copied, if it took in so little that it kept a log of it; tells
    /// whether it did. At a cost in proportion to what it took in.
    #[must_use]
    pub fn roll_back(&mut self) -> bool {
        let whole = self.text.is_whole()
            && self.slots.is_whole()
            && self.mixer.is_whole()
            && self.matches.iter().flatten().all(Match::is_whole)
            && self.apms.iter().all(|apm| apm.undo.is_whole())
            && self.log.direct.iter().all(Undo::is_whole);
        if whole {
            self.text.roll_back();
            self.slots.roll_back();
            self.mixer.roll_back();
            self.matches.iter_mut().flatten().for_each(Match::roll_back);
            self.apms.iter_mut().for_each(Apm::roll_back);
            let log = &mut self.log;
            for (table, undo) in self.direct.iter_mut().zip(&mut log.direct) {
                undo.go_back(|at, cell| table[at] = cell);
            }
            self.maps.copy_from_slice(&log.maps);
            (self.now, self.seen) = (log.now, log.seen);
            self.begin();
        }
        whole
    }

    /// Shows a hash all that bytes have changed, at a byte's start.
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

    /// How likely the next bit is 1, of 65536: never 0, never 65536. `neural` is what the network says of it, where there
    /// is one. Each bit is first asked for, then [taken in](Self::update).
    pub fn predict(&mut self, neural: &Views) -> u32 {
        let partial = self.now.partial;
        let views = neural.map(|view| view.map_or(ONE / 2, |view| view.p(partial) as i32));
        self.level.run(Predict { mix: self, views })
    }

    /// Takes in the bit that was asked for.
    pub fn update(&mut self, bit: u32) {
        self.level.run(Learn { mix: self, bit });
        let now = &mut self.now;
        now.partial = now.partial << 1 | bit;
        now.bits += 1;
        if now.bits == 3 {
            // One of the two will be needed.
            let nibble = now.partial << 1;
            self.prefetch_slots(nibble);
            self.prefetch_slots(nibble | 1);
        } else if now.bits == 4 {
            self.find_slots(self.now.partial);
        } else if now.bits == 8 {
            self.text.push(now.partial as u8);
            (now.partial, now.bits) = (1, 0);
            match self.log.left.checked_sub(1) {
                Some(left) => self.log.left = left,
                None => self.stop(),
            }
            self.text.contexts(&mut self.now.hashes);
            self.prefetch_slots(0);
            for m in self.matches.iter_mut().flatten() {
                m.byte(&self.text);
            }
            self.find_slots(0);
        }
    }

    /// A line begins here that has none above it, at a byte's start.
    pub fn begin_line(&mut self) {
        debug_assert!(self.now.bits == 0);
        self.text.begin_line();
        self.text.contexts(&mut self.now.hashes);
        self.find_slots(0);
    }

    /// The probability of every byte: what its bits would cost, one after the other. Nothing is changed.
    pub fn probabilities(&mut self, neural: &Views, out: &mut [f32; VOCAB]) {
        // What is tried is put back at once: a log of it would only grow from call to call.
        self.pause(true);
        self.try_bits(neural, 1.0, out);
        self.pause(false);
    }

    /// Of the tables that a byte's bits write to.
    fn pause(&mut self, paused: bool) {
        self.slots.pause(paused);
        self.mixer.pause(paused);
        self.matches.iter_mut().flatten().for_each(|m| m.pause(paused));
        self.apms.iter_mut().for_each(|apm| apm.undo.pause(paused));
        self.log.direct.iter_mut().for_each(|undo| undo.pause(paused));
    }

    fn try_bits(&mut self, neural: &Views, so_far: f32, out: &mut [f32; VOCAB]) {
        let ones = self.predict(neural);
        let first = self.now.partial << 1 & 0xff;
        for (bit, share) in [ONE as u32 - ones, ones].into_iter().enumerate() {
            let p = so_far * (share as f32 * (1.0 / ONE as f32));
            if self.now.bits == 7 {
                out[first as usize + bit] = p;
            } else {
                let saved = self.save();
                self.update(bit as u32);
                self.try_bits(neural, p, out);
                self.go_back(&saved);
            }
        }
    }

    fn save(&self) -> Saved {
        let (now, node) = (self.now, self.node());
        let mut saved = Saved {
            now,
            seen: self.seen,
            maps: [Adaptive::new(0, 0); MAX_CONTEXTS],
            histories: now.states,
            lines: Vec::new(),
            direct: std::array::from_fn(|i| self.direct[i][now.direct_at[i]]),
            matches: self.matches.as_ref().map(|m| m.each_ref().map(Match::save)),
            mixer: self.mixer.save(),
            apms: self.apms.each_ref().map(Apm::save),
        };
        for (i, map) in self.maps.iter().enumerate() {
            saved.maps[i] = map[usize::from(now.states[i])];
            saved.histories[i] = self.slots.histories()[now.at[i] + node];
        }
        if now.bits == 3 {
            let nibbles = [0, 1].map(|bit| now.partial << 1 | bit);
            let hashes = &now.hashes[..self.contexts];
            saved.lines = hashes.iter().flat_map(|h| nibbles.map(|nibble| self.slots.save(*h, nibble))).collect();
        }
        saved
    }

    fn go_back(&mut self, saved: &Saved) {
        (self.now, self.seen) = (saved.now, saved.seen);
        // Lines first: they were saved with the histories that are put back one by one.
        saved.lines.iter().for_each(|line| self.slots.go_back(line));
        let node = self.node();
        for (i, map) in self.maps.iter_mut().enumerate() {
            map[usize::from(self.now.states[i])] = saved.maps[i];
            self.slots.histories_mut()[self.now.at[i] + node] = saved.histories[i];
        }
        for (i, table) in self.direct.iter_mut().enumerate() {
            table[self.now.direct_at[i]] = saved.direct[i];
        }
        for (m, saved) in self.matches.iter_mut().flatten().zip(saved.matches.iter().flatten()) {
            m.go_back(*saved);
        }
        self.mixer.go_back(&saved.mixer);
        for (apm, saved) in self.apms.iter_mut().zip(saved.apms) {
            apm.go_back(saved);
        }
    }

    /// Before [`Mix::find_slots`], which would wait for the memory once for each context.
    #[inline(always)]
    fn prefetch_slots(&self, nibble: u32) {
        self.now.hashes[..self.contexts].iter().for_each(|hash| self.slots.prefetch(*hash, nibble));
    }

    /// At a nibble's start; nibbles have a leading 1, the first one is 0.
    fn find_slots(&mut self, nibble: u32) {
        let hashes = &self.now.hashes[..self.contexts];
        for (at, hash) in self.now.at.iter_mut().zip(hashes) {
            *at = self.slots.find(*hash, nibble);
        }
    }

    /// Which of a nibble's histories is next.
    fn node(&self) -> usize {
        let mask = (1 << (self.now.bits % 4)) - 1;
        mask + (self.now.partial as usize & mask)
    }
}

/// A cell's probability.
#[inline(always)]
fn chance(cell: u16) -> i32 {
    i32::from(cell ^ HALF)
}

/// Asks for a bit at a level.
struct Predict<'a> {
    mix: &'a mut Mix,
    views: [i32; MAX_VIEWS],
}

impl Kernel for Predict<'_> {
    type Output = u32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u32 {
        let node = self.mix.node();
        let Mix { options, now, text, slots, maps, direct, matches, mixer, apms, .. } = self.mix;
        let (logistic, partial) = (Logistic::get(), now.partial);
        let [c1, c2, c3] = [1, 2, 3].map(|i| text.back(i));
        let last_three = c1 | c2 << 8 | c3 << 16;
        let order3 = |partial| (hash(last_three, partial) >> (32 - APM_LOG)) as usize;
        apms[0].turn_to(partial as usize);
        apms[1].turn_to((c1 << 8 | partial) as usize);
        apms[2].turn_to(order3(partial));
        if now.bits < 7 {
            // One of the two comes next.
            for next in [partial << 1, partial << 1 | 1] {
                apms[1].prefetch((c1 << 8 | next) as usize);
                apms[2].prefetch(order3(next));
            }
        }
        let (x, contexts) = (&mut mixer.inputs().0, maps.len());
        // Two inputs from each probability: stretched, and how far it is from one half.
        let (found, histories) = (now.at.iter().zip(&mut now.states).zip(&mut now.cells), slots.histories());
        for ((((at, state), cell), map), x) in found.zip(maps).zip(&mut *x) {
            *state = histories[at + node];
            *cell = map[usize::from(*state)];
            *x = logistic.stretch(cell.p());
        }
        distances(s, &now.cells, &mut x[contexts..]);
        let both = |p: i32| [logistic.stretch(p), (p - ONE / 2) >> DISTANCE];
        x[2 * contexts..].fill(0);
        let mut free = x[2 * contexts..].as_chunks_mut::<2>().0.iter_mut();
        now.direct_at = [partial as usize, (c1 << 8 | partial) as usize];
        for (table, at) in direct.iter().zip(now.direct_at) {
            *free.next().expect("room for all inputs") = table[at].map(|cell| logistic.stretch(chance(cell)));
        }
        let mut lengths = [0; 2];
        for (m, length) in matches.iter_mut().flatten().zip(&mut lengths) {
            let p = m.predict(partial, now.bits).unwrap_or(ONE / 2);
            *free.next().expect("room for all inputs") = both(p);
            *length = m.state();
        }
        let bits = now.bits as usize;
        let views = &self.views[..options.neural.into()];
        for p in views {
            *free.next().expect("room for all inputs") = both(*p);
        }
        free.next().expect("room for all inputs")[0] = 256;
        let trust = match views.last() {
            // The network's answer in steps of one half, from -2.5 to 2.5.
            Some(p) => (((logistic.stretch(*p) >> 7) + 6).clamp(0, SURE as i32 - 1) as usize) << 3 | bits,
            None => lengths[0] * 10 + lengths[1],
        };
        // How many of the first contexts, mostly the orders from 2 on, have come before.
        let known = now.states[..6].iter().filter(|s| **s != 0).count();
        let (shape, outline) = (text.shape(), text.outline());
        let sets: [usize; SETS] = [
            partial as usize,
            (usize::from(lengths[0] > 0) << 3 | known) << 3 | bits,
            c1 as usize,
            trust,
            outline & 0xff,
            shape >> 4 & 0xff,
            (shape & 15) << 8 | partial as usize,
        ];
        let last: [usize; LAST] = [partial as usize, shape & 0xff, known];
        let t = mixer.mix(s, sets, last);
        let [a, b, c] = apms.each_mut().map(|apm| apm.refine(t));
        ((logistic.squash(t) * 2 + a + b * 2 + c * 3) >> 3) as u32
    }
}

/// Takes in a bit at a level.
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
        // Steps grow small with experience.
        let rate = 600 + (3200 << 12) / (4096 + mix.seen as i32 / 16);
        mix.seen = (mix.seen + 1).min(1 << 24);
        mix.mixer.update(s, bit, rate);
        for apm in &mut mix.apms {
            apm.update(bit, APM_RATE);
        }
        update_all(s, &mut mix.now.cells, bit, HISTORY_LIMIT);
        let (now, slots) = (&mix.now, mix.slots.histories_mut());
        for (((at, state), cell), map) in now.at.iter().zip(&now.states).zip(&now.cells).zip(&mut mix.maps) {
            map[usize::from(*state)] = *cell;
            slots[at + node] = histories.next(*state, bit);
        }
        let target = if bit != 0 { ONE - 1 } else { 0 };
        for ((table, at), undo) in mix.direct.iter_mut().zip(mix.now.direct_at).zip(&mut mix.log.direct) {
            undo.note(at, table[at]);
            for (cell, shift) in table[at].iter_mut().zip(DIRECT_RATES) {
                let p = chance(*cell);
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
