//! The shape of a transformer.

use super::names::World;
use crate::error::{Result, fail};
use crate::numeric::math::Gate;

/// Rotary embeddings of some layers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// The base of the frequencies.
    pub base: f32,
    /// How longer contexts are reached.
    pub scaling: Scaling,
}

/// How the frequencies of rotary embeddings are changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// All are divided by a factor.
    Linear(f32),
    /// As in LLaMA 3.1: low frequencies are divided by a factor, those in between in part.
    Llama3 {
        /// The factor.
        factor: f32,
        /// Frequencies below this many turns in the original context are divided in full.
        low: f32,
        /// Frequencies above this many are not.
        high: f32,
        /// The original context.
        original: f32,
    },
}

/// What differs between the layers of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The index of its rotary embedding.
    pub rope: usize,
    /// The tokens that it sees, itself included, or `None` for all.
    pub window: Option<usize>,
}

/// The shape of a transformer, and everything about it that is not a weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Names and conventions of its file.
    pub world: World,
    /// Tokens.
    pub vocab: usize,
    /// Width of the residual stream, a multiple of 16.
    pub hidden: usize,
    /// Width of the feed-forward.
    pub intermediate: usize,
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Numbers in a head, a multiple of 16.
    pub head_dim: usize,
    /// The layers.
    pub layers: Vec<Layer>,
    /// Rotary embeddings.
    pub ropes: Vec<Rope>,
    /// The longest trained context, in tokens.
    pub context: usize,
    /// Added to the mean of squares in norms.
    pub eps: f32,
    /// The activation of the feed-forward's gate.
    pub gate: Gate,
    /// Scores are multiplied by it.
    pub query_scale: f32,
    /// Embeddings are multiplied by it.
    pub embedding_scale: f32,
    /// Whether queries and keys are normalised before they are rotated.
    pub qk_norm: bool,
    /// Whether attention and feed-forward have norms after them too.
    pub post_norms: bool,
    /// Whether 1 is added to the weights of norms.
    pub norm_plus_one: bool,
    /// Whether rows of queries and keys come in the order of interleaved pairs.
    pub interleaved: bool,
    /// c of the soft cap of scores.
    pub score_cap: Option<f32>,
    /// c of the soft cap of logits.
    pub logit_cap: Option<f32>,
    /// Whether the file says that the head is the embedding.
    pub tied: Option<bool>,
}

/// The most of each dimension. They keep products of dimensions far from overflow.
pub(super) const MOST_LAYERS: u64 = 1 << 10;
pub(super) const MOST_WIDTH: u64 = 1 << 17;
pub(super) const MOST_VOCAB: u64 = 1 << 24;
pub(super) const MOST_CONTEXT: u64 = 1 << 28;

/// The families, which differ in what their keys leave out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Llama,
    Gemma,
    Gemma2,
    Gemma3,
}

impl Config {
    /// What the family determines.
    pub(super) fn common(family: Family, world: World) -> Self {
        let gemma = family != Family::Llama;
        Self {
            world,
            vocab: 0,
            hidden: 0,
            intermediate: 0,
            heads: 0,
            kv_heads: 0,
            head_dim: 0,
            layers: Vec::new(),
            ropes: Vec::new(),
            context: 0,
            eps: 0.0,
            gate: if gemma { Gate::Gelu } else { Gate::Silu },
            query_scale: 0.0,
            embedding_scale: if gemma { 0.0 } else { 1.0 },
            qk_norm: family == Family::Gemma3,
            post_norms: matches!(family, Family::Gemma2 | Family::Gemma3),
            norm_plus_one: gemma && world == World::HuggingFace,
            interleaved: family == Family::Llama && world == World::Gguf,
            score_cap: None,
            logit_cap: None,
            tied: None,
        }
    }

    /// Checks what depends on several keys.
    pub(super) fn finished(mut self) -> Result<Self> {
        if self.embedding_scale == 0.0 {
            // As the models are trained: the root in bfloat16.
            self.embedding_scale = half::bf16::from_f32((self.hidden as f32).sqrt()).to_f32();
        }
        let Self { heads, kv_heads, head_dim, hidden, .. } = self;
        if heads % kv_heads != 0 {
            fail!(Model, "{heads} query heads do not divide among {kv_heads} heads of keys and values");
        }
        for (what, n) in [("the width of the model", hidden), ("the width of a head", head_dim)] {
            if n == 0 || n % 16 != 0 {
                fail!(Model, "{what} is {n}, expected a multiple of 16");
            }
        }
        if head_dim > 1024 || heads * head_dim > MOST_WIDTH as usize {
            fail!(Model, "{heads} heads of {head_dim} are not supported");
        }
        Ok(self)
    }

    /// The query heads of a head of keys and values.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}
