//! The match model: an earlier stretch that ends as the text does now predicts what comes next.

use super::contexts::{Text, hash};
use super::maps::Adaptive;
use super::undo::Undo;
use crate::error::Result;
use crate::numeric::buffer::zeroed;

/// Lengths are counted up to this.
const MAX_LEN: u32 = 400;
/// How long a mismatch is remembered, in bytes.
const RECOVERED: u32 = 16;
/// Steps of length that count.
const LENGTHS: usize = 16;
/// Where the polynomial is taken.
const ROLL: u32 = 0x2C92_77B5;
/// Kinds of what was missed lately.
const MISSES: usize = 4;

/// How many probabilities there are whether 1 came: at a byte's first bit or not, by length, by what was missed, by what was
/// expected.
pub(crate) const KINDS: usize = 2 * LENGTHS * MISSES * 2;

/// What each of them is before any text was seen, of 65536.
pub(crate) fn guess(kind: usize) -> u16 {
    if kind.is_multiple_of(2) { 25_000 } else { 40_000 }
}

/// Follows one earlier position.
#[derive(Debug)]
pub(crate) struct Match {
    /// Positions by a hash of the last `min_len` bytes.
    heads: Vec<u32>,
    min_len: u32,
    /// What a byte's part of the hash has grown to when it leaves.
    leaving: u32,
    follow: Follow,
    /// Whether 1 came.
    confidence: Vec<Adaptive>,
    undo: Undo<u32>,
    /// Where the log began.
    start: (Follow, Vec<Adaptive>),
}

/// What changes from bit to bit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Follow {
    /// What is predicted next lies here, if anything is.
    at: Option<u32>,
    len: u32,
    /// Bytes since the last mismatch, up to `RECOVERED`.
    since_miss: u32,
    /// The byte that is predicted, as long as its bits come.
    expected: Option<u8>,
    /// Of `confidence`.
    chosen: usize,
    /// A hash of the last bytes (Karp and Rabin 1987): a polynomial.
    rolling: u32,
}

impl Match {
    /// Of stretches of at least `min_len` bytes; 2^`log` of them are kept in mind. `confidence`: of each of [`KINDS`].
    pub(crate) fn new(min_len: u32, log: u32, confidence: &[Adaptive; KINDS]) -> Result<Self> {
        let confidence = confidence.to_vec();
        let follow = Follow { at: None, len: 0, since_miss: RECOVERED, expected: None, chosen: 0, rolling: 0 };
        Ok(Self {
            undo: Undo::default(),
            start: (follow, confidence.clone()),
            heads: zeroed(1 << log, "match model")?,
            min_len,
            leaving: ROLL.wrapping_pow(min_len),
            follow,
            confidence,
        })
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.heads.copy_from_slice(&other.heads);
        self.follow = other.follow;
        self.confidence.copy_from_slice(&other.confidence);
    }

    /// How likely 1 is, of each of [`KINDS`].
    pub(crate) fn confidence(&self) -> &[Adaptive] {
        &self.confidence
    }

    /// A log of changes begins.
    pub(crate) fn begin(&mut self) {
        self.undo.begin();
        self.start.0 = self.follow;
        self.start.1.copy_from_slice(&self.confidence);
    }

    pub(crate) fn stop(&mut self) {
        self.undo.stop();
    }

    pub(crate) fn pause(&mut self, paused: bool) {
        self.undo.pause(paused);
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.undo.is_whole()
    }

    /// Back to where the log began.
    pub(crate) fn roll_back(&mut self) {
        self.undo.go_back(|at, head| self.heads[at] = head);
        self.follow = self.start.0;
        self.confidence.copy_from_slice(&self.start.1);
    }

    pub(crate) fn visit(&self, add: &mut dyn FnMut(&[u8])) {
        self.heads.iter().for_each(|h| add(&h.to_le_bytes()));
        let Follow { at, len, since_miss, expected, rolling, .. } = self.follow;
        let expected = expected.map_or(256, u32::from);
        add(&rolling.to_le_bytes());
        [at.unwrap_or(u32::MAX), len, since_miss, expected].iter().for_each(|x| add(&x.to_le_bytes()));
        self.confidence.iter().for_each(|p| add(&p.to_bytes()));
    }

    /// How long the match is, in about logarithmic steps below [`LENGTHS`].
    fn length(&self) -> usize {
        match self.follow.len {
            n @ 0..=15 => n.div_ceil(2) as usize,
            16..=23 => 9,
            24..=31 => 10,
            32..=63 => 11,
            64..=127 => 12,
            128..=255 => 13,
            256..MAX_LEN => 14,
            _ => 15,
        }
    }

    /// Takes in a whole byte, the last of the text.
    pub(crate) fn byte(&mut self, text: &Text) {
        let f = &mut self.follow;
        let last = text.back(1) as u8;
        let gone = text.get(text.position().wrapping_sub(self.min_len + 1));
        f.rolling =
            f.rolling.wrapping_mul(ROLL).wrapping_add(last.into()).wrapping_sub(self.leaving.wrapping_mul(gone.into()));
        if let Some(at) = f.at {
            let hit = text.get(at) == last;
            // Goes on beside a mismatch after a long match, as records with a changed field do.
            let goes_on = hit || (f.len >= 16 && f.since_miss >= 8);
            f.len = if hit { (f.len + 1).min(MAX_LEN) } else { 0 };
            f.since_miss = if hit { (f.since_miss + 1).min(RECOVERED) } else { 0 };
            f.at = goes_on.then(|| at.wrapping_add(1));
        }
        if text.position() >= self.min_len {
            let at = (hash(f.rolling, 0) >> (32 - self.heads.len().ilog2())) as usize;
            let head = &mut self.heads[at];
            if f.len < 16 {
                let len = text.common_suffix(*head, MAX_LEN);
                if len > f.len && len >= self.min_len {
                    (f.len, f.at) = (len, Some(*head));
                }
            }
            self.undo.note(at, *head);
            *head = text.position();
        }
        f.expected = f.at.map(|at| text.get(at));
    }

    /// How likely 1 is after `bits` of a byte whose first bits are `partial` (with a leading 1), of 65536.
    #[inline(always)]
    pub(crate) fn predict(&mut self, partial: u32, bits: u32) -> Option<i32> {
        let byte = u32::from(self.follow.expected?) | 0x100;
        if byte >> (8 - bits) != partial {
            self.follow.expected = None;
            return None;
        }
        let bit = (byte >> (7 - bits) & 1) as usize;
        let miss = match self.follow.since_miss {
            0..3 => 3,
            3..8 => 2,
            8..RECOVERED => 1,
            _ => 0,
        };
        self.follow.chosen = ((usize::from(bits > 0) * LENGTHS + self.length()) * MISSES + miss) * 2 + bit;
        Some(self.confidence[self.follow.chosen].p())
    }

    /// Learns whether 1 came.
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: u32) {
        if self.follow.expected.is_some() {
            self.confidence[self.follow.chosen].update(bit, 1023);
        }
    }

    /// A small number for choosing weights, below 10: 0 without a match.
    pub(crate) fn state(&self) -> usize {
        if self.follow.expected.is_some() { 1 + self.length() / 2 } else { 0 }
    }

    /// All that a bit changes: to try one and go back.
    pub(crate) fn save(&self) -> (Follow, Adaptive) {
        (self.follow, self.confidence[self.follow.chosen])
    }

    pub(crate) fn go_back(&mut self, (follow, p): (Follow, Adaptive)) {
        self.follow = follow;
        self.confidence[follow.chosen] = p;
    }
}
