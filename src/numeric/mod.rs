//! Exact arithmetic: the same bits on every CPU, level, thread count and build.
//!
//! docs/NUMERICS.md states the rules. In short: single IEEE binary32 operations, integers, our own polynomials, and
//! orders of summation that depend only on the shapes of the operands.

pub mod attention;
pub mod buffer;
pub mod float_env;
mod large;
pub mod level;
pub mod math;
pub mod matmul;
pub mod norm;
pub mod random;
pub mod reserve;
pub mod rope;
pub(crate) mod simd;
#[cfg(test)]
pub(crate) mod testing;
pub mod transfer;
pub mod vector;
pub mod wkv;

/// The version of the arithmetic. Every version 3 frame contains it. From release 1.0 on, a change of any output bit
/// raises it. Until then larger changes raise it, and CHANGELOG.md lists all of them.
pub const NUMERICS_VERSION: u16 = 2;
