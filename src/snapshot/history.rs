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
    /// A hash over all events in their order; zeros if there was none.
    events: [u8; 32],
}

/// What changes the state of a policy besides bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A stream begins. The value is its length, or 2^64 - 1 if it is unknown.
    Begin = 1,
    /// A stream ends. The value is 0.
    End = 2,
}

/// Length of the stored form of a history.
pub const HISTORY_LEN: usize = 8 + 32 + STATE_LEN;
/// The stored form of SHA-256 in progress: eight words, the number of blocks, and an incomplete block with its length.
const STATE_LEN: usize = 32 + 8 + 64;

impl History {
    /// Appends bytes.
    pub fn observe(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.bytes.update(bytes);
    }

    /// Appends an event: the hash over all events becomes SHA-256 over the one before (32 bytes), the event (u8), the
    /// number of bytes observed before it (u64 LE), and the value (u64 LE).
    pub fn event(&mut self, event: Event, value: u64) {
        let mut hash = Sha256::new();
        hash.update(self.events);
        hash.update([event as u8]);
        hash.update(self.len.to_le_bytes());
        hash.update(value.to_le_bytes());
        self.events = hash.finalize().into();
    }

    /// The number of bytes observed.
    pub fn observed(&self) -> u64 {
        self.len
    }

    /// The identifier of a state with this history: the first 8 bytes of SHA-256 over the numerics version (u16 LE), the
    /// length of the canonical method (u32 LE), the method, the fingerprint of the weights (32 zeros if there are none),
    /// the number of bytes observed (u64 LE), SHA-256 of these bytes, and the hash over all events (32 bytes).
    pub fn id(&self, identity: &Identity) -> [u8; 8] {
        let mut hash = Sha256::new();
        hash.update(NUMERICS_VERSION.to_le_bytes());
        hash.update((identity.canonical.len() as u32).to_le_bytes());
        hash.update(identity.canonical.as_bytes());
        hash.update(identity.fingerprint.unwrap_or_default());
        hash.update(self.len.to_le_bytes());
        hash.update(self.bytes.clone().finalize());
        hash.update(self.events);
        let hash = hash.finalize();
        std::array::from_fn(|i| hash[i])
    }

    /// The stored form: the number of bytes, the hash over events, and the hash over bytes in progress.
    pub fn store(&self) -> [u8; HISTORY_LEN] {
        let mut out = [0; HISTORY_LEN];
        out[..8].copy_from_slice(&self.len.to_le_bytes());
        out[8..40].copy_from_slice(&self.events);
        out[40..].copy_from_slice(&self.bytes.serialize());
        out
    }

    /// The inverse of [`History::store`].
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn load(stored: &[u8; HISTORY_LEN]) -> Result<Self> {
        let (len, state) = stored.split_first_chunk::<8>().expect("longer than 8");
        let (events, state) = state.split_first_chunk::<32>().expect("longer than 40");
        let state: &[u8; STATE_LEN] = state.try_into().expect("the length of a state");
        match Sha256::deserialize(state.into()) {
            Ok(bytes) => Ok(Self { len: u64::from_le_bytes(*len), bytes, events: *events }),
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
        parts.event(Event::Begin, 5);
        assert_ne!(parts.id(&identity), whole.id(&identity));
        whole.event(Event::Begin, 5);
        assert_eq!(History::load(&parts.store()).unwrap().id(&identity), whole.id(&identity));
        parts.observe(&[7]);
        assert_ne!(parts.id(&identity), whole.id(&identity));
    }
}
