//! The tokens of a file as it spells them.

use super::table::{Key, Names};
use crate::error::{Result, fail, shortened};
use crate::numeric::buffer::grow;
use crate::numeric::reserve::fallible;

/// The largest number of tokens. Gemma 3 has 262,145 of them.
pub(super) const MAX_TOKENS: usize = 1 << 20;
/// The longest name of a token, in bytes. The longest known one has 2048.
const MAX_NAME: usize = 4096;
/// The most bytes of all names together. Those of Gemma 3 have 2.3 million.
const MAX_BYTES: usize = 64 << 20;

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Normal,
    /// No text: the start or the end of a text, a role in a conversation.
    Control,
    /// No text: the model's sign for what it has no token for. Encoding never gives it.
    Unknown,
    /// Text that is matched before all other tokens.
    UserDefined,
    /// One byte, for text without another token.
    Byte,
    /// Nothing: a hole in the numbers.
    Unused,
}

impl Kind {
    /// Whether it stands for bytes of text.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Normal | Self::UserDefined | Self::Byte)
    }
}

/// Names and kinds by number.
#[derive(Debug, Default)]
pub(super) struct Raw {
    text: String,
    /// Start and end of each name.
    spans: Vec<(u32, u32)>,
    kinds: Vec<Kind>,
    /// The number of names.
    named: usize,
}

impl Raw {
    /// The number of tokens, holes included.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The bytes of all names.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The name of a token; empty for a hole.
    pub(super) fn name(&self, id: u32) -> &str {
        let (from, to) = self.spans[id as usize];
        &self.text[from as usize..to as usize]
    }

    /// The kind of a token.
    pub(super) fn kind(&self, id: u32) -> Kind {
        self.kinds[id as usize]
    }

    /// Changes the kind of a token.
    pub(super) fn set_kind(&mut self, id: u32, kind: Kind) {
        self.kinds[id as usize] = kind;
    }

    /// Whether a token has a name.
    pub(super) fn has(&self, id: u32) -> bool {
        self.spans.get(id as usize).is_some_and(|(from, to)| from < to)
    }

    /// Adds a token. Numbers may come in any order.
    ///
    /// # Errors
    /// `Model` if the number is taken or too large, or the name is too long; `Memory`.
    pub(super) fn add(&mut self, id: u64, name: &str, kind: Kind) -> Result<()> {
        const WHAT: &str = "the tokens of a tokenizer";
        let quoted = shortened(name);
        if id >= MAX_TOKENS as u64 {
            fail!(Model, "the token \"{quoted}\" has the number {id}, {MAX_TOKENS} tokens are allowed");
        }
        if name.len() > MAX_NAME || name.len() + self.text.len() > MAX_BYTES {
            let (n, all) = (name.len(), self.text.len());
            fail!(
                Model,
                "token {id} has {n} bytes after {all} of others, at most {MAX_NAME} and {MAX_BYTES} in all are allowed"
            );
        }
        let id = id as u32;
        if self.has(id) {
            fail!(Model, "token {id} is both \"{}\" and \"{quoted}\"", shortened(self.name(id)));
        }
        let more = (id as usize + 1).saturating_sub(self.len());
        grow(&mut self.spans, more, WHAT)?;
        grow(&mut self.kinds, more, WHAT)?;
        self.spans.resize(self.len() + more, (0, 0));
        self.kinds.resize(self.len(), Kind::Unused);
        if fallible(|| self.text.try_reserve(name.len())).is_err() {
            return Err(crate::error::out_of_memory(self.text.len() + name.len(), WHAT));
        }
        let start = self.text.len() as u32;
        self.text.push_str(name);
        self.spans[id as usize] = (start, self.text.len() as u32);
        self.kinds[id as usize] = if name.is_empty() { Kind::Unused } else { kind };
        self.named += 1;
        Ok(())
    }

    /// A table of all names. Of several tokens of one name it has the first.
    ///
    /// # Errors
    /// `Model` if there are no tokens, or most numbers are holes; `Memory`.
    pub(super) fn names(&self, key: Key) -> Result<Names> {
        if self.named == 0 {
            fail!(Model, "the vocabulary of the tokenizer is empty");
        }
        if self.len() > 2 * self.named + 4096 {
            fail!(Model, "the tokens of the tokenizer have numbers below {}, but there are {}", self.len(), self.named);
        }
        let mut names = Names::new(self.len(), key)?;
        for id in (0..self.len() as u32).filter(|id| self.has(*id)) {
            names.add(self.name(id).as_bytes(), id, |id| self.name(id).as_bytes());
        }
        Ok(names)
    }

    /// The token of this name.
    pub(super) fn find(&self, names: &Names, name: &str) -> Option<u32> {
        self.find_bytes(names, name.as_bytes())
    }

    /// As [`Raw::find`].
    pub(super) fn find_bytes(&self, names: &Names, name: &[u8]) -> Option<u32> {
        names.find(name, |id| self.name(id).as_bytes())
    }
}
