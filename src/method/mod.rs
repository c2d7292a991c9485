//! Method strings. A method string names everything that the compressor and the decompressor must have in common.
//!
//! [`Method::parse`] accepts every spelling. [`Method::canonical`] gives the canonical form, which frames store and
//! which is compared. The files: `string` has whole methods, `registry` the registered numbers and the levels, `mix`
//! and `network` the parts of a method, `base`, `cfg` and `gru` the sources of a network's weights, `rule` the learning
//! rule of an output head, `policy` the policies, and `grammar` the keys and numbers that all of them share.

mod base;
mod cfg;
mod grammar;
mod gru;
mod mix;
mod network;
mod policy;
mod registry;
mod rule;
mod string;

pub use base::Base;
pub use network::Network;
pub use policy::Learning;
pub use registry::{DEFAULT, available_level_method, level_method, reference, registered_method, resolve};
pub use string::Method;

#[cfg(test)]
mod tests;
