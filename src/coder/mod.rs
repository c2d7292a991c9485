//! Entropy coding of symbols given as (cumulative, frequency, total). A symbol is a byte with a network's distribution,
//! or a bit. Both coders implement the same traits, and the driver in `session` is the same for encoding and decoding.

pub mod bytes;
mod frequencies;
mod range;
mod rans;
pub mod varint;

pub use frequencies::Frequencies;
pub use range::{RangeDecoder, RangeEncoder};
pub use rans::{BLOCK as RANS_BLOCK, RansDecoder, RansEncoder};

use crate::error::Result;
use crate::numeric::buffer::grow;

/// A symbol's part of the range `0..total`: `cumulative..cumulative + frequency`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The sum of the frequencies of all symbols before this one.
    pub cumulative: u32,
    /// The symbol's frequency, at least 1.
    pub frequency: u32,
}

/// The largest total that the coders accept. The totals of [`Frequencies`] stay below half of it.
pub const MAX_TOTAL: u32 = 1 << 31;

/// The frequencies of the possible next symbols.
pub trait Distribution {
    /// The sum of all frequencies: 1 to [`MAX_TOTAL`].
    fn total(&self) -> u32;
    /// The symbol's interval. The interval of a symbol that can occur is never empty.
    fn interval(&self, symbol: u32) -> Interval;
    /// The symbol whose interval contains `target`, and that interval. `target` is below the total.
    fn find(&self, target: u32) -> (u32, Interval);
}

/// The distribution of a bit: it is 1 with probability `ones / total`. Both values are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bit {
    /// The frequency of 1: at least 1 and less than `total`.
    pub ones: u32,
    /// The sum of both frequencies.
    pub total: u32,
}

impl Distribution for Bit {
    fn total(&self) -> u32 {
        self.total
    }

    fn interval(&self, symbol: u32) -> Interval {
        if symbol != 0 {
            Interval { cumulative: 0, frequency: self.ones }
        } else {
            Interval { cumulative: self.ones, frequency: self.total - self.ones }
        }
    }

    fn find(&self, target: u32) -> (u32, Interval) {
        let symbol = u32::from(target < self.ones);
        (symbol, self.interval(symbol))
    }
}

/// Encodes symbols.
pub trait Encoder {
    /// Encodes a symbol.
    fn encode(&mut self, distribution: &impl Distribution, symbol: u32);
    /// Ends the block: appends its bytes to `out` and resets the encoder.
    ///
    /// # Errors
    /// `Memory` if an allocation failed at any time since the block began.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()>;
}

/// Decodes symbols.
pub trait Decoder {
    /// Decodes the next symbol.
    fn decode(&mut self, distribution: &impl Distribution) -> u32;
    /// Checks that the block ends exactly as an encoder ends it: every byte was read and the final state is the right
    /// one.
    ///
    /// # Errors
    /// `Corrupt` if it does not.
    fn finish(self) -> Result<()>;
}

/// Appends to `v`. Returns false, and appends nothing, if the allocation fails.
fn append<T: Copy>(v: &mut Vec<T>, values: &[T]) -> bool {
    let reserved = grow(v, values.len(), "a coded block").is_ok();
    if reserved {
        v.extend_from_slice(values);
    }
    reserved
}

/// The error of a block for which an allocation failed.
fn block_out_of_memory() -> crate::error::Error {
    crate::error::out_of_memory(0, "a coded block")
}

#[cfg(test)]
mod tests;
