//! Tensor files: writing.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Mutex, MutexGuard, TryLockError};

use super::buffers::input;
use super::guard::{call, call_without_memory, with_out};
use super::model::native_path;
use super::object::{Opaque, hand_out, object, release};
use super::status::gptz_status;
use super::tensors::SKIPPED;
use crate::error::{Error, Result, Status, fail};
use crate::weights::dtype::MAX_DIMENSIONS;
use crate::weights::{DType, Format, Metadata, TensorWriter};

/// Tensor file format: APR version 2.
pub const GPTZ_TENSORS_APR: c_int = 1;
/// Tensor file format: safetensors.
pub const GPTZ_TENSORS_SAFETENSORS: c_int = 2;
/// Tensor file format: GGUF version 3.
pub const GPTZ_TENSORS_GGUF: c_int = 3;

const _: () = assert!(
    GPTZ_TENSORS_APR == Format::Apr as c_int
        && GPTZ_TENSORS_SAFETENSORS == Format::Safetensors as c_int
        && GPTZ_TENSORS_GGUF == Format::Gguf as c_int
);

/// A tensor file under way. A writer serves one call at a time and may move between threads.
pub struct gptz_tensor_writer {
    _opaque: [u8; 0],
}

impl Opaque for gptz_tensor_writer {
    /// `None` once it is finished.
    type Value = Mutex<Option<TensorWriter>>;
    const TAG: u64 = u64::from_ne_bytes(*b"gptz-tnw");
    const NAME: &'static str = "tensor writer";
}

/// The writer of a pointer, while no other call uses it.
///
/// # Safety
/// As [`object`].
unsafe fn lock<'a>(writer: *const gptz_tensor_writer) -> Result<MutexGuard<'a, Option<TensorWriter>>> {
    // SAFETY: the caller's promise.
    match unsafe { object(writer) }?.try_lock() {
        Ok(writer) => Ok(writer),
        Err(TryLockError::WouldBlock) => fail!(Busy, "the tensor writer is in another call"),
        Err(TryLockError::Poisoned(_)) => {
            fail!(Internal, "an earlier call on the tensor writer found a defect of gptz")
        }
    }
}

/// The error of a call on a writer that is finished.
fn finished() -> Error {
    Error::new(Status::State, "the tensor writer is finished")
}

/// A name, a type and a shape of the caller.
///
/// # Safety
/// `name` is NULL or a string that does not change during `'a`; `shape` has `dims` dimensions.
unsafe fn described<'a>(
    name: *const c_char,
    dtype: c_int,
    shape: *const u64,
    dims: usize,
) -> Result<(&'a str, DType, [u64; MAX_DIMENSIONS])> {
    if name.is_null() {
        fail!(Argument, "name is NULL");
    }
    // SAFETY: a string, by the caller's promise.
    let Ok(name) = unsafe { CStr::from_ptr(name) }.to_str() else { fail!(Argument, "name is not UTF-8") };
    let Some(dtype) = DType::from_number(dtype) else { fail!(Argument, "the type {dtype} does not exist") };
    if dims > MAX_DIMENSIONS {
        fail!(Argument, "{dims} dimensions, at most {MAX_DIMENSIONS} are allowed");
    }
    if shape.is_null() && dims > 0 {
        fail!(Argument, "shape is NULL with {dims} dimensions");
    }
    let mut copy = [0; MAX_DIMENSIONS];
    for (i, to) in copy[..dims].iter_mut().enumerate() {
        // SAFETY: `shape` has `dims` dimensions, by the caller's promise. Unaligned, for C programs may pack their structs.
        *to = unsafe { shape.add(i).read_unaligned() };
    }
    Ok((name, dtype, copy))
}

/// Starts a tensor file in `format`, one of GPTZ_TENSORS_... . `path` is as in gptz_model_open. `metadata_json` is JSON
/// as gptz_tensor_reader_metadata gives it, or NULL for none; its key gptz.skipped is ignored.
///
/// Tensors go to an unnamed temporary file in the folder of `path`. gptz_tensor_writer_finish makes the file. Until then
/// nothing is at `path`, or what was there before.
///
/// All types of metadata come back from all three formats, with one exception: values of the type json become strings
/// in GGUF files. Where a format does not show a type, the file has the key gptz.types.
///
/// On success `*out` is the writer; free it with gptz_tensor_writer_free. On failure `*out` is NULL.
///
/// Errors: GPTZ_ERROR_ARGUMENT also for a format that does not exist, and for metadata that are malformed or do not fit
/// the format (the message has the key). GPTZ_ERROR_IO if the folder cannot be written to. GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_tensor_writer_open(
    path: *const c_char,
    format: c_int,
    metadata_json: *const c_char,
    out: *mut *mut gptz_tensor_writer,
) -> gptz_status {
    let body = || {
        if path.is_null() {
            fail!(Argument, "path is NULL");
        }
        let Some(format) = Format::from_number(format) else { fail!(Argument, "the format {format} does not exist") };
        // SAFETY: a string, as the header asks.
        let path = native_path(unsafe { CStr::from_ptr(path) })?;
        let mut metadata = Metadata::default();
        if !metadata_json.is_null() {
            // SAFETY: a string, as the header asks.
            let json = unsafe { CStr::from_ptr(metadata_json) };
            let as_argument = |e: Error| match e.status() {
                Status::Model => Error::new(Status::Argument, e.message()),
                _ => e,
            };
            metadata = Metadata::from_json(json.to_bytes()).map_err(as_argument)?;
            metadata.remove(SKIPPED);
        }
        hand_out(Mutex::new(Some(TensorWriter::create(&path, format, &metadata)?)))
    };
    // SAFETY: `out` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", body) }
}

/// Adds a tensor by its bytes, as the type `dtype` (one of GPTZ_DTYPE_...) stores them. `name` is a string in UTF-8.
/// `shape` has `dims` dimensions, at most 8, the outermost first.
///
/// APR files have the types F32, F16, BF16, I8, Q8, Q4, Q4_K and Q6_K, and names of at most 256 bytes; safetensors files
/// F32, F16, BF16 and I8; GGUF files all but Q8 and Q4.
///
/// Errors: GPTZ_ERROR_ARGUMENT also for a type that the format does not have, a shape that overflows or is not a whole
/// number of blocks, a `len` that does not fit the shape, and a name that was added before; the writer is then as it was.
/// GPTZ_ERROR_IO if the bytes cannot be written, for example to a full disk; the writer can then only be freed, and other
/// calls return GPTZ_ERROR_STATE, as they do after gptz_tensor_writer_finish. GPTZ_ERROR_BUSY, GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_tensor_writer_add(
    writer: *mut gptz_tensor_writer,
    name: *const c_char,
    dtype: c_int,
    shape: *const u64,
    dims: usize,
    data: *const c_void,
    len: usize,
) -> gptz_status {
    call(|| {
        // SAFETY: a writer or NULL, as the header asks.
        let mut writer = unsafe { lock(writer) }?;
        // SAFETY: a string and a shape of `dims` dimensions, as the header asks.
        let (name, dtype, shape) = unsafe { described(name, dtype, shape, dims) }?;
        // SAFETY: `data` has `len` bytes, as the header asks.
        let data = unsafe { input(data, len, "the data") }?;
        writer.as_mut().ok_or_else(finished)?.add(name, dtype, &shape[..dims], data)
    })
}

/// Adds a tensor by its `n` values, which are converted to `dtype`. In all other respects the call does what
/// gptz_tensor_writer_add does.
///
/// F16 and BF16 round to the nearest number, halves to even. Q8 and Q4 are converted as the library aprender converts
/// them; Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 as the Python package gguf does; Q4_K, Q5_K and Q6_K as llama.cpp does without an
/// importance matrix. I8 adds two tensors: the values of each row, where the first dimension counts rows, divided by the
/// row's scale and rounded; and the F32 tensor NAME.scale with the scales, the largest magnitude of each row / 127.
///
/// Errors: GPTZ_ERROR_ARGUMENT also for a value that is too large for the type or, except for F32, is not finite; for I8,
/// if NAME.scale was added before or rows have no values; and if `data` is not aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_tensor_writer_add_f32(
    writer: *mut gptz_tensor_writer,
    name: *const c_char,
    dtype: c_int,
    shape: *const u64,
    dims: usize,
    data: *const f32,
    n: usize,
) -> gptz_status {
    call(|| {
        // SAFETY: a writer or NULL, as the header asks.
        let mut writer = unsafe { lock(writer) }?;
        // SAFETY: a string and a shape of `dims` dimensions, as the header asks.
        let (name, dtype, shape) = unsafe { described(name, dtype, shape, dims) }?;
        if n > 0 && (data.is_null() || !data.is_aligned() || n > isize::MAX as usize / size_of::<f32>()) {
            fail!(Argument, "data is not an aligned array of {n} floats");
        }
        // SAFETY: `data` has `n` floats, as the header asks, and is aligned.
        let values = if n == 0 { &[][..] } else { unsafe { std::slice::from_raw_parts(data, n) } };
        writer.as_mut().ok_or_else(finished)?.add_f32(name, dtype, &shape[..dims], values)
    })
}

/// Gets the number of tensors that were added, and of the bytes that they take with the padding between them. `tensors`
/// or `bytes` may be NULL. On failure both are 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_tensor_writer_counts(
    writer: *const gptz_tensor_writer,
    tensors: *mut u64,
    bytes: *mut u64,
) -> gptz_status {
    let write = |counts: (u64, u64)| {
        for (to, n) in [(tensors, counts.0), (bytes, counts.1)] {
            if !to.is_null() {
                // SAFETY: the caller's to write, as the header asks. Unaligned, for C programs may pack their structs.
                unsafe { to.write_unaligned(n) };
            }
        }
    };
    write((0, 0));
    call(|| {
        // SAFETY: a writer or NULL, as the header asks.
        let writer = unsafe { lock(writer) }?;
        write(writer.as_ref().ok_or_else(finished)?.counts());
        Ok(())
    })
}

/// Finishes the file: writes it under a temporary name in its folder, syncs it and renames it to its path. The writer
/// can then only be freed, also after a failure, which leaves nothing behind.
///
/// Errors: GPTZ_ERROR_IO, GPTZ_ERROR_STATE if an earlier write failed or the writer is finished, GPTZ_ERROR_BUSY,
/// GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_tensor_writer_finish(writer: *mut gptz_tensor_writer) -> gptz_status {
    call(|| {
        // SAFETY: a writer or NULL, as the header asks.
        let mut writer = unsafe { lock(writer) }?;
        writer.take().ok_or_else(finished)?.finish()
    })
}

/// Frees a writer. A file that was not finished is dropped, and nothing of it is left behind. NULL is allowed and does
/// nothing. If `writer` points to another object, the call frees nothing, and gptz_last_error returns the reason.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_tensor_writer_free(writer: *mut gptz_tensor_writer) {
    if !writer.is_null() {
        // SAFETY: a writer, as the header asks. The caller frees it after all calls that use it have returned.
        call_without_memory(|| unsafe { release(writer) });
    }
}
