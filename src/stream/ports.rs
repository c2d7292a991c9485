//! The caller's buffers of one call.

use crate::error::Result;
use crate::numeric::buffer::grow_exact;

/// The bytes that a call may take.
#[derive(Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
    taken: usize,
}

impl<'a> Input<'a> {
    /// All of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, taken: 0 }
    }

    /// How many bytes were taken.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// Takes at most `n` bytes.
    pub(super) fn take(&mut self, n: usize) -> &'a [u8] {
        let bytes = &self.bytes[self.taken..][..n.min(self.left())];
        self.taken += bytes.len();
        bytes
    }

    /// Moves bytes to the end of `to` until it has `len`, or until none is left. `to` never has room for much more than
    /// twice its bytes, or for more than `len`.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn fill(&mut self, to: &mut Vec<u8>, len: usize) -> Result<()> {
        let bytes = self.take(len.saturating_sub(to.len()));
        if to.capacity() - to.len() < bytes.len() {
            let room = (2 * to.len()).max(1 << 12).max(to.len() + bytes.len()).min(len);
            grow_exact(to, room - to.len(), "a block of a stream")?;
        }
        to.extend_from_slice(bytes);
        Ok(())
    }
}

/// The room that a call may fill.
#[derive(Debug)]
pub struct Output<'a> {
    room: &'a mut [u8],
    given: usize,
}

impl<'a> Output<'a> {
    /// All of `room`.
    pub fn new(room: &'a mut [u8]) -> Self {
        Self { room, given: 0 }
    }

    /// How many bytes were given.
    pub fn given(&self) -> usize {
        self.given
    }

    /// Gives as many bytes as fit; returns how many.
    pub(super) fn give(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room.len() - self.given);
        self.room[self.given..][..n].copy_from_slice(&bytes[..n]);
        self.given += n;
        n
    }
}
