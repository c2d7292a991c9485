//! All tokens that a text starts with.

use super::vocabulary::Vocabulary;
use crate::error::Result;
use crate::numeric::buffer::{grow, made};

/// Tokens sorted by their bytes, to find all that a text starts with.
#[derive(Debug)]
pub(super) struct Prefixes {
    /// No two of them have the same bytes.
    tokens: Vec<u32>,
    /// Where the tokens of each first byte start; the last entry is their number.
    first: Vec<u32>,
}

impl Prefixes {
    /// The tokens that `keep` selects. Of several with the same bytes, the first one. It takes over none without bytes.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn new(vocabulary: &Vocabulary, keep: impl Fn(u32) -> bool) -> Result<Self> {
        let mut tokens = Vec::new();
        for token in (0..vocabulary.len() as u32).filter(|token| keep(*token) && !vocabulary.bytes(*token).is_empty()) {
            grow(&mut tokens, 1, "the tokens of a tokenizer")?;
            tokens.push(token);
        }
        tokens.sort_unstable_by_key(|token| (vocabulary.bytes(*token), *token));
        tokens.dedup_by_key(|token| vocabulary.bytes(*token));
        let start = |byte| tokens.partition_point(|token| usize::from(vocabulary.bytes(*token)[0]) < byte) as u32;
        let first = made(257, "the tokens of a tokenizer", |byte| Ok(start(byte)))?;
        Ok(Self { tokens, first })
    }

    /// Whether a token is one of them.
    pub(super) fn contains(&self, vocabulary: &Vocabulary, token: u32) -> bool {
        let mut found = false;
        self.each(vocabulary, vocabulary.bytes(token), |other| found |= other == token);
        found
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Calls `found` with each token whose bytes `text` starts with, the shortest first.
    #[inline]
    pub(super) fn each(&self, vocabulary: &Vocabulary, text: &[u8], mut found: impl FnMut(u32)) {
        let Some(byte) = text.first() else { return };
        let bounds = &self.first[usize::from(*byte)..];
        let mut range = &self.tokens[bounds[0] as usize..bounds[1] as usize];
        let mut depth = 1;
        while let Some(token) = range.first() {
            let bytes = vocabulary.bytes(*token);
            if range.len() == 1 {
                if text.starts_with(bytes) {
                    found(*token);
                }
                return;
            }
            if bytes.len() == depth {
                found(*token);
                range = &range[1..];
            }
            let Some(byte) = text.get(depth) else { return };
            let at = |token: &u32| vocabulary.bytes(*token)[depth];
            let from = range.partition_point(|token| at(token) < *byte);
            range = &range[from..];
            range = &range[..range.partition_point(|token| at(token) == *byte)];
            depth += 1;
        }
    }

    /// The first place from `from` on where a token starts, and the longest token there.
    #[inline]
    pub(super) fn next(&self, vocabulary: &Vocabulary, text: &[u8], from: usize) -> Option<(usize, u32)> {
        for at in from..text.len() {
            let byte = usize::from(text[at]);
            if self.first[byte] == self.first[byte + 1] {
                continue;
            }
            let mut longest = None;
            self.each(vocabulary, &text[at..], |token| longest = Some(token));
            if let Some(token) = longest {
                return Some((at, token));
            }
        }
        None
    }
}
