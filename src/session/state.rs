//! The base, the scratch copy that calls use, and the live state.

use std::sync::Arc;

use super::driver::{Observe, drive};
use super::params::Param;
use super::progress::{Progress, ProgressFn};
use super::{Live, Session, Snapshot};
use crate::container::Shape;
use crate::error::{Result, fail};
use crate::mix::Mix;
use crate::model::VOCAB;
use crate::numeric::reserve;
use crate::predict::{NetworkBlueprint, Port, Predictor, State};
use crate::snapshot::History;

/// After a feed of more bytes than this, the memory of what could have been undone is freed. After others it is kept for
/// the next feed.
const LONG_FEED: usize = 1 << 14;

impl Session {
    /// A snapshot's state; the initial state for `None`. Snapshots are checked when they are set.
    pub(super) fn state_of<'a>(&'a self, snapshot: &'a Option<Arc<Snapshot>>) -> &'a Arc<State> {
        match snapshot {
            Some(snapshot) => snapshot.state_for(&self.identity, &self.blueprint).unwrap_or(&self.initial),
            None => &self.initial,
        }
    }

    pub(super) fn base_state(&self) -> &Arc<State> {
        self.state_of(&self.base)
    }

    /// Sets the state from which every later compress, decompress and cross-entropy call starts. `None` is the initial
    /// state.
    ///
    /// # Errors
    /// `Mismatch` for a snapshot of another method or other weights; `Corrupt` if it was loaded and its networks do not
    /// have the shapes of the method.
    pub fn set_base(&mut self, snapshot: Option<Arc<Snapshot>>) -> Result<()> {
        if let Some(s) = &snapshot {
            s.state_for(&self.identity, &self.blueprint)?;
        }
        self.base = snapshot;
        Ok(())
    }

    /// The bytes that this handle takes while it compresses a long content: its states, the live one if it exists, the
    /// base, the predictor, what undoing a block needs, and weights unless they come from a file or from a model that
    /// the caller opened; saturates.
    pub fn memory_estimate(&self) -> u64 {
        let lanes = self.lanes();
        self.memory(lanes).saturating_add(self.block_bytes(lanes))
    }

    /// The bytes that compression of blocks takes in addition to [`Session::memory`]: what undoing a block needs, its
    /// payload, and its content, which a stream gathers.
    pub(super) fn block_bytes(&self, lanes: usize) -> u64 {
        let block = self.params.shape().max_block();
        let mark = self.blueprint.mark_bytes(usize::try_from(block).unwrap_or(usize::MAX), lanes);
        // The block in the order in which it is coded.
        let ordered = if lanes > 1 { block } else { 0 };
        mark.saturating_add(2 * block + ordered)
    }

    /// The lanes of frames. One by default, because more cost too many bytes (docs/REJECTED.md).
    pub(super) fn lanes(&self) -> usize {
        let lanes = self.params.get(Param::Lanes) as usize;
        self.blueprint.lanes(lanes.max(1))
    }

    /// The shape of frames.
    pub(super) fn shape(&self) -> Shape {
        Shape { lanes_log: self.lanes().ilog2() as u8, ..self.params.shape() }
    }

    /// The bytes that this handle takes while a call works without a mark; saturates. `lanes`: those of the scratch
    /// predictor; 0 if there is none.
    fn memory(&self, lanes: usize) -> u64 {
        let of = |snapshot: &Option<Arc<Snapshot>>| snapshot.as_ref().map_or(0, |s| s.bytes(&self.blueprint));
        let mut needed = self.initial.bytes(&self.blueprint).saturating_add(of(&self.base));
        let same = matches!((&self.base, &self.start), (Some(base), Some(start)) if Arc::ptr_eq(base, start));
        if !same {
            needed = needed.saturating_add(of(&self.start));
        }
        let live = usize::from(self.live.is_some());
        for lanes in [self.blueprint.lanes(lanes), live].into_iter().filter(|lanes| *lanes > 0) {
            needed = needed.saturating_add(self.blueprint.predictor_bytes(lanes));
        }
        // Weights from a file or from a model that the caller opened are not counted.
        if self.identity.fingerprint.is_none() {
            let shared = self.blueprint.networks.iter().map(NetworkBlueprint::shared_bytes);
            needed = shared.fold(needed, u64::saturating_add);
        }
        needed
    }

    /// Checks the memory that this handle takes, with a scratch predictor of `lanes` lanes, and `more` bytes, against the
    /// limit.
    pub(super) fn check_memory(&self, lanes: usize, more: u64) -> Result<()> {
        let needed = self.memory(lanes).saturating_add(more);
        let limit = self.params.get(Param::MemoryLimit) as u64;
        if needed > limit {
            fail!(Memory, "the method needs {needed} bytes, the memory limit is {limit}");
        }
        Ok(())
    }

    /// Whether `bytes` more, beside two blocks, stay below the memory limit while a frame is decoded.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        self.check_memory(
            self.scratch_lanes().max(1),
            self.params.shape().max_block().saturating_mul(2).saturating_add(bytes),
        )
        .is_ok()
    }

    /// Checks the work of the handle's method against the limit, before frames or records are decoded.
    pub(super) fn check_work(&self) -> Result<()> {
        let (work, limit) = (self.blueprint.peak_work(), self.params.get(Param::WorkLimit) as u64);
        if work > limit {
            fail!(Method, "the method takes {work} multiplications a byte, the work limit is {limit}");
        }
        Ok(())
    }

    /// The lanes of the scratch predictor; 0 if there is none.
    fn scratch_lanes(&self) -> usize {
        self.scratch.as_ref().map_or(0, Predictor::lanes)
    }

    /// Removes and returns the scratch predictor, at the base and with this number of lanes, so that a call can borrow the
    /// rest of the session.
    pub(super) fn take_scratch(&mut self, lanes: usize) -> Result<Predictor> {
        self.check_memory(lanes, 0)?;
        let mut scratch = match self.scratch.take() {
            Some(scratch) => scratch,
            None => Predictor::new(&self.blueprint)?,
        };
        scratch.set_lanes(&self.blueprint, lanes)?;
        scratch.start_at(self.base_state());
        Ok(scratch)
    }

    /// [`Session::with_scratch_of`] one lane.
    pub(super) fn with_scratch<T>(&mut self, f: impl FnOnce(&mut Self, &mut Predictor) -> Result<T>) -> Result<T> {
        self.with_scratch_of(1, f)
    }

    /// Runs `f` on the scratch predictor, at the base and with this number of lanes.
    pub(super) fn with_scratch_of<T>(
        &mut self,
        lanes: usize,
        f: impl FnOnce(&mut Self, &mut Predictor) -> Result<T>,
    ) -> Result<T> {
        let mut scratch = self.take_scratch(lanes)?;
        let result = f(self, &mut scratch);
        self.scratch = Some(scratch);
        result
    }

    /// The live state.
    pub(super) fn live(&mut self) -> Result<&mut Live> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => {
                // The scratch predictor can be made again.
                let own = self.blueprint.predictor_bytes(1);
                if self.check_memory(self.scratch_lanes(), own).is_err() {
                    self.scratch = None;
                    self.check_memory(0, own)?;
                }
                let mut predictor = Predictor::new(&self.blueprint)?;
                predictor.start_at(self.state_of(&self.start));
                Live { predictor, history: self.start_history() }
            }
        };
        live.predictor.use_current_level();
        let live = self.live.insert(live);
        // If memory is short, the call must fail before it changes the state.
        reserve::check()?;
        Ok(live)
    }

    /// What the initial value of the live state has observed.
    fn start_history(&self) -> History {
        self.start.as_ref().map_or_else(History::default, |start| start.history().clone())
    }

    /// The distribution of the next byte after the live state.
    ///
    /// # Errors
    /// `Memory`.
    pub fn predict(&mut self, probabilities: &mut [f32; VOCAB]) -> Result<()> {
        self.live()?.predictor.probabilities(probabilities)
    }

    /// Lets the live state observe some bytes. If the call is cancelled, the live state does not change.
    ///
    /// # Errors
    /// `Memory`, `Cancelled`; `State` if a policy has positions in percent and the live stream's length is unknown.
    pub fn feed<'p>(&mut self, data: &[u8], progress: Option<&'p mut ProgressFn<'p>>) -> Result<()> {
        self.pass_live(data, &mut Observe::new(data), progress)
    }

    /// Passes a port's bytes, which are `data`, through the live state.
    pub(super) fn pass_live<'p>(
        &mut self,
        data: &[u8],
        port: &mut impl Port,
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<()> {
        self.live()?.predictor.check_length()?;
        let cancellable = progress.is_some();
        if cancellable {
            self.check_memory(self.scratch_lanes(), self.blueprint.mark_bytes(data.len(), 1))?;
        }
        let Self { live: Some(Live { predictor, history }), blueprint, .. } = self else { unreachable!("made above") };
        if cancellable {
            predictor.mark(blueprint)?;
        }
        // Before the state changes. What comes after it is undone only if there is a mark.
        reserve::check()?;
        let fed = Progress::start(progress, data.len() as u64)
            .and_then(|mut progress| drive(predictor, port, &mut progress))
            .and_then(|()| if cancellable { reserve::check() } else { Ok(()) });
        match &fed {
            Ok(()) => history.observe(data),
            Err(_) if cancellable => predictor.undo(),
            Err(_) => {}
        }
        if cancellable {
            predictor.unmark(data.len() > LONG_FEED);
        }
        fed
    }

    /// The mix of the live state, if the method has one. Tools that learn the initial weights of mixes may replace it
    /// by another mix of the same options.
    ///
    /// # Errors
    /// `Memory`.
    pub fn live_mix(&mut self) -> Result<Option<&mut Mix>> {
        Ok(self.live()?.predictor.mix())
    }

    /// Sets the live state to the base.
    pub fn reset(&mut self) {
        self.start = self.base.clone();
        if let Some(mut live) = self.live.take() {
            live.predictor.start_at(self.state_of(&self.start));
            live.history = self.start_history();
            self.live = Some(live);
        }
    }

    /// A copy of the live state.
    ///
    /// # Errors
    /// `Memory`.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let (state, history) = match &self.live {
            Some(Live { predictor, history }) => (Arc::new(predictor.save(&self.blueprint)?), history.clone()),
            None => (self.state_of(&self.start).clone(), self.start_history()),
        };
        Snapshot::new(&self.identity, state, history)
    }

    /// A session of the same method whose live state is a copy of this one's.
    ///
    /// # Errors
    /// `Memory`.
    pub fn copy_live(&self) -> Result<Self> {
        Ok(Self {
            identity: self.identity.try_clone()?,
            blueprint: self.blueprint.clone(),
            _builtin: self._builtin.clone(),
            params: self.params.clone(),
            initial: self.initial.clone(),
            base: None,
            start: Some(Arc::new(self.snapshot()?)),
            live: None,
            scratch: None,
        })
    }

    /// Sets the live state to that of a snapshot.
    ///
    /// # Errors
    /// `Mismatch`, `Memory`.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let state = snapshot.state_for(&self.identity, &self.blueprint)?;
        let live = self.live()?;
        live.predictor.start_at(state);
        live.history = snapshot.history().clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    /// A mark that stayed would be logged for by every later feed.
    #[test]
    fn a_feed_that_can_be_cancelled_leaves_no_mark() {
        let mut session = Session::create("mix:mem=64K").unwrap();
        for n in [10, LONG_FEED + 1] {
            session.feed(&vec![b'a'; n], Some(&mut |_, _| true)).unwrap();
            assert!(!session.live_mix().unwrap().unwrap().undo(), "after {n} bytes");
        }
    }

    #[test]
    fn the_memory_estimate_is_the_smallest_limit_that_suffices() {
        let network = "cfg:hidden=32,layers=1,head_size=32,train=adam";
        for method in
            ["mix:mem=64K", "gru:hidden=16,replay=2,bptt=4", network, &format!("mix:neural=({network}),mem=64K")]
        {
            let mut session = Session::create(method).unwrap();
            let estimate = session.memory_estimate();
            session.params_mut().set(Param::MemoryLimit, estimate as i64).unwrap();
            let mut frame = [0; 1024];
            session.compress(b"text", &mut frame, None).unwrap();
            session.params_mut().set(Param::MemoryLimit, estimate as i64 - 1).unwrap();
            let e = session.compress(b"text", &mut frame, None).unwrap_err();
            assert_eq!(e.status(), Status::Memory, "{method}");
            session.cross_entropy(b"text", None).unwrap();
            let least = session.memory(1) as i64 - 1;
            session.params_mut().set(Param::MemoryLimit, least).unwrap();
            assert_eq!(session.cross_entropy(b"text", None).unwrap_err().status(), Status::Memory, "{method}");
            // The live state takes the place of the scratch predictor.
            session.params_mut().set(Param::MemoryLimit, estimate as i64).unwrap();
            session.predict(&mut [0.0; VOCAB]).unwrap();
            assert!(session.scratch.is_none() || session.memory(1) <= estimate);
        }
    }
}
