//! The shape of a transformer from the metadata of a GGUF file.

use super::config::{Config, Family, Layer, MOST_CONTEXT, MOST_LAYERS, MOST_WIDTH, Rope, Scaling};
use super::keys::{Keys, base, dimension, listed, positive};
use super::names::World;
use crate::error::{Result, fail, shortened};
use crate::numeric::buffer::made;

/// The keys below the architecture that are read.
const READ: &str = " block_count context_length embedding_length feed_forward_length attention.head_count \
    attention.head_count_kv attention.key_length attention.value_length attention.layer_norm_rms_epsilon \
    attention.sliding_window attention.sliding_window_pattern rope.freq_base rope.freq_base_swa \
    rope.dimension_count rope.scaling.type rope.scaling.factor rope.scaling.original_context_length \
    attn_logit_softcapping final_logit_softcapping vocab_size ";

/// The families with windows in some layers.
fn has_windows(family: Family) -> bool {
    matches!(family, Family::Gemma2 | Family::Gemma3)
}

/// The keys below an architecture.
struct Below<'k> {
    keys: &'k Keys<'k>,
    name: &'k str,
}

impl Below<'_> {
    fn key(&self, rest: &str) -> String {
        format!("{}.{rest}", self.name)
    }

    fn has(&self, rest: &str) -> bool {
        self.keys.has(&self.key(rest))
    }

    fn dimension(&self, rest: &str, most: u64) -> Result<usize> {
        dimension(self.keys, &self.key(rest), most)
    }

    fn positive(&self, rest: &str) -> Result<Option<f32>> {
        positive(self.keys, &self.key(rest))
    }

    fn base(&self, rest: &str, default: f32) -> Result<f32> {
        base(self.positive(rest)?, &self.key(rest), default)
    }

    /// Refuses a key that the family does not have.
    fn refuse(&self, rest: &str) -> Result<()> {
        if self.has(rest) {
            fail!(Model, "{} is not supported in this family", self.key(rest));
        }
        Ok(())
    }

    /// Refuses keys that are not known: each could change the result.
    fn check_names(&self) -> Result<()> {
        let rest = |key| str::strip_prefix(key, self.name).and_then(|rest| rest.strip_prefix('.'));
        match self.keys.names().find(|key| rest(key).is_some_and(|rest| !listed(READ, rest))) {
            Some(key) => fail!(Model, "the key \"{}\" is not supported", shortened(key)),
            None => Ok(()),
        }
    }

    /// The number of numbers in a head.
    fn head_dim(&self, config: &Config) -> Result<usize> {
        let found = match self.has("attention.key_length") {
            true => self.dimension("attention.key_length", MOST_WIDTH)?,
            false => config.hidden / config.heads,
        };
        for other in ["attention.value_length", "rope.dimension_count"] {
            if let Some(n) = self.keys.number(&self.key(other))?
                && n != found as u64
            {
                fail!(Model, "{} is {n}, heads have {found}: not supported", self.key(other));
            }
        }
        Ok(found)
    }

    fn ropes(&self, family: Family) -> Result<Vec<Rope>> {
        let factor = self.positive("rope.scaling.factor")?;
        let scaling = match self.keys.text(&self.key("rope.scaling.type"))? {
            Some("none") => Scaling::None,
            None | Some("linear") => factor.map_or(Scaling::None, Scaling::Linear),
            Some(other) => fail!(Model, "{} is \"{}\": not supported", self.key("rope.scaling.type"), shortened(other)),
        };
        if family != Family::Gemma3 {
            self.refuse("rope.freq_base_swa")?;
            return Ok(vec![Rope { base: self.base("rope.freq_base", 1e4)?, scaling }]);
        }
        // Most files do not have that of local layers, which are not scaled.
        let local = self.base("rope.freq_base_swa", 1e4)?;
        Ok(vec![
            Rope { base: self.base("rope.freq_base", 1e6)?, scaling },
            Rope { base: local, scaling: Scaling::None },
        ])
    }

    fn layers(&self, family: Family) -> Result<Vec<Layer>> {
        let n = self.dimension("block_count", MOST_LAYERS)?;
        let (window, pattern) = ("attention.sliding_window", "attention.sliding_window_pattern");
        if !has_windows(family) {
            self.refuse(window)?;
            self.refuse(pattern)?;
            return made(n, "layers", |_| Ok(Layer { rope: 0, window: None }));
        }
        let window = match self.has(window) {
            false if family == Family::Gemma2 => 4096,
            _ => self.dimension(window, MOST_CONTEXT)?,
        };
        let pattern = match (self.has(pattern), family) {
            (true, _) => self.dimension(pattern, MOST_LAYERS)?,
            (false, Family::Gemma2) => 2,
            (false, _) => 6,
        };
        made(n, "layers", |i| {
            let is_global = (i + 1) % pattern == 0;
            let rope = usize::from(!is_global && family == Family::Gemma3);
            Ok(Layer { rope, window: (!is_global).then_some(window) })
        })
    }
}

impl Config {
    /// From the metadata of a GGUF file. `vocab` is the number of rows of its embedding.
    ///
    /// # Errors
    /// As [`Config::from_json`].
    pub fn from_gguf(keys: &Keys<'_>, vocab: usize) -> Result<Self> {
        let Some(name) = keys.text("general.architecture")? else { fail!(Model, "general.architecture is missing") };
        let family = match name {
            "llama" => Family::Llama,
            "gemma" => Family::Gemma,
            "gemma2" => Family::Gemma2,
            "gemma3" => Family::Gemma3,
            other => fail!(Model, "general.architecture is \"{}\": not supported", shortened(other)),
        };
        let below = Below { keys, name };
        below.check_names()?;
        let mut config = Self::common(family, World::Gguf);
        config.vocab = vocab;
        if let Some(n) = keys.number(&below.key("vocab_size"))?
            && n != vocab as u64
        {
            fail!(Model, "{} is {n}, the embedding has {vocab} rows", below.key("vocab_size"));
        }
        config.hidden = below.dimension("embedding_length", MOST_WIDTH)?;
        config.intermediate = below.dimension("feed_forward_length", MOST_WIDTH)?;
        config.heads = below.dimension("attention.head_count", MOST_WIDTH)?;
        config.kv_heads = match below.has("attention.head_count_kv") {
            true => below.dimension("attention.head_count_kv", MOST_WIDTH)?,
            false => config.heads,
        };
        config.head_dim = below.head_dim(&config)?;
        config.context = below.dimension("context_length", MOST_CONTEXT)?;
        config.eps = below.positive("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6);
        config.ropes = below.ropes(family)?;
        config.layers = below.layers(family)?;
        // The models of 27 B divide by the width of the stream over its heads instead of that of a head.
        let scaled = match (family, config.layers.len()) {
            (Family::Gemma2, 46) | (Family::Gemma3, 62) => config.hidden / config.heads,
            _ => config.head_dim,
        };
        config.query_scale = 1.0 / (scaled as f32).sqrt();
        if family == Family::Gemma2 {
            config.score_cap = Some(below.positive("attn_logit_softcapping")?.unwrap_or(50.0));
            config.logit_cap = Some(below.positive("final_logit_softcapping")?.unwrap_or(30.0));
        } else {
            below.refuse("attn_logit_softcapping")?;
            below.refuse("final_logit_softcapping")?;
        }
        config.finished()
    }
}
