//! A whole method string: levels, one network, or a mix.

use super::base::Base;
use super::grammar::is_number;
use super::mix;
use super::network::Network;
use super::registry::{LEVELS, resolve};
use crate::container::{MAX_METHOD_LEN, MethodRef};
use crate::error::{Result, fail};
use crate::mix::Options;

/// A parsed method string.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// One where nothing is mixed; in a mix none, one, or two of which the second is a GRU.
    pub networks: Vec<Network>,
    /// What is mixed, where anything is.
    pub mix: Option<Options>,
}

impl Method {
    /// Parses a method string.
    ///
    /// # Errors
    /// `Method`, quoting the part that is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Some(level) = text.strip_prefix("level:") {
            let level = level.parse::<usize>().ok().filter(|_| is_number(level)).and_then(|n| n.checked_sub(1));
            return match level.and_then(|n| LEVELS.get(n)) {
                Some(id) => Self::parse(resolve(&MethodRef::Registered(*id))?),
                None => fail!(Method, "\"{text}\": level:1 to level:{} are known", LEVELS.len()),
            };
        }
        Self::parse_with(text, false)
    }

    /// The method of a model that is held already: a `mix:` of it, in which it is `neural=(file:)`, or the segments that
    /// follow a base, such as `weights=f32`, or none.
    ///
    /// # Errors
    /// As [`Method::parse`]; `Method` also for a mix of anything else.
    pub fn of_model(text: &str) -> Result<Self> {
        let text = text.trim();
        if !text.starts_with("mix:") {
            let segments = if text.is_empty() { String::new() } else { format!(";{text}") };
            return Self::parse_with(&format!("file:{segments}"), true);
        }
        let method = Self::parse_with(text, true)?;
        match &method.networks[..] {
            [Network { base: Base::File(path), .. }, ..] if path.as_os_str().is_empty() => Ok(method),
            _ => fail!(Method, "\"{text}\": of a model that is open, a mix has neural=(file:)"),
        }
    }

    /// Parses a method, where `given` with a model that is there already, as a file without a path.
    fn parse_with(text: &str, given: bool) -> Result<Self> {
        match text.strip_prefix("mix:") {
            Some(keys) => {
                let (networks, options) = mix::parse(keys, given)?;
                Ok(Self { networks, mix: Some(options) })
            }
            None => Ok(Self { networks: vec![Network::parse(text, given, false)?], mix: None }),
        }
    }

    /// The canonical form: what frames store and sides compare. Every key of a `cfg:` base in its order, `head_size`
    /// and `weights` only where they are not the default; a file's path is left out. Every key of a `mix:`.
    pub fn canonical(&self) -> String {
        let text = match &self.mix {
            Some(options) => mix::canonical(&self.networks, options),
            None => self.networks.iter().map(Network::canonical).collect(),
        };
        debug_assert!(text.len() <= MAX_METHOD_LEN);
        text
    }
}
