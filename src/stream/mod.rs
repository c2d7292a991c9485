//! Frames over time: streams of any length through buffers of any size.
//!
//! Both directions are machines that take what the caller has and give what fits. They keep at most one block.

mod compress;
mod decompress;
mod ports;

pub use compress::{Compressor, Operation};
pub use decompress::Decompressor;
pub use ports::{Input, Output};
