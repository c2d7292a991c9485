//! CPU levels: which instructions the kernels use. Detected once, capped by the environment or the caller. Every level
//! computes the same bits.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

#[cfg(target_arch = "aarch64")]
use super::simd::Neon;
#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Portable, Simd};

/// Levels by their numbers in the C ABI, which never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Cap {
    /// The best level of the CPU.
    Auto = 0,
    /// Only instructions that every CPU of the architecture has.
    Portable = 1,
    /// x86-64 with AVX2.
    Avx2 = 2,
    /// x86-64 with AVX-512 F, BW, DQ, VL and VNNI.
    Avx512 = 3,
    /// AArch64: NEON, and the dot product instructions where the CPU has them.
    Neon = 4,
}

impl Cap {
    /// The level with this number; `None` if this architecture has no such level.
    pub fn from_number(n: i32) -> Option<Self> {
        let cap = match n {
            0 => Self::Auto,
            1 => Self::Portable,
            2 => Self::Avx2,
            3 => Self::Avx512,
            4 => Self::Neon,
            _ => return None,
        };
        let exists = match cap {
            Self::Auto | Self::Portable => true,
            Self::Avx2 | Self::Avx512 => cfg!(target_arch = "x86_64"),
            Self::Neon => cfg!(target_arch = "aarch64"),
        };
        exists.then_some(cap)
    }

    /// The level with this name, as in the environment variable `GPTZ_CPU`.
    pub fn from_name(name: &str) -> Option<Self> {
        let n = match name {
            "auto" => 0,
            "portable" => 1,
            "avx2" => 2,
            "avx512" => 3,
            "neon" => 4,
            _ => return None,
        };
        Self::from_number(n)
    }
}

/// A level that this CPU supports. A value is proof of the support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Inner);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inner {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon<false>),
    #[cfg(target_arch = "aarch64")]
    NeonDot(Neon<true>),
}

static CAP: AtomicI32 = AtomicI32::new(Cap::Auto as i32);

/// Caps the level for the whole process. Calls in progress keep theirs. [`Cap::Auto`] removes the cap.
pub fn set_cap(cap: Cap) {
    CAP.store(cap as i32, Ordering::Relaxed);
}

impl Level {
    /// The portable level.
    pub const PORTABLE: Self = Self(Inner::Portable);

    /// All levels of this CPU, weakest first.
    pub fn available() -> Vec<Self> {
        Self::of_this_cpu().into_iter().flatten().collect()
    }

    /// Weakest first; `None` for those that the CPU does not support.
    fn of_this_cpu() -> [Option<Self>; 3] {
        #[cfg(target_arch = "x86_64")]
        let vector = [Avx2::detect().map(|t| Self(Inner::Avx2(t))), Avx512::detect().map(|t| Self(Inner::Avx512(t)))];
        #[cfg(target_arch = "aarch64")]
        let vector = [
            Neon::<false>::detect().map(|t| Self(Inner::Neon(t))),
            Neon::<true>::detect().map(|t| Self(Inner::NeonDot(t))),
        ];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let vector = [None, None];
        [Some(Self::PORTABLE), vector[0], vector[1]]
    }

    /// The best level that the CPU supports and the caps allow.
    pub fn current() -> Self {
        // An array and not a Vec, because leak checkers report memory that is never freed.
        static FOUND: OnceLock<([Option<Level>; 3], Cap)> = OnceLock::new();
        let (levels, env) = FOUND.get_or_init(|| {
            let named = std::env::var("GPTZ_CPU").ok();
            (Self::of_this_cpu(), named.and_then(|n| Cap::from_name(&n)).unwrap_or(Cap::Auto))
        });
        let set = Cap::from_number(CAP.load(Ordering::Relaxed)).unwrap_or(Cap::Auto);
        let allowed = |level: &Self| [*env, set].iter().all(|cap| *cap == Cap::Auto || level.cap() <= *cap);
        levels.iter().rev().copied().flatten().find(allowed).unwrap_or(Self::PORTABLE)
    }

    fn cap(self) -> Cap {
        match self.0 {
            Inner::Portable => Cap::Portable,
            #[cfg(target_arch = "x86_64")]
            Inner::Avx2(_) => Cap::Avx2,
            #[cfg(target_arch = "x86_64")]
            Inner::Avx512(_) => Cap::Avx512,
            #[cfg(target_arch = "aarch64")]
            Inner::Neon(_) | Inner::NeonDot(_) => Cap::Neon,
        }
    }

    /// The level's name, as in `GPTZ_CPU`; NUL-terminated for the C ABI.
    pub fn name(self) -> &'static std::ffi::CStr {
        match self.0 {
            Inner::Portable => c"portable",
            #[cfg(target_arch = "x86_64")]
            Inner::Avx2(_) => c"avx2",
            #[cfg(target_arch = "x86_64")]
            Inner::Avx512(_) => c"avx512",
            #[cfg(target_arch = "aarch64")]
            Inner::Neon(_) | Inner::NeonDot(_) => c"neon",
        }
    }

    /// Runs a kernel with this level's instructions.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Inner::Portable => kernel.run(Portable),
            // SAFETY: the tokens prove that the CPU has the features that the two functions enable.
            #[cfg(target_arch = "x86_64")]
            Inner::Avx2(token) => unsafe { with_avx2(token, kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Inner::Avx512(token) => unsafe { with_avx512(token, kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Inner::Neon(token) => unsafe { with_neon(token, kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Inner::NeonDot(token) => unsafe { with_neon_dot(token, kernel) },
        }
    }
}

/// A computation written once for all levels. `run` must be `inline(always)`, so that it is compiled inside the
/// function that enables the level's instructions.
pub(crate) trait Kernel {
    /// The result.
    type Output;
    /// Computes with one level's vectors.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<K: Kernel>(token: Avx2, kernel: K) -> K::Output {
    kernel.run(token)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn with_avx512<K: Kernel>(token: Avx512, kernel: K) -> K::Output {
    kernel.run(token)
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn with_neon<K: Kernel>(token: Neon<false>, kernel: K) -> K::Output {
    kernel.run(token)
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod")]
fn with_neon_dot<K: Kernel>(token: Neon<true>, kernel: K) -> K::Output {
    kernel.run(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portable_is_always_available_and_first() {
        assert_eq!(Level::available()[0], Level::PORTABLE);
    }

    #[test]
    fn a_cap_is_a_level_of_this_architecture() {
        assert_eq!(Cap::from_number(0), Some(Cap::Auto));
        assert_eq!(Cap::from_number(1), Some(Cap::Portable));
        assert_eq!(Cap::from_number(5), None);
        assert_eq!(Cap::from_number(-1), None);
        assert_eq!(Cap::from_number(2).is_some(), cfg!(target_arch = "x86_64"));
        assert_eq!(Cap::from_number(4).is_some(), cfg!(target_arch = "aarch64"));
        assert_eq!(Cap::from_name("portable"), Some(Cap::Portable));
        assert_eq!(Cap::from_name("AVX2"), None);
    }
}
