//! The predictor of a session: a network, a mix, or a mix with networks among its inputs.
//!
//! With a network alone, a byte is coded as one symbol. With a mix, it is coded as eight bits.

use std::sync::atomic::{AtomicU64, Ordering};

use super::network::{Blueprint as NetworkBlueprint, Network, NetworkState};
use super::port::Port;
use crate::coder::Bit;
use crate::error::{Result, fail};
use crate::mix::{MAX_VIEWS, Mix, Options, Views};
use crate::model::VOCAB;
use crate::numeric::buffer::{boxed, made};
use crate::numeric::visit::Visitor;

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
    /// The bytes that this many states and the scratch memory of this many predictors take, without shared weights;
    /// saturates.
    pub fn bytes(&self, states: u64, predictors: u64) -> u64 {
        let of = |n: &NetworkBlueprint| {
            n.bytes().saturating_mul(states).saturating_add(n.scratch_bytes().saturating_mul(predictors))
        };
        let networks = self.networks.iter().fold(0u64, |sum, n| sum.saturating_add(of(n)));
        networks.saturating_add(self.mix.map_or(0, |options| options.bytes()).saturating_mul(states))
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

/// Everything that bytes have changed. Predictors in equal states make equal predictions.
#[derive(Debug)]
pub struct State {
    /// States with the same version have the same content, so a predictor need not compare their contents.
    version: u64,
    networks: Vec<NetworkState>,
    /// `None` without a mix, and in the initial state, since creating a mix is cheaper than copying one.
    mix: Option<Box<Mix>>,
}

/// The networks' distributions of the next byte, as of the last [`Network::prepare_views`].
fn views(networks: &[Network]) -> Views<'_> {
    let mut all = [None; MAX_VIEWS];
    let views = networks.iter().flat_map(|network| network.views());
    all.iter_mut().zip(views).for_each(|(to, view)| *to = Some(view));
    all
}

/// A mix in its initial state. Not inlined, so that its stack is free again before other functions are called.
#[inline(never)]
fn new_mix(options: Options) -> Result<Box<Mix>> {
    boxed(Mix::new(options)?, "a mix")
}

/// A version that no state has.
fn new_version() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl State {
    /// Passes the whole state to a visitor, in a fixed order.
    pub fn visit(&self, visitor: &mut impl Visitor) {
        self.networks.iter().for_each(|network| network.visit(visitor));
        if let Some(mix) = &self.mix {
            mix.visit(&mut |bytes| visitor.bytes(bytes));
        }
    }
}

/// A predictor with its state and scratch memory.
#[derive(Debug)]
pub struct Predictor {
    networks: Vec<Network>,
    mix: Option<Box<Mix>>,
    /// Whether networks are bypassed: they neither predict nor observe.
    bypassed: bool,
    /// The version of the state to which the mix's journal can roll back.
    origin: Option<u64>,
    /// [`Blueprint::work`].
    work: u64,
}

impl Predictor {
    /// A predictor before any byte.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(blueprint: &Blueprint) -> Result<Self> {
        Ok(Self {
            networks: made(blueprint.networks.len(), "networks", |i| Network::new(&blueprint.networks[i]))?,
            mix: blueprint.mix.map(new_mix).transpose()?,
            bypassed: false,
            origin: None,
            work: blueprint.work(),
        })
    }

    /// The state of a new predictor, before any byte.
    ///
    /// # Errors
    /// `Memory`.
    pub fn initial_state(&mut self, blueprint: &Blueprint) -> Result<State> {
        let version = new_version();
        self.origin = Some(version);
        Ok(State { version, networks: self.copy_networks(blueprint)?, mix: None })
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

    /// A copy of the state.
    ///
    /// # Errors
    /// `Memory`.
    pub fn save(&self, blueprint: &Blueprint) -> Result<State> {
        let mix = match &self.mix {
            Some(mix) => {
                let mut copy = new_mix(*mix.options())?;
                copy.copy_from(mix);
                Some(copy)
            }
            None => None,
        };
        Ok(State { version: new_version(), networks: self.copy_networks(blueprint)?, mix })
    }

    fn copy_networks(&self, blueprint: &Blueprint) -> Result<Vec<NetworkState>> {
        made(self.networks.len(), "states", |i| self.networks[i].state().try_clone(&blueprint.networks[i]))
    }

    /// Copies the state into another one of the same blueprint. Allocates nothing.
    pub fn save_to(&self, state: &mut State) {
        state.version = new_version();
        state.networks.iter_mut().zip(&self.networks).for_each(|(to, from)| to.copy_from(from.state()));
        if let (Some(to), Some(from)) = (&mut state.mix, &self.mix) {
            to.copy_from(from);
        }
    }

    /// Copies another state of the same blueprint, and switches to the current CPU level. If the mix's journal reaches
    /// back to that state, the mix is rolled back instead of copied. The time is then proportional to its changes since
    /// then.
    ///
    /// # Errors
    /// `Memory`. The state is then undefined until a call succeeds.
    pub fn restore(&mut self, state: &State) -> Result<()> {
        self.use_current_level();
        self.bypassed = false;
        self.networks.iter_mut().zip(&state.networks).for_each(|(to, from)| to.restore(from));
        if let Some(mix) = &mut self.mix
            && (self.origin != Some(state.version) || !mix.roll_back())
        {
            self.origin = None;
            match &state.mix {
                Some(from) => mix.copy_from(from),
                None => *mix = new_mix(*mix.options())?,
            }
        }
        self.origin = Some(state.version);
        Ok(())
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

    /// The mix, if the predictor has one. Later calls cannot roll back to an earlier state, because the caller may
    /// change the mix.
    pub fn mix(&mut self) -> Option<&mut Mix> {
        self.origin = None;
        self.mix.as_deref_mut()
    }

    /// Codes the port's next byte and learns from it.
    pub fn code_byte<P: Port>(&mut self, port: &mut P) {
        let networks = if self.bypassed { &mut [] } else { &mut self.networks[..] };
        let needs_logits = P::NEEDS_DISTRIBUTION || self.mix.is_some();
        networks.iter_mut().for_each(|network| network.lookahead(port.lookahead(), needs_logits));
        let known = port.next_known();
        let byte = match (&mut self.mix, networks.first_mut()) {
            (Some(mix), _) => {
                networks.iter_mut().for_each(Network::prepare_views);
                let views = &views(networks);
                // A leading 1, then the bits so far.
                let mut partial = 1u32;
                while partial < 1 << 8 {
                    let bit = Bit { ones: mix.predict(views), total: BIT_TOTAL };
                    let left = 7 - partial.ilog2();
                    let bit = port.code(&bit, u32::from(known) >> left & 1);
                    mix.update(bit);
                    partial = partial << 1 | bit;
                }
                partial as u8
            }
            (None, Some(network)) if P::NEEDS_DISTRIBUTION => port.code(network.frequencies(), known.into()) as u8,
            (None, _) => known,
        };
        port.finish_byte(byte);
        networks.iter_mut().for_each(|network| network.observe(byte));
    }

    /// The probabilities of all bytes, as the coders use them.
    ///
    /// # Errors
    /// `Memory`. The state then does not change.
    pub fn probabilities(&mut self, out: &mut [f32; VOCAB]) -> Result<()> {
        match (&mut self.mix, self.networks.first_mut()) {
            (Some(mix), _) => {
                self.networks.iter_mut().for_each(Network::prepare_views);
                return mix.probabilities(&views(&self.networks), out);
            }
            (None, Some(network)) => network.probabilities(out),
            (None, None) => out.fill(1.0 / VOCAB as f32),
        }
        Ok(())
    }
}
