//! Transformers: Gemma 1, 2 and 3 (text) and the LLaMA family, from one description of a layer.
//!
//! `config` reads the shape from either world's keys (`json`: those of a `config.json`), `names` has the tensors' names, `weights` the packed matrices,
//! `state` the keys and values of one lane, and `step` computes.

mod config;
mod file;
mod json;
mod names;
mod state;
mod step;
mod weights;

#[cfg(test)]
pub(crate) mod tests;

pub use config::{Config, Keys, Layer, Rope};
pub use file::{Model, is_transformer, token_bytes};
pub use json::{JsonKeys, MAX_CONFIG};
pub use names::World;
pub use state::{Room, SINKS, State};
pub use step::{Row, Work};
pub use weights::{Source, Weights};
