//! Frames over time.
//!
//! - `compress`, `decompress`, `ports`: streams of any length through buffers of any size. Both directions are machines
//!   that take what the caller has and give what fits. They keep at most one block.
//! - `source`, `frames`, `reader`: random access. A source is read at any place; only the segments that are needed are
//!   decoded.

mod compress;
mod decompress;
mod frames;
mod ports;
mod reader;
mod source;

pub use compress::{Compressor, Operation};
pub use decompress::Decompressor;
pub use ports::{Input, Output};
pub use reader::{MAX_KEPT_SEGMENT, Reader};
pub use source::Source;
