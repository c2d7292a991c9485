//! One view of tensor files: safetensors, GGUF and APR.
//!
//! - `info`: what a reader of a format finds, and the checks that all formats share
//! - `apr`, `gguf`, `safetensors`: the readers
//! - `needless`: tensors that inference does not need

pub(super) mod apr;
pub(super) mod gguf;
mod info;
mod needless;
mod safetensors;

use std::path::Path;

pub use info::{Reason, Skipped, TensorInfo};

use super::dequantise::decode;
use super::dtype::{DType, SCALES};
use super::metadata::Metadata;
use super::source::{Source, open_file};
use crate::error::{Error, Result, fail, shortened, shortened_path};
use crate::numeric::buffer::{filled, made};
use info::Contents;

/// The bytes that are read at a time for a conversion.
const CHUNK: usize = 256 << 10;

/// An open tensor file.
///
/// Opening reads and checks all that precedes the tensors' bytes. Their bytes are read when they are asked for; the file
/// is never mapped. Threads may read at the same time. A file that changes after it was opened gives its new bytes, or
/// an error if it is shorter.
#[derive(Debug)]
pub struct Tensors {
    source: Source,
    tensors: Vec<TensorInfo>,
    /// Indexes of tensors, sorted by name.
    order: Vec<u32>,
    metadata: Metadata,
    skipped: Vec<Skipped>,
}

/// The first bytes of a file, which tell the formats apart.
fn magic(source: &Source) -> Result<[u8; 4]> {
    let mut magic = [0u8; 4];
    let n = source.len().min(4) as usize;
    source.read(&mut magic[..n], 0)?;
    Ok(magic)
}

/// Reads what precedes the tensors' bytes.
fn read(source: &Source) -> Result<Contents> {
    match &magic(source)? {
        gguf::MAGIC => gguf::read(source),
        apr::MAGIC => apr::read(source),
        b"APRN" | b"APR1" => fail!(Model, "an APR file of version 1, expected 2"),
        _ => safetensors::read(source),
    }
}

impl Tensors {
    /// Opens a file.
    ///
    /// # Errors
    /// `Io` if it cannot be read or is not a regular file; `Model` if it is none of the formats, damaged, or of a kind
    /// that is not supported (the message says which); `Memory`.
    pub fn open(path: &Path) -> Result<Self> {
        let (file, len) = open_file(path)?;
        let within = |e: Error| e.within(shortened_path(path));
        let source = Source::new(file, len);
        let mut contents = read(&source).map_err(within)?;
        needless::skip(&mut contents).map_err(within)?;
        let Contents { tensors, metadata, skipped } = contents;
        let mut left_out = made(skipped.len(), info::WHAT, |i| Ok(i as u32))?;
        left_out.sort_unstable_by(|a, b| skipped[*a as usize].name.cmp(&skipped[*b as usize].name));
        let mut order = made(tensors.len(), info::WHAT, |i| Ok(i as u32))?;
        order.sort_unstable_by(|a, b| tensors[*a as usize].name.cmp(&tensors[*b as usize].name));
        let names = order.windows(2).map(|pair| [0, 1].map(|i| &tensors[pair[i] as usize].name));
        if let Some([name, _]) = names.into_iter().find(|[a, b]| a == b) {
            fail!(Model, "{}: {} is there twice", shortened_path(path), shortened(name));
        }
        let is_kept = |name: &str| order.binary_search_by(|i| tensors[*i as usize].name.as_str().cmp(name)).is_ok();
        let name = |at: usize| skipped[left_out[at] as usize].name.as_str();
        if let Some(at) = (0..left_out.len()).find(|at| is_kept(name(*at)) || *at > 0 && name(at - 1) == name(*at)) {
            fail!(Model, "{}: {} is there twice", shortened_path(path), shortened(name(at)));
        }
        Ok(Self { source, tensors, order, metadata, skipped })
    }

    /// Whether a file is none of the other formats, so that [`Tensors::open`] reads it as safetensors.
    ///
    /// # Errors
    /// `Io`.
    pub fn is_safetensors(path: &Path) -> Result<bool> {
        let (file, len) = open_file(path)?;
        let magic = magic(&Source::new(file, len)).map_err(|e| e.within(shortened_path(path)))?;
        Ok(!matches!(&magic, gguf::MAGIC | apr::MAGIC | b"APRN" | b"APR1"))
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The tensor at an index below [`Tensors::len`], in the order of the file.
    pub fn info(&self, i: usize) -> &TensorInfo {
        &self.tensors[i]
    }

    /// The index of the tensor of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        let found = self.order.binary_search_by(|i| self.tensors[*i as usize].name.as_str().cmp(name));
        found.ok().map(|at| self.order[at] as usize)
    }

    /// The metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors that are left out, because inference does not need them or their type is not supported.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Reads a tensor's bytes as they are in the file.
    ///
    /// # Errors
    /// `Argument` if `to` has another length; `Io`.
    pub fn read(&self, i: usize, to: &mut [u8]) -> Result<()> {
        let tensor = &self.tensors[i];
        if to.len() as u64 != tensor.bytes {
            fail!(Argument, "{} has {} bytes, the buffer {}", shortened(&tensor.name), tensor.bytes, to.len());
        }
        self.source.read(to, tensor.offset).map_err(|e| e.within(shortened(&tensor.name)))
    }

    /// Reads all values of a tensor.
    ///
    /// # Errors
    /// `Argument` if `to` has another length; otherwise as [`Tensors::read_f32_range`].
    pub fn read_f32(&self, i: usize, to: &mut [f32]) -> Result<()> {
        let tensor = &self.tensors[i];
        if to.len() as u64 != tensor.values() {
            fail!(Argument, "{} has {} values, the buffer {}", shortened(&tensor.name), tensor.values(), to.len());
        }
        self.read_f32_range(i, 0, to)
    }

    /// Reads the values of a tensor from number `first` on, in the order of the file. It takes 256 KiB besides `to`.
    ///
    /// # Errors
    /// `Argument` if the tensor has fewer values; `Model` for a scale that is not finite, and for an I8 tensor without
    /// scales; `Io`; `Memory`.
    pub fn read_f32_range(&self, i: usize, first: u64, to: &mut [f32]) -> Result<()> {
        let tensor = &self.tensors[i];
        if first.checked_add(to.len() as u64).is_none_or(|end| end > tensor.values()) {
            let (name, n, values) = (shortened(&tensor.name), to.len(), tensor.values());
            fail!(Argument, "{name}: {n} values from {first} on, it has {values}");
        }
        if to.is_empty() {
            return Ok(());
        }
        let read = match tensor.dtype {
            DType::Q8 => self.read_q8(tensor, first, to),
            DType::I8 => self.read_rows(tensor, first, to),
            _ => self.read_values(tensor, tensor.offset, first, to),
        };
        read.map_err(|e| e.within(shortened(&tensor.name)))
    }

    /// Reads values without scales outside their blocks. `start`: the offset of the first block.
    fn read_values(&self, tensor: &TensorInfo, start: u64, first: u64, mut to: &mut [f32]) -> Result<()> {
        let (values, size) = tensor.dtype.block();
        let (mut block, mut skip) = (first / values as u64, (first % values as u64) as usize);
        let blocks = CHUNK / size;
        let mut buffer = filled((skip + to.len()).div_ceil(values).min(blocks) * size, 0u8, "a part of a tensor")?;
        while !to.is_empty() {
            let n = (skip + to.len()).div_ceil(values).min(blocks);
            let bytes = &mut buffer[..n * size];
            self.source.read(bytes, start + block * size as u64)?;
            let (now, later) = to.split_at_mut((n * values - skip).min(to.len()));
            if let Err(bad) = decode(tensor.dtype, bytes, skip, now) {
                fail!(Model, "the scale of block {} is not finite", block + bad as u64);
            }
            (to, block, skip) = (later, block + n as u64, 0);
        }
        Ok(())
    }

    fn read_q8(&self, tensor: &TensorInfo, first: u64, to: &mut [f32]) -> Result<()> {
        let mut scale = [0u8; 4];
        self.source.read(&mut scale, tensor.offset)?;
        let scale = f32::from_le_bytes(scale);
        if !scale.is_finite() {
            fail!(Model, "its scale is {scale}");
        }
        self.read_values(tensor, tensor.offset + 4, first, to)?;
        to.iter_mut().for_each(|x| *x *= scale);
        Ok(())
    }

    /// Reads an I8 tensor with a scale for each row.
    fn read_rows(&self, tensor: &TensorInfo, first: u64, to: &mut [f32]) -> Result<()> {
        let rows = tensor.shape.first().copied().unwrap_or(1);
        let mut name = String::new();
        super::metadata::push_text(&mut name, &tensor.name)?;
        super::metadata::push_text(&mut name, SCALES)?;
        let scales = self.find(&name).map(|i| &self.tensors[i]);
        let Some(scales) = scales.filter(|s| s.dtype == DType::F32 && s.values() == rows) else {
            fail!(Model, "it is I8, and there is no F32 tensor of its {rows} scales with {SCALES} behind its name");
        };
        self.read_values(tensor, tensor.offset, first, to)?;
        let width = tensor.values() / rows;
        let (mut position, mut rest) = (first, to);
        let mut some = [0f32; 256];
        while !rest.is_empty() {
            let row = position / width;
            let last = (position + rest.len() as u64 - 1) / width;
            let n = (last - row + 1).min(some.len() as u64) as usize;
            self.read_values(scales, scales.offset, row, &mut some[..n])?;
            for (scale, row) in some[..n].iter().zip(row..) {
                if !scale.is_finite() {
                    fail!(Model, "the scale of row {row} is {scale}");
                }
                let here = ((row + 1) * width - position).min(rest.len() as u64) as usize;
                let (now, later) = rest.split_at_mut(here);
                now.iter_mut().for_each(|x| *x *= scale);
                (rest, position) = (later, position + here as u64);
            }
        }
        Ok(())
    }
}
