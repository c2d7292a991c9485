//! Transformer files: weights in a safetensors file with a `config.json` beside it, and `tokenizer.json` if there is one.

use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::config::Config;
use super::json::{JsonKeys, MAX_CONFIG};
use super::weights::{Source, Weights};
use crate::error::{Error, Result, Status, fail, shortened_path};
use crate::numeric::buffer::copied;
use crate::numeric::matmul::Precision;
use crate::text::Tokenizer;
use crate::weights::safetensors::Safetensors;
use crate::weights::{Fingerprint, TensorSource};

/// The largest `tokenizer.json`. That of Gemma 3 has 33 MB.
const MAX_TOKENIZER: u64 = 256 << 20;

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

/// A file of tensors, read one tensor at a time.
struct Tensors<R> {
    file: Safetensors<R>,
    names: Vec<String>,
    last: String,
    values: Vec<f32>,
}

impl<R: Read + Seek> Source for Tensors<R> {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn shape(&self, name: &str) -> Option<Vec<u64>> {
        self.file.shape(name).map(|shape| shape.iter().map(|n| *n as u64).collect())
    }

    fn read(&mut self, name: &str, first: u64, out: &mut [f32]) -> Result<()> {
        if self.last != name {
            let Some(shape) = self.file.shape(name).map(<[usize]>::to_vec) else { fail!(Model, "{name} is missing") };
            self.last.clear();
            self.file.tensor(name, &shape, &mut self.values)?;
            name.clone_into(&mut self.last);
        }
        match self.values.get(first as usize..).and_then(|rest| rest.get(..out.len())) {
            Some(values) => out.copy_from_slice(values),
            None => fail!(Model, "{name} has {} values", self.values.len()),
        }
        Ok(())
    }
}

/// The whole of a small file; `None` if it does not exist.
fn small_file(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    let io = |e: std::io::Error| Error::new(Status::Io, format!("reading {}: {e}", shortened_path(path)));
    let (file, len) = match crate::model::file::open_file(path) {
        Ok(opened) => opened,
        Err(_) if !path.exists() => return Ok(None),
        Err(e) => return Err(e),
    };
    if len > most {
        fail!(Model, "{} has {len} bytes, {most} are supported", shortened_path(path));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(io)?;
    Ok(Some(bytes))
}

fn load(path: &Path, config: &Config, precision: Precision) -> Result<Weights> {
    let (file, len) = crate::model::file::open_file(path)?;
    let file = Safetensors::open(BufReader::new(file), len)?;
    let names = file.names().map(str::to_owned).collect();
    let mut source = Tensors { file, names, last: String::new(), values: Vec::new() };
    Weights::load(config, precision, &mut source)
}

/// Whether a safetensors file has the names of a transformer.
///
/// # Errors
/// `Io`.
pub fn is_transformer(path: &Path) -> Result<bool> {
    let (file, len) = crate::model::file::open_file(path)?;
    // A file that is malformed is reported by the opening that follows.
    Ok(Safetensors::open(BufReader::new(file), len).is_ok_and(|file| file.shape("model.embed_tokens.weight").is_some()))
}

impl Model {
    /// Opens the weights, with `config.json` and, if it exists, `tokenizer.json` in the same folder.
    ///
    /// # Errors
    /// `Io`, `Model`, `Memory`.
    pub fn open(path: &Path) -> Result<Self> {
        let within = |e: Error| e.within(shortened_path(path));
        let beside = path.with_file_name("config.json");
        let Some(bytes) = small_file(&beside, MAX_CONFIG as u64)? else {
            fail!(Model, "{}: a transformer needs a config.json beside it", shortened_path(path));
        };
        let config = JsonKeys::parse(&bytes).and_then(|keys| Config::from_json(&keys));
        let config = config.map_err(|e| e.within(shortened_path(&beside)))?;
        let beside = path.with_file_name("tokenizer.json");
        let tokenizer = match small_file(&beside, MAX_TOKENIZER)? {
            Some(bytes) => {
                let tokenizer = Tokenizer::from_json(&bytes).map_err(|e| e.within(shortened_path(&beside)))?;
                check_vocabulary(&tokenizer, &config).map_err(|e| e.within(shortened_path(&beside)))?;
                Some(Arc::new(tokenizer))
            }
            None => None,
        };
        let weights = load(path, &config, Precision::Grouped).map_err(within)?;
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

    /// The tokenizer, if the file has one.
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
        let weights = load(&self.path, &self.config, precision).map_err(within)?;
        if *weights.fingerprint() != self.fingerprint {
            fail!(Model, "{}: the file has changed since it was opened", shortened_path(&self.path));
        }
        let weights = Arc::new(weights);
        packed.push(weights.clone());
        Ok(weights)
    }
}

/// A vocabulary may have fewer tokens than the embedding has rows, which models pad, but not more.
fn check_vocabulary(tokenizer: &Tokenizer, config: &Config) -> Result<()> {
    let n = tokenizer.vocabulary().len();
    if n > config.vocab {
        fail!(Model, "the vocabulary has {n} tokens, the embedding {} rows", config.vocab);
    }
    Ok(())
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
