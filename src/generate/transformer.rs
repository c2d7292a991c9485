//! A transformer with its cache.

use std::sync::Arc;

use super::options::Options;
use crate::error::{Result, fail};
use crate::model::transformer::{Model, Room, Row, SINKS, State, Weights, Work};
use crate::numeric::attention::KvFormat;
use crate::numeric::level::Level;
use crate::numeric::vector::flat;

/// The tokens that prefill computes at once.
pub(super) const BATCH: usize = 64;

const DEFAULT_CONTEXT: usize = 4096;

#[derive(Debug)]
pub(super) struct Engine {
    weights: Arc<Weights>,
    format: KvFormat,
    memory: u64,
    room: Room,
    state: State,
    work: Work,
}

impl Engine {
    pub(super) fn new(model: &Model, options: &Options) -> Result<Self> {
        let config = model.config();
        let context = options.context.unwrap_or(config.context.min(DEFAULT_CONTEXT));
        if context > config.context {
            fail!(Argument, "context={context} is more than the model's, {}", config.context);
        }
        if options.slides && context <= SINKS {
            fail!(Argument, "context={context} cannot slide, {} is the least", SINKS + 1);
        }
        let room = Room { context, slides: options.slides };
        let weights = model.weights(options.weights)?;
        let state = State::new(config, options.cache, room)?;
        let work = Work::new(config, BATCH, 1)?;
        Ok(Self { weights, format: options.cache, memory: options.memory, room, state, work })
    }

    /// Keeps the first `n` tokens if it can. Returns how many it has.
    pub(super) fn truncate(&mut self, n: usize) -> usize {
        self.state.truncate(n)
    }

    /// Checks that `more` tokens fit: the context and the memory limit.
    pub(super) fn check_room(&self, from: usize, more: usize) -> Result<()> {
        let n = from.saturating_add(more);
        if n > self.room.context && !self.room.slides {
            fail!(State, "{n} tokens do not fit the context of {}", self.room.context);
        }
        let slots = n.min(self.room.context);
        let needed = State::bytes(self.weights.config(), self.format, slots);
        if needed > self.memory {
            fail!(Memory, "keys and values of {slots} tokens need {needed} bytes, memory={}", self.memory);
        }
        Ok(())
    }

    /// Appends at most [`BATCH`] of the tokens, and returns how many.
    pub(super) fn append(&mut self, tokens: &[u32]) -> Result<usize> {
        // A batch must not overwrite slots that its own tokens still see.
        let fits = self.room.context.saturating_sub(self.state.len()).max(1);
        let tokens = &tokens[..tokens.len().min(BATCH).min(fits)];
        self.check_room(self.state.len(), tokens.len())?;
        // Doubling is bounded by the memory limit: past half of it, the cache grows to what is needed.
        let mut rows = [Row { lane: 0, token: 0 }; BATCH];
        rows.iter_mut().zip(tokens).for_each(|(row, token)| row.token = *token);
        let last = [tokens.len() - 1];
        self.weights.run(Level::current(), &mut [&mut self.state], &rows[..tokens.len()], &last, &mut self.work)?;
        Ok(tokens.len())
    }

    pub(super) fn logits(&self) -> &[f32] {
        &flat(self.work.logits(0))[..self.weights.config().vocab]
    }
}
