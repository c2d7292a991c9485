//! One compressor: a predictor, a coder and a container at work, and the two states of a handle.
//!
//! The *base* (as created, or a snapshot) is where every compress, decompress and cross-entropy call starts, on a
//! scratch copy. The *live* state is what feed, predict, reset and snapshots act on.
//!
//! [`Session`] is defined here. Each file adds the calls of one kind: `create`, `compress` (with `block`: how a block is
//! coded), `decompress`, `records`, `measure` and `state`. `driver` is the loop below all of them.

mod block;
mod compress;
mod create;
mod decompress;
mod driver;
mod measure;
mod params;
mod progress;
mod records;
mod snapshot;
mod state;

use std::sync::Arc;

pub use compress::compress_bound;
pub use decompress::decompressed_size;
pub use params::{DEFAULT_MEMORY_LIMIT, Param, Params};
pub use progress::ProgressFn;
pub use snapshot::Snapshot;

pub use crate::method::DEFAULT;
use crate::model::file::Model;
use crate::predict::{Blueprint, Predictor, State};
use crate::snapshot::Identity;

/// A compressor. It may move between threads and serves one call at a time.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    blueprint: Blueprint,
    /// Kept open so that other handles share its weights.
    _builtin: Option<Arc<Model>>,
    params: Params,
    /// The state before any byte.
    initial: State,
    base: Option<Arc<Snapshot>>,
    /// Where the live state starts: the base at the last reset.
    start: Option<Arc<Snapshot>>,
    /// Holds the live state. Made when first needed.
    live: Option<Predictor>,
    /// Works for every call that starts at the base.
    scratch: Option<Predictor>,
    /// The scratch predictor's state before the block under way.
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

    /// The options, to set them.
    pub fn params_mut(&mut self) -> &mut Params {
        &mut self.params
    }
}

// What the C ABI lets threads do with them.
const _: () = {
    const fn moves<T: Send>() {}
    const fn is_shared<T: Send + Sync>() {}
    moves::<Session>();
    is_shared::<Snapshot>();
    is_shared::<Model>();
};
