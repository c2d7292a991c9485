//! The probabilities of all bytes, by trying bits and undoing them.

use super::bypass::{Bypass, Saved as SavedBypass};
use super::contexts::MAX_CONTEXTS;
use super::maps::{Adaptive, Apm, SavedApm};
use super::matches::{Match, MatchState};
use super::mixer::Saved as SavedMixer;
use super::slots::LINE;
use super::{APMS, BitState, DIRECT, DIRECT_LINE, Mix, ONE, SETS, Views, nibble};
use crate::error::Result;
use crate::model::VOCAB;
use crate::numeric::buffer::{boxed, reserved};

/// Everything that one bit changes, saved so that a bit can be tried and undone.
struct SavedBit {
    bit_state: BitState,
    seen: u32,
    rate: i32,
    maps: [Adaptive; MAX_CONTEXTS],
    histories: [u8; MAX_CONTEXTS],
    lines: Vec<(usize, [u8; LINE])>,
    direct: [[u16; 2]; DIRECT],
    matches: Option<[(MatchState, Adaptive); 2]>,
    mixer: SavedMixer<SETS>,
    bypass: Option<SavedBypass>,
    apms: [SavedApm; APMS],
}

impl Mix {
    /// The probability of every byte: the product of its bits' probabilities. Leaves the state unchanged.
    ///
    /// # Errors
    /// `Memory`.
    pub fn probabilities(&mut self, neural: &Views, out: &mut [f32; VOCAB]) -> Result<()> {
        self.walk_bits(neural, 1.0, out)
    }

    /// Writes the probabilities of all bytes that begin with the present bits. `so_far`: the probability of these bits.
    fn walk_bits(&mut self, neural: &Views, so_far: f32, out: &mut [f32; VOCAB]) -> Result<()> {
        let ones = self.predict(neural);
        let first = self.bit_state.partial << 1 & 0xff;
        for (bit, share) in [ONE as u32 - ones, ones].into_iter().enumerate() {
            let p = so_far * (share as f32 * (1.0 / ONE as f32));
            if self.bit_state.bits == 7 {
                out[first as usize + bit] = p;
            } else {
                let saved = self.save()?;
                self.update(bit as u32);
                let walked = self.walk_bits(neural, p, out);
                self.restore(&saved);
                walked?;
            }
        }
        Ok(())
    }

    /// Saves what the next [`Mix::update`] changes. All of it is touched first, also what a bypassed bit does not use:
    /// otherwise [`Mix::restore`] would write what was never read. It is on the heap, and the function is not inlined, because seven
    /// of them on the stack would take most of the stack that a call may use.
    #[inline(never)]
    fn save(&mut self) -> Result<Box<SavedBit>> {
        let (bit_state, node) = (self.bit_state, self.node());
        let mut saved = SavedBit {
            bit_state,
            seen: self.seen,
            rate: self.rate,
            maps: [Adaptive::new(0, 0); MAX_CONTEXTS],
            histories: bit_state.states,
            lines: Vec::new(),
            direct: std::array::from_fn(|i| self.cell(i, bit_state.direct_at[i])),
            matches: self.matches.as_ref().map(|m| m.each_ref().map(Match::save)),
            mixer: self.mixer.save(),
            bypass: self.bypass.as_mut().map(Bypass::save),
            apms: self.apms.each_mut().map(Apm::save),
        };
        for (i, map) in self.maps.iter().enumerate() {
            saved.maps[i] = map[usize::from(bit_state.states[i])];
            saved.histories[i] = self.slots.histories()[bit_state.at[i] + node];
        }
        // The lines on which slots may be looked up after this bit: if it is the last of the first nibble, or if it may
        // end the bypass of the byte.
        if bit_state.bits == 3 || bit_state.bypassed {
            let nibbles = [0, 1].map(|bit| nibble(bit_state.bits + 1, bit_state.partial << 1 | bit));
            let mut hashes = bit_state.hashes;
            if bit_state.bypassed {
                self.text.contexts(&mut hashes);
            }
            let hashes = &hashes[..self.contexts];
            saved.lines = reserved(2 * hashes.len(), "a trial")?;
            for hash in hashes {
                saved.lines.extend(nibbles.map(|nibble| self.slots.save(*hash, nibble)));
            }
        }
        boxed(saved, "a trial")
    }

    /// A cell of a direct table.
    fn cell(&mut self, table: usize, at: usize) -> [u16; 2] {
        let table = &mut self.direct[table];
        table.touch(at / DIRECT_LINE);
        table.lines().as_flattened()[at]
    }

    fn restore(&mut self, saved: &SavedBit) {
        (self.bit_state, self.seen, self.rate) = (saved.bit_state, saved.seen, saved.rate);
        // Lines are restored first, because they contain the histories that are restored below.
        saved.lines.iter().for_each(|line| self.slots.restore(line));
        let node = self.node();
        for (i, map) in self.maps.iter_mut().enumerate() {
            map[usize::from(self.bit_state.states[i])] = saved.maps[i];
            self.slots.histories_mut()[self.bit_state.at[i] + node] = saved.histories[i];
        }
        for (i, table) in self.direct.iter_mut().enumerate() {
            table.lines_mut().as_flattened_mut()[self.bit_state.direct_at[i]] = saved.direct[i];
        }
        for (m, saved) in self.matches.iter_mut().flatten().zip(saved.matches.iter().flatten()) {
            m.restore(*saved);
        }
        self.mixer.restore(&saved.mixer);
        for (bypass, saved) in self.bypass.iter_mut().zip(&saved.bypass) {
            bypass.restore(saved);
        }
        for (apm, saved) in self.apms.iter_mut().zip(saved.apms) {
            apm.restore(saved);
        }
    }
}
