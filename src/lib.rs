//! gptz: a neural lossless compressor behind a C ABI.
//!
//! Models predict the next byte, and an entropy coder writes well predicted bytes in few bits. A frame that one machine
//! writes decodes on every other, whatever the CPU, the instruction set and the build.
//!
//! The library has a C API ([`ffi`], `include/gptz.h`). Rust programs use [`session::Session`]:
//!
//! ```
//! use gptz::session::{DEFAULT, Session, compress_bound};
//!
//! let text = b"a lossless compressor restores every byte";
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
//! The modules are layers, from the highest to the lowest. A module uses only modules of its own and of lower layers:
//!
//! - [`ffi`]: the C ABI, one file for each noun
//! - [`generate`]: text out of a model: prefill, decode, step
//! - [`stream`]: frames over time: streams of any length, random access, salvage
//! - [`session`]: a compressor: predictor, coder and container together; live state and base; records; measures
//! - [`method`]: method strings: grammar, canonical form, registered methods and levels
//! - [`predict`]: predictors of the next byte: a network, a mix, or both
//! - [`snapshot`]: the identifier of a state
//! - [`container`]: GPTZ frames, blocks and records, without their decoding (docs/FORMAT.md)
//! - [`adapt`]: online learning: output heads, GRUs, optimisers
//! - [`mix`]: context models and the mixer
//! - [`model`]: networks: [`model::rwkv7`], [`model::gru`], [`model::transformer`]
//! - [`text`]: tokenizers: bytes to tokens and back
//! - [`weights`]: files and named tensors
//! - [`coder`]: entropy coding: range coder, rANS, the quantiser from logits to frequencies
//! - [`numeric`]: exact arithmetic (docs/NUMERICS.md)
//! - [`error`]: the error type of all layers

pub mod adapt;
pub mod coder;
pub mod container;
pub mod error;
pub mod ffi;
pub mod generate;
pub mod method;
pub mod mix;
pub mod model;
pub mod numeric;
pub mod predict;
pub mod session;
pub mod snapshot;
pub mod stream;
pub mod text;
pub mod weights;
