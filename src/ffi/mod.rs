//! The C ABI: the only place with `extern "C"`. One file for each noun. Below them, `guard` stands around every call,
//! `message` keeps the last error, `object` and `buffers` check pointers.
//!
//! `include/gptz.h` is made from these files by tests/header.rs.
//! The comments here are the manual that C programmers read.
#![allow(non_camel_case_types, reason = "these are C's names")]
#![allow(
    clippy::missing_safety_doc,
    reason = "the comments are C's manual: what a caller must keep to stands there, for each call and in the header's head"
)]

mod allocator;
mod buffers;
mod callback;
mod cancel;
mod compress;
mod guard;
mod handle;
mod library;
mod message;
mod model;
mod object;
mod predict;
mod records;
mod snapshot;
mod status;
#[cfg(gptz_test_panic)]
mod testing;

pub use compress::*;
pub use handle::*;
pub use library::*;
pub use model::*;
pub use predict::*;
pub use records::*;
pub use snapshot::*;
pub use status::*;
