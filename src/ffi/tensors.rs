//! Tensor files: reading.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use super::buffers::output;
use super::guard::{call, call_without_memory, with_bytes, with_out};
use super::model::native_path;
use super::object::{Opaque, hand_out, object, release};
use super::status::gptz_status;
use crate::error::{Error, Result, fail, out_of_memory, shortened};
use crate::numeric::buffer::grow;
use crate::numeric::reserve;
use crate::weights::metadata::{Array, Metadata, Texts, Value};
use crate::weights::{DType, TensorInfo, Tensors};

/// Tensor type: IEEE binary32.
pub const GPTZ_DTYPE_F32: c_int = 0;
/// Tensor type: IEEE binary16.
pub const GPTZ_DTYPE_F16: c_int = 1;
/// Tensor type: bfloat16, the upper half of a binary32.
pub const GPTZ_DTYPE_BF16: c_int = 2;
/// Tensor type of APR files: a float scale, then one signed byte for each value.
pub const GPTZ_DTYPE_Q8: c_int = 3;
/// Tensor type of APR files: blocks of 32 values of the whole tensor, an f16 scale and 16 bytes of 4-bit numbers.
pub const GPTZ_DTYPE_Q4: c_int = 4;
/// Tensor type of GGML and APR: Q4_K, blocks of 256 values in 144 bytes.
pub const GPTZ_DTYPE_Q4_K: c_int = 5;
/// Tensor type of GGML: Q8_0, blocks of 32 values in 34 bytes.
pub const GPTZ_DTYPE_Q8_0: c_int = 6;
/// Tensor type of GGML: Q4_0, blocks of 32 values in 18 bytes.
pub const GPTZ_DTYPE_Q4_0: c_int = 7;
/// Tensor type of GGML: Q4_1, blocks of 32 values in 20 bytes.
pub const GPTZ_DTYPE_Q4_1: c_int = 8;
/// Tensor type of GGML: Q5_0, blocks of 32 values in 22 bytes.
pub const GPTZ_DTYPE_Q5_0: c_int = 9;
/// Tensor type of GGML: Q5_1, blocks of 32 values in 24 bytes.
pub const GPTZ_DTYPE_Q5_1: c_int = 10;
/// Tensor type of GGML: Q5_K, blocks of 256 values in 176 bytes.
pub const GPTZ_DTYPE_Q5_K: c_int = 11;
/// Tensor type of GGML and APR: Q6_K, blocks of 256 values in 210 bytes.
pub const GPTZ_DTYPE_Q6_K: c_int = 12;
/// Tensor type: signed bytes. The F32 tensor NAME.scale has one factor for each row, where the first dimension counts
/// rows.
pub const GPTZ_DTYPE_I8: c_int = 13;

const _: () = assert!(
    GPTZ_DTYPE_F32 == DType::F32 as c_int
        && GPTZ_DTYPE_F16 == DType::F16 as c_int
        && GPTZ_DTYPE_BF16 == DType::BF16 as c_int
        && GPTZ_DTYPE_Q8 == DType::Q8 as c_int
        && GPTZ_DTYPE_Q4 == DType::Q4 as c_int
        && GPTZ_DTYPE_Q4_K == DType::Q4K as c_int
        && GPTZ_DTYPE_Q8_0 == DType::Q8_0 as c_int
        && GPTZ_DTYPE_Q4_0 == DType::Q4_0 as c_int
        && GPTZ_DTYPE_Q4_1 == DType::Q4_1 as c_int
        && GPTZ_DTYPE_Q5_0 == DType::Q5_0 as c_int
        && GPTZ_DTYPE_Q5_1 == DType::Q5_1 as c_int
        && GPTZ_DTYPE_Q5_K == DType::Q5K as c_int
        && GPTZ_DTYPE_Q6_K == DType::Q6K as c_int
        && GPTZ_DTYPE_I8 == DType::I8 as c_int
);

/// The key of the list of tensors that are left out, in the metadata that a reader gives.
pub(super) const SKIPPED: &str = "gptz.skipped";

/// An open tensor file: safetensors, GGUF (versions 2 and 3) or APR (version 2, not compressed, encrypted or sharded).
/// Any number of threads may use a reader at the same time.
pub struct gptz_tensor_reader {
    _opaque: [u8; 0],
}

/// A reader with the names as C has them.
pub struct Reader {
    tensors: Tensors,
    /// All names, each with a NUL.
    names: Vec<u8>,
    /// The start of each name.
    starts: Vec<usize>,
}

impl Opaque for gptz_tensor_reader {
    type Value = Reader;
    const TAG: u64 = u64::from_ne_bytes(*b"gptz-tnr");
    const NAME: &'static str = "tensor reader";
}

impl Reader {
    fn new(tensors: Tensors) -> Result<Self> {
        let (mut names, mut starts) = (Vec::new(), Vec::new());
        grow(&mut starts, tensors.len(), "the names of tensors")?;
        for i in 0..tensors.len() {
            let name = tensors.info(i).name.as_bytes();
            starts.push(names.len());
            grow(&mut names, name.len() + 1, "the names of tensors")?;
            names.extend_from_slice(name);
            names.push(0);
        }
        Ok(Self { tensors, names, starts })
    }

    /// The number and the description of the tensor of an index.
    fn tensor(&self, index: u64) -> Result<(usize, &TensorInfo)> {
        let n = self.tensors.len();
        match usize::try_from(index).ok().filter(|i| *i < n) {
            Some(i) => Ok((i, self.tensors.info(i))),
            None => fail!(Argument, "tensor {index}: the file has {n} tensors"),
        }
    }

    /// The typed metadata as JSON.
    fn metadata(&self) -> Result<String> {
        if self.tensors.skipped().is_empty() {
            return self.tensors.metadata().to_json();
        }
        let mut names = Texts::default();
        self.tensors.skipped().iter().try_for_each(|skipped| names.push(&skipped.name))?;
        let mut more = Metadata::default();
        more.push(SKIPPED, Value::Array(Array::Text(names)))?;
        let (mut json, more) = (self.tensors.metadata().to_json()?, more.to_json()?);
        if json == "{}" {
            return Ok(more);
        }
        json.try_reserve(more.len()).map_err(|_| out_of_memory(more.len(), "the metadata of a tensor file"))?;
        json.pop();
        json.push(',');
        json.push_str(&more[1..]);
        Ok(json)
    }
}

/// Opens a tensor file, of whatever of the three formats. `path` is as in gptz_model_open.
///
/// The call reads and checks the metadata and the list of tensors. The tensors' bytes are read by the later calls; the
/// file is never mapped into memory. Tensors that inference does not need (those that predict several tokens ahead, and
/// tables that are computed) and tensors of types without a GPTZ_DTYPE_... are left out; the metadata list them.
///
/// On success `*out` is the reader; free it with gptz_tensor_reader_free. On failure `*out` is NULL.
///
/// Errors: GPTZ_ERROR_IO, GPTZ_ERROR_MODEL (the message says what was found and what was expected), GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_tensor_reader_open(
    path: *const c_char,
    out: *mut *mut gptz_tensor_reader,
) -> gptz_status {
    let body = || {
        if path.is_null() {
            fail!(Argument, "path is NULL");
        }
        // SAFETY: a string, as the header asks.
        let path = native_path(unsafe { CStr::from_ptr(path) })?;
        hand_out(Reader::new(Tensors::open(&path)?)?)
    };
    // SAFETY: `out` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", body) }
}

/// Gets the number of tensors. On failure `*n` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_tensor_reader_count(reader: *const gptz_tensor_reader, n: *mut u64) -> gptz_status {
    // SAFETY: a reader or NULL, as the header asks.
    let body = || Ok(unsafe { object(reader) }?.tensors.len() as u64);
    // SAFETY: `n` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(n, 0, "n", body) }
}

/// Gets the metadata of the file as JSON in UTF-8 with a final NUL. `json` has room for `cap` bytes. On success `*len` is
/// their number without the NUL.
///
/// Each value has its type: {"general.alignment":{"u32":32},"tokenizer.ggml.tokens":{"string":["a","b"]}}. The types are
/// u8, i8, u16, i16, u32, i32, u64, i64, f32, f64, bool, string, and json for values of APR files that no other type
/// holds. An array is a list. Numbers that are not finite are the strings "nan", "inf" and "-inf". If tensors are left
/// out, the key gptz.skipped has an array of their names. gptz_tensor_writer_open takes this JSON as it is.
///
/// Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if `cap` is less than what is needed; `*len` is then what is needed, with the NUL. To
/// ask for it, pass NULL and 0; the last message then does not change. GPTZ_ERROR_MEMORY. On every other failure `*len` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_tensor_reader_metadata(
    reader: *const gptz_tensor_reader,
    json: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> gptz_status {
    // SAFETY: a reader or NULL, as the header asks.
    let body = || Ok(unsafe { object(reader) }?.metadata()?.into_bytes());
    // SAFETY: `json` has room for `cap` bytes, and `len` is NULL or the caller's to write, as the header asks.
    unsafe { with_bytes((json.cast(), cap), b"\0", len, body) }
}

/// Gets the description of the tensor `index`, counted from 0 in the order of the file: its name in UTF-8, its type (one
/// of GPTZ_DTYPE_...), its `*dims` dimensions (at most 8) with the outermost first, and the number of its bytes. The
/// values of the last dimension are neighbours. The name and the shape stand until the reader is freed. An out-parameter
/// that is NULL is left out.
///
/// Errors: GPTZ_ERROR_ARGUMENT also if `index` is too large. On failure the out-parameters are NULL or 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_tensor_reader_info(
    reader: *const gptz_tensor_reader,
    index: u64,
    name: *mut *const c_char,
    dtype: *mut c_int,
    shape: *mut *const u64,
    dims: *mut usize,
    bytes: *mut u64,
) -> gptz_status {
    /// # Safety
    /// `to` is NULL or writable.
    unsafe fn put<T>(to: *mut T, value: T) {
        if !to.is_null() {
            // SAFETY: the caller's promise; unaligned, for C programs may pack their structs.
            unsafe { to.write_unaligned(value) };
        }
    }
    let write = |to: (*const c_char, c_int, *const u64, usize, u64)| {
        // SAFETY: each is NULL or the caller's to write, as the header asks.
        unsafe {
            put(name, to.0);
            put(dtype, to.1);
            put(shape, to.2);
            put(dims, to.3);
            put(bytes, to.4);
        }
    };
    write((ptr::null(), 0, ptr::null(), 0, 0));
    call(|| {
        // SAFETY: a reader or NULL, as the header asks.
        let reader = unsafe { object(reader) }?;
        let (i, tensor) = reader.tensor(index)?;
        reserve::check()?;
        let name = reader.names[reader.starts[i]..].as_ptr().cast();
        write((name, tensor.dtype as c_int, tensor.shape.as_ptr(), tensor.shape.len(), tensor.bytes));
        Ok(())
    })
}

/// Reads the bytes of the tensor `index` as they are in the file to `dst`, which has room for `cap` bytes.
///
/// Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if `cap` is less than the number of its bytes. GPTZ_ERROR_ARGUMENT also if `index`
/// is too large. GPTZ_ERROR_IO, also if the file has become shorter since it was opened.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_tensor_reader_read(
    reader: *const gptz_tensor_reader,
    index: u64,
    dst: *mut c_void,
    cap: usize,
) -> gptz_status {
    call(|| {
        // SAFETY: a reader or NULL, as the header asks.
        let reader = unsafe { object(reader) }?;
        let (i, tensor) = reader.tensor(index)?;
        // SAFETY: `dst` has room for `cap` bytes, as the header asks.
        let to = unsafe { output(dst, cap, "dst") }?;
        match usize::try_from(tensor.bytes).ok().and_then(|n| to.get_mut(..n)) {
            Some(to) => reader.tensors.read(i, to),
            None => Err(Error::buffer_too_small(cap, tensor.bytes).within(shortened(&tensor.name))),
        }
    })
}

/// Reads the values of the tensor `index` to `dst`, which has room for `n` floats. Quantised values are converted by the
/// arithmetic of the formats' own libraries; the result is the same on every machine. The call takes 256 KiB of memory.
///
/// Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if `n` is less than the number of values. GPTZ_ERROR_ARGUMENT also if `index` is
/// too large or `dst` is not aligned. GPTZ_ERROR_MODEL for a scale that is not finite, and for an I8 tensor without
/// scales. GPTZ_ERROR_IO, GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_tensor_reader_read_f32(
    reader: *const gptz_tensor_reader,
    index: u64,
    dst: *mut f32,
    n: usize,
) -> gptz_status {
    call(|| {
        // SAFETY: a reader or NULL, as the header asks.
        let reader = unsafe { object(reader) }?;
        let (i, tensor) = reader.tensor(index)?;
        if n as u64 >= tensor.values() && tensor.values() == 0 {
            return Ok(());
        }
        if dst.is_null() && n > 0 || !dst.is_aligned() || n > isize::MAX as usize / size_of::<f32>() {
            fail!(Argument, "dst is not an aligned array of {n} floats");
        }
        let Some(values) = usize::try_from(tensor.values()).ok().filter(|values| *values <= n) else {
            fail!(BufferTooSmall, "{}: {} values, dst has room for {n}", shortened(&tensor.name), tensor.values());
        };
        // SAFETY: `dst` has room for `n` floats, as the header asks, and is aligned.
        reader.tensors.read_f32(i, unsafe { std::slice::from_raw_parts_mut(dst, values) })
    })
}

/// Frees a reader. NULL is allowed and does nothing. If `reader` points to another object, the call frees nothing, and
/// gptz_last_error returns the reason.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_tensor_reader_free(reader: *mut gptz_tensor_reader) {
    if !reader.is_null() {
        // SAFETY: a reader, as the header asks. The caller frees it after all calls that use it have returned.
        call_without_memory(|| unsafe { release(reader) });
    }
}
