//! The identity of a state: its method and weights, and a hash of everything that bytes have changed.
//!
//! The owners of a state (networks, mixes, heads) pass their parts to a [`Digest`]. The handle's snapshot is
//! [`crate::session::Snapshot`].

mod digest;
mod identity;

pub use digest::Digest;
pub use identity::{Identity, hex};
