//! Online learning: training from each byte after it was coded. Output heads, GRUs, whole networks by
//! a policy, optimisers.

mod bptt;
mod gru;
mod head;
mod optimiser;
pub mod policy;

pub use bptt::{Learner, Work as LearnerWork};
pub use gru::{Gru, Rule as GruRule, Workspace as GruWork};
pub use head::{Head, Rule};
pub use optimiser::Train;
