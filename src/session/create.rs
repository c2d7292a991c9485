//! Creation of a session: from a method string, from the method that a frame names, or from an open model.

use std::sync::Arc;

use super::Session;
use super::decompress::check_numerics;
use super::params::{DEFAULT_MEMORY_LIMIT, DEFAULT_WORK_LIMIT, Param, Params};
use crate::adapt::policy::Policy;
use crate::adapt::{Gru, Learner, LearnerWork};
use crate::container::{Frame, Header, HeaderV3};
use crate::error::{Result, fail, shortened};
use crate::method::{Base, Learning, Method, Network, resolve};
use crate::mix::Content;
use crate::model::builtin;
use crate::model::file::{self, Model};
use crate::model::rwkv7::{Config, Init, Params as Parameters, Weights};
use crate::numeric::buffer::reserved;
use crate::predict::{
    Blueprint, MIX_WORK, NetworkBlueprint, Predictor, Rwkv7Blueprint, Rwkv7Scratch, Rwkv7State, rwkv7_work,
};
use crate::snapshot::{Identity, hex};
use crate::weights::Fingerprint;

/// The most multiplications a byte, on average, of a GRU in any method: some 20 milliseconds.
const MOST_WORK: u64 = 1 << 28;

/// The limits of a method.
struct Limits {
    /// Bytes, of all states, predictors and weights.
    memory: u64,
    /// Multiplications, for the costliest byte.
    work: u64,
}

/// The limits of methods that the caller chooses. The work of their GRUs is also limited by [`MOST_WORK`].
const OWN_METHOD: Limits = Limits { memory: DEFAULT_MEMORY_LIMIT, work: u64::MAX };

/// The limits of methods that a frame names: 256 MiB, and the default of the work limit.
const STORED_METHOD: Limits = Limits { memory: 256 << 20, work: DEFAULT_WORK_LIMIT };

/// The states of networks that a handle holds while it decompresses: the initial one, and that of the predictor.
const STATES: u64 = 2;

/// The memory of the states and predictors, and of the initial weights, of a network with a policy.
fn learning_bytes(config: &Config, policy: &Policy) -> (u64, u64) {
    let states = Learner::bytes(config, policy).saturating_mul(STATES);
    let own = states.saturating_add(LearnerWork::bytes(config, policy));
    (own, Parameters::vectors(config).saturating_mul(64).saturating_add(config.loading_bytes()))
}

/// The memory that a network takes in a handle that decodes frames of `lanes` lanes, computed before it is allocated. 0 for a file, whose shape is not known
/// yet.
fn bytes_of(network: &Network, lanes: u64, builtin: Option<&Model>) -> Result<u64> {
    let of_shape = |config| {
        if let Some(learning) = &network.learning {
            return learning_bytes(config, &learning.policy);
        }
        let states = [1, lanes].map(|lanes| Rwkv7State::bytes(config, network.rule().train, lanes));
        let own = states.into_iter().fold(Rwkv7Scratch::bytes(config, lanes), u64::saturating_add);
        (own, config.weight_bytes(network.packing()).saturating_add(config.loading_bytes()))
    };
    let (own, shared) = match &network.base {
        Base::Config { config, .. } => of_shape(config),
        Base::Builtin(_) => builtin.map_or((0, 0), |model| of_shape(model.config())),
        Base::Gru { config, rule, .. } => {
            let work = Gru::work(config, rule);
            if work > MOST_WORK {
                fail!(Method, "a network needs {work} multiplications a byte, {MOST_WORK} are allowed");
            }
            (Gru::bytes(config, rule, 1).saturating_add(Gru::bytes(config, rule, lanes)), 0)
        }
        Base::File(_) => (0, 0),
    };
    Ok(own.saturating_add(shared))
}

/// The multiplications of a network's costliest byte, computed before it is built. 0 for a file, whose shape is not
/// known yet.
fn work_of(network: &Network, builtin: Option<&Model>) -> u64 {
    let of_shape = |config| match &network.learning {
        Some(learning) => LearnerWork::peak_work(config, &learning.policy),
        None => rwkv7_work(config, &network.rule(), network.head.is_some()),
    };
    match &network.base {
        Base::Config { config, .. } => of_shape(config),
        Base::Builtin(_) => builtin.map_or(0, |model| of_shape(model.config())),
        Base::Gru { config, rule, .. } => Gru::peak_work(config, rule),
        Base::File(_) => 0,
    }
}

/// The built-in model of a method, if it has one. Only the first network can be built in: a second one is a GRU.
fn open_builtin(method: &Method) -> Result<Option<Arc<Model>>> {
    let builtin = method.networks.first().and_then(|network| match &network.base {
        Base::Builtin(name) => Some(builtin::open(name)),
        _ => None,
    });
    builtin.transpose()
}

/// What decompression of frames of `lanes` lanes by a method needs, computed before the method is built.
fn needs_of(method: &Method, lanes: usize, builtin: Option<&Model>) -> Result<Limits> {
    let mut memory = method.mix.map_or(0, |options| options.bytes() + options.initial_bytes());
    let mut work = method.mix.map_or(0, |_| MIX_WORK);
    for network in &method.networks {
        work = work.saturating_add(work_of(network, builtin));
        let bytes = bytes_of(network, lanes as u64, builtin).map_err(|e| e.within(shortened(&method.canonical())))?;
        memory = memory.saturating_add(bytes);
    }
    Ok(Limits { memory, work })
}

/// A canonical method that a frame names, and that needs no weights file.
fn parse_stored(text: &str) -> Result<Method> {
    let method = Method::parse_stored(text).map_err(|e| e.within("the frame"))?;
    if method.needs_file() {
        fail!(Corrupt, "the frame names the method \"{}\" and no weights", shortened(text));
    }
    Ok(method)
}

/// Checks a method that a frame names, and that needs no weights file, against limits without building it.
///
/// # Errors
/// As [`memory_of_stored`]; `Memory` and `Method` if it needs more.
pub(super) fn check_stored(text: &str, lanes: usize, memory: u64, work: u64) -> Result<()> {
    let method = parse_stored(text)?;
    Limits { memory, work }.check(&method, &needs_of(&method, lanes, open_builtin(&method)?.as_deref())?)
}

/// The most bytes that a handle of a method that a frame names takes, which needs no weights file.
///
/// # Errors
/// `Corrupt` if the method is not canonical, `Method` if this build does not have it.
pub(super) fn memory_of_stored(text: &str, lanes: usize) -> Result<u64> {
    let method = parse_stored(text)?;
    Ok(needs_of(&method, lanes, open_builtin(&method)?.as_deref())?.memory)
}

impl Limits {
    /// Checks what a method needs.
    fn check(&self, method: &Method, needs: &Self) -> Result<()> {
        if needs.memory > self.memory {
            let text = method.canonical();
            fail!(Memory, "\"{}\" needs {} bytes, {} are allowed", shortened(&text), needs.memory, self.memory);
        }
        if needs.work > self.work {
            let (text, work, limit) = (method.canonical(), needs.work, self.work);
            fail!(Method, "\"{}\" takes {work} multiplications a byte, {limit} are allowed", shortened(&text));
        }
        Ok(())
    }
}

/// The initial weights of a network that learns by a policy, and their fingerprint if they come from a file.
fn initial_weights(
    base: &Base,
    learning: &Learning,
    given: Option<&Model>,
) -> Result<(Parameters, Option<Fingerprint>)> {
    match (base, &learning.load_from) {
        (Base::Config { config, .. }, Some(path)) => {
            let (params, fingerprint) = file::load_params(path)?;
            let differing = config.differences(params.config());
            if !differing.is_empty() {
                fail!(Method, "load_from: the weights have another shape than cfg: ({differing})");
            }
            Ok((params, Some(fingerprint)))
        }
        (Base::Config { config, seed, .. }, None) => {
            Ok((Parameters::load(config, &mut Init::new(*config, *seed))?.0, None))
        }
        (Base::File(path), _) => {
            let (params, fingerprint) = match given {
                Some(model) => model.params()?,
                None => file::load_params(path)?,
            };
            Ok((params, Some(fingerprint)))
        }
        (Base::Builtin(name), _) => Ok((builtin::open(name)?.params()?.0, None)),
        (Base::Gru { .. }, _) => fail!(Internal, "a GRU with a policy"),
    }
}

impl Session {
    /// A compressor of this method.
    ///
    /// # Errors
    /// `Method`, `Io`, `Model`, `Memory`.
    pub fn create(method: &str) -> Result<Self> {
        Self::of(&Method::parse(method)?, &OWN_METHOD, None)
    }

    /// A compressor of the method that the first frame of `src` names.
    ///
    /// # Errors
    /// `Method` if the frame names none (version 2) or its method takes more than [`DEFAULT_WORK_LIMIT`]
    /// multiplications a byte, `Model` if it needs weights, `Mismatch` if it needs a base, `Memory` if its method takes
    /// more than 256 MiB, and the errors of reading a frame.
    pub fn create_for_frame(src: &[u8]) -> Result<Self> {
        let (Header::V3(HeaderV3 { numerics, method, fingerprint, base, .. }), _) = Frame::first_header(src)? else {
            fail!(Method, "the frame is of version 2, which names no method");
        };
        check_numerics(numerics)?;
        let text = resolve(&method)?;
        if let Some(f) = &fingerprint {
            let hex = hex(f);
            let how = if text.starts_with("mix:") {
                "create a handle of its method with their path in \"file:\""
            } else {
                "open them and create the handle from them"
            };
            fail!(Model, "the frame is of \"{}\" and needs the weights {hex}; {how}", shortened(text));
        }
        if let Some(id) = &base {
            fail!(
                Mismatch,
                "the frame needs the base {}; create a handle of \"{}\" and set it",
                hex(id),
                shortened(text)
            );
        }
        let method = parse_stored(text)?;
        Self::of(&method, &STORED_METHOD, None).map_err(|e| e.within("the method that the frame names"))
    }

    /// A compressor of a method that a frame names and that needs no weights file, within these limits.
    ///
    /// # Errors
    /// `Memory`, `Method`.
    pub(super) fn create_stored(text: &str, memory: u64, work: u64) -> Result<Self> {
        Self::of(&parse_stored(text)?, &Limits { memory, work }, None)
    }

    /// A compressor with these weights; see [`Method::of_model`].
    ///
    /// # Errors
    /// `Method`, `Memory`.
    pub fn create_from_model(model: &Model, text: &str) -> Result<Self> {
        Self::of(&Method::of_model(text)?, &OWN_METHOD, Some(model))
    }

    /// A session of this method. `given` is the model of a method whose base is an open model.
    fn of(method: &Method, limits: &Limits, given: Option<&Model>) -> Result<Self> {
        let builtin = open_builtin(method)?;
        limits.check(method, &needs_of(method, 1, builtin.as_deref())?)?;
        let (mut networks, mut fingerprint) = (reserved(method.networks.len(), "networks")?, None);
        for network in &method.networks {
            if let Some(learning) = &network.learning {
                let (params, file) = initial_weights(&network.base, learning, given)?;
                fingerprint = file.or(fingerprint);
                let policy = Arc::new(learning.policy.clone());
                networks.push(NetworkBlueprint::Learner { params: Arc::new(params), policy });
                continue;
            }
            let packing = network.packing();
            let weights = match &network.base {
                Base::Gru { config, seed, rule } => {
                    networks.push(NetworkBlueprint::Gru { config: *config, seed: *seed, rule: *rule });
                    continue;
                }
                Base::Config { config, seed, .. } => {
                    Arc::new(Weights::load(config, packing, &mut Init::new(*config, *seed))?)
                }
                Base::Builtin(_) => builtin.as_ref().expect("opened above").weights(packing)?,
                Base::File(path) => {
                    let weights = match given {
                        Some(model) => model.weights(packing)?,
                        None => Arc::new(file::load(path, packing)?),
                    };
                    fingerprint = Some(*weights.fingerprint());
                    weights
                }
            };
            let (rule, second_head) = (network.rule(), network.head.is_some());
            networks.push(NetworkBlueprint::Rwkv7(Rwkv7Blueprint { weights, rule, second_head }));
        }
        let identity = Identity { canonical: method.canonical(), fingerprint };
        let blueprint = Blueprint { networks, mix: method.mix };
        // Held until the initial state has it, so that it is made once.
        let _content = blueprint.mix.map(Content::initial).transpose()?;
        let scratch = Predictor::new(&blueprint)?;
        let initial = Arc::new(scratch.initial_state(&blueprint)?);
        let mut params = Params::default();
        let work = blueprint.peak_work().max(DEFAULT_WORK_LIMIT);
        params.set(Param::WorkLimit, i64::try_from(work).unwrap_or(i64::MAX))?;
        Ok(Self {
            identity,
            blueprint,
            _builtin: builtin,
            params,
            initial,
            base: None,
            start: None,
            live: None,
            scratch: Some(scratch),
        })
    }
}
