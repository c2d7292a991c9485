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

/// The caller's environment, put back when dropped.
struct Restore(Register);

impl Restore {
    fn set_default() -> Self {
        let saved = read();
        if saved != DEFAULT {
            write(DEFAULT);
        }
        Self(saved)
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if self.0 != DEFAULT {
            write(self.0);
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
mod register {
    use std::arch::asm;

    /// MXCSR, less the sticky exception flags.
    pub(super) type Register = u32;
    /// All exceptions masked, to nearest, neither FTZ nor DAZ.
    pub(super) const DEFAULT: u32 = 0x1f80;

    pub(super) fn read() -> u32 {
        let mut v = 0u32;
        // SAFETY: stmxcsr stores 4 bytes at an address that is valid for them; targets of this family have SSE.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut v, options(nostack, preserves_flags)) };
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

    /// FPCR.
    pub(super) type Register = u64;
    /// To nearest, no flush to zero, no default NaN, no traps.
    pub(super) const DEFAULT: u64 = 0;

    pub(super) fn read() -> u64 {
        let v: u64;
        // SAFETY: reading FPCR has no effect and is allowed at every exception level.
        unsafe { asm!("mrs {}, fpcr", out(reg) v, options(nostack, preserves_flags)) };
        v
    }

    pub(super) fn write(v: u64) {
        // SAFETY: the value is zero or one that was read before.
        unsafe { asm!("msr fpcr, {}", in(reg) v, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
mod register {
    // No stable way to the register here: the caller's environment is used as it is. README says so.
    pub(super) type Register = ();
    pub(super) const DEFAULT: () = ();
    pub(super) fn read() {}
    pub(super) fn write((): ()) {}
}

use register::{DEFAULT, Register, read, write};

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_set_and_the_callers_comes_back() {
        // Rounding towards zero, FTZ and DAZ.
        let odd = DEFAULT | 0x6000 | 0x8000 | 0x0040;
        write(odd);
        let inside = with_default(read);
        let outside = read();
        write(DEFAULT);
        assert_eq!(inside, DEFAULT);
        assert_eq!(outside, odd);
    }
}
