//! The predictor of a session: a network, a mix, or a mix with networks among its inputs.
//!
//! With a network alone, a byte is coded as one symbol. With a mix, it is coded as eight bits.

use std::sync::{Arc, PoisonError, RwLock};

use super::network::{Blueprint as NetworkBlueprint, Network, NetworkState};
use super::port::Port;
use super::turn::{Turn, lanes_of};
use crate::coder::Bit;
use crate::error::{Result, fail};
use crate::mix::{Content, MAX_VIEWS, Mix, Options, Views};
use crate::model::VOCAB;
use crate::numeric::buffer::{boxed, made};
use crate::numeric::transfer::{Load, Store};

/// The total of a bit's frequencies.
const BIT_TOTAL: u32 = 1 << 16;

/// The work of a mix per byte: the number of multiplications that take about the same time.
pub const MIX_WORK: u64 = 1 << 14;

/// What a predictor consists of: one network, or a mix with any number of networks.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// Networks and how they learn. Exactly one without a mix.
    pub networks: Vec<NetworkBlueprint>,
    /// The mix. Without one, bytes are coded with the distribution of the network.
    pub mix: Option<Options>,
}

impl Blueprint {
    /// The bytes that a predictor of this many lanes takes, without shared weights; saturates.
    pub fn predictor_bytes(&self, lanes: usize) -> u64 {
        let of = |n: &NetworkBlueprint| n.bytes(lanes as u64).saturating_add(n.scratch_bytes(lanes as u64));
        let networks = self.networks.iter().fold(0u64, |sum, n| sum.saturating_add(of(n)));
        networks.saturating_add(self.mix.map_or(0, |options| options.bytes() + Mix::lane_bytes(lanes)))
    }

    /// The bytes that a mark of a predictor of this many lanes takes, after which `bytes` bytes are observed; saturates.
    pub fn mark_bytes(&self, bytes: usize, lanes: usize) -> u64 {
        let networks = self.networks.iter().fold(0u64, |sum, n| sum.saturating_add(n.bytes(lanes as u64)));
        networks.saturating_add(self.mix.map_or(0, |options| options.log_bytes(bytes)))
    }

    /// The number of lanes of predictors for frames of `lanes` lanes. A method with a policy has one lane.
    pub fn lanes(&self, lanes: usize) -> usize {
        let has_policy = self.networks.iter().any(|n| matches!(n, NetworkBlueprint::Learner { .. }));
        if has_policy { 1 } else { lanes }
    }

    /// The approximate number of multiplications a byte, on average; saturates.
    pub fn work(&self) -> u64 {
        self.sum_of_work(NetworkBlueprint::work)
    }

    /// The approximate number of multiplications of the costliest byte; saturates.
    pub fn peak_work(&self) -> u64 {
        self.sum_of_work(NetworkBlueprint::peak_work)
    }

    fn sum_of_work(&self, of: fn(&NetworkBlueprint) -> u64) -> u64 {
        let mix = self.mix.map_or(0, |_| MIX_WORK);
        self.networks.iter().map(of).fold(mix, u64::saturating_add)
    }
}

/// Everything that bytes have changed. Predictors in equal states make equal predictions. Threads may share it.
#[derive(Debug)]
pub struct State {
    /// [`NetworkState::transfer`] needs them mutable also when it stores them, which does not change them.
    networks: RwLock<Vec<NetworkState>>,
    mix: Option<Arc<Content>>,
}

impl State {
    /// Appends the stored form of the networks' states.
    ///
    /// # Errors
    /// `Memory`.
    pub fn store_networks(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut networks = self.networks.write().unwrap_or_else(PoisonError::into_inner);
        networks.iter_mut().try_for_each(|network| network.transfer(&mut Store(out)))
    }

    /// A state with this content of the mix, and the networks' states that [`State::store_networks`] stored.
    ///
    /// # Errors
    /// `Corrupt`, `Memory`.
    pub fn load(blueprint: &Blueprint, networks: &[u8], mix: Option<Arc<Content>>) -> Result<Self> {
        let mut from = Load(networks);
        let load = |i: usize| {
            let mut network = blueprint.networks[i].initial(1)?;
            network.transfer(&mut from)?;
            Ok(network)
        };
        let networks = made(blueprint.networks.len(), "networks", load)?;
        if !from.0.is_empty() {
            fail!(Corrupt, "the stored networks have {} bytes too many", from.0.len());
        }
        Ok(Self { networks: RwLock::new(networks), mix })
    }

    /// The content of the mix.
    pub fn mix(&self) -> Option<&Arc<Content>> {
        self.mix.as_ref()
    }

    /// The memory that it takes in bytes, without what all states of the method share.
    pub fn bytes(&self, blueprint: &Blueprint) -> u64 {
        let networks = blueprint.networks.iter().fold(0u64, |sum, n| sum.saturating_add(n.bytes(1)));
        networks.saturating_add(self.mix.as_ref().map_or(0, |mix| mix.bytes()))
    }
}

/// The networks' distributions of a lane's next byte, as of the last [`Network::prepare_views`].
fn views(networks: &[Network], lane: usize) -> Views<'_> {
    let mut all = [None; MAX_VIEWS];
    let views = networks.iter().flat_map(|network| network.views(lane));
    all.iter_mut().zip(views).for_each(|(to, view)| *to = Some(view));
    all
}

/// A mix with this content. Not inlined, so that its stack is free again before other functions are called.
#[inline(never)]
fn new_mix(content: &Content) -> Result<Box<Mix>> {
    boxed(Mix::with(content)?, "a mix")
}

/// A predictor with its state and scratch memory.
#[derive(Debug)]
pub struct Predictor {
    networks: Vec<Network>,
    mix: Option<Box<Mix>>,
    /// The most lanes of a block.
    lanes: usize,
    /// The lanes of the block before.
    used: usize,
    turn: Turn,
    /// Whether networks are bypassed: they neither predict nor observe.
    bypassed: bool,
    /// The networks' states at the mark, and the lanes of the block before it.
    marked: Option<(Vec<NetworkState>, usize)>,
    /// [`Blueprint::work`].
    work: u64,
}

impl Predictor {
    /// A predictor of one lane before any byte.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(blueprint: &Blueprint) -> Result<Self> {
        let initial = blueprint.mix.map(Content::initial).transpose()?;
        Ok(Self {
            networks: made(blueprint.networks.len(), "networks", |i| Network::new(&blueprint.networks[i], 1))?,
            mix: initial.map(|content| new_mix(&content)).transpose()?,
            lanes: 1,
            used: 1,
            turn: Turn::ONE,
            bypassed: false,
            marked: None,
            work: blueprint.work(),
        })
    }

    /// Sets the most lanes of a block, a power of two up to 64. [`Predictor::start_at`] must be called then, unless the number
    /// does not change. Drops the mark.
    ///
    /// # Errors
    /// `Memory`. The predictor must be dropped then.
    pub fn set_lanes(&mut self, blueprint: &Blueprint, lanes: usize) -> Result<()> {
        let lanes = blueprint.lanes(lanes);
        if lanes != self.lanes {
            // First, so that no more memory is taken than that of the new ones.
            (self.networks, self.marked) = (Vec::new(), None);
            if let Some(mix) = &mut self.mix {
                mix.set_lanes(lanes)?;
            }
            let new = |i: usize| Network::new(&blueprint.networks[i], lanes);
            self.networks = made(blueprint.networks.len(), "networks", new)?;
            (self.lanes, self.used, self.turn) = (lanes, 1, Turn::ONE);
        }
        Ok(())
    }

    /// The most lanes of a block.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Begins a block of `len` bytes: lane 0 goes on from the last lane of the block before. Its bytes are then coded in the
    /// order of [`to_coding_order`](super::to_coding_order). Returns the number of lanes, which is 1 for a predictor of
    /// one lane; then it need not be called.
    ///
    /// # Errors
    /// `Memory`. The state then does not change.
    pub fn begin_block(&mut self, len: usize) -> Result<usize> {
        if self.lanes == 1 {
            return Ok(1);
        }
        let window = self.mix.as_ref().map_or(u64::MAX, |mix| mix.window());
        let lanes = lanes_of(len as u64, self.lanes, window);
        if let Some(mix) = &mut self.mix {
            mix.reserve(lanes)?;
            mix.begin_block(len as u32, lanes);
        }
        // Also where networks are bypassed: the lanes of a network are those of the mix.
        if self.used > 1 {
            self.networks.iter_mut().for_each(|network| network.copy_lane(self.used - 1, 0));
        }
        self.used = lanes;
        self.turn = Turn::first(len, lanes);
        Ok(lanes)
    }

    /// Ends a block whose bytes, in the order of the text, are `block`, and which the networks observed.
    pub fn end_block(&mut self, block: &[u8]) {
        if self.used > 1 {
            self.networks.iter_mut().for_each(|network| network.keep(block));
        }
    }

    /// Switches to the current CPU level.
    pub fn use_current_level(&mut self) {
        self.networks.iter_mut().for_each(Network::use_current_level);
        if let Some(mix) = &mut self.mix {
            mix.use_current_level();
        }
    }

    /// Whether a block may bypass the networks: only in a mix with a pretrained network. Networks with random initial
    /// weights and those with a policy must observe all bytes, because they learn from these.
    pub fn may_bypass_networks(&self) -> bool {
        !self.has_policy() && self.mix.as_ref().is_some_and(|mix| mix.options().knowing > 0)
    }

    /// Sets whether the networks are bypassed from now on.
    pub fn bypass_networks(&mut self, bypassed: bool) {
        debug_assert!(!bypassed || self.may_bypass_networks());
        self.bypassed = bypassed;
    }

    /// The approximate number of multiplications a byte at present, on average.
    pub fn work(&self) -> u64 {
        if self.bypassed { MIX_WORK } else { self.work }
    }

    /// The state of a new predictor, before any byte. All predictors with the same mix share its content.
    ///
    /// # Errors
    /// `Memory`.
    pub fn initial_state(&self, blueprint: &Blueprint) -> Result<State> {
        let networks = RwLock::new(self.copy_networks(blueprint)?);
        Ok(State { networks, mix: blueprint.mix.map(Content::initial).transpose()? })
    }

    /// A copy of the state of a predictor of one lane.
    ///
    /// # Errors
    /// `Memory`.
    pub fn save(&self, blueprint: &Blueprint) -> Result<State> {
        let mix = match &self.mix {
            Some(mix) => Some(Arc::new(mix.freeze()?)),
            None => None,
        };
        Ok(State { networks: RwLock::new(self.copy_networks(blueprint)?), mix })
    }

    fn copy_networks(&self, blueprint: &Blueprint) -> Result<Vec<NetworkState>> {
        made(self.networks.len(), "states", |i| self.networks[i].state().try_clone(&blueprint.networks[i], self.lanes))
    }

    /// Starts from a state of the same blueprint, and switches to the current CPU level. A mix takes its tables from
    /// the state when they are first touched. Drops the mark. Allocates nothing.
    pub fn start_at(&mut self, state: &State) {
        self.use_current_level();
        self.bypassed = false;
        (self.used, self.turn) = (1, Turn::ONE);
        let networks = state.networks.read().unwrap_or_else(PoisonError::into_inner);
        self.networks.iter_mut().zip(&*networks).for_each(|(to, from)| to.restore(from));
        if let (Some(mix), Some(content)) = (&mut self.mix, &state.mix) {
            mix.start_at(content);
        }
    }

    /// Sets a mark, to which [`Predictor::undo`] goes back. It replaces an earlier one. The networks must not be
    /// bypassed.
    ///
    /// # Errors
    /// `Memory`.
    pub fn mark(&mut self, blueprint: &Blueprint) -> Result<()> {
        match &mut self.marked {
            Some((marked, used)) => {
                marked.iter_mut().zip(&self.networks).for_each(|(to, from)| to.copy_from(from.state()));
                *used = self.used;
            }
            None => self.marked = Some((self.copy_networks(blueprint)?, self.used)),
        }
        if let Some(mix) = &mut self.mix {
            mix.mark();
        }
        Ok(())
    }

    /// Drops the mark, so that changes are no longer logged. `free`: whether the memory that only marks need is freed too.
    pub fn unmark(&mut self, free: bool) {
        if free {
            self.marked = None;
        }
        if let Some(mix) = &mut self.mix {
            mix.unmark(free);
        }
    }

    /// Makes sure that [`Predictor::undo`] is possible after `bytes` more bytes. Does nothing without a mark.
    ///
    /// # Errors
    /// `Memory`.
    pub fn reserve(&mut self, bytes: usize) -> Result<()> {
        match &mut self.mix {
            Some(mix) => mix.reserve(bytes),
            None => Ok(()),
        }
    }

    /// Goes back to the mark, which stays, and switches to the current CPU level. The networks are not bypassed then.
    /// The time is proportional to the changes since the mark.
    ///
    /// # Panics
    /// If there is no mark, or bytes were observed without [`Predictor::reserve`].
    pub fn undo(&mut self) {
        self.use_current_level();
        self.bypassed = false;
        let (marked, used) = self.marked.as_ref().expect("a mark");
        (self.used, self.turn) = (*used, Turn::ONE);
        self.networks.iter_mut().zip(marked).for_each(|(to, from)| to.restore(from));
        if let Some(mix) = &mut self.mix {
            assert!(mix.undo(), "room for all bytes was reserved");
        }
    }

    /// Whether a network learns by a policy, so that calls must state where streams begin.
    pub fn has_policy(&self) -> bool {
        self.networks.iter().any(Network::has_policy)
    }

    /// Checks that the length of the stream is known if a policy has positions in percent.
    ///
    /// # Errors
    /// `State`.
    pub fn check_length(&self) -> Result<()> {
        if !self.networks.iter().all(Network::knows_length) {
            fail!(
                State,
                "the policy has positions in percent, and the live stream's length is not known: begin it first"
            );
        }
        Ok(())
    }

    /// Checks that a stream of unknown length can begin: no policy has positions in percent.
    ///
    /// # Errors
    /// `State`.
    pub fn check_unknown_length(&self) -> Result<()> {
        if self.networks.iter().any(Network::needs_length) {
            fail!(State, "the policy has positions in percent, which need the length of the stream");
        }
        Ok(())
    }

    /// Starts a stream of `total` bytes, or of unknown length, for the networks' policies.
    pub fn begin_stream(&mut self, total: Option<u64>) {
        self.networks.iter_mut().for_each(|network| network.begin_stream(total));
    }

    /// Ends a stream: networks with policies train on what they have not trained on.
    pub fn end_stream(&mut self) {
        self.networks.iter_mut().for_each(Network::end_stream);
    }

    /// Begins a record: the mix treats it as the start of a line.
    pub fn begin_record(&mut self) {
        if let Some(mix) = &mut self.mix {
            mix.begin_line();
        }
    }

    /// The mix, if the predictor has one.
    pub fn mix(&mut self) -> Option<&mut Mix> {
        self.mix.as_deref_mut()
    }

    /// Codes the port's next byte and learns from it. In a block of several lanes, networks learn after each turn.
    pub fn code_byte<P: Port>(&mut self, port: &mut P) {
        let networks = if self.bypassed { &mut [] } else { &mut self.networks[..] };
        let (lane, turn) = (self.turn.lane(), &mut self.turn);
        if lane == 0 {
            let needs_logits = P::NEEDS_DISTRIBUTION || self.mix.is_some();
            let known = port.lookahead();
            let known = &known[..known.len().min(turn.left())];
            networks.iter_mut().for_each(|network| network.lookahead(known, turn.lanes(), needs_logits));
        }
        let known = port.next_known();
        let byte = match (&mut self.mix, networks.first_mut()) {
            (Some(mix), _) => {
                networks.iter_mut().for_each(|network| network.prepare_views(turn.active()));
                mix.select(lane);
                let views = &views(networks, lane);
                // A leading 1, then the bits so far.
                let mut partial = 1u32;
                mix.code_byte(views, &mut |ones| {
                    let left = 7 - partial.ilog2();
                    let bit = port.code(&Bit { ones, total: BIT_TOTAL }, u32::from(known) >> left & 1);
                    partial = partial << 1 | bit;
                    bit
                });
                partial as u8
            }
            (None, Some(network)) if P::NEEDS_DISTRIBUTION => {
                network.prepare(turn.active());
                port.code(network.distribution(lane), known.into()) as u8
            }
            (None, _) => known,
        };
        port.finish_byte(byte);
        let kept = turn.lanes() == 1;
        if let Some(bytes) = turn.take(byte) {
            networks.iter_mut().for_each(|network| network.observe(bytes, kept));
        }
    }

    /// The probabilities of all bytes, as the coders use them. For predictors of one lane.
    ///
    /// # Errors
    /// `Memory`. The state then does not change.
    pub fn probabilities(&mut self, out: &mut [f32; VOCAB]) -> Result<()> {
        match (&mut self.mix, self.networks.first_mut()) {
            (Some(mix), _) => {
                self.networks.iter_mut().for_each(|network| network.prepare_views(1));
                return mix.probabilities(&views(&self.networks, 0), out);
            }
            (None, Some(network)) => network.probabilities(out),
            (None, None) => out.fill(1.0 / VOCAB as f32),
        }
        Ok(())
    }
}
