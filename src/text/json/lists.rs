//! Lists and objects of `tokenizer.json` that are read element by element, without a tree of values.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, Result, Status, shortened};

/// A string, borrowed from the file if it has no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// A merge: `"a b"`, or `["a", "b"]` in newer files.
pub(super) enum MergeNames<'a> {
    Pair(Text<'a>, Text<'a>),
    Joined(Text<'a>),
}

impl<'de> Deserialize<'de> for MergeNames<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        d.deserialize_any(MergeVisitor)
    }
}

struct MergeVisitor;

impl<'de> Visitor<'de> for MergeVisitor {
    type Value = MergeNames<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("two tokens")
    }

    fn visit_borrowed_str<E>(self, both: &'de str) -> std::result::Result<Self::Value, E> {
        Ok(MergeNames::Joined(Text(both.into())))
    }

    fn visit_str<E>(self, both: &str) -> std::result::Result<Self::Value, E> {
        Ok(MergeNames::Joined(Text(both.to_owned().into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Self::Value, A::Error> {
        match (list.next_element()?, list.next_element()?, list.next_element::<IgnoredAny>()?) {
            (Some(left), Some(right), None) => Ok(MergeNames::Pair(left, right)),
            _ => Err(A::Error::custom("a merge is not of two tokens")),
        }
    }
}

/// The error of the parser in a part of the file.
pub(super) fn malformed(what: &str, error: &serde_json::Error) -> Error {
    let error = error.to_string();
    Error::new(Status::Model, format!("{what} of tokenizer.json: {}", shortened(&error)))
}

/// Reads a part of the file.
pub(super) fn read<'a, T: Deserialize<'a>>(part: &'a RawValue, what: &str) -> Result<T> {
    serde_json::from_str(part.get()).map_err(|e| malformed(what, &e))
}

/// Passes the elements of a list or of an object on, one by one.
struct Each<'f, K, T> {
    take: &'f mut dyn FnMut(K, T) -> Result<()>,
    /// The error of `take`, if that ended the reading.
    failed: &'f mut Option<Error>,
    types: PhantomData<(K, T)>,
}

impl<K, T> Each<'_, K, T> {
    fn pass<E: serde::de::Error>(&mut self, key: K, value: T) -> std::result::Result<(), E> {
        (self.take)(key, value).map_err(|e| {
            *self.failed = Some(e);
            E::custom("")
        })
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<'_, usize, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> std::result::Result<(), A::Error> {
        let mut i = 0;
        while let Some(value) = list.next_element()? {
            self.pass(i, value)?;
            i += 1;
        }
        Ok(())
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<'_, Text<'de>, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry()? {
            self.pass(key, value)?;
        }
        Ok(())
    }
}

/// Reads a list: `take` gets the index and the value of each element.
pub(super) fn each_element<'a, T: Deserialize<'a>>(
    part: &'a RawValue,
    what: &str,
    take: &mut dyn FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    let mut failed = None;
    let each = Each { take, failed: &mut failed, types: PhantomData };
    let result = serde_json::Deserializer::from_str(part.get()).deserialize_seq(each);
    failed.map_or(result.map_err(|e| malformed(what, &e)), Err)
}

/// Reads an object: `take` gets the key and the value of each entry.
pub(super) fn each_entry<'a, T: Deserialize<'a>>(
    part: &'a RawValue,
    what: &str,
    take: &mut dyn FnMut(Text<'a>, T) -> Result<()>,
) -> Result<()> {
    let mut failed = None;
    let each = Each { take, failed: &mut failed, types: PhantomData };
    let result = serde_json::Deserializer::from_str(part.get()).deserialize_map(each);
    failed.map_or(result.map_err(|e| malformed(what, &e)), Err)
}
