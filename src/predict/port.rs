//! Where a predictor's bytes come from and go to.

use crate::coder::Distribution;

/// The other side of a predictor: an encoder with the bytes to encode, a decoder, a measurement, or bytes that are only
/// shown. The predictor does the same for all of them, so that the directions cannot drift apart.
pub trait Port {
    /// Whether [`Port::code`] uses its distribution. Where it does not, a predictor may skip computing one.
    const NEEDS_DISTRIBUTION: bool;
    /// How many bytes are to go.
    fn remaining(&self) -> usize;
    /// The bytes to go where they are known in advance; empty where they come from a decoder.
    fn lookahead(&self) -> &[u8];
    /// Takes the next byte where it is known; 0 where it comes from a decoder.
    fn next_known(&mut self) -> u8;
    /// Codes one symbol, a byte or one of its bits (highest first), and returns it. `known` is the symbol where it is
    /// known in advance.
    fn code(&mut self, distribution: &impl Distribution, known: u32) -> u32;
    /// Takes the byte that the symbols made.
    fn finish_byte(&mut self, byte: u8);
}
