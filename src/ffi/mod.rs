//! The C ABI: the only place with `extern "C"`. One file for each noun. Below them, `guard` runs the body of every
//! call, `message` stores the last error, and `object` and `buffers` check pointers.
//!
//! tests/header.rs generates `include/gptz.h` from these files. The comments here are the manual that C programmers
//! read.
#![allow(non_camel_case_types, reason = "these are C's names")]
#![allow(
    clippy::missing_safety_doc,
    reason = "the comments are the C manual: they and the head of the header state what a caller must guarantee"
)]

mod allocator;
mod buffers;
mod callback;
mod cancel;
mod compress;
mod frame;
mod generator;
mod guard;
mod handle;
mod learn;
mod library;
mod message;
mod meter;
mod model;
mod object;
mod predict;
mod reader;
mod records;
mod salvage;
mod snapshot;
mod source;
mod stats;
mod status;
mod stream;
mod tensor_writer;
mod tensors;
#[cfg(gptz_test_panic)]
mod testing;
mod tokenize;

pub use compress::*;
pub use frame::*;
pub use generator::*;
pub use handle::*;
pub use learn::*;
pub use library::*;
pub use model::*;
pub use predict::*;
pub use reader::*;
pub use records::*;
pub use salvage::*;
pub use snapshot::*;
pub use source::*;
pub use stats::*;
pub use status::*;
pub use stream::*;
pub use tensor_writer::*;
pub use tensors::*;
pub use tokenize::*;
