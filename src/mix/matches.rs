//! The match model: finds the last occurrence of the last bytes of the text and predicts the byte that followed it.

use super::contexts::{Text, hash};
use super::journal::Journal;
use super::maps::Adaptive;
use crate::error::Result;
use crate::numeric::buffer::{prefetch, zeroed};

/// The maximum length of a match.
const MAX_LEN: u32 = 400;
/// Limit of the count of bytes since the last mismatch.
const RECOVERED: u32 = 16;
/// Number of length classes.
const LENGTHS: usize = 16;
/// The multiplier of the rolling hash.
const ROLL: u32 = 0x2C92_77B5;
/// Classes of the distance to the last mismatch.
const MISSES: usize = 4;

/// Number of adaptive probabilities: by whether the bit is the first of its byte, length class, miss class, expected
/// bit.
pub(crate) const KINDS: usize = 2 * LENGTHS * MISSES * 2;

/// The untrained value of each, in 1/65536.
pub(crate) fn guess(kind: usize) -> u16 {
    if kind.is_multiple_of(2) { 25_000 } else { 40_000 }
}

/// A match model with one candidate.
#[derive(Debug)]
pub(crate) struct Match {
    /// For each hash of `min_len` bytes, the position of the byte that followed them last.
    heads: Vec<u32>,
    min_len: u32,
    /// Multiplier of the byte that leaves the rolling hash.
    leaving: u32,
    state: MatchState,
    /// The probability of 1, by kind.
    confidence: Vec<Adaptive>,
    journal: Journal<u32>,
    /// State at the checkpoint.
    start: (MatchState, Vec<Adaptive>),
}

/// The state without tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MatchState {
    /// The position of the predicted byte, if there is a match.
    at: Option<u32>,
    /// The length of the match, up to `MAX_LEN`; 0 after a mismatch.
    len: u32,
    /// The index in `heads` for the last `min_len` bytes. `None` before there are that many bytes.
    pending: Option<usize>,
    /// The number of bytes since the last mismatch, up to `RECOVERED`.
    since_miss: u32,
    /// The predicted byte, until a bit of the current byte differs from it.
    expected: Option<u8>,
    /// The selected entry of `confidence`.
    chosen: usize,
    /// A polynomial hash of the last `min_len` bytes (Karp and Rabin 1987).
    rolling: u32,
}

impl Match {
    /// A model of matches of at least `min_len` bytes with a hash table of 2^`log` positions. `confidence`: the initial
    /// values by kind.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn new(min_len: u32, log: u32, confidence: &[Adaptive; KINDS]) -> Result<Self> {
        let confidence = confidence.to_vec();
        let state = MatchState {
            at: None,
            len: 0,
            pending: None,
            since_miss: RECOVERED,
            expected: None,
            chosen: 0,
            rolling: 0,
        };
        Ok(Self {
            journal: Journal::default(),
            start: (state, confidence.clone()),
            heads: zeroed(1 << log, "match model")?,
            min_len,
            leaving: ROLL.wrapping_pow(min_len),
            state,
            confidence,
        })
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.heads.copy_from_slice(&other.heads);
        self.state = other.state;
        self.confidence.copy_from_slice(&other.confidence);
    }

    /// The probabilities of 1, by kind.
    pub(crate) fn confidence(&self) -> &[Adaptive] {
        &self.confidence
    }

    /// Sets a checkpoint.
    pub(crate) fn checkpoint(&mut self) {
        self.journal.start();
        self.start.0 = self.state;
        self.start.1.copy_from_slice(&self.confidence);
    }

    pub(crate) fn discard_checkpoint(&mut self) {
        self.journal.discard();
    }

    pub(crate) fn pause(&mut self, paused: bool) {
        self.journal.pause(paused);
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.journal.is_complete()
    }

    /// Returns to the checkpoint.
    pub(crate) fn roll_back(&mut self) {
        self.journal.undo_all(|at, head| self.heads[at] = head);
        self.state = self.start.0;
        self.confidence.copy_from_slice(&self.start.1);
    }

    pub(crate) fn visit(&self, add: &mut dyn FnMut(&[u8])) {
        self.heads.iter().for_each(|h| add(&h.to_le_bytes()));
        let MatchState { at, len, since_miss, expected, rolling, pending, .. } = self.state;
        let expected = expected.map_or(256, u32::from);
        add(&rolling.to_le_bytes());
        add(&pending.map_or(u32::MAX, |at| at as u32).to_le_bytes());
        [at.unwrap_or(u32::MAX), len, since_miss, expected].iter().for_each(|x| add(&x.to_le_bytes()));
        self.confidence.iter().for_each(|p| add(&p.to_bytes()));
    }

    /// Length class, about logarithmic, below [`LENGTHS`].
    fn length(&self) -> usize {
        match self.state.len {
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

    /// Updates the match after a byte was appended to the text.
    pub(crate) fn byte(&mut self, text: &Text) {
        let f = &mut self.state;
        let last = text.back(1) as u8;
        let gone = text.get(text.position().wrapping_sub(self.min_len + 1));
        f.rolling =
            f.rolling.wrapping_mul(ROLL).wrapping_add(last.into()).wrapping_sub(self.leaving.wrapping_mul(gone.into()));
        if let Some(at) = f.at {
            let hit = text.get(at) == last;
            // A long match continues after one mismatch, because records often differ in one field only.
            let goes_on = hit || (f.len >= 16 && f.since_miss >= 8);
            f.len = if hit { (f.len + 1).min(MAX_LEN) } else { 0 };
            f.since_miss = if hit { (f.since_miss + 1).min(RECOVERED) } else { 0 };
            f.at = goes_on.then(|| at.wrapping_add(1));
        }
        // The entry was prefetched one byte ago, when its index became known.
        if let Some(at) = f.pending {
            let head = &mut self.heads[at];
            if f.len < 16 {
                let candidate = head.wrapping_add(1);
                let len = text.common_suffix(candidate, MAX_LEN);
                if len > f.len && len >= self.min_len {
                    (f.len, f.at) = (len, Some(candidate));
                }
            }
            self.journal.record(at, *head);
            *head = text.position().wrapping_sub(1);
        }
        if text.position() >= self.min_len {
            let at = (hash(f.rolling, 0) >> (32 - self.heads.len().ilog2())) as usize;
            prefetch(&self.heads[at]);
            f.pending = Some(at);
        }
        f.expected = f.at.map(|at| text.get(at));
    }

    /// The probability of 1 in 1/65536; `None` if no byte is expected, or if a bit of this byte was not the expected
    /// one. `partial`: the `bits` bits so far, after a leading 1.
    #[inline(always)]
    pub(crate) fn predict(&mut self, partial: u32, bits: u32) -> Option<i32> {
        let byte = u32::from(self.state.expected?) | 0x100;
        if byte >> (8 - bits) != partial {
            self.state.expected = None;
            return None;
        }
        let bit = (byte >> (7 - bits) & 1) as usize;
        let miss = match self.state.since_miss {
            0..3 => 3,
            3..8 => 2,
            8..RECOVERED => 1,
            _ => 0,
        };
        self.state.chosen = ((usize::from(bits > 0) * LENGTHS + self.length()) * MISSES + miss) * 2 + bit;
        Some(self.confidence[self.state.chosen].p())
    }

    /// The expected byte; 0 if there is none.
    #[inline(always)]
    pub(crate) fn expected_byte(&self) -> u32 {
        self.state.expected.map_or(0, u32::from)
    }

    /// The number of the selected entry of `confidence`, without its lowest bit, which is the expected bit.
    #[inline(always)]
    pub(crate) fn kind(&self) -> usize {
        self.state.chosen / 2
    }

    /// Whether the next byte is predicted by a match of at least `len` bytes.
    pub(crate) fn is_long(&self, len: u32) -> bool {
        self.state.expected.is_some() && self.state.len >= len
    }

    /// Whether the last byte of the text is the predicted one. Must be called before [`Match::byte`].
    pub(crate) fn hit(&self, text: &Text) -> bool {
        self.state.at.is_some_and(|at| text.get(at) == text.back(1) as u8)
    }

    /// Adapts the selected probability, if [`Match::predict`] gave one.
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: u32) {
        if self.state.expected.is_some() {
            self.confidence[self.state.chosen].update(bit, 1023);
        }
    }

    /// A coarse length class, below 10, for the selection of weights; 0 if no byte is expected.
    pub(crate) fn length_class(&self) -> usize {
        if self.state.expected.is_some() { 1 + self.length() / 2 } else { 0 }
    }

    /// Everything that one bit changes.
    pub(crate) fn save(&self) -> (MatchState, Adaptive) {
        (self.state, self.confidence[self.state.chosen])
    }

    pub(crate) fn restore(&mut self, (state, p): (MatchState, Adaptive)) {
        self.state = state;
        self.confidence[state.chosen] = p;
    }
}
