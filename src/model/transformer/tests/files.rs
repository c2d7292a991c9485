//! Models as files of both worlds.

use std::path::Path;

use super::fixture::{Memory, as_gguf, fixture, gguf_keys, write, write_fixture};
use super::{WIDE, cached};
use crate::error::{Error, Result, Status};
use crate::model::open::Opened;
use crate::model::transformer::Model;
use crate::numeric::attention::KvFormat;
use crate::numeric::level::Level;
use crate::numeric::matmul::Precision;
use crate::numeric::testing::assert_same;
use crate::weights::metadata::{Array, Metadata, Texts, Value};
use crate::weights::{DType, Format, TensorWriter, Tensors};

const TOKENS: [u32; 20] = [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45, 48, 51, 54, 57];

fn opened(path: &Path) -> std::sync::Arc<Model> {
    match Opened::open(path).unwrap() {
        Opened::Transformer(model) => model,
        Opened::Bytes(_) => panic!("{}: a byte-level model", path.display()),
    }
}

fn logits(model: &Model, precision: Precision) -> Vec<Vec<f32>> {
    let weights = model.weights(precision).unwrap();
    cached(Level::current(), &weights, KvFormat::I8, WIDE, &TOKENS, 20)
}

fn error(path: &Path) -> Error {
    let Err(e) = Opened::open(path) else { panic!("{} was opened", path.display()) };
    assert_eq!(e.status(), Status::Model, "{e}");
    e
}

/// The architecture of a fixture in GGUF files.
fn architecture(name: &str) -> &str {
    if name.starts_with("llama") { "llama" } else { name }
}

/// A vocabulary of `n` tokens in which every letter is one.
pub(crate) fn tokenizer_keys(keys: &mut Metadata, n: usize) {
    let mut texts = Texts::default();
    let mut kinds = vec![];
    for i in 0..n {
        match i {
            0 => texts.push("<s>").unwrap(),
            1 => texts.push("</s>").unwrap(),
            2..54 => texts.push(&char::from(b"Aa"[i % 2] + (i as u8 - 2) / 2).to_string()).unwrap(),
            54 => texts.push("Ġ").unwrap(),
            55 => texts.push("th").unwrap(),
            i => texts.push(&format!("<unused{i}>")).unwrap(),
        }
        kinds.push(if i < 2 {
            3
        } else if i < 56 {
            1
        } else {
            5
        });
    }
    let mut merges = Texts::default();
    merges.push("t h").unwrap();
    keys.push("tokenizer.ggml.model", Value::Text("gpt2".into())).unwrap();
    keys.push("tokenizer.ggml.pre", Value::Text("smollm".into())).unwrap();
    keys.push("tokenizer.ggml.tokens", Value::Array(Array::Text(texts))).unwrap();
    keys.push("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds))).unwrap();
    keys.push("tokenizer.ggml.merges", Value::Array(Array::Text(merges))).unwrap();
    keys.push("tokenizer.ggml.bos_token_id", Value::U32(0)).unwrap();
    keys.push("tokenizer.ggml.eos_token_id", Value::U32(1)).unwrap();
}

#[test]
fn files_of_both_worlds_and_all_formats_give_the_same_logits() {
    crate::numeric::float_env::set_default();
    let folder = tempfile::tempdir().unwrap();
    for name in ["llama", "llama-linear", "gemma", "gemma2", "gemma3"] {
        let (mut json, config, memory) = fixture(name);
        let path = write_fixture(folder.path(), name);
        // GGUF files do not have the scale of scores, which is that of the fixture's head in real models.
        if name.starts_with("gemma") && name != "gemma" {
            json["config"]["query_pre_attn_scalar"] = config.head_dim.into();
            std::fs::write(folder.path().join("config.json"), json["config"].to_string()).unwrap();
        }
        let hf = opened(&path);
        let want = [Precision::Grouped, Precision::F32].map(|precision| logits(&hf, precision));
        let (keys, tensors) = (gguf_keys(architecture(name), &config), as_gguf(name, &config, &memory));
        for format in [Format::Gguf, Format::Apr, Format::Safetensors] {
            let path = folder.path().join(format!("{name}.{}", format.name()));
            write(&path, format, &keys, &tensors);
            let model = opened(&path);
            for (precision, want) in [Precision::Grouped, Precision::F32].into_iter().zip(&want) {
                let what = format!("{name} {precision:?} {}", format.name());
                logits(&model, precision).iter().zip(want).for_each(|(a, b)| assert_same(a, b, &what));
            }
            assert_eq!((model.parameters(), model.bytes()), (hf.parameters(), hf.bytes()), "{name}");
        }
        // HuggingFace's world in the other formats.
        for format in [Format::Gguf, Format::Apr] {
            let path = folder.path().join(format!("{name}-hf.{}", format.name()));
            write(&path, format, &Metadata::default(), &memory);
            let model = opened(&path);
            assert_eq!(model.fingerprint(), hf.fingerprint());
            logits(&model, Precision::Grouped).iter().zip(&want[0]).for_each(|(a, b)| assert_same(a, b, name));
        }
    }
}

/// Quantised tensors are read a part at a time, and I8 tensors with their scales.
#[test]
fn tensors_of_other_types_are_read_as_their_values() {
    crate::numeric::float_env::set_default();
    let folder = tempfile::tempdir().unwrap();
    let (_, config, memory) = fixture("llama");
    let (keys, tensors) = (gguf_keys("llama", &config), as_gguf("llama", &config, &memory));
    for dtype in [DType::F16, DType::BF16, DType::Q8_0, DType::Q4_1, DType::Q5_0, DType::I8] {
        let path = folder.path().join("quantised.gguf");
        let mut writer = TensorWriter::create(&path, Format::Gguf, &keys).unwrap();
        for (name, (shape, values)) in &tensors.0 {
            match dtype {
                _ if shape.len() == 1 => writer.add_f32(name, DType::F32, shape, values).unwrap(),
                DType::I8 => {
                    let bytes: Vec<u8> = values.iter().map(|x| (x * 100.0).round() as i8 as u8).collect();
                    writer.add(name, dtype, shape, &bytes).unwrap();
                    let scales: Vec<f32> = (0..shape[0]).map(|i| 0.01 + i as f32 * 1e-5).collect();
                    writer.add_f32(&format!("{name}.scale"), DType::F32, &[shape[0]], &scales).unwrap();
                }
                _ => writer.add_f32(name, dtype, shape, values).unwrap(),
            }
        }
        writer.finish().unwrap();
        // The values that the file has, as f32.
        let file = Tensors::open(&path).unwrap();
        let mut plain = Memory::default();
        for i in (0..file.len()).filter(|i| !file.info(*i).name.ends_with(".scale")) {
            let mut values = vec![0.0; file.info(i).values() as usize];
            file.read_f32(i, &mut values).unwrap();
            plain.0.insert(file.info(i).name.clone(), (file.info(i).shape.clone(), values));
        }
        let other = folder.path().join("plain.gguf");
        write(&other, Format::Gguf, &keys, &plain);
        let (a, b) = (opened(&path), opened(&other));
        assert_eq!(a.fingerprint(), b.fingerprint(), "{dtype:?}");
        let (a, b) = (logits(&a, Precision::Grouped), logits(&b, Precision::Grouped));
        a.iter().zip(&b).for_each(|(a, b)| assert_same(a, b, &format!("{dtype:?}")));
    }
}

/// Factors of rotary embeddings, as llama.cpp writes those of LLaMA 3, against the scaling of a `config.json`.
#[test]
fn rope_factors_of_gguf_files_are_those_of_the_formula() {
    crate::numeric::float_env::set_default();
    let folder = tempfile::tempdir().unwrap();
    let (_, config, memory) = fixture("llama3");
    let hf = opened(&write_fixture(folder.path(), "llama3"));
    let turns = &hf.weights(Precision::Grouped).unwrap().turns[0];
    let plain = crate::numeric::rope::turns(config.ropes[0].base, config.head_dim / 2);
    let factors: Vec<f32> = plain.iter().zip(turns).map(|(a, b)| (*a as f64 / *b as f64) as f32).collect();
    assert!(factors.iter().any(|f| *f != 1.0) && factors.contains(&1.0), "{factors:?}");
    let mut tensors = as_gguf("llama3", &config, &memory);
    tensors.0.insert("rope_freqs.weight".into(), (vec![factors.len() as u64], factors.clone()));
    let path = folder.path().join("llama3.gguf");
    write(&path, Format::Gguf, &gguf_keys("llama", &config), &tensors);
    let model = opened(&path);
    for (a, b) in model.weights(Precision::Grouped).unwrap().turns[0].iter().zip(turns) {
        assert!(a.abs_diff(*b) <= (b >> 22) + 1, "{a} {b}");
    }
    let worst = logits(&model, Precision::F32)
        .concat()
        .iter()
        .zip(logits(&hf, Precision::F32).concat())
        .fold(0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(worst < 1e-3, "{worst}");
    for bad in [0.0, -1.0, f32::MIN_POSITIVE / 2.0] {
        tensors.0.get_mut("rope_freqs.weight").unwrap().1[1] = bad;
        write(&path, Format::Gguf, &gguf_keys("llama", &config), &tensors);
        assert!(error(&path).message().contains("rope_freqs.weight"));
    }
}

#[test]
fn tokenizers_come_from_the_metadata_or_from_beside() {
    let folder = tempfile::tempdir().unwrap();
    let (_, config, memory) = fixture("llama");
    let tensors = as_gguf("llama", &config, &memory);
    let path = folder.path().join("model.gguf");
    let tokens = |path: &Path| -> Result<Vec<u32>> {
        let model = Opened::open(path)?;
        let mut tokens = vec![];
        model.tokenizer()?.unwrap().encode(b"the Moth", &mut tokens)?;
        Ok(tokens)
    };
    let mut keys = gguf_keys("llama", &config);
    write(&path, Format::Gguf, &keys, &tensors);
    let e = tokens(&path).unwrap_err();
    assert!(e.status() == Status::Model && e.message().contains("no tokenizer"), "{e}");
    tokenizer_keys(&mut keys, config.vocab);
    for format in [Format::Gguf, Format::Apr, Format::Safetensors] {
        write(&path, format, &keys, &tensors);
        assert_eq!(tokens(&path).unwrap(), [55, 11, 54, 26, 31, 55], "{}", format.name());
    }
    for n in [config.vocab - 1, config.vocab + 1] {
        let mut keys = gguf_keys("llama", &config);
        tokenizer_keys(&mut keys, n);
        write(&path, Format::Gguf, &keys, &tensors);
        let e = error(&path);
        assert!(e.message().contains(&format!("{n} tokens, the embedding {} rows", config.vocab)), "{e}");
    }
    // A tokenizer.json that does not belong to the model, and one that is none.
    let path = write_fixture(folder.path(), "llama");
    let beside = folder.path().join("tokenizer.json");
    std::fs::write(&beside, include_str!("../../../../tests/data/tokenizers/llama2.json")).unwrap();
    let e = error(&path);
    assert!(e.message().contains("tokenizer.json") && e.message().contains("rows"), "{e}");
    std::fs::write(&beside, "{").unwrap();
    assert!(error(&path).message().contains("tokenizer.json"));
}

#[test]
fn what_a_file_lacks_or_has_too_much_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (_, config, memory) = fixture("gemma3");
    let (keys, tensors) = (gguf_keys("gemma3", &config), as_gguf("gemma3", &config, &memory));
    let path = folder.path().join("model.gguf");
    for (name, (shape, values)) in &tensors.0 {
        let mut without = tensors.clone();
        without.0.remove(name);
        write(&path, Format::Gguf, &keys, &without);
        assert!(error(&path).message().contains(&format!("{name} is missing")), "{name}");
        // Another width: an embedding with more rows is one of a larger vocabulary.
        let mut wider = (shape.clone(), values.clone());
        *wider.0.last_mut().unwrap() += 1;
        wider.1.extend(vec![0.5; (wider.0.iter().product::<u64>() as usize) - values.len()]);
        without.0.insert(name.clone(), wider);
        write(&path, Format::Gguf, &keys, &without);
        let e = error(&path);
        assert!(e.message().contains(name) && e.message().contains("shape"), "{name}: {e}");
    }
    let with = |name: &str, dtype: DType| {
        let mut writer = TensorWriter::create(&path, Format::Gguf, &keys).unwrap();
        for (other, (shape, values)) in tensors.0.iter().filter(|(other, _)| *other != name) {
            writer.add_f32(other, DType::F32, shape, values).unwrap();
        }
        let shape = &tensors.0.get(name).map_or(vec![3], |(shape, _)| shape.clone());
        writer.add(name, dtype, shape, &vec![1; dtype.bytes(shape).unwrap() as usize]).unwrap();
        writer.finish().unwrap();
        error(&path)
    };
    assert!(with("blk.1.attn_q.bias", DType::F32).message().contains("blk.1.attn_q.bias is not supported"));
    let e = with("blk.1.attn_q.weight", DType::I8);
    assert!(e.message().contains("blk.1.attn_q.weight") && e.message().contains(".scale"), "{e}");
    // A type that is not read: its number in the file is changed to that of F64.
    write(&path, Format::Gguf, &keys, &tensors);
    let mut bytes = std::fs::read(&path).unwrap();
    let name = b"blk.0.attn_norm.weight";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap() + name.len() + 4 + 8;
    bytes[at..at + 4].copy_from_slice(&28u32.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let e = error(&path);
    assert!(e.message().contains("blk.0.attn_norm.weight") && e.message().contains("F64"), "{e}");
}

#[test]
fn keys_of_gguf_files_are_checked_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let number = |n: u32| Some(Value::U32(n));
    let text = |t: &str| Some(Value::Text(t.into()));
    for (name, key, value, named) in [
        ("gemma3", "general.architecture", text("bert"), "bert"),
        ("gemma3", "general.architecture", number(1), "general.architecture"),
        ("gemma3", "gemma3.block_count", None, "gemma3.block_count"),
        ("gemma3", "gemma3.block_count", number(0), "gemma3.block_count"),
        ("gemma3", "gemma3.block_count", text("2"), "gemma3.block_count"),
        ("gemma3", "gemma3.context_length", number(0), "gemma3.context_length"),
        ("gemma3", "gemma3.embedding_length", number(72), "width of the model"),
        ("gemma3", "gemma3.embedding_length", number(u32::MAX), "gemma3.embedding_length"),
        ("gemma3", "gemma3.feed_forward_length", None, "gemma3.feed_forward_length"),
        ("gemma3", "gemma3.attention.head_count", number(3), "3 query heads do not divide"),
        ("gemma3", "gemma3.attention.head_count", None, "gemma3.attention.head_count"),
        ("gemma3", "gemma3.attention.key_length", number(24), "24"),
        ("gemma3", "gemma3.attention.value_length", number(16), "gemma3.attention.value_length"),
        ("gemma3", "gemma3.attention.sliding_window", None, "gemma3.attention.sliding_window"),
        ("gemma3", "gemma3.attention.sliding_window_pattern", number(0), "sliding_window_pattern"),
        ("gemma3", "gemma3.attention.layer_norm_rms_epsilon", Some(Value::F32(-1.0)), "rms_epsilon"),
        ("gemma3", "gemma3.attention.layer_norm_rms_epsilon", Some(Value::F32(f32::NAN)), "rms_epsilon"),
        ("gemma3", "gemma3.rope.freq_base", Some(Value::F32(0.5)), "freq_base"),
        ("gemma3", "gemma3.rope.scaling.type", text("yarn"), "yarn"),
        ("gemma3", "gemma3.final_logit_softcapping", Some(Value::F32(30.0)), "final_logit_softcapping"),
        ("gemma3", "gemma3.expert_count", number(8), "gemma3.expert_count"),
        ("gemma3", "gemma3.vocab_size", number(81), "gemma3.vocab_size"),
        ("llama", "llama.attention.sliding_window", number(4), "llama.attention.sliding_window"),
        ("llama", "llama.rope.dimension_count", number(8), "llama.rope.dimension_count"),
        ("llama", "llama.rope.freq_base_swa", Some(Value::F32(1e4)), "freq_base_swa"),
        ("llama", "llama.attention.head_count_kv", Some(Value::Array(Array::U32(vec![2, 2]))), "head_count_kv"),
    ] {
        let (_, config, memory) = fixture(name);
        let (mut keys, tensors) = (gguf_keys(name, &config), as_gguf(name, &config, &memory));
        match value {
            Some(value) => keys.set(key, value).unwrap(),
            None => assert!(keys.remove(key), "{key}"),
        }
        write(&path, Format::Gguf, &keys, &tensors);
        let e = error(&path);
        assert!(e.message().contains(named) && e.message().contains("model.gguf"), "{key}: {e}");
    }
}

#[test]
fn files_that_are_no_language_models_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some");
    let mut tensors = Memory::default();
    tensors.0.insert("x".into(), (vec![2], vec![1.0, 2.0]));
    for format in [Format::Gguf, Format::Apr] {
        write(&path, format, &Metadata::default(), &tensors);
        assert!(error(&path).message().contains("not a language model"));
    }
    write(&path, Format::Safetensors, &Metadata::default(), &tensors);
    error(&path);
    for bytes in [&b"GGUF"[..], b"APR\0", b"APR1....", b"", b"GG"] {
        std::fs::write(&path, bytes).unwrap();
        error(&path);
    }
    assert_eq!(Opened::open(&folder.path().join("none")).unwrap_err().status(), Status::Io);
    assert_eq!(Opened::open(folder.path()).unwrap_err().status(), Status::Io);
}
