//! Weights that handles share.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use super::guard::{Opaque, call, hand_out, input, object, release, with_out};
use super::status::gptz_status;
use crate::error::{Result, fail};
use crate::model::file::Model;
use crate::numeric::buffer::copied;

/// Weights: immutable, checked when they are opened, shared by as many handles and threads as there are. What a handle
/// needs of them it keeps alive by itself: models and handles are freed in any order.
pub struct gptz_model {
    _opaque: [u8; 0],
}

impl Opaque for gptz_model {
    type Value = Model;
    const TAG: u64 = u64::from_ne_bytes(*b"gptz-mdl");
    const NAME: &'static str = "model";
}

/// Opens a weights file: RWKV-7 over bytes (a vocabulary of 256) in the safetensors format, F32, F16 or BF16, under the
/// tensor names of flash-linear-attention. The file is read whole and may change or go afterwards.
///
/// On success `*out` is the model, to be freed with gptz_model_free. On failure it is NULL: GPTZ_ERROR_IO,
/// GPTZ_ERROR_MODEL (the message names the tensor, what was found and what is needed), GPTZ_ERROR_MEMORY,
/// GPTZ_ERROR_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_model_open(path: *const c_char, out: *mut *mut gptz_model) -> gptz_status {
    let body = || {
        if path.is_null() {
            fail!(Argument, "path is NULL");
        }
        // SAFETY: a string, as the header asks.
        let path = native_path(unsafe { CStr::from_ptr(path) })?;
        hand_out(Model::open(&path)?)
    };
    // SAFETY: `out` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", body) }
}

/// A path as the system spells it: any bytes on Unix, UTF-8 elsewhere.
fn native_path(path: &CStr) -> Result<std::path::PathBuf> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        Ok(std::ffi::OsStr::from_bytes(path.to_bytes()).into())
    }
    #[cfg(not(unix))]
    match path.to_str() {
        Ok(text) => Ok(text.into()),
        Err(_) => fail!(Argument, "path is not UTF-8"),
    }
}

/// As gptz_model_open, from the `len` bytes of a file that is in memory. They are copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_model_from_memory(
    data: *const c_void,
    len: usize,
    out: *mut *mut gptz_model,
) -> gptz_status {
    let body = || {
        // SAFETY: `data` holds `len` bytes, as the header asks.
        let bytes = unsafe { input(data, len, "the data") }?;
        hand_out(Model::from_bytes(copied(bytes, "a weights file")?)?)
    };
    // SAFETY: `out` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", body) }
}

/// What identifies the weights: 32 bytes, a SHA-256 over all tensors' names and values (not over the file: dtype and
/// layout do not count where the values are equal). Equal fingerprints, equal predictions. Frames carry the first 8
/// bytes. `out` has room for 32 bytes; on failure it, unless NULL, is all 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_model_fingerprint(model: *const gptz_model, out: *mut u8) -> gptz_status {
    // SAFETY: a model or NULL, as the header asks.
    let body = || Ok(*unsafe { object(model) }?.fingerprint());
    // SAFETY: `out` is NULL or has room for 32 bytes, as the header asks.
    unsafe { with_out(out.cast::<[u8; 32]>(), [0; 32], "out", body) }
}

/// Frees a model. NULL is allowed; what is no model is left alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_model_free(model: *mut gptz_model) {
    if !model.is_null() {
        // SAFETY: a model, as the header asks; calls that are given it do not outlive it.
        call(|| unsafe { release(model) });
    }
}
