//! Files of named tensors. A model reads one tensor at a time, so that memory never holds a second copy of all weights.
//!
//! - [`tensors`]: one view of safetensors, GGUF and APR files
//! - [`writer`]: writing such files, one tensor at a time
//! - [`metadata`], `metadata_json`: typed metadata, and their JSON
//! - [`dtype`], `dequantise`, `quantise`: types of tensors, and conversions from and to f32
//! - [`source`]: files, read at positions
//! - [`safetensors`], `header`: the weights of this library's own networks

mod dequantise;
pub mod dtype;
mod header;
pub mod metadata;
mod metadata_json;
mod quantise;
pub mod safetensors;
pub mod source;
pub mod tensors;
pub mod writer;

pub use dtype::DType;
pub use header::{HEADER_MEMORY_FACTOR, MAX_HEADER, MAX_TENSORS, PARSER_MEMORY_FACTOR};

pub use metadata::Metadata;
pub use tensors::{TensorInfo, Tensors};
pub use writer::{Format, TensorWriter};

use sha2::{Digest, Sha256};

use crate::error::{Result, fail};

/// A source of weights, such as a file or a generator of random weights.
pub trait TensorSource {
    /// Replaces the content of `out` by the tensor's values, row by row.
    ///
    /// # Errors
    /// `Model` if there is no such tensor or it has another shape (dimensions of 1 are ignored); `Io` if it cannot be
    /// read; `Memory`.
    fn tensor(&mut self, name: &str, shape: &[usize], out: &mut Vec<f32>) -> Result<()>;
}

/// The name and shape of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// The full name.
    pub name: String,
    /// The dimensions, outermost first.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// The number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A hash that identifies weights: equal fingerprints mean equal predictions.
pub type Fingerprint = [u8; 32];

/// Reads tensors from another source, refuses values that are not finite, and computes the fingerprint.
///
/// The fingerprint is SHA-256 over the tensors in the order in which they are read. Each tensor contributes its name's
/// length (u32 LE) and bytes, the number of its dimensions (u32 LE), the dimensions (u64 LE each, of the shape that the
/// model expects), and its values as f32 LE. It depends on the values, not on the file's dtypes, padding or metadata.
pub(crate) struct Checked<'a> {
    source: &'a mut dyn TensorSource,
    hash: Sha256,
}

impl<'a> Checked<'a> {
    pub(crate) fn new(source: &'a mut dyn TensorSource) -> Self {
        Self { source, hash: Sha256::new() }
    }

    pub(crate) fn fingerprint(self) -> Fingerprint {
        self.hash.finalize().into()
    }
}

impl TensorSource for Checked<'_> {
    fn tensor(&mut self, name: &str, shape: &[usize], out: &mut Vec<f32>) -> Result<()> {
        self.source.tensor(name, shape, out)?;
        if let Some(i) = out.iter().position(|v| !v.is_finite()) {
            fail!(Model, "{name}: value {i} is {}, weights must be finite", out[i]);
        }
        self.hash.update((name.len() as u32).to_le_bytes());
        self.hash.update(name);
        self.hash.update((shape.len() as u32).to_le_bytes());
        for dimension in shape {
            self.hash.update((*dimension as u64).to_le_bytes());
        }
        let mut bytes = [0u8; 4096];
        for values in out.chunks(bytes.len() / 4) {
            for (to, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(values) {
                *to = value.to_le_bytes();
            }
            self.hash.update(&bytes[..values.len() * 4]);
        }
        Ok(())
    }
}
