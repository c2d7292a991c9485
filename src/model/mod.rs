//! Networks that predict the next byte. Weights are immutable and shared by threads; each predictor has its own state.

pub mod builtin;
pub mod file;
pub mod gru;
pub mod open;
pub mod rwkv7;
pub mod transformer;

/// The size of the vocabulary: all byte values.
pub const VOCAB: usize = 256;
