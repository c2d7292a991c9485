//! GRU, byte level: gated recurrent units (Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder for
//! Statistical Machine Translation"), made to be trained as it predicts.
//!
//! The reset gate multiplies what the recurrent matrix made of the state, not the state before the matrix: the form of
//! cuDNN, and of PyTorch's `torch.nn.GRUCell` (Cho et al. have the other one). So one matrix serves all three gates, and
//! the weights are that cell's, gate by gate in its order r, z, n:
//!
//! ```text
//! a = A x + b;  u = U h + c                      (3 hidden values each)
//! r = sigmoid(a_r + u_r);  z = sigmoid(a_z + u_z);  n = tanh(a_n + r * u_n)
//! h = n + z * (h - n)
//! ```
//!
//! x is the byte's embedding and, from the second layer on, the state of the layer below behind it; the head takes all
//! layers' states.

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
