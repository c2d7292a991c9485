//! Handles: made, freed, asked and set.

use std::cell::UnsafeCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::buffers::input;
use super::guard::{call, caught, outside, with_out};
use super::model::gptz_model;
use super::object::{Opaque, hand_out, object, release};
use super::status::gptz_status;
use crate::container::Coder;
use crate::error::{Error, Result, Status, fail};
use crate::method::DEFAULT;
use crate::session::{Param, ProgressFn, Session};

/// A compressor, which is also a decompressor: a method, its base, its live state and its options.
///
/// Calls that compress, decompress or measure start from the base and leave it as it is: the same input gives the same
/// output, however often and in whatever order. gptz_feed, gptz_predict, gptz_reset and the snapshot calls act on the
/// live state, which starts as the base.
///
/// A handle may move between threads and serves one call at a time: a second one meanwhile, from another thread or from
/// the progress callback, gets GPTZ_ERROR_BUSY. Threads that work at the same time use a handle each; a model or a
/// snapshot may be shared by all of them.
pub struct gptz {
    _opaque: [u8; 0],
}

/// What is behind a handle.
pub(super) struct Handle {
    busy: AtomicBool,
    /// A call panicked: nothing in here is to be trusted.
    broken: AtomicBool,
    method: CString,
    inner: UnsafeCell<Inner>,
}

/// What a call has to itself.
pub(super) struct Inner {
    pub(super) session: Session,
    progress: gptz_progress_fn,
    userdata: *mut c_void,
}

impl Opaque for gptz {
    type Value = Handle;
    const TAG: u64 = u64::from_ne_bytes(*b"gptz-hdl");
    const NAME: &'static str = "handle";
}

/// Told how far a call is: `done` of `total` bytes of content. Anything but 0 asks the call to stop: it then answers
/// GPTZ_ERROR_CANCELLED and the handle is as it was before.
///
/// It is called on the thread of the call: at its start, at least every 256 bytes, at least about every 2^26
/// multiplications of the method (some ten milliseconds) or every byte if a byte takes more, and at its end. It may do anything
/// but use the same handle (GPTZ_ERROR_BUSY), throw a C++ exception through the library, or leave by longjmp. It runs in
/// C's default floating-point environment; changes to that end with it.
pub type gptz_progress_fn = Option<unsafe extern "C" fn(userdata: *mut c_void, done: u64, total: u64) -> c_int>;

/// Option: how symbols are coded, GPTZ_CODER_AC (default) or GPTZ_CODER_RANS.
pub const GPTZ_PARAM_CODER: c_int = 1;
/// Option: version of the frames written, 3 (default, self-describing, damage is located) or 2 (smaller by 12 bytes and
/// more, names no method, stores nothing: content that the method predicts worse than chance grows; with the range coder
/// it has no end of its own, so that nothing can follow it). Both are always read.
pub const GPTZ_PARAM_FORMAT: c_int = 2;
/// Option: 1 (default) puts CRC-32s of blocks and content into version 3 frames, 0 leaves them out.
pub const GPTZ_PARAM_CHECKSUM: c_int = 3;
/// Option: the most threads that a call may use, 0 for as many as there are cores. It never changes a result. This
/// version uses one, whatever is set.
pub const GPTZ_PARAM_THREADS: c_int = 4;
/// Option: lanes that share a pass over the weights. This version allows 1.
pub const GPTZ_PARAM_LANES: c_int = 5;
/// Option: binary logarithm of the block size, 12 to 24, 17 (128 KiB) by default. Damage is told by the block.
pub const GPTZ_PARAM_BLOCK_LOG: c_int = 6;
/// Option: binary logarithm of the segment size. This version allows 0, one segment.
pub const GPTZ_PARAM_SEGMENT_LOG: c_int = 7;
/// Option: how many bytes the network and all states of a handle may take, 1 GiB by default. Calls that would need
/// more answer GPTZ_ERROR_MEMORY. Weights that the caller opened are not counted. gptz_create itself builds no network of
/// more than 1 GiB, so there is use in lowering it only.
pub const GPTZ_PARAM_MEMORY_LIMIT: c_int = 8;

/// Option: the length in bytes of the check of each record (gptz_records_compress): 0 (default), 1, 2 or 4. It must be the
/// same on both sides. A check covers the content and the method, weights and base, so that damage and a wrong base are
/// detected, but for one in 256, 65536 or 4294967296 of them. Without checks a wrong base may give wrong content without an
/// error.
pub const GPTZ_PARAM_RECORD_CHECK: c_int = 10;
/// Option: the most multiplications that the method of frames and records may take for one byte, training included.
/// gptz_decompress and gptz_records_decompress answer GPTZ_ERROR_METHOD if the handle's method takes more. The default is
/// 2^27 (134217728, some ten milliseconds), or what the handle's method takes if that is more. gptz_create_for_frame
/// always uses 2^27.
pub const GPTZ_PARAM_WORK_LIMIT: c_int = 11;

/// Range coder: the smallest.
pub const GPTZ_CODER_AC: c_int = 0;
/// rANS: some 6 bytes more a block.
pub const GPTZ_CODER_RANS: c_int = 1;

const _: () = assert!(
    GPTZ_PARAM_CODER == Param::Coder as c_int
        && GPTZ_PARAM_FORMAT == Param::Format as c_int
        && GPTZ_PARAM_CHECKSUM == Param::Checksum as c_int
        && GPTZ_PARAM_THREADS == Param::Threads as c_int
        && GPTZ_PARAM_LANES == Param::Lanes as c_int
        && GPTZ_PARAM_BLOCK_LOG == Param::BlockLog as c_int
        && GPTZ_PARAM_SEGMENT_LOG == Param::SegmentLog as c_int
        && GPTZ_PARAM_MEMORY_LIMIT == Param::MemoryLimit as c_int
        && GPTZ_PARAM_RECORD_CHECK == Param::RecordCheck as c_int
        && GPTZ_PARAM_WORK_LIMIT == Param::WorkLimit as c_int
        && GPTZ_CODER_AC == Coder::Range as c_int
        && GPTZ_CODER_RANS == Coder::Rans as c_int
);

fn new_handle(session: Session) -> Result<*mut gptz> {
    let method = CString::new(session.identity().canonical.clone())
        .map_err(|_| Error::new(Status::Internal, "a method with a NUL"))?;
    let inner = UnsafeCell::new(Inner { session, progress: None, userdata: ptr::null_mut() });
    hand_out(Handle { busy: AtomicBool::new(false), broken: AtomicBool::new(false), method, inner })
}

/// The claim of a call on its handle; given back when dropped.
struct Claim<'a>(&'a Handle);

impl<'a> Claim<'a> {
    fn take(handle: &'a Handle) -> Result<Self> {
        if handle.busy.swap(true, Ordering::Acquire) {
            fail!(Busy, "the handle is in a call already");
        }
        let claim = Self(handle);
        if handle.broken.load(Ordering::Relaxed) {
            fail!(Internal, "the handle met a defect of gptz before; free it");
        }
        Ok(claim)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

/// Runs what has the handle to itself.
///
/// # Safety
/// As [`object`].
pub(super) unsafe fn on_handle<T>(handle: *const gptz, body: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
    // SAFETY: the caller's promise.
    let handle = unsafe { object(handle) }?;
    let _claim = Claim::take(handle)?;
    let result = caught(|| {
        // SAFETY: the claim is held: no other call has a reference into the cell.
        body(unsafe { &mut *handle.inner.get() })
    });
    if matches!(&result, Err(e) if e.status() == Status::Internal) {
        handle.broken.store(true, Ordering::Relaxed);
    }
    result
}

impl Inner {
    /// Runs a call of the session with the handle's progress callback.
    pub(super) fn with_progress<T>(
        &mut self,
        f: impl for<'p> FnOnce(&mut Session, Option<&'p mut ProgressFn<'p>>) -> Result<T>,
    ) -> Result<T> {
        let (progress, userdata) = (self.progress, self.userdata);
        let Some(progress) = progress else { return f(&mut self.session, None) };
        // SAFETY: the callback's contract, with the userdata that was given with it.
        let mut asked = move |done, total| outside(|| unsafe { progress(userdata, done, total) }) == 0;
        f(&mut self.session, Some(&mut asked))
    }
}

/// Makes a handle.
///
/// `method` names the predictor: a string such as "level:1" (fast) to "level:9" (small), "mix:mem=64M" (a mix of contexts,
/// repeats and words), "mix:neural=(builtin:1)" (with the network that the library carries among them),
/// "mix:neural=(gru:hidden=64)" (with one that learns from nothing else than the text),
/// "cfg:hidden=64,layers=1,train=adam,lr=0.002" (a network of that shape whose head learns), "file:model.safetensors"
/// (weights, frozen), or NULL for the default method, "level:5", a mix with the network that the library carries; where it
/// was built without, "level:3". README.md describes the strings. Both sides of a frame need the same method.
///
/// On success `*out` is the handle, to be freed with gptz_free. On failure it is NULL and the status is
/// GPTZ_ERROR_METHOD (also for a built-in model that the library was built without, and for a network that would take more
/// than 2^28 multiplications for each byte that it learns from),
/// GPTZ_ERROR_IO or GPTZ_ERROR_MODEL (a weights file), GPTZ_ERROR_MEMORY (also for a network of more than 1 GiB) or
/// GPTZ_ERROR_ARGUMENT. A path with a semicolon, or one that is not UTF-8, is for gptz_model_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_create(method: *const c_char, out: *mut *mut gptz) -> gptz_status {
    let body = || {
        // SAFETY: a string or NULL, as the header asks.
        let method = unsafe { text(method, "the method") }?.unwrap_or(DEFAULT);
        new_handle(Session::create(method)?)
    };
    // SAFETY: `out` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", body) }
}

/// A C string in UTF-8; nothing for NULL.
///
/// # Safety
/// `p` is NULL or points at a NUL-terminated string that does not change during `'a`.
unsafe fn text<'a>(p: *const c_char, what: &str) -> Result<Option<&'a str>> {
    if p.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    match unsafe { CStr::from_ptr(p) }.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(e) => fail!(Method, "{what} is not UTF-8: byte {}", e.valid_up_to()),
    }
}

/// Makes a handle for the method that the first frame of `src` names; only the frame's header needs to be there.
///
/// For frames that need nothing else: one that needs a weights file answers GPTZ_ERROR_MODEL, one that needs a base
/// GPTZ_ERROR_MISMATCH, a version 2 frame GPTZ_ERROR_METHOD, as do a method with a built-in model in a library that was
/// built without and a network of too much work. No path that an input names is ever opened. A method that
/// takes more than 256 MiB answers GPTZ_ERROR_MEMORY, one that takes more than 2^27 multiplications for a byte (some ten
/// milliseconds, GPTZ_PARAM_WORK_LIMIT's default) GPTZ_ERROR_METHOD: make such a handle with gptz_create. Within that, the
/// maker of the frame chooses how long a byte takes to decode: look at gptz_method, or set a progress callback.
/// Also: GPTZ_ERROR_FORMAT, GPTZ_ERROR_TRUNCATED, GPTZ_ERROR_CORRUPT, GPTZ_ERROR_NUMERICS. `*out` is then NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_create_for_frame(src: *const c_void, src_len: usize, out: *mut *mut gptz) -> gptz_status {
    let body = || {
        // SAFETY: `src` holds `src_len` bytes, as the header asks.
        let src = unsafe { input(src, src_len, "the source") }?;
        new_handle(Session::create_for_frame(src)?)
    };
    // SAFETY: `out` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", body) }
}

/// Makes a handle with weights that are open already. The model may be freed before the handle or after it.
///
/// `policy` is what may follow a base in a method string, such as "weights=f32", or NULL; or a whole mix, in which the
/// model is "(file:)": "mix:neural=(file:;head:lr=0.01),mem=16M". Handles of one model share
/// its weights. Frames of such a handle are decoded by every handle with the same weights and policy, whether they came
/// by gptz_create, from memory or from a file. On failure `*out` is NULL: GPTZ_ERROR_METHOD, GPTZ_ERROR_MEMORY,
/// GPTZ_ERROR_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_create_from_model(
    model: *const gptz_model,
    policy: *const c_char,
    out: *mut *mut gptz,
) -> gptz_status {
    let body = || {
        // SAFETY: a model and a string or NULL, as the header asks.
        let (model, policy) = unsafe { (object(model)?, text(policy, "the policy")?) };
        new_handle(Session::create_from_model(model, policy.unwrap_or_default())?)
    };
    // SAFETY: `out` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", body) }
}

/// Frees a handle. NULL is allowed. A handle that is in a call (from its own progress callback, say) is left alone, as
/// is what is no handle; gptz_last_error then tells.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_free(handle: *mut gptz) {
    if handle.is_null() {
        return;
    }
    call(|| {
        // SAFETY: a handle, as the header asks; claimed for good, so that no reference to it is left when it goes.
        unsafe {
            if object(handle.cast_const())?.busy.swap(true, Ordering::Acquire) {
                fail!(Busy, "a handle that is in a call cannot be freed");
            }
            release(handle)
        }
    });
}

/// The method's canonical string: every key that matters, in a fixed order. Handles of equal strings (and equal weights,
/// for "file:", whose path is left out) read each other's frames.
///
/// It belongs to the handle and stands until that is freed. NULL for what is no handle. Allowed while the handle is in a
/// call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_method(handle: *const gptz) -> *const c_char {
    let mut method = ptr::null();
    call(|| {
        // SAFETY: a handle or NULL, as the header asks; its method never changes.
        method = unsafe { object(handle) }?.method.as_ptr();
        Ok(())
    });
    method
}

/// Sets an option, one of GPTZ_PARAM_..., for all later calls. GPTZ_ERROR_ARGUMENT, and nothing changed, for an option
/// that does not exist or a value that is not allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_set(handle: *mut gptz, param: c_int, value: i64) -> gptz_status {
    // SAFETY: a handle or NULL, as the header asks.
    call(|| unsafe { on_handle(handle, |h| h.session.params_mut().set(Param::from_number(param)?, value)) })
}

/// Tells what an option is. On failure `*value` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_get(handle: *const gptz, param: c_int, value: *mut i64) -> gptz_status {
    // SAFETY: a handle or NULL, as the header asks.
    let body = || unsafe { on_handle(handle, |h| Ok(h.session.params().get(Param::from_number(param)?))) };
    // SAFETY: `value` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(value, 0, "value", body) }
}

/// Sets the callback that later calls on this handle report to, with a pointer of the caller's that is handed to it
/// unchanged; NULL for none. See gptz_progress_fn.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_set_progress(
    handle: *mut gptz,
    callback: gptz_progress_fn,
    userdata: *mut c_void,
) -> gptz_status {
    let body = |h: &mut Inner| {
        (h.progress, h.userdata) = (callback, userdata);
        Ok(())
    };
    // SAFETY: a handle or NULL, as the header asks.
    call(|| unsafe { on_handle(handle, body) })
}
