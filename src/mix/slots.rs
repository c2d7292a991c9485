//! Slots of hashed contexts. A slot contains the bit histories of one nibble in one context. A cache line has four
//! slots.

use std::sync::Arc;

use super::history::EMPTY;
use super::table::{Frozen, Table};
use crate::error::Result;

const _: () = assert!(EMPTY == 0, "a table starts as zeros");

/// Slots per line (associativity).
pub(crate) const WAYS: usize = 4;
/// Histories of a slot: the nodes of the binary tree of a nibble's bits.
pub(crate) const NODES: usize = 15;
/// Bytes of a line: four checks (0: not used yet), then four times fifteen histories.
pub(crate) const LINE: usize = 64;
/// Lines of a page of memory. All slots of a context are on one page, which saves TLB misses.
const PAGE: u32 = 64;

/// A table of slots. If a context has no slot on its line, it replaces the slot whose first history has the lowest
/// number.
#[derive(Debug)]
pub(crate) struct Slots {
    /// [`Slots::find`] touches the line of a slot. Histories are only read and written on such lines.
    pub(crate) table: Table<[u8; LINE]>,
    mask: usize,
}

impl Slots {
    /// The initial content of a table of 2^`log` bytes, at least 4096.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn initial(log: u32) -> Result<Arc<Frozen<[u8; LINE]>>> {
        Frozen::zeros((1 << log) / LINE, 1)
    }

    /// A table with this content.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn new(content: &Arc<Frozen<[u8; LINE]>>) -> Result<Self> {
        Ok(Self { table: Table::new(content, "context tables")?, mask: content.units() - 1 })
    }

    /// A copy of the line that [`Slots::find`] may change, and its index.
    pub(crate) fn save(&mut self, hash: u32, nibble: u32) -> (usize, [u8; LINE]) {
        let at = self.line(hash, nibble);
        self.table.touch(at);
        (at, self.table.lines()[at])
    }

    pub(crate) fn restore(&mut self, (at, line): &(usize, [u8; LINE])) {
        self.table.lines_mut()[*at] = *line;
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
        self.table.prefetch(self.line(hash, nibble));
    }

    /// The offset of the slot of a context. If there is none, it replaces another one. The arguments are those of
    /// [`Slots::line`].
    #[inline(always)]
    pub(crate) fn find(&mut self, hash: u32, nibble: u32) -> usize {
        let at = self.line(hash, nibble);
        self.table.touch(at);
        let line = &mut self.table.lines_mut()[at];
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

    /// The whole table, of which only lines with slots that were found are valid. The history of a node, 0..15, of a slot is at the offset of the slot plus the node.
    #[inline(always)]
    pub(crate) fn histories(&self) -> &[u8] {
        self.table.lines().as_flattened()
    }

    /// [`Slots::histories`] for writing. Only histories of slots that [`Slots::find`] returned may be written.
    #[inline(always)]
    pub(crate) fn histories_mut(&mut self) -> &mut [u8] {
        self.table.lines_mut().as_flattened_mut()
    }
}
