//! Hashed contexts: the bit histories of one nibble after one context, four such on a cache line.

use super::history::EMPTY;
use super::undo::Undo;
use crate::error::Result;
use crate::numeric::buffer::{Lines, prefetch};

const _: () = assert!(EMPTY == 0, "a table starts as zeros");

/// Slots on a line: where one may lie.
const WAYS: usize = 4;
/// The nodes of a nibble's tree.
const NODES: usize = 15;
/// Four checks, which tell whose slot it is (0: nobody's), then four times fifteen histories.
pub(crate) const LINE: usize = 64;
/// Lines on a page: where a context's second nibbles lie.
const PAGE: u32 = 64;

/// A table of slots. What is looked for and not there takes the place of what was seen least.
#[derive(Debug)]
pub(crate) struct Slots {
    lines: Lines<[u8; LINE]>,
    mask: usize,
    /// Lines as they were before slots were found on them: nothing else is written to.
    undo: Undo<[u8; LINE]>,
}

impl Slots {
    /// Of 2^`log` bytes, at least 4096.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn new(log: u32) -> Result<Self> {
        let lines = Lines::zeroed((1 << log) / LINE, "context tables")?;
        let mask = lines.len() - 1;
        Ok(Self { lines, mask, undo: Undo::default() })
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.lines.copy_from_slice(&other.lines);
    }

    pub(crate) fn visit(&self, add: &mut dyn FnMut(&[u8])) {
        add(self.lines.as_flattened());
    }

    /// A log of changes begins, with some slots found already.
    pub(crate) fn begin(&mut self, found: &[usize]) {
        self.undo.begin();
        for line in found.iter().map(|at| at / LINE) {
            self.undo.note(line, self.lines[line]);
        }
    }

    pub(crate) fn stop(&mut self) {
        self.undo.stop();
    }

    pub(crate) fn pause(&mut self, paused: bool) {
        self.undo.pause(paused);
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.undo.is_whole()
    }

    /// Back to where the log began.
    pub(crate) fn roll_back(&mut self) {
        self.undo.go_back(|at, line| self.lines[at] = line);
    }

    /// How many lines the log holds.
    #[cfg(test)]
    pub(crate) fn noted(&self) -> usize {
        self.undo.len()
    }

    /// A context's line, as [`Slots::find`] may change it: to try something and go back.
    pub(crate) fn save(&self, hash: u32, nibble: u32) -> (usize, [u8; LINE]) {
        let at = self.line(hash, nibble);
        (at, self.lines[at])
    }

    pub(crate) fn go_back(&mut self, (at, line): &(usize, [u8; LINE])) {
        self.lines[*at] = *line;
    }

    /// The line of a context, by 32 well mixed bits, and of its nibbles, 0 for the first: all on one page.
    #[inline(always)]
    fn line(&self, hash: u32, nibble: u32) -> usize {
        (hash ^ (nibble.wrapping_mul(0x35) % PAGE)) as usize & self.mask
    }

    /// Asks for a line, so that several come at once.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u32, nibble: u32) {
        prefetch(&self.lines[self.line(hash, nibble)]);
    }

    /// Where a context's histories begin: found, or taken and emptied. As [`Slots::line`]; nibbles carry a leading 1.
    #[inline(always)]
    pub(crate) fn find(&mut self, hash: u32, nibble: u32) -> usize {
        let at = self.line(hash, nibble);
        let line = &mut self.lines[at];
        self.undo.note(at, *line);
        // Never 0; other for each nibble that may lie on the line.
        let check = ((hash >> 24) as u8).wrapping_add((nibble * 16) as u8).max(1);
        // The lowest zero byte, as in Hacker's Delight 6-1: exact up to the first.
        let x = u32::from_le_bytes([line[0], line[1], line[2], line[3]]) ^ u32::from(check).wrapping_mul(0x0101_0101);
        let zeros = x.wrapping_sub(0x0101_0101) & !x & 0x8080_8080;
        let way = if zeros != 0 {
            zeros.trailing_zeros() as usize / 8
        } else {
            // Histories are numbered by what they have seen: the first node's tells how often the context came.
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
