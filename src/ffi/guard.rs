//! Runs the body of every call: catches panics, and turns errors into a status and a message.

use std::any::Any;
use std::cell::Cell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Once, OnceLock};

use super::buffers::output;
use super::message::set_last_error;
use super::status::{GPTZ_ERROR_BUFFER_TOO_SMALL, GPTZ_OK, gptz_status};
use super::{callback, cancel};
use crate::error::{Error, Result, Status, fail};
use crate::numeric::float_env;
use crate::numeric::reserve::{self, PER_CALL, Reserve};

thread_local! {
    // It has no destructor, so it is usable in a thread that is ending and in a library that is being unloaded.
    static IN_CALL: Cell<bool> = const { Cell::new(false) };
}

/// The message of a call for which no memory could be reserved: its text is not allocated.
const NO_MEMORY: &str = "the system has no memory for a call";

/// Runs the body of a call and returns a status, even if it panics.
///
/// The call first reserves memory for its infallible allocations. If one of them was served from the reserve, the
/// system is out of memory, and the status is `Memory`.
pub(super) fn call(body: impl FnOnce() -> Result<()>) -> gptz_status {
    let reserve = Reserve::take(PER_CALL);
    let out_of_memory = reserve.is_none();
    run(reserve, || {
        if out_of_memory {
            return Err(Error::new(Status::Memory, ""));
        }
        body().and_then(|()| reserve::check())
    })
}

/// As [`call`], for bodies that only free or read, and allocate nothing but the message of an error. They also run when
/// the system is out of memory.
pub(super) fn call_without_memory(body: impl FnOnce() -> Result<()>) -> gptz_status {
    run(Reserve::take(PER_CALL), body)
}

/// Runs the body of a call with its reserve.
fn run(reserve: Option<Reserve>, body: impl FnOnce() -> Result<()>) -> gptz_status {
    let _cancellation = cancel::Disabled::new();
    // Around the whole body, because even parsing a number of a method string is floating-point arithmetic.
    let status = match float_env::with_default(|| caught(body)) {
        Ok(()) => GPTZ_OK,
        Err(e) => {
            set_last_error(if e.message().is_empty() { NO_MEMORY } else { e.message() });
            e.status() as gptz_status
        }
    };
    drop(reserve);
    callback::resume_unwinding();
    status
}

/// Runs `body`; a panic becomes an `Internal` error.
pub(super) fn caught<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    silence_panics();
    let outer = IN_CALL.try_with(|c| c.replace(true)).unwrap_or(false);
    // A panic can leave a handle inconsistent, but no later call uses that handle.
    let result = catch_unwind(AssertUnwindSafe(body));
    let _ = IN_CALL.try_with(|c| c.set(outer));
    result.unwrap_or_else(|panic| {
        let text = format!("a defect of gptz, please report it: {}", panic_text(&*panic));
        // Dropping the payload may panic again.
        std::mem::forget(panic);
        Err(Error::new(Status::Internal, text))
    })
}

/// Runs code of the caller within a call. A panic of that code is not reported as the library's. Its changes of the
/// floating-point environment and of the cancellation state are undone.
pub(super) fn outside<T>(f: impl FnOnce() -> T) -> T {
    let _ = IN_CALL.try_with(|c| c.set(false));
    let result = f();
    let _ = IN_CALL.try_with(|c| c.set(true));
    float_env::set_default();
    cancel::disable();
    result
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "a panic without a message",
    }
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

/// Replaces the panic hook by one that prints nothing inside a call, and runs the earlier hook elsewhere.
fn silence_panics() {
    static ONCE: Once = Once::new();
    static BEFORE: OnceLock<Hook> = OnceLock::new();
    if std::thread::panicking() {
        // The hook cannot be changed now; a later call will do it.
        return;
    }
    ONCE.call_once(|| {
        // Set before the hook that reads it. It is in a static because leak checkers would report memory that the hook
        // allocates.
        let _ = BEFORE.set(std::panic::take_hook());
        std::panic::set_hook(Box::new(|info| {
            if !IN_CALL.try_with(Cell::get).unwrap_or(false)
                && let Some(before) = BEFORE.get()
            {
                before(info);
            }
        }));
    });
}

/// Runs a call with an out-parameter, which must not be NULL. `*out` is the result, or `nothing` on failure.
///
/// # Safety
/// `out` is NULL or points at a writable T.
pub(super) unsafe fn with_out<T: Copy>(
    out: *mut T,
    nothing: T,
    name: &str,
    body: impl FnOnce() -> Result<T>,
) -> gptz_status {
    if !out.is_null() {
        // Before the call, which may find no memory to start with.
        // SAFETY: the caller's promise; unaligned, for C programs may pack their structs.
        unsafe { out.write_unaligned(nothing) };
    }
    call(|| {
        if out.is_null() {
            fail!(Argument, "{name} is NULL");
        }
        let found = body()?;
        // Before the result is written: a call that answers `Memory` has none.
        reserve::check()?;
        // SAFETY: as above.
        unsafe { out.write_unaligned(found) };
        Ok(())
    })
}

/// Runs a call that gives a number of elements. If they do not fit, `body` returns `BufferTooSmall` with their number,
/// which becomes `*n`. A query has no room at all; it leaves the last message as it is.
///
/// # Safety
/// As [`with_out`] asks of `n`.
pub(super) unsafe fn sized(n: *mut usize, is_query: bool, body: impl FnOnce() -> Result<usize>) -> gptz_status {
    let mut needed = None;
    let body = || {
        body().or_else(|e| {
            needed = e.needed().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
            match needed {
                Some(n) if is_query => Ok(n),
                _ => Err(e),
            }
        })
    };
    // SAFETY: the caller's promise.
    let status = unsafe { with_out(n, 0, "the pointer to the length", body) };
    match needed {
        Some(needed) if status == GPTZ_OK || status == GPTZ_ERROR_BUFFER_TOO_SMALL => {
            // SAFETY: `body` has run, so that `with_out` has written to `n`.
            unsafe { n.write_unaligned(needed) };
            GPTZ_ERROR_BUFFER_TOO_SMALL
        }
        _ => status,
    }
}

/// As [`sized`], for a call that writes the bytes of `body` and then `end`, which `*len` counts only if they do not fit.
///
/// # Safety
/// `dst` is NULL or points at `cap` writable bytes, which `body` leaves alone; `len` as in [`sized`].
pub(super) unsafe fn with_bytes(
    (dst, cap): (*mut c_void, usize),
    end: &[u8],
    len: *mut usize,
    body: impl FnOnce() -> Result<Vec<u8>>,
) -> gptz_status {
    let write = || {
        let bytes = body()?;
        // SAFETY: the caller's promise.
        let dst = unsafe { output(dst, cap, "the destination")? };
        let needed = bytes.len() + end.len();
        let Some(dst) = dst.get_mut(..needed) else { return Err(Error::buffer_too_small(cap, needed as u64)) };
        let (text, rest) = dst.split_at_mut(bytes.len());
        text.copy_from_slice(&bytes);
        rest.copy_from_slice(end);
        Ok(bytes.len())
    };
    // SAFETY: the caller's promise.
    unsafe { sized(len, dst.is_null() && cap == 0, write) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::message::last_error;
    use std::ffi::CStr;

    fn message() -> String {
        // SAFETY: a NUL-terminated string of this thread that no call changes meanwhile.
        unsafe { CStr::from_ptr(last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_panic_becomes_a_status_and_a_message() {
        assert_eq!(call(|| panic!("the sky is {}", "falling")), crate::ffi::GPTZ_ERROR_INTERNAL);
        assert!(message().contains("the sky is falling"), "{}", message());
        assert_eq!(call(|| Ok(())), GPTZ_OK);
        assert!(message().contains("falling"), "success leaves the message alone");
    }
}
