//! Models: weights that handles share.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use super::buffers::input;
use super::guard::{call, call_without_memory, with_out};
use super::object::{Opaque, hand_out, object, release};
use super::status::gptz_status;
use crate::error::{Result, fail};
use crate::model::builtin;
use crate::model::file::Model;
use crate::model::open::Opened;
use crate::numeric::buffer::copied;
use crate::text::Tokenizer;

/// The weights of a network. A model is immutable. It is checked when it is opened, and any number of handles and
/// threads may share it. A handle keeps the weights that it uses in memory, so models and handles may be freed in any
/// order.
pub struct gptz_model {
    _opaque: [u8; 0],
}

impl Opaque for gptz_model {
    type Value = Opened;
    const TAG: u64 = u64::from_ne_bytes(*b"gptz-mdl");
    const NAME: &'static str = "model";
}

/// Opens a weights file. `path` is a NUL-terminated string; on Unix it may be any bytes, elsewhere it must be UTF-8. The
/// file is one of two kinds:
///
/// - A byte-level RWKV-7 network (a vocabulary of 256): a safetensors file with the tensor names of
///   flash-linear-attention. Tensors are F32, F16, BF16, or I8 with an F32 tensor NAME.scale that has one factor for each
///   row. The whole file is read into memory. It may be changed or deleted after the call.
/// - A transformer: Gemma 1, 2 or 3 (text), or one of the LLaMA family. Either a GGUF file, whose metadata describe the
///   model and its vocabulary. Or a safetensors file with the names of HuggingFace, and the file config.json in the same
///   folder. Files without a vocabulary have it in tokenizer.json in the same folder; without that file the model has
///   no text, only tokens. Tensors may have any type that gptz_tensor_reader_read_f32 reads. The matrices are kept as
///   int8, so that the model takes a little more than a byte for each weight, whatever the file has. The file is read
///   again only by a generator with "weights=f32". Transformers generate text (gptz_generator_create).
///   gptz_create_from_model refuses them with GPTZ_ERROR_METHOD.
///
/// On success `*out` is the model; free it with gptz_model_free. On failure `*out` is NULL.
///
/// Errors: GPTZ_ERROR_IO, GPTZ_ERROR_MODEL (the message names the tensor or the key, what was found and what was
/// expected), GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_model_open(path: *const c_char, out: *mut *mut gptz_model) -> gptz_status {
    let body = || {
        if path.is_null() {
            fail!(Argument, "path is NULL");
        }
        // SAFETY: a string, as the header asks.
        let path = native_path(unsafe { CStr::from_ptr(path) })?;
        hand_out(Opened::open(&path)?)
    };
    // SAFETY: `out` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", body) }
}

/// A path: any bytes on Unix, UTF-8 elsewhere.
pub(super) fn native_path(path: &CStr) -> Result<std::path::PathBuf> {
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

/// Opens the weights file of a byte-level network whose `len` bytes are in memory at `data`. The bytes are copied. In all other respects the call
/// does what gptz_model_open does; GPTZ_ERROR_IO cannot occur.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_model_from_memory(
    data: *const c_void,
    len: usize,
    out: *mut *mut gptz_model,
) -> gptz_status {
    let body = || {
        // SAFETY: `data` holds `len` bytes, as the header asks.
        let bytes = unsafe { input(data, len, "the data") }?;
        hand_out(Opened::Bytes(Arc::new(Model::from_bytes(copied(bytes, "a weights file")?)?)))
    };
    // SAFETY: `out` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", body) }
}

/// Opens the newest model that the library carries, which the default method uses. Free it with gptz_model_free.
/// Callers that have it open at the same time share its memory.
///
/// Most programs do not need this call, because a method string can name the model ("builtin:1"), and a reader of the
/// frames then needs no other file. The call is for reading the model's fingerprint, and for creating handles with
/// gptz_create_from_model. The frames of such a handle contain the fingerprint, like those of any other model, so their
/// reader must have the model open.
///
/// Returns NULL on failure, and gptz_last_error describes it: either the library was built without models, or an
/// allocation failed. gptz_create with the method "builtin:1" returns the status that fits, GPTZ_ERROR_METHOD or
/// GPTZ_ERROR_MEMORY. To find out without opening a model whether the library carries models, look for "builtin:" in
/// the last level's method; see gptz_level_method.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_model_builtin() -> *mut gptz_model {
    let mut model = ptr::null_mut();
    call(|| {
        model = hand_out(Opened::Bytes(builtin::open(builtin::NEWEST)?))?;
        Ok(())
    });
    model
}

/// Writes the fingerprint of the weights to `out`, which has room for 32 bytes. The fingerprint is a SHA-256 of the
/// names and values of all tensors. It does not depend on the type and layout in which the file holds the values.
/// Models with equal fingerprints make equal predictions. A frame that needs weights from a file contains the first 8
/// bytes of their fingerprint.
///
/// On failure `out`, unless it is NULL, is all 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_model_fingerprint(model: *const gptz_model, out: *mut u8) -> gptz_status {
    // SAFETY: a model or NULL, as the header asks.
    let body = || Ok(*unsafe { object(model) }?.fingerprint());
    // SAFETY: `out` is NULL or has room for 32 bytes, as the header asks.
    unsafe { with_out(out.cast::<[u8; 32]>(), [0; 32], "out", body) }
}

/// What gptz_model_info tells: the number of tokens in the vocabulary; 256 for a byte-level network.
pub const GPTZ_MODEL_VOCABULARY: c_int = 1;
/// The longest context that the model was trained for, in tokens; 0 for a byte-level network, which has no limit.
pub const GPTZ_MODEL_CONTEXT: c_int = 2;
/// The number of weights.
pub const GPTZ_MODEL_PARAMETERS: c_int = 3;
/// The bytes of memory that the weights take: of a transformer as int8, of a byte-level network as its file has them.
pub const GPTZ_MODEL_BYTES: c_int = 4;
/// The token at the start of a text, or -1 if the model has none.
pub const GPTZ_MODEL_BOS: c_int = 5;
/// The token at the end of a text, or -1 if the model has none.
pub const GPTZ_MODEL_EOS: c_int = 6;

/// Reads a property of a model, `what`, one of GPTZ_MODEL_... , into `*value`. On failure `*value` is 0.
///
/// Errors: GPTZ_ERROR_ARGUMENT if there is no such property.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_model_info(model: *const gptz_model, what: c_int, value: *mut i64) -> gptz_status {
    let body = || {
        // SAFETY: a model or NULL, as the header asks.
        let model = unsafe { object(model) }?;
        let special = |token: fn(&Tokenizer) -> Option<u32>| {
            let tokenizer = model.tokenizer().ok().flatten();
            tokenizer.and_then(|t| token(t)).map_or(-1, i64::from)
        };
        Ok(match what {
            GPTZ_MODEL_VOCABULARY => model.vocabulary() as i64,
            GPTZ_MODEL_CONTEXT => model.context() as i64,
            GPTZ_MODEL_PARAMETERS => model.parameters() as i64,
            GPTZ_MODEL_BYTES => model.weight_bytes() as i64,
            GPTZ_MODEL_BOS => special(Tokenizer::bos),
            GPTZ_MODEL_EOS => special(Tokenizer::eos),
            _ => fail!(Argument, "what = {what}: no such property of a model"),
        })
    };
    // SAFETY: `value` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(value, 0, "value", body) }
}

/// Frees a model. NULL is allowed and does nothing. If `model` points to another object, the call frees nothing, and
/// gptz_last_error returns the reason.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_model_free(model: *mut gptz_model) {
    if !model.is_null() {
        // SAFETY: a model, as the header asks. The caller frees it after all calls that use it have returned.
        call_without_memory(|| unsafe { release(model) });
    }
}
