//! The JSON header of a safetensors file, parsed into a table that takes little more memory than the header.
//!
//! The table grows by fallible allocations. What `serde_json` allocates by itself is bounded by
//! [`PARSER_MEMORY_FACTOR`]: the visitors here never let it put a text of the header into an error message.

use std::cmp::Ordering;

use ::safetensors::tensor::Dtype;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{self, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use crate::error::{Error, Result, Status, fail, out_of_memory, shortened};
use crate::numeric::reserve::{Reserve, fallible};

/// The largest header, in bytes. The header of a network of 61 layers takes 0.3 MB.
pub const MAX_HEADER: usize = 4 << 20;

/// The largest number of tensors. A network of 61 layers has 2,000 of them.
pub const MAX_TENSORS: usize = 1 << 16;

/// The memory that parsing a header takes at its peak, in bytes per byte of the header, without the bytes of the
/// header: the table and what `serde_json` allocates. A few hundred bytes for an error message come in addition.
///
/// Measured on headers that need the most memory; a growing block counts with its old and its new size: 3.72 for
/// tensors of eight dimensions, whose number is just past a power of two; 2.95 for a name with escapes; 3.71 for both
/// together. The bound of 5 follows from the worst case of a name: three times its length in the growing table, and
/// twice in the parser.
pub const HEADER_MEMORY_FACTOR: usize = 5;

/// The part of [`HEADER_MEMORY_FACTOR`] that `serde_json` allocates. These allocations are infallible, so a [`Reserve`]
/// of that size serves them if memory is short.
///
/// The parser has one growing block for a string with escapes, or for the open brackets of a value that it skips.
/// Measured: 2.93 for a string just past a power of two, 1.5 for brackets.
pub const PARSER_MEMORY_FACTOR: usize = 3;

/// The largest number of dimensions of a tensor. The reference model has tensors of three.
const MAX_DIMENSIONS: usize = 8;

/// A tensor's entry in the header. `name` and `shape` are offsets and lengths in the tables of [`Header`].
#[derive(Clone, Copy, Debug)]
struct Entry {
    name: (u32, u32),
    shape: (u32, u8),
    dtype: Dtype,
    data: (u64, u64),
}

/// A tensor's description in a header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tensor<'a> {
    /// Its full name.
    pub(super) name: &'a str,
    /// Its dimensions, outermost first.
    pub(super) shape: &'a [usize],
    /// The type of its values.
    pub(super) dtype: Dtype,
    /// The start and end of its bytes, counted from the end of the header.
    pub(super) data: (u64, u64),
}

/// All tensors of a file, by name.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// Sorted by name.
    entries: Vec<Entry>,
    names: String,
    dimensions: Vec<usize>,
    /// An allocation failed.
    out_of_memory: bool,
}

impl Header {
    /// Parses a header and checks its names and offsets. `available`: the number of bytes after the header.
    ///
    /// # Errors
    /// `Model` if it is not a safetensors header, a name appears twice, or the offsets are wrong; `Memory`.
    pub(super) fn parse(json: &[u8], available: u64) -> Result<Self> {
        let mut header = Self::default();
        let _reserve = Reserve::take_for(PARSER_MEMORY_FACTOR * json.len(), "the header of a safetensors file")?;
        let mut parser = serde_json::Deserializer::from_slice(json);
        let parsed = parser.deserialize_any(Tensors(&mut header)).and_then(|()| parser.end());
        if header.out_of_memory {
            return Err(out_of_memory(json.len(), "the header of a safetensors file"));
        }
        parsed.map_err(|e| Error::new(Status::Model, format!("the header of the safetensors file: {e}")))?;
        header.check_offsets(available)?;
        header.sort()?;
        Ok(header)
    }

    /// The number of tensors.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The position of the tensor of this name, in the order of names.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.entries.binary_search_by(|entry| self.name(entry).cmp(name)).ok()
    }

    /// The tensor at a position.
    pub(super) fn get(&self, i: usize) -> Tensor<'_> {
        self.tensor(&self.entries[i])
    }

    fn name(&self, entry: &Entry) -> &str {
        &self.names[entry.name.0 as usize..][..entry.name.1 as usize]
    }

    fn tensor(&self, entry: &Entry) -> Tensor<'_> {
        let shape = &self.dimensions[entry.shape.0 as usize..][..usize::from(entry.shape.1)];
        Tensor { name: self.name(entry), shape, dtype: entry.dtype, data: entry.data }
    }

    /// Checks that the tensors follow each other without gaps, fill the `available` bytes, and have the lengths of
    /// their shapes.
    fn check_offsets(&mut self, available: u64) -> Result<()> {
        // In place and without an allocation. Names break ties, so that the tensor in a message is always the same.
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable_by(|a, b| a.data.cmp(&b.data).then_with(|| self.name(a).cmp(self.name(b))));
        self.entries = entries;
        let mut end = 0;
        for tensor in self.entries.iter().map(|entry| self.tensor(entry)) {
            let Tensor { name, shape, dtype, data: (from, to) } = tensor;
            if from != end || to < from || to > available {
                let name = shortened(name);
                fail!(
                    Model,
                    "{name}: its data_offsets are {from}..{to}, expected from {end} on and within {available}"
                );
            }
            let count = shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d as u64));
            let bytes = count.and_then(|n| n.checked_mul(dtype.bitsize() as u64)).map(|bits| bits / 8);
            if bytes != Some(to - from) {
                let (name, found) = (shortened(name), to - from);
                fail!(Model, "{name}: {found} bytes do not fit shape {shape:?} of {dtype:?}");
            }
            end = to;
        }
        if end != available {
            fail!(Model, "the safetensors file has {available} bytes of tensors, its header names {end}");
        }
        Ok(())
    }

    /// Sorts the entries by name. No two may be equal.
    fn sort(&mut self) -> Result<()> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable_by(|a, b| self.name(a).cmp(self.name(b)));
        let twice = entries.windows(2).find(|pair| self.name(&pair[0]).cmp(self.name(&pair[1])) == Ordering::Equal);
        if let Some(pair) = twice {
            fail!(Model, "{}: appears twice in the header of the safetensors file", shortened(self.name(&pair[0])));
        }
        self.entries = entries;
        Ok(())
    }

    /// Returns an error if `reserved` is false, because an allocation failed. [`Header::parse`] then returns `Memory`
    /// instead of the parser's error.
    fn reserve<E: de::Error>(&mut self, reserved: bool) -> std::result::Result<(), E> {
        self.out_of_memory |= !reserved;
        if reserved { Ok(()) } else { Err(E::custom("out of memory")) }
    }

    fn add_name<E: de::Error>(&mut self, name: &str) -> std::result::Result<(u32, u32), E> {
        let reserved = fallible(|| self.names.try_reserve(name.len())).is_ok();
        self.reserve(reserved)?;
        let start = self.names.len();
        self.names.push_str(name);
        Ok((start as u32, name.len() as u32))
    }

    fn add_dimension<E: de::Error>(&mut self, n: usize) -> std::result::Result<(), E> {
        let reserved = fallible(|| self.dimensions.try_reserve(1)).is_ok();
        self.reserve(reserved)?;
        self.dimensions.push(n);
        Ok(())
    }

    fn add_entry<E: de::Error>(&mut self, entry: Entry) -> std::result::Result<(), E> {
        let reserved = fallible(|| self.entries.try_reserve(1)).is_ok();
        self.reserve(reserved)?;
        self.entries.push(entry);
        Ok(())
    }
}

/// An error for a string where something else is needed. The default of a visitor quotes the whole string.
fn unexpected_string<E: de::Error>(expected: &dyn de::Expected) -> E {
    E::invalid_type(Unexpected::Other("a string"), expected)
}

/// Adds all entries of the header's object.
struct Tensors<'h>(&'h mut Header);

impl<'de> Visitor<'de> for Tensors<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> std::result::Result<(), E> {
        Err(unexpected_string(&self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let header = self.0;
        while let Some(name) = map.next_key_seed(Name(header))? {
            if header.names.len() - name.0 as usize == METADATA.len() && header.names.ends_with(METADATA) {
                header.names.truncate(name.0 as usize);
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if header.entries.len() == MAX_TENSORS {
                return Err(A::Error::custom(format_args!("more than {MAX_TENSORS} tensors")));
            }
            if let Err(e) = map.next_value_seed(Value(header, name)) {
                let name = &header.names[name.0 as usize..];
                return Err(A::Error::custom(format_args!("{}: {e}", shortened(name))));
            }
        }
        Ok(())
    }
}

const METADATA: &str = "__metadata__";

/// Adds a tensor's name.
struct Name<'h>(&'h mut Header);

/// Implements `DeserializeSeed` by a method of `Deserializer`.
macro_rules! seed {
    ($seed:ident $(<$life:lifetime>)?, $value:ty, $method:ident) => {
        impl<'de> de::DeserializeSeed<'de> for $seed $(<$life>)? {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<$value, D::Error> {
                d.$method(self)
            }
        }
    };
}

seed!(Name<'_>, (u32, u32), deserialize_str);
seed!(Value<'_>, (), deserialize_any);
seed!(Field, Self, deserialize_str);
seed!(DtypeName, Dtype, deserialize_any);
seed!(Shape<'_>, (u32, u8), deserialize_any);
seed!(Offsets, (u64, u64), deserialize_any);
seed!(Number, u64, deserialize_any);

impl<'de> Visitor<'de> for Name<'_> {
    type Value = (u32, u32);

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<Self::Value, E> {
        self.0.add_name(name)
    }
}

/// Adds the entry of the tensor of this name.
struct Value<'h>(&'h mut Header, (u32, u32));

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an object with dtype, shape and data_offsets")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> std::result::Result<(), E> {
        Err(unexpected_string(&self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let Self(header, name) = self;
        let (mut dtype, mut shape, mut data) = (None, None, None);
        while let Some(field) = map.next_key_seed(Field::Other)? {
            let twice = match field {
                Field::Dtype => dtype.replace(map.next_value_seed(DtypeName)?).is_some(),
                Field::Shape => shape.replace(map.next_value_seed(Shape(header))?).is_some(),
                Field::Offsets => data.replace(map.next_value_seed(Offsets)?).is_some(),
                Field::Other => map.next_value::<IgnoredAny>().map(|_| false)?,
            };
            if twice {
                return Err(A::Error::custom("a field appears twice"));
            }
        }
        let missing = A::Error::missing_field;
        header.add_entry(Entry {
            name,
            shape: shape.ok_or_else(|| missing("shape"))?,
            dtype: dtype.ok_or_else(|| missing("dtype"))?,
            data: data.ok_or_else(|| missing("data_offsets"))?,
        })
    }
}

/// A field of an entry.
enum Field {
    Dtype,
    Shape,
    Offsets,
    Other,
}

impl<'de> Visitor<'de> for Field {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a field")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<Self, E> {
        Ok(match name {
            "dtype" => Self::Dtype,
            "shape" => Self::Shape,
            "data_offsets" => Self::Offsets,
            _ => Self::Other,
        })
    }
}

/// The name of a dtype.
struct DtypeName;

impl<'de> Visitor<'de> for DtypeName {
    type Value = Dtype;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("the name of a dtype")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<Dtype, E> {
        let known = Dtype::deserialize(StrDeserializer::<de::value::Error>::new(shortest(name)));
        known.map_err(|_| E::custom(format_args!("{}: an unknown dtype", shortened(name))))
    }
}

/// A name cut so that an error that quotes it stays short. No known name is as long.
fn shortest(name: &str) -> &str {
    name.get(..name.len().min(32)).unwrap_or("")
}

/// Adds a shape of at most [`MAX_DIMENSIONS`] dimensions.
struct Shape<'h>(&'h mut Header);

impl<'de> Visitor<'de> for Shape<'_> {
    type Value = (u32, u8);

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "at most {MAX_DIMENSIONS} dimensions")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> std::result::Result<Self::Value, E> {
        Err(unexpected_string(&self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Self::Value, A::Error> {
        let (start, mut n) = (self.0.dimensions.len() as u32, 0u8);
        while let Some(dimension) = seq.next_element_seed(Number)? {
            if usize::from(n) == MAX_DIMENSIONS {
                return Err(A::Error::invalid_length(MAX_DIMENSIONS + 1, &self));
            }
            let Ok(dimension) = usize::try_from(dimension) else {
                return Err(A::Error::invalid_value(
                    Unexpected::Unsigned(dimension),
                    &"a dimension that memory can hold",
                ));
            };
            self.0.add_dimension(dimension)?;
            n += 1;
        }
        Ok((start, n))
    }
}

/// A start and an end.
struct Offsets;

impl<'de> Visitor<'de> for Offsets {
    type Value = (u64, u64);

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("two offsets")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> std::result::Result<Self::Value, E> {
        Err(unexpected_string(&self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Self::Value, A::Error> {
        let mut offset = |i| match seq.next_element_seed(Number)? {
            Some(n) => Ok(n),
            None => Err(A::Error::invalid_length(i, &Self)),
        };
        Ok((offset(0)?, offset(1)?))
    }
}

/// A whole number.
struct Number;

impl<'de> Visitor<'de> for Number {
    type Value = u64;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> std::result::Result<u64, E> {
        Ok(n)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> std::result::Result<u64, E> {
        Err(unexpected_string(&self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of `n` empty tensors.
    fn empty(n: usize, name_len: usize, shape: &str) -> String {
        let entry = |i| format!("\"{i:0name_len$x}\":{{\"dtype\":\"I8\",\"shape\":[{shape}],\"data_offsets\":[0,0]}}");
        format!("{{{}}}", (0..n).map(entry).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn a_table_takes_no_more_than_stated() {
        // Just past powers of two, where vectors have the most unused capacity.
        for (n, name_len, shape) in [
            (1, 1, "0"),
            (1025, 1, "0,0,0,0,0,0,0,0"),
            (32_769, 1, "0,0,0,0,0,0,0,0"),
            (32_769, 1, "0"),
            (2049, 1000, "0"),
        ] {
            let json = empty(n, name_len, shape);
            let table = Header::parse(json.as_bytes(), 0).unwrap();
            assert_eq!(table.len(), n);
            let blocks = [
                table.entries.capacity() * size_of::<Entry>(),
                table.names.capacity(),
                table.dimensions.capacity() * size_of::<usize>(),
            ];
            // While the largest block grew, its old half existed at the same time.
            let peak = blocks.iter().sum::<usize>() + blocks.iter().max().unwrap() / 2;
            assert!(peak <= HEADER_MEMORY_FACTOR * json.len() + 1024, "{n} {shape}: {peak} bytes for {}", json.len());
        }
    }

    #[test]
    fn every_tensor_is_found_by_its_name() {
        let json = r#"{"b":{"dtype":"U8","shape":[2,3],"data_offsets":[4,10]},"__metadata__":{"x":"y"},
                      "a\u0062":{"data_offsets":[0,4],"shape":[],"dtype":"F32","more":[{}]},
                      "":{"dtype":"F4","shape":[0,7],"data_offsets":[10,10]}}"#;
        let table = Header::parse(json.as_bytes(), 10).unwrap();
        assert_eq!(table.len(), 3);
        for (name, shape, dtype, data) in [
            ("b", &[2, 3][..], Dtype::U8, (4, 10)),
            ("ab", &[], Dtype::F32, (0, 4)),
            ("", &[0, 7], Dtype::F4, (10, 10)),
        ] {
            let found = table.get(table.find(name).unwrap());
            assert_eq!((found.name, found.shape, found.dtype, found.data), (name, shape, dtype, data));
        }
        assert!(["a", "__metadata__", "c"].iter().all(|name| table.find(name).is_none()));
    }
}
