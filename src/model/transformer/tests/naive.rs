//! The definition of a transformer.

use super::fixture::Memory;
use crate::model::transformer::config::Config;
use crate::model::transformer::state::{Room, SINKS};
use crate::model::transformer::weights::Weights;
use crate::numeric::attention::KvFormat;
use crate::numeric::attention::tests::naive as naive_attention;
use crate::numeric::math::{Function, Gate, scalar};
use crate::numeric::matmul::Precision;
use crate::numeric::matmul::tests::{naive_f32, naive_grouped};
use crate::numeric::rope;
use crate::numeric::testing::naive_sum;

/// The definition of a transformer: one token after the other, everything kept, no caches, no batches.
pub(crate) struct Naive<'a> {
    pub(crate) config: &'a Config,
    pub(crate) memory: &'a Memory,
    pub(crate) precision: Precision,
    pub(crate) format: KvFormat,
    pub(crate) room: Room,
}

impl Naive<'_> {
    fn tensor(&self, name: &str) -> &[f32] {
        &self.memory.0[name].1
    }

    fn mul(&self, name: &str, x: &[f32]) -> Vec<f32> {
        let one = if self.precision == Precision::F32 { naive_f32 } else { naive_grouped };
        self.tensor(name).chunks(x.len()).map(|w| one(w, x)).collect()
    }

    fn norm(&self, name: &str, x: &mut [f32]) {
        let w = self.tensor(name);
        for x in x.chunks_mut(w.len()) {
            let squares: Vec<f32> = x.iter().map(|x| x * x).collect();
            let scale = 1.0 / (naive_sum(&squares) / x.len() as f32 + self.config.eps).sqrt();
            let one = if self.config.norm_plus_one { 1.0 } else { 0.0 };
            x.iter_mut().zip(w).for_each(|(x, w)| *x = (*x * scale) * (w + one));
        }
    }

    fn rotate(&self, turns: &[u64], position: usize, x: &[f32]) -> Vec<f32> {
        let (d, half) = (self.config.head_dim, self.config.head_dim / 2);
        let mut out = x.to_vec();
        for head in 0..x.len() / d {
            for (i, turn) in turns.iter().enumerate() {
                let (sin, cos) = rope::sin_cos(turn.wrapping_mul(position as u64));
                let (a, b) = (x[head * d + i], x[head * d + i + half]);
                out[head * d + i] = a * cos - b * sin;
                out[head * d + i + half] = b * cos + a * sin;
            }
        }
        out
    }

    /// The logits after every token.
    pub(crate) fn logits(&self, weights: &Weights, tokens: &[u32]) -> Vec<Vec<f32>> {
        let c = self.config;
        let (d, group) = (c.head_dim, c.heads / c.kv_heads);
        // [layer][position]: rotated keys and values.
        let mut seen: Vec<Vec<(Vec<f32>, Vec<f32>)>> = vec![vec![]; c.layers.len()];
        let mut all = vec![];
        for (t, token) in tokens.iter().enumerate() {
            let mut x = vec![0.0; c.hidden];
            weights.embedding.row(*token as usize, &mut x);
            x.iter_mut().for_each(|x| *x *= c.embedding_scale);
            for (l, layer) in c.layers.iter().enumerate() {
                let name = |part: &str| format!("model.layers.{l}.{part}.weight");
                let turns = &weights.turns[layer.rope];
                let mut h = x.clone();
                self.norm(&name("input_layernorm"), &mut h);
                let [mut q, mut k, v] =
                    ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].map(|m| self.mul(&name(m), &h));
                if c.qk_norm {
                    self.norm(&name("self_attn.q_norm"), &mut q);
                    self.norm(&name("self_attn.k_norm"), &mut k);
                }
                q.iter_mut().for_each(|q| *q *= c.query_scale);
                seen[l].push((self.rotate(turns, t, &k), v));
                let queries =
                    [self.rotate(turns, t, &q), self.rotate(turns, t.min(self.room.context.saturating_sub(1)), &q)];
                let ring = self.room.context - if self.room.slides { SINKS } else { 0 };
                let visible = |p: &usize| {
                    let slid = t >= self.room.context;
                    layer.window.is_none_or(|w| t - p < w) && (!slid || t - p < ring || *p < SINKS)
                };
                let mut mixed = vec![];
                for head in 0..c.heads {
                    let kv = head / group * d;
                    let rows: Vec<(&[f32], &[f32], &[f32])> = (0..=t)
                        .filter(visible)
                        .map(|p| {
                            let capped = usize::from(t >= self.room.context && p < SINKS);
                            let (k, v) = &seen[l][p];
                            (&queries[capped][head * d..][..d], &k[kv..kv + d], &v[kv..kv + d])
                        })
                        .collect();
                    mixed.extend(naive_attention(self.format, &rows, c.score_cap));
                }
                let mut y = self.mul(&name("self_attn.o_proj"), &mixed);
                if c.post_norms {
                    self.norm(&name("post_attention_layernorm"), &mut y);
                }
                x.iter_mut().zip(&y).for_each(|(x, y)| *x += y);
                let mut h = x.clone();
                let before = if c.post_norms { "pre_feedforward_layernorm" } else { "post_attention_layernorm" };
                self.norm(&name(before), &mut h);
                let (gate, up) = (self.mul(&name("mlp.gate_proj"), &h), self.mul(&name("mlp.up_proj"), &h));
                let f = if c.gate == Gate::Gelu { Function::Gelu } else { Function::Silu };
                let h: Vec<f32> = gate.iter().zip(&up).map(|(g, u)| scalar(f, *g) * u).collect();
                let mut y = self.mul(&name("mlp.down_proj"), &h);
                if c.post_norms {
                    self.norm(&name("post_feedforward_layernorm"), &mut y);
                }
                x.iter_mut().zip(&y).for_each(|(x, y)| *x += y);
            }
            self.norm("model.norm.weight", &mut x);
            let head = if c.tied == Some(false) { "lm_head.weight" } else { "model.embed_tokens.weight" };
            let mut logits = self.mul(head, &x);
            if let Some(cap) = c.logit_cap {
                logits.iter_mut().for_each(|x| *x = scalar(Function::Tanh, *x / cap) * cap);
            }
            all.push(logits);
        }
        all
    }
}
