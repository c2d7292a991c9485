//! Sixteen-wide vectors at every level, and the operations that the kernels use.
//!
//! Each implementation is a zero-sized token that proves that the CPU supports the level. The operations are IEEE
//! binary32 add, subtract, multiply, divide and square root (each rounded once, to nearest even), comparisons,
//! selects and integer operations. No result depends on the width of the hardware's registers. It has
//! deliberately no fused multiply-add, no sum in an unspecified order and no approximate reciprocal (docs/NUMERICS.md).

#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::{Add, BitAnd, BitOr, Div, Mul, Sub};

#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

use super::vector::{Bytes64, Vec16, WIDTH};

/// One level's vectors. The module's documentation states which operations are allowed here.
pub(crate) trait Simd: Copy {
    /// Sixteen f32.
    type F: Copy + Add<Output = Self::F> + Sub<Output = Self::F> + Mul<Output = Self::F> + Div<Output = Self::F>;
    /// Sixteen i32, wrapping.
    type I: Copy + Add<Output = Self::I> + Sub<Output = Self::I> + BitAnd<Output = Self::I> + BitOr<Output = Self::I>;
    /// Sixteen booleans.
    type M: Copy;
    /// Sixteen rows of four int8 weights, loaded for [`Simd::dot`].
    type W: Copy;
    /// The accumulators of sixteen integer dot products.
    type Acc: Copy;

    /// The number of vector registers, which determines the size of tiles.
    const REGISTERS: usize;
    /// The registers that a [`Simd::F`] takes.
    const F_REGISTERS: usize;
    /// The registers that a [`Simd::Acc`] takes.
    const ACC_REGISTERS: usize;

    /// A group holds its four numbers xor this. Levels that bias activations by 128 flip the four sign bits.
    const BIAS: u64 = 0;

    /// Whether a group has room for 16-bit numbers, so that [`Simd::dot`] also multiplies numbers in -8128..=8128.
    const WIDE_GROUPS: bool;
    /// Whether [`Simd::dot_signed`] adds 128 to each weight.
    const BIASED_WEIGHTS: bool = false;

    fn splat(self, x: f32) -> Self::F;
    fn load(self, x: &Vec16) -> Self::F;
    fn store(self, v: Self::F, to: &mut Vec16);
    fn sqrt(self, v: Self::F) -> Self::F;
    /// `a > b` for each lane; false if either is NaN.
    fn gt(self, a: Self::F, b: Self::F) -> Self::M;
    /// `if m { a } else { b }` for each lane.
    fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F;
    /// `if a > b { a } else { b }`: `b` if either is NaN or both are zeros.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `if a < b { a } else { b }`: `b` if either is NaN or both are zeros.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;

    fn splat_i(self, x: i32) -> Self::I;
    fn load_i(self, x: &[i32; WIDTH]) -> Self::I;
    fn store_i(self, v: Self::I, to: &mut [i32; WIDTH]);
    /// The low 32 bits of the products.
    fn mul_i(self, a: Self::I, b: Self::I) -> Self::I;
    fn shl23(self, v: Self::I) -> Self::I;
    /// Arithmetic shift right by N bits.
    fn shr<const N: u32>(self, v: Self::I) -> Self::I;
    /// IEEE conversion, to nearest even.
    fn to_float(self, v: Self::I) -> Self::F;
    fn as_int(self, v: Self::F) -> Self::I;
    fn as_float(self, v: Self::I) -> Self::F;

    /// Packs sixteen integers in -127..=127 as four groups of four, in the format of [`Simd::dot`].
    fn pack_groups(self, q: Self::I) -> [u64; 4];
    fn load_weights(self, w: &Bytes64) -> Self::W;
    fn acc(self) -> Self::Acc;
    /// Adds to each row's sum the products of its four weights and a group of four activations.
    fn dot(self, acc: Self::Acc, w: Self::W, group: u64) -> Self::Acc;
    /// As [`Simd::dot`], of a group of signed numbers without [`Simd::BIAS`], with weights of
    /// [`Simd::load_weights_signed`]. If [`Simd::BIASED_WEIGHTS`], each sum has 128 times the sum of the group too much.
    #[inline(always)]
    fn dot_signed(self, acc: Self::Acc, w: Self::W, group: u64) -> Self::Acc {
        self.dot(acc, w, group)
    }
    /// Sixteen rows of four int8 weights for [`Simd::dot_signed`].
    #[inline(always)]
    fn load_weights_signed(self, w: &Bytes64) -> Self::W {
        self.load_weights(w)
    }
    /// `total + (part << shift)`, wrapping, for each number.
    fn add_shifted(self, total: Self::Acc, part: Self::Acc, shift: u32) -> Self::Acc;
    /// The sixteen sums less `excess`, for accumulators of [`Simd::dot_signed`].
    #[inline(always)]
    fn finish_signed(self, acc: Self::Acc, _excess: i32) -> Self::I {
        self.finish(acc, &[0; WIDTH])
    }
    /// Sixteen int8 as i32.
    fn widen(self, x: &[i8; WIDTH]) -> Self::I;
    /// The sixteen sums. `row_sums` are the sums of each row's weights. Levels that bias activations use them to remove
    /// the bias.
    fn finish(self, acc: Self::Acc, row_sums: &[i32; WIDTH]) -> Self::I;

    #[inline(always)]
    fn abs(self, v: Self::F) -> Self::F {
        self.as_float(self.as_int(v) & self.splat_i(0x7fff_ffff))
    }

    /// The sixteen lanes as an array.
    #[inline(always)]
    fn lanes(self, v: Self::F) -> [f32; WIDTH] {
        let mut out = Vec16::ZERO;
        self.store(v, &mut out);
        out.0
    }

    /// The sum of sixteen integers, wrapping.
    #[inline(always)]
    fn sum_i(self, v: Self::I) -> i32 {
        let mut lanes = [0; WIDTH];
        self.store_i(v, &mut lanes);
        lanes.iter().fold(0i32, |a, b| a.wrapping_add(*b))
    }

    /// The sum of the sixteen lanes by the contract's fixed tree: the upper half is added to the lower until one is
    /// left.
    #[inline(always)]
    fn tree_sum(self, v: Self::F) -> f32 {
        tree(self.lanes(v), |a, b| a + b)
    }

    /// The maximum of the sixteen lanes by the same tree. Each step is [`Simd::max`] of the lower and the upper half.
    #[inline(always)]
    fn tree_max(self, v: Self::F) -> f32 {
        tree(self.lanes(v), |a, b| if a > b { a } else { b })
    }
}

/// Folds sixteen lanes: lane i with lane i+8, then i+4, i+2, i+1.
#[inline(always)]
pub(crate) fn tree(mut v: [f32; WIDTH], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut n = WIDTH / 2;
    while n > 0 {
        for i in 0..n {
            v[i] = f(v[i], v[i + n]);
        }
        n /= 2;
    }
    v[0]
}
