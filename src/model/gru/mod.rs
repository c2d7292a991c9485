//! GRU, byte level: gated recurrent units (Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder
//! for Statistical Machine Translation"), trained while it predicts.
//!
//! The reset gate is applied after the recurrent matrix, to its product with the state, as in cuDNN and PyTorch's
//! `torch.nn.GRUCell` (Cho et al. apply it to the state before the matrix). So all three gates share one recurrent
//! matrix. The weights are laid out as in that cell, with the gates in its order r, z, n:
//!
//! ```text
//! a = A x + b;  u = U h + c                      (3 hidden values each)
//! r = sigmoid(a_r + u_r);  z = sigmoid(a_z + u_z);  n = tanh(a_n + r * u_n)
//! h = n + z * (h - n)
//! ```
//!
//! x is the byte's embedding, followed by the state of the layer below in all layers but the first. The input of the
//! head is the states of all layers.

mod backward;
mod config;
mod step;
mod weights;

pub use backward::Gradients;
pub use config::Config;
pub use step::{Moment, Scratch};
pub use weights::{Matrix, Weights};

#[cfg(test)]
mod tests;
