//! The recurrent state.

use super::Config;
use crate::error::Result;
use crate::numeric::buffer::filled;
use crate::numeric::vector::{Vec16, vectors};

/// The recurrent state of one or more lanes: for each layer, the last inputs of both halves (for the token shift) and
/// the state matrix of each head.
#[derive(Clone, Debug)]
pub struct State {
    lanes: usize,
    width: usize,
    matrices: usize,
    /// `[layer][attention, feed-forward][lane][hidden]`.
    shifts: Vec<Vec16>,
    /// `[layer][lane][head][j][i]`.
    wkv: Vec<Vec16>,
}

impl State {
    /// The state before any byte: zeros.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(config: &Config, lanes: usize) -> Result<Self> {
        let width = vectors(config.hidden);
        let matrices = vectors(config.hidden * config.head_size);
        Ok(Self {
            lanes,
            width,
            matrices,
            shifts: filled(config.layers * 2 * lanes * width, Vec16::ZERO, "a model's state")?,
            wkv: filled(config.layers * lanes * matrices, Vec16::ZERO, "a model's state")?,
        })
    }

    /// The number of lanes.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Copies another state of the same network, without allocating. If it has one lane, all lanes become copies of it.
    ///
    /// # Panics
    /// If the shapes differ otherwise.
    pub fn copy_from(&mut self, other: &Self) {
        let lanes = self.lanes;
        if other.lanes == lanes {
            self.shifts.copy_from_slice(&other.shifts);
            self.wkv.copy_from_slice(&other.wkv);
            return;
        }
        assert!(other.lanes == 1);
        for (to, from, n) in [(&mut self.shifts, &other.shifts, self.width), (&mut self.wkv, &other.wkv, self.matrices)]
        {
            for (lanes, from) in to.chunks_exact_mut(n * lanes).zip(from.chunks_exact(n)) {
                lanes.chunks_exact_mut(n).for_each(|to| to.copy_from_slice(from));
            }
        }
    }

    /// Copies a lane to another one.
    pub fn copy_lane(&mut self, from: usize, to: usize) {
        let lanes = self.lanes;
        for (all, n) in [(&mut self.shifts, self.width), (&mut self.wkv, self.matrices)] {
            for all in all.chunks_exact_mut(n * lanes) {
                all.copy_within(from * n..(from + 1) * n, to * n);
            }
        }
    }

    /// The last input of the attention (`half` 0) or the feed-forward network (`half` 1) of a layer.
    pub(super) fn shift_mut(&mut self, layer: usize, half: usize, lane: usize) -> &mut [Vec16] {
        let at = ((layer * 2 + half) * self.lanes + lane) * self.width;
        &mut self.shifts[at..at + self.width]
    }

    /// The same, not mutable.
    pub(super) fn shift(&self, layer: usize, half: usize, lane: usize) -> &[Vec16] {
        let at = ((layer * 2 + half) * self.lanes + lane) * self.width;
        &self.shifts[at..at + self.width]
    }

    /// The state matrices of all heads of a layer in a lane, not mutable.
    pub(super) fn wkv(&self, layer: usize, lane: usize) -> &[Vec16] {
        let at = (layer * self.lanes + lane) * self.matrices;
        &self.wkv[at..at + self.matrices]
    }

    /// The state matrices of all heads of a layer in a lane.
    pub(super) fn wkv_mut(&mut self, layer: usize, lane: usize) -> &mut [Vec16] {
        let at = (layer * self.lanes + lane) * self.matrices;
        &mut self.wkv[at..at + self.matrices]
    }

    /// Sets all values to zero.
    pub fn clear(&mut self) {
        self.shifts.fill(Vec16::ZERO);
        self.wkv.fill(Vec16::ZERO);
    }

    /// All values in a fixed order.
    pub fn parts(&self) -> [&[Vec16]; 2] {
        [&self.shifts, &self.wkv]
    }

    /// [`State::parts`], mutable.
    pub fn parts_mut(&mut self) -> [&mut [Vec16]; 2] {
        [&mut self.shifts, &mut self.wkv]
    }
}
