//! Reading GGUF, versions 2 and 3, of llama.cpp.
//!
//! A header, typed metadata, a list of tensors, and their bytes. Version 3 differs from 2 by big-endian files, which are
//! refused.

use std::str;

use super::info::{Contents, Reason};
use crate::error::{Result, fail, shortened};
use crate::numeric::buffer::{filled, grow};
use crate::weights::dtype::{DType, MAX_DIMENSIONS};
use crate::weights::header::MAX_TENSORS;
use crate::weights::metadata::{Array, MAX_KEYS, Metadata, Texts, Value, WHAT, owned};
use crate::weights::source::Source;

/// The first bytes of a file.
pub(in crate::weights) const MAGIC: &[u8; 4] = b"GGUF";

/// The key of the alignment of tensors, and what it is without the key.
pub(in crate::weights) const ALIGNMENT: (&str, u64) = ("general.alignment", 32);

/// The most bytes before the tensors. Vocabularies of 262,144 tokens take 15 MB.
const MAX_HEAD: u64 = 256 << 20;

/// The longest key or name of a tensor.
const MAX_NAME: u64 = 65_535;

/// The names of GGML's types by number. Numbers without a name were removed or never existed.
const TYPES: [&str; 42] = [
    "F32", "F16", "Q4_0", "Q4_1", "", "", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8", "I16", "I32", "I64",
    "F64", "IQ1_M", "BF16", "", "", "", "TQ1_0", "TQ2_0", "", "", "", "MXFP4", "NVFP4", "Q1_0",
];

/// GGML's number of a type. `None` for the types of aprender.
pub(in crate::weights) fn number_of(dtype: DType) -> Option<u32> {
    TYPES.iter().position(|name| *name == dtype.name()).map(|i| i as u32)
}

fn dtype_of(number: u32) -> std::result::Result<DType, Option<&'static str>> {
    match TYPES.get(number as usize) {
        Some(name) if !name.is_empty() => DType::ALL.into_iter().find(|t| t.name() == *name).ok_or(Some(name)),
        _ => Err(None),
    }
}

/// The first part of a file, read in order.
struct Head<'s> {
    source: &'s Source,
    buffer: Vec<u8>,
    /// The unread bytes of the buffer.
    start: usize,
    end: usize,
    /// The offset in the file of the first unread byte.
    position: u64,
}

const BUFFER: usize = 256 << 10;

impl<'s> Head<'s> {
    fn new(source: &'s Source) -> Result<Self> {
        Ok(Self { source, buffer: filled(BUFFER, 0, WHAT)?, start: 0, end: 0, position: 0 })
    }

    /// The number of bytes that are left in the file.
    fn left(&self) -> u64 {
        self.source.len() - self.position
    }

    /// The next `n` bytes, at most the size of the buffer.
    fn take(&mut self, n: usize) -> Result<&[u8]> {
        if n as u64 > self.left() {
            fail!(Model, "the GGUF file ends at {}, within its head", self.source.len());
        }
        if self.position + n as u64 > MAX_HEAD {
            fail!(Model, "the head of the GGUF file has more than {MAX_HEAD} bytes");
        }
        if self.end - self.start < n {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let offset = self.position + self.end as u64;
            let more = (self.source.len() - offset).min((BUFFER - self.end) as u64) as usize;
            self.source.read(&mut self.buffer[self.end..self.end + more], offset)?;
            self.end += more;
        }
        self.start += n;
        self.position += n as u64;
        Ok(&self.buffer[self.start - n..self.start])
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N).map(|bytes| std::array::from_fn(|i| bytes[i]))
    }

    fn u32(&mut self) -> Result<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// Passes a string on, whose length comes first.
    fn text<T>(&mut self, most: u64, what: &str, take: impl FnOnce(&str) -> Result<T>) -> Result<T> {
        let (len, at) = (self.u64()?, self.position);
        if len > self.left() || len > most {
            fail!(Model, "{what}: a string of {len} bytes at {at}, {} are left and {most} allowed", self.left());
        }
        let mut long = Vec::new();
        let bytes = if len <= BUFFER as u64 {
            self.take(len as usize)?
        } else {
            let mut left = len as usize;
            while left > 0 {
                let part = self.take(left.min(BUFFER))?;
                grow(&mut long, part.len(), WHAT)?;
                long.extend_from_slice(part);
                left -= part.len();
            }
            &long
        };
        match str::from_utf8(bytes) {
            Ok(text) => take(text),
            Err(_) => fail!(Model, "{what}: the string at {at} is not UTF-8"),
        }
    }

    fn flag(&mut self, key: &str) -> Result<bool> {
        match self.take(1)?[0] {
            0 => Ok(false),
            1 => Ok(true),
            other => fail!(Model, "{}: a truth value is {other}, expected 0 or 1", shortened(key)),
        }
    }

    /// `n` values of at least `size` bytes each, of which the file must have as many.
    fn list<T>(
        &mut self,
        key: &str,
        n: u64,
        size: u64,
        mut next: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.check_count(key, n, size)?;
        let mut list = Vec::new();
        for _ in 0..n {
            grow(&mut list, 1, WHAT)?;
            list.push(next(self)?);
        }
        Ok(list)
    }

    fn check_count(&self, key: &str, n: u64, size: u64) -> Result<()> {
        if n > self.left() / size {
            fail!(Model, "{}: {n} elements are stated, but {} bytes are left", shortened(key), self.left());
        }
        Ok(())
    }

    fn array(&mut self, key: &str) -> Result<Array> {
        let (kind, n) = (self.u32()?, self.u64()?);
        Ok(match kind {
            0 => Array::U8(self.list(key, n, 1, |h| h.bytes().map(u8::from_le_bytes))?),
            1 => Array::I8(self.list(key, n, 1, |h| h.bytes().map(i8::from_le_bytes))?),
            2 => Array::U16(self.list(key, n, 2, |h| h.bytes().map(u16::from_le_bytes))?),
            3 => Array::I16(self.list(key, n, 2, |h| h.bytes().map(i16::from_le_bytes))?),
            4 => Array::U32(self.list(key, n, 4, Self::u32)?),
            5 => Array::I32(self.list(key, n, 4, |h| h.bytes().map(i32::from_le_bytes))?),
            6 => Array::F32(self.list(key, n, 4, |h| h.bytes().map(f32::from_le_bytes))?),
            7 => Array::Bool(self.list(key, n, 1, |h| h.flag(key))?),
            8 => {
                self.check_count(key, n, 8)?;
                let mut texts = Texts::default();
                for _ in 0..n {
                    self.text(MAX_HEAD, key, |text| texts.push(text))?;
                }
                Array::Text(texts)
            }
            9 => fail!(Model, "{}: an array of arrays, which is not supported", shortened(key)),
            10 => Array::U64(self.list(key, n, 8, Self::u64)?),
            11 => Array::I64(self.list(key, n, 8, |h| h.bytes().map(i64::from_le_bytes))?),
            12 => Array::F64(self.list(key, n, 8, |h| h.bytes().map(f64::from_le_bytes))?),
            other => fail!(Model, "{}: its elements have the type {other}, expected 0 to 12", shortened(key)),
        })
    }

    fn value(&mut self, key: &str) -> Result<Value> {
        Ok(match self.u32()? {
            0 => Value::U8(u8::from_le_bytes(self.bytes()?)),
            1 => Value::I8(i8::from_le_bytes(self.bytes()?)),
            2 => Value::U16(u16::from_le_bytes(self.bytes()?)),
            3 => Value::I16(i16::from_le_bytes(self.bytes()?)),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(i32::from_le_bytes(self.bytes()?)),
            6 => Value::F32(f32::from_le_bytes(self.bytes()?)),
            7 => Value::Bool(self.flag(key)?),
            8 => Value::Text(self.text(MAX_HEAD, key, owned)?),
            9 => Value::Array(self.array(key)?),
            10 => Value::U64(self.u64()?),
            11 => Value::I64(i64::from_le_bytes(self.bytes()?)),
            12 => Value::F64(f64::from_le_bytes(self.bytes()?)),
            other => fail!(Model, "{}: it has the type {other}, expected 0 to 12", shortened(key)),
        })
    }

    fn tensor(&mut self, contents: &mut Contents) -> Result<()> {
        let name = self.text(MAX_NAME, "the name of a tensor", owned)?;
        let dimensions = self.u32()? as usize;
        if dimensions > MAX_DIMENSIONS {
            fail!(Model, "{}: {dimensions} dimensions, at most {MAX_DIMENSIONS} are allowed", shortened(&name));
        }
        let mut shape = [0u64; MAX_DIMENSIONS];
        for i in (0..dimensions).rev() {
            // The file has the innermost dimension first.
            shape[i] = self.u64()?;
        }
        let (number, offset) = (self.u32()?, self.u64()?);
        match dtype_of(number) {
            Ok(dtype) => contents.add(&name, dtype, &shape[..dimensions], offset, None),
            Err(Some(known)) => contents.skip(&name, Reason::Type(known)),
            Err(None) => fail!(Model, "{}: its type is {number}, which GGML does not have", shortened(&name)),
        }
    }
}

fn read_metadata(head: &mut Head<'_>, keys: u64) -> Result<Metadata> {
    let mut metadata = Metadata::default();
    for _ in 0..keys {
        let key = head.text(MAX_NAME, "a key of the metadata", owned)?;
        let value = head.value(&key)?;
        metadata.push(&key, value)?;
    }
    Ok(metadata)
}

/// The alignment that metadata state.
pub(in crate::weights) fn alignment(metadata: &Metadata) -> Result<u64> {
    match metadata.get(ALIGNMENT.0) {
        None => Ok(ALIGNMENT.1),
        Some(Value::U32(n)) if n.is_power_of_two() => Ok(u64::from(*n)),
        Some(other) => fail!(Model, "{} is {other:?}, expected a u32 that is a power of two", ALIGNMENT.0),
    }
}

/// Reads all but the tensors' bytes.
pub(super) fn read(source: &Source) -> Result<Contents> {
    let mut head = Head::new(source)?;
    head.take(MAGIC.len())?;
    let version = head.u32()?;
    if version.swap_bytes() <= 0xffff && version > 0xffff {
        fail!(Model, "a big-endian GGUF file, which is not supported");
    }
    if ![2, 3].contains(&version) {
        fail!(Model, "a GGUF file of version {version}, expected 2 or 3");
    }
    let (tensors, keys) = (head.u64()?, head.u64()?);
    // A tensor takes at least 24 bytes, a key 13.
    if tensors > (head.left() / 24).min(MAX_TENSORS as u64) || keys > (head.left() / 13).min(MAX_KEYS as u64) {
        let left = head.left();
        fail!(
            Model,
            "the GGUF file states {tensors} tensors and {keys} keys in {left} bytes; {MAX_TENSORS} and {MAX_KEYS} are allowed"
        );
    }
    let mut contents = Contents { metadata: read_metadata(&mut head, keys)?, ..Contents::default() };
    let alignment = alignment(&contents.metadata)?;
    for _ in 0..tensors {
        head.tensor(&mut contents)?;
    }
    let start = head.position.next_multiple_of(alignment);
    for tensor in &mut contents.tensors {
        match start.checked_add(tensor.offset) {
            Some(offset) => tensor.offset = offset,
            None => fail!(Model, "{}: its offset is {}", shortened(&tensor.name), tensor.offset),
        }
    }
    // A file without tensors may end before the place of their bytes.
    contents.check_layout(start, source.len().max(start), alignment)?;
    Ok(contents)
}
