//! The bypass: while a long match predicts reliably, the context models are skipped, and the bits of a byte are
//! predicted from the match and a few small tables. All probabilities here are those of agreement: that the bit, or the
//! byte, is the one that the match expects.
//!
//! Gates decide whether a byte is bypassed. A gate is an adaptive probability that the whole byte is the expected one.
//! Gates learn from every byte that a long match predicts, whether it is bypassed or not. So the encoder and the
//! decoder make the same decision before the byte, and a field whose content changes is soon no longer bypassed.

use std::sync::Arc;

use super::contexts::{Text, hash};
use super::logistic::{Logistic, ONE};
use super::maps::Adaptive;
use super::matches::{KINDS, Match};
use super::mixer::{Line as Weights, Mixer, Saved as SavedMixer, WEIGHT_ONE};
use super::table::{Frozen, Marked, Table};
use crate::error::Result;
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
    cells: Table<[u32; LINE]>,
    initial: u32,
    /// Indices of the cells of the current bit.
    at: [usize; CELLS],
    /// The value of the current bit that the match expects.
    expected: u32,
    /// The gates, each xor its initial value.
    gates: Table<[u32; LINE]>,
    initial_gate: u32,
    /// Indices of the gates of the next byte. `None` if no long match predicts it.
    gate_at: Gates,
    /// `gate_at` at the mark.
    gate_at_marked: Gates,
}

/// The indices of the gates of the next byte, if it has any.
pub(crate) type Gates = Option<[usize; GATES]>;

/// Cells and gates in a cache line.
const LINE: usize = 16;
/// The sets' numbers of rows.
const ROWS: [usize; SETS] = [KINDS / 2, 8 * 256];

/// The content of a bypass.
#[derive(Debug)]
pub(crate) struct BypassContent {
    pub(crate) weights: Arc<Frozen<Weights>>,
    pub(crate) cells: Arc<Frozen<[u32; LINE]>>,
    pub(crate) gates: Arc<Frozen<[u32; LINE]>>,
    pub(crate) gate_at: Gates,
}

impl BypassContent {
    /// The initial content.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn initial() -> Result<Self> {
        let weights = |_: usize, _: usize, out: &mut dyn Iterator<Item = &mut i32>| {
            out.take(1 + CELLS).for_each(|w| *w = WEIGHT_ONE * 35 / 200);
        };
        Ok(Self {
            weights: Mixer::initial(ROWS, INPUTS, weights)?,
            cells: Frozen::zeros((CELLS << LOG) / LINE, 1)?,
            gates: Frozen::zeros((GATES << LOG) / LINE, 1)?,
            gate_at: None,
        })
    }

    /// The indices of the next byte's gates. `number(most)` gives the next of them, which is at most `most`.
    ///
    /// # Errors
    /// Those of `number`.
    pub(crate) fn gates(mut number: impl FnMut(usize) -> Result<usize>) -> Result<[usize; GATES]> {
        let most = (GATES << LOG) - 1;
        let mut gates = [0; GATES];
        for at in &mut gates {
            *at = number(most)?;
        }
        Ok(gates)
    }
}

/// Everything that one bit changes.
#[derive(Debug)]
pub(crate) struct Saved {
    mixer: SavedMixer<SETS>,
    at: [usize; CELLS],
    expected: u32,
    cells: [u32; CELLS],
}

/// A gate. It is read more often than written, so reading does not touch it.
#[inline(always)]
fn gate(gates: &Table<[u32; LINE]>, at: usize, initial: u32) -> Adaptive {
    Adaptive::from_bits(gates.get(at / LINE).map_or(0, |lines| lines[0][at % LINE]) ^ initial)
}

impl Bypass {
    /// A bypass with this content.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn new(content: &BypassContent) -> Result<Self> {
        Ok(Self {
            mixer: Mixer::new(ROWS, &content.weights)?,
            cells: Table::new(&content.cells, "bypass")?,
            initial: Adaptive::new(65_000, 6).bits(),
            at: [0; CELLS],
            expected: 0,
            gates: Table::new(&content.gates, "bypass")?,
            initial_gate: Adaptive::new(63_536, 2).bits(),
            gate_at: content.gate_at,
            gate_at_marked: content.gate_at,
        })
    }

    /// Swaps the gates of the next byte, which belong to a lane.
    pub(crate) fn swap(&mut self, gate_at: &mut Gates) {
        std::mem::swap(&mut self.gate_at, gate_at);
    }

    /// Sets the content.
    pub(crate) fn start_at(&mut self, content: &BypassContent) {
        self.mixer.table.start_at(&content.weights);
        self.cells.start_at(&content.cells);
        self.gates.start_at(&content.gates);
        self.gate_at = content.gate_at;
    }

    /// A copy of the content.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn freeze(&self) -> Result<BypassContent> {
        let (weights, cells) = (self.mixer.table.freeze()?, self.cells.freeze()?);
        Ok(BypassContent { weights, cells, gates: self.gates.freeze()?, gate_at: self.gate_at })
    }

    /// The most touches a byte of each of [`Bypass::tables`].
    pub(crate) const TOUCHES: [usize; 3] = [8 * SETS, 8 * CELLS, GATES];
    /// For each of [`Bypass::tables`]: its bytes, those of a unit, and the most units that a byte touches.
    pub(crate) const TABLES: [(u64, u64, u64); 3] = [
        ((64 * (ROWS[0] + ROWS[1])) as u64, 64, Self::TOUCHES[0] as u64),
        ((CELLS << LOG) as u64 * 4, 64, Self::TOUCHES[1] as u64),
        ((GATES << LOG) as u64 * 4, 64, Self::TOUCHES[2] as u64),
    ];

    /// The tables, whose marks the caller sets beside [`Bypass::mark`]: weights, cells, gates.
    pub(crate) fn tables(&mut self) -> [&mut dyn Marked; 3] {
        [&mut self.mixer.table, &mut self.cells, &mut self.gates]
    }

    /// Saves what is not in tables, for [`Bypass::undo`].
    pub(crate) fn mark(&mut self) {
        self.gate_at_marked = self.gate_at;
    }

    /// Goes back to the last [`Bypass::mark`].
    pub(crate) fn undo(&mut self) {
        self.gate_at = self.gate_at_marked;
    }

    pub(crate) fn save(&mut self) -> Saved {
        self.at.into_iter().for_each(|at| self.cells.touch(at / LINE));
        Saved {
            mixer: self.mixer.save(),
            at: self.at,
            expected: self.expected,
            cells: self.at.map(|at| self.cells.lines().as_flattened()[at]),
        }
    }

    pub(crate) fn restore(&mut self, saved: &Saved) {
        self.mixer.restore(&saved.mixer);
        (self.at, self.expected) = (saved.at, saved.expected);
        let cells = self.cells.lines_mut().as_flattened_mut();
        self.at.into_iter().zip(saved.cells).for_each(|(at, cell)| cells[at] = cell);
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
            self.cells.touch(at / LINE);
            *x = logistic.stretch(Adaptive::from_bits(self.cells.lines()[at / LINE][at % LINE] ^ self.initial).p());
        }
        x[1 + CELLS] = logistic.stretch(agree(order1));
        x[2 + CELLS] = 256;
        if let Some(at) = self.gate_at {
            for (x, at) in x[3 + CELLS..].iter_mut().zip(at) {
                *x = logistic.stretch(gate(&self.gates, at, self.initial_gate).p());
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
                self.gates.touch(at / LINE);
                let mut cell = gate(&self.gates, at, self.initial_gate);
                cell.update(u32::from(came), GATE_LIMIT);
                self.gates.lines_mut()[at / LINE][at % LINE] = cell.bits() ^ self.initial_gate;
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
            let p = at.map(|at| gate(&self.gates, at, self.initial_gate).p());
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
            let stored = &mut self.cells.lines_mut()[at / LINE][at % LINE];
            let mut cell = Adaptive::from_bits(*stored ^ self.initial);
            cell.update(agrees, LIMIT);
            *stored = cell.bits() ^ self.initial;
        }
    }
}
