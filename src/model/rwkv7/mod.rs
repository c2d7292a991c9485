//! RWKV-7 over bytes (Peng et al. 2025, "RWKV-7 Goose with Expressive Dynamic State Evolution").
//!
//! Weights are immutable and shared; a state has one column a lane; [`Weights::step`] takes one byte in each lane.
//! A lane's result never depends on the others.

mod config;
mod init;
mod kernels;
mod state;
mod step;
mod tensors;
mod weights;

pub use config::Config;
pub use init::Init;
pub use state::State;
pub use step::Scratch;
pub use weights::{Packing, Weights};
