//! The caller's buffers, checked before they become slices.

use std::ffi::c_void;

use crate::error::{Result, fail};
use crate::numeric::buffer::filled;

/// The bytes of an input. NULL is allowed for a length of 0.
///
/// # Safety
/// If `len` is not 0 and `p` is not NULL, `p` points at `len` readable bytes that do not change during `'a`.
pub(super) unsafe fn input<'a>(p: *const c_void, len: usize, what: &str) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    check_range(p.is_null(), len, what)?;
    // SAFETY: the caller's promise, and the length is below isize::MAX.
    Ok(unsafe { std::slice::from_raw_parts(p.cast(), len) })
}

/// The bytes of `count` inputs, none of which overlaps the destination. `what` names one of them, `arrays` the two
/// arrays.
///
/// # Safety
/// `src` and `src_len` are NULL or hold `count` elements, as [`input`] asks of each.
pub(super) unsafe fn inputs<'a>(
    (src, src_len, count): (*const *const c_void, *const usize, usize),
    (dst, dst_cap): (*const c_void, usize),
    what: &str,
    arrays: &str,
) -> Result<Vec<&'a [u8]>> {
    if count > 0 && (src.is_null() || src_len.is_null()) {
        fail!(Argument, "{arrays} is NULL with a count of {count}");
    }
    let mut all: Vec<&[u8]> = filled(count, &[][..], "the list of buffers")?;
    for (i, one) in all.iter_mut().enumerate() {
        // SAFETY: the caller's promise. The reads are unaligned because C programs may pack their structs.
        let (p, len) = unsafe { (src.add(i).read_unaligned(), src_len.add(i).read_unaligned()) };
        check_apart(p, len, dst, dst_cap)?;
        // SAFETY: the caller's promise.
        *one = unsafe { input(p, len, what) }?;
    }
    Ok(all)
}

/// The bytes of an output. NULL is allowed for a length of 0.
///
/// # Safety
/// If `len` is not 0 and `p` is not NULL, `p` points at `len` writable bytes that nothing else uses during `'a`.
pub(super) unsafe fn output<'a>(p: *mut c_void, len: usize, what: &str) -> Result<&'a mut [u8]> {
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

/// Whether two buffers share bytes.
pub(super) fn overlap(src: *const c_void, src_len: usize, dst: *const c_void, dst_len: usize) -> bool {
    let (a, b) = (src.addr(), dst.addr());
    src_len > 0 && dst_len > 0 && a < b.saturating_add(dst_len) && b < a.saturating_add(src_len)
}

/// Refuses a source and a destination that share bytes.
pub(super) fn check_apart(src: *const c_void, src_len: usize, dst: *const c_void, dst_len: usize) -> Result<()> {
    if overlap(src, src_len, dst, dst_len) {
        fail!(Argument, "source and destination overlap");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_exact_to_the_byte() {
        let p = |n: usize| std::ptr::without_provenance(n);
        assert!(check_apart(p(100), 10, p(110), 10).is_ok());
        assert!(check_apart(p(100), 11, p(110), 10).is_err());
        assert!(check_apart(p(109), 1, p(100), 10).is_err());
        assert!(check_apart(p(110), 1, p(100), 10).is_ok());
        assert!(check_apart(p(100), 0, p(100), 10).is_ok());
        assert!(check_apart(p(usize::MAX - 3), 4, p(usize::MAX - 1), 1).is_err());
    }
}
