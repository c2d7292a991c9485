//! Files of named tensors. A model asks a source for one tensor at a time, so that no second copy of all weights is
//! ever in memory.

pub mod safetensors;

use sha2::{Digest, Sha256};

use crate::error::{Result, fail};

/// Where weights come from: a file, a generator.
pub trait TensorSource {
    /// Fills `out` with the tensor's values, row by row.
    ///
    /// # Errors
    /// `Model` where there is no such tensor or its shape is another (dimensions of 1 do not count), `Io` where it
    /// cannot be read.
    fn tensor(&mut self, name: &str, shape: &[usize], out: &mut Vec<f32>) -> Result<()>;
}

/// A name and a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// The tensor's full name.
    pub name: String,
    /// Its dimensions, slowest first.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// How many values it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What weights are, in 32 bytes: equal fingerprints, equal predictions.
pub type Fingerprint = [u8; 32];

/// Passes tensors through, refuses values that are not finite, and computes the fingerprint: SHA-256 over, for each
/// tensor in the order asked for, its name's length (u32 LE) and bytes, the number of its dimensions (u32 LE) and these
/// (u64 LE each, as the model needs them), and the values as f32 LE. So the file's dtype, padding and metadata do not matter, the numbers do.
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
