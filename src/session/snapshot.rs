//! Snapshots: copies of a handle's state, in memory and portable.

use std::sync::{Arc, OnceLock};

use crate::error::{Result, fail};
use crate::method::Method;
use crate::mix::Content;
use crate::numeric::buffer::copied;
use crate::predict::{Blueprint, State};
use crate::snapshot::blob::{self, Blob, Kind, Section};
use crate::snapshot::{HISTORY_LEN, History, Identity};

/// An immutable copy of the state of a handle's predictor. Threads may share it.
#[derive(Debug)]
pub struct Snapshot {
    identity: Identity,
    history: History,
    /// Empty until a loaded snapshot is first used by a handle, whose blueprint gives the networks their shapes.
    state: OnceLock<Arc<State>>,
    /// The networks of a loaded snapshot, in their stored form.
    networks: Vec<u8>,
    /// The mix of a loaded snapshot.
    mix: Option<Arc<Content>>,
}

impl Snapshot {
    pub(super) fn new(identity: &Identity, state: Arc<State>, history: History) -> Result<Self> {
        let identity = identity.try_clone()?;
        Ok(Self { identity, history, state: OnceLock::from(state), networks: Vec::new(), mix: None })
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
    pub(super) fn state_for(&self, identity: &Identity, blueprint: &Blueprint) -> Result<&Arc<State>> {
        if self.identity != *identity {
            fail!(
                Mismatch,
                "the snapshot is of method {}, the handle has {}",
                self.identity.describe(),
                identity.describe()
            );
        }
        match self.state.get() {
            Some(state) => Ok(state),
            None => {
                let state = Arc::new(State::load(blueprint, &self.networks, self.mix.clone())?);
                Ok(self.state.get_or_init(|| state))
            }
        }
    }

    /// The memory in bytes that it takes.
    pub(super) fn bytes(&self, blueprint: &Blueprint) -> u64 {
        let stored = self.networks.len() as u64 + self.mix.as_ref().map_or(0, |mix| mix.bytes());
        self.state.get().map_or(stored, |state| state.bytes(blueprint).saturating_add(self.networks.len() as u64))
    }

    /// The portable form (docs/FORMAT.md, "Portable snapshots").
    ///
    /// # Errors
    /// `Memory`.
    pub fn save(&self) -> Result<Vec<u8>> {
        let mut networks = Vec::new();
        let (networks, content) = match self.state.get() {
            Some(state) => {
                state.store_networks(&mut networks)?;
                (&networks, state.mix())
            }
            None => (&self.networks, self.mix.as_ref()),
        };
        let mut mix = Vec::new();
        if let Some(content) = content {
            content.store(&mut mix)?;
        }
        let history = self.history.store();
        let sections = [(Section::History, &history[..]), (Section::Networks, networks), (Section::Mix, &mix)];
        blob::write(Kind::Handle, &self.identity, if content.is_some() { &sections } else { &sections[..2] })
    }

    /// A snapshot from its portable form.
    ///
    /// # Errors
    /// `Format`, `Truncated`, `Numerics`, `Corrupt`, `Memory`.
    pub fn load(blob: &[u8]) -> Result<Self> {
        let blob = Blob::read(Kind::Handle, blob)?;
        // The method gives the shape of the mix. It is parsed only: nothing that it names is opened.
        let method = Method::parse_stored(&blob.identity.canonical).map_err(|e| e.within("the snapshot"))?;
        let history = blob.section(Section::History)?;
        let Ok(history) = <&[u8; HISTORY_LEN]>::try_from(history) else {
            fail!(Corrupt, "the history of the snapshot has {} bytes, not {HISTORY_LEN}", history.len());
        };
        let history = History::load(history)?;
        let networks = copied(blob.section(Section::Networks)?, "a snapshot")?;
        let mix = match method.mix {
            Some(options) => Some(Arc::new(Content::load(options, blob.section(Section::Mix)?)?)),
            None => None,
        };
        Ok(Self { identity: blob.identity, history, state: OnceLock::new(), networks, mix })
    }
}
