//! What stands around every call: panics stop here, errors become a status and a message.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Once, OnceLock};

use super::message::set_last_error;
use super::status::{GPTZ_OK, gptz_status};
use crate::error::{Error, Result, Status, fail};
use crate::numeric::float_env;
use crate::numeric::reserve::{self, PER_CALL, Reserve};

thread_local! {
    // No destructor, so that it serves a thread that is ending, and a library that is being unloaded.
    static IN_CALL: Cell<bool> = const { Cell::new(false) };
}

/// Runs a call's body. Whatever happens, the answer is a status.
///
/// The call begins by reserving memory for its infallible allocations. If one of them was served from there, the system has no
/// memory left, and what the call made is not to be relied on: the answer is `Memory`.
pub(super) fn call(body: impl FnOnce() -> Result<()>) -> gptz_status {
    let Some(_reserve) = Reserve::take(PER_CALL) else {
        set_last_error("the system has no memory for a call to begin with");
        return Status::Memory as gptz_status;
    };
    run(|| body().and_then(|()| reserve::check()))
}

/// As [`call`], for bodies that need memory for the text of an error alone: they free, or only look. They run where the system
/// has none.
pub(super) fn call_without_memory(body: impl FnOnce() -> Result<()>) -> gptz_status {
    let _reserve = Reserve::take(PER_CALL);
    run(body)
}

fn run(body: impl FnOnce() -> Result<()>) -> gptz_status {
    // Even reading a number from a method string is arithmetic.
    match float_env::with_default(|| caught(body)) {
        Ok(()) => GPTZ_OK,
        Err(e) => {
            set_last_error(e.message());
            e.status() as gptz_status
        }
    }
}

/// Runs `body`; a panic becomes an `Internal` error.
pub(super) fn caught<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    silence_panics();
    let outer = IN_CALL.try_with(|c| c.replace(true)).unwrap_or(false);
    // What a panic may have left half done is a handle's inside, and that handle answers nothing any more.
    let result = catch_unwind(AssertUnwindSafe(body));
    let _ = IN_CALL.try_with(|c| c.set(outer));
    result.unwrap_or_else(|panic| {
        let text = format!("a defect of gptz, please report it: {}", panic_text(&*panic));
        // Dropping the payload may panic again.
        std::mem::forget(panic);
        Err(Error::new(Status::Internal, text))
    })
}

/// Runs code of the caller's within a call: panics there are not the library's, and whatever that code does to the
/// floating-point environment is undone.
pub(super) fn outside<T>(f: impl FnOnce() -> T) -> T {
    let _ = IN_CALL.try_with(|c| c.set(false));
    let result = f();
    let _ = IN_CALL.try_with(|c| c.set(true));
    float_env::set_default();
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

/// A panic inside a call prints nothing; elsewhere the hook that was there before goes on.
fn silence_panics() {
    static ONCE: Once = Once::new();
    static BEFORE: OnceLock<Hook> = OnceLock::new();
    if std::thread::panicking() {
        // The hook cannot be changed now; a later call will do it.
        return;
    }
    ONCE.call_once(|| {
        // Set before the hook that reads it. In a static, so that the hook itself takes no memory: what is kept for ever
        // is not to look like a leak.
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

/// Runs a call that stores what it finds through `out`, which must not be NULL; on failure `nothing` stands there.
///
/// # Safety
/// `out` is NULL or points at a writable T.
pub(super) unsafe fn with_out<T: Copy>(
    out: *mut T,
    nothing: T,
    name: &str,
    body: impl FnOnce() -> Result<T>,
) -> gptz_status {
    call(|| {
        if out.is_null() {
            fail!(Argument, "{name} is NULL");
        }
        // SAFETY: the caller's promise; unaligned, for C programs may pack their structs.
        unsafe { out.write_unaligned(nothing) };
        let found = body()?;
        // SAFETY: as above.
        unsafe { out.write_unaligned(found) };
        Ok(())
    })
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
