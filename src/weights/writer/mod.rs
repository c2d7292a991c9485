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

use super::dtype::{DType, MAX_DIMENSIONS, SCALES};
use super::header::MAX_TENSORS;
use super::metadata::{Metadata, owned, push_text};
use super::metadata_json::TYPES;
use super::quantise::{encode, encode_row, largest, q8_scale};
use super::tensors::TensorInfo;
use crate::error::{Error, Result, Status, fail, shortened, shortened_path};
use crate::numeric::buffer::{copied, filled, grow};
use crate::numeric::matmul::row_scale;

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

/// The most bytes that are written or copied at a time. For larger writes, kernels look for larger pages: measured on
/// Linux 6.18 (ext4, a virtual machine), 16 MiB at a time took up to ten times as long as pieces of at most 1 MiB.
const PIECE: usize = 1 << 20;
/// After so many bytes of the final file, the system starts to write them to the disk.
const STARTED: u64 = 8 << 20;

/// A file under way.
///
/// Its bytes are in an unnamed temporary file in the destination's folder, which the system removes when the writer is
/// dropped, whatever happens. [`TensorWriter::finish`] writes the file under a temporary name, syncs it, and renames it.
/// Memory does not depend on the sizes of tensors: 64 KiB (while it is finished, at most 1 MiB more), the metadata, and
/// the list of tensors.
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

    /// The place of a tensor of this name in the sorted list, or that of the one that has it already.
    fn place(&self, name: &str) -> std::result::Result<usize, usize> {
        self.order.binary_search_by(|i| self.tensors[*i as usize].name.as_str().cmp(name))
    }

    /// Checks a tensor. Returns its description, as yet without its offset.
    fn check(&self, name: &str, dtype: DType, shape: &[u64]) -> Result<TensorInfo> {
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
        if self.place(name).is_ok() {
            fail!(Argument, "{short}: a tensor of this name was added before");
        }
        if self.tensors.len() == MAX_TENSORS {
            fail!(Argument, "{short}: {MAX_TENSORS} tensors were added before, no more are allowed");
        }
        let (name, shape) = (owned(name)?, copied(shape, "a tensor writer")?);
        Ok(TensorInfo { name, dtype, shape, bytes, offset: 0 })
    }

    /// Takes the memory for the descriptions of `n` more tensors.
    fn make_room(&mut self, n: usize) -> Result<()> {
        grow(&mut self.tensors, n, "a tensor writer")?;
        grow(&mut self.order, n, "a tensor writer")
    }

    /// Adds a tensor that was checked, and whose bytes `write` writes to the temporary file.
    fn append(
        &mut self,
        mut tensor: TensorInfo,
        write: impl FnOnce(&mut Sink<'_>, &mut [u8]) -> Result<()>,
    ) -> Result<()> {
        self.make_room(1)?;
        tensor.offset = self.position;
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
        let (Ok(at) | Err(at)) = self.place(&tensor.name);
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
        if data.len() as u64 != tensor.bytes {
            let (found, needed) = (data.len(), tensor.bytes);
            fail!(Argument, "{}: {found} bytes, {shape:?} of {} has {needed}", shortened(name), dtype.name());
        }
        self.append(tensor, |sink, _| sink.write(data))
    }

    /// Adds a tensor by its values, which are converted to `dtype`.
    ///
    /// F16 and BF16 round to the nearest, halves to even. Q8 and Q4 are those of aprender; Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1
    /// those of the Python package `gguf`; Q4_K, Q5_K and Q6_K those of llama.cpp without an importance matrix. I8 adds a
    /// second tensor, `NAME.scale`: of each row, where the first dimension counts rows, its largest magnitude / 127.
    ///
    /// # Errors
    /// As [`TensorWriter::add`]; `Argument` also for a value that is not finite (but for F32, which takes any) or is too
    /// large for the type, and for I8 if a tensor of the scales' name was added before, or rows have no values.
    pub fn add_f32(&mut self, name: &str, dtype: DType, shape: &[u64], values: &[f32]) -> Result<()> {
        let tensor = self.check(name, dtype, shape)?;
        if values.len() as u64 != tensor.values() {
            fail!(Argument, "{}: {} values, {shape:?} has {}", shortened(name), values.len(), tensor.values());
        }
        if dtype != DType::F32
            && let Some(i) = values.iter().position(|x| !x.is_finite())
        {
            fail!(Argument, "{}: value {i} is {}, which {} cannot hold", shortened(name), values[i], dtype.name());
        }
        if dtype == DType::I8 {
            return self.add_rows(tensor, values);
        }
        let most = largest(values);
        let scale = q8_scale(most);
        let (n, size) = dtype.block();
        let convert = |values: &[f32], buffer: &mut [u8]| match encode(dtype, values, scale, buffer) {
            Ok(()) => Ok(()),
            Err(x) => fail!(Argument, "{}: {x} is too large for {}", shortened(name), dtype.name()),
        };
        // Values that may be too large are all converted before the first is written, so that an error changes nothing.
        // What f16 can hold is not too large for any type.
        let can_overflow = most > half::f16::MAX.to_f32() && !matches!(dtype, DType::F32 | DType::Q8);
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

    /// Adds values as integers, and the scale of each row as another tensor.
    fn add_rows(&mut self, tensor: TensorInfo, values: &[f32]) -> Result<()> {
        let rows = tensor.shape.first().copied().unwrap_or(1);
        let short = shortened(&tensor.name);
        if values.is_empty() && rows > 0 {
            fail!(Argument, "{short}: its {rows} rows have no values, and so no scales");
        }
        let mut name = String::new();
        push_text(&mut name, &tensor.name)?;
        push_text(&mut name, SCALES)?;
        let scales = self.check(&name, DType::F32, &[rows])?;
        if self.tensors.len() + 2 > MAX_TENSORS {
            fail!(Argument, "{short}: there is no room for its scales beside {MAX_TENSORS} tensors");
        }
        self.make_room(2)?;
        // A row has at least one value, so that `rows` is an index.
        let width = values.len().checked_div(rows as usize).unwrap_or(1);
        let row = |i: usize| &values[i * width..][..width];
        self.append(tensor, |sink, buffer| {
            let mut filled = 0;
            for row in (0..rows as usize).map(row) {
                let scale = row_scale(row);
                for part in row.chunks(VALUES) {
                    if filled + part.len() > buffer.len() {
                        sink.write(&buffer[..filled])?;
                        filled = 0;
                    }
                    encode_row(part, scale, &mut buffer[filled..filled + part.len()]);
                    filled += part.len();
                }
            }
            sink.write(&buffer[..filled])
        })?;
        self.append(scales, |sink, buffer| {
            for first in (0..rows as usize).step_by(VALUES) {
                let n = (rows as usize - first).min(VALUES);
                for (i, to) in buffer.as_chunks_mut::<4>().0[..n].iter_mut().enumerate() {
                    *to = row_scale(row(first + i)).to_le_bytes();
                }
                sink.write(&buffer[..4 * n])?;
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
        let (mut started, mut end_of_out) = (0, head.len() as u64);
        let mut buffer = filled(self.position.min(PIECE as u64) as usize, 0u8, "a tensor writer")?;
        // Faster than `std::io::copy`, with which Linux copies page by page.
        let mut part = |mut from: u64, len: u64| {
            data.seek(SeekFrom::Start(from)).map_err(io)?;
            let end = from + len;
            while from < end {
                let now = &mut buffer[..(end - from).min(PIECE as u64) as usize];
                data.read_exact(now).map_err(io)?;
                out.write_all(now).map_err(io)?;
                drop_copied(data, from, now.len() as u64);
                from += now.len() as u64;
                end_of_out += now.len() as u64;
                if end_of_out - started >= STARTED {
                    start_writing(out, started, end_of_out - started);
                    started = end_of_out;
                }
            }
            Ok(())
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

/// Gives back the space of bytes that were copied, so that the disk never holds all of them twice. Without it, or where
/// the file system cannot do it, the space is given back when the writer is dropped.
fn drop_copied(data: &File, from: u64, len: u64) {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        let _ = fallocate(data, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, from, len);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (data, from, len);
}

/// Starts to write a part of a file to the disk, so that the disk does not wait for the sync at the end. It is a hint.
fn start_writing(file: &File, from: u64, len: u64) {
    #[cfg(target_os = "linux")]
    {
        // Linux writes what is not yet written before it can drop it, and does not wait.
        let _ = rustix::fs::fadvise(file, from, std::num::NonZeroU64::new(len), rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, from, len);
}

/// The temporary file under way: what is written to it counts in the checksum.
struct Sink<'w> {
    file: &'w File,
    checksum: Option<&'w mut crc32fast::Hasher>,
    path: &'w Path,
}

impl Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(PIECE) {
            if let Some(checksum) = &mut self.checksum {
                checksum.update(piece);
            }
            self.file.write_all(piece).map_err(|e| io_error(self.path, &e))?;
        }
        Ok(())
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
