//! Frames over time.
//!
//! - `compress`, `decompress`, `ports`: streams of any length through buffers of any size. Both directions are machines
//!   that take what the caller has and give what fits. They keep at most one block.
//! - `source`, `frames`, `reader`: random access. A source is read at any place; only the segments that are needed are
//!   decoded.
//! - `salvage`, `survey`, `hunt`, `parts`: what is sound in a damaged source. `survey` says where the segments of each
//!   frame are, `hunt` searches for them where headers are damaged, `parts` has their blocks.

mod compress;
mod decompress;
mod frames;
mod hunt;
mod parts;
mod ports;
mod reader;
mod salvage;
mod source;
mod survey;

pub use compress::{Compressor, Operation};
pub use decompress::Decompressor;
pub use ports::{Input, Output};
pub use reader::{MAX_KEPT_SEGMENT, Reader};
pub use salvage::{Rescue, salvage};
pub use source::Source;
