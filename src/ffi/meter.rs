//! What the last call of a handle took and gave, for gptz_stats_get.

/// The last call that succeeded. All 0 before the first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LastCall {
    /// Bytes read.
    pub(super) bytes_in: u64,
    /// Bytes written.
    pub(super) bytes_out: u64,
    /// Bytes of content.
    pub(super) content: u64,
    /// The cost of the content in bits; 0 for a call that codes and measures nothing.
    pub(super) bits: f64,
    /// The time that the call took.
    pub(super) seconds: f64,
}

impl LastCall {
    /// A call that compressed `content` bytes to `compressed`.
    pub(super) fn compressed(&mut self, content: usize, compressed: usize) {
        (self.bytes_in, self.bytes_out) = (content as u64, compressed as u64);
        self.coded(content, compressed);
    }

    /// A call that decompressed `compressed` bytes to `content`.
    pub(super) fn decompressed(&mut self, compressed: usize, content: usize) {
        (self.bytes_in, self.bytes_out) = (compressed as u64, content as u64);
        self.coded(content, compressed);
    }

    fn coded(&mut self, content: usize, compressed: usize) {
        (self.content, self.bits) = (content as u64, compressed as f64 * 8.0);
    }

    /// A call that read `content` bytes, which cost this many bits, and wrote none.
    pub(super) fn measured(&mut self, content: usize, bits: f64) {
        (self.bytes_in, self.bytes_out) = (content as u64, 0);
        (self.content, self.bits) = (content as u64, bits);
    }
}
