//! Hash tables that are built once: strings to tokens, pairs of tokens to their merge.
//!
//! The hash has a random key, so that a file cannot contain many keys of one slot. Results do not depend on the key.

use std::hash::{BuildHasher, RandomState};

use crate::error::Result;
use crate::numeric::buffer::filled;

/// The key of a hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key(u64, u64);

impl Key {
    /// A key that nobody can predict.
    pub(super) fn random() -> Self {
        let state = RandomState::new();
        Self(state.hash_one(0u8), state.hash_one(1u8) | 1)
    }

    /// A hash of one word: the halves of a 128-bit product, xored.
    fn word(self, x: u64) -> u64 {
        let product = u128::from(x ^ self.0) * u128::from(self.1 ^ 0x9e37_79b9_7f4a_7c15);
        product as u64 ^ (product >> 64) as u64
    }

    /// A hash of bytes.
    #[inline]
    pub(super) fn bytes(self, bytes: &[u8]) -> u64 {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut hash = bytes.len() as u64;
        for word in words {
            hash = self.word(hash.rotate_left(29) ^ u64::from_le_bytes(*word));
        }
        let rest = rest.iter().fold(0u64, |x, b| x << 8 | u64::from(*b));
        self.word(hash.rotate_left(29) ^ rest)
    }
}

/// The number of slots for `n` keys: a power of two, at least half of them empty.
fn slots_for(n: usize) -> usize {
    n.saturating_mul(2).max(2).checked_next_power_of_two().unwrap_or(usize::MAX)
}

const EMPTY: u32 = u32::MAX;

/// Token numbers by their bytes, which the caller keeps.
#[derive(Debug)]
pub(super) struct Names {
    slots: Vec<u32>,
    key: Key,
}

impl Names {
    /// An empty table with room for `n` names.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn new(n: usize, key: Key) -> Result<Self> {
        Ok(Self { slots: filled(slots_for(n), EMPTY, "the names of tokens")?, key })
    }

    /// The slot of a name: the one that holds it, or the empty one where it belongs.
    #[inline]
    fn slot<'a>(&self, name: &[u8], bytes_of: impl Fn(u32) -> &'a [u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = self.key.bytes(name) as usize & mask;
        while self.slots[at] != EMPTY && bytes_of(self.slots[at]) != name {
            at = (at + 1) & mask;
        }
        at
    }

    /// The token of this name. `bytes_of` gives the name of a token of the table.
    #[inline]
    pub(super) fn find<'a>(&self, name: &[u8], bytes_of: impl Fn(u32) -> &'a [u8]) -> Option<u32> {
        Some(self.slots[self.slot(name, bytes_of)]).filter(|id| *id != EMPTY)
    }

    /// Adds a token. If the table has one of this name already, that one stays, and the result is its number.
    ///
    /// # Panics
    /// If the table is full.
    pub(super) fn add<'a>(&mut self, name: &[u8], id: u32, bytes_of: impl Fn(u32) -> &'a [u8]) -> u32 {
        let at = self.slot(name, bytes_of);
        if self.slots[at] == EMPTY {
            self.slots[at] = id;
        }
        self.slots[at]
    }
}

/// The merge of two tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merge {
    /// Merges of a lower rank come first.
    pub(super) rank: u32,
    /// The token that replaces the two.
    pub(super) token: u32,
}

/// Merges by the two tokens that they join.
#[derive(Debug)]
pub(super) struct Pairs {
    slots: Vec<(u64, Merge)>,
    key: Key,
}

/// No pair of tokens: a token is less than `u32::MAX`.
const NO_PAIR: u64 = u64::MAX;

impl Pairs {
    /// An empty table with room for `n` pairs.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn new(n: usize, key: Key) -> Result<Self> {
        let empty = (NO_PAIR, Merge { rank: u32::MAX, token: 0 });
        Ok(Self { slots: filled(slots_for(n), empty, "the merges of a tokenizer")?, key })
    }

    #[inline]
    fn slot(&self, pair: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = self.key.word(pair) as usize & mask;
        while self.slots[at].0 != pair && self.slots[at].0 != NO_PAIR {
            at = (at + 1) & mask;
        }
        at
    }

    /// The merge of two tokens.
    #[inline]
    pub(super) fn find(&self, left: u32, right: u32) -> Option<Merge> {
        let (pair, merge) = self.slots[self.slot(u64::from(left) << 32 | u64::from(right))];
        (pair != NO_PAIR).then_some(merge)
    }

    /// Adds a merge. A later merge of the same pair replaces it, as in the library `tokenizers`.
    ///
    /// # Panics
    /// If the table is full.
    pub(super) fn add(&mut self, left: u32, right: u32, merge: Merge) {
        let pair = u64::from(left) << 32 | u64::from(right);
        let at = self.slot(pair);
        self.slots[at] = (pair, merge);
    }
}
