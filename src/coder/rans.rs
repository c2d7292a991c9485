//! rANS (Duda 2013): a 64-bit state, renormalised by 16-bit words, in blocks of [`BLOCK`] symbols.
//!
//! A symbol's share is counted in 2^31 slots, and the state stays at or above 2^47. The 16 bits between the two keep
//! the loss by rounding negligible. Totals need not be powers of two: an interval bound x becomes the slot floor(x *
//! 2^31 / total). So every symbol has at least one slot, and the encoder and the decoder compute the same slots.
//!
//! A block holds the encoder's final state in 48 bits LE and then its words (u16 LE) in the order in which the decoder
//! reads them. If the final state has more than 48 bits, its low 16 bits are the first word. Blocks follow each other
//! without a length: a block ends after its last symbol.

use super::{Decoder, Distribution, Encoder, Interval, MAX_TOTAL, append, block_out_of_memory};
use crate::error::{Result, fail};

/// Symbols per block: 128 Ki. Part of the format.
pub const BLOCK: usize = 128 << 10;

const SLOT_BITS: u32 = 31;
/// The encoder's state at the start of every block, which is the decoder's state at its end. It is also the lower bound
/// of the state.
const START: u64 = 1 << 47;
const WORD_BITS: u32 = 16;

/// An interval bound, scaled to slots.
#[inline]
fn slots(bound: u32, total: u32) -> u32 {
    ((u64::from(bound) << SLOT_BITS) / u64::from(total)) as u32
}

/// An interval, scaled to slots: its first slot and its width.
#[inline]
fn scaled(at: Interval, total: u32) -> (u64, u64) {
    let from = slots(at.cumulative, total);
    (u64::from(from), u64::from(slots(at.cumulative + at.frequency, total) - from))
}

/// Keeps a block's intervals until its end, because rANS encodes the last symbol first.
#[derive(Debug, Default)]
pub struct RansEncoder {
    pending: Vec<(u32, u32)>,
    words: Vec<u16>,
    out: Vec<u8>,
    /// An allocation failed: the block is incomplete.
    failed: bool,
}

impl RansEncoder {
    fn flush(&mut self) {
        let mut state = START;
        for (from, width) in self.pending.drain(..).rev() {
            let (from, width) = (u64::from(from), u64::from(width));
            // Below this bound, encoding the symbol leaves the state below 2^63.
            while state >= width << (47 + WORD_BITS - SLOT_BITS) {
                self.failed |= !append(&mut self.words, &[state as u16]);
                state >>= WORD_BITS;
            }
            state = ((state / width) << SLOT_BITS) + state % width + from;
        }
        // The stored state has six bytes. A larger state is written as one word more, which the decoder reads before
        // its first symbol.
        if state >= 1 << 48 {
            self.failed |= !append(&mut self.words, &[state as u16]);
            state >>= WORD_BITS;
        }
        self.failed |= !append(&mut self.out, &state.to_le_bytes()[..6]);
        for word in self.words.drain(..).rev() {
            self.failed |= !append(&mut self.out, &word.to_le_bytes());
        }
    }
}

impl Encoder for RansEncoder {
    #[inline]
    fn encode(&mut self, distribution: &impl Distribution, symbol: u32) {
        let (from, width) = scaled(distribution.interval(symbol), distribution.total());
        self.failed |= !append(&mut self.pending, &[(from as u32, width as u32)]);
        if self.pending.len() == BLOCK {
            self.flush();
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if !self.pending.is_empty() {
            self.flush();
        }
        self.failed |= !append(out, &self.out);
        self.out.clear();
        if std::mem::take(&mut self.failed) { Err(block_out_of_memory()) } else { Ok(()) }
    }
}

/// Decodes consecutive blocks.
#[derive(Debug)]
pub struct RansDecoder<'a> {
    state: u64,
    /// The number of symbols of this block that were decoded.
    taken: usize,
    input: &'a [u8],
    damaged: bool,
}

impl<'a> RansDecoder<'a> {
    /// A decoder at the start of one or more blocks.
    pub fn new(input: &'a [u8]) -> Self {
        Self { state: START, taken: 0, input, damaged: false }
    }

    fn start_block(&mut self) {
        self.damaged |= self.state != START;
        self.taken = 0;
        let Some((head, rest)) = self.input.split_first_chunk::<6>() else {
            self.damaged = true;
            return;
        };
        let &[a, b, c, d, e, f] = head;
        self.state = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
        self.input = rest;
        // An encoder's states lie in 2^47..2^63, so at most one word was removed from the stored state.
        if self.state < START >> WORD_BITS {
            self.damaged = true;
            self.state = START;
        }
        self.renormalise();
    }

    #[inline]
    fn renormalise(&mut self) {
        while self.state < START {
            let Some((word, rest)) = self.input.split_first_chunk::<2>() else {
                self.damaged = true;
                self.state = START;
                return;
            };
            self.state = self.state << WORD_BITS | u64::from(u16::from_le_bytes(*word));
            self.input = rest;
        }
    }
}

impl Decoder for RansDecoder<'_> {
    #[inline]
    fn decode(&mut self, distribution: &impl Distribution) -> u32 {
        if self.taken.is_multiple_of(BLOCK) {
            self.start_block();
        }
        self.taken += 1;
        let total = distribution.total();
        let slot = self.state & (u64::from(MAX_TOTAL) - 1);
        // The largest value below the total whose first slot is at or before this slot.
        let target = ((slot + 1) * u64::from(total)).div_ceil(1 << SLOT_BITS) - 1;
        let (symbol, at) = distribution.find(target as u32);
        let (from, width) = scaled(at, total);
        self.state = width * (self.state >> SLOT_BITS) + slot - from;
        self.renormalise();
        symbol
    }

    fn finish(self) -> Result<()> {
        if self.damaged || self.state != START || !self.input.is_empty() {
            fail!(Corrupt, "the rANS block does not end after its last symbol ({} bytes are left)", self.input.len());
        }
        Ok(())
    }
}
