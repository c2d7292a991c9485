//! Safetensors files (F32, F16, BF16; I8 with a scale a row): <https://huggingface.co/docs/safetensors>.
//!
//! A file has eight bytes of header length, a JSON header, and the tensors' bytes. The `safetensors` crate, whose types
//! this module uses, reads whole files. This module checks lengths against the file before it allocates, and reads one
//! tensor at a time. `header.rs` parses the header.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use ::safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::dtype::SCALES;
use super::header::{Header, MAX_HEADER, Tensor};
use super::{TensorSource, TensorSpec};
use crate::error::{Error, Result, Status, fail, shortened, shortened_path};
use crate::numeric::buffer::{filled, grow};

/// An open file, whose tensors are read one at a time.
#[derive(Debug)]
pub struct Safetensors<R> {
    input: R,
    /// The offset of the tensors' bytes.
    data: u64,
    header: Header,
}

impl<R: Read + Seek> Safetensors<R> {
    /// Reads and checks the header of a file of `len` bytes.
    ///
    /// # Errors
    /// `Model` if it is not a safetensors file or its offsets are wrong; `Io` if it cannot be read; `Memory`.
    pub fn open(mut input: R, len: u64) -> Result<Self> {
        let mut size = [0u8; 8];
        if len < 8 {
            fail!(Model, "not a safetensors file: {len} bytes, less than the 8 bytes of the header's length");
        }
        input.read_exact(&mut size).map_err(|e| read_error(&e))?;
        let (size, available) = (u64::from_le_bytes(size), len - 8);
        if size > available {
            fail!(Model, "not a safetensors file: it states a header of {size} bytes, but has only {available}");
        }
        if size > MAX_HEADER as u64 {
            fail!(Model, "the header of the safetensors file has {size} bytes, {MAX_HEADER} are allowed");
        }
        let mut json = filled(size as usize, 0u8, "the header of a safetensors file")?;
        input.read_exact(&mut json).map_err(|e| read_error(&e))?;
        Ok(Self { input, data: 8 + size, header: Header::parse(&json, available - size)? })
    }

    /// The shape of the tensor of this name, if there is one.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.find(name).map(|i| self.header.get(i).shape)
    }

    /// The position in the header of a tensor that must exist with this shape.
    fn find(&self, name: &str, shape: &[usize]) -> Result<usize> {
        let Some(i) = self.header.find(name) else {
            fail!(Model, "{name}: missing, a tensor of shape {shape:?} is needed");
        };
        let found = self.header.get(i).shape;
        if !same_shape(found, shape) {
            fail!(Model, "{name}: its shape is {found:?}, {shape:?} is needed");
        }
        Ok(i)
    }

    /// Checks that the header has these tensors, scales for those of them that are I8, and no other tensors.
    ///
    /// # Errors
    /// `Model`, naming a tensor that is missing, unknown or of another shape; `Memory`.
    pub fn check(&self, specs: impl Iterator<Item = TensorSpec>) -> Result<()> {
        let mut known = filled(self.header.len(), false, "the header of a safetensors file")?;
        for spec in specs {
            let i = self.find(&spec.name, &spec.shape)?;
            known[i] = true;
            if self.header.get(i).dtype == Dtype::I8 {
                known[self.find(&scale_name(&spec.name), &spec.shape[..1])?] = true;
            }
        }
        if let Some(i) = known.iter().position(|known| !known) {
            let Tensor { name, shape, .. } = self.header.get(i);
            fail!(Model, "{}: the model has no such tensor; its shape is {shape:?}", shortened(name));
        }
        Ok(())
    }
}

fn read_error(e: &std::io::Error) -> Error {
    Error::new(Status::Io, format!("reading weights: {e}"))
}

/// Whether two shapes are equal, ignoring dimensions of 1.
fn same_shape(a: &[usize], b: &[usize]) -> bool {
    let is_wide = |d: &&usize| **d != 1;
    a.iter().filter(is_wide).eq(b.iter().filter(is_wide))
}

/// The name of an I8 tensor's scales: one F32 per row, where the first dimension counts rows. A value is the integer
/// times its row's scale.
fn scale_name(name: &str) -> String {
    format!("{name}{SCALES}")
}

impl<R: Read + Seek> Safetensors<R> {
    /// Multiplies the rows of `values` by the scales of tensor `name`.
    fn scale(&mut self, name: &str, rows: usize, values: &mut [f32]) -> Result<()> {
        let (name, mut scales) = (scale_name(name), Vec::new());
        if self.header.get(self.find(&name, &[rows])?).dtype != Dtype::F32 {
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
        let Tensor { data: (from, to), dtype, shape: found, .. } = self.header.get(self.find(name, shape)?);
        let count = found.iter().product();
        let mut bytes = filled(usize::try_from(to - from).unwrap_or(usize::MAX), 0u8, name)?;
        self.input.seek(SeekFrom::Start(self.data + from)).map_err(|e| read_error(&e).within(name))?;
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

/// Writes tensors as F32, one at a time. The data goes to a temporary file in the same directory, which is synced and
/// then renamed to `path`.
///
/// # Errors
/// Any error of the source; `Io` if the file cannot be written. After an error, `path` is unchanged.
pub fn save(path: &Path, specs: &[TensorSpec], source: &mut dyn TensorSource) -> Result<()> {
    let io = |e: std::io::Error| Error::new(Status::Io, format!("writing {}: {e}", shortened_path(path)));
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    {
        let mut out = std::io::BufWriter::new(file.as_file_mut());
        let header = header_of(specs)?;
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
fn header_of(specs: &[TensorSpec]) -> Result<Vec<u8>> {
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
