//! Hashed contexts: the bit histories of one nibble after one context, four such on a cache line.

use super::history::EMPTY;
use super::journal::Journal;
use crate::error::Result;
use crate::numeric::buffer::{Lines, prefetch};

const _: () = assert!(EMPTY == 0, "a table starts as zeros");

/// Slots per line (associativity).
const WAYS: usize = 4;
/// The nodes of a nibble's tree.
const NODES: usize = 15;
/// Bytes of a line: four checksums (0: free), then four times fifteen histories.
pub(crate) const LINE: usize = 64;
/// Lines of a page. All slots of one context lie on one page.
const PAGE: u32 = 64;

/// A table of slots. A slot that is not found replaces the one on its line whose first history has the lowest count.
#[derive(Debug)]
pub(crate) struct Slots {
    lines: Lines<[u8; LINE]>,
    mask: usize,
    /// Lines as they were before a slot on them was looked up; no other line is written to.
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

    /// Sets a checkpoint; `found` are the slots in use.
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

    /// A copy of a context's line, which [`Slots::find`] may change.
    pub(crate) fn save(&self, hash: u32, nibble: u32) -> (usize, [u8; LINE]) {
        let at = self.line(hash, nibble);
        (at, self.lines[at])
    }

    pub(crate) fn restore(&mut self, (at, line): &(usize, [u8; LINE])) {
        self.lines[*at] = *line;
    }

    /// The line of a context (by its hash) and nibble (0 for the first).
    #[inline(always)]
    fn line(&self, hash: u32, nibble: u32) -> usize {
        (hash ^ ((nibble >> 1).wrapping_mul(0x35) % PAGE)) as usize & self.mask
    }

    /// Prefetches a context's line.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u32, nibble: u32) {
        prefetch(&self.lines[self.line(hash, nibble)]);
    }

    /// Offset of a context's slot; replaces another one where there is none. Arguments as [`Slots::line`].
    #[inline(always)]
    pub(crate) fn find(&mut self, hash: u32, nibble: u32) -> usize {
        let at = self.line(hash, nibble);
        let line = &mut self.lines[at];
        // Asked first: otherwise every line is copied, recorded or not.
        if self.journal.is_recording() {
            self.journal.record(at, *line);
        }
        // Never 0, and different for all nibbles of a context that may share the line.
        let check = ((hash >> 24) as u8).wrapping_add((nibble * 16) as u8).max(1);
        // The lowest zero byte, as in Hacker's Delight 6-1: exact up to the first.
        let x = u32::from_le_bytes([line[0], line[1], line[2], line[3]]) ^ u32::from(check).wrapping_mul(0x0101_0101);
        let zeros = x.wrapping_sub(0x0101_0101) & !x & 0x8080_8080;
        let way = if zeros != 0 {
            zeros.trailing_zeros() as usize / 8
        } else {
            // States are sorted by count: the first node's state tells how often the context occurred.
            let first = |way: usize| line[WAYS + way * NODES];
            let least = (1..WAYS).fold(0, |least, way| if first(way) < first(least) { way } else { least });
            line[least] = check;
            line[WAYS + least * NODES..][..NODES].fill(EMPTY);
            least
        };
        at * LINE + WAYS + way * NODES
    }

    /// All histories, and checks between them: a slot's at its beginning plus a node, 0..15.
    #[inline(always)]
    pub(crate) fn histories(&self) -> &[u8] {
        self.lines.as_flattened()
    }

    /// As [`Slots::histories`], to write to those of slots that were found.
    #[inline(always)]
    pub(crate) fn histories_mut(&mut self) -> &mut [u8] {
        self.lines.as_flattened_mut()
    }
}
