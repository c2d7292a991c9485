//! RWKV-7 over bytes (Peng et al. 2025, "RWKV-7 Goose with Expressive Dynamic State Evolution").
//!
//! Weights are immutable and shared. A [`State`] has one column per lane, and [`Weights::step`] processes one byte per
//! lane. A lane's result never depends on the other lanes.

mod backward;
mod backward_kernels;
mod config;
mod init;
mod kernels;
mod params;
mod state;
mod step;
mod tape;
mod tensors;
mod weights;

pub use backward::Backward;
pub use config::Config;
pub use init::Init;
pub use params::{Group, Params, Slot};
pub use state::State;
pub use step::Scratch;
pub use tape::Tape;
pub use weights::{Packing, Weights};

#[cfg(test)]
mod tests;
