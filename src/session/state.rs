//! The base, the scratch copy that calls use, and the live state.

use std::sync::Arc;

use super::create::{PREDICTORS, STATES};
use super::driver::{Observe, drive};
use super::params::Param;
use super::progress::{Progress, ProgressFn};
use super::{Session, Snapshot};
use crate::error::{Result, fail};
use crate::mix::Mix;
use crate::model::VOCAB;
use crate::numeric::reserve;
use crate::predict::{NetworkBlueprint, Predictor, State};

impl Session {
    /// A snapshot's state; the initial state for `None`. Snapshots are checked when they are set.
    pub(super) fn state_of<'a>(&'a self, snapshot: &'a Option<Arc<Snapshot>>) -> &'a State {
        match snapshot {
            Some(snapshot) => snapshot.state_for(&self.identity).unwrap_or(&self.initial),
            None => &self.initial,
        }
    }

    pub(super) fn base_state(&self) -> &State {
        self.state_of(&self.base)
    }

    /// Sets the state from which every later compress, decompress and cross-entropy call starts. `None` is the initial
    /// state.
    ///
    /// # Errors
    /// `Mismatch` for a snapshot of another method or other weights.
    pub fn set_base(&mut self, snapshot: Option<Arc<Snapshot>>) -> Result<()> {
        if let Some(s) = &snapshot {
            s.state_for(&self.identity)?;
        }
        self.base = snapshot;
        Ok(())
    }

    /// The most bytes that this handle takes: all states and predictors that it may hold, and weights unless they come
    /// from a file or from a model that the caller opened; saturates.
    pub fn memory_estimate(&self) -> u64 {
        let mut needed = self.blueprint.bytes(STATES, PREDICTORS);
        // Weights from a file or from a model that the caller opened are not counted.
        if self.identity.fingerprint.is_none() {
            let shared = self.blueprint.networks.iter().map(NetworkBlueprint::shared_bytes);
            needed = shared.fold(needed, u64::saturating_add);
        }
        needed
    }

    /// Checks the memory that this handle takes against the limit.
    fn check_memory(&self) -> Result<()> {
        let needed = self.memory_estimate();
        let limit = self.params.get(Param::MemoryLimit) as u64;
        if needed > limit {
            fail!(Memory, "the method needs {needed} bytes, the memory limit is {limit}");
        }
        Ok(())
    }

    /// Checks the work of the handle's method against the limit, before frames or records are decoded.
    pub(super) fn check_work(&self) -> Result<()> {
        let (work, limit) = (self.blueprint.peak_work(), self.params.get(Param::WorkLimit) as u64);
        if work > limit {
            fail!(Method, "the method takes {work} multiplications a byte, the work limit is {limit}");
        }
        Ok(())
    }

    /// Removes and returns the scratch predictor, at the base, so that a call can borrow the rest of the session.
    pub(super) fn take_scratch(&mut self) -> Result<Predictor> {
        self.check_memory()?;
        let mut scratch = match self.scratch.take() {
            Some(scratch) => scratch,
            None => Predictor::new(&self.blueprint)?,
        };
        scratch.restore(self.base_state())?;
        Ok(scratch)
    }

    /// Runs `f` on the scratch predictor, at the base.
    pub(super) fn with_scratch<T>(&mut self, f: impl FnOnce(&mut Self, &mut Predictor) -> Result<T>) -> Result<T> {
        let mut scratch = self.take_scratch()?;
        let result = f(self, &mut scratch);
        self.scratch = Some(scratch);
        result
    }

    /// The live predictor.
    fn live(&mut self) -> Result<&mut Predictor> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => {
                self.check_memory()?;
                let mut live = Predictor::new(&self.blueprint)?;
                live.restore(self.state_of(&self.start))?;
                live
            }
        };
        live.use_current_level();
        let live = self.live.insert(live);
        // If memory is short, the call must fail before it changes the state.
        reserve::check()?;
        Ok(live)
    }

    /// The distribution of the next byte after the live state.
    ///
    /// # Errors
    /// `Memory`.
    pub fn predict(&mut self, probabilities: &mut [f32; VOCAB]) -> Result<()> {
        self.live()?.probabilities(probabilities)
    }

    /// Lets the live state observe some bytes. If the call is cancelled, the live state does not change.
    ///
    /// # Errors
    /// `Memory`, `Cancelled`.
    pub fn feed<'p>(&mut self, data: &[u8], progress: Option<&'p mut ProgressFn<'p>>) -> Result<()> {
        self.live()?;
        let Self { live: Some(live), blueprint, .. } = self else { unreachable!("made above") };
        let before = if progress.is_some() { Some(live.save(blueprint)?) } else { None };
        // Before the state changes. What comes after it is undone only if there is a copy.
        reserve::check()?;
        let fed = Progress::start(progress, data.len() as u64)
            .and_then(|mut progress| drive(live, &mut Observe::new(data), &mut progress))
            .and_then(|()| if before.is_some() { reserve::check() } else { Ok(()) });
        if let (Err(_), Some(before)) = (&fed, &before) {
            live.restore(before)?;
        }
        fed
    }

    /// The mix of the live state, if the method has one. Tools that learn the initial weights of mixes may replace it
    /// by another mix of the same options.
    ///
    /// # Errors
    /// `Memory`.
    pub fn live_mix(&mut self) -> Result<Option<&mut Mix>> {
        Ok(self.live()?.mix())
    }

    /// Sets the live state to the base.
    pub fn reset(&mut self) {
        self.start = self.base.clone();
        self.live = None;
    }

    /// A copy of the live state.
    ///
    /// # Errors
    /// `Memory`.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let state = match &self.live {
            Some(live) => live.save(&self.blueprint)?,
            None => {
                let mut predictor = Predictor::new(&self.blueprint)?;
                predictor.restore(self.state_of(&self.start))?;
                predictor.save(&self.blueprint)?
            }
        };
        Snapshot::new(&self.identity, state)
    }

    /// A session of the same method whose live state is a copy of this one's.
    ///
    /// # Errors
    /// `Memory`.
    pub fn copy_live(&self) -> Result<Self> {
        let state = self.snapshot()?;
        let mut first = Predictor::new(&self.blueprint)?;
        let initial = first.initial_state(&self.blueprint)?;
        let mut copy = Self {
            identity: self.identity.try_clone()?,
            blueprint: self.blueprint.clone(),
            _builtin: self._builtin.clone(),
            params: self.params.clone(),
            initial,
            base: None,
            start: None,
            live: Some(first),
            scratch: None,
            checkpoint: None,
        };
        copy.restore(&state)?;
        Ok(copy)
    }

    /// Sets the live state to that of a snapshot.
    ///
    /// # Errors
    /// `Mismatch`, `Memory`.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let state = snapshot.state_for(&self.identity)?;
        self.live()?.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    #[test]
    fn the_memory_estimate_is_the_smallest_limit_that_suffices() {
        let network = "cfg:hidden=32,layers=1,head_size=32,train=adam";
        for method in
            ["mix:mem=64K", "gru:hidden=16,replay=2,bptt=4", network, &format!("mix:neural=({network}),mem=64K")]
        {
            let mut session = Session::create(method).unwrap();
            let estimate = session.memory_estimate();
            session.params_mut().set(Param::MemoryLimit, estimate as i64).unwrap();
            session.cross_entropy(b"text", None).unwrap();
            session.params_mut().set(Param::MemoryLimit, estimate as i64 - 1).unwrap();
            assert_eq!(session.cross_entropy(b"text", None).unwrap_err().status(), Status::Memory, "{method}");
        }
    }
}
