//! Normalisation: how the text that a model was trained on was changed before it was cut into tokens.
//!
//! It loses what the text was, so that only the formats for which it is customary (those of SentencePiece with a character
//! map) have it here, and only [`Tokenizer::encode`](super::Tokenizer::encode) does it.

use unicode_segmentation::UnicodeSegmentation;

use super::category::{first_char, last_len};
use super::charsmap::Charsmap;
use super::prefixes::Prefixes;
use super::vocabulary::Vocabulary;
use crate::error::Result;
use crate::numeric::buffer::grow;

/// What the character map replaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Matching {
    /// At each place the longest string of the map, as SentencePiece and llama.cpp do.
    #[default]
    Longest,
    /// A grapheme of less than 6 bytes, by the shortest string of the map that it starts with; if there is none, each of
    /// its characters. The library `tokenizers` does so.
    Graphemes,
}

/// What runs of spaces become one space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Runs {
    #[default]
    None,
    /// Runs of U+0020.
    Spaces,
    /// Runs of white space.
    WhiteSpace,
}

/// What is done to a text, in this order.
#[derive(Debug, Default)]
pub(super) struct Normaliser {
    pub(super) map: Option<Charsmap>,
    pub(super) matching: Matching,
    /// Whether white space (with [`Matching::Longest`]: U+0020) at the start and at the end of the text is removed.
    pub(super) trims: [bool; 2],
    pub(super) runs: Runs,
}

/// A grapheme of at least this many bytes is not looked up as a whole.
const LONG_GRAPHEME: usize = 6;

fn push(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    grow(out, bytes.len(), "a text")?;
    out.extend_from_slice(bytes);
    Ok(())
}

impl Normaliser {
    /// Whether it changes no text.
    pub(super) fn is_empty(&self) -> bool {
        self.map.is_none() && self.trims == [false; 2] && self.runs == Runs::None
    }

    /// Appends the normalised text to `out`, which is empty. Tokens of `added` and invalid bytes stay as they are.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn normalise(
        &self,
        vocabulary: &Vocabulary,
        added: &Prefixes,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        grow(out, text.len(), "a text")?;
        let mut from = 0;
        while from < text.len() {
            let next = added.next(vocabulary, text, from);
            let to = next.map_or(text.len(), |(at, _)| at);
            for chunk in text[from..to].utf8_chunks() {
                self.replace(chunk.valid(), out)?;
                push(out, chunk.invalid())?;
            }
            from = to;
            if let Some((_, token)) = next {
                let bytes = vocabulary.bytes(token);
                push(out, bytes)?;
                from += bytes.len();
            }
        }
        self.trim(out);
        self.join(out);
        Ok(())
    }

    fn replace(&self, text: &str, out: &mut Vec<u8>) -> Result<()> {
        match (&self.map, self.matching) {
            (None, _) => push(out, text.as_bytes()),
            (Some(map), Matching::Longest) => replace_longest(map, text, out),
            (Some(map), Matching::Graphemes) => replace_graphemes(map, text, out),
        }
    }

    fn trim(&self, out: &mut Vec<u8>) {
        let [start, end] = self.trims;
        let is_space = |c: char| c == ' ' || self.matching == Matching::Graphemes && c.is_whitespace();
        if end {
            while !out.is_empty() {
                let len = last_len(out);
                if !is_space(first_char(&out[out.len() - len..]).0) {
                    break;
                }
                out.truncate(out.len() - len);
            }
        }
        if start {
            let first = run(out, is_space);
            out.drain(..first);
        }
    }

    /// Puts one space in place of each run.
    fn join(&self, out: &mut Vec<u8>) {
        let (mut read, mut write) = (0, 0);
        while self.runs != Runs::None && read < out.len() {
            let run = run(&out[read..], |c| c == ' ' || self.runs == Runs::WhiteSpace && c.is_whitespace());
            out[write] = if run > 0 { b' ' } else { out[read] };
            (read, write) = (read + run.max(1), write + 1);
        }
        if self.runs != Runs::None {
            out.truncate(write);
        }
    }
}

/// The length of the characters at the start of a text that `is_space` selects.
fn run(text: &[u8], is_space: impl Fn(char) -> bool) -> usize {
    let mut len = 0;
    while len < text.len() {
        let (c, n) = first_char(&text[len..]);
        if !is_space(c) {
            break;
        }
        len += n;
    }
    len
}

fn replace_longest(map: &Charsmap, text: &str, out: &mut Vec<u8>) -> Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let (len, string) = map.longest(rest).unwrap_or_else(|| {
            let (_, len) = first_char(rest);
            (len, &rest[..len])
        });
        push(out, string)?;
        rest = &rest[len..];
    }
    Ok(())
}

fn replace_graphemes(map: &Charsmap, text: &str, out: &mut Vec<u8>) -> Result<()> {
    let mut rest = text;
    while !rest.is_empty() {
        let grapheme = first_grapheme(rest);
        rest = &rest[grapheme.len()..];
        if grapheme.len() < LONG_GRAPHEME
            && let Some(string) = map.shortest(grapheme.as_bytes())
        {
            push(out, string)?;
            continue;
        }
        let mut chars = grapheme.as_bytes();
        while !chars.is_empty() {
            let (c, others) = chars.split_at(first_char(chars).1);
            push(out, map.shortest(c).unwrap_or(c))?;
            chars = others;
        }
    }
    Ok(())
}

/// The first grapheme of a text, which is not empty.
fn first_grapheme(text: &str) -> &str {
    // The segmentation takes ten times as long as this. A line end may be two characters.
    match text.as_bytes() {
        [0..0x80, 0..0x80, ..] | [0..0x80] if !text.starts_with('\r') => &text[..1],
        _ => text.graphemes(true).next().unwrap_or(text),
    }
}
