//! Weights files. A file's bytes stay in memory and are packed when a handle needs them.

use std::borrow::Cow;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::rwkv7::{Config, Packing, Params, Weights};
use crate::error::{Error, Result, Status, shortened_path};
use crate::numeric::buffer::filled;
use crate::text::Tokenizer;
use crate::weights::Fingerprint;
use crate::weights::safetensors::Safetensors;
use crate::weights::source::open_file;

/// A weights file that was checked. Threads may share it. Handles with the same packing share the packed weights.
#[derive(Debug)]
pub struct Model {
    bytes: Cow<'static, [u8]>,
    config: Config,
    fingerprint: Fingerprint,
    packed: Mutex<Vec<Arc<Weights>>>,
    /// Of a model whose vocabulary is not the bytes.
    tokenizer: Option<Arc<Tokenizer>>,
    /// Runs when the model is dropped. The list of open built-in models needs it.
    on_drop: Option<fn()>,
}

/// The network's shape, from the shapes in the header. Checks that the header names all its tensors and no others.
fn infer<R: Read + std::io::Seek>(file: &Safetensors<R>) -> Result<Config> {
    let config = Config::infer(|name| file.shape(name).map(<[usize]>::to_vec))?;
    file.check(config.tensors())?;
    Ok(config)
}

/// Reads a file's tensors directly into packed form.
///
/// # Errors
/// `Io`, `Model`, `Memory`.
pub fn load(path: &Path, packing: Packing) -> Result<Weights> {
    let (file, len) = open_file(path)?;
    let within = |e: Error| e.within(shortened_path(path));
    let mut file = Safetensors::open(BufReader::new(file), len).map_err(within)?;
    let config = infer(&file).map_err(within)?;
    Weights::load(&config, packing, &mut file).map_err(within)
}

/// Reads a file's tensors as parameters that learn, with their fingerprint.
///
/// # Errors
/// `Io`, `Model`, `Memory`.
pub fn load_params(path: &Path) -> Result<(Params, Fingerprint)> {
    let (file, len) = open_file(path)?;
    let within = |e: Error| e.within(shortened_path(path));
    let mut file = Safetensors::open(BufReader::new(file), len).map_err(within)?;
    let config = infer(&file).map_err(within)?;
    Params::load(&config, &mut file).map_err(within)
}

impl Model {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// `Io`, `Model`, `Memory`.
    pub fn open(path: &Path) -> Result<Self> {
        let (mut file, len) = open_file(path)?;
        let within = |e: Error| e.within(shortened_path(path));
        // The header is checked before memory for the whole file is allocated.
        Safetensors::open(BufReader::new(&file), len).and_then(|file| infer(&file)).map_err(within)?;
        let io = |e: std::io::Error| Error::new(Status::Io, format!("reading {}: {e}", shortened_path(path)));
        std::io::Seek::rewind(&mut file).map_err(io)?;
        let mut bytes = filled(usize::try_from(len).unwrap_or(usize::MAX), 0u8, "a weights file")?;
        file.read_exact(&mut bytes).map_err(io)?;
        Self::from_bytes(bytes).map_err(within)
    }

    /// Checks the bytes of a weights file and takes ownership of them.
    ///
    /// # Errors
    /// `Model`, `Memory`.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::checked(Cow::Owned(bytes), None)
    }

    /// As [`Model::from_bytes`], for bytes that are part of the library and are not copied. `on_drop` runs when the
    /// model is dropped.
    ///
    /// # Errors
    /// As [`Model::from_bytes`].
    pub(super) fn from_static(bytes: &'static [u8], on_drop: fn()) -> Result<Self> {
        Self::checked(Cow::Borrowed(bytes), Some(on_drop))
    }

    fn checked(bytes: Cow<'static, [u8]>, on_drop: Option<fn()>) -> Result<Self> {
        let mut file = Safetensors::open(Cursor::new(&*bytes), bytes.len() as u64)?;
        let config = infer(&file)?;
        let fingerprint = Weights::check(&config, &mut file)?;
        Ok(Self { config, fingerprint, packed: Mutex::default(), tokenizer: None, bytes, on_drop })
    }

    /// The network's shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The bytes of the file, which stay in memory.
    pub fn file_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The tokenizer of the vocabulary; `None` if the tokens are the bytes.
    pub fn tokenizer(&self) -> Option<&Arc<Tokenizer>> {
        self.tokenizer.as_ref()
    }

    /// Gives the model the tokenizer of its vocabulary.
    pub fn set_tokenizer(&mut self, tokenizer: Arc<Tokenizer>) {
        self.tokenizer = Some(tokenizer);
    }

    /// The fingerprint that identifies the weights.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The weights in this packing. They are packed at the first call and shared after it.
    ///
    /// # Errors
    /// `Memory`.
    pub fn weights(&self, packing: Packing) -> Result<Arc<Weights>> {
        // A panic while packing does not change the list, so a poisoned lock is usable.
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(weights) = packed.iter().find(|w| w.packing() == packing) {
            return Ok(weights.clone());
        }
        let mut file = Safetensors::open(Cursor::new(&*self.bytes), self.bytes.len() as u64)?;
        let weights = Arc::new(Weights::load(&self.config, packing, &mut file)?);
        packed.push(weights.clone());
        Ok(weights)
    }
}

impl Model {
    /// The weights as parameters that learn, with their fingerprint. Every call makes a copy.
    ///
    /// # Errors
    /// `Memory`.
    pub fn params(&self) -> Result<(Params, Fingerprint)> {
        let mut file = Safetensors::open(Cursor::new(&*self.bytes), self.bytes.len() as u64)?;
        Params::load(&self.config, &mut file)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        if let Some(on_drop) = self.on_drop {
            on_drop();
        }
    }
}
