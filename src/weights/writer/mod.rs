//! Writing tensor files, one tensor at a time.
//!
//! - `apr`, `gguf`, `safetensors`: what precedes the tensors' bytes in each format
//!
//! All three formats list their tensors before the bytes, so the bytes go to an unnamed temporary file first.

mod apr;
mod gguf;
mod safetensors;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::dtype::{DType, MAX_DIMENSIONS};
use super::header::MAX_TENSORS;
use super::metadata::{Metadata, owned};
use super::metadata_json::TYPES;
use super::quantise::{can_encode, encode, largest, q8_scale};
use super::tensors::TensorInfo;
use crate::error::{Error, Result, Status, fail, shortened, shortened_path};
use crate::numeric::buffer::{copied, filled, grow};

/// The format of a file. The numbers are part of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Format {
    /// APR v2, of aprender: F32, F16, BF16, I8, Q8, Q4, Q4_K, Q6_K.
    Apr = 1,
    /// safetensors: F32, F16, BF16, I8.
    Safetensors = 2,
    /// GGUF v3, of llama.cpp: F32, F16, BF16, I8 and the types of GGML.
    Gguf = 3,
}

impl Format {
    /// The format of this number.
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Apr, Self::Safetensors, Self::Gguf].into_iter().find(|f| *f as i32 == number)
    }

    /// Whether the format has the type.
    pub fn has(self, dtype: DType) -> bool {
        match self {
            Self::Apr => apr::has(dtype),
            Self::Safetensors => safetensors::name_of(dtype).is_some(),
            Self::Gguf => gguf::has(dtype),
        }
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Apr => "APR",
            Self::Safetensors => "safetensors",
            Self::Gguf => "GGUF",
        }
    }

    /// The longest name of a tensor. Readers of aprender cut longer ones.
    fn longest_name(self) -> usize {
        if self == Self::Apr { 256 } else { 65_535 }
    }
}

/// What stands before the list of tensors, made from the metadata.
#[derive(Debug)]
enum Before {
    Apr(String),
    Safetensors(String),
    Gguf(gguf::Keys),
}

/// The number of values that are converted at a time: a multiple of all blocks.
const VALUES: usize = 1 << 14;

/// A file under way.
///
/// Its bytes are in an unnamed temporary file in the destination's folder, which the system removes when the writer is
/// dropped, whatever happens. [`TensorWriter::finish`] writes the file under a temporary name, syncs it, and renames it.
/// Memory does not depend on the sizes of tensors: 64 KiB, the metadata, and the list of tensors.
#[derive(Debug)]
pub struct TensorWriter {
    path: PathBuf,
    format: Format,
    before: Before,
    data: File,
    /// The bytes in `data`.
    position: u64,
    /// `offset` counts from the start of `data`.
    tensors: Vec<TensorInfo>,
    /// Indexes of tensors, sorted by name.
    order: Vec<u32>,
    buffer: Vec<u8>,
    /// The CRC-32 of `data`, which only APR files need.
    checksum: crc32fast::Hasher,
    /// A write failed, so that `data` is incomplete.
    failed: bool,
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn io_error(path: &Path, e: &std::io::Error) -> Error {
    Error::new(Status::Io, format!("writing {}: {e}", shortened_path(path)))
}

impl TensorWriter {
    /// Starts a file. `path` changes only when the file is finished.
    ///
    /// # Errors
    /// `Io` if the folder cannot be written to; `Argument` if the format cannot hold the metadata; `Memory`.
    pub fn create(path: &Path, format: Format, metadata: &Metadata) -> Result<Self> {
        if metadata.get(TYPES).is_some() {
            fail!(Argument, "the metadata have the key {TYPES}, which the library uses itself");
        }
        let before = match format {
            Format::Apr => Before::Apr(apr::metadata(metadata)?),
            Format::Safetensors => Before::Safetensors(safetensors::metadata(metadata)?),
            Format::Gguf => Before::Gguf(gguf::Keys::new(metadata)?),
        };
        let data = tempfile::tempfile_in(folder_of(path)).map_err(|e| io_error(path, &e))?;
        let (tensors, order) = (Vec::new(), Vec::new());
        let buffer = filled(VALUES * 4, 0, "a tensor writer")?;
        Ok(Self {
            path: path.into(),
            format,
            before,
            data,
            position: 0,
            tensors,
            order,
            buffer,
            checksum: crc32fast::Hasher::new(),
            failed: false,
        })
    }

    /// The number of tensors, and of the bytes that they take in the file, with the padding between them.
    pub fn counts(&self) -> (u64, u64) {
        (self.tensors.len() as u64, self.position)
    }

    /// The alignment of tensors.
    fn alignment(&self) -> u64 {
        match &self.before {
            Before::Apr(_) => super::tensors::apr::ALIGNMENT,
            Before::Safetensors(_) => 1,
            Before::Gguf(keys) => keys.alignment,
        }
    }

    /// Checks a tensor. Returns its place in the sorted list, and its description.
    fn check(&self, name: &str, dtype: DType, shape: &[u64]) -> Result<(usize, TensorInfo)> {
        let (short, format) = (shortened(name), self.format);
        if self.failed {
            fail!(State, "an earlier write failed, so that the file cannot be finished");
        }
        if name.contains('\0') || name.len() > format.longest_name() {
            fail!(
                Argument,
                "{short}: names in {} files have no zero byte and at most {} bytes",
                format.name(),
                format.longest_name()
            );
        }
        if format == Format::Safetensors && name == "__metadata__" {
            fail!(Argument, "{short}: safetensors files use this name for their metadata");
        }
        if !format.has(dtype) {
            fail!(Argument, "{short}: {} files have no type {}", format.name(), dtype.name());
        }
        if shape.len() > MAX_DIMENSIONS {
            fail!(Argument, "{short}: {} dimensions, at most {MAX_DIMENSIONS} are allowed", shape.len());
        }
        let bytes = match dtype.bytes(shape) {
            Ok(bytes) => bytes,
            Err(why) => fail!(Argument, "{short}: {why}; it is {shape:?} of {}", dtype.name()),
        };
        let tensor = |i: &u32| self.tensors[*i as usize].name.as_str();
        let Err(at) = self.order.binary_search_by(|i| tensor(i).cmp(name)) else {
            fail!(Argument, "{short}: a tensor of this name was added before");
        };
        if self.tensors.len() == MAX_TENSORS {
            fail!(Argument, "{short}: {MAX_TENSORS} tensors were added before, no more are allowed");
        }
        let (name, shape) = (owned(name)?, copied(shape, "a tensor writer")?);
        Ok((at, TensorInfo { name, dtype, shape, bytes, offset: self.position }))
    }

    /// Adds a tensor whose bytes `write` writes to the temporary file.
    fn append(
        &mut self,
        (at, tensor): (usize, TensorInfo),
        write: impl FnOnce(&mut Sink<'_>, &mut [u8]) -> Result<()>,
    ) -> Result<()> {
        grow(&mut self.tensors, 1, "a tensor writer")?;
        grow(&mut self.order, 1, "a tensor writer")?;
        let end = self.position + tensor.bytes;
        let padding = end.next_multiple_of(self.alignment()) - end;
        // Until all is written.
        self.failed = true;
        let checksum = (self.format == Format::Apr).then_some(&mut self.checksum);
        let mut sink = Sink { file: &self.data, checksum, path: &self.path };
        write(&mut sink, &mut self.buffer)?;
        sink.pad(padding)?;
        self.failed = false;
        self.position = end + padding;
        self.order.insert(at, self.tensors.len() as u32);
        self.tensors.push(tensor);
        Ok(())
    }

    /// Adds a tensor by its bytes, as the type stores them. They are not changed.
    ///
    /// # Errors
    /// `Argument`, and the writer is as before: the format lacks the type, `data` has not the length of the shape, the
    /// shape overflows, the name was added before or is too long. `Io` if the bytes cannot be written, for example to a
    /// full disk; then only dropping the writer is left. `State` after such an error. `Memory`.
    pub fn add(&mut self, name: &str, dtype: DType, shape: &[u64], data: &[u8]) -> Result<()> {
        let tensor = self.check(name, dtype, shape)?;
        if data.len() as u64 != tensor.1.bytes {
            let (found, needed) = (data.len(), tensor.1.bytes);
            fail!(Argument, "{}: {found} bytes, {shape:?} of {} has {needed}", shortened(name), dtype.name());
        }
        self.append(tensor, |sink, _| sink.write(data))
    }

    /// Adds a tensor by its values, which are converted to `dtype`.
    ///
    /// F16 and BF16 round to the nearest, halves to even. Q8 and Q4 are those of aprender; Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1
    /// those of the Python package `gguf`. The other types cannot be made from values.
    ///
    /// # Errors
    /// As [`TensorWriter::add`]; `Argument` also for a value that is not finite (but for F32, which takes any) or is too
    /// large for the type.
    pub fn add_f32(&mut self, name: &str, dtype: DType, shape: &[u64], values: &[f32]) -> Result<()> {
        let tensor = self.check(name, dtype, shape)?;
        if values.len() as u64 != tensor.1.values() {
            fail!(Argument, "{}: {} values, {shape:?} has {}", shortened(name), values.len(), tensor.1.values());
        }
        if !can_encode(dtype) {
            fail!(Argument, "{}: values cannot be converted to {}", shortened(name), dtype.name());
        }
        if dtype != DType::F32
            && let Some(i) = values.iter().position(|x| !x.is_finite())
        {
            fail!(Argument, "{}: value {i} is {}, which {} cannot hold", shortened(name), values[i], dtype.name());
        }
        let scale = q8_scale(largest(values));
        let (n, size) = dtype.block();
        let convert = |values: &[f32], buffer: &mut [u8]| match encode(dtype, values, scale, buffer) {
            Ok(()) => Ok(()),
            Err(x) => fail!(Argument, "{}: {x} is too large for {}", shortened(name), dtype.name()),
        };
        // All values are converted before the first is written, so that an error changes nothing.
        let can_overflow = !matches!(dtype, DType::F32 | DType::Q8);
        for part in values.chunks(VALUES).filter(|_| can_overflow) {
            convert(part, &mut self.buffer[..part.len().div_ceil(n) * size])?;
        }
        self.append(tensor, |sink, buffer| {
            if dtype == DType::Q8 && !values.is_empty() {
                sink.write(&scale.to_le_bytes())?;
            }
            for part in values.chunks(VALUES) {
                let bytes = &mut buffer[..part.len().div_ceil(n) * size];
                convert(part, bytes)?;
                sink.write(bytes)?;
            }
            Ok(())
        })
    }

    /// Writes the file and renames it to its path.
    ///
    /// # Errors
    /// `Io`; `State` if an earlier write failed; `Argument` if the list of tensors is too long for the format; `Memory`.
    /// After an error, nothing is left behind, and an older file at the path is unchanged.
    pub fn finish(self) -> Result<()> {
        if self.failed {
            fail!(State, "an earlier write failed, so that the file cannot be finished");
        }
        let io = |e: std::io::Error| io_error(&self.path, &e);
        let (head, order) = match &self.before {
            Before::Apr(json) => (apr::head(json, &self.tensors, &self.order)?, None),
            Before::Gguf(keys) => (keys.head(&self.tensors)?, None),
            Before::Safetensors(json) => {
                let (head, order) = safetensors::head(json, &self.tensors)?;
                (head, Some(order))
            }
        };
        let folder = folder_of(&self.path);
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder).map_err(io)?;
        self.copy(&head, order.as_deref(), file.as_file_mut())?;
        file.as_file().sync_all().map_err(io)?;
        file.persist(&self.path).map_err(|e| io(e.error))?;
        #[cfg(unix)]
        File::open(folder).and_then(|f| f.sync_all()).map_err(io)?;
        Ok(())
    }

    /// Writes the head and the bytes of the tensors, in the order of `order` if it is given, and what follows them.
    fn copy(&self, head: &[u8], order: Option<&[u32]>, out: &mut File) -> Result<()> {
        let io = |e: std::io::Error| io_error(&self.path, &e);
        out.write_all(head).map_err(io)?;
        let mut data = &self.data;
        let mut part = |from: u64, len: u64| {
            data.seek(SeekFrom::Start(from)).map_err(io)?;
            // On Linux, the kernel copies.
            match std::io::copy(&mut data.take(len), out).map_err(io)? {
                n if n == len => Ok(()),
                n => fail!(Io, "writing {}: {n} of {len} bytes came back", shortened_path(&self.path)),
            }
        };
        match order {
            None => part(0, self.position)?,
            Some(order) => {
                order.iter().map(|i| &self.tensors[*i as usize]).try_for_each(|t| part(t.offset, t.bytes))?
            }
        }
        if self.format == Format::Apr {
            let mut checksum = crc32fast::Hasher::new();
            checksum.update(head);
            checksum.combine(&self.checksum);
            out.write_all(&checksum.finalize().to_le_bytes()).map_err(io)?;
        }
        Ok(())
    }
}

/// The temporary file under way: what is written to it counts in the checksum.
struct Sink<'w> {
    file: &'w File,
    checksum: Option<&'w mut crc32fast::Hasher>,
    path: &'w Path,
}

impl Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(checksum) = &mut self.checksum {
            checksum.update(bytes);
        }
        self.file.write_all(bytes).map_err(|e| io_error(self.path, &e))
    }

    fn pad(&mut self, mut n: u64) -> Result<()> {
        const ZEROS: [u8; 256] = [0; 256];
        while n > 0 {
            let now = n.min(ZEROS.len() as u64);
            self.write(&ZEROS[..now as usize])?;
            n -= now;
        }
        Ok(())
    }
}
