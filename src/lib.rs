//! gptz: a neural lossless compressor behind a C ABI.
//!
//! Models predict the next byte, an entropy coder writes only the surprise. A frame written on one machine decodes on every
//! other: any CPU, instruction set, thread count and build.
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
//! The map of this house, from the street down. A room uses those below it, never one above:
//!
//! - [`ffi`]: the C ABI, one file for each noun
//! - [`session`]: one compressor: predictor, coder and container at work; live state and base; records; measures
//! - [`method`]: method strings: grammar, canonical form, registered methods and levels
//! - [`predict`]: what predicts the next byte: a network at work, the mix, both together
//! - [`snapshot`]: what identifies a state
//! - [`container`]: GPTZ frames, blocks and records; bytes only (docs/FORMAT.md)
//! - [`adapt`]: online learning: output heads, GRUs, optimisers
//! - [`mix`]: context models and the mixer
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
pub mod method;
pub mod mix;
pub mod model;
pub mod numeric;
pub mod predict;
pub mod session;
pub mod snapshot;
pub mod weights;
