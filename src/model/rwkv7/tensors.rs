//! The tensors of a network: flash-linear-attention's names and shapes, in the order of the fingerprint.

use super::Config;
use crate::model::VOCAB;
use crate::weights::TensorSpec;

impl Config {
    /// All tensors of a network of this shape. The iterator makes one name at a time, because the names of all layers
    /// could take more memory than the header of a file that states so many layers.
    pub fn tensors(&self) -> impl Iterator<Item = TensorSpec> + use<> {
        let config = *self;
        let hidden = config.hidden;
        let first = [spec("model.embeddings.weight", &[VOCAB, hidden])];
        let last = [
            spec("model.norm.weight", &[hidden]),
            spec("model.norm.bias", &[hidden]),
            spec("lm_head.weight", &[VOCAB, hidden]),
        ];
        first.into_iter().chain((0..config.layers).flat_map(move |layer| config.layer_tensors(layer))).chain(last)
    }

    /// The tensors of a layer.
    fn layer_tensors(&self, layer: usize) -> Vec<TensorSpec> {
        let mut specs = Vec::new();
        let mut add = |part: &str, shape: &[usize]| specs.push(spec(&format!("model.layers.{layer}.{part}"), shape));
        let (hidden, inter) = (self.hidden, self.intermediate);
        let norms: &[_] = if layer == 0 { &["pre_norm", "attn_norm", "ffn_norm"] } else { &["attn_norm", "ffn_norm"] };
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
        for (pair, rank, bias) in pairs.into_iter().filter(|(pair, ..)| layer > 0 || *pair != "v") {
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
        specs
    }
}

fn spec(name: &str, shape: &[usize]) -> TensorSpec {
    TensorSpec { name: name.to_owned(), shape: shape.to_vec() }
}
