//! The tokenizer: what a model calls to read and write text.

use super::encode::Rules;
use super::normalise::{Matching, Normaliser};
use super::vocabulary::{NO_TOKEN, Vocabulary};
use crate::error::{Result, fail};
use crate::numeric::buffer::{grow, reserved};

/// A tokenizer: immutable, shared by threads.
///
/// Any bytes can be encoded, valid UTF-8 or not, and decoding gives the same bytes, except where
/// [`Tokenizer::normalises`]. Control tokens never come from text:
/// a text that looks like one (`<|endoftext|>`) is encoded as text. The tokens are those of the library `tokenizers`
/// with its option `encode_special_tokens`, with these differences, without which text would be lost:
///
/// - A normalisation to NFC or NFKC that the file asks for is not done. Text of that form has the same tokens. (That by
///   a character map of SentencePiece is done.)
/// - Where U+2581 stands for a space in the vocabulary, the character U+2581 in a text becomes bytes.
/// - Where the model puts a space in front of the text, it is put there even if the text starts with one, and only
///   there, not after each added token.
/// - A byte without a token is an error, not an unknown token. Such bytes exist if the vocabulary has no fallback to
///   bytes, or lacks single bytes: that of SmolLM2 lacks 21.
/// - Each byte of an invalid character is classed as U+FFFD.
///
/// No start or end token is added; [`Tokenizer::adds_bos`] says whether the model expects one.
///
/// The time of encoding is in proportion to the length of the text, up to a logarithm of the length of words.
#[derive(Debug)]
pub struct Tokenizer {
    pub(super) rules: Rules,
    pub(super) special: Special,
    /// Text gets a space in front.
    pub(super) prefix: bool,
    /// What [`Tokenizer::encode`] does to a text before.
    pub(super) normaliser: Option<Normaliser>,
}

/// The tokens that a file gives a role.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Special {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) unknown: Option<u32>,
    pub(super) adds_bos: bool,
    pub(super) adds_eos: bool,
}

impl Tokenizer {
    /// Appends the tokens of a text to `tokens`.
    ///
    /// # Errors
    /// `Argument` if a byte has no token, with the byte and its offset, or if the text has 4 GiB or more; `Model` if a
    /// pattern of the file takes too many steps; `Memory`. `tokens` is then as before.
    pub fn encode(&self, text: &[u8], tokens: &mut Vec<u32>) -> Result<()> {
        let start = tokens.len();
        let mut normalised = Vec::new();
        let text = match &self.normaliser {
            None => text,
            Some(normaliser) => {
                normaliser.normalise(&self.rules.vocabulary, &self.rules.added[0], text, &mut normalised)?;
                &normalised
            }
        };
        let added = self.puts_space_before(text);
        let encoded = if added { self.encode_after_space(text, tokens) } else { self.rules.encode(text, tokens) };
        let result = encoded.and_then(|()| self.check(&tokens[start..], usize::from(added)));
        if result.is_err() {
            tokens.truncate(start);
        }
        result
    }

    /// As [`Tokenizer::encode`], but the bytes of the tokens are exactly those of the text: it is not normalised, no space
    /// is put in front, and a byte `b` that has no token becomes `NO_TOKEN + b`.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`], except for bytes without a token.
    pub fn encode_exact(&self, text: &[u8], tokens: &mut Vec<u32>) -> Result<()> {
        let start = tokens.len();
        let result = self.rules.encode(text, tokens);
        if result.is_err() {
            tokens.truncate(start);
        }
        result
    }

    /// Whether encoding puts a space in front of this text.
    fn puts_space_before(&self, text: &[u8]) -> bool {
        let starts_with_added = || {
            let Rules { vocabulary, added, .. } = &self.rules;
            added.iter().any(|added| added.next(vocabulary, text, 0).is_some_and(|(at, _)| at == 0))
        };
        let has_space = || {
            let keeps_one = |n: &Normaliser| n.matching == Matching::Graphemes;
            self.normaliser.as_ref().is_some_and(keeps_one) && text.starts_with(b" ")
        };
        self.prefix && !text.is_empty() && !starts_with_added() && !has_space()
    }

    /// Whether [`Tokenizer::encode`] first normalises a text by the rules of the file: the character map of
    /// SentencePiece, and spaces that are joined or removed. Decoding then gives the normalised text. The time is in
    /// proportion to the length of the text and of what it becomes.
    pub fn normalises(&self) -> bool {
        self.normaliser.is_some()
    }

    fn encode_after_space(&self, text: &[u8], tokens: &mut Vec<u32>) -> Result<()> {
        let mut longer = reserved(text.len() + 1, "a text")?;
        longer.push(b' ');
        longer.extend_from_slice(text);
        self.rules.encode(&longer, tokens)
    }

    /// Refuses bytes without a token. `before`: how many bytes were put in front of the text.
    fn check(&self, tokens: &[u32], before: usize) -> Result<()> {
        let Some(at) = tokens.iter().position(|token| *token >= NO_TOKEN) else { return Ok(()) };
        let len = |token: &u32| if *token >= NO_TOKEN { 1 } else { self.rules.vocabulary.bytes(*token).len() };
        let offset = tokens[..at].iter().map(len).sum::<usize>();
        let byte = tokens[at] - NO_TOKEN;
        let of = if self.normalises() { " of the normalised text" } else { "" };
        match offset.checked_sub(before) {
            Some(offset) => {
                fail!(Argument, "the byte 0x{byte:02x} at offset {offset}{of} has no token in this vocabulary")
            }
            None => fail!(Argument, "the space in front of the text has no token in this vocabulary"),
        }
    }

    /// Appends the bytes of tokens to `text`. Control, unknown and unused tokens have none. If encoding puts a space in
    /// front of a text, decoding removes one from the first bytes: pass all tokens of a text in one call, or concatenate
    /// the bytes of the [`Vocabulary`].
    ///
    /// # Errors
    /// `Argument` for a number that is no token; `Memory`. `text` is then as before.
    pub fn decode(&self, tokens: &[u32], text: &mut Vec<u8>) -> Result<()> {
        let vocabulary = &self.rules.vocabulary;
        let mut len = 0usize;
        for (i, token) in tokens.iter().enumerate() {
            if *token as usize >= vocabulary.len() {
                fail!(Argument, "token {i} is {token}, the vocabulary has {}", vocabulary.len());
            }
            len = len.saturating_add(vocabulary.bytes(*token).len());
        }
        grow(text, len, "a text")?;
        let mut is_first = self.prefix;
        for token in tokens {
            let bytes = vocabulary.bytes(*token);
            let skipped = is_first && bytes.starts_with(b" ") && !self.is_added(*token);
            text.extend_from_slice(&bytes[usize::from(skipped)..]);
            is_first &= bytes.is_empty();
        }
        Ok(())
    }

    /// Whether a token is matched before the others, so that no space was put in front of it.
    fn is_added(&self, token: u32) -> bool {
        self.rules.added.iter().any(|added| added.contains(&self.rules.vocabulary, token))
    }

    /// The tokens.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.rules.vocabulary
    }

    /// The token at the start of a text, if the file names one. A `tokenizer.json` names one only by a template that
    /// adds it.
    pub fn bos(&self) -> Option<u32> {
        self.special.bos
    }

    /// The token at the end of a text, as [`Tokenizer::bos`].
    pub fn eos(&self) -> Option<u32> {
        self.special.eos
    }

    /// The unknown token, if the file names one. Encoding never gives it.
    pub fn unknown(&self) -> Option<u32> {
        self.special.unknown
    }

    /// Whether the model expects [`Tokenizer::bos`] in front of a text.
    pub fn adds_bos(&self) -> bool {
        self.special.adds_bos
    }

    /// Whether the model expects [`Tokenizer::eos`] after a text.
    pub fn adds_eos(&self) -> bool {
        self.special.adds_eos
    }
}
