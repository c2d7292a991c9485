//! GPTZ frames: headers, blocks, segments, trailers, skippable frames, indexes and records, as docs/FORMAT.md specifies
//! them. Payloads are not decoded here.
//!
//! Input is not trusted: every length is checked against the rest of the input before it is used.

mod block;
mod check;
mod frame;
mod header;
mod index;
mod read;
mod record;
mod segment;
mod skippable;
mod trailer;
mod walk;

pub use block::{
    Block, BlockHeader, BlockKind, END_BLOCK, MAX_BLOCK_OVERHEAD, block_crc, plausible, write_block_header,
};
pub use check::frame_tag;
pub use frame::{Body, Frame, Frames, Opening, Parts, frames, opening, single, single_header, trailer};
pub use header::{
    Coder, DEFAULT_BLOCK_LOG, Header, HeaderV2, HeaderV3, Layout, MAX_BLOCK_LOG, MAX_CANONICAL_LEN, MAX_HEADER_LEN,
    MAX_LANES_LOG, MAX_METHOD_LEN, MAX_SEGMENT_LOG, MIN_BLOCK_LOG, MIN_SEGMENT_LOG, MethodRef, Shape, V2_HEADER_LEN,
};
pub use index::{INDEX_FOOTER_LEN, INDEX_MAGIC, Index};
pub use record::{MAX_RECORD_OVERHEAD, Record, RecordCheck};
pub use segment::{MAX_SEGMENT_HEADER_LEN, SEGMENT_MAGIC, Segment};
pub use skippable::{MAX_SKIPPABLE_HEADER_LEN, SKIPPABLE_DATA, SKIPPABLE_INDEX, Skippable, SkippableHeader};
pub use trailer::{MAX_SINGLE_OVERHEAD, MAX_TRAILER_LEN, write_single_length, write_trailer};
pub use walk::{Piece, PieceHeader, Pieces, Walk};
