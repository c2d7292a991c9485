//! Metadata as JSON, in two forms.
//!
//! **Typed**, for the C ABI: `{"key":{"u32":1}}`. The type is one of u8, i8, u16, i16, u32, i32, u64, i64, f32, f64, bool,
//! string and json. An array is a list: `{"key":{"string":["a","b"]}}`. Numbers that JSON lacks are the strings `"nan"`,
//! `"inf"` and `"-inf"`. The value of `json` is any JSON that no other type holds.
//!
//! **Plain**, as files have it: `{"key":1}`. The key [`TYPES`] has the types that plain JSON does not show, so that no
//! type is lost: without it, integers are u64 or i64, other numbers f64, and lists of one such type arrays.

use std::fmt::{self, Write};

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::header::PARSER_MEMORY_FACTOR;
use super::metadata::{Array, Kind, Metadata, Texts, Value, WHAT, for_numbers, owned, push_text};
use crate::error::{Error, Result, Status, fail, out_of_memory, shortened};
use crate::numeric::buffer::grow;
use crate::numeric::reserve::{Reserve, fallible};

/// The key of the types that plain JSON does not show: an object of the names of types, by key.
pub(super) const TYPES: &str = "gptz.types";

/// A growing text whose allocations are fallible.
#[derive(Default)]
pub(super) struct Out(pub(super) String);

impl Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.capacity() - self.0.len() < text.len() {
            fallible(|| self.0.try_reserve(text.len())).map_err(|_| fmt::Error)?;
        }
        self.0.push_str(text);
        Ok(())
    }
}

impl Out {
    /// Runs `f`, whose only error is a failed allocation.
    pub(super) fn write(&mut self, f: impl FnOnce(&mut Self) -> fmt::Result) -> Result<()> {
        f(self).map_err(|_| out_of_memory(self.0.len(), WHAT))
    }

    /// A JSON string.
    pub(super) fn quoted(&mut self, text: &str) -> fmt::Result {
        self.write_str("\"")?;
        let mut start = 0;
        for (i, byte) in text.bytes().enumerate().filter(|(_, b)| matches!(b, 0..32 | b'"' | b'\\' | 127)) {
            self.write_str(&text[start..i])?;
            match byte {
                b'"' | b'\\' => write!(self, "\\{}", char::from(byte))?,
                _ => write!(self, "\\u{byte:04x}")?,
            }
            start = i + 1;
        }
        self.write_str(&text[start..])?;
        self.write_str("\"")
    }
}

/// A number in JSON.
trait Number: Sized {
    fn write(&self, out: &mut Out) -> fmt::Result;
    /// Parses what [`Number::write`] wrote, or the JSON number of another program.
    fn parse(text: &str) -> Option<Self>;
}

macro_rules! integers {
    ($($type:ident)+) => {$(
        impl Number for $type {
            fn write(&self, out: &mut Out) -> fmt::Result {
                write!(out, "{self}")
            }
            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )+};
}
integers!(u8 i8 u16 i16 u32 i32 u64 i64);

macro_rules! floats {
    ($($type:ident)+) => {$(
        impl Number for $type {
            fn write(&self, out: &mut Out) -> fmt::Result {
                match self {
                    x if x.is_nan() => out.write_str("\"nan\""),
                    x if x.is_infinite() => out.write_str(if *x > 0.0 { "\"inf\"" } else { "\"-inf\"" }),
                    // The shortest text that parses to the same number.
                    x => write!(out, "{x:?}"),
                }
            }
            fn parse(text: &str) -> Option<Self> {
                match text {
                    "\"nan\"" => Some($type::NAN),
                    "\"inf\"" => Some($type::INFINITY),
                    "\"-inf\"" => Some($type::NEG_INFINITY),
                    _ if text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) => {
                        text.parse().ok().filter(|x: &$type| x.is_finite())
                    }
                    _ => None,
                }
            }
        }
    )+};
}
floats!(f32 f64);

fn list<T>(out: &mut Out, items: impl Iterator<Item = T>, write: impl Fn(&mut Out, T) -> fmt::Result) -> fmt::Result {
    out.write_str("[")?;
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.write_str(",")?;
        }
        write(out, item)?;
    }
    out.write_str("]")
}

macro_rules! writers {
    ($($variant:ident $type:ident $name:literal),+) => {
        /// The plain JSON of a value.
        pub(super) fn write_plain(out: &mut Out, value: &Value) -> fmt::Result {
            match value {
                $(Value::$variant(x) => x.write(out),)+
                Value::Bool(x) => write!(out, "{x}"),
                Value::Text(x) => out.quoted(x),
                Value::Json(x) => out.write_str(x),
                Value::Array(array) => match array {
                    $(Array::$variant(v) => list(out, v.iter(), |out, x| x.write(out)),)+
                    Array::Bool(v) => list(out, v.iter(), |out, x| write!(out, "{x}")),
                    Array::Text(v) => list(out, v.iter(), Out::quoted),
                },
            }
        }

        /// Reads a value of a known type from JSON. `None` if it does not fit.
        fn read_typed(kind: Kind, json: &str) -> Result<Option<Value>> {
            if kind == Kind::Json {
                return read_natural(json).map(Some);
            }
            if !json.starts_with('[') {
                return Ok(match kind {
                    $(Kind::$variant => <$type>::parse(json).map(Value::$variant),)+
                    Kind::Bool => json.parse().ok().map(Value::Bool),
                    _ => read_text(json)?.map(Value::Text),
                });
            }
            Ok(match kind {
                $(Kind::$variant => elements(json, Vec::new(), |v, json| match <$type>::parse(json) {
                    Some(x) => {
                        grow(v, 1, WHAT)?;
                        v.push(x);
                        Ok(true)
                    }
                    None => Ok(false),
                })?.map(Array::$variant),)+
                Kind::Bool => elements(json, Vec::new(), |v, json| match json.parse() {
                    Ok(x) => {
                        grow(v, 1, WHAT)?;
                        v.push(x);
                        Ok(true)
                    }
                    Err(_) => Ok(false),
                })?.map(Array::Bool),
                _ => elements(json, Texts::default(), |v, json| match read_text(json)? {
                    Some(text) => v.push(&text).map(|()| true),
                    None => Ok(false),
                })?.map(Array::Text),
            }.map(Value::Array))
        }
    };
}
for_numbers!(writers);

/// An error of a JSON text.
fn malformed(e: &serde_json::Error) -> Error {
    Error::new(Status::Model, format!("metadata: {e}"))
}

/// The content of a JSON string. `None` for other JSON.
pub(super) fn read_text(json: &str) -> Result<Option<String>> {
    struct Content;
    impl Visitor<'_> for Content {
        type Value = Result<String>;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Self::Value, E> {
            Ok(owned(text))
        }
    }
    if !json.starts_with('"') {
        return Ok(None);
    }
    let mut parser = serde_json::Deserializer::from_str(json);
    match parser.deserialize_str(Content) {
        Ok(text) => text.map(Some),
        Err(e) => Err(malformed(&e)),
    }
}

/// Reads the elements of a list by `take`. `None` as soon as it returns false.
fn elements<T>(json: &str, mut to: T, take: impl FnMut(&mut T, &str) -> Result<bool>) -> Result<Option<T>> {
    struct Elements<'t, T, F>(&'t mut T, F, &'t mut Result<bool>);
    impl<'de, T, F: FnMut(&mut T, &str) -> Result<bool>> Visitor<'de> for Elements<'_, T, F> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> std::result::Result<(), A::Error> {
            while let Some(json) = seq.next_element::<&RawValue>()? {
                if matches!(self.2, Ok(true)) {
                    *self.2 = (self.1)(self.0, json.get());
                }
            }
            Ok(())
        }
    }
    let mut result = Ok(true);
    let mut parser = serde_json::Deserializer::from_str(json);
    parser.deserialize_seq(Elements(&mut to, take, &mut result)).map_err(|e| malformed(&e))?;
    result.map(|fits| fits.then_some(to))
}

/// The type of a JSON value that is not a list.
fn natural_kind(json: &str) -> Kind {
    match json.as_bytes().first() {
        Some(b'"') => Kind::Text,
        Some(b't' | b'f') => Kind::Bool,
        Some(b'-' | b'0'..=b'9') => match (u64::parse(json), i64::parse(json), f64::parse(json)) {
            (Some(_), ..) => Kind::U64,
            (_, Some(_), _) => Kind::I64,
            (.., Some(_)) => Kind::F64,
            _ => Kind::Json,
        },
        _ => Kind::Json,
    }
}

/// The type that holds the values of two types.
fn common_kind(a: Kind, b: Kind) -> Kind {
    match (a, b) {
        _ if a == b => a,
        (Kind::U64 | Kind::I64, Kind::U64 | Kind::I64) => Kind::I64,
        (Kind::U64 | Kind::I64 | Kind::F64, Kind::U64 | Kind::I64 | Kind::F64) => Kind::F64,
        _ => Kind::Json,
    }
}

/// Reads a plain value by what JSON shows of its type.
pub(super) fn read_natural(json: &str) -> Result<Value> {
    let kind = if json.starts_with('[') {
        let kind = elements(json, None, |all: &mut Option<Kind>, json| {
            let kind = natural_kind(json);
            *all = Some(all.map_or(kind, |all| common_kind(all, kind)));
            Ok(true)
        })?;
        kind.flatten().unwrap_or(Kind::Json)
    } else {
        natural_kind(json)
    };
    match kind {
        Kind::Json => Ok(Value::Json(owned(json)?)),
        // A list of a u64 that is not an i64 and a negative number.
        kind => Ok(match read_typed(kind, json)? {
            Some(value) => value,
            None => Value::Json(owned(json)?),
        }),
    }
}

/// Checks that a text is one JSON value.
pub(super) fn check_json(json: &str) -> Result<()> {
    let _reserve = Reserve::take_for(PARSER_MEMORY_FACTOR * json.len(), WHAT)?;
    serde_json::from_str::<de::IgnoredAny>(json).map(|_| ()).map_err(|e| malformed(&e))
}

/// Passes the keys and values of a JSON object on.
pub(super) fn each_entry(json: &[u8], take: impl FnMut(&str, &str) -> Result<()>) -> Result<()> {
    struct Key<'k>(&'k mut String, &'k mut Result<()>);
    impl<'de> de::DeserializeSeed<'de> for Key<'_> {
        type Value = ();
        fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<(), D::Error> {
            d.deserialize_str(self)
        }
    }
    impl Visitor<'_> for Key<'_> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a key")
        }
        fn visit_str<E: de::Error>(self, key: &str) -> std::result::Result<(), E> {
            self.0.clear();
            *self.1 = push_text(self.0, key);
            match self.1 {
                Ok(()) => Ok(()),
                Err(e) => Err(E::custom(e)),
            }
        }
    }
    struct Entries<'t, F>(F, &'t mut Result<()>);
    impl<'de, F: FnMut(&str, &str) -> Result<()>> Visitor<'de> for Entries<'_, F> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_str<E: de::Error>(self, _: &str) -> std::result::Result<(), E> {
            Err(E::invalid_type(de::Unexpected::Other("a string"), &self))
        }
        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> std::result::Result<(), A::Error> {
            use serde::de::Error as _;
            let mut key = String::new();
            while map.next_key_seed(Key(&mut key, self.1))?.is_some() {
                let json = map.next_value::<&RawValue>()?;
                *self.1 = (self.0)(&key, json.get());
                if let Err(e) = &self.1 {
                    return Err(A::Error::custom(e));
                }
            }
            Ok(())
        }
    }
    let _reserve = Reserve::take_for(PARSER_MEMORY_FACTOR * json.len(), WHAT)?;
    let mut result = Ok(());
    let mut parser = serde_json::Deserializer::from_slice(json);
    let parsed = parser.deserialize_any(Entries(take, &mut result)).and_then(|()| parser.end());
    result?;
    parsed.map_err(|e| malformed(&e))
}

/// Whether plain JSON does not show the value's type.
fn hides_type(value: &Value) -> bool {
    let shown = matches!(value.kind(), Kind::Text | Kind::Bool | Kind::U64 | Kind::Json);
    matches!(value, Value::Array(array) if array.is_empty()) || !shown
}

/// The types that plain JSON does not show, as an object; `None` if it shows them all.
pub(super) fn hidden_types(metadata: &Metadata) -> Result<Option<String>> {
    let mut out = Out::default();
    for (key, value) in metadata.iter().filter(|(_, value)| hides_type(value)) {
        out.write(|out| {
            out.write_str(if out.0.is_empty() { "{" } else { "," })?;
            out.quoted(key)?;
            out.write_str(":")?;
            out.quoted(value.kind().name())
        })?;
    }
    if out.0.is_empty() {
        return Ok(None);
    }
    out.write(|out| out.write_str("}"))?;
    Ok(Some(out.0))
}

/// The value of plain JSON whose type may be named in [`TYPES`].
pub(super) fn read_value(key: &str, json: &str, types: &Metadata) -> Result<Value> {
    let Some(name) = types.text(key) else { return read_natural(json) };
    let Some(kind) = Kind::from_name(name) else {
        fail!(Model, "metadata: {TYPES} has the type \"{}\", which does not exist", shortened(name));
    };
    match read_typed(kind, json)? {
        Some(value) => Ok(value),
        None => fail!(Model, "metadata: {} is not of the type {name} that {TYPES} names", shortened(key)),
    }
}

/// Reads the object of types.
pub(super) fn read_types(json: &str) -> Result<Metadata> {
    let mut types = Metadata::default();
    each_entry(json.as_bytes(), |key, json| match read_text(json)? {
        Some(name) => types.set(key, Value::Text(name)),
        None => fail!(Model, "metadata: {TYPES} names no type for {}", shortened(key)),
    })?;
    Ok(types)
}

impl Metadata {
    /// Reads plain JSON. The last one of equal keys counts, as some files of aprender have a key twice.
    ///
    /// # Errors
    /// `Model`, `Memory`.
    pub(crate) fn from_plain(json: &[u8]) -> Result<Self> {
        let mut types = Self::default();
        each_entry(json, |key, json| {
            if key == TYPES {
                types = read_types(json)?;
            }
            Ok(())
        })?;
        let mut metadata = Self::default();
        each_entry(json, |key, json| match key {
            TYPES => Ok(()),
            _ => metadata.set(key, read_value(key, json, &types)?),
        })?;
        Ok(metadata)
    }

    /// Plain JSON.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn to_plain(&self) -> Result<String> {
        let mut out = Out::default();
        out.write(|out| out.write_str("{"))?;
        let types = hidden_types(self)?;
        out.write(|out| {
            for (i, (key, value)) in self.iter().enumerate() {
                if i > 0 {
                    out.write_str(",")?;
                }
                out.quoted(key)?;
                out.write_str(":")?;
                write_plain(out, value)?;
            }
            if let Some(types) = &types {
                write!(out, "{}\"{TYPES}\":{types}", if self.is_empty() { "" } else { "," })?;
            }
            out.write_str("}")
        })?;
        Ok(out.0)
    }

    /// Reads typed JSON.
    ///
    /// # Errors
    /// `Model` with the key that is malformed, is there twice, or whose value does not fit its type; `Memory`.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let mut metadata = Self::default();
        each_entry(json, |key, typed| {
            let mut value = None;
            each_entry(typed.as_bytes(), |name, json| {
                let Some(kind) = Kind::from_name(name) else {
                    fail!(Model, "metadata: {}: the type \"{}\" does not exist", shortened(key), shortened(name));
                };
                match read_typed(kind, json)? {
                    Some(found) if value.is_none() => value = Some(found),
                    Some(_) => fail!(Model, "metadata: {} has two values", shortened(key)),
                    None => fail!(Model, "metadata: {} is not of the type {}", shortened(key), kind.name()),
                }
                Ok(())
            })?;
            match value {
                Some(value) => metadata.push(key, value),
                None => fail!(Model, "metadata: {} has no value", shortened(key)),
            }
        })?;
        Ok(metadata)
    }

    /// Typed JSON.
    ///
    /// # Errors
    /// `Memory`.
    pub fn to_json(&self) -> Result<String> {
        let mut out = Out::default();
        out.write(|out| {
            out.write_str("{")?;
            for (i, (key, value)) in self.iter().enumerate() {
                if i > 0 {
                    out.write_str(",")?;
                }
                out.quoted(key)?;
                write!(out, ":{{\"{}\":", value.kind().name())?;
                write_plain(out, value)?;
                out.write_str("}")?;
            }
            out.write_str("}")
        })?;
        Ok(out.0)
    }
}
