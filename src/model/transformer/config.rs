//! The shape of a transformer, from the keys of a `config.json` or of a GGUF file.

use super::names::World;
use crate::error::{Result, fail, shortened};
use crate::numeric::buffer::made;
use crate::numeric::math::Gate;

/// Keys with values, as in a `config.json` or in the metadata of a GGUF file.
///
/// The functions return `None` for a key that is missing or null, and fail (`Model`) if it has another type.
pub trait Keys {
    /// A number that is not negative.
    fn number(&self, key: &str) -> Result<Option<u64>>;
    /// A float; integers count.
    fn float(&self, key: &str) -> Result<Option<f32>>;
    /// A string.
    fn text(&self, key: &str) -> Result<Option<String>>;
    /// A truth value.
    fn flag(&self, key: &str) -> Result<Option<bool>>;
    /// An array of strings.
    fn texts(&self, key: &str) -> Result<Option<Vec<String>>>;
    /// The keys inside an object, or `None` if there is no such object.
    fn object(&self, key: &str) -> Result<Option<Box<dyn Keys + '_>>>;
    /// The names of all keys that are not null.
    fn names(&self) -> Vec<String>;
}

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
const MOST_LAYERS: u64 = 1 << 10;
const MOST_WIDTH: u64 = 1 << 17;
const MOST_VOCAB: u64 = 1 << 24;
const MOST_CONTEXT: u64 = 1 << 28;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Llama,
    Gemma,
    Gemma2,
    Gemma3,
}

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

/// Keys of a GGUF file below its architecture that are read.
const READ_GGUF: &str = " block_count context_length embedding_length feed_forward_length attention.head_count \
    attention.head_count_kv attention.key_length attention.value_length attention.layer_norm_rms_epsilon \
    attention.sliding_window rope.freq_base rope.dimension_count rope.scaling.type rope.scaling.factor \
    rope.scaling.original_context_length attn_logit_softcapping final_logit_softcapping vocab_size ";

fn listed(list: &str, key: &str) -> bool {
    list.split_whitespace().any(|known| known == key)
}

/// A dimension that must be there.
fn dimension(keys: &dyn Keys, key: &str, most: u64) -> Result<usize> {
    match keys.number(key)? {
        Some(n) if (1..=most).contains(&n) => Ok(n as usize),
        Some(n) => fail!(Model, "{key} is {n}, expected 1 to {most}"),
        None => fail!(Model, "{key} is missing"),
    }
}

/// A float that must be positive, and normal because integers are computed from its bits.
fn positive(keys: &dyn Keys, key: &str) -> Result<Option<f32>> {
    match keys.float(key)? {
        Some(x) if x.is_normal() && x > 0.0 => Ok(Some(x)),
        Some(x) => fail!(Model, "{key} is {x}, expected a positive number"),
        None => Ok(None),
    }
}

fn base(x: Option<f32>, key: &str, default: f32) -> Result<f32> {
    match x.unwrap_or(default) {
        x if x > 1.0 => Ok(x),
        x => fail!(Model, "{key} is {x}, expected more than 1"),
    }
}

impl Config {
    /// From a `config.json`.
    ///
    /// # Errors
    /// `Model` for a key that is missing, has another type or a value that is not supported, and for keys that are not
    /// known: each could change the result.
    pub fn from_json(keys: &dyn Keys) -> Result<Self> {
        let family = match keys.text("model_type")?.as_deref() {
            Some("llama") => Family::Llama,
            Some("gemma") => Family::Gemma,
            Some("gemma2") => Family::Gemma2,
            Some("gemma3_text") => Family::Gemma3,
            Some(other) => fail!(Model, "model_type is \"{}\": not supported", shortened(other)),
            None => fail!(Model, "model_type is missing"),
        };
        for key in keys.names() {
            if MUST_BE_FALSE.contains(&key.as_str()) {
                if keys.flag(&key)? == Some(true) {
                    fail!(Model, "{key} is true: not supported");
                }
            } else if !listed(IGNORED, &key) && !listed(READ, &key) {
                fail!(Model, "the key \"{}\" is not supported", shortened(&key));
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

    /// What the family determines.
    fn common(family: Family, world: World) -> Self {
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

    fn check_activation(&self, family: Family, keys: &dyn Keys) -> Result<()> {
        let (key, expected): (_, &[&str]) = match family {
            Family::Llama => ("hidden_act", &["silu"]),
            // Files of Gemma 1 say "gelu" for the approximation by tanh, which its authors use.
            _ => ("hidden_activation", &["gelu_pytorch_tanh"]),
        };
        match keys.text(key)? {
            Some(found) if !expected.contains(&found.as_str()) => {
                fail!(Model, "{key} is \"{}\": not supported", shortened(&found))
            }
            _ => Ok(()),
        }
    }

    fn read_ropes(&mut self, family: Family, keys: &dyn Keys) -> Result<()> {
        let parameters = keys.object("rope_parameters")?;
        let top = keys.object("rope_scaling")?;
        let theta = positive(keys, "rope_theta")?;
        let rope = |keys: Option<&dyn Keys>, theta: Option<f32>, default: f32| -> Result<Rope> {
            let inner = keys.map(|keys| positive(keys, "rope_theta")).transpose()?.flatten();
            let scaling = keys.map(read_scaling).transpose()?.unwrap_or(Scaling::None);
            Ok(Rope { base: base(inner.or(theta), "rope_theta", default)?, scaling })
        };
        if family != Family::Gemma3 {
            self.ropes = vec![rope(parameters.as_deref().or(top.as_deref()), theta, 1e4)?];
            return Ok(());
        }
        let part = |key| parameters.as_ref().map(|p| p.object(key)).transpose().map(Option::flatten);
        let (global, local) = (part("full_attention")?, part("sliding_attention")?);
        let local_theta = positive(keys, "rope_local_base_freq")?;
        self.ropes =
            vec![rope(global.as_deref().or(top.as_deref()), theta, 1e6)?, rope(local.as_deref(), local_theta, 1e4)?];
        Ok(())
    }

    fn read_layers(&mut self, family: Family, keys: &dyn Keys, layers: usize) -> Result<()> {
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
            let global = match types.as_ref().map(|types| types[i].as_str()) {
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

    /// From the metadata of a GGUF file. `vocab` is the number of rows of its embedding.
    ///
    /// # Errors
    /// As [`Config::from_json`].
    pub fn from_gguf(keys: &dyn Keys, vocab: usize) -> Result<Self> {
        let Some(name) = keys.text("general.architecture")? else { fail!(Model, "general.architecture is missing") };
        let family = match name.as_str() {
            "llama" => Family::Llama,
            "gemma" => Family::Gemma,
            "gemma2" => Family::Gemma2,
            "gemma3" => Family::Gemma3,
            other => fail!(Model, "general.architecture is \"{}\": not supported", shortened(other)),
        };
        for key in keys.names() {
            if let Some(rest) = key.strip_prefix(&name).and_then(|rest| rest.strip_prefix('.'))
                && !listed(READ_GGUF, rest)
            {
                fail!(Model, "the key \"{}\" is not supported", shortened(&key));
            }
        }
        let key = |rest: &str| format!("{name}.{rest}");
        let needed = |rest: &str, most| dimension(keys, &key(rest), most);
        let optional = |rest: &str| positive(keys, &key(rest));
        let mut config = Self::common(family, World::Gguf);
        config.vocab = vocab;
        if let Some(n) = keys.number(&key("vocab_size"))?
            && n != vocab as u64
        {
            fail!(Model, "{} is {n}, the embedding has {vocab} rows", key("vocab_size"));
        }
        config.hidden = needed("embedding_length", MOST_WIDTH)?;
        config.intermediate = needed("feed_forward_length", MOST_WIDTH)?;
        config.heads = needed("attention.head_count", MOST_WIDTH)?;
        config.kv_heads = match keys.number(&key("attention.head_count_kv"))? {
            Some(_) => needed("attention.head_count_kv", MOST_WIDTH)?,
            None => config.heads,
        };
        config.head_dim = match keys.number(&key("attention.key_length"))? {
            Some(_) => needed("attention.key_length", MOST_WIDTH)?,
            None => config.hidden / config.heads,
        };
        for other in ["attention.value_length", "rope.dimension_count"] {
            if let Some(n) = keys.number(&key(other))?
                && n != config.head_dim as u64
            {
                fail!(Model, "{} is {n}, heads have {}: not supported", key(other), config.head_dim);
            }
        }
        config.context = needed("context_length", MOST_CONTEXT)?;
        config.eps = optional("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6);
        // Gemma 2 of 27 B divides by the width of the stream over its heads instead of that of a head.
        let scaled = if family == Family::Gemma2 && needed("block_count", MOST_LAYERS)? == 46 {
            config.hidden / config.heads
        } else {
            config.head_dim
        };
        config.query_scale = 1.0 / (scaled as f32).sqrt();
        if family == Family::Gemma2 {
            config.score_cap = Some(optional("attn_logit_softcapping")?.unwrap_or(50.0));
            config.logit_cap = Some(optional("final_logit_softcapping")?.unwrap_or(30.0));
        } else if optional("attn_logit_softcapping")?.or(optional("final_logit_softcapping")?).is_some() {
            fail!(Model, "{} is not supported in this family", key("*_logit_softcapping"));
        }
        let scaling = match keys.text(&key("rope.scaling.type"))?.as_deref() {
            None | Some("none") => match optional("rope.scaling.factor")? {
                None => Scaling::None,
                Some(factor) => Scaling::Linear(factor),
            },
            Some("linear") => Scaling::Linear(optional("rope.scaling.factor")?.unwrap_or(1.0)),
            Some(other) => fail!(Model, "{} is \"{}\": not supported", key("rope.scaling.type"), shortened(other)),
        };
        let default = if family == Family::Gemma3 { 1e6 } else { 1e4 };
        config.ropes = vec![Rope { base: base(optional("rope.freq_base")?, "rope.freq_base", default)?, scaling }];
        if family == Family::Gemma3 {
            // Not in the file.
            config.ropes.push(Rope { base: 1e4, scaling: Scaling::None });
        }
        let windowed = matches!(family, Family::Gemma2 | Family::Gemma3);
        let window = match (windowed, keys.number(&key("attention.sliding_window"))?) {
            (false, None) => None,
            (false, Some(_)) => fail!(Model, "{} is not supported in this family", key("attention.sliding_window")),
            (true, Some(_)) => Some(needed("attention.sliding_window", MOST_CONTEXT)?),
            (true, None) if family == Family::Gemma2 => Some(4096),
            (true, None) => fail!(Model, "{} is missing", key("attention.sliding_window")),
        };
        let pattern = if family == Family::Gemma2 { 2 } else { 6 };
        config.layers = made(needed("block_count", MOST_LAYERS)?, "layers", |i| {
            let global = !windowed || (i + 1) % pattern == 0;
            let rope = usize::from(!global && family == Family::Gemma3);
            Ok(Layer { rope, window: if global { None } else { window } })
        })?;
        config.finished()
    }

    /// Checks what depends on several keys.
    fn finished(mut self) -> Result<Self> {
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

/// How an object of rotary embeddings scales them.
fn read_scaling(keys: &dyn Keys) -> Result<Scaling> {
    const KNOWN: &str =
        " rope_type type rope_theta factor low_freq_factor high_freq_factor original_max_position_embeddings ";
    for key in keys.names() {
        if !listed(KNOWN, &key) {
            fail!(Model, "the key \"{}\" of the rotary embedding is not supported", shortened(&key));
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
    match kind.as_deref() {
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
