//! The x86-64 levels: AVX2, and AVX-512 with VNNI.
//!
//! Only `detect` creates a token, after it checked the CPU, and every vector comes from a method of a token. So an
//! instruction only runs on a CPU that has it. This is the safety argument of every block below.
//!
//! Methods are `inline(always)` and run inside a function with the level's `target_feature`
//! ([`super::super::level`]); elsewhere they are correct but slow.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "one argument holds for all blocks of the file, given in its text: the token proves the CPU has the \
              features; loads and stores take references to as many bytes as they access"
)]

use std::arch::x86_64::*;
use std::ops::{Add, BitAnd, BitOr, Div, Mul, Sub};

use super::super::vector::{Bytes64, Vec16};
use super::{Simd, WIDTH};

/// Token: this CPU has AVX2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2(());

/// Token: this CPU has AVX-512 F, BW, DQ, VL and VNNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512(());

impl Avx2 {
    /// The token, if the CPU supports the level.
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

impl Avx512 {
    /// The token, if the CPU supports the level.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni"))
        .then_some(Self(()))
    }
}

/// Sixteen f32 in two AVX registers.
#[derive(Clone, Copy)]
pub(crate) struct F256(__m256, __m256);
/// Sixteen i32 in two AVX registers.
#[derive(Clone, Copy)]
pub(crate) struct I256(__m256i, __m256i);
/// Sixteen f32 in one AVX-512 register.
#[derive(Clone, Copy)]
pub(crate) struct F512(__m512);
/// Sixteen i32 in one AVX-512 register.
#[derive(Clone, Copy)]
pub(crate) struct I512(__m512i);

macro_rules! operators {
    ($t:ident $fields:tt $($op:ident $method:ident $intrinsic:ident),+) => { $(
        impl $op for $t {
            type Output = Self;
            #[inline(always)]
            fn $method(self, o: Self) -> Self {
                operators!(@ $t $intrinsic self o $fields)
            }
        }
    )+ };
    (@ $t:ident $i:ident $s:ident $o:ident { 0 }) => { unsafe { $t($i($s.0, $o.0)) } };
    (@ $t:ident $i:ident $s:ident $o:ident { 0 1 }) => { unsafe { $t($i($s.0, $o.0), $i($s.1, $o.1)) } };
}

operators!(F256 { 0 1 } Add add _mm256_add_ps, Sub sub _mm256_sub_ps, Mul mul _mm256_mul_ps, Div div _mm256_div_ps);
operators!(I256 { 0 1 } Add add _mm256_add_epi32, Sub sub _mm256_sub_epi32, BitAnd bitand _mm256_and_si256,
    BitOr bitor _mm256_or_si256);
operators!(F512 { 0 } Add add _mm512_add_ps, Sub sub _mm512_sub_ps, Mul mul _mm512_mul_ps, Div div _mm512_div_ps);
operators!(I512 { 0 } Add add _mm512_add_epi32, Sub sub _mm512_sub_epi32, BitAnd bitand _mm512_and_si512,
    BitOr bitor _mm512_or_si512);

macro_rules! tree_in_registers {
    ($name:ident, $op:ident) => {
        /// The last three steps of [`super::tree`] in registers. The lower half is the first operand.
        #[inline]
        #[target_feature(enable = "avx")]
        fn $name(v: __m256) -> f32 {
            let v = $op(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let v = $op(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32($op(v, _mm_shuffle_ps::<1>(v, v)))
        }
    };
}

/// The sum of eight integers, wrapping.
#[inline]
#[target_feature(enable = "avx2")]
fn sum_of_eight_i(v: __m256i) -> i32 {
    let v = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
    let v = _mm_add_epi32(v, _mm_shuffle_epi32::<0b11_10_11_10>(v));
    _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32::<0b01>(v)))
}

tree_in_registers!(sum_of_eight, _mm_add_ps);
tree_in_registers!(max_of_eight, _mm_max_ps);

impl Simd for Avx2 {
    type F = F256;
    type I = I256;
    type M = F256;
    // Rows 4i..4i+4, widened to 16 bits. pmaddwd gives two partial sums a row, which `finish` adds.
    type W = [__m256i; 4];
    type Acc = [__m256i; 4];

    const REGISTERS: usize = 16;
    const F_REGISTERS: usize = 2;
    const ACC_REGISTERS: usize = 4;
    const WIDE_GROUPS: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> F256 {
        unsafe { F256(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }
    #[inline(always)]
    fn load(self, x: &Vec16) -> F256 {
        let p = x.0.as_ptr();
        unsafe { F256(_mm256_load_ps(p), _mm256_load_ps(p.add(8))) }
    }
    #[inline(always)]
    fn store(self, v: F256, to: &mut Vec16) {
        let p = to.0.as_mut_ptr();
        unsafe {
            _mm256_store_ps(p, v.0);
            _mm256_store_ps(p.add(8), v.1);
        }
    }
    #[inline(always)]
    fn sqrt(self, v: F256) -> F256 {
        unsafe { F256(_mm256_sqrt_ps(v.0), _mm256_sqrt_ps(v.1)) }
    }
    #[inline(always)]
    fn gt(self, a: F256, b: F256) -> F256 {
        unsafe { F256(_mm256_cmp_ps::<_CMP_GT_OQ>(a.0, b.0), _mm256_cmp_ps::<_CMP_GT_OQ>(a.1, b.1)) }
    }
    #[inline(always)]
    fn select(self, m: F256, a: F256, b: F256) -> F256 {
        unsafe { F256(_mm256_blendv_ps(b.0, a.0, m.0), _mm256_blendv_ps(b.1, a.1, m.1)) }
    }
    #[inline(always)]
    fn max(self, a: F256, b: F256) -> F256 {
        unsafe { F256(_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
    }
    #[inline(always)]
    fn min(self, a: F256, b: F256) -> F256 {
        unsafe { F256(_mm256_min_ps(a.0, b.0), _mm256_min_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> I256 {
        unsafe { I256(_mm256_set1_epi32(x), _mm256_set1_epi32(x)) }
    }
    #[inline(always)]
    fn load_i(self, x: &[i32; WIDTH]) -> I256 {
        let p = x.as_ptr().cast::<__m256i>();
        unsafe { I256(_mm256_loadu_si256(p), _mm256_loadu_si256(p.add(1))) }
    }
    #[inline(always)]
    fn mul_i(self, a: I256, b: I256) -> I256 {
        unsafe { I256(_mm256_mullo_epi32(a.0, b.0), _mm256_mullo_epi32(a.1, b.1)) }
    }
    #[inline(always)]
    fn store_i(self, v: I256, to: &mut [i32; WIDTH]) {
        let p = to.as_mut_ptr().cast::<__m256i>();
        unsafe {
            _mm256_storeu_si256(p, v.0);
            _mm256_storeu_si256(p.add(1), v.1);
        }
    }
    #[inline(always)]
    fn shl23(self, v: I256) -> I256 {
        unsafe { I256(_mm256_slli_epi32::<23>(v.0), _mm256_slli_epi32::<23>(v.1)) }
    }
    #[inline(always)]
    fn shr<const N: u32>(self, v: I256) -> I256 {
        unsafe {
            let n = _mm256_set1_epi32(N as i32);
            I256(_mm256_srav_epi32(v.0, n), _mm256_srav_epi32(v.1, n))
        }
    }
    #[inline(always)]
    fn to_float(self, v: I256) -> F256 {
        unsafe { F256(_mm256_cvtepi32_ps(v.0), _mm256_cvtepi32_ps(v.1)) }
    }
    #[inline(always)]
    fn as_int(self, v: F256) -> I256 {
        unsafe { I256(_mm256_castps_si256(v.0), _mm256_castps_si256(v.1)) }
    }
    #[inline(always)]
    fn as_float(self, v: I256) -> F256 {
        unsafe { F256(_mm256_castsi256_ps(v.0), _mm256_castsi256_ps(v.1)) }
    }

    #[inline(always)]
    fn widen(self, x: &[i8; WIDTH]) -> I256 {
        unsafe {
            let x = _mm_loadu_si128(x.as_ptr().cast());
            I256(_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(x)))
        }
    }
    #[inline(always)]
    fn add_shifted(self, total: Self::Acc, part: Self::Acc, shift: u32) -> Self::Acc {
        unsafe {
            let n = _mm_cvtsi32_si128(shift as i32);
            std::array::from_fn(|i| _mm256_add_epi32(total[i], _mm256_sll_epi32(part[i], n)))
        }
    }
    #[inline(always)]
    fn pack_groups(self, q: I256) -> [u64; 4] {
        let mut out = [0u64; 4];
        unsafe {
            // packs works within 128-bit halves: groups 0 2 | 1 3.
            let p = _mm256_packs_epi32(q.0, q.1);
            let p = _mm256_permute4x64_epi64::<0b11_01_10_00>(p);
            _mm256_storeu_si256(out.as_mut_ptr().cast(), p);
        }
        out
    }
    #[inline(always)]
    fn load_weights(self, w: &Bytes64) -> Self::W {
        let p = w.0.as_ptr().cast::<__m128i>();
        unsafe {
            [
                _mm256_cvtepi8_epi16(_mm_load_si128(p)),
                _mm256_cvtepi8_epi16(_mm_load_si128(p.add(1))),
                _mm256_cvtepi8_epi16(_mm_load_si128(p.add(2))),
                _mm256_cvtepi8_epi16(_mm_load_si128(p.add(3))),
            ]
        }
    }
    #[inline(always)]
    fn acc(self) -> Self::Acc {
        unsafe { [_mm256_setzero_si256(); 4] }
    }
    #[inline(always)]
    fn dot(self, acc: Self::Acc, w: Self::W, group: u64) -> Self::Acc {
        unsafe {
            let x = _mm256_set1_epi64x(group as i64);
            [
                _mm256_add_epi32(acc[0], _mm256_madd_epi16(w[0], x)),
                _mm256_add_epi32(acc[1], _mm256_madd_epi16(w[1], x)),
                _mm256_add_epi32(acc[2], _mm256_madd_epi16(w[2], x)),
                _mm256_add_epi32(acc[3], _mm256_madd_epi16(w[3], x)),
            ]
        }
    }
    #[inline(always)]
    fn sum_i(self, v: I256) -> i32 {
        unsafe { sum_of_eight_i(_mm256_add_epi32(v.0, v.1)) }
    }
    #[inline(always)]
    fn tree_sum(self, v: F256) -> f32 {
        unsafe { sum_of_eight(_mm256_add_ps(v.0, v.1)) }
    }
    #[inline(always)]
    fn tree_max(self, v: F256) -> f32 {
        unsafe { max_of_eight(_mm256_max_ps(v.0, v.1)) }
    }
    #[inline(always)]
    fn finish(self, acc: Self::Acc, _row_sums: &[i32; WIDTH]) -> I256 {
        unsafe {
            // hadd works within 128-bit halves: rows 0 1 4 5 | 2 3 6 7.
            let lo = _mm256_hadd_epi32(acc[0], acc[1]);
            let hi = _mm256_hadd_epi32(acc[2], acc[3]);
            I256(_mm256_permute4x64_epi64::<0b11_01_10_00>(lo), _mm256_permute4x64_epi64::<0b11_01_10_00>(hi))
        }
    }
}

impl Simd for Avx512 {
    type F = F512;
    type I = I512;
    type M = __mmask16;
    type W = __m512i;
    type Acc = __m512i;

    const REGISTERS: usize = 32;
    const F_REGISTERS: usize = 1;
    const ACC_REGISTERS: usize = 1;
    const BIAS: u64 = 0x8080_8080;
    const WIDE_GROUPS: bool = false;
    const BIASED_WEIGHTS: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> F512 {
        unsafe { F512(_mm512_set1_ps(x)) }
    }
    #[inline(always)]
    fn load(self, x: &Vec16) -> F512 {
        unsafe { F512(_mm512_load_ps(x.0.as_ptr())) }
    }
    #[inline(always)]
    fn store(self, v: F512, to: &mut Vec16) {
        unsafe { _mm512_store_ps(to.0.as_mut_ptr(), v.0) }
    }
    #[inline(always)]
    fn sqrt(self, v: F512) -> F512 {
        unsafe { F512(_mm512_sqrt_ps(v.0)) }
    }
    #[inline(always)]
    fn gt(self, a: F512, b: F512) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a.0, b.0) }
    }
    #[inline(always)]
    fn select(self, m: __mmask16, a: F512, b: F512) -> F512 {
        unsafe { F512(_mm512_mask_blend_ps(m, b.0, a.0)) }
    }
    #[inline(always)]
    fn max(self, a: F512, b: F512) -> F512 {
        unsafe { F512(_mm512_max_ps(a.0, b.0)) }
    }
    #[inline(always)]
    fn min(self, a: F512, b: F512) -> F512 {
        unsafe { F512(_mm512_min_ps(a.0, b.0)) }
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> I512 {
        unsafe { I512(_mm512_set1_epi32(x)) }
    }
    #[inline(always)]
    fn load_i(self, x: &[i32; WIDTH]) -> I512 {
        unsafe { I512(_mm512_loadu_si512(x.as_ptr().cast())) }
    }
    #[inline(always)]
    fn mul_i(self, a: I512, b: I512) -> I512 {
        unsafe { I512(_mm512_mullo_epi32(a.0, b.0)) }
    }
    #[inline(always)]
    fn store_i(self, v: I512, to: &mut [i32; WIDTH]) {
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), v.0) }
    }
    #[inline(always)]
    fn shl23(self, v: I512) -> I512 {
        unsafe { I512(_mm512_slli_epi32::<23>(v.0)) }
    }
    #[inline(always)]
    fn shr<const N: u32>(self, v: I512) -> I512 {
        unsafe { I512(_mm512_srai_epi32::<N>(v.0)) }
    }
    #[inline(always)]
    fn to_float(self, v: I512) -> F512 {
        unsafe { F512(_mm512_cvtepi32_ps(v.0)) }
    }
    #[inline(always)]
    fn as_int(self, v: F512) -> I512 {
        unsafe { I512(_mm512_castps_si512(v.0)) }
    }
    #[inline(always)]
    fn as_float(self, v: I512) -> F512 {
        unsafe { F512(_mm512_castsi512_ps(v.0)) }
    }

    // vpdpbusd multiplies unsigned by signed bytes. Activations have an offset of 128, for which `finish` corrects.
    #[inline(always)]
    fn pack_groups(self, q: I512) -> [u64; 4] {
        unsafe {
            let biased = _mm512_add_epi32(q.0, _mm512_set1_epi32(128));
            let bytes = _mm512_cvtepi32_epi8(biased);
            let mut out = [0u64; 4];
            _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_cvtepu32_epi64(bytes));
            out
        }
    }
    #[inline(always)]
    fn load_weights(self, w: &Bytes64) -> __m512i {
        unsafe { _mm512_load_si512(w.0.as_ptr().cast()) }
    }
    #[inline(always)]
    fn acc(self) -> __m512i {
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    fn dot(self, acc: __m512i, w: __m512i, group: u64) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(acc, _mm512_set1_epi32(group as u32 as i32), w) }
    }
    #[inline(always)]
    fn widen(self, x: &[i8; WIDTH]) -> I512 {
        unsafe { I512(_mm512_cvtepi8_epi32(_mm_loadu_si128(x.as_ptr().cast()))) }
    }
    #[inline(always)]
    fn add_shifted(self, total: __m512i, part: __m512i, shift: u32) -> __m512i {
        unsafe { _mm512_add_epi32(total, _mm512_sll_epi32(part, _mm_cvtsi32_si128(shift as i32))) }
    }
    // The other way round: the weights are the unsigned operand.
    #[inline(always)]
    fn load_weights_signed(self, w: &Bytes64) -> __m512i {
        unsafe { _mm512_xor_si512(_mm512_load_si512(w.0.as_ptr().cast()), _mm512_set1_epi8(-128)) }
    }
    #[inline(always)]
    fn dot_signed(self, acc: __m512i, w: __m512i, group: u64) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(acc, w, _mm512_set1_epi32(group as u32 as i32)) }
    }
    #[inline(always)]
    fn finish_signed(self, acc: __m512i, excess: i32) -> I512 {
        unsafe { I512(_mm512_sub_epi32(acc, _mm512_set1_epi32(excess))) }
    }
    #[inline(always)]
    fn sum_i(self, v: I512) -> i32 {
        unsafe { sum_of_eight_i(_mm256_add_epi32(_mm512_castsi512_si256(v.0), _mm512_extracti64x4_epi64::<1>(v.0))) }
    }
    #[inline(always)]
    fn tree_sum(self, v: F512) -> f32 {
        unsafe { sum_of_eight(_mm256_add_ps(_mm512_castps512_ps256(v.0), _mm512_extractf32x8_ps::<1>(v.0))) }
    }
    #[inline(always)]
    fn tree_max(self, v: F512) -> f32 {
        unsafe { max_of_eight(_mm256_max_ps(_mm512_castps512_ps256(v.0), _mm512_extractf32x8_ps::<1>(v.0))) }
    }
    #[inline(always)]
    fn finish(self, acc: __m512i, row_sums: &[i32; WIDTH]) -> I512 {
        unsafe {
            let offset = _mm512_slli_epi32::<7>(_mm512_loadu_si512(row_sums.as_ptr().cast()));
            I512(_mm512_sub_epi32(acc, offset))
        }
    }
}
