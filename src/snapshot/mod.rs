//! What identifies a state: the method and weights it belongs to, and a hash of all that bytes have changed.
//!
//! The owners of a state (networks, mixes, heads) show their parts to a [`Digest`]; the handle's snapshot is
//! [`crate::session::Snapshot`].

mod digest;
mod identity;

pub use digest::Digest;
pub use identity::{Identity, hex};
