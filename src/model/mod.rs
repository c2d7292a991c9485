//! Networks that predict the next byte: immutable weights that threads share, and a state that steps.

pub mod builtin;
pub mod file;
pub mod gru;
pub mod rwkv7;

/// How many symbols a model predicts: bytes.
pub const VOCAB: usize = 256;
