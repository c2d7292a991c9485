//! gptz
pub mod adapt;
pub mod coder;
pub mod container;
pub mod error;
pub mod ffi;
pub mod model;
pub mod numeric;
pub mod session;
pub mod weights;
