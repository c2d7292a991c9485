//! The bytes and the kind of each token.

use super::alphabet;
use super::raw::Raw;
use super::table::{Key, Names};
use crate::error::Result;
use crate::numeric::buffer::reserved;

pub use super::raw::Kind;

/// In place of a token, this plus a byte is a byte that has no token. Every token is smaller.
pub const NO_TOKEN: u32 = 0xffff_ff00;

/// How a file spells the bytes of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// In the alphabet of GPT-2, one character a byte.
    Alphabet,
    /// As it is.
    Plain,
    /// As it is, with U+2581 for each space.
    Spaces,
}

/// All tokens of a tokenizer by their number.
#[derive(Debug)]
pub struct Vocabulary {
    bytes: Vec<u8>,
    /// Where the bytes of each token end; those of the next token follow.
    ends: Vec<u32>,
    kinds: Vec<Kind>,
    /// The token of each byte that has one of its own, or [`NO_TOKEN`] plus the byte.
    single: [u32; 256],
}

impl Vocabulary {
    /// The number of tokens.
    #[expect(clippy::len_without_is_empty, reason = "it has at least one token")]
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// The kind of a token.
    ///
    /// # Panics
    /// If there is no such token, as in the other functions.
    pub fn kind(&self, token: u32) -> Kind {
        self.kinds[token as usize]
    }

    /// The name of a token: for one that stands for text, its bytes; for a control token what the file calls it.
    pub fn name(&self, token: u32) -> &[u8] {
        let start = token.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        &self.bytes[start as usize..self.ends[token as usize] as usize]
    }

    /// The bytes of text that a token stands for. Control tokens, unknown and unused ones stand for none. Two tokens may
    /// stand for the same bytes.
    #[inline]
    pub fn bytes(&self, token: u32) -> &[u8] {
        if self.kind(token).is_text() { self.name(token) } else { &[] }
    }

    /// The token that stands for one byte, if there is one.
    pub fn of_byte(&self, byte: u8) -> Option<u32> {
        Some(self.single[usize::from(byte)]).filter(|token| *token < NO_TOKEN)
    }

    /// The token of each byte, or [`NO_TOKEN`] plus the byte.
    pub(super) fn single(&self) -> &[u32; 256] {
        &self.single
    }

    /// The bytes of the tokens as the file spells them.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn new(raw: &Raw, spelling: Spelling) -> Result<Self> {
        let single = std::array::from_fn(|byte| NO_TOKEN + byte as u32);
        let mut all = Self {
            bytes: reserved(raw.bytes(), "a vocabulary")?,
            ends: reserved(raw.len(), "a vocabulary")?,
            kinds: reserved(raw.len(), "a vocabulary")?,
            single,
        };
        for id in 0..raw.len() as u32 {
            let kind = all.append(raw.name(id), raw.kind(id), spelling);
            all.ends.push(all.bytes.len() as u32);
            all.kinds.push(kind);
            if let [byte] = all.bytes(id) {
                let byte = *byte;
                let rank = |kind| match kind {
                    // One that the file spells in the alphabet is not part of words.
                    Kind::UserDefined if spelling == Spelling::Alphabet => 1,
                    Kind::Normal | Kind::UserDefined => 2,
                    _ => 0,
                };
                // Among equals the first one counts, as in `names`.
                let is_better = all.of_byte(byte).is_none_or(|seen| rank(kind) > rank(all.kind(seen)));
                if is_better && all.is_reachable(id, raw, spelling) {
                    all.single[usize::from(byte)] = id;
                }
            }
        }
        Ok(all)
    }

    /// Appends the bytes of a token. Returns its kind: one whose bytes no text has is unused.
    fn append(&mut self, name: &str, kind: Kind, spelling: Spelling) -> Kind {
        let start = self.bytes.len();
        match (kind, spelling) {
            (Kind::Byte, _) => match alphabet::fallback_byte(name) {
                Some(byte) => self.bytes.push(byte),
                None => return Kind::Unused,
            },
            // The name of an added token is spelt as it is.
            (Kind::Normal, Spelling::Alphabet) => {
                for c in name.chars() {
                    match alphabet::byte_of(c) {
                        Some(byte) => self.bytes.push(byte),
                        None => {
                            self.bytes.truncate(start);
                            return Kind::Unused;
                        }
                    }
                }
            }
            (Kind::Normal | Kind::UserDefined, Spelling::Spaces) => {
                for c in name.chars() {
                    let c = if c == alphabet::SPACE { ' ' } else { c };
                    self.bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            _ => self.bytes.extend_from_slice(name.as_bytes()),
        }
        if self.bytes.len() == start && kind.is_text() { Kind::Unused } else { kind }
    }

    /// Whether encoding by words may give this token: where U+2581 stands for spaces, a name with a space is a duplicate.
    fn is_reachable(&self, id: u32, raw: &Raw, spelling: Spelling) -> bool {
        spelling != Spelling::Spaces || !raw.name(id).contains(' ')
    }

    /// A table of the tokens that words are made of, by their bytes, without those that stand for any byte.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn names(&self, raw: &Raw, spelling: Spelling, key: Key) -> Result<Names> {
        let mut names = Names::new(self.len(), key)?;
        for id in 0..self.len() as u32 {
            let is_word = match self.kind(id) {
                Kind::Normal => true,
                // One that the file spells in the alphabet is not part of words.
                Kind::UserDefined => spelling != Spelling::Alphabet,
                _ => false,
            };
            if is_word && self.is_reachable(id, raw, spelling) {
                names.add(self.bytes(id), id, |id| self.bytes(id));
            }
        }
        Ok(names)
    }
}
