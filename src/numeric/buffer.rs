//! Buffers: whole 64-byte vectors, zero-padded. Allocation is fallible.

use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;

use super::reserve::fallible;
use super::vector::{Vec16, flat, flat_mut, vectors};
use crate::error::Result;

/// An empty vector with room for `n` values, or a `Memory` error naming `what`.
pub(crate) fn reserved<T>(n: usize, what: &str) -> Result<Vec<T>> {
    let mut v = Vec::new();
    match fallible(|| v.try_reserve_exact(n)) {
        Ok(()) => Ok(v),
        Err(_) => Err(crate::error::out_of_memory(n.saturating_mul(size_of::<T>()), what)),
    }
}

/// Makes room for `n` more values, or returns a `Memory` error naming `what`.
pub(crate) fn grow<T>(v: &mut Vec<T>, n: usize, what: &str) -> Result<()> {
    if v.capacity() - v.len() >= n {
        return Ok(());
    }
    let len = v.len().saturating_add(n);
    fallible(|| v.try_reserve(n)).map_err(|_| crate::error::out_of_memory(len.saturating_mul(size_of::<T>()), what))
}

/// As [`grow`], without room for more than `n` values.
pub(crate) fn grow_exact<T>(v: &mut Vec<T>, n: usize, what: &str) -> Result<()> {
    if v.capacity() - v.len() >= n {
        return Ok(());
    }
    let len = v.len().saturating_add(n);
    fallible(|| v.try_reserve_exact(n))
        .map_err(|_| crate::error::out_of_memory(len.saturating_mul(size_of::<T>()), what))
}

/// As [`grow`], but for no more values than these: the vector does not double.
pub(crate) fn grow_exactly<T>(v: &mut Vec<T>, n: usize, what: &str) -> Result<()> {
    let len = v.len().saturating_add(n);
    let reserved = fallible(|| v.try_reserve_exact(n));
    reserved.map_err(|_| crate::error::out_of_memory(len.saturating_mul(size_of::<T>()), what))
}

/// A vector of the `n` values that `make` returns. The error is that of `make`, or `Memory` naming `what`.
pub(crate) fn made<T>(n: usize, what: &str, mut make: impl FnMut(usize) -> Result<T>) -> Result<Vec<T>> {
    let mut v = reserved(n, what)?;
    for i in 0..n {
        v.push(make(i)?);
    }
    Ok(v)
}

/// `value` on the heap, or a `Memory` error naming `what`. (`Box::new` aborts without memory.)
pub(crate) fn boxed<T>(value: T, what: &str) -> Result<Box<T>> {
    let mut v = reserved(1, what)?;
    v.push(value);
    // SAFETY: a boxed slice of one T is an allocation of the layout of one T, which a Box<T> frees.
    Ok(unsafe { Box::from_raw(Box::into_raw(v.into_boxed_slice()).cast()) })
}

/// A vector of `n` copies of `value`, or a `Memory` error naming `what`.
pub(crate) fn filled<T: Clone>(n: usize, value: T, what: &str) -> Result<Vec<T>> {
    let mut v = reserved(n, what)?;
    v.resize(n, value);
    Ok(v)
}

/// Types for which the all-zero bit pattern is a valid value.
///
/// # Safety
/// The all-zero bit pattern must be the valid value `ZERO`.
pub(crate) unsafe trait Zero: Copy {
    /// The value whose bytes are all zero.
    const ZERO: Self;
}
// SAFETY: integers, and arrays of them.
unsafe impl Zero for u8 {
    const ZERO: Self = 0;
}
// SAFETY: as above.
unsafe impl Zero for u16 {
    const ZERO: Self = 0;
}
// SAFETY: as above.
unsafe impl Zero for u32 {
    const ZERO: Self = 0;
}
// SAFETY: as above.
unsafe impl Zero for u64 {
    const ZERO: Self = 0;
}
// SAFETY: as above.
unsafe impl Zero for i32 {
    const ZERO: Self = 0;
}
// SAFETY: as above.
unsafe impl<T: Zero, const N: usize> Zero for [T; N] {
    const ZERO: Self = [T::ZERO; N];
}

/// `n` zeros, or a `Memory` error naming `what`. The system backs large tables page by page on first write, so that
/// parts that are never written take no memory.
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
    // SAFETY: the global allocator returned memory of the layout of `n` T, the one that a Vec frees; zero bytes are
    // valid values because T: Zero.
    Ok(unsafe { Vec::from_raw_parts(p.cast(), n, n) })
}

/// Elements aligned to cache lines, zero at first. A large table is mapped directly, so that its pages are taken when
/// they are first written and given back when the table is dropped. (The C library's allocator keeps freed tables of
/// this size, and clears them when they are used again.)
#[derive(Debug)]
pub(crate) struct Lines<T> {
    /// The first element, within `_memory`.
    first: NonNull<T>,
    /// The number of elements.
    len: usize,
    _memory: Memory,
}

/// The owner of the memory of [`Lines`].
#[derive(Debug)]
enum Memory {
    Heap {
        _bytes: Vec<u8>,
    },
    #[cfg(all(any(unix, windows), not(miri)))]
    Mapped {
        _map: memmap2::MmapMut,
    },
}

// SAFETY: the elements belong to this value alone, as those of a vector.
unsafe impl<T: Send> Send for Lines<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Lines<T> {}

const LINE: usize = 64;
/// Tables from this size on are mapped directly.
#[cfg(all(any(unix, windows), not(miri)))]
const MAPPED: usize = 1 << 17;

impl<T: Zero> Lines<T> {
    /// `n` zero elements, each of one or more whole cache lines.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn zeroed(n: usize, what: &str) -> Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(LINE) && align_of::<T>() <= LINE) };
        let no_memory = |bytes| crate::error::out_of_memory(bytes, what);
        let bytes = n.checked_mul(size_of::<T>()).and_then(|n| n.checked_add(LINE));
        let bytes = bytes.ok_or_else(|| no_memory(usize::MAX))?;
        #[cfg(all(any(unix, windows), not(miri)))]
        if bytes >= MAPPED {
            let mut map = memmap2::MmapMut::map_anon(bytes).map_err(|_| no_memory(bytes))?;
            // Pages are aligned to cache lines.
            let first = NonNull::new(map.as_mut_ptr().cast()).ok_or_else(|| no_memory(bytes))?;
            return Ok(Self { first, len: n, _memory: Memory::Mapped { _map: map } });
        }
        // The alignment is done here, since the allocator clears an over-aligned allocation by writing to all of it.
        let mut heap: Vec<u8> = zeroed(bytes, what)?;
        let start = heap.as_ptr().align_offset(LINE);
        assert!(start < LINE, "bytes can be aligned");
        let first = NonNull::new(heap[start..].as_mut_ptr().cast()).ok_or_else(|| no_memory(bytes))?;
        Ok(Self { first, len: n, _memory: Memory::Heap { _bytes: heap } })
    }
}

impl<T: Zero> Deref for Lines<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the memory holds `len` T from the aligned `first` on; the bytes were zero and are written only as T.
        // It is never reallocated, and moving its owner does not move it.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T: Zero> DerefMut for Lines<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.first.as_ptr(), self.len) }
    }
}

/// Prefetches the cache line of `x`.
#[inline(always)]
pub(crate) fn prefetch<T>(x: &T) {
    let p = std::ptr::from_ref(x);
    // SAFETY: a prefetch is a hint without architectural effect, whatever the address.
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

/// A copy of `v`, or a `Memory` error naming `what`.
pub(crate) fn copied<T: Copy>(v: &[T], what: &str) -> Result<Vec<T>> {
    let mut out = reserved(v.len(), what)?;
    out.extend_from_slice(v);
    Ok(out)
}

/// `values` as vectors, the last one padded with zeros.
pub(crate) fn padded(values: &[f32], what: &str) -> Result<Vec<Vec16>> {
    let mut v = filled(vectors(values.len()), Vec16::ZERO, what)?;
    flat_mut(&mut v)[..values.len()].copy_from_slice(values);
    Ok(v)
}

/// One row of f32 for each lane, padded to whole vectors. The padding is zero unless a kernel's documentation
/// states otherwise.
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

    /// The number of lanes.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Changes the number of lanes.
    ///
    /// # Panics
    /// If `lanes` is more than the rows were created with.
    pub fn set_lanes(&mut self, lanes: usize) {
        assert!(lanes * self.stride <= self.data.len());
        self.lanes = lanes;
    }

    /// A lane's row.
    pub fn row(&self, lane: usize) -> &[Vec16] {
        &self.data[lane * self.stride..(lane + 1) * self.stride]
    }

    /// A lane's row, mutable.
    pub fn row_mut(&mut self, lane: usize) -> &mut [Vec16] {
        &mut self.data[lane * self.stride..(lane + 1) * self.stride]
    }

    /// All rows with which it was created, end to end, mutable.
    pub fn all_mut(&mut self) -> &mut [Vec16] {
        &mut self.data
    }

    /// The rows of these lanes, end to end.
    pub fn span(&self, lanes: Range<usize>) -> &[Vec16] {
        &self.data[lanes.start * self.stride..lanes.end * self.stride]
    }

    /// The rows of these lanes, end to end, mutable.
    pub fn span_mut(&mut self, lanes: Range<usize>) -> &mut [Vec16] {
        &mut self.data[lanes.start * self.stride..lanes.end * self.stride]
    }

    /// All rows with which it was created, end to end.
    pub fn all(&self) -> &[Vec16] {
        &self.data
    }

    /// Copies a row to another one.
    pub fn copy_row(&mut self, from: usize, to: usize) {
        self.data.copy_within(from * self.stride..(from + 1) * self.stride, to * self.stride);
    }

    /// Copies all rows of `other`, which was created with the same shape.
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

    /// A table of this many lines is mapped.
    const MANY: usize = 1 << 13;

    #[test]
    fn lines_are_aligned_and_zero_and_survive_moves() {
        let mut all: Vec<Lines<[u16; 32]>> =
            (0..20).chain([MANY]).map(|n| Lines::zeroed(n, "lines").unwrap()).collect();
        for (n, lines) in all.iter_mut().enumerate() {
            assert!(lines.len() == if n < 20 { n } else { MANY } && lines.as_ptr().addr().is_multiple_of(LINE));
            assert!(lines.as_flattened().iter().all(|x| *x == 0));
            lines.iter_mut().for_each(|line| line[31] = n as u16);
        }
        all.reverse();
        let number = |lines: &Lines<[u16; 32]>| if lines.len() == MANY { 20 } else { lines.len() };
        assert!(all.iter().all(|lines| lines.iter().all(|line| usize::from(line[31]) == number(lines))));
    }
}
