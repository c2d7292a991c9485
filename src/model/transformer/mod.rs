//! Transformers: Gemma 1, 2 and 3 (text) and the LLaMA family, from one description of a layer.
//!
//! - [`config`]: the shape; `keys`, `from_json`, `from_gguf`: reading it from the keys of a `config.json` or of a GGUF file
//! - `names`: the tensors' names in both worlds
//! - [`weights`]: the packed matrices
//! - [`mod@file`]: a model from a tensor file and what is beside it
//! - [`state`]: the keys and values of one lane
//! - [`step`]: the computation

pub mod config;
pub mod file;
mod from_gguf;
mod from_json;
mod keys;
mod names;
pub mod state;
pub mod step;
pub mod weights;

#[cfg(test)]
pub(crate) mod tests;

pub use config::{Config, Layer, Rope};
pub use file::{Model, token_bytes};
pub use keys::{Keys, MAX_CONFIG};
pub use names::World;
pub use state::{Room, SINKS, State};
pub use step::{Row, Work};
pub use weights::{Source, Weights};
