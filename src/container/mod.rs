//! GPTZ frames: headers, blocks, trailers and records, as docs/FORMAT.md specifies them. Payloads are not decoded here.
//!
//! Input is not trusted: every length is checked against the rest of the input before it is used.

mod block;
mod frame;
mod header;
mod read;
mod record;

pub use block::{Block, BlockKind, END_BLOCK, MAX_BLOCK_OVERHEAD, block_crc, write_block_header};
pub use frame::{Blocks, Body, Frame, Frames, Parts, frames};
pub use header::{
    COMMON_LEN, Coder, Header, MAX_BLOCK_LOG, MAX_CANONICAL_LEN, MAX_HEADER_LEN, MAX_METHOD_LEN, MIN_BLOCK_LOG,
    MethodRef, Streamed, Version,
};
pub use record::{MAX_RECORD_OVERHEAD, Record, RecordCheck};
