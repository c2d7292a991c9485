//! The shape of a GRU network.

use crate::error::{Result, fail};
use crate::model::VOCAB;
use crate::numeric::vector::WIDTH;

/// The sizes of a network. [`Config::check`] states the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The width of an embedding.
    pub embed: usize,
    /// The number of cells of a layer.
    pub hidden: usize,
    /// The number of layers.
    pub layers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { embed: 32, hidden: 128, layers: 1 }
    }
}

impl Config {
    /// Checks the limits. Widths are multiples of the vector width.
    ///
    /// # Errors
    /// `Method`, naming the value.
    pub fn check(&self) -> Result<()> {
        let whole = |n: usize, most: usize| n > 0 && n <= most && n.is_multiple_of(WIDTH);
        if !whole(self.embed, 1024) {
            fail!(Method, "embed={}: a multiple of {WIDTH} up to 1024 is needed", self.embed);
        }
        if !whole(self.hidden, 2048) {
            fail!(Method, "hidden={}: a multiple of {WIDTH} up to 2048 is needed", self.hidden);
        }
        if !(1..=8).contains(&self.layers) {
            fail!(Method, "layers={}: 1 to 8 are allowed", self.layers);
        }
        Ok(())
    }

    /// The width of a layer's input: the embedding, and the state of the layer below.
    pub fn inputs(&self, layer: usize) -> usize {
        self.embed + if layer > 0 { self.hidden } else { 0 }
    }

    /// The width of the head's input.
    pub fn features(&self) -> usize {
        self.layers * self.hidden
    }

    /// The number of weights. Saturates.
    pub fn parameters(&self) -> u64 {
        let matrix = |rows: usize, cols: usize| (rows as u64).saturating_mul(cols as u64 + 1);
        let layer = |l| matrix(3 * self.hidden, self.inputs(l)).saturating_add(matrix(3 * self.hidden, self.hidden));
        let ends = matrix(VOCAB, self.features()).saturating_add((VOCAB * self.embed) as u64);
        (0..self.layers).map(layer).fold(ends, u64::saturating_add)
    }
}
