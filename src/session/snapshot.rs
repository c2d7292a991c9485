//! What a handle had learned at some moment.

use sha2::{Digest, Sha256};

use super::predictor::Learned;
use crate::error::{Result, fail};
use crate::weights::Fingerprint;

/// What both sides of a frame must share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The method's canonical string.
    pub canonical: String,
    /// The weights', where the method has a file.
    pub fingerprint: Option<Fingerprint>,
}

impl Identity {
    /// As it stands in messages.
    pub fn describe(&self) -> String {
        match &self.fingerprint {
            Some(f) => format!("\"{}\" with weights {}", self.canonical, hex(&f[..8])),
            None => format!("\"{}\"", self.canonical),
        }
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// An immutable copy of what a predictor has learned. Threads may share it.
#[derive(Debug)]
pub struct Snapshot {
    identity: Identity,
    learned: Learned,
    id: [u8; 8],
}

impl Snapshot {
    pub(super) fn new(identity: &Identity, learned: Learned) -> Self {
        let mut hash = Sha256::new();
        hash.update(identity.canonical.as_bytes());
        hash.update(identity.fingerprint.unwrap_or_default());
        learned.hash(&mut hash);
        let mut id = [0; 8];
        id.copy_from_slice(&hash.finalize()[..8]);
        Self { identity: identity.clone(), learned, id }
    }

    /// The first bytes of SHA-256 over the method and all that was learned: what frames call their base.
    pub fn id(&self) -> [u8; 8] {
        self.id
    }

    /// What was learned, for a handle of the same method and weights.
    pub(super) fn learned_for(&self, identity: &Identity) -> Result<&Learned> {
        if self.identity != *identity {
            fail!(
                Mismatch,
                "the snapshot is of method {}, the handle has {}",
                self.identity.describe(),
                identity.describe()
            );
        }
        Ok(&self.learned)
    }
}
