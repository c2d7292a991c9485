//! Lanes of a mix: what belongs to each of them, and the start of a block. All else is shared: tables, weights, maps.
//!
//! The lane at work has its part in the fields of [`Mix`], so that a mix of one lane is not slower.

use super::bypass::Gates;
use super::contexts::{MAX_CONTEXTS, TextState};
use super::matches::MatchState;
use super::stripes::Stripes;
use super::{Content, MATCHES, Mix};
use crate::error::Result;
use crate::numeric::buffer::filled;

/// What belongs to a lane, between two bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    text: TextState,
    hashes: [u32; MAX_CONTEXTS],
    at: [usize; MAX_CONTEXTS],
    bypassed: bool,
    matches: [MatchState; MATCHES.len()],
    gates: Gates,
}

impl Lane {
    /// A lane after a text.
    fn after(text: TextState) -> Self {
        Self {
            text,
            hashes: [0; MAX_CONTEXTS],
            at: [0; MAX_CONTEXTS],
            bypassed: false,
            matches: [MatchState::NONE; MATCHES.len()],
            gates: None,
        }
    }
}

/// The lanes of a mix.
#[derive(Debug)]
pub(super) struct Lanes {
    /// Those that are not at work. Empty in a mix of one lane.
    resting: Vec<Lane>,
    /// The lane at work.
    present: usize,
    /// The lanes of the last block.
    used: usize,
    /// `resting` and `used` at the mark.
    marked: (Vec<Lane>, usize),
}

impl Lanes {
    /// One lane.
    pub(super) fn one() -> Self {
        Self { resting: Vec::new(), present: 0, used: 1, marked: (Vec::new(), 1) }
    }

    /// The bytes that several lanes take.
    pub(super) fn bytes(lanes: usize) -> u64 {
        if lanes > 1 { 2 * (lanes * size_of::<Lane>()) as u64 } else { 0 }
    }

    /// Sets all lanes to a content.
    pub(super) fn start_at(&mut self, content: &Content) {
        self.resting.fill(Lane::after(content.text.state));
        (self.present, self.used) = (0, 1);
    }
}

impl Mix {
    /// Sets the number of lanes, a power of two. [`Mix::start_at`] must be called then. Drops the mark.
    ///
    /// # Errors
    /// `Memory`. The number of lanes then does not change.
    pub fn set_lanes(&mut self, lanes: usize) -> Result<()> {
        let make =
            || filled(if lanes > 1 { lanes } else { 0 }, Lane::after(TextState::default()), "the lanes of a mix");
        let (resting, marked) = (make()?, make()?);
        self.lanes = Lanes { resting, present: 0, used: 1, marked: (marked, 1) };
        self.unmark(false);
        Ok(())
    }

    /// The bytes that `lanes` lanes take in addition to [`Options::bytes`](super::Options::bytes).
    pub fn lane_bytes(lanes: usize) -> u64 {
        Lanes::bytes(lanes)
    }

    /// Puts another lane to work. Only at a byte boundary.
    #[inline(always)]
    pub fn select(&mut self, lane: usize) {
        if lane != self.lanes.present {
            self.put_to_work(lane);
        }
    }

    #[inline(never)]
    fn put_to_work(&mut self, lane: usize) {
        debug_assert!(self.bit_state.bits == 0);
        self.swap(self.lanes.present);
        self.swap(lane);
        self.lanes.present = lane;
        self.text.stripes.select(lane as u32);
    }

    /// Swaps what belongs to a lane with the part of the lane at work.
    fn swap(&mut self, lane: usize) {
        let other = &mut self.lanes.resting[lane];
        std::mem::swap(&mut self.text.state, &mut other.text);
        std::mem::swap(&mut self.bit_state.hashes, &mut other.hashes);
        std::mem::swap(&mut self.bit_state.at, &mut other.at);
        std::mem::swap(&mut self.bit_state.bypassed, &mut other.bypassed);
        self.matches.iter_mut().flatten().zip(&mut other.matches).for_each(|(m, state)| m.swap(state));
        self.bypass.iter_mut().for_each(|bypass| bypass.swap(&mut other.gates));
    }

    /// Starts a block of `len` bytes in `lanes` lanes, a power of two, at most those of [`Mix::set_lanes`]. Lane 0 goes on from
    /// the last lane of the block before. The other lanes start a line, without a match. If there is a mark,
    /// [`Mix::reserve`] must have made room for `lanes` bytes.
    pub fn begin_block(&mut self, len: u32, lanes: usize) {
        debug_assert!(lanes == 1 || u64::from(len) <= self.text.window());
        let last = self.lanes.used - 1;
        self.select(last);
        if last != 0 {
            self.lanes.resting[last] = Lane::after(self.text.state);
            self.lanes.present = 0;
        }
        self.lanes.used = lanes;
        self.text.stripes = match lanes {
            1 => Stripes::NONE,
            _ => Stripes::new(self.text.position(), len, lanes.ilog2()),
        };
        for lane in 1..lanes {
            self.select(lane);
            self.text.jump(self.text.stripes.first(lane as u32));
            self.matches.iter_mut().flatten().for_each(|m| m.swap(&mut { MatchState::NONE }));
            self.bypass.iter_mut().for_each(|bypass| bypass.swap(&mut None));
            self.bit_state.bypassed = false;
            self.text.contexts(&mut self.bit_state.hashes);
            self.prefetch_slots(0);
            self.find_slots(0);
        }
        self.select(0);
    }

    /// The longest block that may have several lanes.
    pub fn window(&self) -> u64 {
        self.text.window()
    }

    /// Saves the lanes for [`Mix::undo_lanes`]. The last lane of the block before stays at work, because only its slots
    /// are used again.
    pub(super) fn mark_lanes(&mut self) {
        self.select(self.lanes.used - 1);
        self.lanes.marked.0.copy_from_slice(&self.lanes.resting);
        self.lanes.marked.1 = self.lanes.used;
    }

    /// Goes back to [`Mix::mark_lanes`]. The part of the lane at work is restored by the caller.
    pub(super) fn undo_lanes(&mut self) {
        self.lanes.resting.copy_from_slice(&self.lanes.marked.0);
        self.lanes.used = self.lanes.marked.1;
        self.lanes.present = self.lanes.used - 1;
    }
}
