//! Online learning: training from each byte after it was coded. Output heads, GRUs, optimisers.

mod gru;
mod head;
mod optimiser;

pub use gru::{Gru, Rule as GruRule, Workspace as GruWork};
pub use head::{Head, Rule};
pub use optimiser::Train;
