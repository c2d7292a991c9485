//! The base of a network: where its weights come from. It is the first part of a method string.

use std::path::{Path, PathBuf};

use super::grammar::is_digits;
use super::{cfg, gru};
use crate::adapt::{GruRule, Rule, Train};
use crate::error::{Result, fail, shortened};
use crate::model::builtin;
use crate::model::gru::Config as GruConfig;
use crate::model::rwkv7::Config;

/// Where a network's weights come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// `cfg:`: an RWKV-7 network with random weights. Its head may learn.
    Config {
        /// The shape.
        config: Config,
        /// The seed of the random weights.
        seed: u64,
        /// How the head learns.
        rule: Rule,
    },
    /// `gru:`: a GRU with random weights, all of which learn.
    Gru {
        /// The shape.
        config: GruConfig,
        /// The seed of the random weights.
        seed: u64,
        /// How the weights learn.
        rule: GruRule,
    },
    /// `builtin:`: the built-in weights of this name, frozen.
    Builtin(String),
    /// `file:`: the weights of a file, frozen. The path is used to open the file and is not part of the canonical form.
    File(PathBuf),
}

impl Base {
    /// Parses a base, which is a known prefix and its keys, or numbers, or the path of a file that exists.
    /// `model_is_open`: the weights come from a model that the caller has opened, and `file:` has no path.
    ///
    /// Blanks at both ends are removed, except from a path, because file names can contain them.
    pub(super) fn parse(text: &str, model_is_open: bool) -> Result<Self> {
        let path_of = |text: &str| text.trim_start().strip_prefix("file:").map(PathBuf::from);
        if let Some(path) = path_of(text) {
            return match (path.as_os_str().is_empty(), model_is_open) {
                (true, false) => fail!(Method, "\"file:\": a path is missing"),
                (false, true) => {
                    fail!(Method, "\"{}\": no path is allowed, the model is open already", shortened(text))
                }
                _ => Ok(Self::File(path)),
            };
        }
        let (given, text) = (text, text.trim());
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
        if text.split_once(',').is_some_and(|(first, _)| is_digits(first.trim())) {
            return Self::config(text);
        }
        if !text.is_empty() && Path::new(given).exists() {
            return Ok(Self::File(given.into()));
        }
        let text = shortened(text);
        fail!(Method, "\"{text}\": neither cfg:..., gru:..., builtin:..., file:PATH, numbers nor a file that exists")
    }

    fn config(text: &str) -> Result<Self> {
        let cfg::Cfg { config, seed, rule } = cfg::parse(text)?;
        Ok(Self::Config { config, seed, rule })
    }

    /// The base's part of the canonical form, without the path of a file.
    pub(super) fn canonical(&self) -> String {
        match self {
            Self::File(_) => "file:".to_owned(),
            Self::Builtin(name) => format!("builtin:{name}"),
            Self::Gru { config, seed, rule } => gru::canonical(config, *seed, rule),
            Self::Config { config, seed, rule } => cfg::canonical(config, *seed, rule),
        }
    }

    /// Whether none of the weights learn. Only such a network can have a second head that learns.
    pub(super) fn is_frozen(&self) -> bool {
        match self {
            Self::Gru { .. } => false,
            Self::Config { rule, .. } => rule.train == Train::None,
            Self::Builtin(_) | Self::File(_) => true,
        }
    }
}
