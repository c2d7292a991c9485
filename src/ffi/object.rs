//! Objects that C holds by an opaque pointer: creating them, checking their type by a tag, and freeing them.

use crate::error::{Result, fail};
use crate::numeric::buffer::boxed;
use crate::numeric::reserve;

/// A type that C knows only by its name.
pub(super) trait Opaque {
    /// The value that a pointer to it leads to.
    type Value;
    /// The first word of every object. It identifies the type, and freeing the object clears it.
    const TAG: u64;
    /// The name of the type in messages.
    const NAME: &'static str;
}

/// An object in memory.
#[repr(C)]
struct Object<V> {
    tag: u64,
    value: V,
}

/// Moves a value to the heap and returns the pointer for C.
pub(super) fn hand_out<T: Opaque>(value: T::Value) -> Result<*mut T> {
    let object = boxed(Object { tag: T::TAG, value }, T::NAME)?;
    // This is the last operation that can fail.
    reserve::check()?;
    Ok(Box::into_raw(object).cast())
}

/// The object at `p`, if `p` points to an object of this type. Allocates nothing.
fn find<T: Opaque>(p: *const T) -> Option<*const Object<T::Value>> {
    let p = p.cast::<Object<T::Value>>();
    if p.is_null() || !p.is_aligned() {
        return None;
    }
    // SAFETY: callers of the ABI promise that a pointer that is not NULL came from it, and the tag is the first word of
    // every object. The read is volatile because the memory of a freed object may hold anything.
    (unsafe { (&raw const (*p).tag).read_volatile() } == T::TAG).then_some(p)
}

fn check<T: Opaque>(p: *const T) -> Result<*const Object<T::Value>> {
    match find(p) {
        Some(object) => Ok(object),
        None if p.is_null() => fail!(Argument, "the {} is NULL", T::NAME),
        None => fail!(Argument, "the {0} is not a {0}: it was freed, or it is another object", T::NAME),
    }
}

/// The value that a pointer leads to.
///
/// # Safety
/// `p` is NULL or came from [`hand_out`] (of any type), and the object is not freed during `'a`. Passing a freed object
/// breaks C's own rules; the cleared tag catches most such mistakes.
pub(super) unsafe fn object<'a, T: Opaque>(p: *const T) -> Result<&'a T::Value> {
    let p = check(p)?;
    // SAFETY: the tag shows that `hand_out` made this object of a T::Value. The caller promises that it is not freed.
    Ok(unsafe { &(*p).value })
}

/// As [`object`], but returns no error. It is for use outside of calls, where no memory is reserved for an error's text.
///
/// # Safety
/// As [`object`].
pub(super) unsafe fn object_if_any<'a, T: Opaque>(p: *const T) -> Option<&'a T::Value> {
    // SAFETY: as in `object`.
    find(p).map(|p| unsafe { &(*p).value })
}

/// Frees an object that [`hand_out`] made. An object of another type is an error and is not freed.
///
/// # Safety
/// As [`object`], and no reference to the value exists.
pub(super) unsafe fn release<T: Opaque>(p: *mut T) -> Result<()> {
    let p = check(p.cast_const())?.cast_mut();
    // SAFETY: the tag shows that `hand_out` made it and that it was not freed. The write is volatile because the
    // compiler would remove a plain write to memory that is freed next.
    unsafe {
        (&raw mut (*p).tag).write_volatile(0);
        drop(Box::from_raw(p));
    }
    Ok(())
}
