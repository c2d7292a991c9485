//! Safetensors files (F32, F16, BF16; I8 with a scale a row): <https://huggingface.co/docs/safetensors>.
//!
//! A file has eight bytes of header length, a JSON header, and the tensors' bytes. The `safetensors` crate, whose types this
//! module uses, reads whole files. This module checks lengths against the file before it allocates, and reads one tensor
//! at a time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use ::safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{TensorSource, TensorSpec};
use crate::error::{Error, Result, Status, fail};
use crate::numeric::buffer::{filled, grow};

/// Longer headers are refused: the largest network's has 5 MB.
const MAX_HEADER: u64 = 16 << 20;

/// The largest number of dimensions of a tensor. The reference model has tensors of three.
const MAX_DIMENSIONS: usize = 8;

/// An open file, whose tensors are read one at a time.
#[derive(Debug)]
pub struct Safetensors<R> {
    input: R,
    data: u64,
    tensors: BTreeMap<String, TensorInfo>,
}

impl<R: Read + Seek> Safetensors<R> {
    /// Reads and checks the header of a file of `len` bytes.
    ///
    /// # Errors
    /// `Model` if it is not a safetensors file or its offsets are wrong; `Io` if it cannot be read; `Memory`.
    pub fn open(mut input: R, len: u64) -> Result<Self> {
        let mut size = [0u8; 8];
        if len < 8 {
            fail!(Model, "not a safetensors file: {len} bytes, the header's length alone takes 8");
        }
        input.read_exact(&mut size).map_err(|e| read_error(&e))?;
        let size = u64::from_le_bytes(size);
        if size > len - 8 || size > MAX_HEADER {
            fail!(Model, "not a safetensors file: it promises a header of {size} bytes, {} are there", len - 8);
        }
        let mut header = filled(size as usize, 0u8, "the header of a safetensors file")?;
        input.read_exact(&mut header).map_err(|e| read_error(&e))?;
        let tensors = parse_header(&header)?;
        check_offsets(&tensors, len - 8 - size)?;
        Ok(Self { input, data: 8 + size, tensors })
    }

    /// The shape of the tensor of this name, if there is one.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|info| &*info.shape)
    }

    /// The header's entry for a tensor, which must exist with this shape.
    fn entry(&self, name: &str, shape: &[usize]) -> Result<&TensorInfo> {
        let Some(info) = self.tensors.get(name) else {
            fail!(Model, "{name}: missing, a tensor of shape {shape:?} is needed");
        };
        if !same_shape(&info.shape, shape) {
            fail!(Model, "{name}: its shape is {:?}, {shape:?} is needed", info.shape);
        }
        Ok(info)
    }

    /// Checks that the header has these tensors, scales for those of them that are I8, and no other tensors.
    ///
    /// # Errors
    /// `Model`, naming a tensor that is missing, unknown or of another shape.
    pub fn check(&self, specs: &[TensorSpec]) -> Result<()> {
        let mut known = HashSet::new();
        for spec in specs {
            if self.entry(&spec.name, &spec.shape)?.dtype == Dtype::I8 {
                let scale = scale_name(&spec.name);
                self.entry(&scale, &spec.shape[..1])?;
                known.insert(scale);
            }
            known.insert(spec.name.clone());
        }
        if let Some((name, info)) = self.tensors.iter().find(|(name, _)| !known.contains(*name)) {
            fail!(Model, "{name}: of shape {:?}, the model has no such tensor", info.shape);
        }
        Ok(())
    }
}

/// Parses the header's JSON directly into one entry per tensor. No other part of the header takes memory that lasts.
fn parse_header(json: &[u8]) -> Result<BTreeMap<String, TensorInfo>> {
    let mut parser = serde_json::Deserializer::from_slice(json);
    let entries = parser.deserialize_map(Entries);
    entries
        .and_then(|entries| parser.end().map(|()| entries))
        .map_err(|e| Error::new(Status::Model, format!("the header of the safetensors file: {e}")))
}

/// Parses the header's object.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = BTreeMap<String, TensorInfo>;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut tensors = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let entry: Entry = map.next_value().map_err(|e| A::Error::custom(format!("{name}: {e}")))?;
            let info = TensorInfo { dtype: entry.dtype, shape: entry.shape.0, data_offsets: entry.data_offsets };
            if tensors.insert(name.clone(), info).is_some() {
                return Err(A::Error::custom(format!("{name} stands twice")));
            }
        }
        Ok(tensors)
    }
}

#[derive(Deserialize)]
struct Entry {
    dtype: Dtype,
    shape: Shape,
    data_offsets: (usize, usize),
}

/// A tensor's dimensions, at most [`MAX_DIMENSIONS`].
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        d.deserialize_seq(Dimensions)
    }
}

struct Dimensions;

impl<'de> Visitor<'de> for Dimensions {
    type Value = Shape;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "at most {MAX_DIMENSIONS} dimensions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Shape, A::Error> {
        let mut shape = Vec::new();
        while let Some(n) = seq.next_element()? {
            if shape.len() == MAX_DIMENSIONS {
                return Err(A::Error::invalid_length(shape.len() + 1, &self));
            }
            shape.push(n);
        }
        Ok(Shape(shape))
    }
}

fn read_error(e: &std::io::Error) -> Error {
    Error::new(Status::Io, format!("reading weights: {e}"))
}

/// Checks that the tensors follow each other without gaps, fill the `available` bytes, and have the lengths of their shapes.
fn check_offsets(tensors: &BTreeMap<String, TensorInfo>, available: u64) -> Result<()> {
    let mut by_offset: Vec<_> = tensors.iter().collect();
    by_offset.sort_by_key(|(_, info)| info.data_offsets);
    let mut end = 0;
    for (name, info) in by_offset {
        let (from, to) = info.data_offsets;
        if from != end || to < from || to as u64 > available {
            fail!(
                Model,
                "{name}: its bytes are said to be {from}..{to}, expected from {end} on and within {available}"
            );
        }
        let count = info.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        let bytes = count.and_then(|n| n.checked_mul(info.dtype.bitsize())).map(|bits| bits / 8);
        if bytes != Some(to - from) {
            fail!(Model, "{name}: {} bytes are there for shape {:?} of {:?}", to - from, info.shape, info.dtype);
        }
        end = to;
    }
    if end as u64 != available {
        fail!(Model, "the safetensors file has {available} bytes of tensors, its header names {end}");
    }
    Ok(())
}

/// Whether two shapes are equal, ignoring dimensions of 1.
fn same_shape(a: &[usize], b: &[usize]) -> bool {
    let wide = |s: &[usize]| s.iter().copied().filter(|d| *d != 1).collect::<Vec<_>>();
    wide(a) == wide(b)
}

/// The name of an I8 tensor's scales: one F32 per row, where the first dimension counts rows. A value is the integer times
/// its row's scale.
fn scale_name(name: &str) -> String {
    format!("{name}.scale")
}

impl<R: Read + Seek> Safetensors<R> {
    /// Multiplies the rows of `values` by the scales of tensor `name`.
    fn scale(&mut self, name: &str, rows: usize, values: &mut [f32]) -> Result<()> {
        let (name, mut scales) = (scale_name(name), Vec::new());
        if self.entry(&name, &[rows])?.dtype != Dtype::F32 {
            fail!(Model, "{name}: scales must be F32");
        }
        self.tensor(&name, &[rows], &mut scales)?;
        for (row, scale) in values.chunks_exact_mut((values.len() / rows).max(1)).zip(scales) {
            row.iter_mut().for_each(|x| *x *= scale);
        }
        Ok(())
    }
}

impl<R: Read + Seek> TensorSource for Safetensors<R> {
    fn tensor(&mut self, name: &str, shape: &[usize], out: &mut Vec<f32>) -> Result<()> {
        let info = self.entry(name, shape)?;
        let ((from, to), dtype, count) = (info.data_offsets, info.dtype, info.shape.iter().product());
        let mut bytes = filled(to - from, 0u8, name)?;
        self.input.seek(SeekFrom::Start(self.data + from as u64)).map_err(|e| read_error(&e).within(name))?;
        self.input.read_exact(&mut bytes).map_err(|e| read_error(&e).within(name))?;
        out.clear();
        grow(out, count, name)?;
        let (pairs, _) = bytes.as_chunks::<2>();
        match dtype {
            Dtype::F32 => out.extend(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b))),
            Dtype::F16 => out.extend(pairs.iter().map(|b| half::f16::from_le_bytes(*b).to_f32())),
            Dtype::BF16 => out.extend(pairs.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32())),
            Dtype::I8 => {
                out.extend(bytes.iter().map(|b| f32::from(b.cast_signed())));
                self.scale(name, shape[0], out)?;
            }
            other => fail!(Model, "{name}: its dtype is {other:?}; F32, F16, BF16, and I8 with scales can be read"),
        }
        Ok(())
    }
}

/// Writes tensors as F32, one at a time. The data goes to a temporary file in the same directory, which is synced and then
/// renamed to `path`.
///
/// # Errors
/// Any error of the source; `Io` if the file cannot be written. After an error, `path` is unchanged.
pub fn save(path: &Path, specs: &[TensorSpec], source: &mut dyn TensorSource) -> Result<()> {
    let io = |e: std::io::Error| Error::new(Status::Io, format!("writing {}: {e}", path.display()));
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    {
        let mut out = std::io::BufWriter::new(file.as_file_mut());
        let header = header(specs)?;
        out.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
        out.write_all(&header).map_err(io)?;
        let mut values = Vec::new();
        for spec in specs {
            source.tensor(&spec.name, &spec.shape, &mut values)?;
            for v in &values {
                out.write_all(&v.to_le_bytes()).map_err(io)?;
            }
        }
        out.flush().map_err(io)?;
    }
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|e| io(e.error))?;
    #[cfg(unix)]
    std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(io)?;
    Ok(())
}

/// The JSON header of F32 tensors in this order, padded with spaces to a multiple of 8 bytes as the format recommends.
fn header(specs: &[TensorSpec]) -> Result<Vec<u8>> {
    let mut offset = 0;
    let tensors = specs.iter().map(|spec| {
        let from = offset;
        offset += spec.len() * 4;
        let shape = spec.shape.clone();
        (spec.name.clone(), TensorInfo { dtype: Dtype::F32, shape, data_offsets: (from, offset) })
    });
    let internal = |e: String| Error::new(Status::Internal, format!("the header of a safetensors file: {e}"));
    let metadata = Metadata::new(Some(HashMap::from([("format".into(), "pt".into())])), tensors.collect())
        .map_err(|e| internal(e.to_string()))?;
    let mut json = serde_json::to_vec(&metadata).map_err(|e| internal(e.to_string()))?;
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok(json)
}
