//! A content that a caller gives in parts.

use crate::error::Result;
use crate::numeric::buffer::reserved;

/// The bytes of some parts, one after the other, and the position of the next byte.
pub(super) struct Content<'a> {
    parts: &'a [&'a [u8]],
    len: u64,
    /// The rest of the part under way.
    current: &'a [u8],
    /// The number of the next part.
    next: usize,
    /// Bytes that were taken from several parts.
    gathered: Vec<u8>,
}

impl<'a> Content<'a> {
    /// The content of these parts.
    pub(super) fn new(parts: &'a [&'a [u8]]) -> Self {
        let len = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.len() as u64));
        Self { parts, len, current: &[], next: 0, gathered: Vec::new() }
    }

    /// The length of the whole content in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The CRC-32 of the whole content.
    pub(super) fn crc(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        self.parts.iter().for_each(|part| crc.update(part));
        crc.finalize()
    }

    /// The next `n` bytes. They are copied only if they are in several parts.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn take(&mut self, n: usize) -> Result<&[u8]> {
        self.skip_empty();
        if let Some(bytes) = self.current.split_off(..n) {
            return Ok(bytes);
        }
        if self.gathered.capacity() < n {
            self.gathered = reserved(n, "a block of several parts")?;
        }
        self.gathered.clear();
        while self.gathered.len() < n {
            let bytes = self.take_from_part(n - self.gathered.len());
            debug_assert!(!bytes.is_empty(), "the caller counts the bytes");
            self.gathered.extend_from_slice(bytes);
        }
        Ok(&self.gathered)
    }

    /// The next bytes of one part: at most `n`, and none only at the end.
    pub(super) fn take_from_part(&mut self, n: usize) -> &'a [u8] {
        self.skip_empty();
        self.current.split_off(..n.min(self.current.len())).unwrap_or_default()
    }

    fn skip_empty(&mut self) {
        while let (true, Some(part)) = (self.current.is_empty(), self.parts.get(self.next)) {
            (self.current, self.next) = (part, self.next + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_taken_as_one_content() {
        let all: Vec<u8> = (0..100).collect();
        for cuts in [&[][..], &[0, 0, 100], &[1, 2, 3, 50], &[99], &[100], &[30, 30, 60]] {
            let mut ends = cuts.to_vec();
            ends.push(100);
            let mut start = 0;
            let mut parts = Vec::new();
            for end in ends {
                parts.push(&all[start..end]);
                start = end;
            }
            for step in [1, 7, 33, 100] {
                let mut content = Content::new(&parts);
                assert_eq!((content.len(), content.crc()), (100, crc32fast::hash(&all)));
                for chunk in all.chunks(step) {
                    assert_eq!(content.take(chunk.len()).unwrap(), chunk);
                }
                assert!(content.take_from_part(1).is_empty());
            }
        }
        assert!(Content::new(&[]).take(0).unwrap().is_empty());
    }
}
