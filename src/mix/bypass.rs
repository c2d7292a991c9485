//! The bypass: while a long match predicts reliably, the context models are skipped, and the bits of a byte are
//! predicted from the match and a few small tables. All probabilities here are those of agreement: that the bit, or the
//! byte, is the one that the match expects.
//!
//! Gates decide whether a byte is bypassed. A gate is an adaptive probability that the whole byte is the expected one.
//! Gates learn from every byte that a long match predicts, whether it is bypassed or not. So the encoder and the
//! decoder make the same decision before the byte, and a field whose content changes is soon no longer bypassed.

use super::contexts::{Text, hash};
use super::journal::Journal;
use super::logistic::{Logistic, ONE};
use super::maps::Adaptive;
use super::matches::{KINDS, Match};
use super::mixer::{Mixer, Saved as SavedMixer, WEIGHT_ONE};
use crate::error::Result;
use crate::numeric::buffer::zeroed;
use crate::numeric::simd::Simd;

/// Number of weight sets. The first is selected by the match's length and miss classes (and by whether the bit is the
/// first of the byte), the second by the expected byte and the position of the bit.
const SETS: usize = 2;
/// Number of tables of cells. A cell is the probability that a bit agrees. The tables are indexed by the expected byte
/// and the position of the bit; by a hash of these and the last byte; and by a hash of these and the last two bytes.
const CELLS: usize = 3;
/// log2 of the number of cells of a table, and of the number of gates of a table.
const LOG: u32 = 14;
/// Number of inputs: match, cells, order 1, bias, gates.
const INPUTS: usize = CELLS + 3 + GATES;
/// Number of tables of gates: by the last three bytes, and by the last byte and the field; both with the expected byte.
const GATES: usize = 2;
/// Count limit of the gates.
const GATE_LIMIT: u32 = 60;
/// The minimum length of a match for which a byte has gates.
const LENGTH: u32 = 16;
/// A byte is bypassed if the probability of both of its gates, in 1/65536, is at least this.
const SURE: i32 = 64_700;
/// Learning rate of the mixer.
const RATE: i32 = 80;
/// Count limit of the cells.
const LIMIT: u32 = 255;

/// Predicts the bits of bypassed bytes.
#[derive(Debug)]
pub(crate) struct Bypass {
    mixer: Mixer<SETS>,
    /// The cells, each xor its initial value, so that a new table is zeros.
    cells: Vec<u32>,
    initial: u32,
    /// Indices of the cells of the current bit.
    at: [usize; CELLS],
    /// The value of the current bit that the match expects.
    expected: u32,
    /// The gates, each xor its initial value.
    gates: Vec<u32>,
    initial_gate: u32,
    /// Indices of the gates of the next byte. `None` if no long match predicts it.
    gate_at: Option<[usize; GATES]>,
    /// `gate_at` at the checkpoint.
    gate_at_checkpoint: Option<[usize; GATES]>,
    gate_journal: Journal<u32>,
    journal: Journal<u32>,
}

/// Everything that one bit changes.
#[derive(Debug)]
pub(crate) struct Saved {
    mixer: SavedMixer<SETS>,
    at: [usize; CELLS],
    expected: u32,
    cells: [u32; CELLS],
}

impl Bypass {
    /// A bypass in its initial state.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn new() -> Result<Self> {
        let weights = |_: usize, _: usize, out: &mut dyn Iterator<Item = &mut i32>| {
            out.take(1 + CELLS).for_each(|w| *w = WEIGHT_ONE * 35 / 200);
        };
        Ok(Self {
            mixer: Mixer::new([KINDS / 2, 8 * 256], INPUTS, weights)?,
            cells: zeroed(CELLS << LOG, "bypass")?,
            initial: Adaptive::new(65_000, 6).bits(),
            at: [0; CELLS],
            expected: 0,
            gates: zeroed(GATES << LOG, "bypass")?,
            initial_gate: Adaptive::new(63_536, 2).bits(),
            gate_at: None,
            gate_at_checkpoint: None,
            gate_journal: Journal::default(),
            journal: Journal::default(),
        })
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.mixer.copy_from(&other.mixer);
        self.cells.copy_from_slice(&other.cells);
        self.gates.copy_from_slice(&other.gates);
        self.gate_at = other.gate_at;
    }

    /// Sets a checkpoint.
    pub(crate) fn checkpoint(&mut self) {
        self.mixer.checkpoint();
        self.journal.start();
        self.gate_journal.start();
        self.gate_at_checkpoint = self.gate_at;
    }

    pub(crate) fn discard_checkpoint(&mut self) {
        self.mixer.discard_checkpoint();
        self.journal.discard();
        self.gate_journal.discard();
    }

    pub(crate) fn pause(&mut self, paused: bool) {
        self.mixer.pause(paused);
        self.journal.pause(paused);
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.mixer.is_complete() && self.journal.is_complete() && self.gate_journal.is_complete()
    }

    /// Returns to the checkpoint.
    pub(crate) fn roll_back(&mut self) {
        self.mixer.roll_back();
        self.journal.undo_all(|at, cell| self.cells[at] = cell);
        self.gate_journal.undo_all(|at, cell| self.gates[at] = cell);
        self.gate_at = self.gate_at_checkpoint;
    }

    pub(crate) fn visit(&self, add: &mut dyn FnMut(&[u8])) {
        self.mixer.visit(add);
        self.cells.iter().chain(&self.gates).for_each(|cell| add(&cell.to_le_bytes()));
        self.gate_at.iter().flatten().for_each(|at| add(&(*at as u32).to_le_bytes()));
    }

    pub(crate) fn save(&self) -> Saved {
        Saved {
            mixer: self.mixer.save(),
            at: self.at,
            expected: self.expected,
            cells: self.at.map(|at| self.cells[at]),
        }
    }

    pub(crate) fn restore(&mut self, saved: &Saved) {
        self.mixer.restore(&saved.mixer);
        (self.at, self.expected) = (saved.at, saved.expected);
        self.at.into_iter().zip(saved.cells).for_each(|(at, cell)| self.cells[at] = cell);
    }

    /// The value of the current bit that the match expects.
    #[inline(always)]
    pub(crate) fn expected(&self) -> u32 {
        self.expected
    }

    /// The probability of 1. `m`: the match, which expects a byte; `partial`: the first `bits` bits of that byte, after
    /// a leading 1; `order1`: the probability of 1 of order 1, fast.
    #[inline(always)]
    pub(crate) fn predict<S: Simd>(
        &mut self,
        s: S,
        m: &mut Match,
        text: &Text,
        partial: u32,
        bits: u32,
        order1: i32,
    ) -> u32 {
        let logistic = Logistic::get();
        let byte = m.expected_byte();
        self.expected = byte >> (7 - bits) & 1;
        let p = m.predict(partial, bits).unwrap_or(ONE / 2);
        let agree = |p: i32| if self.expected != 0 { p } else { ONE - p };
        let [c1, c2] = [1, 2].map(|i| text.back(i));
        let here = byte << 3 | bits;
        self.at = [
            here as usize,
            (1 << LOG) + (hash(here | c1 << 16, 5) >> (32 - LOG)) as usize,
            (2 << LOG) + (hash(here | c1 << 16 | c2 << 24, 6) >> (32 - LOG)) as usize,
        ];
        let x = &mut self.mixer.inputs().0;
        x[0] = logistic.stretch(agree(p));
        for (x, at) in x[1..].iter_mut().zip(self.at) {
            *x = logistic.stretch(Adaptive::from_bits(self.cells[at] ^ self.initial).p());
        }
        x[1 + CELLS] = logistic.stretch(agree(order1));
        x[2 + CELLS] = 256;
        if let Some(at) = self.gate_at {
            for (x, at) in x[3 + CELLS..].iter_mut().zip(at) {
                *x = logistic.stretch(Adaptive::from_bits(self.gates[at] ^ self.initial_gate).p());
            }
        }
        let t = self.mixer.mix::<1, S>(s, [m.kind(), here as usize]);
        agree(logistic.squash(t)) as u32
    }

    /// Updates the gates after a byte, once `text` and `m` contain it. `came`: whether it was the byte that the match
    /// expected. Returns whether the next byte is bypassed.
    pub(crate) fn byte(&mut self, text: &Text, m: &Match, came: bool) -> bool {
        if let Some(at) = self.gate_at {
            for at in at {
                self.gate_journal.record(at, self.gates[at]);
                let mut cell = Adaptive::from_bits(self.gates[at] ^ self.initial_gate);
                cell.update(u32::from(came), GATE_LIMIT);
                self.gates[at] = cell.bits() ^ self.initial_gate;
            }
        }
        self.gate_at = None;
        if m.is_long(LENGTH) {
            let byte = m.expected_byte();
            let [c1, c2, c3] = [1, 2, 3].map(|i| text.back(i));
            let at = [
                (hash(c1 | c2 << 8 | c3 << 16, byte) >> (32 - LOG)) as usize,
                (1 << LOG) + (hash(c1 | byte << 8, text.field()) >> (32 - LOG)) as usize,
            ];
            self.gate_at = Some(at);
            let p = at.map(|at| Adaptive::from_bits(self.gates[at] ^ self.initial_gate).p());
            return p.iter().all(|p| *p >= SURE);
        }
        false
    }

    /// Learns a bit that [`Bypass::predict`] predicted.
    #[inline(always)]
    pub(crate) fn update<S: Simd>(&mut self, s: S, m: &mut Match, bit: u32) {
        let agrees = u32::from(bit == self.expected);
        m.update(bit);
        self.mixer.update::<1, S>(s, agrees, RATE);
        for at in self.at {
            self.journal.record(at, self.cells[at]);
            let mut cell = Adaptive::from_bits(self.cells[at] ^ self.initial);
            cell.update(agrees, LIMIT);
            self.cells[at] = cell.bits() ^ self.initial;
        }
    }
}
