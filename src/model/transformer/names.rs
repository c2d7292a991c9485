//! The tensors of a layer and their names, in HuggingFace's files and in GGUF files.

/// Whose names and conventions a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// safetensors with a `config.json`.
    HuggingFace,
    /// GGUF, as llama.cpp writes it: norms of Gemma contain the 1 that is added to them, and the rows of LLaMA's
    /// queries and keys are in the order of interleaved pairs.
    Gguf,
}

/// A tensor outside of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outer {
    Embedding,
    Norm,
    Head,
}

/// A tensor of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inner {
    Query,
    Key,
    Value,
    Output,
    Gate,
    Up,
    Down,
    AttentionNorm,
    QueryNorm,
    KeyNorm,
    PostAttentionNorm,
    FeedForwardNorm,
    PostFeedForwardNorm,
}

const OUTER: [(Outer, &str, &str); 3] = [
    (Outer::Embedding, "model.embed_tokens.weight", "token_embd.weight"),
    (Outer::Norm, "model.norm.weight", "output_norm.weight"),
    (Outer::Head, "lm_head.weight", "output.weight"),
];

const INNER: [(Inner, &str, &str); 13] = [
    (Inner::Query, "self_attn.q_proj", "attn_q"),
    (Inner::Key, "self_attn.k_proj", "attn_k"),
    (Inner::Value, "self_attn.v_proj", "attn_v"),
    (Inner::Output, "self_attn.o_proj", "attn_output"),
    (Inner::Gate, "mlp.gate_proj", "ffn_gate"),
    (Inner::Up, "mlp.up_proj", "ffn_up"),
    (Inner::Down, "mlp.down_proj", "ffn_down"),
    (Inner::AttentionNorm, "input_layernorm", "attn_norm"),
    (Inner::QueryNorm, "self_attn.q_norm", "attn_q_norm"),
    (Inner::KeyNorm, "self_attn.k_norm", "attn_k_norm"),
    (Inner::PostAttentionNorm, "post_attention_layernorm", "post_attention_norm"),
    (Inner::FeedForwardNorm, "pre_feedforward_layernorm", "ffn_norm"),
    (Inner::PostFeedForwardNorm, "post_feedforward_layernorm", "post_ffw_norm"),
];

/// Factors that divide the frequencies of rotary embeddings, in GGUF files.
pub(super) const ROPE_FACTORS: &str = "rope_freqs.weight";

impl Outer {
    pub(super) fn name(self, world: World) -> &'static str {
        let (_, hf, gguf) = OUTER.iter().find(|(t, ..)| *t == self).expect("every tensor has a name");
        if world == World::HuggingFace { hf } else { gguf }
    }
}

impl Inner {
    /// `post_norms`: whether the layer has norms after attention and feed-forward. Without them, HuggingFace calls the
    /// norm before the feed-forward "post_attention_layernorm".
    pub(super) fn name(self, world: World, layer: usize, post_norms: bool) -> String {
        let of = |tensor| *INNER.iter().find(|(t, ..)| *t == tensor).expect("every tensor has a name");
        let tensor = match self {
            Self::FeedForwardNorm if world == World::HuggingFace && !post_norms => Self::PostAttentionNorm,
            tensor => tensor,
        };
        match world {
            World::HuggingFace => format!("model.layers.{layer}.{}.weight", of(tensor).1),
            World::Gguf => format!("blk.{layer}.{}.weight", of(tensor).2),
        }
    }
}
