//! Whole method strings: a level, a network, or a mix.

use super::base::Base;
use super::grammar::is_whole;
use super::mix;
use super::network::Network;
use super::registry::{LEVELS, level_method};
use crate::container::{MAX_CANONICAL_LEN, MAX_METHOD_LEN};
use crate::error::{Result, fail, shortened};
use crate::mix::Options;

/// A parsed method string.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// Without a mix, one network. In a mix, up to two networks; a second one is a GRU.
    pub networks: Vec<Network>,
    /// The options of the mix, if the method is one.
    pub mix: Option<Options>,
}

impl Method {
    /// Parses a method string.
    ///
    /// # Errors
    /// `Method`, with a message that quotes the part that is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        check_length(text)?;
        match text.trim().strip_prefix("level:") {
            Some(level) => Self::parse_with(parse_level(level)?, false),
            None => Self::parse_with(text, false)?.checked(),
        }
    }

    /// Checks the length of the canonical form, which only a policy can make too long for a frame.
    fn checked(self) -> Result<Self> {
        let text = self.text();
        if text.len() > MAX_CANONICAL_LEN {
            let (n, text) = (text.len(), shortened(&text));
            fail!(Method, "\"{text}\": the canonical form has {n} bytes, {MAX_CANONICAL_LEN} are allowed");
        }
        Ok(self)
    }

    /// Parses the method of a model that the caller has opened. `text` is empty, or the segments that follow the base,
    /// such as `weights=f32`, or a `mix:` in which `neural=(file:)` means the model.
    ///
    /// # Errors
    /// As [`Method::parse`]. `Method` also for a mix without the model.
    pub fn of_model(text: &str) -> Result<Self> {
        check_length(text)?;
        let text = text.trim();
        if !text.starts_with("mix:") {
            let segments = if text.is_empty() { String::new() } else { format!(";{text}") };
            return Self::parse_with(&format!("file:{segments}"), true)?.checked();
        }
        let method = Self::parse_with(text, true)?.checked()?;
        match &method.networks[..] {
            [Network { base: Base::File(path), .. }, ..] if path.as_os_str().is_empty() => Ok(method),
            _ => fail!(Method, "\"{}\": the mix of a model that is open needs neural=(file:)", shortened(text)),
        }
    }

    /// Parses the canonical form of a method that an input names. `file:` stands for weights that are not named. Nothing
    /// is opened, and no file is looked for.
    ///
    /// # Errors
    /// `Corrupt` if it is not a canonical form.
    pub fn parse_stored(text: &str) -> Result<Self> {
        // Any other base may be the path of a file.
        let known = ["cfg:", "gru:", "mix:", "builtin:", "file:"].iter().any(|prefix| text.starts_with(prefix));
        match known.then(|| check_length(text).and_then(|()| Self::parse_with(text, true))) {
            Some(Ok(method)) if method.canonical() == text => Ok(method),
            _ => fail!(Corrupt, "the method \"{}\" is not in its canonical form", shortened(text)),
        }
    }

    /// Whether weights of a file are needed.
    pub fn needs_file(&self) -> bool {
        self.networks.iter().any(|network| matches!(network.base, Base::File(_)))
    }

    /// Parses a method that is not a level. `model_is_open`: see [`Base::parse`].
    fn parse_with(text: &str, model_is_open: bool) -> Result<Self> {
        match text.trim().strip_prefix("mix:") {
            Some(keys) => {
                let (networks, options) = mix::parse(keys, model_is_open)?;
                Ok(Self { networks, mix: Some(options) })
            }
            None => Ok(Self { networks: vec![Network::parse(text, model_is_open, false)?], mix: None }),
        }
    }

    /// The canonical form, which frames store and which is compared. It has every key in a fixed order, except for keys
    /// that were added later, which appear only if they are not the default, and paths of files, which it leaves out.
    pub fn canonical(&self) -> String {
        let text = self.text();
        debug_assert!(text.len() <= MAX_CANONICAL_LEN);
        text
    }

    fn text(&self) -> String {
        match &self.mix {
            Some(options) => mix::canonical(&self.networks, options),
            None => self.networks.iter().map(Network::canonical).collect(),
        }
    }
}

fn check_length(text: &str) -> Result<()> {
    if text.len() > MAX_METHOD_LEN {
        let (n, text) = (text.len(), shortened(text));
        fail!(Method, "\"{text}\": the method string has {n} bytes, {MAX_METHOD_LEN} are allowed");
    }
    Ok(())
}

/// The canonical method of a level.
fn parse_level(level: &str) -> Result<&'static str> {
    let known = LEVELS.len();
    if let Some((number, segment)) = level.split_once(';') {
        let (number, segment) = (shortened(number), shortened(segment));
        fail!(
            Method,
            "\"level:{number};{segment}\": nothing may follow a level; level:1 to level:{known} are allowed alone, and segments \
             follow a base, as in mix:neural=(builtin:1;weights=f32)"
        );
    }
    let number = Some(level).filter(|text| is_whole(text)).and_then(|text| text.parse().ok());
    match number.and_then(level_method) {
        Some(method) => Ok(method),
        None => fail!(Method, "\"level:{}\": level:1 to level:{known} are known", shortened(level)),
    }
}
