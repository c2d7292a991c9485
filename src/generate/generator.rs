//! The generator: a history of tokens, and what comes next.

use std::sync::Arc;

use super::options::{Options, each};
use super::sampler::{Sampler, owned};
use super::{bytes, transformer};
use crate::error::{Result, fail};
use crate::model::VOCAB;
use crate::model::open::Opened;
use crate::model::transformer::token_bytes;
use crate::numeric::buffer::{boxed, grow};
use crate::numeric::level::Level;
use crate::numeric::reserve;
use crate::session::{ProgressFn, Session};
use crate::text::Tokenizer;

#[derive(Debug)]
enum Engine {
    Transformer(Box<transformer::Engine>),
    Bytes(Box<bytes::Engine>),
}

/// Generates text. It may move between threads and serves one call at a time.
#[derive(Debug)]
pub struct Generator {
    engine: Engine,
    tokenizer: Option<Arc<Tokenizer>>,
    vocabulary: usize,
    history: Vec<u32>,
    /// Whether the engine's logits are those after the history.
    ready: bool,
    sampler: Sampler,
}

impl Generator {
    /// A generator of a model, without a history. `options`: `context=4096,weights=i8|f32,cache=i8|f16|f32,
    /// full=error|slide,memory=BYTES` for a transformer, none for a byte-level model.
    ///
    /// # Errors
    /// `Argument`, `Memory`, and those of reading f32 weights.
    pub fn new(model: &Opened, options: &str) -> Result<Self> {
        match model {
            Opened::Transformer(model) => {
                let engine = transformer::Engine::new(model, &Options::parse(options)?)?;
                let vocabulary = model.config().vocab;
                let engine = Engine::Transformer(boxed(engine, "a generator")?);
                Ok(Self::of(engine, model.tokenizer().cloned(), vocabulary, false))
            }
            Opened::Bytes(model) => {
                no_options(options)?;
                let engine = bytes::Engine::new(Session::create_from_model(model, "")?)?;
                Ok(Self::of(Engine::Bytes(boxed(engine, "a generator")?), None, VOCAB, false))
            }
        }
    }

    /// A generator that continues the live state of a session, of which it keeps a copy. What the session was fed is
    /// context, but not part of the history.
    ///
    /// # Errors
    /// `Argument`, `Memory`.
    pub fn from_session(session: &Session, options: &str) -> Result<Self> {
        no_options(options)?;
        let engine = bytes::Engine::new(session.copy_live()?)?;
        Ok(Self::of(Engine::Bytes(boxed(engine, "a generator")?), None, VOCAB, true))
    }

    fn of(engine: Engine, tokenizer: Option<Arc<Tokenizer>>, vocabulary: usize, ready: bool) -> Self {
        Self { engine, tokenizer, vocabulary, history: Vec::new(), ready, sampler: Sampler::Greedy }
    }

    /// The number of tokens, and of logits.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The tokens so far.
    pub fn history(&self) -> &[u32] {
        &self.history
    }

    /// Sets how [`Generator::step`] chooses.
    pub fn set_sampler(&mut self, sampler: Sampler) {
        self.sampler = sampler;
    }

    /// The logits of the token after the history.
    ///
    /// # Errors
    /// `State` before the first prefill.
    pub fn logits(&self) -> Result<&[f32]> {
        if !self.ready {
            fail!(State, "there is no history yet: prefill first");
        }
        Ok(match &self.engine {
            Engine::Transformer(engine) => engine.logits(),
            Engine::Bytes(engine) => engine.logits(),
        })
    }

    fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        if let Some(i) = tokens.iter().position(|token| *token as usize >= self.vocabulary) {
            fail!(Argument, "token {i} is {}, the vocabulary has {}", tokens[i], self.vocabulary);
        }
        Ok(())
    }

    /// Replaces the history. The longest common prefix with the old one is not computed again, unless a transformer's
    /// context has slid since, or the model is byte-level and the old history is not a prefix as a whole.
    ///
    /// On `Cancelled` and `Memory` the history is the prefix that was computed, so that the same call goes on from there.
    ///
    /// # Errors
    /// `Argument` for no tokens or a token out of range, `State` if they do not fit the context; the history does not
    /// change. `Cancelled`, `Memory`.
    pub fn prefill<'p>(&mut self, tokens: &[u32], progress: Option<&'p mut ProgressFn<'p>>) -> Result<()> {
        if tokens.is_empty() {
            fail!(Argument, "there are no tokens to prefill");
        }
        self.check_tokens(tokens)?;
        if let Engine::Transformer(engine) = &self.engine {
            engine.check_room(0, tokens.len())?;
        }
        let common = self.history.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        let more = tokens.len().saturating_sub(self.history.len());
        grow(&mut self.history, more, "a history")?;
        // From here on the history changes, which an allocation that failed unnoticed must not do.
        reserve::check()?;
        if common == tokens.len() && common == self.history.len() && self.ready {
            return match progress.is_none_or(|progress| progress(common as u64, common as u64)) {
                true => Ok(()),
                false => fail!(Cancelled, "cancelled by the callback"),
            };
        }
        self.ready = false;
        match &mut self.engine {
            Engine::Transformer(engine) => {
                // The last token is computed again where nothing else would be, for its logits.
                let kept = engine.truncate(common.min(tokens.len() - 1));
                self.history.clear();
                self.history.extend_from_slice(&tokens[..kept]);
                let mut progress = progress;
                let total = tokens.len() as u64;
                loop {
                    let done = self.history.len();
                    if let Some(progress) = &mut progress
                        && !progress(done as u64, total)
                    {
                        fail!(Cancelled, "cancelled by the callback after {done} of {total} tokens");
                    }
                    if done == tokens.len() {
                        break;
                    }
                    let n = engine.append(&tokens[done..])?;
                    self.history.extend_from_slice(&tokens[done..done + n]);
                }
            }
            Engine::Bytes(engine) => {
                if common < self.history.len() {
                    engine.restart()?;
                    self.history.clear();
                }
                let done = self.history.len();
                engine.append(&tokens[done..], progress)?;
                self.history.extend_from_slice(&tokens[done..]);
                engine.predict()?;
            }
        }
        self.ready = true;
        Ok(())
    }

    /// Appends a token.
    ///
    /// # Errors
    /// `Argument` for a token out of range; `State` before the first prefill, or if the context is full; `Memory`. The
    /// history does not change.
    pub fn decode(&mut self, token: u32) -> Result<()> {
        self.check_tokens(&[token])?;
        self.logits()?;
        grow(&mut self.history, 1, "a history")?;
        reserve::check()?;
        match &mut self.engine {
            Engine::Transformer(engine) => {
                engine.append(&[token])?;
            }
            Engine::Bytes(engine) => {
                engine.append(&[token], None)?;
                self.ready = false;
                engine.predict()?;
                self.ready = true;
            }
        }
        self.history.push(token);
        Ok(())
    }

    /// Chooses a token and appends it.
    ///
    /// # Errors
    /// As [`Generator::decode`].
    pub fn step(&mut self) -> Result<u32> {
        let position = self.history.len() as u64;
        let token = self.sampler.choose(Level::current(), self.logits()?, position)?;
        self.decode(token)?;
        Ok(token)
    }

    /// Makes up to `n` steps, and passes each token with its bytes to `take`, which returns whether to go on. Returns the
    /// number of steps.
    ///
    /// # Errors
    /// As [`Generator::step`]. The tokens before stay in the history.
    pub fn generate(&mut self, n: usize, mut take: impl FnMut(u32, &[u8]) -> bool) -> Result<usize> {
        for made in 0..n {
            let token = self.step()?;
            let go_on = match &self.engine {
                Engine::Bytes(_) => take(token, &[token as u8]),
                Engine::Transformer(_) => take(token, &token_bytes(self.tokenizer.as_deref(), token)?),
            };
            if !go_on {
                return Ok(made + 1);
            }
        }
        // A call for nothing still tells whether there is something to go on from.
        self.logits()?;
        Ok(n)
    }

    /// A copy of the history.
    ///
    /// # Errors
    /// `Memory`.
    pub fn tokens(&self) -> Result<Vec<u32>> {
        owned(&self.history)
    }
}

/// Byte-level models have no options.
fn no_options(options: &str) -> Result<()> {
    each(options, "options of a byte-level model", |_, _| Ok(false))
}
