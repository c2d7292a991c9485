//! One compressor: a predictor, a coder and a container at work, and the two states of a handle.
//!
//! The *base* (as created, or a snapshot) is where every compress, decompress and cross-entropy call starts, on a
//! working copy. The *live* state is what feed, predict, reset and snapshots act on.

mod compress;
mod decompress;
mod driver;
mod method;
mod network;
mod params;
mod predictor;
mod records;
mod rwkv7;
mod snapshot;

use std::sync::Arc;

pub use compress::compress_bound;
pub use decompress::decompressed_size;
pub use driver::ProgressFn;
use method::Network;
pub use method::{Base, DEFAULT, Method};
pub use params::{DEFAULT_MEMORY_LIMIT, Param, Params};
pub use snapshot::{Identity, Snapshot};

use self::driver::{Measure, Progress, Show, drive};
use self::predictor::{Blueprint, Learned, Predictor};
use crate::adapt::Gru;
use crate::container::{Frame, Version};
use crate::error::{Result, fail};
use crate::mix::Mix;
use crate::model::VOCAB;
use crate::model::builtin;
use crate::model::file::{self, Model};
use crate::model::rwkv7::{Init, Weights};

/// What a method that a frame names may take, in bytes: 256 MiB. Its parameters are so bounded too, and with them the
/// work a byte, but for weights that learn from each byte many times.
const STORED_METHOD_LIMIT: u64 = 256 << 20;

/// How many multiplications a byte a network that learns may take: some ten milliseconds.
const MOST_WORK: u64 = 1 << 28;

/// Predictors or states that a handle may come to hold: as created, base, live, working, checkpoint, and what feed goes
/// back to when it is cancelled.
const COPIES: u64 = 6;
/// Those of them that work, each with memory for it: live, working, and one from which a snapshot is taken.
const WORKERS: u64 = 3;

/// What a network of a method takes in a handle, before it is made; what lies in files is not known yet.
fn bytes_of(network: &Network, builtin: Option<&Model>) -> Result<u64> {
    let of_shape = |config| {
        let learned = rwkv7::Learned::bytes(config, network.rule().train).saturating_mul(COPIES);
        let own = learned.saturating_add(rwkv7::Work::bytes(config).saturating_mul(WORKERS));
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
            (Gru::bytes(config, rule).saturating_mul(COPIES), 0)
        }
        Base::File(_) => (0, 0),
    };
    Ok(own.saturating_add(shared))
}

/// A compressor. It may move between threads and serves one call at a time.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    blueprint: Blueprint,
    /// Kept open, so that other handles share its weights.
    _builtin: Option<Arc<Model>>,
    params: Params,
    created: Learned,
    base: Option<Arc<Snapshot>>,
    /// Where the live state starts: the base as it was when the handle was made or reset.
    start: Option<Arc<Snapshot>>,
    /// Made when it is first needed.
    live: Option<Predictor>,
    work: Option<Predictor>,
    /// What the working predictor had learned before the block under way.
    checkpoint: Option<Learned>,
}

impl Session {
    /// A compressor of this method.
    ///
    /// # Errors
    /// `Method`, `Io`, `Model`, `Memory`.
    pub fn create(method: &str) -> Result<Self> {
        Self::build(&Method::parse(method)?, DEFAULT_MEMORY_LIMIT)
    }

    /// A compressor of the method that the first frame of `src` names.
    ///
    /// # Errors
    /// `Method` where the frame names none (version 2), `Model` where it needs weights, `Mismatch` where it needs a
    /// base, `Memory` where its method takes more than 256 MiB, and as reading a frame.
    pub fn create_for_frame(src: &[u8]) -> Result<Self> {
        let header = Frame::first_header(src)?;
        let Version::V3 { numerics, method, fingerprint, base, .. } = &header.version else {
            fail!(Method, "the frame is of version 2, which names no method");
        };
        decompress::check_numerics(*numerics)?;
        let text = method::resolve(method)?;
        if let Some(f) = fingerprint {
            let hex = snapshot::hex(f);
            let how = if text.starts_with("mix:") {
                "create a handle of its method with their path in \"file:\""
            } else {
                "open them and create the handle from them"
            };
            fail!(Model, "the frame is of \"{}\" and needs the weights {hex}; {how}", text.escape_debug());
        }
        if let Some(id) = base {
            fail!(Mismatch, "the frame needs the base {}; create a handle of \"{text}\" and set it", snapshot::hex(id));
        }
        // The prefix first: what else a base may be is looked for among files, and an input must not cause that.
        let method =
            ["cfg:", "gru:", "mix:", "builtin:"].iter().any(|p| text.starts_with(p)).then(|| Method::parse(text));
        let method = match method {
            Some(Ok(method)) if method.canonical() == text => method,
            _ => fail!(Corrupt, "the frame names the method \"{}\", which is not a canonical one", text.escape_debug()),
        };
        Self::build(&method, STORED_METHOD_LIMIT).map_err(|e| e.within("the method that the frame names"))
    }

    /// A compressor with these weights; see [`Method::of_model`].
    ///
    /// # Errors
    /// `Method`, `Memory`.
    pub fn create_from_model(model: &Model, text: &str) -> Result<Self> {
        Self::of(&Method::of_model(text)?, DEFAULT_MEMORY_LIMIT, Some(model))
    }

    fn build(method: &Method, limit: u64) -> Result<Self> {
        Self::of(method, limit, None)
    }

    /// With the `given` model where the method has one.
    fn of(method: &Method, limit: u64, given: Option<&Model>) -> Result<Self> {
        // At most one: a second network is a GRU.
        let builtin = method.networks.first().and_then(|network| match &network.base {
            Base::Builtin(name) => Some(builtin::open(name)),
            _ => None,
        });
        let builtin = builtin.transpose()?;
        let mut needed = method.mix.map_or(0, |options| options.bytes().saturating_mul(COPIES));
        for network in &method.networks {
            let bytes = bytes_of(network, builtin.as_deref()).map_err(|e| e.within(method.canonical()))?;
            needed = needed.saturating_add(bytes);
        }
        if needed > limit {
            fail!(Memory, "\"{}\" needs {needed} bytes, {limit} are allowed", method.canonical());
        }
        let (mut networks, mut fingerprint) = (Vec::new(), None);
        for network in &method.networks {
            let packing = network.packing();
            let weights = match &network.base {
                Base::Gru { config, seed, rule } => {
                    networks.push(network::Blueprint::Gru { config: *config, seed: *seed, rule: *rule });
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
            let (rule, beside) = (network.rule(), network.head.is_some());
            networks.push(network::Blueprint::Rwkv7(rwkv7::Blueprint { weights, rule, beside }));
        }
        let identity = Identity { canonical: method.canonical(), fingerprint };
        let blueprint = Blueprint { networks, mix: method.mix };
        let mut first = Predictor::new(&blueprint)?;
        let created = first.created(&blueprint)?;
        let params = Params::default();
        Ok(Self {
            identity,
            blueprint,
            _builtin: builtin,
            params,
            created,
            base: None,
            start: None,
            live: None,
            work: Some(first),
            checkpoint: None,
        })
    }

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

    /// What a snapshot holds, which was checked when it was set; as created, where there is none.
    fn learned_of<'a>(&'a self, snapshot: &'a Option<Arc<Snapshot>>) -> &'a Learned {
        match snapshot {
            Some(snapshot) => snapshot.learned_for(&self.identity).unwrap_or(&self.created),
            None => &self.created,
        }
    }

    fn base_learned(&self) -> &Learned {
        self.learned_of(&self.base)
    }

    /// Where every later compress, decompress and cross-entropy call starts; `None`: as created.
    ///
    /// # Errors
    /// `Mismatch` for a snapshot of another method or other weights.
    pub fn set_base(&mut self, snapshot: Option<Arc<Snapshot>>) -> Result<()> {
        if let Some(s) = &snapshot {
            s.learned_for(&self.identity)?;
        }
        self.base = snapshot;
        Ok(())
    }

    /// Whether the memory that this handle's predictors take is within the limit.
    fn check_memory(&self) -> Result<()> {
        let mut needed = self.blueprint.bytes(COPIES, WORKERS);
        // Weights that the caller opened are the caller's business.
        if self.identity.fingerprint.is_none() {
            let shared = self.blueprint.networks.iter().map(network::Blueprint::shared_bytes);
            needed = shared.fold(needed, u64::saturating_add);
        }
        let limit = self.params.get(Param::MemoryLimit) as u64;
        if needed > limit {
            fail!(Memory, "the method needs {needed} bytes, the memory limit is {limit}");
        }
        Ok(())
    }

    /// The working predictor, at the base; taken out, so that a call can borrow the rest.
    fn take_work(&mut self) -> Result<Predictor> {
        self.check_memory()?;
        let mut work = match self.work.take() {
            Some(work) => work,
            None => Predictor::new(&self.blueprint)?,
        };
        work.restore(self.base_learned())?;
        Ok(work)
    }

    /// Runs `f` on the working predictor at the base.
    fn with_work<T>(&mut self, f: impl FnOnce(&mut Self, &mut Predictor) -> Result<T>) -> Result<T> {
        let mut work = self.take_work()?;
        let result = f(self, &mut work);
        self.work = Some(work);
        result
    }

    /// The live predictor.
    fn live(&mut self) -> Result<&mut Predictor> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => {
                self.check_memory()?;
                let mut live = Predictor::new(&self.blueprint)?;
                live.restore(self.learned_of(&self.start))?;
                live
            }
        };
        live.use_current_level();
        Ok(self.live.insert(live))
    }

    /// The mean cost of the bytes of `data` from the base, in bits a byte; 0 for none.
    ///
    /// # Errors
    /// `Memory`, `Cancelled`.
    pub fn cross_entropy<'p>(&mut self, data: &[u8], progress: Option<&'p mut ProgressFn<'p>>) -> Result<f64> {
        let bits = self.measure(data, &mut [], progress)?;
        Ok(if data.is_empty() { 0.0 } else { bits / data.len() as f64 })
    }

    /// What each byte of `data` costs from the base, in bits.
    ///
    /// # Errors
    /// `Memory`, `Cancelled`.
    ///
    /// # Panics
    /// If there are not as many costs as bytes.
    pub fn byte_costs<'p>(
        &mut self,
        data: &[u8],
        costs: &mut [f32],
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<()> {
        assert_eq!(data.len(), costs.len());
        self.measure(data, costs, progress).map(|_| ())
    }

    /// The bits of all of `data` from the base; those of each byte go to `costs`, as far as there is room.
    fn measure<'p>(&mut self, data: &[u8], costs: &mut [f32], progress: Option<&'p mut ProgressFn<'p>>) -> Result<f64> {
        self.with_work(|_, work| {
            let mut port = Measure::new(data, costs);
            drive(work, &mut port, &mut Progress::start(progress, data.len() as u64)?)?;
            Ok(port.bits)
        })
    }

    /// The live distribution of the next byte.
    ///
    /// # Errors
    /// `Memory`.
    pub fn predict(&mut self, probabilities: &mut [f32; VOCAB]) -> Result<()> {
        self.live()?.probabilities(probabilities);
        Ok(())
    }

    /// Shows the live state some bytes. Cancelled, it is as it was.
    ///
    /// # Errors
    /// `Memory`, `Cancelled`.
    pub fn feed<'p>(&mut self, data: &[u8], progress: Option<&'p mut ProgressFn<'p>>) -> Result<()> {
        let blueprint = self.blueprint.clone();
        let live = self.live()?;
        let before = if progress.is_some() { Some(live.save(&blueprint)?) } else { None };
        let fed = Progress::start(progress, data.len() as u64)
            .and_then(|mut progress| drive(live, &mut Show::new(data), &mut progress));
        if let (Err(_), Some(before)) = (&fed, &before) {
            live.restore(before)?;
        }
        fed
    }

    /// The mix of the live state, where the method has one: for tools that learn where mixes start. What is put in its place
    /// must be of its options.
    ///
    /// # Errors
    /// `Memory`.
    pub fn live_mix(&mut self) -> Result<Option<&mut Mix>> {
        Ok(self.live()?.mix())
    }

    /// Puts the live state back to the base.
    pub fn reset(&mut self) {
        self.start = self.base.clone();
        self.live = None;
    }

    /// A copy of the live state.
    ///
    /// # Errors
    /// `Memory`.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let learned = match &self.live {
            Some(live) => live.save(&self.blueprint)?,
            None => {
                let mut at_start = Predictor::new(&self.blueprint)?;
                at_start.restore(self.learned_of(&self.start))?;
                at_start.save(&self.blueprint)?
            }
        };
        Ok(Snapshot::new(&self.identity, learned))
    }

    /// Makes the live state what the snapshot holds.
    ///
    /// # Errors
    /// `Mismatch`, `Memory`.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let learned = snapshot.learned_for(&self.identity)?;
        self.live()?.restore(learned)
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
