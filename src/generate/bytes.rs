//! A byte-level predictor of any method: its tokens are bytes, its logits the logarithms of its probabilities.

use crate::error::Result;
use crate::model::VOCAB;
use crate::numeric::buffer::reserved;
use crate::numeric::level::Level;
use crate::numeric::math::{Function, map};
use crate::numeric::vector::{Vec16, WIDTH, flat, flat_mut};
use crate::session::{ProgressFn, Session, Snapshot};

#[derive(Debug)]
pub(super) struct Engine {
    session: Session,
    /// The state before the history.
    start: Snapshot,
    logits: [Vec16; VOCAB / WIDTH],
}

impl Engine {
    pub(super) fn new(session: Session) -> Result<Self> {
        let start = session.snapshot()?;
        let mut engine = Self { session, start, logits: [Vec16::ZERO; VOCAB / WIDTH] };
        engine.predict()?;
        Ok(engine)
    }

    /// Back to the state before the history.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.session.restore(&self.start)
    }

    /// Appends tokens, which are bytes. The state does not change if the call fails.
    pub(super) fn append<'p>(&mut self, tokens: &[u32], progress: Option<&'p mut ProgressFn<'p>>) -> Result<()> {
        let mut bytes = reserved(tokens.len(), "bytes")?;
        bytes.extend(tokens.iter().map(|token| *token as u8));
        self.session.feed(&bytes, progress)
    }

    pub(super) fn predict(&mut self) -> Result<()> {
        let mut probabilities = [0.0; VOCAB];
        self.session.predict(&mut probabilities)?;
        flat_mut(&mut self.logits).copy_from_slice(&probabilities);
        map(Level::current(), Function::Ln, &mut self.logits);
        Ok(())
    }

    pub(super) fn logits(&self) -> &[f32] {
        flat(&self.logits)
    }
}
