//! States to bytes and back. A state passes its parts to a [`Transfer`] in a fixed order; whether they are stored or
//! loaded is the business of the transfer, so that the two cannot differ.

use super::buffer::grow;
use super::vector::Vec16;
use crate::error::{Result, fail};

/// Stores or loads the parts of a state.
pub trait Transfer {
    /// Bytes.
    ///
    /// # Errors
    /// `Memory` when storing, `Corrupt` when loading.
    fn bytes(&mut self, bytes: &mut [u8]) -> Result<()>;

    /// Floats, little-endian. All NaNs are stored as the same one, since the payload of a NaN depends on the CPU.
    ///
    /// # Errors
    /// As [`Transfer::bytes`].
    fn floats(&mut self, vectors: &mut [Vec16]) -> Result<()> {
        for vector in vectors {
            let mut bytes = vector.0.map(|x| if x.is_nan() { f32::NAN } else { x }.to_le_bytes());
            self.bytes(bytes.as_flattened_mut())?;
            vector.0 = bytes.map(f32::from_le_bytes);
        }
        Ok(())
    }

    /// Single floats.
    ///
    /// # Errors
    /// As [`Transfer::bytes`].
    fn values(&mut self, values: &mut [f32]) -> Result<()> {
        for x in values {
            let mut bytes = x.to_le_bytes();
            self.bytes(&mut bytes)?;
            *x = f32::from_le_bytes(bytes);
        }
        Ok(())
    }

    /// A number, little-endian, from `least` to `most`.
    ///
    /// # Errors
    /// As [`Transfer::bytes`]; `Corrupt`, naming `what`, if it is beyond the limits.
    fn number(&mut self, x: &mut u64, least: u64, most: u64, what: &str) -> Result<()> {
        let mut bytes = x.to_le_bytes();
        self.bytes(&mut bytes)?;
        *x = u64::from_le_bytes(bytes);
        if !(least..=most).contains(x) {
            fail!(Corrupt, "{what} is {x}, not {least} to {most}");
        }
        Ok(())
    }
}

/// Appends the parts to a buffer. The state does not change.
#[derive(Debug)]
pub struct Store<'a>(pub &'a mut Vec<u8>);

impl Transfer for Store<'_> {
    fn bytes(&mut self, bytes: &mut [u8]) -> Result<()> {
        grow(self.0, bytes.len(), "a stored state")?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Takes the parts from a buffer.
#[derive(Debug)]
pub struct Load<'a>(pub &'a [u8]);

impl Transfer for Load<'_> {
    fn bytes(&mut self, bytes: &mut [u8]) -> Result<()> {
        let Some((taken, rest)) = self.0.split_at_checked(bytes.len()) else {
            fail!(Corrupt, "a stored state needs {} bytes more, {} are left", bytes.len(), self.0.len());
        };
        bytes.copy_from_slice(taken);
        self.0 = rest;
        Ok(())
    }
}
