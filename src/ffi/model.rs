//! Weights that handles share.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::Arc;

use super::buffers::input;
use super::guard::{call, call_without_memory, with_out};
use super::object::{Opaque, hand_out, object, release};
use super::status::gptz_status;
use crate::error::{Result, fail};
use crate::model::builtin;
use crate::model::file::Model;
use crate::numeric::buffer::copied;

/// Weights: immutable, checked when they are opened, shared by as many handles and threads as there are. What a handle
/// needs of them it keeps alive by itself: models and handles are freed in any order.
pub struct gptz_model {
    _opaque: [u8; 0],
}

impl Opaque for gptz_model {
    type Value = Arc<Model>;
    const TAG: u64 = u64::from_ne_bytes(*b"gptz-mdl");
    const NAME: &'static str = "model";
}

/// Opens a weights file: RWKV-7 over bytes (a vocabulary of 256) in the safetensors format, under the tensor names of
/// flash-linear-attention; F32, F16, BF16, or I8 matrices with an F32 tensor NAME.scale that has a factor for each row.
/// The file is read whole and may change or go afterwards.
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
        hand_out(Arc::new(Model::open(&path)?))
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
        hand_out(Arc::new(Model::from_bytes(copied(bytes, "a weights file")?)?))
    };
    // SAFETY: `out` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", body) }
}

/// The newest of the models that the library carries, which the default method predicts with: to look at its fingerprint, or
/// to make handles of it with gptz_create_from_model. Frames of such a handle name the weights by their fingerprint, as
/// those of any model; a method that says "builtin:" names them itself, and its frames need nothing else.
///
/// To be freed with gptz_model_free; whoever asks while another has it shares its memory. NULL, and gptz_last_error
/// tells, where memory is short, or where the library was built without models. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_model_builtin() -> *mut gptz_model {
    let mut model = ptr::null_mut();
    call(|| {
        model = hand_out(builtin::open(builtin::NEWEST)?)?;
        Ok(())
    });
    model
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
        call_without_memory(|| unsafe { release(model) });
    }
}
