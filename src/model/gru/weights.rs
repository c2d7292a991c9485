//! The weights, packed in panels for the kernels, and their initial values.

use super::Config;
use crate::error::Result;
use crate::model::VOCAB;
use crate::numeric::buffer::{Rows, filled, made};
use crate::numeric::random::Random;
use crate::numeric::transfer::Transfer;
use crate::numeric::vector::{Vec16, WIDTH, flat_mut};

/// A matrix and its bias, in panels of sixteen outputs: `panels[panel * cols + k]` holds column k of sixteen rows.
#[derive(Debug)]
pub struct Matrix {
    /// The number of inputs.
    pub cols: usize,
    /// The matrix, in panels.
    pub panels: Vec<Vec16>,
    /// The bias of each output.
    pub bias: Vec<Vec16>,
}

impl Matrix {
    /// A matrix of zeros.
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

    /// Fills the matrix row by row from the random stream of this name: uniform with variance 2 / (inputs + outputs)
    /// (Glorot, Bengio 2010: "Understanding the difficulty of training deep feedforward neural networks"). `outputs`
    /// counts the outputs of one gate.
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

    /// Copies another matrix of the same shape.
    pub fn copy_from(&mut self, other: &Self) {
        self.panels.copy_from_slice(&other.panels);
        self.bias.copy_from_slice(&other.bias);
    }
}

/// The weights of a layer.
#[derive(Debug)]
pub struct Layer {
    /// The input matrix A and its bias b.
    pub input: Matrix,
    /// The recurrent matrix U and its bias c.
    pub recurrent: Matrix,
}

/// The weights of a network.
#[derive(Debug)]
pub struct Weights {
    pub(super) config: Config,
    /// A row for each byte.
    pub embeddings: Rows,
    /// The layers, the lowest first.
    pub layers: Vec<Layer>,
    /// Maps the states of all layers to logits.
    pub head: Matrix,
}

impl Weights {
    /// The initial weights of a seed. Matrices have Xavier initialisation, embeddings are uniform in -1 to 1. Biases
    /// are zero, except that the update gate's are 1, so that the initial network keeps its state for several steps.
    /// The head is zero, so the initial prediction is uniform.
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

    /// Copies other weights of the same shape.
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

    /// Stores or loads the weights.
    ///
    /// # Errors
    /// Those of `t`.
    pub fn transfer(&mut self, t: &mut impl Transfer) -> Result<()> {
        t.floats(self.embeddings.all_mut())?;
        let layers = self.layers.iter_mut().flat_map(|layer| [&mut layer.input, &mut layer.recurrent]);
        for matrix in layers.chain([&mut self.head]) {
            t.floats(&mut matrix.panels)?;
            t.floats(&mut matrix.bias)?;
        }
        Ok(())
    }

    /// All matrices in a fixed order.
    pub fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        self.layers.iter().flat_map(|layer| [&layer.input, &layer.recurrent]).chain([&self.head])
    }
}
