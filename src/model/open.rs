//! Models of every kind: which kind a file is, and what all kinds have in common.

use std::path::Path;
use std::sync::Arc;

use super::VOCAB;
use super::file::Model as ByteModel;
use super::transformer::Model as Transformer;
use crate::error::{Result, Status, fail};
use crate::text::Tokenizer;
use crate::weights::{Fingerprint, Tensors};

/// An open model. Cheap to copy; threads may share it.
#[derive(Clone, Debug)]
pub enum Opened {
    /// An RWKV-7 network over bytes.
    Bytes(Arc<ByteModel>),
    /// A transformer over the tokens of its own vocabulary.
    Transformer(Arc<Transformer>),
}

impl Opened {
    /// Opens a file of either kind. GGUF and APR files are transformers, and safetensors files with the names of
    /// transformers.
    ///
    /// # Errors
    /// `Io`, `Model`, `Memory`.
    pub fn open(path: &Path) -> Result<Self> {
        let is_safetensors = Tensors::is_safetensors(path)?;
        match Tensors::open(path) {
            Ok(tensors) if !is_safetensors || Transformer::is_in(&tensors) => {
                Ok(Self::Transformer(Arc::new(Transformer::open(path, &tensors)?)))
            }
            // The reader of byte-level networks tells what is wrong with a safetensors file.
            Err(e) if !is_safetensors || e.status() != Status::Model => Err(e),
            _ => Ok(Self::Bytes(Arc::new(ByteModel::open(path)?))),
        }
    }

    /// The byte-level network, for methods.
    ///
    /// # Errors
    /// `Method` for a transformer.
    pub fn bytes(&self) -> Result<&Arc<ByteModel>> {
        match self {
            Self::Bytes(model) => Ok(model),
            Self::Transformer(_) => {
                fail!(Method, "the model is a transformer; methods over transformers are not supported yet")
            }
        }
    }

    /// The fingerprint that identifies the weights.
    pub fn fingerprint(&self) -> &Fingerprint {
        match self {
            Self::Bytes(model) => model.fingerprint(),
            Self::Transformer(model) => model.fingerprint(),
        }
    }

    /// The tokenizer; `None` if the tokens are the bytes.
    ///
    /// # Errors
    /// `Model` for a transformer whose file has none.
    pub fn tokenizer(&self) -> Result<Option<&Arc<Tokenizer>>> {
        match self {
            Self::Bytes(model) => Ok(model.tokenizer()),
            Self::Transformer(model) => match model.tokenizer() {
                Some(tokenizer) => Ok(Some(tokenizer)),
                None => fail!(
                    Model,
                    "the model has no tokenizer: its file has none, and there was no tokenizer.json beside it"
                ),
            },
        }
    }

    /// The number of tokens.
    pub fn vocabulary(&self) -> usize {
        match self {
            Self::Bytes(_) => VOCAB,
            Self::Transformer(model) => model.config().vocab,
        }
    }

    /// The longest context that it was trained for, in tokens; 0 for a network without a limit.
    pub fn context(&self) -> usize {
        match self {
            Self::Bytes(_) => 0,
            Self::Transformer(model) => model.config().context,
        }
    }

    /// The number of weights.
    pub fn parameters(&self) -> u64 {
        match self {
            Self::Bytes(model) => model.config().tensors().map(|spec| spec.len() as u64).sum(),
            Self::Transformer(model) => model.parameters(),
        }
    }

    /// The bytes that the weights take in memory.
    pub fn weight_bytes(&self) -> u64 {
        match self {
            Self::Bytes(model) => model.file_bytes(),
            Self::Transformer(model) => model.bytes(),
        }
    }
}
