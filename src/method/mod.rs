//! Method strings: one string names everything that both sides of a frame must share.
//!
//! [`Method::parse`] takes any spelling, [`Method::canonical`] is the one that frames store and sides compare. The files:
//! `string` a whole method, `registry` the numbers and levels that stand for one, `mix` and `network` its parts,
//! `base`, `cfg` and `gru` where a network comes from, `rule` how its head learns, `grammar` the keys and numbers of all.

mod base;
mod cfg;
mod grammar;
mod gru;
mod mix;
mod network;
mod registry;
mod rule;
mod string;

pub use base::Base;
pub use network::Network;
pub use registry::{DEFAULT, level_method, reference, resolve};
pub use string::Method;

#[cfg(test)]
mod tests;
