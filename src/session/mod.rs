//! A compressor: a predictor, a coder, a container, and the two states of a handle.
//!
//! The *base* is the initial state or a snapshot: every compress, decompress and cross-entropy call starts from it, on
//! a scratch copy. Feed, predict, reset and snapshots use the *live* state.
//!
//! [`Session`] is defined here. Each file adds the calls of one kind: `create`, `compress` (with `writer`, a frame
//! block by block, and `block`, how a block is coded), `decompress` (with `decoder`, a frame block by block, and `guests`:
//! frames of other methods), `info`, `records`, `measure`, `state` and `live`.
//! `driver` is the loop that all of them use.

mod block;
mod compress;
mod content;
mod create;
mod decoder;
mod decompress;
mod driver;
mod guests;
mod info;
mod live;
mod measure;
mod params;
mod progress;
mod records;
mod snapshot;
mod state;
mod writer;

use std::sync::Arc;

pub use compress::compress_bound;
pub use decoder::FrameDecoder;
pub use decompress::decompressed_size;
pub use guests::Guests;
pub use info::{FrameValue, frame_info, frame_method};
pub use params::{DEFAULT_MEMORY_LIMIT, DEFAULT_WORK_LIMIT, Param, Params};
pub use progress::{Progress, ProgressFn};
pub use snapshot::Snapshot;
pub use writer::{FrameWriter, Written};

pub use crate::method::DEFAULT;

use crate::adapt::Train;
use crate::model::file::Model;
use crate::predict::{Blueprint, NetworkBlueprint, Predictor, State};
use crate::snapshot::{History, Identity};

/// A compressor. It may move between threads. It serves one call at a time.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    blueprint: Blueprint,
    /// The model stays open, so that other handles can share its weights.
    _builtin: Option<Arc<Model>>,
    params: Params,
    /// The state before any byte.
    initial: Arc<State>,
    base: Option<Arc<Snapshot>>,
    /// The initial value of the live state: the base at the last reset.
    start: Option<Arc<Snapshot>>,
    /// The live state. Created on first use.
    live: Option<Live>,
    /// The predictor of all calls that start from the base. Created on first use.
    scratch: Option<Predictor>,
}

/// The live state.
#[derive(Debug)]
struct Live {
    predictor: Predictor,
    history: History,
}

impl Session {
    /// The method and weights.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether bytes change more than the context of later predictions: tables, mixers or weights.
    pub fn can_learn(&self) -> bool {
        let learns = |network: &NetworkBlueprint| match network {
            NetworkBlueprint::Rwkv7(network) => network.rule.train != Train::None,
            NetworkBlueprint::Gru { .. } | NetworkBlueprint::Learner { .. } => true,
        };
        self.blueprint.mix.is_some() || self.blueprint.networks.iter().any(learns)
    }

    /// The options.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The options, mutable.
    pub fn params_mut(&mut self) -> &mut Params {
        &mut self.params
    }
}

// The C ABI guarantees that handles may move between threads, and that threads may share snapshots and models.
const _: () = {
    const fn moves<T: Send>() {}
    const fn is_shared<T: Send + Sync>() {}
    moves::<Session>();
    is_shared::<Snapshot>();
    is_shared::<Model>();
};
