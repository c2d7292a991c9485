//! The tensors of a network: flash-linear-attention's names and shapes, in the order of the fingerprint.

use super::Config;
use crate::model::VOCAB;
use crate::weights::TensorSpec;

impl Config {
    /// More bytes than [`Config::tensors`] and a set of their names allocate. These allocations cannot fail: a reserve has
    /// to stand behind them.
    pub fn tensor_list_bytes(&self) -> usize {
        // At most 36 tensors a layer. A spec of 48 bytes, twice in a growing vector; a name and a shape; a name in a set.
        const PER_TENSOR: usize = 512;
        (self.layers + 1) * 36 * PER_TENSOR
    }

    /// All tensors of a network of this shape.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut specs = Vec::new();
        let mut add = |name: String, shape: &[usize]| specs.push(TensorSpec { name, shape: shape.to_vec() });
        let (hidden, inter) = (self.hidden, self.intermediate);
        add("model.embeddings.weight".into(), &[VOCAB, hidden]);
        for layer in 0..self.layers {
            let mut add = |part: &str, shape: &[usize]| add(format!("model.layers.{layer}.{part}"), shape);
            let norms: &[_] =
                if layer == 0 { &["pre_norm", "attn_norm", "ffn_norm"] } else { &["attn_norm", "ffn_norm"] };
            for norm in norms {
                add(&format!("{norm}.weight"), &[hidden]);
                add(&format!("{norm}.bias"), &[hidden]);
            }
            for x in ["x_r", "x_w", "x_k", "x_v", "x_a", "x_g"] {
                add(&format!("attn.{x}"), &[1, 1, hidden]);
            }
            add("attn.k_k", &[hidden]);
            add("attn.k_a", &[hidden]);
            add("attn.r_k", &[self.heads(), self.head_size]);
            for m in ["r_proj", "k_proj", "v_proj", "o_proj"] {
                add(&format!("attn.{m}.weight"), &[hidden, hidden]);
            }
            let pairs = [
                ("w", self.decay_rank, true),
                ("a", self.a_rank, true),
                ("v", self.v_rank, true),
                ("g", self.g_rank, false),
            ];
            for (pair, rank, bias) in pairs {
                if pair == "v" && layer == 0 {
                    continue;
                }
                add(&format!("attn.{pair}_lora.lora.0.weight"), &[rank, hidden]);
                add(&format!("attn.{pair}_lora.lora.2.weight"), &[hidden, rank]);
                if bias {
                    add(&format!("attn.{pair}_lora.lora.2.bias"), &[hidden]);
                }
            }
            add("attn.g_norm.weight", &[hidden]);
            add("attn.g_norm.bias", &[hidden]);
            add("ffn.x_k", &[hidden]);
            add("ffn.key.weight", &[inter, hidden]);
            add("ffn.value.weight", &[hidden, inter]);
        }
        add("model.norm.weight".into(), &[hidden]);
        add("model.norm.bias".into(), &[hidden]);
        add("lm_head.weight".into(), &[VOCAB, hidden]);
        specs
    }
}
