//! The level that every target has. It uses the crate `wide` and the instructions that the compiler may assume at build
//! time.

use wide::{f32x16, i8x16, i16x16, i32x8, i32x16};

use super::super::vector::{Bytes64, Vec16};
use super::{Simd, WIDTH};

/// Token of the portable level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portable;

impl Simd for Portable {
    type F = f32x16;
    type I = i32x16;
    type M = f32x16;
    type W = [i16x16; 4];
    // Rows 4i..4i+4, two partial sums each.
    type Acc = [i32x8; 4];

    // Registers of 128 bits, as in SSE2.
    const REGISTERS: usize = 16;
    const F_REGISTERS: usize = 4;
    const ACC_REGISTERS: usize = 8;
    const WIDE_GROUPS: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> f32x16 {
        f32x16::splat(x)
    }
    #[inline(always)]
    fn load(self, x: &Vec16) -> f32x16 {
        f32x16::new(x.0)
    }
    #[inline(always)]
    fn store(self, v: f32x16, to: &mut Vec16) {
        to.0 = v.to_array();
    }
    #[inline(always)]
    fn sqrt(self, v: f32x16) -> f32x16 {
        // The function of `wide` computes the root in software on targets for which it has no instruction.
        f32x16::new(v.to_array().map(f32::sqrt))
    }
    #[inline(always)]
    fn gt(self, a: f32x16, b: f32x16) -> f32x16 {
        a.simd_gt(b)
    }
    #[inline(always)]
    fn select(self, m: f32x16, a: f32x16, b: f32x16) -> f32x16 {
        m.select(a, b)
    }
    #[inline(always)]
    fn max(self, a: f32x16, b: f32x16) -> f32x16 {
        a.simd_gt(b).select(a, b)
    }
    #[inline(always)]
    fn min(self, a: f32x16, b: f32x16) -> f32x16 {
        a.simd_lt(b).select(a, b)
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> i32x16 {
        i32x16::splat(x)
    }
    #[inline(always)]
    fn load_i(self, x: &[i32; WIDTH]) -> i32x16 {
        i32x16::new(*x)
    }
    #[inline(always)]
    fn mul_i(self, a: i32x16, b: i32x16) -> i32x16 {
        a * b
    }
    #[inline(always)]
    fn store_i(self, v: i32x16, to: &mut [i32; WIDTH]) {
        *to = v.to_array();
    }
    #[inline(always)]
    fn shl23(self, v: i32x16) -> i32x16 {
        v << 23
    }
    #[inline(always)]
    fn shr<const N: u32>(self, v: i32x16) -> i32x16 {
        v >> N
    }
    #[inline(always)]
    fn to_float(self, v: i32x16) -> f32x16 {
        f32x16::from_i32x16(v)
    }
    #[inline(always)]
    fn as_int(self, v: f32x16) -> i32x16 {
        i32x16::new(v.to_array().map(|x| x.to_bits() as i32))
    }
    #[inline(always)]
    fn as_float(self, v: i32x16) -> f32x16 {
        f32x16::new(v.to_array().map(|x| f32::from_bits(x as u32)))
    }

    #[inline(always)]
    fn widen(self, x: &[i8; WIDTH]) -> i32x16 {
        i32x16::new(x.map(i32::from))
    }
    #[inline(always)]
    fn add_shifted(self, total: Self::Acc, part: Self::Acc, shift: u32) -> Self::Acc {
        std::array::from_fn(|i| total[i] + (part[i] << shift))
    }
    #[inline(always)]
    fn pack_groups(self, q: i32x16) -> [u64; 4] {
        let q = q.to_array();
        std::array::from_fn(|g| {
            let half = |i: usize| u64::from(q[g * 4 + i] as u16) << (16 * i);
            half(0) | half(1) | half(2) | half(3)
        })
    }
    #[inline(always)]
    fn load_weights(self, w: &Bytes64) -> Self::W {
        let (quarters, _) = w.0.as_chunks::<16>();
        std::array::from_fn(|i| i16x16::from_i8x16(i8x16::new(quarters[i])))
    }
    #[inline(always)]
    fn acc(self) -> Self::Acc {
        [i32x8::splat(0); 4]
    }
    #[inline(always)]
    fn dot(self, acc: Self::Acc, w: Self::W, group: u64) -> Self::Acc {
        let x: [i16; 4] = std::array::from_fn(|i| (group >> (16 * i)) as i16);
        let x = i16x16::new(std::array::from_fn(|i| x[i % 4]));
        std::array::from_fn(|i| acc[i] + w[i].dot(x))
    }
    #[inline(always)]
    fn finish(self, acc: Self::Acc, _row_sums: &[i32; WIDTH]) -> i32x16 {
        let parts = acc.map(|a| a.to_array());
        i32x16::new(std::array::from_fn(|row| {
            let pair = &parts[row / 4][row % 4 * 2..][..2];
            pair[0].wrapping_add(pair[1])
        }))
    }
}
