//! gptz
pub mod coder;
pub mod error;
pub mod model;
pub mod numeric;
pub mod weights;
