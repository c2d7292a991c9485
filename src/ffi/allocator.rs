//! The allocator of the C library: see [`crate::numeric::reserve`].
//!
//! Only builds of the C library (feature `capi`) have it. A Rust program that links gptz has an allocator of its own.

#[cfg(feature = "capi")]
#[global_allocator]
static ALLOCATOR: crate::numeric::reserve::Allocator = crate::numeric::reserve::Allocator;
