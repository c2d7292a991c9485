//! Identifiers of states: the method, the weights, and a hash of everything that bytes have changed.
//!
//! The owners of a state (networks, mixes, heads) pass their parts to a [`Digest`]. The snapshot object of the C API is
//! [`crate::session::Snapshot`].

mod digest;
mod identity;

pub use digest::Digest;
pub use identity::{Identity, hex};
