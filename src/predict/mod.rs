//! What predicts the next byte: a network, a mix, or a mix with networks among its inputs.
//!
//! [`Blueprint`] says what is at work, [`Predictor`] does the work, [`State`] is all that bytes have changed. Coding goes
//! through a [`Port`]: the same code encodes, decodes, measures and learns.

mod network;
mod port;
mod predictor;
mod rwkv7;

pub use network::Blueprint as NetworkBlueprint;
pub use port::Port;
pub use predictor::{Blueprint, Predictor, State};
pub use rwkv7::{Blueprint as Rwkv7Blueprint, NetworkState as Rwkv7State, Scratch as Rwkv7Scratch};
