//! Where a network comes from: the first part of a method string.

use std::path::{Path, PathBuf};

use super::grammar::is_number;
use super::{cfg, gru};
use crate::adapt::{GruRule, Rule, Train};
use crate::error::{Result, fail};
use crate::model::builtin;
use crate::model::gru::Config as GruConfig;
use crate::model::rwkv7::Config;

/// Where the network comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// `cfg:`: random weights of this shape and seed; the head may learn.
    Config {
        /// The shape.
        config: Config,
        /// Names the random weights.
        seed: u64,
        /// How the head learns.
        rule: Rule,
    },
    /// `gru:`: random weights of this shape and seed, which all learn.
    Gru {
        /// The shape.
        config: GruConfig,
        /// Names the random weights.
        seed: u64,
        /// How they learn.
        rule: GruRule,
    },
    /// `builtin:`: weights of this name that the library carries, frozen.
    Builtin(String),
    /// `file:`: a weights file, frozen. The path serves to open it and is no part of the method's identity.
    File(PathBuf),
}

impl Base {
    /// Tried as a known prefix, then as numbers, then as a path. `given`: the model is open already, as a file without
    /// a path.
    pub(super) fn parse(text: &str, given: bool) -> Result<Self> {
        if let Some(keys) = text.strip_prefix("cfg:") {
            return Self::config(keys);
        }
        if let Some(keys) = text.strip_prefix("gru:") {
            let gru::Gru { config, seed, rule } = gru::parse(keys)?;
            return Ok(Self::Gru { config, seed, rule });
        }
        if let Some(name) = text.strip_prefix("builtin:") {
            builtin::check(name)?;
            return Ok(Self::Builtin(name.to_owned()));
        }
        if let Some(path) = text.strip_prefix("file:") {
            if path.is_empty() != given {
                fail!(Method, "\"{text}\": {}", if given { "the model is open already" } else { "a path is missing" });
            }
            return Ok(Self::File(path.into()));
        }
        if text.split_once(',').is_some_and(|(first, _)| is_number(first.trim())) {
            return Self::config(text);
        }
        if !text.is_empty() && Path::new(text).exists() {
            return Ok(Self::File(text.into()));
        }
        fail!(Method, "\"{text}\": neither cfg:..., gru:..., builtin:..., file:PATH, numbers nor a file that exists")
    }

    fn config(text: &str) -> Result<Self> {
        let cfg::Cfg { config, seed, rule } = cfg::parse(text)?;
        Ok(Self::Config { config, seed, rule })
    }

    /// Its part of the canonical form: a file's path is left out.
    pub(super) fn canonical(&self) -> String {
        match self {
            Self::File(_) => "file:".to_owned(),
            Self::Builtin(name) => format!("builtin:{name}"),
            Self::Gru { config, seed, rule } => gru::canonical(config, *seed, rule),
            Self::Config { config, seed, rule } => cfg::canonical(config, *seed, rule),
        }
    }

    /// Whether it is frozen weights, or random ones whose head does not learn: a second head may stand beside the first.
    pub(super) fn is_frozen(&self) -> bool {
        match self {
            Self::Gru { .. } => false,
            Self::Config { rule, .. } => rule.train == Train::None,
            Self::Builtin(_) | Self::File(_) => true,
        }
    }
}
