//! Unigram: the sequence of tokens with the largest sum of scores (Kudo 2018), found by Viterbi's algorithm.

use super::category::first_char;
use super::prefixes::Prefixes;
use super::vocabulary::Vocabulary;
use crate::error::Result;
use crate::numeric::buffer::grow;

/// How much less than the lowest score of a token a character without a token has, as in SentencePiece.
const PENALTY: f64 = 10.0;

/// The tokens with their scores.
#[derive(Debug)]
pub(super) struct Unigram {
    /// By token; those that are not in `prefixes` are not used.
    scores: Vec<f64>,
    prefixes: Prefixes,
    unknown: f64,
}

/// The best way to a place in a word.
#[derive(Clone, Copy, Debug)]
struct Best {
    score: f64,
    /// Where its last token starts; the place itself if there is no way yet.
    from: u32,
    /// Its last token, or [`UNKNOWN`].
    token: u32,
}

const UNKNOWN: u32 = u32::MAX;

/// Working memory, kept from word to word.
#[derive(Debug, Default)]
pub(super) struct Lattice(Vec<Best>);

impl Unigram {
    /// `scores` are those of all tokens of the file, control tokens included, as the lowest one counts.
    pub(super) fn new(scores: Vec<f64>, prefixes: Prefixes) -> Self {
        let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
        Self { scores, prefixes, unknown: lowest - PENALTY }
    }

    /// Appends the tokens of a word to `tokens`.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn encode(
        &self,
        vocabulary: &Vocabulary,
        word: &[u8],
        lattice: &mut Lattice,
        tokens: &mut Vec<u32>,
    ) -> Result<()> {
        let best = &mut lattice.0;
        best.clear();
        grow(best, word.len() + 1, "the parts of a word")?;
        best.extend((0..=word.len()).map(|at| Best { score: 0.0, from: at as u32, token: UNKNOWN }));
        let mut at = 0;
        while at < word.len() {
            let here = best[at].score;
            let (_, len) = first_char(&word[at..]);
            let mut offer = |end: usize, score: f64, token: u32| {
                let target = &mut best[end];
                if target.from as usize == end || score > target.score {
                    *target = Best { score, from: at as u32, token };
                }
            };
            let mut has_char = false;
            self.prefixes.each(vocabulary, &word[at..], |token| {
                let n = vocabulary.bytes(token).len();
                has_char |= n == len;
                offer(at + n, here + self.scores[token as usize], token);
            });
            if !has_char {
                offer(at + len, here + self.unknown, UNKNOWN);
            }
            at += len;
        }
        let start = tokens.len();
        let mut end = word.len();
        grow(tokens, word.len(), "tokens")?;
        while end > 0 {
            let Best { from, token, .. } = best[end];
            match token {
                UNKNOWN => {
                    let single = vocabulary.single();
                    tokens.extend(word[from as usize..end].iter().rev().map(|byte| single[usize::from(*byte)]));
                }
                token => tokens.push(token),
            }
            end = from as usize;
        }
        tokens[start..].reverse();
        Ok(())
    }
}
