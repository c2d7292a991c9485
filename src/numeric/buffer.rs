//! Memory that kernels work on: whole 64-byte vectors, zero-padded, taken fallibly.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::reserve::fallible;
use super::vector::{Vec16, flat, flat_mut, vectors};
use crate::error::Result;

/// An empty vector with room for `n` values, or an error that names `what` was to be held.
pub(crate) fn empty<T>(n: usize, what: &str) -> Result<Vec<T>> {
    let mut v = Vec::new();
    match fallible(|| v.try_reserve_exact(n)) {
        Ok(()) => Ok(v),
        Err(_) => Err(crate::error::out_of_memory(n.saturating_mul(size_of::<T>()), what)),
    }
}

/// Makes room for `n` values more, or an error that names `what` was to be held.
pub(crate) fn grow<T>(v: &mut Vec<T>, n: usize, what: &str) -> Result<()> {
    if v.capacity() - v.len() >= n {
        return Ok(());
    }
    let len = v.len().saturating_add(n);
    fallible(|| v.try_reserve(n)).map_err(|_| crate::error::out_of_memory(len.saturating_mul(size_of::<T>()), what))
}

/// A vector of `n` values that `make` makes, or an error, its own or one that names `what` was to be held.
pub(crate) fn made<T>(n: usize, what: &str, mut make: impl FnMut(usize) -> Result<T>) -> Result<Vec<T>> {
    let mut v = empty(n, what)?;
    for i in 0..n {
        v.push(make(i)?);
    }
    Ok(v)
}

/// A vector of `n` copies of `value`, or an error that names `what` was to be held.
pub(crate) fn filled<T: Clone>(n: usize, value: T, what: &str) -> Result<Vec<T>> {
    let mut v = empty(n, what)?;
    v.resize(n, value);
    Ok(v)
}

/// What may be made of zero bytes.
///
/// # Safety
/// All bytes zero must be a value of the type.
pub(crate) unsafe trait Zero: Copy {}
// SAFETY: integers, and arrays of them.
unsafe impl Zero for u8 {}
// SAFETY: as above.
unsafe impl Zero for u16 {}
// SAFETY: as above.
unsafe impl Zero for u32 {}
// SAFETY: as above.
unsafe impl<T: Zero, const N: usize> Zero for [T; N] {}

/// `n` zeros, or an error that names `what` was to be held. Large tables take their memory from the system page by page, as
/// it is touched: what most calls leave alone costs nothing.
pub(crate) fn zeroed<T: Zero>(n: usize, what: &str) -> Result<Vec<T>> {
    let no_memory = || crate::error::out_of_memory(n.saturating_mul(size_of::<T>()), what);
    let layout = std::alloc::Layout::array::<T>(n).map_err(|_| no_memory())?;
    if layout.size() == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the layout is not of size 0.
    let p = fallible(|| unsafe { std::alloc::alloc_zeroed(layout) });
    if p.is_null() {
        return Err(no_memory());
    }
    // SAFETY: the global allocator gave `n` times T's size at T's alignment, which is what a Vec gives back; all of them
    // are values, for T: Zero.
    Ok(unsafe { Vec::from_raw_parts(p.cast(), n, n) })
}

/// Zeros on lines of the cache. As [`zeroed`], which does not place them so: an allocation of that alignment would be
/// written to at once.
#[derive(Debug)]
pub(crate) struct Lines<T> {
    memory: Vec<u8>,
    /// Where the first line begins, and how many there are.
    start: usize,
    len: usize,
    of: PhantomData<T>,
}

const LINE: usize = 64;

impl<T: Zero> Lines<T> {
    /// `n` of them, each of one line or several.
    pub(crate) fn zeroed(n: usize, what: &str) -> Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(LINE) && align_of::<T>() <= LINE) };
        let bytes = n.checked_mul(size_of::<T>()).and_then(|n| n.checked_add(LINE));
        let memory: Vec<u8> = zeroed(bytes.ok_or_else(|| crate::error::out_of_memory(usize::MAX, what))?, what)?;
        let start = memory.as_ptr().align_offset(LINE);
        assert!(start < LINE, "memory has addresses");
        Ok(Self { memory, start, len: n, of: PhantomData })
    }
}

impl<T: Zero> Deref for Lines<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `zeroed` made room for `len` of T from `start` on, which is aligned for T; the bytes were zeros and are
        // only written to as T; the vector never grows, so that they stay where they are.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(self.start).cast(), self.len) }
    }
}

impl<T: Zero> DerefMut for Lines<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().add(self.start).cast(), self.len) }
    }
}

/// Asks for the line of the cache that `x` lies on, and does not wait for it.
#[inline(always)]
pub(crate) fn prefetch<T>(x: &T) {
    let p = std::ptr::from_ref(x);
    // SAFETY: a hint: nothing is read as far as a program can tell, whatever the address.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    // SAFETY: as above.
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) p, options(nostack, preserves_flags, nomem));
    }
    #[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", not(miri)))))]
    let _ = p;
}

/// A copy of `v`, or an error that names `what` was to be held.
pub(crate) fn copied<T: Copy>(v: &[T], what: &str) -> Result<Vec<T>> {
    let mut out = empty(v.len(), what)?;
    out.extend_from_slice(v);
    Ok(out)
}

/// `values` as vectors, the last one padded with zeros.
pub(crate) fn padded(values: &[f32], what: &str) -> Result<Vec<Vec16>> {
    let mut v = filled(vectors(values.len()), Vec16::ZERO, what)?;
    flat_mut(&mut v)[..values.len()].copy_from_slice(values);
    Ok(v)
}

/// One row of f32 for each lane, each row whole vectors. Padding holds zeros unless a kernel says otherwise.
#[derive(Clone, Debug)]
pub struct Rows {
    data: Vec<Vec16>,
    stride: usize,
    lanes: usize,
}

impl Rows {
    /// `lanes` rows of at least `width` f32, all zero.
    pub fn new(lanes: usize, width: usize) -> Result<Self> {
        let stride = vectors(width).max(1);
        let n = lanes.checked_mul(stride).ok_or_else(|| crate::error::out_of_memory(usize::MAX, "activations"))?;
        Ok(Self { data: filled(n, Vec16::ZERO, "activations")?, stride, lanes })
    }

    /// How many lanes there are.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Has the first lanes alone count from here on.
    ///
    /// # Panics
    /// If it was not made for so many.
    pub fn set_lanes(&mut self, lanes: usize) {
        assert!(lanes * self.stride <= self.data.len());
        self.lanes = lanes;
    }

    /// A lane's row.
    pub fn row(&self, lane: usize) -> &[Vec16] {
        &self.data[lane * self.stride..(lane + 1) * self.stride]
    }

    /// A lane's row, to write to.
    pub fn row_mut(&mut self, lane: usize) -> &mut [Vec16] {
        &mut self.data[lane * self.stride..(lane + 1) * self.stride]
    }

    /// All rows that it was made with, one after the other.
    pub fn all(&self) -> &[Vec16] {
        &self.data
    }

    /// Takes over all rows of others that were made with the same shape.
    pub fn copy_from(&mut self, other: &Self) {
        self.data.copy_from_slice(&other.data);
    }

    /// A lane's row as f32.
    pub fn values(&self, lane: usize) -> &[f32] {
        flat(self.row(lane))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_aligned_zeros_wherever_they_are_moved() {
        let mut all: Vec<Lines<[u16; 32]>> = (0..20).map(|n| Lines::zeroed(n, "lines").unwrap()).collect();
        for (n, lines) in all.iter_mut().enumerate() {
            assert!(lines.len() == n && lines.as_ptr().addr().is_multiple_of(LINE));
            assert!(lines.as_flattened().iter().all(|x| *x == 0));
            lines.iter_mut().for_each(|line| line[31] = n as u16);
        }
        all.reverse();
        assert!(all.iter().all(|lines| lines.iter().all(|line| usize::from(line[31]) == lines.len())));
    }
}
