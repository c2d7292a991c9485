//! The keys of a `config.json`.

use serde_json::{Map, Value};

use super::config::Keys;
use crate::error::{Result, fail};

/// The keys of a JSON object.
#[derive(Clone, Debug)]
pub struct JsonKeys(Map<String, Value>);

/// The largest `config.json`. Real ones have some kilobytes.
pub const MAX_CONFIG: usize = 1 << 20;

impl JsonKeys {
    /// Parses an object.
    ///
    /// # Errors
    /// `Model`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_CONFIG {
            fail!(Model, "the configuration has {} bytes, {MAX_CONFIG} are supported", bytes.len());
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => fail!(Model, "the configuration is not a JSON object"),
            Err(e) => fail!(Model, "the configuration is not JSON: {e}"),
        }
    }

    fn get<T>(&self, key: &str, what: &str, read: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(value) {
                Some(found) => Ok(Some(found)),
                None => fail!(Model, "{key} is not {what}"),
            },
        }
    }
}

impl Keys for JsonKeys {
    fn number(&self, key: &str) -> Result<Option<u64>> {
        self.get(key, "a number that is whole and not negative", Value::as_u64)
    }

    fn float(&self, key: &str) -> Result<Option<f32>> {
        self.get(key, "a number", |v| v.as_f64().map(|x| x as f32))
    }

    fn text(&self, key: &str) -> Result<Option<String>> {
        self.get(key, "a string", |v| v.as_str().map(str::to_owned))
    }

    fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.get(key, "true or false", Value::as_bool)
    }

    fn texts(&self, key: &str) -> Result<Option<Vec<String>>> {
        let all = |v: &Value| v.as_array()?.iter().map(|x| x.as_str().map(str::to_owned)).collect();
        self.get(key, "an array of strings", all)
    }

    fn object(&self, key: &str) -> Result<Option<Box<dyn Keys + '_>>> {
        let boxed = |v: &Value| Some(Box::new(Self(v.as_object()?.clone())) as Box<dyn Keys>);
        self.get(key, "an object", boxed)
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key.clone()).collect()
    }
}
