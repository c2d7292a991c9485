//! Predictors of the next byte: a network, a mix, or a mix with networks among its inputs.
//!
//! [`Blueprint`] describes a predictor, [`Predictor`] is one in memory, and [`State`] is everything that bytes have
//! changed. Bytes pass through a [`Port`], so that the same code encodes, decodes, measures and learns.

mod network;
mod port;
mod predictor;
mod rwkv7;
mod turn;

pub use network::Blueprint as NetworkBlueprint;
pub use port::Port;
pub use predictor::{Blueprint, MIX_WORK, Predictor, State};
pub use rwkv7::{Blueprint as Rwkv7Blueprint, NetworkState as Rwkv7State, Scratch as Rwkv7Scratch, work as rwkv7_work};
pub use turn::{MAX_LANES, MIN_STRIPE, from_coding_order, to_coding_order};
