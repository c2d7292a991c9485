//! Handles: creating and freeing them, their method, options and callback.

use std::cell::UnsafeCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Instant;

use super::buffers::input;
use super::callback::{self, Call};
use super::guard::{call, call_without_memory, caught, outside, with_out};
use super::message;
use super::meter::LastCall;
use super::model::gptz_model;
use super::object::{Opaque, hand_out, object, object_if_any, release};
use super::status::{GPTZ_ERROR_BUSY, GPTZ_OK, gptz_status};
use crate::container::Coder;
use crate::error::{Error, Result, Status, fail};
use crate::method::{DEFAULT, available_level_method};
use crate::numeric::buffer::boxed;
use crate::session::{Param, ProgressFn, Session};
use crate::stream::{Compressor, Decompressor};

/// A compressor, which is also a decompressor. It has a method, a base, a live state and options.
///
/// The base is a state of the predictor. Calls that compress, decompress or measure start from the base and never
/// change it, so the same input gives the same output, whatever calls came before. The live state is a second state. It
/// starts as a copy of the base. gptz_feed, gptz_predict, gptz_reset, gptz_snapshot_take and gptz_snapshot_restore use
/// it.
///
/// Threads: a handle may move between threads and serves one call at a time. A second call, made by another thread or
/// by the progress callback, returns GPTZ_ERROR_BUSY and does nothing. This check finds mistakes; it is not a lock.
/// Threads that work at the same time need one handle each.
pub struct gptz {
    _opaque: [u8; 0],
}

/// The value of a handle. Readers of the handle share it.
pub(super) struct Handle {
    /// One of [`IDLE`], [`IN_CALL`] and [`IN_READER`].
    busy: AtomicU8,
    /// A call panicked, so the session may be inconsistent.
    broken: AtomicBool,
    method: CString,
    error: message::Shared,
    inner: UnsafeCell<Inner>,
}

/// The part of a handle that one call at a time may use.
pub(super) struct Inner {
    /// On the heap, because callers may have small stacks, and a handle is moved several times before it reaches the
    /// heap.
    pub(super) session: Box<Session>,
    progress: gptz_progress_fn,
    userdata: *mut c_void,
    pub(super) last: LastCall,
    pub(super) hold: Hold,
}

/// No call is running.
const IDLE: u8 = 0;
/// A call on the handle is running.
const IN_CALL: u8 = 1;
/// A call on a reader of the handle is running.
const IN_READER: u8 = 2;

/// What is under way on a handle between its calls.
#[derive(Default)]
pub(super) enum Hold {
    /// Nothing.
    #[default]
    Free,
    /// A frame of a stream was ended, and the next has not begun.
    Ended,
    /// A frame is being compressed as a stream.
    Compress(Box<Compressor>),
    /// A stream is being decompressed.
    Decompress(Box<Decompressor>),
    /// A reader is open.
    Reader,
}

impl Hold {
    /// Why other calls have to wait.
    pub(super) fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Free | Self::Ended => None,
            Self::Decompress(stream) if stream.is_between_frames() => None,
            Self::Compress(_) => Some("a frame is being compressed as a stream: end it, or reset the stream"),
            Self::Decompress(_) => Some("a stream is being decompressed: finish it, or reset the stream"),
            Self::Reader => Some("a reader of the handle is open: free it"),
        }
    }
}

// SAFETY: `inner` is used only by the thread that holds the claim, and a session may move between threads. Callbacks and
// their userdata are the caller's, who promised that calls on this handle may use them.
unsafe impl Send for Handle {}
// SAFETY: as above; the other fields are atomics, a message made for threads, and a constant.
unsafe impl Sync for Handle {}

impl Opaque for gptz {
    type Value = Arc<Handle>;
    const TAG: u64 = u64::from_ne_bytes(*b"gptz-hdl");
    const NAME: &'static str = "handle";
}

/// A progress callback. `done` of `total` bytes of content are finished. `userdata` is the pointer that was given to
/// gptz_set_progress. The callback returns 0 to continue. Any other value cancels the call, which then returns
/// GPTZ_ERROR_CANCELLED and leaves the handle as it was before the call.
///
/// The callback runs on the thread of the call. It is called at the start of the call, then at least once in 256 bytes,
/// and at the end of a call that succeeds. With a slow method it is called more often: once in 2^24 multiplications on
/// average (some 2 to 10 milliseconds), or after every byte if a byte takes more. A single interval can be longer,
/// because calls that compress, feed or measure compute up to 2^26 multiplications as one batch, and because a GRU
/// trains after some of the bytes.
///
/// `done` never decreases. It may stay the same over many calls of the callback and then grow by a whole block at once,
/// because gptz_compress can code a block in several ways before it chooses one.
///
/// The callback may do anything except the following:
///
/// - It must not use the handle of the call; such a call returns GPTZ_ERROR_BUSY. gptz_method and gptz_handle_error are
///   allowed.
/// - It must not leave by longjmp.
/// - It may end its thread with pthread_exit, or throw a C++ exception, only with the GNU C library on x86-64 and
///   AArch64. On these systems the call first ends as if it were cancelled, so the handle stays usable. Then the thread
///   ends, or the exception continues in the caller of the call. On every other system the callback must do neither,
///   because the process may be aborted, or the handle may stay in the call forever.
///
/// The callback runs in C's default floating-point environment and with thread cancellation disabled. When it returns,
/// the library undoes the changes that it made to either.
pub type gptz_progress_fn = Option<unsafe extern "C" fn(userdata: *mut c_void, done: u64, total: u64) -> c_int>;

/// Option: the entropy coder, GPTZ_CODER_AC (default) or GPTZ_CODER_RANS.
pub const GPTZ_PARAM_CODER: c_int = 1;
/// Option: the version of the frames that gptz_compress writes, 3 (default) or 2. Every handle reads both.
///
/// A version 3 frame names its method and base, has checksums and stores content that does not compress. A version 2
/// frame does none of this: content that the method predicts badly becomes larger. With the range coder a version 2 frame
/// does not mark its end, so no frame can follow it.
pub const GPTZ_PARAM_FORMAT: c_int = 2;
/// Option: 1 (default) writes CRC-32 checksums of the content, and of the blocks if there are several, into version 3
/// frames; 0 omits them.
pub const GPTZ_PARAM_CHECKSUM: c_int = 3;
/// Option: the most threads that a call may use, 0 (as many as there are cores) to 1024; 1 by default. The value never
/// changes a result. This version always uses one thread.
pub const GPTZ_PARAM_THREADS: c_int = 4;
/// Option: the number of lanes, the stripes of a block that are coded in turns and share each pass over the weights of
/// networks: 1, 2, 4 ... 64, or 0 (default) to let the library choose, which at present is always 1. More lanes decode faster with
/// large networks, and cost some compression. Frames state it, and every handle decodes all numbers. Methods with a policy,
/// version 2 frames, records and measures have one lane.
pub const GPTZ_PARAM_LANES: c_int = 5;
/// Option: the binary logarithm of the block size in bytes, 12 to 24; 17 (128 KiB) by default. A checksum error names
/// the block.
pub const GPTZ_PARAM_BLOCK_LOG: c_int = 6;
/// Option: the binary logarithm of the segment size in bytes: 16 to 40, or 0 (default) for one segment. Content that is
/// longer than a segment is cut into segments, each of which starts from the base. So a segment can be decoded without
/// those before it, but it does not learn from them: smaller segments make larger frames.
pub const GPTZ_PARAM_SEGMENT_LOG: c_int = 7;
/// Option: the most bytes that the weights and all states of a handle may take; 2^30 (1 GiB) by default. A call on a
/// handle that needs more returns GPTZ_ERROR_MEMORY. Weights from a file or a model are not counted. The calls that
/// create handles refuse a method that needs more than 1 GiB, not counting a network from a file or a model. So a
/// larger value matters only for such networks.
pub const GPTZ_PARAM_MEMORY_LIMIT: c_int = 8;

/// Option: the length in bytes of the content of the next frame that gptz_stream_compress writes, or -1 (default) if it is
/// not known. A stated length becomes part of the frame's header, as in frames of gptz_compress; it is a promise: a content
/// of another length is an error. It is -1 again after the frame, and after gptz_stream_reset. Calls on whole buffers do
/// not use it.
pub const GPTZ_PARAM_CONTENT_LENGTH: c_int = 9;
/// Option: the length in bytes of the check of each record (gptz_records_compress): 0 (default), 1, 2 or 4. It must be
/// the same on both sides. A check covers the content, the method, the weights and the base. Damage or a wrong base
/// stays undetected in one of 256, 65536 or 4294967296 cases. Without checks a wrong base can give wrong content
/// without an error.
pub const GPTZ_PARAM_RECORD_CHECK: c_int = 10;
/// Option: the most multiplications that the method of a frame or record may take for one byte, training included.
/// gptz_decompress and gptz_records_decompress return GPTZ_ERROR_METHOD if the handle's method takes more. The default
/// is 2^27 (134217728, some ten milliseconds), or the number that the handle's method takes if that is larger.
/// gptz_create_for_frame always uses 2^27.
pub const GPTZ_PARAM_WORK_LIMIT: c_int = 11;

/// Range coder: the smallest output.
pub const GPTZ_CODER_AC: c_int = 0;
/// rANS: about 6 bytes more per block.
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
        && GPTZ_PARAM_CONTENT_LENGTH == Param::ContentLength as c_int
        && GPTZ_PARAM_RECORD_CHECK == Param::RecordCheck as c_int
        && GPTZ_PARAM_WORK_LIMIT == Param::WorkLimit as c_int
        && GPTZ_CODER_AC == Coder::Range as c_int
        && GPTZ_CODER_RANS == Coder::Rans as c_int
);

fn new_handle(session: Session) -> Result<*mut gptz> {
    let method = CString::new(session.identity().canonical.clone())
        .map_err(|_| Error::new(Status::Internal, "a method with a NUL"))?;
    let session = boxed(session, "a handle")?;
    let inner = UnsafeCell::new(Inner {
        session,
        progress: None,
        userdata: ptr::null_mut(),
        last: LastCall::default(),
        hold: Hold::Free,
    });
    let (busy, broken, error) = (AtomicU8::new(IDLE), AtomicBool::new(false), message::Shared::new());
    hand_out(Arc::new(Handle { busy, broken, method, error, inner }))
}

/// The exclusive use of a handle by a call. Dropping it ends the use.
struct Claim<'a>(&'a Handle);

impl<'a> Claim<'a> {
    fn take(handle: &'a Handle, by: u8) -> Result<Self> {
        if handle.busy.compare_exchange(IDLE, by, Ordering::Acquire, Ordering::Relaxed).is_err() {
            fail!(Busy, "the handle is in a call already");
        }
        let claim = Self(handle);
        if handle.broken.load(Ordering::Relaxed) {
            fail!(Internal, "an earlier call on this handle met a defect of gptz; free the handle");
        }
        Ok(claim)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.busy.store(IDLE, Ordering::Release);
    }
}

/// Runs `body` with exclusive use of the handle, if no stream and no reader is under way.
///
/// # Safety
/// As [`object`].
pub(super) unsafe fn on_handle<T>(handle: *const gptz, body: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
    let body = |inner: &mut Inner| {
        if let Some(reason) = inner.hold.reason() {
            fail!(State, "{reason}");
        }
        inner.hold = Hold::Free;
        body(inner)
    };
    // SAFETY: the caller's promise.
    unsafe { on_held_handle(handle, body) }
}

/// Runs `body` with exclusive use of the handle, whatever is under way.
///
/// # Safety
/// As [`object`].
pub(super) unsafe fn on_held_handle<T>(handle: *const gptz, body: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
    // SAFETY: the caller's promise.
    claimed(unsafe { object(handle) }?, IN_CALL, body)
}

/// Runs `body` for a reader of the handle, with exclusive use of the handle.
pub(super) fn on_reader<T>(handle: &Handle, body: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
    claimed(handle, IN_READER, body)
}

/// Frees the reader of a handle by `release`, so that other calls can use the handle.
///
/// # Errors
/// `Busy` while the reader or the handle is in a call; those of `release`.
pub(super) fn end_reader(handle: &Handle, release: impl FnOnce() -> Result<()>) -> Result<()> {
    // Also where an earlier call met a defect.
    if handle.busy.compare_exchange(IDLE, IN_READER, Ordering::Acquire, Ordering::Relaxed).is_err() {
        fail!(Busy, "a reader cannot be freed while it or its handle is in a call");
    }
    let _claim = Claim(handle);
    release()?;
    // SAFETY: this call holds the claim, so no other call has a reference into the cell.
    unsafe { (*handle.inner.get()).hold = Hold::Free };
    Ok(())
}

/// Runs `body` with exclusive use of a handle.
fn claimed<T>(handle: &Handle, by: u8, body: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
    let _claim = Claim::take(handle, by)?;
    let result = caught(|| {
        // SAFETY: this call holds the claim, so no other call has a reference into the cell.
        body(unsafe { &mut *handle.inner.get() })
    });
    if matches!(&result, Err(e) if e.status() == Status::Internal) {
        handle.broken.store(true, Ordering::Relaxed);
    }
    result
}

/// Ends a call on a handle: stores the message of a failure for gptz_handle_error. `Busy` is not stored, because the
/// message belongs to the call that is running.
///
/// # Safety
/// As [`object`].
pub(super) unsafe fn ended(handle: *const gptz, status: gptz_status) -> gptz_status {
    // SAFETY: the caller's promise.
    match unsafe { object_if_any(handle) } {
        Some(handle) => ended_on(handle, status),
        None => status,
    }
}

/// As [`ended`].
pub(super) fn ended_on(handle: &Handle, status: gptz_status) -> gptz_status {
    if status != GPTZ_OK && status != GPTZ_ERROR_BUSY {
        handle.error.store_last_error();
    }
    status
}

impl Inner {
    /// Runs a call of the session with the handle's progress callback, and takes its time.
    pub(super) fn with_progress<T>(
        &mut self,
        f: impl for<'p> FnOnce(&mut Session, Option<&'p mut ProgressFn<'p>>) -> Result<T>,
    ) -> Result<T> {
        let (progress, userdata, start) = (self.progress, self.userdata, Instant::now());
        let result = match progress {
            None => f(&mut self.session, None),
            Some(progress) => {
                let mut callback = move |done, total| {
                    let call = Call::Progress(progress, userdata, done, total);
                    // SAFETY: the caller set this callback together with this userdata.
                    outside(|| unsafe { callback::run(call) }) == Some(0)
                };
                f(&mut self.session, Some(&mut callback))
            }
        }?;
        self.last.seconds = start.elapsed().as_secs_f64();
        Ok(result)
    }
}

/// Creates a handle for a method. Both sides of a frame need the same method.
///
/// `method` is a NUL-terminated UTF-8 string. README.md describes the grammar. Examples:
///
///   "level:1" (fast) to "level:9" (small)
///   "mix:mem=64M"                                   a mix of contexts, repeats and words
///   "mix:neural=(builtin:1)"                        a mix that includes the network that the library carries
///   "mix:neural=(gru:hidden=64)"                    a mix that includes a network that learns only from the input
///   "cfg:hidden=64,layers=1,train=adam,lr=0.002"    a random network of this shape, whose output head learns
///   "file:model.safetensors"                        a network with weights from a file, frozen
///
/// NULL is the default method: "level:5", a mix that includes the network that the library carries. In a library that
/// was built without that network, it is "level:3".
///
/// On success `*out` is the handle; free it with gptz_free. On failure `*out` is NULL.
///
/// Errors: GPTZ_ERROR_METHOD, also for a network that the library was built without, and for a GRU that needs more than
/// 2^28 multiplications a byte on average. GPTZ_ERROR_IO or GPTZ_ERROR_MODEL for a weights file. GPTZ_ERROR_MEMORY,
/// also for a method that needs more than 1 GiB, not counting a network from a file. A method string cannot
/// contain a path that has a semicolon or is not UTF-8: open such a file with gptz_model_open and use
/// gptz_create_from_model.
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

/// A C string in UTF-8, or `None` for NULL.
///
/// # Safety
/// `p` is NULL or points at a NUL-terminated string that does not change during `'a`.
pub(super) unsafe fn text<'a>(p: *const c_char, what: &str) -> Result<Option<&'a str>> {
    if p.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    match unsafe { CStr::from_ptr(p) }.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(e) => fail!(Method, "{what} is not UTF-8: byte {}", e.valid_up_to()),
    }
}

/// Creates a handle for the method that the first frame of `src` names. `src_len` may be less than the frame's length,
/// as long as the frame's header is complete. The library never opens a path that an input names.
///
/// On success `*out` is the handle; free it with gptz_free. On failure `*out` is NULL.
///
/// Errors: GPTZ_ERROR_MODEL if the frame needs a weights file. GPTZ_ERROR_MISMATCH if it needs a base.
/// GPTZ_ERROR_METHOD if it is of version 2, if it needs a network that the library was built without, or if its method
/// takes more than 2^27 multiplications for a byte (some ten milliseconds; see GPTZ_PARAM_WORK_LIMIT).
/// GPTZ_ERROR_MEMORY if its method needs more than 256 MiB; use gptz_create for such a method. GPTZ_ERROR_FORMAT,
/// GPTZ_ERROR_TRUNCATED, GPTZ_ERROR_CORRUPT, GPTZ_ERROR_NUMERICS.
///
/// Security: within these limits, the author of the frame decides how long each byte takes to decompress. To bound the
/// time, set a lower GPTZ_PARAM_WORK_LIMIT on the handle, check gptz_method, or set a progress callback.
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

/// Creates a handle that uses the weights of an open model. Handles of one model share its weights in memory. The model
/// may be freed before the handle.
///
/// `policy` is NULL, or the part of a method string that may follow "file:PATH;", such as "weights=f32". It may also be
/// a whole mix, in which "(file:)" means the model: "mix:neural=(file:;head:lr=0.01),mem=16M".
///
/// Every handle with the same weights and the same policy decompresses the frames of this handle, whether it was
/// created from a path, from memory or from a model.
///
/// On success `*out` is the handle; free it with gptz_free. On failure `*out` is NULL.
///
/// Errors: GPTZ_ERROR_METHOD, also for a transformer; GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_create_from_model(
    model: *const gptz_model,
    policy: *const c_char,
    out: *mut *mut gptz,
) -> gptz_status {
    let body = || {
        // SAFETY: a model and a string or NULL, as the header asks.
        let (model, policy) = unsafe { (object(model)?.bytes()?, text(policy, "the policy")?) };
        new_handle(Session::create_from_model(model, policy.unwrap_or_default())?)
    };
    // SAFETY: `out` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", body) }
}

/// Frees a handle. NULL is allowed and does nothing. If the handle is in a call, or `handle` points to another object,
/// the call frees nothing, and gptz_last_error returns the reason.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_free(handle: *mut gptz) {
    if handle.is_null() {
        return;
    }
    call_without_memory(|| {
        // SAFETY: a handle, as the header asks.
        let shared = Arc::clone(unsafe { object(handle.cast_const()) }?);
        let claim = match shared.busy.compare_exchange(IDLE, IN_CALL, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Some(Claim(&shared)),
            // The call is not on this pointer, and the reader has its own share.
            Err(IN_READER) => None,
            Err(_) => fail!(Busy, "a handle that is in a call cannot be freed"),
        };
        // SAFETY: as above; no call on the handle runs, so that none has a reference to the object.
        let released = unsafe { release(handle) };
        drop(claim);
        released
    });
}

/// Returns the canonical method string of a handle: every key that matters, in a fixed order. Two handles with equal
/// strings and equal bases read each other's frames. If the method has a weights file, the string does not contain its
/// path, and the weights must be equal too.
///
/// The string belongs to the handle and is valid until the handle is freed. The call is allowed while the handle is in
/// a call. Returns NULL if `handle` is not a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_method(handle: *const gptz) -> *const c_char {
    let mut method = ptr::null();
    call_without_memory(|| {
        // SAFETY: a handle or NULL, as the header asks; its method never changes.
        method = unsafe { object(handle) }?.method.as_ptr();
        Ok(())
    });
    method
}

/// Returns the message of the last call on this handle that failed, whichever thread made that call. It is UTF-8, at
/// most 511 bytes long, never NULL, and empty if no call on the handle has failed or `handle` is not a handle. Never
/// fails.
///
/// gptz_last_error returns only messages of the calling thread. This call is for programs that run the calls of a
/// handle on worker threads and read the message on another thread. A call that creates a handle has no handle yet: use
/// gptz_last_error on its thread.
///
/// The string belongs to the handle and is valid until the handle is freed. It does not change before two more calls on
/// the handle have failed, so one thread may read it while a call on another thread fails. Calls that succeed, and
/// calls that return GPTZ_ERROR_BUSY, do not change the message. The call is allowed while the handle is in a call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_handle_error(handle: *const gptz) -> *const c_char {
    // SAFETY: a handle or NULL, as the header asks.
    unsafe { object_if_any(handle) }.map_or(c"".as_ptr(), |h| h.error.get())
}

/// Returns the canonical method string of a level, which is also what gptz_method returns for a handle of "level:N".
/// Level 1 is the fastest; higher levels are slower and aim at smaller output. Returns NULL for a level that this
/// library does not have. The levels of a library are consecutive from 1, so a program finds all of them by counting
/// until NULL. A library that was built without models has only the levels whose method does not contain "builtin:".
/// The string is static. The call opens no model, allocates nothing and never fails.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_level_method(level: c_int) -> *const c_char {
    available_level_method(level.into()).map_or(ptr::null(), CStr::as_ptr)
}

/// Sets the option `param`, one of GPTZ_PARAM_... , for all later calls on this handle.
///
/// Errors: GPTZ_ERROR_ARGUMENT if the option does not exist or does not allow the value; the option keeps its value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_set(handle: *mut gptz, param: c_int, value: i64) -> gptz_status {
    // SAFETY: a handle or NULL, as the header asks.
    unsafe {
        ended(handle, call(|| on_handle(handle, |h| h.session.params_mut().set(Param::from_number(param)?, value))))
    }
}

/// Reads the option `param`, one of GPTZ_PARAM_... , into `*value`. On failure `*value` is 0.
///
/// Errors: GPTZ_ERROR_ARGUMENT if the option does not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_get(handle: *const gptz, param: c_int, value: *mut i64) -> gptz_status {
    // SAFETY: a handle or NULL, as the header asks.
    let body = || unsafe { on_held_handle(handle, |h| Ok(h.session.params().get(Param::from_number(param)?))) };
    // SAFETY: `value` is NULL or the caller's to write, as the header asks.
    unsafe { ended(handle, with_out(value, 0, "value", body)) }
}

/// Computes how much memory the handle takes while it compresses a long content, with the options, the base and the live
/// state that it has now: tables, networks, states, and what undoing a block needs. Weights from a file or a model are
/// not included. Decompression takes less: it undoes nothing. A live state, which the first feed or predict makes, takes
/// as much again as the tables.
///
/// Memory is taken when a call first needs it, and large tables page by page. A call that would take more than
/// GPTZ_PARAM_MEMORY_LIMIT returns GPTZ_ERROR_MEMORY before it takes it. On failure `*bytes` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_memory_estimate(handle: *const gptz, bytes: *mut u64) -> gptz_status {
    // SAFETY: a handle or NULL, as the header asks.
    let body = || unsafe { on_handle(handle, |h| Ok(h.session.memory_estimate())) };
    // SAFETY: a handle or NULL, and `bytes` NULL or the caller's to write, as the header asks.
    unsafe { ended(handle, with_out(bytes, 0, "bytes", body)) }
}

/// Sets the progress callback of later calls on this handle; see gptz_progress_fn. `userdata` is passed to the callback
/// unchanged and must stay valid as long as the callback is set. NULL for `callback` removes it.
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
    unsafe { ended(handle, call(|| on_handle(handle, body))) }
}
