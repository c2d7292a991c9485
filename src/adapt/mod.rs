//! Online learning: what a network learns from each byte as it is coded.

mod gru;
mod head;
mod optimiser;

pub use gru::{Gru, Rule as GruRule, Workspace as GruWork};
pub use head::{Head, Rule};
pub use optimiser::Train;
