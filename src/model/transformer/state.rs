//! The keys and values of one lane, and which of them a token sees.

use super::config::{Config, Layer};
use crate::error::{Result, fail};
use crate::numeric::attention::{KvCache, KvFormat, Visible};
use crate::numeric::buffer::made;

/// The tokens at the start of a context that stay visible when it slides (Xiao et al. 2023, "attention sinks").
pub const SINKS: usize = 4;

/// How many tokens a lane may hold, and what happens after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Tokens, at least 1; more than [`SINKS`] if it slides.
    pub context: usize,
    /// Whether the oldest token after the first [`SINKS`] makes room for a new one. If not, a full context is an error.
    pub slides: bool,
}

impl Room {
    /// The slot of a position.
    pub fn slot(self, position: usize) -> usize {
        if position < self.context { position } else { SINKS + (position - SINKS) % (self.context - SINKS) }
    }

    /// What the token at `position` sees, itself included, in the order of positions. The number of entries of the
    /// result that count is the second value.
    ///
    /// A token sees position p if it is in the layer's window, and either in the last `context - SINKS` positions or one
    /// of the first SINKS. From position `context` on, the first SINKS are scored with a query that is rotated as if it
    /// were at `context - 1`, query 1, because greater distances were not trained.
    pub(super) fn visible(self, position: usize, layer: Layer) -> ([Visible; 3], usize) {
        let low = (position + 1).saturating_sub(layer.window.unwrap_or(usize::MAX));
        let mut out = [Visible { first: 0, end: 0, query: 0 }; 3];
        if position < self.context {
            out[0] = Visible { first: low, end: position + 1, query: 0 };
            return (out, 1);
        }
        let ring = self.context - SINKS;
        let mut n = 0;
        if low < SINKS {
            out[n] = Visible { first: low, end: SINKS, query: 1 };
            n += 1;
        }
        let low = low.max(position + 1 - ring);
        let (first, seen) = (self.slot(low), position + 1 - low);
        let end = (first + seen).min(self.context);
        out[n] = Visible { first, end, query: 0 };
        n += 1;
        if end - first < seen {
            out[n] = Visible { first: SINKS, end: SINKS + seen - (end - first), query: 0 };
            n += 1;
        }
        (out, n)
    }
}

/// One lane: the keys and values of the tokens so far.
#[derive(Debug)]
pub struct State {
    pub(super) caches: Vec<KvCache>,
    pub(super) room: Room,
    /// Tokens so far, also those that have left the context.
    pub(super) len: usize,
}

impl State {
    /// No tokens yet.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(config: &Config, format: KvFormat, room: Room) -> Result<Self> {
        let cache = |_| Ok(KvCache::new(format, config.kv_heads, config.head_dim));
        Ok(Self { caches: made(config.layers.len(), "caches", cache)?, room, len: 0 })
    }

    /// The bytes of keys and values of `slots` tokens.
    pub fn bytes(config: &Config, format: KvFormat, slots: usize) -> u64 {
        let token = config.layers.len() * config.kv_heads * format.bytes(config.head_dim);
        (token as u64).saturating_mul(slots.next_multiple_of(16) as u64)
    }

    /// Tokens so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slots that memory is there for.
    pub fn slots(&self) -> usize {
        self.caches.first().map_or(0, KvCache::slots)
    }

    /// The slots that `more` tokens need in all, after doubling.
    ///
    /// # Errors
    /// `State` if the context is full.
    pub fn slots_for(&self, more: usize) -> Result<usize> {
        let Room { context, slides } = self.room;
        let n = self.len.saturating_add(more);
        if n > context && !slides {
            fail!(State, "{n} tokens do not fit the context of {context}");
        }
        let n = n.min(context);
        if n <= self.slots() {
            return Ok(self.slots());
        }
        Ok(n.max(2 * self.slots()).max(64).min(context.next_multiple_of(16)))
    }

    /// Keeps the first `n` tokens, if it still has all of them. Returns how many it has now: `n`, or none.
    pub fn truncate(&mut self, n: usize) -> usize {
        if n < self.len {
            self.len = if self.len <= self.room.context { n } else { 0 };
        }
        self.len
    }
}
