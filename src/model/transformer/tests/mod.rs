//! Tiny random models: f32 logits against HuggingFace's `transformers` (tests/reference/make_transformer_fixture.py),
//! int8 logits against a naive loop.

pub(crate) mod files;
pub(crate) mod fixture;
pub(crate) mod naive;

use serde_json::Value;

use super::*;
use crate::error::Status;
use crate::numeric::attention::KvFormat;
use crate::numeric::level::Level;
use crate::numeric::matmul::Precision;
use crate::numeric::testing::assert_same;
use crate::numeric::vector::flat;
use crate::weights::Fingerprint;
use fixture::{FIXTURES, Memory, fixture, shapes};
use naive::Naive;

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
    let parse = |config: &Value| Config::from_json(&Keys::parse(config.to_string().as_bytes()).unwrap()).map(|_| ());
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
        assert_eq!(Keys::parse(bytes).unwrap_err().status(), Status::Model);
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
