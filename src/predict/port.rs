//! The interface between predictors and coders.

use crate::coder::Distribution;

/// The source and destination of a predictor's bytes: an encoder with the bytes to encode, a decoder, a measure, or
/// bytes that are only observed. A predictor treats all ports alike, so that compression and decompression cannot
/// differ.
pub trait Port {
    /// Whether [`Port::code`] uses its distribution. If not, a predictor may skip computing it.
    const NEEDS_DISTRIBUTION: bool;
    /// The number of bytes left.
    fn remaining(&self) -> usize;
    /// The bytes left, if they are known in advance; empty if they come from a decoder.
    fn lookahead(&self) -> &[u8];
    /// Removes and returns the next byte if it is known in advance; 0 if it comes from a decoder.
    fn next_known(&mut self) -> u8;
    /// Codes one symbol, a byte or one of its bits (highest first), and returns it. `known` is the symbol if it is
    /// known in advance.
    fn code(&mut self, distribution: &impl Distribution, known: u32) -> u32;
    /// Receives the byte that the symbols encode.
    fn finish_byte(&mut self, byte: u8);
}
