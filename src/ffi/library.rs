//! The library: its version, and which instructions it may use.

use std::ffi::{CStr, c_char, c_int};

use super::guard::{call, call_without_memory};
use super::status::gptz_status;
use crate::error::fail;
use crate::numeric::level::{Cap, Level, set_cap};

/// CPU level: the best that the CPU has.
pub const GPTZ_CPU_AUTO: c_int = 0;
/// CPU level: the instructions that every CPU of the architecture has.
pub const GPTZ_CPU_PORTABLE: c_int = 1;
/// CPU level on x86-64: AVX2.
pub const GPTZ_CPU_AVX2: c_int = 2;
/// CPU level on x86-64: AVX-512 (F, BW, DQ, VL) with VNNI.
pub const GPTZ_CPU_AVX512: c_int = 3;
/// CPU level on AArch64: NEON, and the dot product instructions if the CPU has them.
pub const GPTZ_CPU_NEON: c_int = 4;

const _: () = assert!(
    GPTZ_CPU_AUTO == Cap::Auto as c_int
        && GPTZ_CPU_PORTABLE == Cap::Portable as c_int
        && GPTZ_CPU_AVX2 == Cap::Avx2 as c_int
        && GPTZ_CPU_AVX512 == Cap::Avx512 as c_int
        && GPTZ_CPU_NEON == Cap::Neon as c_int
);

/// Returns the version of the library that is running: major * 10000 + minor * 100 + patch. GPTZ_VERSION_NUMBER is the
/// version of the header that the program was compiled with. Never fails.
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

/// Returns the version of the library that is running as a static string, such as "0.1.0". Never fails.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_version_string() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("a version with a NUL"),
    };
    VERSION.as_ptr()
}

/// Limits the instructions that later calls of the whole process may use to `level`, one of GPTZ_CPU_... .
/// GPTZ_CPU_AUTO removes the limit. The limit is for tests and bug reports: all levels give the same bits and differ
/// only in speed.
///
/// The environment variable GPTZ_CPU=portable|avx2|avx512|neon sets a second limit. It is read once, by the first call
/// that needs it; other values are ignored. The lower of the two limits applies. If the CPU does not support `level`,
/// the best lower level is used. Calls that are running keep their level.
///
/// Errors: GPTZ_ERROR_ARGUMENT for a level that this architecture does not have. The limit then does not change.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_set_cpu_level(level: c_int) -> gptz_status {
    call(|| match Cap::from_number(level) {
        Some(cap) => {
            set_cap(cap);
            Ok(())
        }
        None => fail!(Argument, "CPU level {level} does not exist on this architecture ({})", std::env::consts::ARCH),
    })
}

/// Returns the level that a call would use now, as a static string: "portable", "avx2", "avx512" or "neon". Never
/// fails.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_cpu_level() -> *const c_char {
    let mut name = c"portable";
    call_without_memory(|| {
        name = Level::current().name();
        Ok(())
    });
    name.as_ptr()
}
