//! What C holds behind a pointer: values that are handed out, checked by their tag, and released.

use crate::error::{Result, fail};
use crate::numeric::buffer::empty;
use crate::numeric::reserve;

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
    // `Box::new` aborts where there is no memory.
    let mut object = empty(1, T::NAME)?;
    // Nothing fails after this.
    reserve::check()?;
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
