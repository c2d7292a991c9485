//! A range coder (Martin 1979) with 64 bits of range, renormalised byte by byte; carries go back into the output.
//!
//! The range is kept above 2^56, so that dividing it by a total of up to 2^31 loses less than 2^-25 of a symbol.

use super::{Decoder, Distribution, Encoder, append, no_room};
use crate::error::{Result, fail};

/// The range is renormalised to be above this.
const BOTTOM: u64 = 1 << 56;

/// Bytes that end a block, less trailing zeros.
const FLUSH: usize = 8;

/// Writes to memory that it owns until [`Encoder::finish`].
#[derive(Debug)]
pub struct RangeEncoder {
    low: u64,
    range: u64,
    out: Vec<u8>,
    /// Memory ran out: the block is lost.
    lost: bool,
}

impl Default for RangeEncoder {
    fn default() -> Self {
        Self { low: 0, range: u64::MAX, out: Vec::new(), lost: false }
    }
}

/// The end of the block: the number in `low..low + range` with the most trailing zero bytes. Wraps where it carries.
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
            self.lost |= !append(&mut self.out, &[(self.low >> 56) as u8]);
            self.low <<= 8;
            self.range <<= 8;
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let value = last_value(self.low, self.range);
        if value < self.low {
            self.carry();
        }
        self.lost |= !append(out, &self.out);
        // The decoder takes bytes past the end for zeros. Of those that were written before all stay, zeros too: so a
        // block is as long as its symbols are costly, and a length can be held against it.
        let value = value.to_be_bytes();
        let len = value.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
        self.lost |= !append(out, &value[..len]);
        self.out.clear();
        (self.low, self.range) = (0, u64::MAX);
        if std::mem::take(&mut self.lost) { Err(no_room()) } else { Ok(()) }
    }
}

/// Reads from a block's bytes.
#[derive(Debug)]
pub struct RangeDecoder<'a> {
    /// What the encoder's `low` was: only to check how the block ends.
    low: u64,
    range: u64,
    /// The block's number, less `low`.
    offset: u64,
    input: &'a [u8],
    at: usize,
    damaged: bool,
}

impl<'a> RangeDecoder<'a> {
    /// Starts on a block.
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
            // What lies past unit * total belongs to no symbol: only damaged input points there.
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
        // How many of the last eight bytes are there.
        let tail = (self.input.len() + FLUSH).checked_sub(self.at);
        let ends_well = !self.damaged
            && self.low.wrapping_add(self.offset) == last_value(self.low, self.range)
            && self.offset < self.range
            && tail.is_some_and(|tail| tail <= FLUSH && (tail == 0 || self.input.last() != Some(&0)));
        if !ends_well {
            fail!(Corrupt, "the range coder's {} bytes do not end where their symbols do", self.input.len());
        }
        Ok(())
    }
}
