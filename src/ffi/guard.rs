//! What stands around every call: panics stop here, errors become a status and a message, pointers are looked at
//! before they are used.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Once, OnceLock};

use super::status::{GPTZ_OK, gptz_status};
use crate::error::{Error, Result, fail};
use crate::numeric::float_env;

/// Room for the last message and its NUL.
const MESSAGE: usize = 512;

thread_local! {
    // No destructor, so that it serves a thread that is ending, and a library that is being unloaded.
    static LAST_ERROR: UnsafeCell<[u8; MESSAGE]> = const { UnsafeCell::new([0; MESSAGE]) };
    static IN_CALL: Cell<bool> = const { Cell::new(false) };
}

/// This thread's last message.
pub(super) fn last_error() -> *const c_char {
    LAST_ERROR.try_with(|m| m.get().cast::<c_char>().cast_const()).unwrap_or(c"".as_ptr())
}

/// Keeps a message for [`last_error`], cut to what there is room for, at a character's end. What an input has put into it
/// cannot steer a terminal: control characters become spaces.
pub(super) fn set_last_error(text: &str) {
    let _ = LAST_ERROR.try_with(|m| {
        // SAFETY: the cell is this thread's own, no reference into it outlives this closure, and nothing in here calls
        // back; callers of gptz_last_error are told that the string changes with the next failure.
        let buffer = unsafe { &mut *m.get() };
        let mut end = 0;
        for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
            if end + c.len_utf8() >= MESSAGE {
                break;
            }
            end += c.encode_utf8(&mut buffer[end..]).len();
        }
        buffer[end] = 0;
    });
}

/// Runs a call's body. Whatever happens, the answer is a status.
pub(super) fn call(body: impl FnOnce() -> Result<()>) -> gptz_status {
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
        Err(Error::new(crate::error::Status::Internal, text))
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

/// A type that C knows by name alone: what a pointer to it stands for.
pub(super) trait Opaque {
    /// What is behind the pointer.
    type Value;
    /// The first word of everything that the ABI hands out tells what it is; freeing wipes it.
    const TAG: u64;
    /// What it is called in messages.
    const NAME: &'static str;
}

/// What is behind the pointer, as it lies in memory.
#[repr(C)]
struct Object<V> {
    tag: u64,
    value: V,
}

/// Hands a value out.
pub(super) fn hand_out<T: Opaque>(value: T::Value) -> Result<*mut T> {
    // `Box` aborts where there is no memory, so ask before.
    let mut object = Vec::new();
    if object.try_reserve_exact(1).is_err() {
        return Err(crate::error::out_of_memory(size_of::<Object<T::Value>>(), T::NAME));
    }
    object.push(Object { tag: T::TAG, value });
    Ok(Box::into_raw(object.into_boxed_slice()).cast())
}

fn check<T: Opaque>(p: *const T) -> Result<*const Object<T::Value>> {
    let p = p.cast::<Object<T::Value>>();
    if p.is_null() {
        fail!(Argument, "the {} is NULL", T::NAME);
    }
    // SAFETY: callers of the ABI promise that a pointer that is not NULL came from it. The tag is the first word of
    // whatever that was; read as volatile, for after a mistake the memory may be anything.
    if !p.is_aligned() || unsafe { (&raw const (*p).tag).read_volatile() } != T::TAG {
        fail!(Argument, "the {} is not one: it was freed, or it is something else", T::NAME);
    }
    Ok(p)
}

/// The value behind a pointer.
///
/// # Safety
/// `p` is NULL or came from [`hand_out`] (of any type) and lives for `'a`. A caller that passes what was freed breaks C's
/// own rules; the wiped tag then catches most such mistakes.
pub(super) unsafe fn object<'a, T: Opaque>(p: *const T) -> Result<&'a T::Value> {
    let p = check(p)?;
    // SAFETY: the tag says that this is what `hand_out` made of a T::Value, and the caller that it lives.
    Ok(unsafe { &(*p).value })
}

/// Frees what [`hand_out`] handed out; what is something else is left alone.
///
/// # Safety
/// As [`object`], and no reference to the value is left.
pub(super) unsafe fn release<T: Opaque>(p: *mut T) -> Result<()> {
    let p = check(p.cast_const())?.cast_mut();
    // SAFETY: the tag says that `hand_out` made it and that it was not freed. From here on the tag says that it is gone;
    // volatile, for the compiler would drop a last write to memory that is freed.
    unsafe {
        (&raw mut (*p).tag).write_volatile(0);
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(p, 1)));
    }
    Ok(())
}

/// The bytes of an input; NULL is allowed for none.
///
/// # Safety
/// Where `len` is not 0 and `p` not NULL, `p` points at `len` readable bytes that do not change during `'a`.
pub(super) unsafe fn input<'a>(p: *const core::ffi::c_void, len: usize, what: &str) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    check_range(p.is_null(), len, what)?;
    // SAFETY: the caller's promise, and the length is below isize::MAX.
    Ok(unsafe { std::slice::from_raw_parts(p.cast(), len) })
}

/// The room of an output; NULL is allowed for none.
///
/// # Safety
/// Where `len` is not 0 and `p` not NULL, `p` points at `len` writable bytes that nothing else uses during `'a`.
pub(super) unsafe fn output<'a>(p: *mut core::ffi::c_void, len: usize, what: &str) -> Result<&'a mut [u8]> {
    if len == 0 {
        return Ok(&mut []);
    }
    check_range(p.is_null(), len, what)?;
    // SAFETY: the caller's promise, and the length is below isize::MAX. The bytes may be uninitialised to C, but they
    // are only written: no value read from them reaches a result.
    Ok(unsafe { std::slice::from_raw_parts_mut(p.cast(), len) })
}

fn check_range(null: bool, len: usize, what: &str) -> Result<()> {
    if null {
        fail!(Argument, "{what} is NULL with a length of {len}");
    }
    if isize::try_from(len).is_err() {
        fail!(Argument, "the length of {what} is {len}, more than memory can hold");
    }
    Ok(())
}

/// Refuses a source and a destination that share bytes.
pub(super) fn check_apart(
    src: *const core::ffi::c_void,
    src_len: usize,
    dst: *const core::ffi::c_void,
    dst_len: usize,
) -> Result<()> {
    let (a, b) = (src.addr(), dst.addr());
    if src_len > 0 && dst_len > 0 && a < b.saturating_add(dst_len) && b < a.saturating_add(src_len) {
        fail!(Argument, "source and destination overlap");
    }
    Ok(())
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

    #[test]
    fn long_messages_are_cut_at_a_character() {
        set_last_error(&"ä".repeat(600));
        assert_eq!(message().len(), 510);
        set_last_error("a\0b\x1b[2J\u{9b}c");
        assert_eq!(message(), "a b [2J c");
        set_last_error(&"x".repeat(511));
        assert_eq!(message().len(), 511);
    }

    #[test]
    fn overlap_is_told_to_the_byte() {
        let p = |n: usize| std::ptr::without_provenance(n);
        assert!(check_apart(p(100), 10, p(110), 10).is_ok());
        assert!(check_apart(p(100), 11, p(110), 10).is_err());
        assert!(check_apart(p(109), 1, p(100), 10).is_err());
        assert!(check_apart(p(110), 1, p(100), 10).is_ok());
        assert!(check_apart(p(100), 0, p(100), 10).is_ok());
        assert!(check_apart(p(usize::MAX - 3), 4, p(usize::MAX - 1), 1).is_err());
    }
}
