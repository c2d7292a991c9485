//! Snapshots: copies of a handle's state.

use crate::error::{Result, fail};
use crate::predict::State;
use crate::snapshot::{Digest, Identity};

/// An immutable copy of the state of a handle's predictor. Threads may share it.
#[derive(Debug)]
pub struct Snapshot {
    identity: Identity,
    state: State,
    id: [u8; 8],
}

impl Snapshot {
    #[inline(never)] // The digest has a large buffer on the stack.
    pub(super) fn new(identity: &Identity, state: State) -> Result<Self> {
        let mut digest = Digest::new(identity);
        state.visit(&mut digest);
        Ok(Self { identity: identity.try_clone()?, state, id: digest.finish() })
    }

    /// The identifier by which frames name their base: the first 8 bytes of SHA-256 over the method, the weights'
    /// fingerprint and the state.
    pub fn id(&self) -> [u8; 8] {
        self.id
    }

    /// The state, for a handle of the same method and weights.
    pub(super) fn state_for(&self, identity: &Identity) -> Result<&State> {
        if self.identity != *identity {
            fail!(
                Mismatch,
                "the snapshot is of method {}, the handle has {}",
                self.identity.describe(),
                identity.describe()
            );
        }
        Ok(&self.state)
    }
}
