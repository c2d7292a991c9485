//! gptz: a neural lossless compressor behind a C ABI.
//!
//! Models predict what comes next, an entropy coder writes only the surprise. Bytes written on one machine decode on
//! every other: any CPU, any level of its instructions, any number of threads, any build.
//!
//! The library is made for C ([`ffi`], `include/gptz.h`); Rust programs use [`session::Session`]:
//!
//! ```
//! use gptz::session::{DEFAULT, Session, compress_bound};
//!
//! let text = b"as it was, as it is, as it will be";
//! let mut writer = Session::create(DEFAULT)?;
//! let mut frame = vec![0; compress_bound(text.len()).unwrap()];
//! let n = writer.compress(text, &mut frame, None)?;
//!
//! let mut reader = Session::create_for_frame(&frame[..n])?;
//! let mut back = vec![0; text.len()];
//! reader.decompress(&frame[..n], &mut back, None)?;
//! assert_eq!(&back, text);
//! # Ok::<(), gptz::error::Error>(())
//! ```
//!
//! The map of this house, from the street down; a room uses those below it, never one above:
//!
//! - [`ffi`]: the C ABI
//! - [`session`]: one compressor: predictor, coder and container at work; live state and base
//! - [`container`]: GPTZ frames, bytes only (docs/FORMAT.md)
//! - [`adapt`]: online learning
//! - [`mix`]: cheap predictors of bits, and the mixer that weighs them and what a network says
//! - [`model`]: networks: [`model::rwkv7`], [`model::gru`]
//! - [`weights`]: files and named tensors
//! - [`coder`]: entropy coding: range coder, rANS, the quantiser from logits to frequencies
//! - [`numeric`]: exact arithmetic (docs/NUMERICS.md)
//! - [`error`]: one error type for all of them

pub mod adapt;
pub mod coder;
pub mod container;
pub mod error;
pub mod ffi;
pub mod mix;
pub mod model;
pub mod numeric;
pub mod session;
pub mod weights;
