//! What the two sides of a frame must have in common, besides the base.

use crate::error::shortened;
use crate::weights::Fingerprint;

/// A method and the fingerprint of its weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The method's canonical string.
    pub canonical: String,
    /// The fingerprint of the weights, if the method has a weights file.
    pub fingerprint: Option<Fingerprint>,
}

impl Identity {
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
