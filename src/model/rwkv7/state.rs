//! What a network remembers of the bytes it has seen.

use super::Config;
use crate::error::Result;
use crate::numeric::buffer::filled;
use crate::numeric::vector::{Vec16, vectors};

/// One column a lane: for each layer the last inputs of both halves (token shift) and the heads' state matrices.
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

    /// How many lanes it has.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Takes over another state of the same shape, without taking memory.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn copy_from(&mut self, other: &Self) {
        self.shifts.copy_from_slice(&other.shifts);
        self.wkv.copy_from_slice(&other.wkv);
    }

    /// The last input of layer `layer`'s attention (`half` 0) or feed-forward network (1).
    pub(super) fn shift_mut(&mut self, layer: usize, half: usize, lane: usize) -> &mut [Vec16] {
        let at = ((layer * 2 + half) * self.lanes + lane) * self.width;
        &mut self.shifts[at..at + self.width]
    }

    /// All heads' matrices of a layer and lane.
    pub(super) fn wkv_mut(&mut self, layer: usize, lane: usize) -> &mut [Vec16] {
        let at = (layer * self.lanes + lane) * self.matrices;
        &mut self.wkv[at..at + self.matrices]
    }

    /// All of it, in a fixed order: for identifiers and comparisons.
    pub fn parts(&self) -> [&[Vec16]; 2] {
        [&self.shifts, &self.wkv]
    }
}
