//! Generators: text out of a model.

use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::buffers::{input, output};
use super::callback::{self, Call};
use super::guard::{call, call_without_memory, caught, outside, with_out};
use super::handle::{gptz, gptz_progress_fn, on_handle, text};
use super::message;
use super::model::gptz_model;
use super::object::{Opaque, hand_out, object, object_if_any, release};
use super::status::{GPTZ_ERROR_BUFFER_TOO_SMALL, GPTZ_ERROR_BUSY, GPTZ_OK, gptz_status};
use crate::error::{Error, Result, Status, fail};
use crate::generate::{Generator, Sampler};
use crate::numeric::buffer::{boxed, reserved};

/// A generator of text: a model, a history of tokens, and what the model has computed for them.
///
/// Threads: a generator may move between threads and serves one call at a time. A second call returns GPTZ_ERROR_BUSY and
/// does nothing. Generators of one model share its weights, and may work at the same time.
pub struct gptz_generator {
    _opaque: [u8; 0],
}

/// The value of a generator.
pub(super) struct Shared {
    busy: AtomicBool,
    /// A call panicked, so the generator may be inconsistent.
    broken: AtomicBool,
    error: message::Shared,
    inner: UnsafeCell<Inner>,
}

/// The part that one call at a time may use.
struct Inner {
    generator: Box<Generator>,
    progress: gptz_progress_fn,
    userdata: *mut c_void,
}

impl Opaque for gptz_generator {
    type Value = Shared;
    const TAG: u64 = u64::from_ne_bytes(*b"gptz-gen");
    const NAME: &'static str = "generator";
}

/// Receives a generated token and its `len` bytes, which are valid during the call and not NUL-terminated; `bytes` may be
/// NULL if `len` is 0. `userdata` is the pointer that was given to gptz_generator_generate. The callback returns 0 to
/// continue. Any other value ends the call after this token, which is no error. The rules of gptz_progress_fn hold.
pub type gptz_token_fn =
    Option<unsafe extern "C-unwind" fn(userdata: *mut c_void, token: u32, bytes: *const c_char, len: usize) -> c_int>;

fn new_generator(generator: Generator) -> Result<*mut gptz_generator> {
    let generator = boxed(generator, "a generator")?;
    let inner = UnsafeCell::new(Inner { generator, progress: None, userdata: ptr::null_mut() });
    let (busy, broken, error) = (AtomicBool::new(false), AtomicBool::new(false), message::Shared::new());
    hand_out(Shared { busy, broken, error, inner })
}

/// The exclusive use of a generator by a call. Dropping it ends the use.
struct Claim<'a>(&'a Shared);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

/// Runs `body` with exclusive use of the generator.
///
/// # Safety
/// As [`object`].
unsafe fn on_generator<T>(p: *const gptz_generator, body: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
    // SAFETY: the caller's promise.
    let shared = unsafe { object(p) }?;
    if shared.busy.swap(true, Ordering::Acquire) {
        fail!(Busy, "the generator is in a call already");
    }
    let _claim = Claim(shared);
    if shared.broken.load(Ordering::Relaxed) {
        fail!(Internal, "an earlier call on this generator met a defect of gptz; free the generator");
    }
    let result = caught(|| {
        // SAFETY: this call holds the claim, so no other call has a reference into the cell.
        body(unsafe { &mut *shared.inner.get() })
    });
    if matches!(&result, Err(e) if e.status() == Status::Internal) {
        shared.broken.store(true, Ordering::Relaxed);
    }
    result
}

/// Ends a call: stores the message of a failure for gptz_generator_error. `Busy` is not stored.
///
/// # Safety
/// As [`object`].
unsafe fn ended(p: *const gptz_generator, status: gptz_status) -> gptz_status {
    if status != GPTZ_OK
        && status != GPTZ_ERROR_BUSY
        // SAFETY: the caller's promise.
        && let Some(shared) = unsafe { object_if_any(p) }
    {
        shared.error.store_last_error();
    }
    status
}

/// Creates a generator of a model, without a history. The model may be freed before the generator.
///
/// `options` is NULL for the defaults, or a string of pairs, such as "context=2048,full=slide", for a transformer:
///
///   context=N        the most tokens; 4096, or the model's context if that is less
///   full=error       a full context is GPTZ_ERROR_STATE (default)
///   full=slide       a full context loses its oldest token after the first four
///   weights=i8|f32   the type of the matrices, i8 by default; f32 is slow and for checking
///   cache=i8|f16|f32 the type of the keys and values; i8 by default, f32 with weights=f32
///   memory=BYTES     the most bytes of keys and values; 2^30 by default
///
/// A byte-level network has no options. Its tokens are bytes, and its context has no end.
///
/// On success `*out` is the generator; free it with gptz_generator_free. On failure `*out` is NULL.
///
/// Errors: GPTZ_ERROR_ARGUMENT, GPTZ_ERROR_MEMORY; with weights=f32 also GPTZ_ERROR_IO, and GPTZ_ERROR_MODEL if the file
/// has changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_generator_create(
    model: *const gptz_model,
    options: *const c_char,
    out: *mut *mut gptz_generator,
) -> gptz_status {
    let body = || {
        // SAFETY: a model and a string or NULL, as the header asks.
        let (model, options) = unsafe { (object(model)?, text(options, "the options")?) };
        new_generator(Generator::new(model, options.unwrap_or_default())?)
    };
    // SAFETY: `out` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", body) }
}

/// Creates a generator of bytes from the live state of a handle, which may have any method: a mix, a GRU, the network that
/// the library carries. The generator has a copy of the state, so later calls on either do not affect the other.
///
/// What the handle was fed is the context of the generator, but not part of its history: gptz_generator_step may follow at
/// once, and gptz_generator_prefill starts from the copied state. A method that learns also learns from the tokens.
/// `options` is NULL or empty.
///
/// On success `*out` is the generator; free it with gptz_generator_free. On failure `*out` is NULL.
///
/// Errors: GPTZ_ERROR_ARGUMENT, GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_generator_create_from_handle(
    handle: *const gptz,
    options: *const c_char,
    out: *mut *mut gptz_generator,
) -> gptz_status {
    let body = || {
        // SAFETY: a string or NULL, as the header asks.
        let options = unsafe { text(options, "the options") }?.unwrap_or_default();
        // SAFETY: a handle or NULL, as the header asks.
        new_generator(unsafe { on_handle(handle, |h| Generator::from_session(&h.session, options)) }?)
    };
    // SAFETY: `out` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", body) }
}

/// Frees a generator. NULL is allowed and does nothing. If the generator is in a call, or `generator` points to another
/// object, the call frees nothing, and gptz_last_error returns the reason.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_generator_free(generator: *mut gptz_generator) {
    if generator.is_null() {
        return;
    }
    call_without_memory(|| {
        // SAFETY: a generator, as the header asks. This call has claimed it for good.
        unsafe {
            if object(generator.cast_const())?.busy.swap(true, Ordering::Acquire) {
                fail!(Busy, "a generator that is in a call cannot be freed");
            }
            release(generator)
        }
    });
}

/// Returns the message of the last call on this generator that failed, as gptz_handle_error does for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_generator_error(generator: *const gptz_generator) -> *const c_char {
    // SAFETY: a generator or NULL, as the header asks.
    unsafe { object_if_any(generator) }.map_or(c"".as_ptr(), |g| g.error.get())
}

/// Sets the progress callback of gptz_generator_prefill; see gptz_progress_fn. `done` and `total` count tokens. NULL for
/// `callback` removes it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_generator_set_progress(
    generator: *mut gptz_generator,
    callback: gptz_progress_fn,
    userdata: *mut c_void,
) -> gptz_status {
    let body = |g: &mut Inner| {
        (g.progress, g.userdata) = (callback, userdata);
        Ok(())
    };
    // SAFETY: a generator or NULL, as the header asks.
    unsafe { ended(generator, call(|| on_generator(generator, body))) }
}

/// Sets how gptz_generator_step chooses. `sampler` is NULL for greedy: the token with the largest logit, of equal ones the
/// smallest. Or it is a string of pairs: "temperature=0.8,seed=1". A temperature from 0.001 to 1000 draws a token at random
/// with the probabilities of softmax(logits / temperature); 0 is greedy. Equal seeds and histories draw equal tokens, on
/// every machine. Other keys are not supported yet.
///
/// Errors: GPTZ_ERROR_ARGUMENT; the sampler does not change.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_generator_set_sampler(
    generator: *mut gptz_generator,
    sampler: *const c_char,
) -> gptz_status {
    let body = |g: &mut Inner| {
        // SAFETY: a string or NULL, as the header asks.
        let sampler = unsafe { text(sampler, "the sampler") }?;
        g.generator.set_sampler(sampler.map_or(Ok(Sampler::Greedy), Sampler::parse)?);
        Ok(())
    };
    // SAFETY: a generator or NULL, as the header asks.
    unsafe { ended(generator, call(|| on_generator(generator, body))) }
}

/// Checks the room for logits, and calls `write` with it if the caller wants them.
///
/// # Safety
/// `logits` is NULL or has room for `len` floats.
unsafe fn write_logits(g: &Generator, logits: *mut f32, len: usize) -> Result<()> {
    if logits.is_null() {
        return Ok(());
    }
    for (i, x) in g.logits()?.iter().take(len).enumerate() {
        // SAFETY: the caller's promise; unaligned, for C programs may pack their structs.
        unsafe { logits.add(i).write_unaligned(*x) };
    }
    Ok(())
}

/// Before anything changes: either no room, or room for all.
fn check_logits(g: &Generator, logits: *const f32, len: usize) -> Result<()> {
    if logits.is_null() && len == 0 {
        return Ok(());
    }
    if logits.is_null() || len != g.vocabulary() {
        let what = if logits.is_null() { "logits is NULL with" } else { "there is room for" };
        fail!(Argument, "{what} a length of {len}, expected {} logits, or NULL and 0", g.vocabulary());
    }
    Ok(())
}

/// Replaces the history by `n` tokens, at least one. The longest prefix that the old history has too is not computed again
/// where it can be kept: a transformer keeps it unless its context has slid, a byte-level model keeps the old history as a
/// whole or not at all.
///
/// `logits` is NULL and `logits_len` 0, or `logits` has room for a float for each token of the vocabulary, and
/// `logits_len` is their number: the logits of the token that comes next. Those of a byte-level model are the natural
/// logarithms of the probabilities.
///
/// Errors: GPTZ_ERROR_ARGUMENT for no tokens, a token that the vocabulary does not have, or another `logits_len`.
/// GPTZ_ERROR_STATE if the tokens do not fit the context. The history does not change then. GPTZ_ERROR_CANCELLED,
/// GPTZ_ERROR_MEMORY: the history is then the part of the tokens that was computed, and decode and step must wait for
/// another prefill. The same call goes on from there.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_generator_prefill(
    generator: *mut gptz_generator,
    tokens: *const u32,
    n: usize,
    logits: *mut f32,
    logits_len: usize,
) -> gptz_status {
    let body = |g: &mut Inner| {
        check_logits(&g.generator, logits, logits_len)?;
        let Some(len) = n.checked_mul(size_of::<u32>()) else {
            fail!(Argument, "{n} tokens are more than memory can hold")
        };
        // SAFETY: `n` tokens, as the header asks.
        let bytes = unsafe { input(tokens.cast(), len, "the tokens") }?;
        let mut tokens = reserved(n, "tokens")?;
        tokens.extend(bytes.as_chunks::<4>().0.iter().map(|token| u32::from_ne_bytes(*token)));
        let (progress, userdata) = (g.progress, g.userdata);
        match progress {
            None => g.generator.prefill(&tokens, None)?,
            Some(progress) => {
                let mut report = move |done, total| {
                    let call = Call::Progress(progress, userdata, done, total);
                    // SAFETY: the caller set this callback together with this userdata.
                    outside(|| unsafe { callback::run(call) }) == Some(0)
                };
                g.generator.prefill(&tokens, Some(&mut report))?;
            }
        }
        // SAFETY: room for the logits, as the header asks.
        unsafe { write_logits(&g.generator, logits, logits_len) }
    };
    // SAFETY: a generator or NULL, as the header asks.
    unsafe { ended(generator, call(|| on_generator(generator, body))) }
}

/// Appends a token to the history. `logits` and `logits_len` are as in gptz_generator_prefill.
///
/// Errors: GPTZ_ERROR_ARGUMENT for a token that the vocabulary does not have, or another `logits_len`. GPTZ_ERROR_STATE
/// before the first prefill, or if the context is full. GPTZ_ERROR_MEMORY. The history does not change.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_generator_decode(
    generator: *mut gptz_generator,
    token: u32,
    logits: *mut f32,
    logits_len: usize,
) -> gptz_status {
    let body = |g: &mut Inner| {
        check_logits(&g.generator, logits, logits_len)?;
        g.generator.decode(token)?;
        // SAFETY: room for the logits, as the header asks.
        unsafe { write_logits(&g.generator, logits, logits_len) }
    };
    // SAFETY: a generator or NULL, as the header asks.
    unsafe { ended(generator, call(|| on_generator(generator, body))) }
}

/// Chooses a token (gptz_generator_set_sampler), appends it to the history and writes it to `*token`. On failure `*token`
/// is 0.
///
/// Errors: GPTZ_ERROR_STATE before the first prefill, or if the context is full. GPTZ_ERROR_MEMORY. The history does not
/// change.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_generator_step(generator: *mut gptz_generator, token: *mut u32) -> gptz_status {
    // SAFETY: a generator or NULL, and `token` NULL or the caller's to write, as the header asks.
    unsafe { ended(generator, with_out(token, 0, "token", || on_generator(generator, |g| g.generator.step()))) }
}

/// Makes up to `n` steps (gptz_generator_step) and passes each token to `callback`, which may stop the call. NULL for
/// `callback` is allowed. On success `*made` is the number of steps. It is 0 on failure; the tokens before the failure are
/// in the history.
///
/// Errors: as gptz_generator_step.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_generator_generate(
    generator: *mut gptz_generator,
    n: usize,
    callback: gptz_token_fn,
    userdata: *mut c_void,
    made: *mut usize,
) -> gptz_status {
    let body = |g: &mut Inner| {
        g.generator.generate(n, |token, bytes| {
            let Some(callback) = callback else { return true };
            let call = Call::Token(callback, userdata, token, bytes.as_ptr().cast(), bytes.len());
            // SAFETY: the caller set this callback together with this userdata.
            outside(|| unsafe { callback::run(call) }) == Some(0)
        })
    };
    // SAFETY: a generator or NULL, and `made` NULL or the caller's to write, as the header asks.
    unsafe { ended(generator, with_out(made, 0, "made", || on_generator(generator, body))) }
}

/// Copies the history to `tokens`, which has room for `cap` tokens. On success `*n` is their number.
///
/// Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if `cap` is less than the number of tokens; `*n` is then that number. To ask for
/// it, pass NULL and 0. On every other failure `*n` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_generator_tokens(
    generator: *const gptz_generator,
    tokens: *mut u32,
    cap: usize,
    n: *mut usize,
) -> gptz_status {
    let mut needed = 0;
    let body = |g: &mut Inner| {
        let history = g.generator.history();
        if history.len() > cap {
            needed = history.len();
            return Err(Error::array_too_small(cap, history.len() as u64));
        }
        let room = size_of_val(history);
        // SAFETY: room for `cap` tokens, as the header asks.
        let out = unsafe { output(tokens.cast(), room, "tokens") }?;
        for (to, token) in out.as_chunks_mut::<4>().0.iter_mut().zip(history) {
            *to = token.to_ne_bytes();
        }
        Ok(history.len())
    };
    // SAFETY: a generator or NULL, and `n` NULL or the caller's to write, as the header asks.
    let status = unsafe { ended(generator, with_out(n, 0, "n", || on_generator(generator, body))) };
    if status == GPTZ_ERROR_BUFFER_TOO_SMALL {
        // SAFETY: `body` has run, so that `with_out` has written to `n`.
        unsafe { n.write_unaligned(needed) };
    }
    status
}
