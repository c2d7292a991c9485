//! What a live state has observed, from which bases get their identifiers.

use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest, Sha256};

use super::Identity;
use crate::error::{Result, fail};
use crate::numeric::NUMERICS_VERSION;

/// The bytes that a live state has observed since it was new. A state is a function of the method, the weights and its
/// history, so states with equal histories are equal. The identifier takes no time to compute, whatever the size of the
/// state.
#[derive(Clone, Debug, Default)]
pub struct History {
    len: u64,
    bytes: Sha256,
}

/// Length of the stored form of a history.
pub const HISTORY_LEN: usize = 8 + STATE_LEN;
/// The stored form of SHA-256 in progress: eight words, the number of blocks, and an incomplete block with its length.
const STATE_LEN: usize = 32 + 8 + 64;

impl History {
    /// Appends bytes.
    pub fn observe(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.bytes.update(bytes);
    }

    /// The number of bytes observed.
    pub fn observed(&self) -> u64 {
        self.len
    }

    /// The identifier of a state with this history: the first 8 bytes of SHA-256 over the numerics version (u16 LE), the
    /// length of the canonical method (u32 LE), the method, the fingerprint of the weights (32 zeros if there are none),
    /// the number of bytes observed (u64 LE), and SHA-256 of these bytes.
    pub fn id(&self, identity: &Identity) -> [u8; 8] {
        let mut hash = Sha256::new();
        hash.update(NUMERICS_VERSION.to_le_bytes());
        hash.update((identity.canonical.len() as u32).to_le_bytes());
        hash.update(identity.canonical.as_bytes());
        hash.update(identity.fingerprint.unwrap_or_default());
        hash.update(self.len.to_le_bytes());
        hash.update(self.bytes.clone().finalize());
        let hash = hash.finalize();
        std::array::from_fn(|i| hash[i])
    }

    /// The stored form: the number of bytes, and the hash in progress.
    pub fn store(&self) -> [u8; HISTORY_LEN] {
        let mut out = [0; HISTORY_LEN];
        out[..8].copy_from_slice(&self.len.to_le_bytes());
        out[8..].copy_from_slice(&self.bytes.serialize());
        out
    }

    /// The inverse of [`History::store`].
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn load(stored: &[u8; HISTORY_LEN]) -> Result<Self> {
        let (len, state) = stored.split_first_chunk::<8>().expect("longer than 8");
        let state: &[u8; STATE_LEN] = state.try_into().expect("the length of a state");
        match Sha256::deserialize(state.into()) {
            Ok(bytes) => Ok(Self { len: u64::from_le_bytes(*len), bytes }),
            Err(_) => fail!(Corrupt, "the history of the snapshot is not valid"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_depends_on_the_bytes_and_not_on_their_division() {
        let identity = Identity { canonical: "mix:".to_owned(), fingerprint: None };
        let mut whole = History::default();
        whole.observe(&[7; 1000]);
        let mut parts = History::default();
        for n in [1, 63, 64, 400, 472] {
            parts.observe(&vec![7; n]);
            parts = History::load(&parts.store()).unwrap();
        }
        assert_eq!((parts.id(&identity), parts.observed()), (whole.id(&identity), 1000));
        parts.observe(&[7]);
        assert_ne!(parts.id(&identity), whole.id(&identity));
    }
}
