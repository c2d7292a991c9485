//! From a text to tokens: the text is cut at added tokens, then by the patterns of the pre-tokeniser, then into words.
//! A word that occurred before in the same text is copied.

use super::category::first_char;
use super::joints::Joints;
use super::merge::Merger;
use super::prefixes::Prefixes;
use super::regex::{Regex, steps_for};
use super::table::{Key, Names, Pairs};
use super::unigram::{Lattice, Unigram};
use super::vocabulary::Vocabulary;
use crate::error::{Result, fail};
use crate::numeric::buffer::{filled, grow};

/// How a word becomes tokens.
#[derive(Debug)]
pub(super) enum Model {
    /// Merges. `whole`: a word that is a token is not merged.
    Bpe { pairs: Pairs, whole: bool },
    /// Scores.
    Unigram(Unigram),
}

/// Where the last patterns leave longer pieces than words.
#[derive(Debug)]
pub(super) enum Cut {
    /// Pieces are words.
    Nowhere,
    /// Before each space.
    Spaces,
    /// Where no token has the two bytes. This does not change the result of merges, but words can then be copied.
    Joints(Joints),
}

/// All that encoding needs.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) vocabulary: Vocabulary,
    /// The tokens that words are made of.
    pub(super) names: Names,
    pub(super) model: Model,
    /// Words start with bytes, not with characters.
    pub(super) by_bytes: bool,
    /// Tokens that are matched before the patterns: first those of the first set, then those of the second.
    pub(super) added: [Prefixes; 2],
    pub(super) regexes: Vec<Regex>,
    pub(super) cut: Cut,
    pub(super) key: Key,
}

/// A word that was encoded before: where it is in the text and in the tokens.
#[derive(Clone, Copy, Debug)]
struct Seen {
    start: u32,
    len: u32,
    token: u32,
    tokens: u32,
}

/// The longest word that is remembered, in bytes.
const LONGEST_SEEN: usize = 64;
/// The most words that are remembered. Their table fits a cache of the second level.
const MOST_SEEN: usize = 1 << 13;

struct Run<'a> {
    rules: &'a Rules,
    text: &'a [u8],
    tokens: &'a mut Vec<u32>,
    /// By the hash of the word.
    seen: Vec<Seen>,
    merger: Merger,
    lattice: Lattice,
    steps: u64,
}

impl Rules {
    /// Appends the tokens of a text. A byte without a token is [`NO_TOKEN`](super::NO_TOKEN) plus the byte.
    ///
    /// # Errors
    /// `Argument` for a text of 4 GiB; `Model` if a pattern takes too many steps; `Memory`.
    pub(super) fn encode(&self, text: &[u8], tokens: &mut Vec<u32>) -> Result<()> {
        if text.len() >= u32::MAX as usize {
            fail!(Argument, "a text of {} bytes cannot be tokenised in one call, 4 GiB - 2 is the limit", text.len());
        }
        let slots = (text.len() / 8).next_power_of_two().min(MOST_SEEN);
        let seen = filled(slots, Seen { start: 0, len: 0, token: 0, tokens: 0 }, "the words of a text")?;
        let (merger, lattice) = (Merger::default(), Lattice::default());
        let steps = steps_for(text.len());
        Run { rules: self, text, tokens, seen, merger, lattice, steps }.cut_added(0, 0, text.len())
    }
}

impl Run<'_> {
    /// Cuts `from..to` at the added tokens of a set and of those after it.
    fn cut_added(&mut self, set: usize, from: usize, to: usize) -> Result<()> {
        let rules = self.rules;
        let Some(added) = rules.added.get(set) else { return self.cut_by_pattern(0, from, to) };
        if added.is_empty() {
            return self.cut_added(set + 1, from, to);
        }
        let mut from = from;
        while from < to {
            let Some((at, token)) = added.next(&rules.vocabulary, &self.text[..to], from) else {
                return self.cut_added(set + 1, from, to);
            };
            self.cut_added(set + 1, from, at)?;
            grow(self.tokens, 1, "tokens")?;
            self.tokens.push(token);
            from = at + rules.vocabulary.bytes(token).len();
        }
        Ok(())
    }

    /// Cuts `from..to` by the patterns from `stage` on.
    fn cut_by_pattern(&mut self, stage: usize, from: usize, to: usize) -> Result<()> {
        let rules = self.rules;
        let Some(regex) = rules.regexes.get(stage) else { return self.words(from, to) };
        // Each pattern sees a piece as if it were the whole text.
        let piece = &self.text[from..to];
        let mut at = 0;
        while at < piece.len() {
            let end = regex.piece(piece, at, &mut self.steps)?;
            self.cut_by_pattern(stage + 1, from + at, from + end)?;
            at = end;
        }
        Ok(())
    }

    /// Cuts `from..to` into words.
    fn words(&mut self, from: usize, to: usize) -> Result<()> {
        let rules = self.rules;
        let piece = &self.text[from..to];
        let mut at = 0;
        while at < piece.len() {
            let end = match &rules.cut {
                Cut::Nowhere => piece.len(),
                Cut::Spaces => piece[at + 1..].iter().position(|b| *b == b' ').map_or(piece.len(), |n| at + 1 + n),
                Cut::Joints(joints) => joints.piece(piece, at),
            };
            self.word(from + at, from + end)?;
            at = end;
        }
        Ok(())
    }

    fn word(&mut self, from: usize, to: usize) -> Result<()> {
        let text = self.text;
        let word = &text[from..to];
        let start = self.tokens.len();
        if word.len() > LONGEST_SEEN || start > u32::MAX as usize {
            return self.new_word(word);
        }
        let slot = self.rules.key.bytes(word) as usize & (self.seen.len() - 1);
        let seen = self.seen[slot];
        if seen.len as usize == word.len() && &text[seen.start as usize..][..word.len()] == word {
            let n = seen.tokens as usize;
            grow(self.tokens, n, "tokens")?;
            self.tokens.extend_from_within(seen.token as usize..seen.token as usize + n);
            return Ok(());
        }
        self.new_word(word)?;
        let tokens = (self.tokens.len() - start) as u32;
        self.seen[slot] = Seen { start: from as u32, len: word.len() as u32, token: start as u32, tokens };
        Ok(())
    }

    fn new_word(&mut self, word: &[u8]) -> Result<()> {
        let Rules { vocabulary, names, model, by_bytes, .. } = self.rules;
        let find = |bytes: &[u8]| names.find(bytes, |id| vocabulary.bytes(id));
        let tokens = &mut *self.tokens;
        let start = tokens.len();
        let (pairs, whole) = match model {
            Model::Unigram(unigram) => return unigram.encode(vocabulary, word, &mut self.lattice, tokens),
            Model::Bpe { pairs, whole } => (pairs, *whole),
        };
        grow(tokens, word.len(), "tokens")?;
        if whole && let Some(token) = find(word) {
            tokens.push(token);
            return Ok(());
        }
        let single = vocabulary.single();
        if *by_bytes {
            tokens.extend(word.iter().map(|byte| single[usize::from(*byte)]));
        } else {
            let mut at = 0;
            while at < word.len() {
                let (_, len) = first_char(&word[at..]);
                let bytes = &word[at..at + len];
                match if len > 1 { find(bytes) } else { None } {
                    Some(token) => tokens.push(token),
                    None => tokens.extend(bytes.iter().map(|byte| single[usize::from(*byte)])),
                }
                at += len;
            }
        }
        self.merger.merge(pairs, tokens, start)
    }
}
