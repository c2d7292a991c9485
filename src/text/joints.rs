//! Places in a text that no merge and no token crosses.

use super::vocabulary::Vocabulary;
use crate::error::Result;
use crate::numeric::buffer::filled;

/// Which pairs of bytes occur within a token: no merge crosses another pair.
#[derive(Debug)]
pub(super) struct Joints(Vec<u64>);

impl Joints {
    /// The pairs of all tokens that stand for text.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn new(vocabulary: &Vocabulary) -> Result<Self> {
        let mut bits = filled(1 << 10, 0u64, "the pairs of bytes of a tokenizer")?;
        for token in 0..vocabulary.len() as u32 {
            for pair in vocabulary.bytes(token).windows(2) {
                bits[usize::from(pair[0]) << 2 | usize::from(pair[1] >> 6)] |= 1 << (pair[1] & 63);
            }
        }
        Ok(Self(bits))
    }

    /// The end of the piece of `text` that starts at `from`, which is less than its length.
    #[inline]
    pub(super) fn piece(&self, text: &[u8], from: usize) -> usize {
        let is_joint = |at: usize| {
            let (a, b) = (text[at - 1], text[at]);
            // Within a character, tokens may have bytes of which the pairs say nothing.
            b & 0xc0 == 0x80 || self.0[usize::from(a) << 2 | usize::from(b >> 6)] >> (b & 63) & 1 != 0
        };
        (from + 1..text.len()).find(|at| !is_joint(*at)).unwrap_or(text.len())
    }
}
