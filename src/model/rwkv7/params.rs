//! Weights that learn: all parameters of a network as f32 in one array. Gradients and an optimiser's moments have the
//! same layout, so that an update is one pass over three arrays.

use std::ops::Range;
use std::sync::Arc;

use super::Config;
use crate::error::Result;
use crate::model::VOCAB;
use crate::numeric::buffer::{copied, filled, made, reserved};
use crate::numeric::vector::{Vec16, WIDTH, flat, flat_mut, vectors};
use crate::weights::{Checked, Fingerprint, TensorSource, TensorSpec};

/// The groups of parameters that a policy's scope selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The embeddings.
    Embed,
    /// Layer 0's norm of the embeddings.
    PreNorm,
    /// The norms before the attention of all layers.
    AttnNorm,
    /// The norms before the feed-forward networks.
    FfnNorm,
    /// The attention, with its group norm.
    Attn,
    /// The feed-forward networks.
    Ffn,
    /// The last norm and the output matrix.
    Head,
    /// The bias of the output, which is zero until it learns.
    Bias,
}

/// How a tensor lies in the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Rows of whole vectors: embeddings, and vectors as one row.
    Rows,
    /// Panels of sixteen rows, column by column, as the kernels read a matrix.
    Panels,
}

/// A tensor's place in the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    at: usize,
    rows: usize,
    cols: usize,
    form: Form,
    group: Group,
}

impl Slot {
    /// The tensor's vectors in the array.
    pub fn range(&self) -> Range<usize> {
        let (rows, cols) = match self.form {
            Form::Rows => (self.rows, vectors(self.cols)),
            Form::Panels => (vectors(self.rows), self.cols),
        };
        self.at..self.at + rows * cols
    }

    /// Its group.
    pub fn group(&self) -> Group {
        self.group
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn cols(&self) -> usize {
        self.cols
    }

    /// The index in the vectors of its range, as f32, of a value.
    fn index(&self, row: usize, col: usize) -> usize {
        match self.form {
            Form::Rows => row * vectors(self.cols) * WIDTH + col,
            Form::Panels => (row / WIDTH * self.cols + col) * WIDTH + row % WIDTH,
        }
    }

    /// Writes the values, row by row, to the tensor's place in `array`.
    ///
    /// # Panics
    /// If `values` has another length than the tensor.
    pub fn write(&self, values: &[f32], array: &mut [Vec16]) {
        assert_eq!(values.len(), self.rows * self.cols);
        let to = flat_mut(&mut array[self.range()]);
        for (row, values) in values.chunks_exact(self.cols).enumerate() {
            for (col, value) in values.iter().enumerate() {
                to[self.index(row, col)] = *value;
            }
        }
    }

    /// Replaces `out` by the tensor's values in `array`, row by row.
    ///
    /// # Errors
    /// `Memory`.
    pub fn read(&self, array: &[Vec16], out: &mut Vec<f32>) -> Result<()> {
        let from = flat(&array[self.range()]);
        *out = reserved(self.rows * self.cols, "a tensor")?;
        for row in 0..self.rows {
            out.extend((0..self.cols).map(|col| from[self.index(row, col)]));
        }
        Ok(())
    }
}

/// Weight and bias of a norm.
pub(super) type NormSlots = [Slot; 2];

/// A low-rank pair. The gate's has no bias.
#[derive(Clone, Copy, Debug)]
pub(super) struct PairSlots {
    pub(super) down: Slot,
    pub(super) up: Slot,
    pub(super) bias: Option<Slot>,
}

/// The tensors of a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerSlots {
    pub(super) attn_norm: NormSlots,
    pub(super) ffn_norm: NormSlots,
    /// Token shift of r, w, k, v, a, g.
    pub(super) mix: [Slot; 6],
    pub(super) k_k: Slot,
    pub(super) k_a: Slot,
    pub(super) r_k: Slot,
    /// Receptance, key, value, output.
    pub(super) projections: [Slot; 4],
    pub(super) decay: PairSlots,
    pub(super) rate: PairSlots,
    /// `None` in layer 0.
    pub(super) value_mix: Option<PairSlots>,
    pub(super) gate: PairSlots,
    pub(super) group_norm: NormSlots,
    pub(super) ffn_mix: Slot,
    pub(super) ffn_key: Slot,
    pub(super) ffn_value: Slot,
}

/// The places of all tensors. The array has them in the order of [`Config::tensors`], and last the bias of the output.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) embeddings: Slot,
    pub(super) pre_norm: NormSlots,
    pub(super) layers: Vec<LayerSlots>,
    pub(super) norm: NormSlots,
    pub(super) head: Slot,
    pub(super) bias: Slot,
    /// All tensors in order.
    all: Vec<Slot>,
}

/// The group of a tensor, and whether it is a matrix in panels.
fn kind(spec: &TensorSpec) -> (Group, Form) {
    let name = &*spec.name;
    let group = if name == "model.embeddings.weight" {
        Group::Embed
    } else if name.contains(".pre_norm.") {
        Group::PreNorm
    } else if name.contains(".attn_norm.") {
        Group::AttnNorm
    } else if name.contains(".ffn_norm.") {
        Group::FfnNorm
    } else if name.contains(".attn.") {
        Group::Attn
    } else if name.contains(".ffn.") {
        Group::Ffn
    } else {
        Group::Head
    };
    let matrix = spec.shape.len() == 2 && name.ends_with(".weight") && group != Group::Embed;
    (group, if matrix { Form::Panels } else { Form::Rows })
}

impl Layout {
    fn new(config: &Config) -> Result<Self> {
        let mut all = reserved(config.tensors().count() + 1, "a model's layout")?;
        let mut at = 0;
        for spec in config.tensors() {
            let (group, form) = kind(&spec);
            let (rows, cols) = match (form, group) {
                (Form::Panels, _) | (_, Group::Embed) => (spec.shape[0], spec.shape[1]),
                _ => (1, spec.len()),
            };
            let slot = Slot { at, rows, cols, form, group };
            at = slot.range().end;
            all.push(slot);
        }
        let bias = Slot { at, rows: 1, cols: VOCAB, form: Form::Rows, group: Group::Bias };
        all.push(bias);
        let mut slots = all.iter().copied();
        let mut next = || slots.next().expect("as many tensors as the config lists");
        let embeddings = next();
        let pre_norm = [next(), next()];
        let layers = made(config.layers, "a model's layout", |i| Ok(layer_slots(i, &mut next)))?;
        Ok(Self { embeddings, pre_norm, layers, norm: [next(), next()], head: next(), bias: next(), all })
    }
}

/// A layer's tensors in the order of [`Config::tensors`]. Fields are evaluated in the order written.
fn layer_slots(index: usize, next: &mut impl FnMut() -> Slot) -> LayerSlots {
    let pair = |next: &mut dyn FnMut() -> Slot, bias: bool| PairSlots {
        down: next(),
        up: next(),
        bias: bias.then(&mut *next),
    };
    LayerSlots {
        attn_norm: [next(), next()],
        ffn_norm: [next(), next()],
        mix: std::array::from_fn(|_| next()),
        k_k: next(),
        k_a: next(),
        r_k: next(),
        projections: std::array::from_fn(|_| next()),
        decay: pair(next, true),
        rate: pair(next, true),
        value_mix: if index > 0 { Some(pair(next, true)) } else { None },
        gate: pair(next, false),
        group_norm: [next(), next()],
        ffn_mix: next(),
        ffn_key: next(),
        ffn_value: next(),
    }
}

/// All parameters of a network.
#[derive(Debug)]
pub struct Params {
    config: Config,
    pub(super) layout: Arc<Layout>,
    values: Vec<Vec16>,
}

impl Params {
    /// Reads all tensors from a source. The bias of the output is zero. Returns the fingerprint of the tensors as well.
    ///
    /// # Errors
    /// As those of [`super::Weights::load`].
    pub fn load(config: &Config, source: &mut dyn TensorSource) -> Result<(Self, Fingerprint)> {
        config.check()?;
        let layout = Arc::new(Layout::new(config)?);
        let mut values = filled(layout.bias.range().end, Vec16::ZERO, "weights")?;
        let (mut source, mut tensor) = (Checked::new(source), Vec::new());
        for (spec, slot) in config.tensors().zip(&layout.all) {
            source.tensor(&spec.name, &spec.shape, &mut tensor)?;
            slot.write(&tensor, &mut values);
        }
        let fingerprint = source.fingerprint();
        Ok((Self { config: *config, layout, values }, fingerprint))
    }

    /// A copy.
    ///
    /// # Errors
    /// `Memory`.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self { config: self.config, layout: self.layout.clone(), values: copied(&self.values, "weights")? })
    }

    /// The shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The places of the tensors of [`Config::tensors`] in their order, then that of the output's bias.
    pub fn slots(&self) -> &[Slot] {
        &self.layout.all
    }

    /// The array.
    pub fn values(&self) -> &[Vec16] {
        &self.values
    }

    /// The array, mutable.
    pub fn values_mut(&mut self) -> &mut [Vec16] {
        &mut self.values
    }

    pub(super) fn of(&self, slot: Slot) -> &[Vec16] {
        &self.values[slot.range()]
    }

    /// The number of vectors of a network's array; saturates.
    pub fn vectors(config: &Config) -> u64 {
        let padded = |n: usize| (n as u64).next_multiple_of(WIDTH as u64);
        let hidden = padded(config.hidden);
        let pairs = [config.decay_rank, config.a_rank, config.v_rank, config.g_rank];
        let pairs = pairs.into_iter().map(|r| hidden * r as u64 + padded(r) * hidden).sum::<u64>();
        let inter = hidden * config.intermediate as u64 + padded(config.intermediate) * hidden;
        let layer = (4 * hidden * hidden + pairs + inter).saturating_add(19 * hidden);
        let ends = 2 * VOCAB as u64 * hidden + 4 * hidden + VOCAB as u64;
        layer.saturating_mul(config.layers as u64).saturating_add(ends) / WIDTH as u64
    }
}
