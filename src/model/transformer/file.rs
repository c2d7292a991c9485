//! A model from a tensor file (safetensors, GGUF or APR) and what is beside it: `config.json` and `tokenizer.json`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::config::{Config, MOST_VOCAB};
use super::keys::{Keys, MAX_CONFIG};
use super::names::{Outer, World};
use super::weights::{Source, Weights};
use crate::error::{Error, Result, Status, fail, shortened, shortened_path};
use crate::numeric::buffer::{copied, filled};
use crate::numeric::matmul::Precision;
use crate::text::Tokenizer;
use crate::weights::tensors::Reason;
use crate::weights::{DType, Fingerprint, Tensors};

/// The largest `tokenizer.json`. That of Gemma 3 has 33 MB.
const MAX_TOKENIZER: u64 = 256 << 20;

/// The key of GGUF's metadata that names the family.
const ARCHITECTURE: &str = "general.architecture";

/// The key of GGUF's metadata that names the kind of tokenizer.
const TOKENIZER: &str = "tokenizer.ggml.model";

/// A transformer whose file was checked. Its int8 weights are packed; f32 weights are read from the file again.
#[derive(Debug)]
pub struct Model {
    path: PathBuf,
    config: Config,
    packed: Mutex<Vec<Arc<Weights>>>,
    fingerprint: Fingerprint,
    parameters: u64,
    bytes: u64,
    tokenizer: Option<Arc<Tokenizer>>,
}

/// The values that are read from a file at a time.
const WINDOW: usize = 1 << 16;

/// The tensors of a file. Rows that follow each other are read together.
struct File<'t> {
    tensors: &'t Tensors,
    /// Values of the tensor `at` from value `first` on.
    window: Vec<f32>,
    at: Option<usize>,
    first: u64,
}

impl<'t> File<'t> {
    fn new(tensors: &'t Tensors) -> Self {
        Self { tensors, window: Vec::new(), at: None, first: 0 }
    }

    /// Whether a tensor has the scales of an I8 tensor, which are read together with it.
    fn is_scale(&self, name: &str) -> bool {
        let scaled = name.strip_suffix(".scale").and_then(|of| self.tensors.find(of));
        scaled.is_some_and(|i| self.tensors.info(i).dtype == DType::I8)
    }
}

impl Source for File<'_> {
    fn each_name(&self, take: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let names = (0..self.tensors.len()).map(|i| self.tensors.info(i).name.as_str());
        names.filter(|name| !self.is_scale(name)).try_for_each(take)
    }

    fn shape(&self, name: &str) -> Option<&[u64]> {
        self.tensors.find(name).map(|i| self.tensors.info(i).shape.as_slice())
    }

    fn read(&mut self, name: &str, first: u64, out: &mut [f32]) -> Result<()> {
        let Some(i) = self.tensors.find(name) else { fail!(Model, "{} is missing", shortened(name)) };
        let values = self.tensors.info(i).values();
        let needed = out.len() as u64;
        let held = self.first..self.first + self.window.len() as u64;
        if self.at != Some(i) || first < held.start || first + needed > held.end {
            let n = (WINDOW as u64).max(needed).min(values.saturating_sub(first)) as usize;
            self.at = None;
            if self.window.len() < n {
                self.window = filled(n, 0.0, "weights")?;
            }
            self.window.truncate(n);
            self.tensors.read_f32_range(i, first, &mut self.window)?;
            (self.at, self.first) = (Some(i), first);
        }
        match self.window.get((first - self.first) as usize..).and_then(|rest| rest.get(..out.len())) {
            Some(values) => out.copy_from_slice(values),
            None => fail!(Model, "{} has {values} values, {needed} are needed from {first} on", shortened(name)),
        }
        Ok(())
    }
}

/// The whole of a small file; `None` if it does not exist.
fn small_file(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    let (mut file, len) = match crate::weights::source::open_file(path) {
        Ok(opened) => opened,
        Err(_) if !path.exists() => return Ok(None),
        Err(e) => return Err(e),
    };
    if len > most {
        fail!(Model, "{} has {len} bytes, {most} are supported", shortened_path(path));
    }
    let mut bytes = filled(len as usize, 0, "a file")?;
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(e) => Err(Error::new(Status::Io, format!("reading {}: {e}", shortened_path(path)))),
    }
}

/// The world of a file: by its metadata, or by its names.
fn world_of(tensors: &Tensors) -> Option<World> {
    if tensors.metadata().get(ARCHITECTURE).is_some() {
        Some(World::Gguf)
    } else {
        tensors.find(Outer::Embedding.name(World::HuggingFace)).map(|_| World::HuggingFace)
    }
}

/// The number of rows of the embedding.
fn vocabulary_of(tensors: &Tensors, world: World) -> Result<usize> {
    let name = Outer::Embedding.name(world);
    let Some(i) = tensors.find(name) else { fail!(Model, "{name} is missing") };
    match tensors.info(i).shape.first() {
        Some(n) if (1..=MOST_VOCAB).contains(n) => Ok(*n as usize),
        _ => fail!(Model, "{name} has the shape {:?}, expected 1 to {MOST_VOCAB} rows", tensors.info(i).shape),
    }
}

/// The configuration of a file of HuggingFace's, from the `config.json` beside it.
fn config_beside(path: &Path) -> Result<Config> {
    let beside = path.with_file_name("config.json");
    let Some(bytes) = small_file(&beside, MAX_CONFIG)? else {
        fail!(Model, "{}: a transformer needs a config.json beside it", shortened_path(path));
    };
    let config = Keys::parse(&bytes).and_then(|keys| Config::from_json(&keys));
    config.map_err(|e| e.within(shortened_path(&beside)))
}

/// The tokenizer of the metadata, or else of the `tokenizer.json` beside the file.
fn tokenizer_of(path: &Path, tensors: &Tensors, config: &Config) -> Result<Option<Arc<Tokenizer>>> {
    let beside = path.with_file_name("tokenizer.json");
    let checked = |tokenizer: Tokenizer| check_vocabulary(&tokenizer, config).map(|()| Arc::new(tokenizer));
    if tensors.metadata().get(TOKENIZER).is_some() {
        let tokenizer = Tokenizer::from_gguf(tensors.metadata()).and_then(checked);
        return tokenizer.map(Some).map_err(|e| e.within(shortened_path(path)));
    }
    let Some(bytes) = small_file(&beside, MAX_TOKENIZER)? else { return Ok(None) };
    Tokenizer::from_json(&bytes).and_then(checked).map(Some).map_err(|e| e.within(shortened_path(&beside)))
}

/// A vocabulary has a token for each row of the embedding. One of HuggingFace may have fewer: models are padded.
fn check_vocabulary(tokenizer: &Tokenizer, config: &Config) -> Result<()> {
    let n = tokenizer.vocabulary().len();
    if n > config.vocab || config.world == World::Gguf && n < config.vocab {
        fail!(Model, "the vocabulary has {n} tokens, the embedding {} rows", config.vocab);
    }
    Ok(())
}

impl Model {
    /// Whether a file says that it has a language model, of whatever kind.
    pub fn is_in(tensors: &Tensors) -> bool {
        world_of(tensors).is_some()
    }

    /// Reads a model from its open file. A file without the metadata of GGUF needs a `config.json` in the same folder.
    /// The tokenizer is in the metadata, or in `tokenizer.json` in the same folder.
    ///
    /// # Errors
    /// `Io`, `Model`, `Memory`.
    pub fn open(path: &Path, tensors: &Tensors) -> Result<Self> {
        let within = |e: Error| e.within(shortened_path(path));
        let config = match world_of(tensors) {
            Some(World::Gguf) => vocabulary_of(tensors, World::Gguf)
                .and_then(|vocab| Config::from_gguf(&Keys::from(tensors.metadata()), vocab))
                .map_err(within)?,
            Some(World::HuggingFace) => config_beside(path)?,
            None => {
                let name = Outer::Embedding.name(World::HuggingFace);
                fail!(
                    Model,
                    "{}: not a language model: it has neither the key {ARCHITECTURE} nor the tensor {name}",
                    shortened_path(path)
                );
            }
        };
        let tokenizer = tokenizer_of(path, tensors, &config)?;
        let weights = load(tensors, &config, Precision::Grouped).map_err(within)?;
        let (fingerprint, parameters, bytes) = (*weights.fingerprint(), weights.parameters(), weights.bytes());
        let packed = Mutex::new(vec![Arc::new(weights)]);
        Ok(Self { path: path.to_owned(), config, packed, fingerprint, parameters, bytes, tokenizer })
    }

    /// The shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The fingerprint that identifies the weights.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The tokenizer, if there is one.
    pub fn tokenizer(&self) -> Option<&Arc<Tokenizer>> {
        self.tokenizer.as_ref()
    }

    /// The number of weights.
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// The bytes of the int8 weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The weights in this format. f32 weights are read from the file at the first call.
    ///
    /// # Errors
    /// `Io`, `Memory`; `Model` if the file has changed.
    pub fn weights(&self, precision: Precision) -> Result<Arc<Weights>> {
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(weights) = packed.iter().find(|w| w.precision() == precision) {
            return Ok(weights.clone());
        }
        let within = |e: Error| e.within(shortened_path(&self.path));
        let tensors = Tensors::open(&self.path)?;
        let weights = load(&tensors, &self.config, precision).map_err(within)?;
        if *weights.fingerprint() != self.fingerprint {
            fail!(Model, "{}: the file has changed since it was opened", shortened_path(&self.path));
        }
        let weights = Arc::new(weights);
        packed.push(weights.clone());
        Ok(weights)
    }
}

fn load(tensors: &Tensors, config: &Config, precision: Precision) -> Result<Weights> {
    // A tensor of a type that cannot be read is reported by its type, not as missing.
    if let Some(tensor) = tensors.skipped().iter().find(|t| matches!(t.reason, Reason::Type(_))) {
        fail!(Model, "{}: {}, which is not supported", shortened(&tensor.name), tensor.reason);
    }
    Weights::load(config, precision, &mut File::new(tensors))
}

/// The bytes of a token for a reader of generated text; none for control tokens.
///
/// # Errors
/// `Memory`.
pub fn token_bytes(tokenizer: Option<&Tokenizer>, token: u32) -> Result<Vec<u8>> {
    match tokenizer {
        Some(t) if (token as usize) < t.vocabulary().len() => copied(t.vocabulary().bytes(token), "a token"),
        _ => Ok(Vec::new()),
    }
}
