//! Slots of hashed contexts. A slot contains the bit histories of one nibble in one context. A cache line has four
//! slots.

use super::history::EMPTY;
use super::journal::Journal;
use crate::error::Result;
use crate::numeric::buffer::{Lines, prefetch};

const _: () = assert!(EMPTY == 0, "a table starts as zeros");

/// Slots per line (associativity).
const WAYS: usize = 4;
/// Histories of a slot: the nodes of the binary tree of a nibble's bits.
const NODES: usize = 15;
/// Bytes of a line: four checks (0: not used yet), then four times fifteen histories.
pub(crate) const LINE: usize = 64;
/// Lines of a page of memory. All slots of a context are on one page, which saves TLB misses.
const PAGE: u32 = 64;

/// A table of slots. If a context has no slot on its line, it replaces the slot whose first history has the lowest
/// number.
#[derive(Debug)]
pub(crate) struct Slots {
    lines: Lines<[u8; LINE]>,
    mask: usize,
    /// The contents of lines before a slot on them was looked up. Histories are only written on such lines.
    journal: Journal<[u8; LINE]>,
}

impl Slots {
    /// A table of 2^`log` bytes, at least 4096.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn new(log: u32) -> Result<Self> {
        let lines = Lines::zeroed((1 << log) / LINE, "context tables")?;
        let mask = lines.len() - 1;
        Ok(Self { lines, mask, journal: Journal::default() })
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.lines.copy_from_slice(&other.lines);
    }

    pub(crate) fn visit(&self, add: &mut dyn FnMut(&[u8])) {
        add(self.lines.as_flattened());
    }

    /// Sets a checkpoint. `found`: the slots in use, whose lines may be written without another lookup.
    pub(crate) fn checkpoint(&mut self, found: &[usize]) {
        self.journal.start();
        for line in found.iter().map(|at| at / LINE) {
            self.journal.record(line, self.lines[line]);
        }
    }

    pub(crate) fn discard_checkpoint(&mut self) {
        self.journal.discard();
    }

    pub(crate) fn pause(&mut self, paused: bool) {
        self.journal.pause(paused);
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.journal.is_complete()
    }

    /// Returns to the checkpoint.
    pub(crate) fn roll_back(&mut self) {
        self.journal.undo_all(|at, line| self.lines[at] = line);
    }

    /// Number of lines in the journal.
    #[cfg(test)]
    pub(crate) fn recorded(&self) -> usize {
        self.journal.len()
    }

    /// A copy of the line that [`Slots::find`] may change, and its index.
    pub(crate) fn save(&self, hash: u32, nibble: u32) -> (usize, [u8; LINE]) {
        let at = self.line(hash, nibble);
        (at, self.lines[at])
    }

    pub(crate) fn restore(&mut self, (at, line): &(usize, [u8; LINE])) {
        self.lines[*at] = *line;
    }

    /// The line of a context. `hash`: that of the context. `nibble`: 0 for the first nibble of a byte; for the second
    /// one, the first nibble with a leading 1.
    #[inline(always)]
    fn line(&self, hash: u32, nibble: u32) -> usize {
        (hash ^ ((nibble >> 1).wrapping_mul(0x35) % PAGE)) as usize & self.mask
    }

    /// Prefetches the line of a context. The arguments are those of [`Slots::line`].
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u32, nibble: u32) {
        prefetch(&self.lines[self.line(hash, nibble)]);
    }

    /// The offset of the slot of a context. If there is none, it replaces another one. The arguments are those of
    /// [`Slots::line`].
    #[inline(always)]
    pub(crate) fn find(&mut self, hash: u32, nibble: u32) -> usize {
        let at = self.line(hash, nibble);
        let line = &mut self.lines[at];
        // Without this condition, the line is copied even if it is not recorded.
        if self.journal.is_recording() {
            self.journal.record(at, *line);
        }
        // Not 0. Two second nibbles of a context may share a line; their checks differ.
        let check = ((hash >> 24) as u8).wrapping_add((nibble * 16) as u8).max(1);
        // Finds the lowest zero byte, as in Hacker's Delight, 6-1. Bits above the lowest one may be wrong.
        let x = u32::from_le_bytes([line[0], line[1], line[2], line[3]]) ^ u32::from(check).wrapping_mul(0x0101_0101);
        let zeros = x.wrapping_sub(0x0101_0101) & !x & 0x8080_8080;
        let way = if zeros != 0 {
            zeros.trailing_zeros() as usize / 8
        } else {
            // Histories are numbered by count. So the first history shows how often the context has occurred.
            let first = |way: usize| line[WAYS + way * NODES];
            let least = (1..WAYS).fold(0, |least, way| if first(way) < first(least) { way } else { least });
            line[least] = check;
            line[WAYS + least * NODES..][..NODES].fill(EMPTY);
            least
        };
        at * LINE + WAYS + way * NODES
    }

    /// The whole table. The history of a node, 0..15, of a slot is at the offset of the slot plus the node.
    #[inline(always)]
    pub(crate) fn histories(&self) -> &[u8] {
        self.lines.as_flattened()
    }

    /// [`Slots::histories`] for writing. Only histories of slots that [`Slots::find`] returned may be written.
    #[inline(always)]
    pub(crate) fn histories_mut(&mut self) -> &mut [u8] {
        self.lines.as_flattened_mut()
    }
}
