//! The floating-point environment. Rust code assumes the default one: rounding to nearest even, no flushing of
//! subnormals, no traps. A caller may have set another (a game runs with FTZ, a numerical program with another
//! rounding), so every call of the ABI sets the default and restores the caller's.

/// Runs `f` in the default environment and restores the caller's, also if `f` panics.
pub fn with_default<T>(f: impl FnOnce() -> T) -> T {
    let _restore = Restore::set_default();
    // Not inlined: arithmetic touches no memory, and the compiler might move it past the change of the register.
    never_inlined(f)
}

#[inline(never)]
fn never_inlined<T>(f: impl FnOnce() -> T) -> T {
    f()
}

/// Sets the default environment again, after code of the caller has run within [`with_default`].
pub fn set_default() {
    let now = read();
    if control(now) != control(DEFAULT) {
        write(DEFAULT);
    }
}

/// The caller's environment with its sticky exception flags. Dropping it restores them.
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

    /// MXCSR, and the control and status words of the x87 unit. Rust does not use that unit on these targets. But a
    /// callback uses it for C's `long double`, and `fesetround` sets both units.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Register {
        pub(super) mxcsr: u32,
        pub(super) x87: (u16, u16),
    }
    /// All exceptions masked, rounding to nearest, neither FTZ nor DAZ; x87 with 64 bits of precision.
    pub(super) const DEFAULT: Register = Register { mxcsr: 0x1f80, x87: (0x037f, 0) };

    /// The 28 bytes that `fnstenv` stores and `fldenv` loads. `others` holds addresses and tags.
    #[repr(C)]
    struct Environment {
        control: u32,
        status: u32,
        others: [u32; 5],
    }

    pub(super) fn read() -> Register {
        let (mut mxcsr, mut control, mut status) = (0u32, 0u16, 0u16);
        // SAFETY: the instructions store 4, 2 and 2 bytes at addresses that are valid for them; targets of this family
        // have SSE and x87.
        unsafe {
            asm!("stmxcsr [{}]", "fnstcw [{}]", "fnstsw [{}]", in(reg) &raw mut mxcsr, in(reg) &raw mut control,
                in(reg) &raw mut status, options(nostack, preserves_flags));
        }
        // Only the exception flags of the status word: its other bits describe the register stack and a comparison.
        Register { mxcsr, x87: (control, status & EXCEPTIONS) }
    }

    /// The sticky exception flags in the status word: six exceptions, and the summaries of those that are not masked.
    const EXCEPTIONS: u16 = 0x80ff;

    /// All but the sticky exception flags.
    pub(super) fn control(v: Register) -> (u32, u16) {
        (v.mxcsr & !0x3f, v.x87.0)
    }

    pub(super) fn write(v: Register) {
        // SAFETY: the value is the default or one that was read before: no reserved bit is set.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const v.mxcsr, options(nostack, preserves_flags)) };
        // This is slow and hardly ever needed.
        if read().x87 != v.x87 {
            write_x87(v.x87);
        }
    }

    #[cold]
    fn write_x87((control, status): (u16, u16)) {
        let mut environment = Environment { control: 0, status: 0, others: [0; 5] };
        // SAFETY: fnstenv stores 28 bytes at an address that is valid for them. It also masks all exceptions, so that
        // fldenv does not raise one that is pending.
        unsafe { asm!("fnstenv [{}]", in(reg) &raw mut environment, options(nostack, preserves_flags)) };
        environment.control = environment.control & !0xffff | u32::from(control);
        environment.status = environment.status & !u32::from(EXCEPTIONS) | u32::from(status);
        // SAFETY: fldenv loads 28 bytes: the stored ones, with control and status words that were read before.
        unsafe { asm!("fldenv [{}]", in(reg) &raw const environment, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    use std::arch::asm;

    /// FPCR, and FPSR with its sticky exception flags.
    pub(super) type Register = (u64, u64);
    /// Rounding to nearest, no flush to zero, no default NaN, no traps.
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

    /// FPSCR and VSCR. Bit 16 of VSCR makes AltiVec flush subnormals to zero. Linux sets that bit for every new
    /// big-endian program, and without VSX the compiler vectorises with AltiVec.
    pub(super) type Register = (f64, u32);
    /// Rounding to nearest, IEEE mode, no traps, no flush to zero.
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
    // Stable Rust cannot access the register here, so the caller's environment remains set. README and gptz.h state
    // this.
    pub(super) type Register = ();
    pub(super) const DEFAULT: () = ();
    pub(super) fn read() {}
    pub(super) fn control((): ()) {}
    pub(super) fn write((): ()) {}
}

use register::{DEFAULT, Register, control, read, write};

// Without SSE2 Rust computes on the x87 unit, with more precision than binary32, which gives other bits.
#[cfg(all(target_arch = "x86", not(target_feature = "sse2")))]
compile_error!("gptz needs SSE2 on x86: build for i686, not i586");

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_set_and_the_callers_is_restored() {
        // SSE: rounding towards zero, FTZ and DAZ, with the flag of division by zero. x87: rounding upwards, 24 bits,
        // one exception unmasked, with the flag of an inexact result.
        let odd = Register { mxcsr: DEFAULT.mxcsr | 0x6000 | 0x8000 | 0x0040 | 0x0004, x87: (0x087b, 0x0020) };
        write(odd);
        assert_eq!(read(), odd);
        let (inside, again) = with_default(|| {
            let inside = read();
            write(odd);
            set_default();
            (inside, read())
        });
        let outside = read();
        write(DEFAULT);
        assert_eq!((control(inside), control(again)), (control(DEFAULT), control(DEFAULT)));
        assert_eq!(outside, odd);
    }
}
