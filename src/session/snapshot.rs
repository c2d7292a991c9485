//! Snapshots: copies of a handle's state.

use std::sync::Arc;

use crate::error::{Result, fail};
use crate::predict::State;
use crate::snapshot::{History, Identity};

/// An immutable copy of the state of a handle's predictor. Threads may share it.
#[derive(Debug)]
pub struct Snapshot {
    identity: Identity,
    state: Arc<State>,
    history: History,
}

impl Snapshot {
    pub(super) fn new(identity: &Identity, state: Arc<State>, history: History) -> Result<Self> {
        Ok(Self { identity: identity.try_clone()?, state, history })
    }

    /// The identifier by which frames name their base. Equal for equal states of the same method and weights.
    pub fn id(&self) -> [u8; 8] {
        self.history.id(&self.identity)
    }

    /// What the state has observed.
    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// The state, for a handle of the same method and weights.
    pub(super) fn state_for(&self, identity: &Identity) -> Result<&Arc<State>> {
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
