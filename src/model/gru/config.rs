//! A network's shape.

use crate::error::{Result, fail};
use crate::model::VOCAB;
use crate::numeric::vector::WIDTH;

/// How large each part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Values of a byte's embedding.
    pub embed: usize,
    /// Cells of a layer.
    pub hidden: usize,
    /// How many layers.
    pub layers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { embed: 32, hidden: 128, layers: 1 }
    }
}

impl Config {
    /// Refuses shapes that are not built: whole vectors only, and no more than a byte's work allows.
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

    /// What a layer takes in: the embedding, and the layer below.
    pub fn inputs(&self, layer: usize) -> usize {
        self.embed + if layer > 0 { self.hidden } else { 0 }
    }

    /// What the head takes in.
    pub fn features(&self) -> usize {
        self.layers * self.hidden
    }

    /// How many weights there are; saturates.
    pub fn parameters(&self) -> u64 {
        let matrix = |rows: usize, cols: usize| (rows as u64).saturating_mul(cols as u64 + 1);
        let layer = |l| matrix(3 * self.hidden, self.inputs(l)).saturating_add(matrix(3 * self.hidden, self.hidden));
        let ends = matrix(VOCAB, self.features()).saturating_add((VOCAB * self.embed) as u64);
        (0..self.layers).map(layer).fold(ends, u64::saturating_add)
    }
}
