//! A range coder (Martin 1979) with a 64-bit range, renormalised byte by byte. Carries propagate into the bytes already
//! written.
//!
//! The range stays at or above 2^56, so that dividing it by a total of up to 2^31 costs less than 2^-25 of the range.

use super::{Decoder, Distribution, Encoder, append, block_out_of_memory};
use crate::error::{Result, fail};

/// The lower bound of the range after renormalisation.
const BOTTOM: u64 = 1 << 56;

/// The number of bytes that end a block, before trailing zeros are removed.
const FLUSH: usize = 8;

/// The encoder. It collects the block's bytes until [`Encoder::finish`].
#[derive(Debug)]
pub struct RangeEncoder {
    low: u64,
    range: u64,
    out: Vec<u8>,
    /// An allocation failed: the block is incomplete.
    failed: bool,
}

impl Default for RangeEncoder {
    fn default() -> Self {
        Self { low: 0, range: u64::MAX, out: Vec::new(), failed: false }
    }
}

/// The number that ends the block: the one in `low..low + range` with the most trailing zero bytes. It wraps around if
/// it carries.
fn last_value(low: u64, range: u64) -> u64 {
    for shift in (8..64).step_by(8).rev() {
        // low + up is the next multiple of 2^shift.
        let up = low.wrapping_neg() & ((1 << shift) - 1);
        if up < range {
            return low.wrapping_add(up);
        }
    }
    low
}

impl RangeEncoder {
    fn carry(&mut self) {
        for byte in self.out.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                return;
            }
        }
    }
}

impl Encoder for RangeEncoder {
    #[inline]
    fn encode(&mut self, distribution: &impl Distribution, symbol: u32) {
        let at = distribution.interval(symbol);
        let unit = self.range / u64::from(distribution.total());
        let (low, carry) = self.low.overflowing_add(unit * u64::from(at.cumulative));
        self.low = low;
        self.range = unit * u64::from(at.frequency);
        if carry {
            self.carry();
        }
        while self.range < BOTTOM {
            self.failed |= !append(&mut self.out, &[(self.low >> 56) as u8]);
            self.low <<= 8;
            self.range <<= 8;
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let value = last_value(self.low, self.range);
        if value < self.low {
            self.carry();
        }
        self.failed |= !append(out, &self.out);
        // The decoder reads zeros past the end, so trailing zeros of the last value need not be written. Zeros that
        // were written earlier are kept: the block's length then follows from the cost of its symbols, and the
        // container can check a stated content length against it.
        let value = value.to_be_bytes();
        let len = value.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
        self.failed |= !append(out, &value[..len]);
        self.out.clear();
        (self.low, self.range) = (0, u64::MAX);
        if std::mem::take(&mut self.failed) { Err(block_out_of_memory()) } else { Ok(()) }
    }
}

/// Decodes a block.
#[derive(Debug)]
pub struct RangeDecoder<'a> {
    /// The encoder's `low` at this point. Only the check at the block's end needs it.
    low: u64,
    range: u64,
    /// The block's bytes as a number, minus `low`.
    offset: u64,
    input: &'a [u8],
    at: usize,
    damaged: bool,
}

impl<'a> RangeDecoder<'a> {
    /// A decoder at the start of a block.
    pub fn new(input: &'a [u8]) -> Self {
        let mut decoder = Self { low: 0, range: u64::MAX, offset: 0, input, at: 0, damaged: false };
        for _ in 0..FLUSH {
            decoder.offset = decoder.offset << 8 | decoder.next();
        }
        decoder
    }

    #[inline]
    fn next(&mut self) -> u64 {
        let byte = self.input.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        u64::from(byte)
    }
}

impl Decoder for RangeDecoder<'_> {
    #[inline]
    fn decode(&mut self, distribution: &impl Distribution) -> u32 {
        let total = distribution.total();
        let unit = self.range / u64::from(total);
        let mut target = self.offset / unit;
        if target >= u64::from(total) {
            // Values from unit * total on belong to no symbol. Only damaged input contains them.
            self.damaged = true;
            target = u64::from(total) - 1;
        }
        let (symbol, at) = distribution.find(target as u32);
        let below = unit * u64::from(at.cumulative);
        self.offset = self.offset.wrapping_sub(below);
        self.low = self.low.wrapping_add(below);
        self.range = unit * u64::from(at.frequency);
        while self.range < BOTTOM {
            self.offset = self.offset << 8 | self.next();
            self.low <<= 8;
            self.range <<= 8;
        }
        symbol
    }

    fn finish(self) -> Result<()> {
        // The number of bytes of the input among the last eight bytes that were read.
        let tail = (self.input.len() + FLUSH).checked_sub(self.at);
        let ends_well = !self.damaged
            && self.low.wrapping_add(self.offset) == last_value(self.low, self.range)
            && self.offset < self.range
            && tail.is_some_and(|tail| tail <= FLUSH && (tail == 0 || self.input.last() != Some(&0)));
        if !ends_well {
            fail!(Corrupt, "the range coder's {} bytes do not end after their last symbol", self.input.len());
        }
        Ok(())
    }
}
