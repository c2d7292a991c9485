//! The floating-point environment: round to nearest even, no flushing of subnormals, no traps, whatever the caller
//! set (a game may run with FTZ, a numerical program with another rounding). Rust assumes as much, so it is the ABI's
//! edge that sees to it.

/// Runs `f` in the default environment and gives the caller's back, also when `f` panics.
pub fn with_default<T>(f: impl FnOnce() -> T) -> T {
    let _restore = Restore::set_default();
    // Not inlined: arithmetic touches no memory, and the compiler might move it past the change of the register.
    never_inlined(f)
}

#[inline(never)]
fn never_inlined<T>(f: impl FnOnce() -> T) -> T {
    f()
}

/// Sets the default environment anew, after code of the caller's has run within [`with_default`].
pub fn set_default() {
    let now = read();
    if control(now) != control(DEFAULT) {
        write(DEFAULT);
    }
}

/// The caller's environment with its sticky exception flags, put back when dropped.
struct Restore(Register);

impl Restore {
    fn set_default() -> Self {
        let saved = read();
        set_default();
        Self(saved)
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        write(self.0);
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
mod register {
    use std::arch::asm;

    /// MXCSR.
    pub(super) type Register = u32;
    /// All exceptions masked, to nearest, neither FTZ nor DAZ.
    pub(super) const DEFAULT: u32 = 0x1f80;

    pub(super) fn read() -> u32 {
        let mut v = 0u32;
        // SAFETY: stmxcsr stores 4 bytes at an address that is valid for them; targets of this family have SSE.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut v, options(nostack, preserves_flags)) };
        v
    }

    /// All but the sticky exception flags.
    pub(super) fn control(v: u32) -> u32 {
        v & !0x3f
    }

    pub(super) fn write(v: u32) {
        // SAFETY: the value is the default or one that was read before: no reserved bit is set.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const v, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    use std::arch::asm;

    /// FPCR, and FPSR with its sticky exception flags.
    pub(super) type Register = (u64, u64);
    /// To nearest, no flush to zero, no default NaN, no traps.
    pub(super) const DEFAULT: Register = (0, 0);

    pub(super) fn read() -> Register {
        let (fpcr, fpsr): (u64, u64);
        // SAFETY: reading the two has no effect and is allowed at every exception level.
        unsafe {
            asm!("mrs {}, fpcr", "mrs {}, fpsr", out(reg) fpcr, out(reg) fpsr, options(nostack, preserves_flags))
        };
        (fpcr, fpsr)
    }

    /// All but the sticky exception flags.
    pub(super) fn control(v: Register) -> Register {
        (v.0, 0)
    }

    pub(super) fn write(v: Register) {
        // SAFETY: the values are zero or were read before.
        unsafe { asm!("msr fpcr, {}", "msr fpsr, {}", in(reg) v.0, in(reg) v.1, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "powerpc64")]
mod register {
    use std::arch::asm;

    /// FPSCR; VSCR, whose bit 16 flushes AltiVec's subnormals to zero. Linux sets that bit for every new big-endian
    /// program, and without VSX the compiler vectorises with AltiVec.
    pub(super) type Register = (f64, u32);
    /// To nearest, IEEE mode, no traps, no flush to zero.
    pub(super) const DEFAULT: Register = (0.0, 0);

    /// A vector in memory; VSCR is the least significant word.
    #[repr(align(16))]
    struct Vector(u128);

    pub(super) fn read() -> Register {
        let mut vscr = Vector(0);
        let fpscr: f64;
        // SAFETY: stvx stores 16 bytes at an address that is valid and aligned for them; the target has AltiVec.
        unsafe {
            asm!("mffs {}", "mfvscr 0", "stvx 0, 0, {}", out(freg) fpscr, in(reg_nonzero) &raw mut vscr, out("v0") _,
                options(nostack, preserves_flags));
        }
        (fpscr, vscr.0 as u32)
    }

    /// All but the sticky exception flags: traps, non-IEEE mode and rounding; non-Java mode.
    pub(super) fn control(v: Register) -> (u64, u32) {
        (v.0.to_bits() & 0xff, v.1 & 0x1_0000)
    }

    pub(super) fn write(v: Register) {
        let vscr = Vector(u128::from(v.1));
        // SAFETY: the values are zero or were read before; lvx loads 16 bytes that are valid and aligned.
        unsafe {
            asm!("mtfsf 255, {}", "lvx 0, 0, {}", "mtvscr 0", in(freg) v.0, in(reg_nonzero) &raw const vscr, out("v0") _,
                options(nostack, preserves_flags));
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64", target_arch = "powerpc64")))]
mod register {
    // No stable way to the register here: the caller's environment is used as it is. README says so.
    pub(super) type Register = ();
    pub(super) const DEFAULT: () = ();
    pub(super) fn read() {}
    pub(super) fn control((): ()) {}
    pub(super) fn write((): ()) {}
}

use register::{DEFAULT, Register, control, read, write};

// The x87 unit of older processors computes with more precision than binary32: other bits.
#[cfg(all(target_arch = "x86", not(target_feature = "sse2")))]
compile_error!("gptz needs SSE2 on x86: build for i686, not i586");

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_set_and_the_callers_comes_back() {
        // Rounding towards zero, FTZ and DAZ, with a division by zero that the caller has yet to ask about.
        let odd = DEFAULT | 0x6000 | 0x8000 | 0x0040 | 0x0004;
        write(odd);
        let (inside, again) = with_default(|| {
            let inside = read();
            write(odd);
            set_default();
            (inside, read())
        });
        let outside = read();
        write(DEFAULT);
        assert_eq!((control(inside), control(again)), (DEFAULT, DEFAULT));
        assert_eq!(outside, odd);
    }
}
