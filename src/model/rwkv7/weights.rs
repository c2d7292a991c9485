//! The weights of a network, packed for the kernels.

use super::Config;
use crate::error::Result;
use crate::model::VOCAB;
use crate::numeric::buffer::{filled, made, padded};
use crate::numeric::level::Level;
use crate::numeric::matmul::{Matrix, Precision};
use crate::numeric::norm::layer_norm;
use crate::numeric::vector::{Vec16, vectors};
use crate::weights::{Checked, Fingerprint, TensorSource, TensorSpec};

/// The formats in which the matrices are held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Packing {
    /// All matrices but the head.
    pub body: Precision,
    /// The frozen output head. `None` if the method does not use it.
    pub head: Option<Precision>,
    /// Whether the head is also held as f32, as the initial value of a head that is trained.
    pub start: bool,
}

impl Packing {
    /// One format for all matrices, all frozen.
    pub fn all(precision: Precision) -> Self {
        Self { body: precision, head: Some(precision), start: false }
    }
}

/// Packed weights. They are immutable, and threads may share them.
#[derive(Debug)]
pub struct Weights {
    pub(super) config: Config,
    packing: Packing,
    fingerprint: Fingerprint,
    /// A row for each byte, with layer 0's pre-norm already applied.
    pub(super) embeddings: Vec<Vec16>,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Norm,
    head: Option<Matrix>,
    start: Option<Matrix>,
}

/// Weight and bias of a normalisation.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<Vec16>,
    pub(super) bias: Vec<Vec16>,
}

/// The low-rank pair `up * activation(down * x) + bias`. The gate's has no bias.
#[derive(Debug)]
pub(super) struct LowRank {
    pub(super) down: Matrix,
    pub(super) up: Matrix,
    pub(super) bias: Vec<Vec16>,
}

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attn_norm: Norm,
    pub(super) ffn_norm: Norm,
    /// Token shift of r, w, k, v, a, g.
    pub(super) mix: [Vec<Vec16>; 6],
    pub(super) k_k: Vec<Vec16>,
    pub(super) k_a: Vec<Vec16>,
    pub(super) r_k: Vec<Vec16>,
    pub(super) receptance: Matrix,
    pub(super) key: Matrix,
    pub(super) value: Matrix,
    pub(super) output: Matrix,
    pub(super) decay: LowRank,
    pub(super) rate: LowRank,
    /// `None` in layer 0.
    pub(super) value_mix: Option<LowRank>,
    pub(super) gate: LowRank,
    pub(super) group_norm: Norm,
    pub(super) ffn_mix: Vec<Vec16>,
    pub(super) ffn_key: Matrix,
    pub(super) ffn_value: Matrix,
}

/// Reads tensors from a source in the order of [`Config::tensors`] and packs them.
struct Loader<'a, I> {
    source: Checked<'a>,
    specs: I,
    precision: Precision,
    values: Vec<f32>,
}

impl<I: Iterator<Item = TensorSpec>> Loader<'_, I> {
    /// Reads the next tensor. Its name ends with `part`.
    fn next(&mut self, part: &str) -> Result<TensorSpec> {
        let spec = self.specs.next().expect("as many tensors as the config lists");
        debug_assert!(spec.name.ends_with(part), "{} where {part} was expected", spec.name);
        self.source.tensor(&spec.name, &spec.shape, &mut self.values)?;
        Ok(spec)
    }

    fn vector(&mut self, part: &str) -> Result<Vec<Vec16>> {
        let spec = self.next(part)?;
        padded(&self.values, &spec.name)
    }

    fn matrix(&mut self, part: &str) -> Result<Matrix> {
        let spec = self.next(part)?;
        Matrix::pack(&self.values, spec.shape[0], spec.shape[1], self.precision).map_err(|e| e.within(&spec.name))
    }

    /// The frozen head and the initial value of a trained one, as `packing` requires.
    fn head(&mut self, packing: Packing) -> Result<(Option<Matrix>, Option<Matrix>)> {
        let spec = self.next("lm_head.weight")?;
        let pack =
            |precision| Matrix::pack(&self.values, VOCAB, spec.shape[1], precision).map_err(|e| e.within(&spec.name));
        let start = packing.start.then_some(Precision::F32);
        Ok((packing.head.map(pack).transpose()?, start.map(pack).transpose()?))
    }

    fn norm(&mut self, part: &str) -> Result<Norm> {
        Ok(Norm { weight: self.vector(&format!("{part}.weight"))?, bias: self.vector(&format!("{part}.bias"))? })
    }

    fn low_rank(&mut self, part: &str, bias: bool) -> Result<LowRank> {
        Ok(LowRank {
            down: self.matrix(&format!("{part}.0.weight"))?,
            up: self.matrix(&format!("{part}.2.weight"))?,
            bias: if bias { self.vector(&format!("{part}.2.bias"))? } else { Vec::new() },
        })
    }

    fn layer(&mut self, index: usize) -> Result<Layer> {
        let attn_norm = self.norm("attn_norm")?;
        let ffn_norm = self.norm("ffn_norm")?;
        let mut mix = [const { Vec::new() }; 6];
        for (mix, part) in mix.iter_mut().zip(["x_r", "x_w", "x_k", "x_v", "x_a", "x_g"]) {
            *mix = self.vector(part)?;
        }
        // Fields are evaluated in the order written, which is the order of the tensors.
        Ok(Layer {
            attn_norm,
            ffn_norm,
            mix,
            k_k: self.vector("k_k")?,
            k_a: self.vector("k_a")?,
            r_k: self.vector("r_k")?,
            receptance: self.matrix("r_proj.weight")?,
            key: self.matrix("k_proj.weight")?,
            value: self.matrix("v_proj.weight")?,
            output: self.matrix("o_proj.weight")?,
            decay: self.low_rank("w_lora.lora", true)?,
            rate: self.low_rank("a_lora.lora", true)?,
            value_mix: if index > 0 { Some(self.low_rank("v_lora.lora", true)?) } else { None },
            gate: self.low_rank("g_lora.lora", false)?,
            group_norm: self.norm("g_norm")?,
            ffn_mix: self.vector("ffn.x_k")?,
            ffn_key: self.matrix("ffn.key.weight")?,
            ffn_value: self.matrix("ffn.value.weight")?,
        })
    }
}

impl Weights {
    /// Reads all tensors from a source, one at a time.
    ///
    /// # Errors
    /// `Method` for a shape that is not allowed; `Model` for a tensor that is missing, has another shape or a value
    /// that is not finite; `Memory`; any error of the source.
    pub fn load(config: &Config, packing: Packing, source: &mut dyn TensorSource) -> Result<Self> {
        config.check()?;
        let specs = config.tensors();
        let mut loader = Loader { source: Checked::new(source), specs, precision: packing.body, values: Vec::new() };
        let mut embeddings = loader.vector("embeddings.weight")?;
        let pre_norm = loader.norm("pre_norm")?;
        let width = vectors(config.hidden);
        let mut normed = filled(width, Vec16::ZERO, "a model's embeddings")?;
        for row in embeddings.chunks_exact_mut(width) {
            // Every level gives the same bits, so it is computed once, at the portable one.
            let eps = Config::LAYER_NORM_EPS;
            layer_norm(Level::PORTABLE, row, &pre_norm.weight, &pre_norm.bias, eps, &mut normed);
            row.copy_from_slice(&normed);
        }
        let layers = made(config.layers, "a model's layers", |i| loader.layer(i))?;
        let norm = loader.norm("model.norm")?;
        let (head, start) = loader.head(packing)?;
        let fingerprint = loader.source.fingerprint();
        Ok(Self { config: *config, packing, fingerprint, embeddings, layers, norm, head, start })
    }

    /// Reads and checks all tensors as [`Weights::load`] does, and returns only the fingerprint.
    pub fn check(config: &Config, source: &mut dyn TensorSource) -> Result<Fingerprint> {
        config.check()?;
        let mut checked = Checked::new(source);
        let mut values = Vec::new();
        for spec in config.tensors() {
            checked.tensor(&spec.name, &spec.shape, &mut values)?;
        }
        Ok(checked.fingerprint())
    }

    /// The network's shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The formats of its matrices.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// The frozen head.
    pub(super) fn head(&self) -> &Matrix {
        self.head.as_ref().expect("the packing has the frozen head")
    }

    /// The initial value of a trained head, if the packing has it: `[16 panels of 16 outputs][hidden]`.
    pub(crate) fn start(&self) -> Option<&[Vec16]> {
        self.start.as_ref().and_then(Matrix::f32_panels)
    }

    /// The fingerprint of the weights. It does not depend on the packing.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}
