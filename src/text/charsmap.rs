//! The compiled character map of SentencePiece: a trie of strings and what replaces each of them.
//!
//! The blob is that of SentencePiece's `normalizer.cc`: the number of bytes of the trie (u32), the trie, and strings that
//! end with a zero byte. The trie is a double array of the library Darts-clone. All numbers are little-endian.

use crate::error::{Result, fail};
use crate::numeric::buffer::{copied, made};

/// The longest blob, in bytes. The largest one of SentencePiece itself has 250,000.
const MAX_BLOB: usize = 1 << 22;
/// The longest replacement, in bytes. The longest one of Unicode's forms has 33. A file cannot make a text much longer.
const MAX_REPLACEMENT: usize = 256;

/// A unit of a double array: what Darts-clone packs in 32 bits.
#[derive(Clone, Copy, Debug)]
struct Unit(u32);

impl Unit {
    /// Whether a string ends here; the next unit is then its value.
    fn has_value(self) -> bool {
        self.0 >> 8 & 1 == 1
    }

    fn value(self) -> usize {
        (self.0 & 0x7fff_ffff) as usize
    }

    /// The byte that leads here. That of a value is no byte.
    fn label(self) -> u32 {
        self.0 & 0x8000_00ff
    }

    /// The distance to the children.
    fn offset(self) -> usize {
        ((self.0 >> 10) << ((self.0 & 1 << 9) >> 6)) as usize
    }
}

/// Strings and their replacements.
#[derive(Debug)]
pub(super) struct Charsmap {
    trie: Vec<Unit>,
    /// The replacements, each with a zero byte behind it.
    strings: Vec<u8>,
}

impl Charsmap {
    /// Reads a blob.
    ///
    /// # Errors
    /// `Model`, `Memory`.
    pub(super) fn new(blob: &[u8]) -> Result<Self> {
        const WHAT: &str = "the character map of a tokenizer";
        let n = blob.len();
        if n > MAX_BLOB {
            fail!(Model, "{WHAT} has {n} bytes, at most {MAX_BLOB} are allowed");
        }
        let Some((size, rest)) = blob.split_first_chunk::<4>() else {
            fail!(Model, "{WHAT} has {n} bytes, expected a length of 4 bytes");
        };
        let size = u32::from_le_bytes(*size) as usize;
        let Some((trie, strings)) = rest.split_at_checked(size).filter(|_| size.is_multiple_of(4)) else {
            fail!(Model, "{WHAT} states a trie of {size} bytes, expected a multiple of 4 of at most {}", rest.len());
        };
        if let Some(at) = strings.split(|b| *b == 0).position(|text| text.len() > MAX_REPLACEMENT) {
            fail!(Model, "replacement {at} of {WHAT} has more than {MAX_REPLACEMENT} bytes");
        }
        let units = trie.as_chunks::<4>().0;
        let trie = made(units.len(), WHAT, |i| Ok(Unit(u32::from_le_bytes(units[i]))))?;
        Ok(Self { trie, strings: copied(strings, WHAT)? })
    }

    /// Calls `found` with the length and the replacement of each string that `text` starts with, the shortest first, until
    /// it returns false. What a damaged trie points to outside of the blob is not there.
    fn each<'a>(&'a self, text: &[u8], mut found: impl FnMut(usize, &'a [u8]) -> bool) {
        let Some(root) = self.trie.first() else { return };
        let mut at = root.offset();
        for (i, byte) in text.iter().enumerate().take_while(|(_, byte)| **byte != 0) {
            at ^= usize::from(*byte);
            let Some(unit) = self.trie.get(at).filter(|unit| unit.label() == u32::from(*byte)) else { return };
            at ^= unit.offset();
            if !unit.has_value() {
                continue;
            }
            let string = self.trie.get(at).and_then(|leaf| self.strings.get(leaf.value()..));
            let Some(end) = string.and_then(|s| s.iter().position(|b| *b == 0)) else { continue };
            if !found(i + 1, &string.unwrap_or_default()[..end]) {
                return;
            }
        }
    }

    /// The replacement of the shortest string that `text` starts with.
    pub(super) fn shortest(&self, text: &[u8]) -> Option<&[u8]> {
        let mut shortest = None;
        self.each(text, |_, string| {
            shortest = Some(string);
            false
        });
        shortest
    }

    /// The length and the replacement of the longest string that `text` starts with.
    pub(super) fn longest(&self, text: &[u8]) -> Option<(usize, &[u8])> {
        let mut longest = None;
        self.each(text, |len, string| {
            longest = Some((len, string));
            true
        });
        longest
    }
}

/// Decodes base64 with the alphabet of RFC 4648 and padding. `None` if it is something else.
pub(super) fn base64(text: &str) -> Result<Option<Vec<u8>>> {
    let bytes = text.as_bytes();
    if bytes.len() / 4 > MAX_BLOB / 3 {
        fail!(Model, "the character map of a tokenizer has {} bytes of base64, which are too many", bytes.len());
    }
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let padding = bytes.iter().rev().take_while(|b| **b == b'=').count();
    let digits = &bytes[..bytes.len() - padding];
    if !bytes.len().is_multiple_of(4) || padding > 2 || digits.iter().any(|b| digit(*b).is_none()) {
        return Ok(None);
    }
    let byte = |i: usize| {
        // The bits of byte i are in two neighbouring digits.
        let at = |i: usize| u16::from(digits.get(i).and_then(|b| digit(*b)).unwrap_or(0));
        let first = i * 8 / 6;
        ((at(first) << 6 | at(first + 1)) >> (4 - i * 8 % 6)) as u8
    };
    made(digits.len() * 6 / 8, "the character map of a tokenizer", |i| Ok(byte(i))).map(Some)
}
