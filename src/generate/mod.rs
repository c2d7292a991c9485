//! Text out of a model: prefill, decode, step.
//!
//! A generator has a history of tokens. `transformer` and `bytes` compute what comes next after it; `sampler` chooses.

mod bytes;
mod generator;
mod options;
mod sampler;
mod transformer;

#[cfg(test)]
mod tests;

pub use generator::Generator;
pub use sampler::Sampler;
