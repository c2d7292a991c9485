//! Online learning: what a network's head learns from each byte as it is coded.

mod head;

pub use head::{Head, Rule, Train};
