//! The shape of a transformer from a `config.json`, HuggingFace's.

use super::config::{Config, Family, Layer, MOST_CONTEXT, MOST_LAYERS, MOST_VOCAB, MOST_WIDTH, Rope, Scaling};
use super::keys::{Keys, base, dimension, listed, positive};
use super::names::World;
use crate::error::{Result, fail, shortened};
use crate::numeric::buffer::made;

/// Keys of a `config.json` that change nothing here.
const IGNORED: &str = " architectures model_type torch_dtype dtype transformers_version _name_or_path use_cache \
    bos_token_id eos_token_id pad_token_id attention_dropout initializer_range max_position_embeddings cache_implementation \
    pretraining_tp is_llama_config transformers.js_config hidden_act \
    output_hidden_states output_attentions return_dict chunk_size_feed_forward is_encoder_decoder id2label label2id ";

/// Keys of a `config.json` that must have their usual value, which is false.
const MUST_BE_FALSE: [&str; 5] =
    ["attention_bias", "mlp_bias", "use_bidirectional_attention", "is_decoder", "rope_interleaved"];

/// Keys of a `config.json` that are read.
const READ: &str = " vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads \
    head_dim rms_norm_eps rope_theta rope_scaling rope_parameters hidden_activation tie_word_embeddings \
    query_pre_attn_scalar sliding_window sliding_window_pattern _sliding_window_pattern layer_types \
    rope_local_base_freq attn_logit_softcapping final_logit_softcapping ";

impl Config {
    /// From a `config.json`.
    ///
    /// # Errors
    /// `Model` for a key that is missing, has another type or a value that is not supported, and for keys that are not
    /// known: each could change the result.
    pub fn from_json(keys: &Keys<'_>) -> Result<Self> {
        let family = match keys.text("model_type")? {
            Some("llama") => Family::Llama,
            Some("gemma") => Family::Gemma,
            Some("gemma2") => Family::Gemma2,
            Some("gemma3_text") => Family::Gemma3,
            Some(other) => fail!(Model, "model_type is \"{}\": not supported", shortened(other)),
            None => fail!(Model, "model_type is missing"),
        };
        for key in keys.names() {
            if MUST_BE_FALSE.contains(&key) {
                if keys.flag(key)? == Some(true) {
                    fail!(Model, "{key} is true: not supported");
                }
            } else if !listed(IGNORED, key) && !listed(READ, key) {
                fail!(Model, "the key \"{}\" is not supported", shortened(key));
            }
        }
        let mut config = Self::common(family, World::HuggingFace);
        config.vocab = dimension(keys, "vocab_size", MOST_VOCAB)?;
        config.hidden = dimension(keys, "hidden_size", MOST_WIDTH)?;
        config.intermediate = dimension(keys, "intermediate_size", MOST_WIDTH)?;
        config.heads = dimension(keys, "num_attention_heads", MOST_WIDTH)?;
        config.kv_heads = match keys.number("num_key_value_heads")? {
            Some(_) => dimension(keys, "num_key_value_heads", MOST_WIDTH)?,
            None => config.heads,
        };
        config.head_dim = match keys.number("head_dim")? {
            Some(_) => dimension(keys, "head_dim", MOST_WIDTH)?,
            None if family != Family::Llama => 256,
            None => config.hidden / config.heads,
        };
        config.context = dimension(keys, "max_position_embeddings", MOST_CONTEXT)?;
        config.eps = positive(keys, "rms_norm_eps")?.unwrap_or(1e-6);
        config.tied = keys.flag("tie_word_embeddings")?;
        config.check_activation(family, keys)?;
        if let Some(scalar) = positive(keys, "query_pre_attn_scalar")? {
            config.query_scale = 1.0 / scalar.sqrt();
        } else {
            config.query_scale = 1.0 / (config.head_dim as f32).sqrt();
        }
        if family == Family::Gemma2 {
            config.score_cap = positive(keys, "attn_logit_softcapping")?;
            config.logit_cap = positive(keys, "final_logit_softcapping")?;
        } else {
            for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
                if keys.float(key)?.is_some() {
                    fail!(Model, "{key} is not supported in this family");
                }
            }
        }
        config.read_ropes(family, keys)?;
        let layers = dimension(keys, "num_hidden_layers", MOST_LAYERS)?;
        config.read_layers(family, keys, layers)?;
        config.finished()
    }

    fn check_activation(&self, family: Family, keys: &Keys<'_>) -> Result<()> {
        let (key, expected): (_, &[&str]) = match family {
            Family::Llama => ("hidden_act", &["silu"]),
            // Files of Gemma 1 say "gelu" for the approximation by tanh, which its authors use.
            _ => ("hidden_activation", &["gelu_pytorch_tanh"]),
        };
        match keys.text(key)? {
            Some(found) if !expected.contains(&found) => {
                fail!(Model, "{key} is \"{}\": not supported", shortened(found))
            }
            _ => Ok(()),
        }
    }

    fn read_ropes(&mut self, family: Family, keys: &Keys<'_>) -> Result<()> {
        let parameters = keys.object("rope_parameters")?;
        let top = keys.object("rope_scaling")?;
        let theta = positive(keys, "rope_theta")?;
        let rope = |keys: Option<&Keys<'_>>, theta: Option<f32>, default: f32| -> Result<Rope> {
            let inner = keys.map(|keys| positive(keys, "rope_theta")).transpose()?.flatten();
            let scaling = keys.map(read_scaling).transpose()?.unwrap_or(Scaling::None);
            Ok(Rope { base: base(inner.or(theta), "rope_theta", default)?, scaling })
        };
        if family != Family::Gemma3 {
            self.ropes = vec![rope(parameters.as_ref().or(top.as_ref()), theta, 1e4)?];
            return Ok(());
        }
        let part = |key| parameters.as_ref().map(|p| p.object(key)).transpose().map(Option::flatten);
        let (global, local) = (part("full_attention")?, part("sliding_attention")?);
        let local_theta = positive(keys, "rope_local_base_freq")?;
        self.ropes = vec![rope(global.as_ref().or(top.as_ref()), theta, 1e6)?, rope(local.as_ref(), local_theta, 1e4)?];
        Ok(())
    }

    fn read_layers(&mut self, family: Family, keys: &Keys<'_>, layers: usize) -> Result<()> {
        let window = keys.number("sliding_window")?;
        if !matches!(family, Family::Gemma2 | Family::Gemma3) {
            if window.is_some() {
                fail!(Model, "sliding_window is not supported in this family");
            }
            self.layers = made(layers, "layers", |_| Ok(Layer { rope: 0, window: None }))?;
            return Ok(());
        }
        let window = dimension(keys, "sliding_window", MOST_CONTEXT).map(|_| window)?;
        let types = keys.texts("layer_types")?;
        if let Some(types) = &types
            && types.len() != layers
        {
            fail!(Model, "layer_types has {} layers, num_hidden_layers is {layers}", types.len());
        }
        let pattern = match keys.number("sliding_window_pattern")?.or(keys.number("_sliding_window_pattern")?) {
            Some(0) => fail!(Model, "sliding_window_pattern is 0"),
            Some(n) => n as usize,
            None => {
                if family == Family::Gemma2 {
                    2
                } else {
                    6
                }
            }
        };
        self.layers = made(layers, "layers", |i| {
            let global = match types.as_ref().map(|types| types.get(i)) {
                Some("full_attention") => true,
                Some("sliding_attention") => false,
                Some(other) => fail!(Model, "layer_types[{i}] is \"{}\": not supported", shortened(other)),
                None => (i + 1) % pattern == 0,
            };
            let local_rope = usize::from(!global && family == Family::Gemma3);
            Ok(Layer { rope: local_rope, window: if global { None } else { window.map(|n| n as usize) } })
        })?;
        Ok(())
    }
}

/// How an object of rotary embeddings scales them.
fn read_scaling(keys: &Keys<'_>) -> Result<Scaling> {
    const KNOWN: &str =
        " rope_type type rope_theta factor low_freq_factor high_freq_factor original_max_position_embeddings ";
    for key in keys.names() {
        if !listed(KNOWN, key) {
            fail!(Model, "the key \"{}\" of the rotary embedding is not supported", shortened(key));
        }
    }
    let needed = |key: &str| match positive(keys, key)? {
        Some(x) => Ok(x),
        None => fail!(Model, "{key} of the rotary embedding is missing"),
    };
    let kind = match keys.text("rope_type")? {
        Some(kind) => Some(kind),
        None => keys.text("type")?,
    };
    match kind {
        None | Some("default") => Ok(Scaling::None),
        Some("linear") => Ok(Scaling::Linear(needed("factor")?)),
        Some("llama3") => {
            let (low, high) = (needed("low_freq_factor")?, needed("high_freq_factor")?);
            if low >= high {
                fail!(Model, "low_freq_factor is {low}, high_freq_factor {high}: expected less");
            }
            let original = needed("original_max_position_embeddings")?;
            Ok(Scaling::Llama3 { factor: needed("factor")?, low, high, original })
        }
        Some(other) => fail!(Model, "rope_type is \"{}\": not supported", shortened(other)),
    }
}
