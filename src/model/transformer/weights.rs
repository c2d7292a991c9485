//! The packed weights. Matrices are read row by row, so that memory holds one copy of them.

use sha2::{Digest, Sha256};

use super::config::{Config, Scaling};
use super::names::{Inner, Outer, ROPE_FACTORS, World};
use crate::error::{Result, fail, shortened};
use crate::numeric::buffer::{copied, filled, grow, made, padded};
use crate::numeric::matmul::{Matrix, Precision};
use crate::numeric::rope;
use crate::numeric::vector::Vec16;
use crate::weights::Fingerprint;

/// A file of tensors.
pub trait Source {
    /// Passes the names of all tensors to `take`, until it fails.
    ///
    /// # Errors
    /// That of `take`.
    fn each_name(&self, take: &mut dyn FnMut(&str) -> Result<()>) -> Result<()>;
    /// A tensor's dimensions, outermost first; `None` if there is no such tensor.
    fn shape(&self, name: &str) -> Option<&[u64]>;
    /// Reads `out.len()` values from value `first` on, row by row.
    ///
    /// # Errors
    /// `Model`, `Io`.
    fn read(&mut self, name: &str, first: u64, out: &mut [f32]) -> Result<()>;
}

/// The weights of a layer. A vector is as long as what it multiplies.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention_norm: Vec<Vec16>,
    /// [heads * head_dim, hidden]
    pub(super) query: Matrix,
    /// [kv_heads * head_dim, hidden]
    pub(super) key: Matrix,
    /// [kv_heads * head_dim, hidden]
    pub(super) value: Matrix,
    /// Norms of the query and key of a head.
    pub(super) qk_norms: Option<[Vec<Vec16>; 2]>,
    /// [hidden, heads * head_dim]
    pub(super) output: Matrix,
    pub(super) post_attention_norm: Option<Vec<Vec16>>,
    pub(super) feed_forward_norm: Vec<Vec16>,
    /// [intermediate, hidden]
    pub(super) gate: Matrix,
    /// [intermediate, hidden]
    pub(super) up: Matrix,
    /// [hidden, intermediate]
    pub(super) down: Matrix,
    pub(super) post_feed_forward_norm: Option<Vec<Vec16>>,
}

/// A transformer in memory. Immutable; threads may share it.
#[derive(Debug)]
pub struct Weights {
    config: Config,
    precision: Precision,
    fingerprint: Fingerprint,
    parameters: u64,
    pub(super) layers: Vec<Layer>,
    /// [vocab, hidden]
    pub(super) embedding: Matrix,
    /// [vocab, hidden]; `None` if it is the embedding.
    pub(super) head: Option<Matrix>,
    pub(super) norm: Vec<Vec16>,
    /// The turns of each rotary embedding of the configuration.
    pub(super) turns: Vec<Vec<u64>>,
}

/// Reads tensors, checks them, and computes the fingerprint.
struct Reader<'a> {
    source: &'a mut dyn Source,
    config: &'a Config,
    precision: Precision,
    hash: Sha256,
    /// The names of the tensors that were read.
    read: Vec<Vec<u8>>,
    parameters: u64,
}

impl Reader<'_> {
    /// Checks a tensor's shape; dimensions of 1 are ignored.
    fn begin(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        let Some(found) = self.source.shape(name) else { fail!(Model, "{name} is missing") };
        let expected = shape.iter().map(|n| *n as u64);
        if !found.iter().copied().filter(|n| *n != 1).eq(expected.filter(|n| *n != 1)) {
            fail!(Model, "{name} has the shape {found:?}, expected {shape:?}");
        }
        self.hash.update((name.len() as u32).to_le_bytes());
        self.hash.update(name);
        self.hash.update((shape.len() as u32).to_le_bytes());
        shape.iter().for_each(|n| self.hash.update((*n as u64).to_le_bytes()));
        self.parameters += shape.iter().product::<usize>() as u64;
        grow(&mut self.read, 1, "the names of weights")?;
        self.read.push(copied(name.as_bytes(), "the name of weights")?);
        Ok(())
    }

    fn values(&mut self, name: &str, first: u64, out: &mut [f32]) -> Result<()> {
        self.source.read(name, first, out)?;
        if let Some(i) = out.iter().position(|v| !v.is_finite()) {
            fail!(Model, "{name}: value {} is {}, weights must be finite", first + i as u64, out[i]);
        }
        if cfg!(target_endian = "little") {
            self.hash.update(crate::numeric::vector::bytes_of(out));
        } else {
            out.iter().for_each(|v| self.hash.update(v.to_le_bytes()));
        }
        Ok(())
    }

    /// `pair`: the numbers of a head whose rows are interleaved pairs and become halves.
    fn matrix(&mut self, name: &str, rows: usize, cols: usize, pair: Option<usize>) -> Result<Matrix> {
        self.begin(name, &[rows, cols])?;
        Matrix::pack_rows(rows, cols, self.precision, |row, out| {
            let from = match pair {
                None => row,
                Some(dim) => {
                    let (head, i) = (row / dim * dim, row % dim);
                    head + if i < dim / 2 { 2 * i } else { 2 * (i - dim / 2) + 1 }
                }
            };
            self.values(name, from as u64 * cols as u64, out)
        })
    }

    fn vector(&mut self, name: &str, n: usize) -> Result<Vec<f32>> {
        self.begin(name, &[n])?;
        let mut values = filled(n, 0.0, "weights")?;
        self.values(name, 0, &mut values)?;
        Ok(values)
    }

    fn norm(&mut self, name: &str, n: usize) -> Result<Vec<Vec16>> {
        let mut values = self.vector(name, n)?;
        if self.config.norm_plus_one {
            values.iter_mut().for_each(|v| *v += 1.0);
        }
        padded(&values, "weights")
    }

    fn layer(&mut self, layer: usize) -> Result<Layer> {
        let Config { world, hidden, intermediate, heads, kv_heads, head_dim, post_norms, .. } = *self.config;
        let name = |tensor: Inner| tensor.name(world, layer, post_norms);
        let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
        let pair = self.config.interleaved.then_some(head_dim);
        Ok(Layer {
            attention_norm: self.norm(&name(Inner::AttentionNorm), hidden)?,
            query: self.matrix(&name(Inner::Query), queries, hidden, pair)?,
            key: self.matrix(&name(Inner::Key), keys, hidden, pair)?,
            value: self.matrix(&name(Inner::Value), keys, hidden, None)?,
            qk_norms: match self.config.qk_norm {
                true => {
                    Some([self.norm(&name(Inner::QueryNorm), head_dim)?, self.norm(&name(Inner::KeyNorm), head_dim)?])
                }
                false => None,
            },
            output: self.matrix(&name(Inner::Output), hidden, queries, None)?,
            post_attention_norm: match post_norms {
                true => Some(self.norm(&name(Inner::PostAttentionNorm), hidden)?),
                false => None,
            },
            feed_forward_norm: self.norm(&name(Inner::FeedForwardNorm), hidden)?,
            gate: self.matrix(&name(Inner::Gate), intermediate, hidden, None)?,
            up: self.matrix(&name(Inner::Up), intermediate, hidden, None)?,
            down: self.matrix(&name(Inner::Down), hidden, intermediate, None)?,
            post_feed_forward_norm: match post_norms {
                true => Some(self.norm(&name(Inner::PostFeedForwardNorm), hidden)?),
                false => None,
            },
        })
    }

    /// The turns of rotary embedding `index`, scaled.
    fn turns(&mut self, index: usize) -> Result<Vec<u64>> {
        let (rope, pairs) = (self.config.ropes[index], self.config.head_dim / 2);
        let mut turns = rope::turns(rope.base, pairs);
        // The factors belong to the first rotary embedding.
        if index == 0 && self.config.world == World::Gguf && self.source.shape(ROPE_FACTORS).is_some() {
            let factors = self.vector(ROPE_FACTORS, pairs)?;
            for (i, (turn, factor)) in turns.iter_mut().zip(&factors).enumerate() {
                if !(factor.is_normal() && *factor > 0.0) {
                    fail!(Model, "{ROPE_FACTORS}: value {i} is {factor}, expected a positive number");
                }
                *turn = rope::divided(*turn, *factor);
            }
        }
        match rope.scaling {
            Scaling::None => {}
            Scaling::Linear(factor) => turns.iter_mut().for_each(|turn| *turn = rope::divided(*turn, factor)),
            Scaling::Llama3 { factor, low, high, original } => {
                turns.iter_mut().for_each(|turn| *turn = llama3(*turn, factor, low, high, original));
            }
        }
        Ok(turns)
    }
}

/// The scaling of LLaMA 3.1. With w the turns in the original context: w < low: divided by the factor; w > high: kept;
/// else divided by `1 / ((1 - s) / factor + s)` with `s = (w - low) / (high - low)`.
fn llama3(turn: u64, factor: f32, low: f32, high: f32, original: f32) -> u64 {
    // 2^-40 of the turn as an integer converts with one rounding; the powers of two are exact.
    let w = original * ((turn >> 40) as u32 as f32 / (1u32 << 24) as f32);
    if w > high {
        turn
    } else if w < low {
        rope::divided(turn, factor)
    } else {
        let s = (w - low) / (high - low);
        rope::divided(turn, 1.0 / ((1.0 - s) / factor + s))
    }
}

impl Weights {
    /// Reads and packs all tensors. Matrices are of `precision`.
    ///
    /// # Errors
    /// `Model` for a tensor that is missing, has another shape, or is not known; `Io`, `Memory`.
    pub fn load(config: &Config, precision: Precision, source: &mut dyn Source) -> Result<Self> {
        let Config { world, vocab, hidden, .. } = *config;
        if precision == Precision::Grouped {
            for n in [hidden, config.intermediate, config.heads * config.head_dim] {
                if n > Matrix::MOST_GROUPED_COLUMNS {
                    fail!(Model, "matrices have {n} columns, {} are supported", Matrix::MOST_GROUPED_COLUMNS);
                }
            }
        }
        let has_head = source.shape(Outer::Head.name(world)).is_some();
        let own_head = match config.tied {
            Some(true) => false,
            Some(false) => true,
            None => has_head,
        };
        let hash = Sha256::new();
        let mut reader = Reader { source, config, precision, hash, read: Vec::new(), parameters: 0 };
        let embedding = reader.matrix(Outer::Embedding.name(world), vocab, hidden, None)?;
        let layers = made(config.layers.len(), "layers", |i| reader.layer(i))?;
        let norm = reader.norm(Outer::Norm.name(world), hidden)?;
        let head = match own_head {
            true => Some(reader.matrix(Outer::Head.name(world), vocab, hidden, None)?),
            false => None,
        };
        let turns = made(config.ropes.len(), "frequencies", |i| reader.turns(i))?;
        reader.read.sort_unstable();
        let read = &reader.read;
        reader.source.each_name(&mut |name| {
            let known = read.binary_search_by(|known| known.as_slice().cmp(name.as_bytes())).is_ok();
            if !known && (own_head || name != Outer::Head.name(world)) {
                fail!(Model, "the tensor {} is not supported", shortened(name));
            }
            Ok(())
        })?;
        let (fingerprint, parameters) = (reader.hash.finalize().into(), reader.parameters);
        Ok(Self { config: config.clone(), precision, fingerprint, parameters, layers, embedding, head, norm, turns })
    }

    /// The shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The format of the matrices.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// SHA-256 of the tensors that were read, in that order, as of other weights (`weights::Checked`).
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The number of weights.
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// The bytes of the packed matrices, which are nearly all of the memory.
    pub fn bytes(&self) -> u64 {
        let c = &self.config;
        let of = |rows: usize, cols: usize| Matrix::bytes(rows as u64, cols as u64, self.precision);
        let (queries, keys) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
        let layer = of(queries, c.hidden)
            + 2 * of(keys, c.hidden)
            + of(c.hidden, queries)
            + 2 * of(c.intermediate, c.hidden)
            + of(c.hidden, c.intermediate);
        layer * c.layers.len() as u64 + of(c.vocab, c.hidden) * (1 + u64::from(self.head.is_some()))
    }
}
