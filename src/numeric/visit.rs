//! The interface by which a state passes its contents to a hash or a comparison.

use super::vector::Vec16;

/// Receives the parts of a state in a fixed order.
pub trait Visitor {
    /// Receives floats.
    fn floats(&mut self, vectors: &[Vec16]);
    /// Receives all other data, as little-endian bytes.
    fn bytes(&mut self, bytes: &[u8]);
}
