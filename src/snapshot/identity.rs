//! What both sides of a frame must share besides the base.

use crate::error::shortened;
use crate::weights::Fingerprint;

/// A method and the weights of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The method's canonical string.
    pub canonical: String,
    /// The fingerprint of the weights, where the method has a file.
    pub fingerprint: Option<Fingerprint>,
}

impl Identity {
    /// As messages show it.
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
