//! Entropy coding of any symbol given as (cumulative, frequency, total): a byte under a model's distribution, a bit,
//! a field. Two coders, one interface; the driver that talks to them is the same for both directions.

mod frequencies;
mod range;
mod rans;

pub use frequencies::Frequencies;
pub use range::{RangeDecoder, RangeEncoder};
pub use rans::{BLOCK as RANS_BLOCK, RansDecoder, RansEncoder};

use crate::error::Result;
use crate::numeric::buffer::grow;

/// A symbol's share of the total: `cumulative..cumulative + frequency`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The sum of the frequencies of the symbols before it.
    pub cumulative: u32,
    /// Its own, at least 1.
    pub frequency: u32,
}

/// Totals go up to this; the quantiser's stay below half of it.
pub const MAX_TOTAL: u32 = 1 << 31;

/// Frequencies of the symbols that may come next.
pub trait Distribution {
    /// The sum of all frequencies: 1 to [`MAX_TOTAL`].
    fn total(&self) -> u32;
    /// A symbol's interval. Every symbol that can occur has one that is not empty.
    fn interval(&self, symbol: u32) -> Interval;
    /// The symbol whose interval holds `target`, which is below the total.
    fn find(&self, target: u32) -> (u32, Interval);
}

/// One bit: `ones` of `total`, both its values possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bit {
    /// The frequency of 1; at least 1 and below `total`.
    pub ones: u32,
    /// The total.
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

/// Writes symbols.
pub trait Encoder {
    /// Appends a symbol.
    fn encode(&mut self, distribution: &impl Distribution, symbol: u32);
    /// Ends the block: appends its bytes to `out` and starts anew.
    ///
    /// # Errors
    /// `Memory`, where that ran out at any time since the block began.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()>;
}

/// Reads symbols back.
pub trait Decoder {
    /// The next symbol.
    fn decode(&mut self, distribution: &impl Distribution) -> u32;
    /// Whether the block ended as an encoder ends it: every byte taken, none over, none changed.
    ///
    /// # Errors
    /// `Corrupt` where it did not.
    fn finish(self) -> Result<()>;
}

/// Appends to `v` where there is memory for it; tells whether there was.
fn append<T: Copy>(v: &mut Vec<T>, values: &[T]) -> bool {
    let there = grow(v, values.len(), "a coded block").is_ok();
    if there {
        v.extend_from_slice(values);
    }
    there
}

/// The error of a block for which memory ran out.
fn no_room() -> crate::error::Error {
    crate::error::out_of_memory(0, "a coded block")
}

#[cfg(test)]
mod tests;
