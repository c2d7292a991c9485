//! Identities of states: the method, the weights, and what was observed. The snapshot object of the C API is
//! [`crate::session::Snapshot`].

pub mod blob;
mod history;
mod identity;

pub use history::{Event, HISTORY_LEN, History};
pub use identity::{Identity, hex};
