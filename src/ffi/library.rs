//! The library itself: its version, and which instructions it may use.

use std::ffi::{CStr, c_char, c_int};

use super::guard::{call, call_without_memory};
use super::status::gptz_status;
use crate::error::fail;
use crate::numeric::level::{Cap, Level, set_cap};

/// Level: the best that the CPU has.
pub const GPTZ_CPU_AUTO: c_int = 0;
/// Level: what every CPU of the architecture has.
pub const GPTZ_CPU_PORTABLE: c_int = 1;
/// Level, x86-64: AVX2.
pub const GPTZ_CPU_AVX2: c_int = 2;
/// Level, x86-64: AVX-512 (F, BW, DQ, VL) with VNNI.
pub const GPTZ_CPU_AVX512: c_int = 3;
/// Level, AArch64: NEON, with the dot product instructions where the CPU has them.
pub const GPTZ_CPU_NEON: c_int = 4;

const _: () = assert!(
    GPTZ_CPU_AUTO == Cap::Auto as c_int
        && GPTZ_CPU_PORTABLE == Cap::Portable as c_int
        && GPTZ_CPU_AVX2 == Cap::Avx2 as c_int
        && GPTZ_CPU_AVX512 == Cap::Avx512 as c_int
        && GPTZ_CPU_NEON == Cap::Neon as c_int
);

/// The version of the library that is running: major * 10000 + minor * 100 + patch. Compare with GPTZ_VERSION_NUMBER, the
/// version of the header that was compiled against.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_version_number() -> u32 {
    const fn part(text: &str) -> u32 {
        let (mut n, mut i) = (0, 0);
        while i < text.len() {
            n = n * 10 + (text.as_bytes()[i] - b'0') as u32;
            i += 1;
        }
        n
    }
    const {
        part(env!("CARGO_PKG_VERSION_MAJOR")) * 10_000
            + part(env!("CARGO_PKG_VERSION_MINOR")) * 100
            + part(env!("CARGO_PKG_VERSION_PATCH"))
    }
}

/// The same as a static string, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn gptz_version_string() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("a version with a NUL"),
    };
    VERSION.as_ptr()
}

/// Caps the instructions that later calls of the whole process may use, at one of GPTZ_CPU_...; GPTZ_CPU_AUTO takes the
/// cap back. For tests and bug reports: every level gives the same bits, they differ in speed alone. The environment
/// variable GPTZ_CPU=portable|avx2|avx512|neon caps as well, from the first call on; the lower cap
/// holds. Other values of the variable count for nothing: gptz_cpu_level tells.
///
/// A level that the CPU lacks caps nothing. One that its architecture does not have answers GPTZ_ERROR_ARGUMENT.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_set_cpu_level(level: c_int) -> gptz_status {
    call(|| match Cap::from_number(level) {
        Some(cap) => {
            set_cap(cap);
            Ok(())
        }
        None => fail!(Argument, "CPU level {level} is none of this architecture ({})", std::env::consts::ARCH),
    })
}

/// The level that a call would use now: a static string, "portable", "avx2" or "avx512".
#[unsafe(no_mangle)]
pub extern "C" fn gptz_cpu_level() -> *const c_char {
    let mut name = c"portable";
    call_without_memory(|| {
        name = Level::current().name();
        Ok(())
    });
    name.as_ptr()
}
