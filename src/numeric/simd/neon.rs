//! The AArch64 level: NEON, with the dot product instructions (FEAT_DotProd) where the CPU has them.
//!
//! Only `detect` creates a token, after it checked the CPU, and every vector comes from a method of a token. So an
//! instruction only runs on a CPU that has it. This is the safety argument of every block below.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "one argument holds for all blocks of the file, given in its text: the token proves the CPU has the \
              features; loads and stores take references to as many bytes as they access"
)]

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};
use std::array::from_fn;
use std::ops::{Add, BitAnd, BitOr, Div, Mul, Sub};

use super::super::vector::{Bytes64, Vec16};
use super::{Simd, WIDTH};

/// Token: this CPU has NEON and, if `DOT`, the dot product instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neon<const DOT: bool>(());

impl Neon<false> {
    /// The token, if the CPU supports the level.
    pub(crate) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

impl Neon<true> {
    /// The token, if the CPU supports the level.
    pub(crate) fn detect() -> Option<Self> {
        (is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("dotprod")).then_some(Self(()))
    }
}

/// Sixteen f32 in four registers.
#[derive(Clone, Copy)]
pub(crate) struct F128([float32x4_t; 4]);
/// Sixteen i32 in four registers.
#[derive(Clone, Copy)]
pub(crate) struct I128([int32x4_t; 4]);

macro_rules! operators {
    ($t:ident $($op:ident $method:ident $intrinsic:ident),+) => { $(
        impl $op for $t {
            type Output = Self;
            #[inline(always)]
            fn $method(self, o: Self) -> Self {
                unsafe { Self(from_fn(|i| $intrinsic(self.0[i], o.0[i]))) }
            }
        }
    )+ };
}

operators!(F128 Add add vaddq_f32, Sub sub vsubq_f32, Mul mul vmulq_f32, Div div vdivq_f32);
operators!(I128 Add add vaddq_s32, Sub sub vsubq_s32, BitAnd bitand vandq_s32, BitOr bitor vorrq_s32);

impl<const DOT: bool> Simd for Neon<DOT> {
    type F = F128;
    type I = I128;
    type M = [uint32x4_t; 4];
    // Rows 4i..4i+4.
    type W = [int8x16_t; 4];
    // With `DOT`: rows 4i..4i+4 in the first four. Without: rows 2i and 2i+1, two partial sums each, which `finish`
    // adds.
    type Acc = [int32x4_t; 8];

    const REGISTERS: usize = 32;
    const F_REGISTERS: usize = 4;
    const ACC_REGISTERS: usize = if DOT { 4 } else { 8 };
    const WIDE_GROUPS: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> F128 {
        unsafe { F128([vdupq_n_f32(x); 4]) }
    }
    #[inline(always)]
    fn load(self, x: &Vec16) -> F128 {
        let (quarters, _) = x.0.as_chunks::<4>();
        unsafe { F128(from_fn(|i| vld1q_f32(quarters[i].as_ptr()))) }
    }
    #[inline(always)]
    fn store(self, v: F128, to: &mut Vec16) {
        let (quarters, _) = to.0.as_chunks_mut::<4>();
        for (quarter, v) in quarters.iter_mut().zip(v.0) {
            unsafe { vst1q_f32(quarter.as_mut_ptr(), v) }
        }
    }
    #[inline(always)]
    fn sqrt(self, v: F128) -> F128 {
        unsafe { F128(v.0.map(|v| vsqrtq_f32(v))) }
    }
    #[inline(always)]
    fn gt(self, a: F128, b: F128) -> Self::M {
        unsafe { from_fn(|i| vcgtq_f32(a.0[i], b.0[i])) }
    }
    #[inline(always)]
    fn select(self, m: Self::M, a: F128, b: F128) -> F128 {
        unsafe { F128(from_fn(|i| vbslq_f32(m[i], a.0[i], b.0[i]))) }
    }
    // Not fmax and fmin, which give NaN if either operand is NaN and order the zeros.
    #[inline(always)]
    fn max(self, a: F128, b: F128) -> F128 {
        self.select(self.gt(a, b), a, b)
    }
    #[inline(always)]
    fn min(self, a: F128, b: F128) -> F128 {
        self.select(self.gt(b, a), a, b)
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> I128 {
        unsafe { I128([vdupq_n_s32(x); 4]) }
    }
    #[inline(always)]
    fn load_i(self, x: &[i32; WIDTH]) -> I128 {
        let (quarters, _) = x.as_chunks::<4>();
        unsafe { I128(from_fn(|i| vld1q_s32(quarters[i].as_ptr()))) }
    }
    #[inline(always)]
    fn mul_i(self, a: I128, b: I128) -> I128 {
        unsafe { I128(from_fn(|i| vmulq_s32(a.0[i], b.0[i]))) }
    }
    #[inline(always)]
    fn store_i(self, v: I128, to: &mut [i32; WIDTH]) {
        let (quarters, _) = to.as_chunks_mut::<4>();
        for (quarter, v) in quarters.iter_mut().zip(v.0) {
            unsafe { vst1q_s32(quarter.as_mut_ptr(), v) }
        }
    }
    #[inline(always)]
    fn shl23(self, v: I128) -> I128 {
        unsafe { I128(v.0.map(|v| vshlq_n_s32::<23>(v))) }
    }
    #[inline(always)]
    fn shr<const N: u32>(self, v: I128) -> I128 {
        unsafe { I128(v.0.map(|v| vshlq_s32(v, vdupq_n_s32(-(N as i32))))) }
    }
    #[inline(always)]
    fn to_float(self, v: I128) -> F128 {
        unsafe { F128(v.0.map(|v| vcvtq_f32_s32(v))) }
    }
    #[inline(always)]
    fn as_int(self, v: F128) -> I128 {
        unsafe { I128(v.0.map(|v| vreinterpretq_s32_f32(v))) }
    }
    #[inline(always)]
    fn as_float(self, v: I128) -> F128 {
        unsafe { F128(v.0.map(|v| vreinterpretq_f32_s32(v))) }
    }

    /// A group contains its four bytes twice, which is half a register, because the products without `DOT` need both
    /// halves.
    #[inline(always)]
    fn pack_groups(self, q: I128) -> [u64; 4] {
        unsafe {
            from_fn(|i| {
                let halves = vmovn_s32(q.0[i]);
                let bytes = vmovn_s16(vcombine_s16(halves, halves));
                vget_lane_u64::<0>(vreinterpret_u64_s8(bytes))
            })
        }
    }
    #[inline(always)]
    fn widen(self, x: &[i8; WIDTH]) -> I128 {
        unsafe {
            let x = vld1q_s8(x.as_ptr());
            let (low, high) = (vmovl_s8(vget_low_s8(x)), vmovl_high_s8(x));
            I128([
                vmovl_s16(vget_low_s16(low)),
                vmovl_high_s16(low),
                vmovl_s16(vget_low_s16(high)),
                vmovl_high_s16(high),
            ])
        }
    }
    #[inline(always)]
    fn add_shifted(self, total: Self::Acc, part: Self::Acc, shift: u32) -> Self::Acc {
        unsafe {
            let n = vdupq_n_s32(shift as i32);
            from_fn(|i| vaddq_s32(total[i], vshlq_s32(part[i], n)))
        }
    }
    #[inline(always)]
    fn load_weights(self, w: &Bytes64) -> Self::W {
        let (quarters, _) = w.0.as_chunks::<16>();
        unsafe { from_fn(|i| vld1q_s8(quarters[i].as_ptr())) }
    }
    #[inline(always)]
    fn acc(self) -> Self::Acc {
        unsafe { [vdupq_n_s32(0); 8] }
    }
    #[inline(always)]
    fn dot(self, mut acc: Self::Acc, w: Self::W, group: u64) -> Self::Acc {
        unsafe {
            let x = vreinterpretq_s8_u64(vdupq_n_u64(group));
            for i in 0..4 {
                if DOT {
                    acc[i] = sdot(acc[i], w[i], x);
                } else {
                    // A product is at most 127 * 127 in magnitude and fits 16 bits. Its sums need 32.
                    acc[2 * i] = vpadalq_s16(acc[2 * i], vmull_s8(vget_low_s8(w[i]), vget_low_s8(x)));
                    acc[2 * i + 1] = vpadalq_s16(acc[2 * i + 1], vmull_high_s8(w[i], x));
                }
            }
        }
        acc
    }
    #[inline(always)]
    fn finish(self, acc: Self::Acc, _row_sums: &[i32; WIDTH]) -> I128 {
        unsafe { I128(from_fn(|i| if DOT { acc[i] } else { vpaddq_s32(acc[2 * i], acc[2 * i + 1]) })) }
    }

    #[inline(always)]
    fn sum_i(self, v: I128) -> i32 {
        unsafe { vaddvq_s32(vaddq_s32(vaddq_s32(v.0[0], v.0[1]), vaddq_s32(v.0[2], v.0[3]))) }
    }
    #[inline(always)]
    fn tree_sum(self, v: F128) -> f32 {
        unsafe { tree_in_registers(v.0, |a, b| vaddq_f32(a, b)) }
    }
    #[inline(always)]
    fn tree_max(self, v: F128) -> f32 {
        unsafe { tree_in_registers(v.0, |a, b| vbslq_f32(vcgtq_f32(a, b), a, b)) }
    }
}

/// [`super::tree`] in registers. The lower half is the first operand.
#[inline(always)]
unsafe fn tree_in_registers(v: [float32x4_t; 4], f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> f32 {
    unsafe {
        let v = f(f(v[0], v[2]), f(v[1], v[3]));
        let v = f(v, vextq_f32::<2>(v, v));
        vgetq_lane_f32::<0>(f(v, vdupq_laneq_f32::<1>(v)))
    }
}

/// `sdot`: adds the products of four signed bytes to each of four sums. The intrinsic (`vdotq_s32`) is not stable yet.
///
/// # Safety
/// The CPU must have FEAT_DotProd.
#[inline(always)]
unsafe fn sdot(mut acc: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    unsafe {
        asm!("sdot {acc:v}.4s, {w:v}.16b, {x:v}.16b", acc = inout(vreg) acc, w = in(vreg) w, x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags));
    }
    acc
}
