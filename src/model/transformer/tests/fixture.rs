//! Tiny random models, in memory and as files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::Result;
use crate::model::transformer::config::{Config, Scaling};
use crate::model::transformer::keys::Keys;
use crate::model::transformer::weights::Source;
use crate::numeric::random::Random;
use crate::weights::metadata::{self, Metadata};
use crate::weights::{DType, Format, TensorWriter};

pub(crate) const FIXTURES: [(&str, &str); 6] = [
    ("llama", include_str!("../../../../tests/data/transformers/llama.json")),
    ("llama-linear", include_str!("../../../../tests/data/transformers/llama-linear.json")),
    ("llama3", include_str!("../../../../tests/data/transformers/llama3.json")),
    ("gemma", include_str!("../../../../tests/data/transformers/gemma.json")),
    ("gemma2", include_str!("../../../../tests/data/transformers/gemma2.json")),
    ("gemma3", include_str!("../../../../tests/data/transformers/gemma3.json")),
];

/// Tensors in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<String, (Vec<u64>, Vec<f32>)>);

impl Source for Memory {
    fn each_name(&self, take: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        self.0.keys().try_for_each(|name| take(name))
    }
    fn shape(&self, name: &str) -> Option<&[u64]> {
        self.0.get(name).map(|(shape, _)| shape.as_slice())
    }
    fn read(&mut self, name: &str, first: u64, out: &mut [f32]) -> Result<()> {
        out.copy_from_slice(&self.0[name].1[first as usize..][..out.len()]);
        Ok(())
    }
}

/// The fixture's configuration, and its weights as the script draws them.
pub(crate) fn fixture(name: &str) -> (Value, Config, Memory) {
    let text = FIXTURES.iter().find(|(n, _)| *n == name).unwrap().1;
    let fixture: Value = serde_json::from_str(text).unwrap();
    let config = Config::from_json(&Keys::parse(fixture["config"].to_string().as_bytes()).unwrap()).unwrap();
    let memory = draw(&config, name.starts_with("gemma"));
    (fixture, config, memory)
}

fn draw(config: &Config, gemma: bool) -> Memory {
    let mut memory = Memory::default();
    for (name, shape) in shapes(config) {
        let mut random = Random::new(1, &name);
        let n: u64 = shape.iter().product();
        let gain = if shape.len() == 1 || name.contains("embed") { 1.0 } else { (3.0 / shape[1] as f32).sqrt() };
        let value = |x: f32| match shape.len() {
            1 => x * 0.25 + if gemma { 0.0 } else { 1.0 },
            _ => x * gain,
        };
        let values = (0..n).map(|_| value(random.symmetric())).collect();
        memory.0.insert(name, (shape, values));
    }
    memory
}

/// All tensors of a model by HuggingFace's names.
pub(crate) fn shapes(c: &Config) -> Vec<(String, Vec<u64>)> {
    let n = |n: usize| n as u64;
    let (h, d) = (n(c.hidden), n(c.head_dim));
    let mut all =
        vec![("model.embed_tokens.weight".into(), vec![n(c.vocab), h]), ("model.norm.weight".into(), vec![h])];
    if c.tied == Some(false) {
        all.push(("lm_head.weight".into(), vec![n(c.vocab), h]));
    }
    for i in 0..c.layers.len() {
        let mut add = |name: &str, shape: Vec<u64>| all.push((format!("model.layers.{i}.{name}.weight"), shape));
        add("self_attn.q_proj", vec![n(c.heads) * d, h]);
        add("self_attn.k_proj", vec![n(c.kv_heads) * d, h]);
        add("self_attn.v_proj", vec![n(c.kv_heads) * d, h]);
        add("self_attn.o_proj", vec![h, n(c.heads) * d]);
        add("mlp.gate_proj", vec![n(c.intermediate), h]);
        add("mlp.up_proj", vec![n(c.intermediate), h]);
        add("mlp.down_proj", vec![h, n(c.intermediate)]);
        add("input_layernorm", vec![h]);
        add("post_attention_layernorm", vec![h]);
        if c.post_norms {
            add("pre_feedforward_layernorm", vec![h]);
            add("post_feedforward_layernorm", vec![h]);
        }
        if c.qk_norm {
            add("self_attn.q_norm", vec![d]);
            add("self_attn.k_norm", vec![d]);
        }
    }
    all
}

/// The model as llama.cpp would write it: other names, interleaved rows of LLaMA, norms of Gemma that contain the 1.
pub(crate) fn as_gguf(name: &str, config: &Config, memory: &Memory) -> Memory {
    let interleaved = name.starts_with("llama");
    let mut other = Memory::default();
    for (name, (shape, values)) in &memory.0 {
        let mut values = values.clone();
        if interleaved && (name.contains("q_proj") || name.contains("k_proj")) {
            let (d, half) = (config.head_dim, config.head_dim / 2);
            for (i, row) in memory.0[name].1.chunks(config.hidden).enumerate() {
                let (head, j) = (i / d * d, i % d);
                let to = head + if j < half { 2 * j } else { 2 * (j - half) + 1 };
                values[to * config.hidden..][..config.hidden].copy_from_slice(row);
            }
        }
        if config.norm_plus_one && shape.len() == 1 {
            values.iter_mut().for_each(|v| *v += 1.0);
        }
        other.0.insert(gguf_name(name, config.post_norms), (shape.clone(), values));
    }
    other
}

fn gguf_name(name: &str, post_norms: bool) -> String {
    let Some((i, rest)) = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')) else {
        return match name {
            "model.embed_tokens.weight" => "token_embd.weight",
            "model.norm.weight" => "output_norm.weight",
            "lm_head.weight" => "output.weight",
            other => panic!("{other}"),
        }
        .to_owned();
    };
    let part = match rest.strip_suffix(".weight").unwrap() {
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" if post_norms => "post_attention_norm",
        "post_attention_layernorm" | "pre_feedforward_layernorm" => "ffn_norm",
        "post_feedforward_layernorm" => "post_ffw_norm",
        other => panic!("{other}"),
    };
    format!("blk.{i}.{part}.weight")
}

/// The keys of a GGUF file of this shape, without a tokenizer. llama.cpp has no key for the scaling of LLaMA 3.
pub(crate) fn gguf_keys(architecture: &str, config: &Config) -> Metadata {
    use metadata::Value::{F32, Text, U32};
    let mut keys = Metadata::default();
    keys.push("general.architecture", Text(architecture.into())).unwrap();
    let mut add = |rest: &str, value| keys.push(&format!("{architecture}.{rest}"), value).unwrap();
    add("block_count", U32(config.layers.len() as u32));
    add("context_length", U32(config.context as u32));
    add("embedding_length", U32(config.hidden as u32));
    add("feed_forward_length", U32(config.intermediate as u32));
    add("attention.head_count", U32(config.heads as u32));
    add("attention.head_count_kv", U32(config.kv_heads as u32));
    add("attention.key_length", U32(config.head_dim as u32));
    add("attention.value_length", U32(config.head_dim as u32));
    add("attention.layer_norm_rms_epsilon", F32(config.eps));
    add("rope.freq_base", F32(config.ropes[0].base));
    if let Scaling::Linear(factor) = config.ropes[0].scaling {
        add("rope.scaling.type", Text("linear".into()));
        add("rope.scaling.factor", F32(factor));
    }
    if let Some(local) = config.ropes.get(1) {
        add("rope.freq_base_swa", F32(local.base));
    }
    if let Some(window) = config.layers.iter().find_map(|layer| layer.window) {
        let pattern = config.layers.iter().position(|layer| layer.window.is_none()).unwrap() + 1;
        add("attention.sliding_window", U32(window as u32));
        add("attention.sliding_window_pattern", U32(pattern as u32));
    }
    if let (Some(score), Some(logit)) = (config.score_cap, config.logit_cap) {
        add("attn_logit_softcapping", F32(score));
        add("final_logit_softcapping", F32(logit));
    }
    keys
}

/// Writes tensors to a file.
pub(crate) fn write(path: &Path, format: Format, keys: &Metadata, tensors: &Memory) {
    let mut writer = TensorWriter::create(path, format, keys).unwrap();
    for (name, (shape, values)) in &tensors.0 {
        writer.add_f32(name, DType::F32, shape, values).unwrap();
    }
    writer.finish().unwrap();
}

/// Writes a fixture's model as `model.safetensors` with its `config.json` to a folder.
pub(crate) fn write_fixture(folder: &Path, name: &str) -> PathBuf {
    let (fixture, _, memory) = fixture(name);
    std::fs::write(folder.join("config.json"), fixture["config"].to_string()).unwrap();
    let path = folder.join("model.safetensors");
    write(&path, Format::Safetensors, &Metadata::default(), &memory);
    path
}
