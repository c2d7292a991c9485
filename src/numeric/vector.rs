//! The unit of memory that all kernels work on: sixteen numbers on a cache line.

/// The number of f32 in a vector, in a panel of a matrix and in a strided sum. A constant of the numeric contract.
pub(crate) const WIDTH: usize = 16;

/// Sixteen f32 on a cache line. Rows of activations and panels of matrices are made of these.
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

/// The f32 of `v`, in order.
pub fn flat(v: &[Vec16]) -> &[f32] {
    // SAFETY: Vec16 is repr(C) with one field [f32; 16] and size 64, so a slice of them is 16 times as many f32
    // without gaps; the lifetime and shared borrow carry over.
    unsafe { std::slice::from_raw_parts(v.as_ptr().cast(), v.len() * WIDTH) }
}

/// As [`flat`], to write to.
pub fn flat_mut(v: &mut [Vec16]) -> &mut [f32] {
    // SAFETY: as in `flat`; the borrow is unique, and every bit pattern is an f32.
    unsafe { std::slice::from_raw_parts_mut(v.as_mut_ptr().cast(), v.len() * WIDTH) }
}

/// How many vectors hold `n` f32.
pub fn vectors(n: usize) -> usize {
    n.div_ceil(WIDTH)
}
