//! Strings of options: `key=value` separated by commas.

use crate::error::{Result, fail, shortened};
use crate::numeric::attention::KvFormat;
use crate::numeric::matmul::Precision;

/// Passes each pair of a string to `set`, which returns whether it knows the key.
pub(super) fn each(text: &str, what: &str, mut set: impl FnMut(&str, &str) -> Result<bool>) -> Result<()> {
    let mut seen = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((key, value)) = part.split_once('=') else {
            fail!(Argument, "\"{}\" in the {what} is not key=value", shortened(part));
        };
        let (key, value) = (key.trim(), value.trim());
        if seen.contains(&key) {
            fail!(Argument, "the {what} has \"{}\" twice", shortened(key));
        }
        if !set(key, value)? {
            fail!(Argument, "the {what} has the key \"{}\", which does not exist", shortened(key));
        }
        seen.push(key);
    }
    Ok(())
}

/// A number in a range.
pub(super) fn number(key: &str, value: &str, least: u64, most: u64) -> Result<u64> {
    match value.parse() {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ => fail!(Argument, "{key}={} is not a number from {least} to {most}", shortened(value)),
    }
}

/// The options of a generator of a transformer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// Tokens; `None`: 4096, or the model's context if that is less.
    pub(super) context: Option<usize>,
    pub(super) slides: bool,
    pub(super) weights: Precision,
    pub(super) cache: KvFormat,
    /// The most bytes of keys and values.
    pub(super) memory: u64,
}

impl Options {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut cache = None;
        let mut options =
            Self { context: None, slides: false, weights: Precision::Grouped, cache: KvFormat::I8, memory: 1 << 30 };
        each(text, "options", |key, value| {
            match (key, value) {
                ("context", _) => options.context = Some(number(key, value, 1, 1 << 28)? as usize),
                ("memory", _) => options.memory = number(key, value, 1, i64::MAX as u64)?,
                ("full", "error") => options.slides = false,
                ("full", "slide") => options.slides = true,
                ("weights", "i8") => options.weights = Precision::Grouped,
                ("weights", "f32") => options.weights = Precision::F32,
                ("cache", "i8") => cache = Some(KvFormat::I8),
                ("cache", "f16") => cache = Some(KvFormat::F16),
                ("cache", "f32") => cache = Some(KvFormat::F32),
                ("full" | "weights" | "cache", _) => {
                    fail!(Argument, "{key}={} is not supported", shortened(value))
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let checking = if options.weights == Precision::F32 { KvFormat::F32 } else { KvFormat::I8 };
        options.cache = cache.unwrap_or(checking);
        Ok(options)
    }
}
