//! A compressor: a predictor, a coder, a container, and the two states of a handle.
//!
//! The *base* is the initial state or a snapshot: every compress, decompress and cross-entropy call starts from it, on
//! a scratch copy. Feed, predict, reset and snapshots use the *live* state.
//!
//! [`Session`] is defined here. Each file adds the calls of one kind: `create`, `compress` (with `block`: how a block
//! is coded), `decompress`, `records`, `measure`, `state` and `live`. `driver` is the loop that all of them use.

mod block;
mod compress;
mod create;
mod decompress;
mod driver;
mod live;
mod measure;
mod params;
mod progress;
mod records;
mod snapshot;
mod state;

use std::sync::Arc;

pub use compress::compress_bound;
pub use decompress::decompressed_size;
pub use params::{DEFAULT_MEMORY_LIMIT, DEFAULT_WORK_LIMIT, Param, Params};
pub use progress::ProgressFn;
pub use snapshot::Snapshot;

pub use crate::method::DEFAULT;
use crate::model::file::Model;
use crate::predict::{Blueprint, Predictor, State};
use crate::snapshot::Identity;

/// A compressor. It may move between threads. It serves one call at a time.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    blueprint: Blueprint,
    /// The model stays open, so that other handles can share its weights.
    _builtin: Option<Arc<Model>>,
    params: Params,
    /// The state before any byte.
    initial: State,
    base: Option<Arc<Snapshot>>,
    /// The initial value of the live state: the base at the last reset.
    start: Option<Arc<Snapshot>>,
    /// Holds the live state. Created on first use.
    live: Option<Predictor>,
    /// The predictor of all calls that start from the base.
    scratch: Option<Predictor>,
    /// The scratch predictor's state before the current block.
    checkpoint: Option<State>,
}

impl Session {
    /// The method and weights.
    pub fn identity(&self) -> &Identity {
        &self.identity
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
