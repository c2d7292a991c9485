//! The method and the weights, which both sides of a frame must have in common.

use crate::error::{Result, out_of_memory, shortened};
use crate::weights::Fingerprint;

/// A method and the fingerprint of its weights.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    /// The method's canonical string.
    pub canonical: String,
    /// The fingerprint of the weights, if the method has a weights file.
    pub fingerprint: Option<Fingerprint>,
}

impl Identity {
    /// A copy.
    ///
    /// # Errors
    /// `Memory`.
    pub fn try_clone(&self) -> Result<Self> {
        let mut canonical = String::new();
        if canonical.try_reserve_exact(self.canonical.len()).is_err() {
            return Err(out_of_memory(self.canonical.len(), "a method string"));
        }
        canonical.push_str(&self.canonical);
        Ok(Self { canonical, fingerprint: self.fingerprint })
    }

    /// As text, for messages.
    pub fn describe(&self) -> String {
        match &self.fingerprint {
            Some(f) => format!("\"{}\" with weights {}", shortened(&self.canonical), hex(&f[..8])),
            None => format!("\"{}\"", shortened(&self.canonical)),
        }
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
