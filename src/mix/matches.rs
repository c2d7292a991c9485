//! The match model: finds the last occurrence of the last bytes of the text and predicts the byte that followed it.

use std::sync::Arc;

use super::contexts::{Text, hash};
use super::maps::Adaptive;
use super::table::{Builder, Frozen, Table};
use crate::error::{Result, fail};
use crate::numeric::buffer::{copied, filled};

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

/// Positions in a cache line.
const LINE: usize = 16;

/// A match model with one candidate.
#[derive(Debug)]
pub(crate) struct Match {
    /// For each hash of `min_len` bytes, the position of the byte that followed them last.
    heads: Table<[u32; LINE]>,
    /// log2 of the number of heads.
    log: u32,
    min_len: u32,
    /// Multiplier of the byte that leaves the rolling hash.
    leaving: u32,
    state: MatchState,
    /// The probability of 1, by kind.
    confidence: Vec<Adaptive>,
    /// State and probabilities at the mark.
    marked: (MatchState, Vec<Adaptive>),
}

/// The content of a match model.
#[derive(Debug)]
pub(crate) struct MatchContent {
    pub(crate) heads: Arc<Frozen<[u32; LINE]>>,
    pub(crate) state: MatchState,
    pub(crate) confidence: Vec<Adaptive>,
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

impl MatchContent {
    /// The initial content, with 2^`log` heads. `confidence`: the initial probabilities by kind.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn initial(log: u32, confidence: &[Adaptive; KINDS]) -> Result<Self> {
        let state = MatchState::NONE;
        let heads = Frozen::zeros((1 << log) / LINE, 1)?;
        Ok(Self { heads, state, confidence: copied(confidence, "match model")? })
    }
}

impl MatchState {
    /// That of a text of no bytes.
    pub(crate) const NONE: Self =
        Self { at: None, len: 0, pending: None, since_miss: RECOVERED, expected: None, chosen: 0, rolling: 0 };

    /// The position of the predicted byte, the length, and the number of bytes since the last mismatch. The rest
    /// follows from the text.
    pub(crate) fn stored(&self) -> (Option<u32>, u32, u32) {
        (self.at, self.len, self.since_miss)
    }
}

impl MatchContent {
    /// The content after a text of which `window` are the last bytes, before `position`. The heads, the rolling hash
    /// and the predicted byte follow from them. A head that is no longer in the window is never used, so it does not
    /// matter that it is not restored.
    ///
    /// # Errors
    /// `Corrupt` if `state`, which is that of [`MatchState::stored`], is not possible; `Memory`.
    pub(crate) fn rebuilt(
        first: &Self,
        min_len: u32,
        window: &[u8],
        position: u32,
        state: (Option<u32>, u32, u32),
        confidence: Vec<Adaptive>,
    ) -> Result<Self> {
        let (at, len, since_miss) = state;
        if len > MAX_LEN || since_miss > RECOVERED {
            fail!(Corrupt, "a stored match has {len} bytes, {since_miss} of them since a mismatch");
        }
        let initial = first.heads.initial();
        let heads = initial.units() * LINE;
        let index = |rolling| (hash(rolling, 0) >> (32 - heads.ilog2())) as usize;
        let mut all = filled(heads, 0u32, "match model")?;
        let (leaving, n) = (ROLL.wrapping_pow(min_len), min_len as usize);
        let (mut rolling, mut pending) = (0u32, None);
        for (i, byte) in window.iter().enumerate() {
            if let Some(index) = pending {
                // The bytes before this one have it as their successor.
                all[index] = position.wrapping_sub((window.len() - i) as u32);
            }
            let gone = i.checked_sub(n).map_or(0, |gone| window[gone]);
            rolling =
                rolling.wrapping_mul(ROLL).wrapping_add((*byte).into()).wrapping_sub(leaving.wrapping_mul(gone.into()));
            pending = (i + 1 >= n).then(|| index(rolling));
        }
        let mut builder = Builder::over(initial, heads.min(window.len()) / LINE)?;
        for (unit, line) in all.as_chunks::<LINE>().0.iter().enumerate() {
            builder.add(unit, &[*line])?;
        }
        let byte = |at: u32| {
            let distance = position.wrapping_sub(at) as usize;
            window.len().checked_sub(distance).and_then(|i| window.get(i)).copied().unwrap_or(0)
        };
        let state = MatchState { at, len, pending, since_miss, expected: at.map(byte), chosen: 0, rolling };
        Ok(Self { heads: builder.finish()?, state, confidence })
    }
}

impl Match {
    /// A model of matches of at least `min_len` bytes with this content.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn new(min_len: u32, content: &MatchContent) -> Result<Self> {
        let copy = || copied(&content.confidence, "match model");
        Ok(Self {
            heads: Table::new(&content.heads, "match model")?,
            log: (content.heads.units() * LINE).ilog2(),
            min_len,
            leaving: ROLL.wrapping_pow(min_len),
            state: content.state,
            confidence: copy()?,
            marked: (content.state, copy()?),
        })
    }

    /// The probabilities of 1, by kind.
    pub(crate) fn confidence(&self) -> &[Adaptive] {
        &self.confidence
    }

    /// Swaps the state of two lanes.
    pub(crate) fn swap(&mut self, state: &mut MatchState) {
        std::mem::swap(&mut self.state, state);
    }

    /// Sets the content.
    pub(crate) fn start_at(&mut self, content: &MatchContent) {
        self.heads.start_at(&content.heads);
        self.state = content.state;
        self.confidence.copy_from_slice(&content.confidence);
    }

    /// A copy of the content.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn freeze(&self) -> Result<MatchContent> {
        let confidence = copied(&self.confidence, "match model")?;
        Ok(MatchContent { heads: self.heads.freeze()?, state: self.state, confidence })
    }

    /// The table, whose marks the caller sets beside [`Match::mark`].
    pub(crate) fn table(&mut self) -> &mut Table<[u32; LINE]> {
        &mut self.heads
    }

    /// Saves what is not in the table, for [`Match::undo`].
    pub(crate) fn mark(&mut self) {
        self.marked.0 = self.state;
        self.marked.1.copy_from_slice(&self.confidence);
    }

    /// Goes back to the last [`Match::mark`].
    pub(crate) fn undo(&mut self) {
        self.state = self.marked.0;
        self.confidence.copy_from_slice(&self.marked.1);
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
        let gone = text.before_last(self.min_len);
        f.rolling =
            f.rolling.wrapping_mul(ROLL).wrapping_add(last.into()).wrapping_sub(self.leaving.wrapping_mul(gone.into()));
        if let Some(at) = f.at {
            let hit = text.get(at) == last;
            // A long match continues after one mismatch, because records often differ in one field only.
            let goes_on = hit || (f.len >= 16 && f.since_miss >= 8);
            f.len = if hit { (f.len + 1).min(MAX_LEN) } else { 0 };
            f.since_miss = if hit { (f.since_miss + 1).min(RECOVERED) } else { 0 };
            f.at = goes_on.then(|| at.wrapping_add(1)).filter(|at| text.is_coded(*at));
            if f.at.is_none() {
                f.len = 0;
            }
        }
        // The entry was prefetched one byte ago, when its index became known.
        if let Some(at) = f.pending {
            self.heads.touch(at / LINE);
            let head = &mut self.heads.lines_mut().as_flattened_mut()[at];
            if f.len < 16 {
                let candidate = head.wrapping_add(1);
                let len = text.common_suffix(candidate, MAX_LEN);
                if len > f.len && len >= self.min_len {
                    (f.len, f.at) = (len, Some(candidate));
                }
            }
            *head = text.position().wrapping_sub(1);
        }
        if text.has_at_least(self.min_len) {
            let at = (hash(f.rolling, 0) >> (32 - self.log)) as usize;
            self.heads.prefetch(at / LINE);
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
