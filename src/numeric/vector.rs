//! The unit of memory of all kernels: sixteen numbers on a cache line.

/// The f32 in a vector, the rows in a panel of a matrix, the partial sums of a strided sum. A constant of the numeric
/// contract.
pub(crate) const WIDTH: usize = 16;

/// Sixteen f32 on a cache line: the element of activation rows and matrix panels.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Vec16(pub [f32; WIDTH]);

/// Sixteen rows of four int8 weights on a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Bytes64(pub(crate) [i8; 64]);

impl Vec16 {
    /// All lanes zero.
    pub const ZERO: Self = Self([0.0; WIDTH]);
}

/// `v` as f32.
pub fn flat(v: &[Vec16]) -> &[f32] {
    // SAFETY: Vec16 is repr(C) with one field [f32; 16] and size 64, so a slice of them is 16 times as many f32
    // without gaps; the lifetime and shared borrow carry over.
    unsafe { std::slice::from_raw_parts(v.as_ptr().cast(), v.len() * WIDTH) }
}

/// `v` as mutable f32.
pub fn flat_mut(v: &mut [Vec16]) -> &mut [f32] {
    // SAFETY: as in `flat`; the borrow is unique, and every bit pattern is an f32.
    unsafe { std::slice::from_raw_parts_mut(v.as_mut_ptr().cast(), v.len() * WIDTH) }
}

/// The number of vectors that hold `n` f32.
pub fn vectors(n: usize) -> usize {
    n.div_ceil(WIDTH)
}

/// The bytes of f32, in the order of the CPU.
pub(crate) fn bytes_of(v: &[f32]) -> &[u8] {
    // SAFETY: every byte of a f32 is initialised, and a u8 has no alignment; the lifetime and borrow carry over.
    unsafe { std::slice::from_raw_parts(v.as_ptr().cast(), size_of_val(v)) }
}
