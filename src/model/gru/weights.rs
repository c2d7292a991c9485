//! The weights, in the panels that the kernels read, and how they start.

use super::Config;
use crate::error::Result;
use crate::model::VOCAB;
use crate::numeric::buffer::{Rows, filled, made};
use crate::numeric::random::Random;
use crate::numeric::vector::{Vec16, WIDTH, flat_mut};

/// A matrix and a bias, in panels of sixteen outputs: `panels[panel * cols + k]` holds column k of sixteen rows.
#[derive(Debug)]
pub struct Matrix {
    /// Inputs.
    pub cols: usize,
    /// The matrix.
    pub panels: Vec<Vec16>,
    /// A value for each output.
    pub bias: Vec<Vec16>,
}

impl Matrix {
    /// Zeros.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(rows: usize, cols: usize) -> Result<Self> {
        let outputs = rows / WIDTH;
        Ok(Self {
            cols,
            panels: filled(outputs * cols, Vec16::ZERO, "weights")?,
            bias: filled(outputs, Vec16::ZERO, "weights")?,
        })
    }

    /// Row by row from a named stream: uniform, of the variance 2 / (inputs + outputs) (Glorot, Bengio 2010: "Understanding
    /// the difficulty of training deep feedforward neural networks"), where `outputs` are those of one gate.
    fn xavier(mut self, seed: u64, name: &str, outputs: usize) -> Self {
        let mut random = Random::new(seed, name);
        let bound = (6.0 / (self.cols + outputs) as f32).sqrt();
        for row in 0..self.bias.len() * WIDTH {
            for column in &mut self.panels[row / WIDTH * self.cols..][..self.cols] {
                column.0[row % WIDTH] = random.symmetric() * bound;
            }
        }
        self
    }

    /// Takes over another one of the same shape.
    pub fn copy_from(&mut self, other: &Self) {
        self.panels.copy_from_slice(&other.panels);
        self.bias.copy_from_slice(&other.bias);
    }
}

/// One layer's.
#[derive(Debug)]
pub struct Layer {
    /// A and b.
    pub input: Matrix,
    /// U and c.
    pub recurrent: Matrix,
}

/// All of them.
#[derive(Debug)]
pub struct Weights {
    pub(super) config: Config,
    /// A row for each byte.
    pub embeddings: Rows,
    /// From the bottom up.
    pub layers: Vec<Layer>,
    /// From all states to logits.
    pub head: Matrix,
}

impl Weights {
    /// Those of a seed: Xavier's matrices and embeddings from -1 to 1; biases are zero, but 1 for the update gate, so that
    /// states last at first. The head starts at zero: nothing is known of the next byte yet.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(config: &Config, seed: u64) -> Result<Self> {
        let hidden = config.hidden;
        let mut embeddings = Rows::new(VOCAB, config.embed)?;
        let mut random = Random::new(seed, "gru.embeddings");
        for byte in 0..VOCAB {
            flat_mut(embeddings.row_mut(byte)).iter_mut().for_each(|x| *x = random.symmetric());
        }
        let layer = |l| {
            let matrix = |part, cols| {
                let name = format!("gru.layers.{l}.{part}");
                Matrix::new(3 * hidden, cols).map(|m| m.xavier(seed, &name, hidden))
            };
            let (mut input, recurrent) = (matrix("input", config.inputs(l))?, matrix("recurrent", hidden)?);
            input.bias[hidden / WIDTH..2 * hidden / WIDTH].fill(Vec16([1.0; WIDTH]));
            Ok(Layer { input, recurrent })
        };
        let layers = made(config.layers, "weights", layer)?;
        Ok(Self { config: *config, embeddings, layers, head: Matrix::new(VOCAB, config.features())? })
    }

    /// The shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes over others of the same shape.
    pub fn copy_from(&mut self, other: &Self) {
        for byte in 0..VOCAB {
            self.embeddings.row_mut(byte).copy_from_slice(other.embeddings.row(byte));
        }
        for (to, from) in self.layers.iter_mut().zip(&other.layers) {
            to.input.copy_from(&from.input);
            to.recurrent.copy_from(&from.recurrent);
        }
        self.head.copy_from(&other.head);
    }

    /// All matrices, in a fixed order.
    pub fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        self.layers.iter().flat_map(|layer| [&layer.input, &layer.recurrent]).chain([&self.head])
    }
}
