//! Exact arithmetic: the same bits on every CPU, level, thread count and build.
//!
//! The rules stand in docs/NUMERICS.md. In short: IEEE binary32 operations one at a time, integers, our own
//! polynomials, and orders of summation that depend on the shape of the problem alone.

pub mod buffer;
pub mod float_env;
pub mod level;
pub mod math;
pub mod matmul;
pub mod norm;
pub mod random;
pub(crate) mod simd;
#[cfg(test)]
pub(crate) mod testing;
pub mod wkv;

/// The version of the arithmetic. Every frame carries it; from 1.0 on any change of an output bit raises it. Until then it
/// stays 1, and CHANGELOG.md says what changed.
pub const NUMERICS_VERSION: u16 = 2;
