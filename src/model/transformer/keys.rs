//! Keys with values: those of a `config.json`, or the metadata of a GGUF file.

use std::borrow::Cow;

use crate::error::{Result, fail};
use crate::weights::Metadata;
use crate::weights::metadata::{Array, Texts, Value};

/// The largest `config.json`. Real ones have some kilobytes.
pub const MAX_CONFIG: u64 = 1 << 20;

/// Keys with values. The functions return `None` for a key that is missing or null, and fail (`Model`) if it has another
/// type.
#[derive(Clone, Debug)]
pub struct Keys<'m>(Cow<'m, Metadata>);

impl<'m> From<&'m Metadata> for Keys<'m> {
    fn from(metadata: &'m Metadata) -> Self {
        Self(Cow::Borrowed(metadata))
    }
}

fn is_null(value: &Value) -> bool {
    matches!(value, Value::Json(json) if json == "null")
}

impl Keys<'_> {
    /// Parses a JSON object.
    ///
    /// # Errors
    /// `Model`, `Memory`.
    pub fn parse(json: &[u8]) -> Result<Keys<'static>> {
        Ok(Keys(Cow::Owned(Metadata::from_plain(json)?)))
    }

    fn get<'k, T>(&'k self, key: &str, what: &str, read: impl FnOnce(&'k Value) -> Option<T>) -> Result<Option<T>> {
        match self.0.get(key).filter(|value| !is_null(value)) {
            None => Ok(None),
            Some(value) => match read(value) {
                Some(found) => Ok(Some(found)),
                None => fail!(Model, "{key} is not {what}"),
            },
        }
    }

    /// Whether the key is there and not null.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| !is_null(value))
    }

    /// A number that is not negative.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>> {
        self.get(key, "a number that is whole and not negative", Value::number)
    }

    /// A float; integers count. It is rounded to f32.
    pub(super) fn float(&self, key: &str) -> Result<Option<f32>> {
        self.get(key, "a number", |value| match value {
            Value::F32(x) => Some(*x),
            Value::F64(x) => Some(*x as f32),
            Value::I8(x) => Some(f32::from(*x)),
            Value::I16(x) => Some(f32::from(*x)),
            Value::I32(x) => Some(*x as f32),
            Value::I64(x) => Some(*x as f32),
            value => value.number().map(|n| n as f32),
        })
    }

    /// A string.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        self.get(key, "a string", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A truth value.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.get(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// An array of strings.
    pub(super) fn texts(&self, key: &str) -> Result<Option<&Texts>> {
        self.get(key, "an array of strings", |value| match value {
            Value::Array(Array::Text(texts)) => Some(texts),
            _ => None,
        })
    }

    /// The keys inside an object.
    pub(super) fn object(&self, key: &str) -> Result<Option<Keys<'static>>> {
        let json = self.get(key, "an object", |value| match value {
            Value::Json(json) if json.starts_with('{') => Some(json),
            _ => None,
        })?;
        json.map(|json| Self::parse(json.as_bytes())).transpose()
    }

    /// The names of all keys that are not null.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, value)| !is_null(value)).map(|(key, _)| key)
    }
}

pub(super) fn listed(list: &str, key: &str) -> bool {
    list.split_whitespace().any(|known| known == key)
}

/// A dimension that must be there.
pub(super) fn dimension(keys: &Keys<'_>, key: &str, most: u64) -> Result<usize> {
    match keys.number(key)? {
        Some(n) if (1..=most).contains(&n) => Ok(n as usize),
        Some(n) => fail!(Model, "{key} is {n}, expected 1 to {most}"),
        None => fail!(Model, "{key} is missing"),
    }
}

/// A float that must be positive, and normal because integers are computed from its bits.
pub(super) fn positive(keys: &Keys<'_>, key: &str) -> Result<Option<f32>> {
    match keys.float(key)? {
        Some(x) if x.is_normal() && x > 0.0 => Ok(Some(x)),
        Some(x) => fail!(Model, "{key} is {x}, expected a positive number"),
        None => Ok(None),
    }
}

pub(super) fn base(x: Option<f32>, key: &str, default: f32) -> Result<f32> {
    match x.unwrap_or(default) {
        x if x > 1.0 => Ok(x),
        x => fail!(Model, "{key} is {x}, expected more than 1"),
    }
}
