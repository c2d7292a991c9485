//! Tiny random models: f32 logits against HuggingFace's `transformers` (tests/reference/make_transformer_fixture.py),
//! int8 logits against a naive loop.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::error::Status;
use crate::numeric::attention::KvFormat;
use crate::numeric::attention::tests::naive as naive_attention;
use crate::numeric::level::Level;
use crate::numeric::math::{Function, Gate, scalar};
use crate::numeric::matmul::Precision;
use crate::numeric::matmul::tests::{naive_f32, naive_grouped};
use crate::numeric::random::Random;
use crate::numeric::rope;
use crate::numeric::testing::{assert_same, naive_sum};
use crate::numeric::vector::flat;
use crate::weights::Fingerprint;

pub(crate) const FIXTURES: [(&str, &str); 6] = [
    ("llama", include_str!("../../../tests/data/transformers/llama.json")),
    ("llama-linear", include_str!("../../../tests/data/transformers/llama-linear.json")),
    ("llama3", include_str!("../../../tests/data/transformers/llama3.json")),
    ("gemma", include_str!("../../../tests/data/transformers/gemma.json")),
    ("gemma2", include_str!("../../../tests/data/transformers/gemma2.json")),
    ("gemma3", include_str!("../../../tests/data/transformers/gemma3.json")),
];

/// Tensors in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<String, (Vec<u64>, Vec<f32>)>);

impl Source for Memory {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
    fn shape(&self, name: &str) -> Option<Vec<u64>> {
        self.0.get(name).map(|(shape, _)| shape.clone())
    }
    fn read(&mut self, name: &str, first: u64, out: &mut [f32]) -> crate::error::Result<()> {
        out.copy_from_slice(&self.0[name].1[first as usize..][..out.len()]);
        Ok(())
    }
}

/// The fixture's configuration, and its weights as the script draws them.
pub(crate) fn fixture(name: &str) -> (Value, Config, Memory) {
    let text = FIXTURES.iter().find(|(n, _)| *n == name).unwrap().1;
    let fixture: Value = serde_json::from_str(text).unwrap();
    let config = Config::from_json(&JsonKeys::parse(fixture["config"].to_string().as_bytes()).unwrap()).unwrap();
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
fn shapes(c: &Config) -> Vec<(String, Vec<u64>)> {
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

/// The logits after every token, in batches of these sizes.
pub(crate) fn cached(
    level: Level,
    weights: &Weights,
    format: KvFormat,
    room: Room,
    tokens: &[u32],
    batch: usize,
) -> Vec<Vec<f32>> {
    let config = weights.config();
    let mut state = State::new(config, format, room).unwrap();
    let mut work = Work::new(config, batch, batch).unwrap();
    let mut all = vec![];
    for tokens in tokens.chunks(batch) {
        let rows: Vec<Row> = tokens.iter().map(|token| Row { lane: 0, token: *token }).collect();
        let wanted: Vec<usize> = (0..rows.len()).collect();
        weights.run(level, &mut [&mut state], &rows, &wanted, &mut work).unwrap();
        all.extend(wanted.iter().map(|i| flat(work.logits(*i))[..config.vocab].to_vec()));
    }
    all
}

const WIDE: Room = Room { context: 64, slides: false };

#[test]
fn f32_logits_are_those_of_the_reference() {
    crate::numeric::float_env::set_default();
    for (name, _) in FIXTURES {
        let (fixture, config, mut memory) = fixture(name);
        let weights = Weights::load(&config, Precision::F32, &mut memory).unwrap();
        let tokens: Vec<u32> = serde_json::from_value(fixture["tokens"].clone()).unwrap();
        let found = cached(Level::current(), &weights, KvFormat::F32, WIDE, &tokens, 24);
        let at: Vec<usize> = serde_json::from_value(fixture["at"].clone()).unwrap();
        for (row, at) in at.iter().enumerate() {
            let want: Vec<f32> = serde_json::from_value(fixture["logits"][row].clone()).unwrap();
            let largest = want.iter().fold(0f32, |m, x| m.max(x.abs()));
            let worst = want.iter().zip(&found[*at]).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
            println!("{name} {at}: {worst:e} of {largest}");
            assert!(worst <= 1e-4 * largest, "{name}, token {at}: off by {worst:e} of {largest}");
        }
    }
}

#[test]
fn every_level_batch_and_format_gives_the_bits_of_the_naive_loop() {
    crate::numeric::float_env::set_default();
    for (name, _) in FIXTURES {
        let (fixture, config, mut memory) = fixture(name);
        let tokens: Vec<u32> = serde_json::from_value(fixture["tokens"].clone()).unwrap();
        for (precision, format) in
            [(Precision::Grouped, KvFormat::I8), (Precision::Grouped, KvFormat::F16), (Precision::F32, KvFormat::F32)]
        {
            let weights = Weights::load(&config, precision, &mut memory.clone()).unwrap();
            let naive = Naive { config: &config, memory: &memory, precision, format, room: WIDE };
            let want = naive.logits(&weights, &tokens);
            for level in Level::available() {
                for batch in [1, 5, 24] {
                    for (t, (a, b)) in
                        cached(level, &weights, format, WIDE, &tokens, batch).iter().zip(&want).enumerate()
                    {
                        assert_same(
                            a,
                            b,
                            &format!("{name} {precision:?} {format:?} {level:?} batch {batch} token {t}"),
                        );
                    }
                }
            }
        }
        memory.0.clear();
    }
}

#[test]
fn a_context_that_slides_gives_the_bits_of_the_naive_loop() {
    crate::numeric::float_env::set_default();
    for name in ["llama3", "gemma2", "gemma3"] {
        let (_, config, memory) = fixture(name);
        let tokens: Vec<u32> = (0..70).map(|i| (i * i * 5 + i) % 80).collect();
        for context in [5, 20, 33] {
            let room = Room { context, slides: true };
            let (precision, format) = (Precision::Grouped, KvFormat::I8);
            let weights = Weights::load(&config, precision, &mut memory.clone()).unwrap();
            let want = Naive { config: &config, memory: &memory, precision, format, room }.logits(&weights, &tokens);
            for (t, (a, b)) in
                cached(Level::current(), &weights, format, room, &tokens, 1).iter().zip(&want).enumerate()
            {
                assert_same(a, b, &format!("{name} context {context} token {t}"));
            }
        }
    }
}

#[test]
fn lanes_do_not_depend_on_each_other() {
    crate::numeric::float_env::set_default();
    let (_, config, mut memory) = fixture("gemma3");
    let weights = Weights::load(&config, Precision::Grouped, &mut memory).unwrap();
    let text = |lane: u32, t: u32| (lane * 31 + t * t * 7 + t) % 80;
    for lanes in [2usize, 3, 16] {
        let mut states: Vec<State> = (0..lanes).map(|_| State::new(&config, KvFormat::I8, WIDE).unwrap()).collect();
        let mut work = Work::new(&config, lanes * 2, lanes).unwrap();
        let mut found = vec![];
        for t in 0..6 {
            // Lane 1 gets two tokens a step.
            let mut rows = vec![];
            let mut wanted = vec![];
            for lane in 0..lanes {
                let mut push = |t| rows.push(Row { lane, token: text(lane as u32, t) });
                if lane == 1 {
                    push(2 * t);
                    push(2 * t + 1);
                } else {
                    push(t);
                }
                wanted.push(rows.len() - 1);
            }
            let mut refs: Vec<&mut State> = states.iter_mut().collect();
            weights.run(Level::current(), &mut refs, &rows, &wanted, &mut work).unwrap();
            found = (0..lanes).map(|i| flat(work.logits(i))[..80].to_vec()).collect();
        }
        for (lane, found) in found.iter().enumerate() {
            let n = if lane == 1 { 12 } else { 6 };
            let tokens: Vec<u32> = (0..n).map(|t| text(lane as u32, t)).collect();
            let alone = cached(Level::current(), &weights, KvFormat::I8, WIDE, &tokens, 1);
            assert_same(found, alone.last().unwrap(), &format!("lane {lane} of {lanes}"));
        }
    }
}

/// A GGUF file of the same model: other names, interleaved rows, norms that contain the 1.
#[test]
fn both_worlds_give_the_same_logits() {
    struct Metadata(Vec<(&'static str, Value)>);
    impl Keys for Metadata {
        fn number(&self, key: &str) -> crate::error::Result<Option<u64>> {
            Ok(self.0.iter().find(|(k, _)| *k == key).and_then(|(_, v)| v.as_u64()))
        }
        fn float(&self, key: &str) -> crate::error::Result<Option<f32>> {
            Ok(self.0.iter().find(|(k, _)| *k == key).and_then(|(_, v)| v.as_f64()).map(|x| x as f32))
        }
        fn text(&self, key: &str) -> crate::error::Result<Option<String>> {
            Ok(self.0.iter().find(|(k, _)| *k == key).and_then(|(_, v)| v.as_str()).map(str::to_owned))
        }
        fn flag(&self, _: &str) -> crate::error::Result<Option<bool>> {
            Ok(None)
        }
        fn texts(&self, _: &str) -> crate::error::Result<Option<Vec<String>>> {
            Ok(None)
        }
        fn object(&self, _: &str) -> crate::error::Result<Option<Box<dyn Keys + '_>>> {
            Ok(None)
        }
        fn names(&self) -> Vec<String> {
            self.0.iter().map(|(k, _)| (*k).to_owned()).collect()
        }
    }
    let common = |arch: &'static [&'static str]| {
        let values = [64, 96, 4, 2, 64];
        arch.iter().zip(values).map(|(k, v)| (*k, Value::from(v))).collect::<Vec<_>>()
    };
    let mut llama = common(&[
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.attention.head_count_kv",
        "llama.context_length",
    ]);
    llama.extend([
        ("general.architecture", "llama".into()),
        ("llama.block_count", 2.into()),
        ("llama.attention.layer_norm_rms_epsilon", 1e-5.into()),
        ("llama.rope.freq_base", 1e4.into()),
        ("llama.rope.dimension_count", 16.into()),
    ]);
    let mut gemma = common(&[
        "gemma2.embedding_length",
        "gemma2.feed_forward_length",
        "gemma2.attention.head_count",
        "gemma2.attention.head_count_kv",
        "gemma2.context_length",
    ]);
    gemma.extend([
        ("general.architecture", "gemma2".into()),
        ("gemma2.block_count", 4.into()),
        ("gemma2.attention.key_length", 32.into()),
        ("gemma2.attention.layer_norm_rms_epsilon", 1e-5.into()),
        ("gemma2.attention.sliding_window", 4.into()),
        ("gemma2.attn_logit_softcapping", 5.0.into()),
        ("gemma2.final_logit_softcapping", 3.0.into()),
    ]);
    for (name, metadata) in [("llama", llama), ("gemma2", gemma)] {
        let (_, mut config, memory) = fixture(name);
        let gguf = Config::from_gguf(&Metadata(metadata), 80).unwrap();
        config.query_scale = gguf.query_scale;
        let mut other = Memory::default();
        for (name, (shape, values)) in &memory.0 {
            let mut values = values.clone();
            let is = |part: &str| name.contains(part);
            if gguf.interleaved && (is("q_proj") || is("k_proj")) {
                let half = 8;
                let rows: Vec<Vec<f32>> = values.chunks(64).map(<[f32]>::to_vec).collect();
                for (i, row) in rows.iter().enumerate() {
                    let (head, j) = (i / 16 * 16, i % 16);
                    let to = head + if j < half { 2 * j } else { 2 * (j - half) + 1 };
                    values[to * 64..][..64].copy_from_slice(row);
                }
            }
            if config.norm_plus_one && shape.len() == 1 {
                values.iter_mut().for_each(|v| *v += 1.0);
            }
            let layer = name.strip_prefix("model.layers.").map(|rest| rest.split_once('.').unwrap());
            let new = match layer {
                None => match name.as_str() {
                    "model.embed_tokens.weight" => "token_embd.weight".to_owned(),
                    _ => "output_norm.weight".to_owned(),
                },
                Some((i, rest)) => {
                    let part = match rest.strip_suffix(".weight").unwrap() {
                        "self_attn.q_proj" => "attn_q",
                        "self_attn.k_proj" => "attn_k",
                        "self_attn.v_proj" => "attn_v",
                        "self_attn.o_proj" => "attn_output",
                        "mlp.gate_proj" => "ffn_gate",
                        "mlp.up_proj" => "ffn_up",
                        "mlp.down_proj" => "ffn_down",
                        "input_layernorm" => "attn_norm",
                        "post_attention_layernorm" if config.post_norms => "post_attention_norm",
                        "post_attention_layernorm" | "pre_feedforward_layernorm" => "ffn_norm",
                        "post_feedforward_layernorm" => "post_ffw_norm",
                        other => panic!("{other}"),
                    };
                    format!("blk.{i}.{part}.weight")
                }
            };
            other.0.insert(new, (shape.clone(), values));
        }
        let tokens: Vec<u32> = (0..20).map(|i| i * 3 % 80).collect();
        let both = [(config, memory), (gguf, other)].map(|(config, mut memory)| {
            let weights = Weights::load(&config, Precision::Grouped, &mut memory).unwrap();
            cached(Level::current(), &weights, KvFormat::I8, WIDE, &tokens, 20)
        });
        both[0].iter().zip(&both[1]).for_each(|(a, b)| assert_same(a, b, name));
    }
}

#[test]
fn every_tensor_that_is_missing_or_of_another_shape_is_named() {
    let (_, config, memory) = fixture("gemma3");
    let load = |memory: &mut Memory| Weights::load(&config, Precision::Grouped, memory).map(|_| Fingerprint::default());
    for (name, _) in shapes(&config) {
        let mut without = memory.clone();
        let (shape, values) = without.0.remove(&name).unwrap();
        let e = load(&mut without).unwrap_err();
        assert!(e.status() == Status::Model && e.message().contains(&name), "{name}: {e}");
        let mut longer = shape.clone();
        longer[0] += 1;
        without.0.insert(name.clone(), (longer, values));
        let e = load(&mut without).unwrap_err();
        assert!(e.status() == Status::Model && e.message().contains(&name), "{name}: {e}");
        let mut infinite = memory.clone();
        infinite.0.get_mut(&name).unwrap().1[3] = f32::INFINITY;
        let e = load(&mut infinite).unwrap_err();
        assert!(e.message().contains(&name) && e.message().contains("finite"), "{name}: {e}");
    }
    let mut more = memory.clone();
    more.0.insert("model.layers.0.self_attn.q_proj.bias".into(), (vec![1], vec![0.0]));
    assert!(load(&mut more).unwrap_err().message().contains("self_attn.q_proj.bias"));
}

#[test]
fn keys_that_are_not_supported_are_named() {
    let (fixture, ..) = fixture("gemma3");
    let parse =
        |config: &Value| Config::from_json(&JsonKeys::parse(config.to_string().as_bytes()).unwrap()).map(|_| ());
    parse(&fixture["config"]).unwrap();
    for (key, value) in [
        ("some_new_key", Value::from(1)),
        ("attention_bias", true.into()),
        ("hidden_size", 65.into()),
        ("hidden_size", 0.into()),
        ("hidden_size", "64".into()),
        ("head_dim", 24.into()),
        ("max_position_embeddings", 0.into()),
        ("num_key_value_heads", 3.into()),
        ("hidden_activation", "relu".into()),
        ("model_type", "bert".into()),
        ("sliding_window", 0.into()),
        ("rms_norm_eps", (-1.0).into()),
        ("num_hidden_layers", 6.into()),
        ("final_logit_softcapping", 3.0.into()),
    ] {
        let mut config = fixture["config"].clone();
        config[key] = value.clone();
        let e = parse(&config).unwrap_err();
        let named = match key {
            "num_key_value_heads" => "heads of keys and values",
            "hidden_size" if value == 65 => "width of the model",
            "head_dim" => "width of a head",
            key => key,
        };
        assert!(e.status() == Status::Model && e.message().contains(named), "{key}: {e}");
    }
    let mut config = fixture["config"].clone();
    config["rope_parameters"]["full_attention"]["rope_type"] = "yarn".into();
    assert!(parse(&config).unwrap_err().message().contains("yarn"));
    for bytes in [&b"[]"[..], b"{", b""] {
        assert_eq!(JsonKeys::parse(bytes).unwrap_err().status(), Status::Model);
    }
}

#[test]
fn a_call_that_fails_changes_no_lane() {
    let (_, config, mut memory) = fixture("llama");
    let weights = Weights::load(&config, Precision::Grouped, &mut memory).unwrap();
    let room = Room { context: 5, slides: false };
    let mut state = State::new(&config, KvFormat::I8, room).unwrap();
    let mut work = Work::new(&config, 8, 1).unwrap();
    let mut run = |state: &mut State, tokens: &[u32]| {
        let rows: Vec<Row> = tokens.iter().map(|token| Row { lane: 0, token: *token }).collect();
        weights.run(Level::current(), &mut [state], &rows, &[rows.len() - 1], &mut work)
    };
    run(&mut state, &[1, 2, 3]).unwrap();
    let e = run(&mut state, &[4, 80]).unwrap_err();
    assert!(e.status() == Status::Argument && e.message().contains("80"), "{e}");
    let e = run(&mut state, &[4, 5, 6]).unwrap_err();
    assert!(e.status() == Status::State && e.message().contains("context of 5"), "{e}");
    assert_eq!(state.len(), 3);
    run(&mut state, &[4, 5]).unwrap();
}
