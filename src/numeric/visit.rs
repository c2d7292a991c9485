//! How a state passes its contents to a hash or a comparison.

use super::vector::Vec16;

/// Receives the parts of a state in a fixed order.
pub trait Visitor {
    /// Some floats.
    fn floats(&mut self, vectors: &[Vec16]);
    /// Anything else, as little-endian bytes.
    fn bytes(&mut self, bytes: &[u8]);
}
