//! Tokenizers: hostile `tokenizer.json` files and GGUF metadata, and any text. What is encoded comes back.
//!
//! An input is a description and a text, with a zero byte between them. A description is a `tokenizer.json`; or, after
//! a `G`, GGUF metadata as a JSON object without the prefix of the keys; or one letter for a tokenizer of the tests.
#![no_main]

use std::collections::HashMap;
use std::sync::LazyLock;

use gptz::text::{NO_TOKEN, Tokenizer};
use gptz::weights::Metadata;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const SMALL: [&[u8]; 4] = [
    include_bytes!("../../tests/data/tokenizers/byte-level.json"),
    include_bytes!("../../tests/data/tokenizers/gemma.json"),
    include_bytes!("../../tests/data/tokenizers/llama2.json"),
    include_bytes!("../../tests/data/tokenizers/unigram.json"),
];

/// The small tokenizers of the tests; the byte-level one with each of its pre-tokenisers.
static TOKENIZERS: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    let read = |json: &[u8]| Tokenizer::from_json(json).expect("a tokenizer of the tests");
    let mut base: Value = serde_json::from_slice(SMALL[0]).expect("JSON");
    let pre = include_str!("../../tests/data/tokenizers/pre-tokenizers.json");
    let pre: HashMap<String, Value> = serde_json::from_str(pre).expect("JSON");
    let mut names: Vec<_> = pre.keys().collect();
    names.sort();
    let mut byte_level = |name: &String| {
        base["pre_tokenizer"] = pre[name]["pre_tokenizer"].clone();
        read(base.to_string().as_bytes())
    };
    let mut all: Vec<_> = names.into_iter().map(&mut byte_level).chain(SMALL[1..].iter().copied().map(read)).collect();
    // Normalisation of both kinds.
    let charsmap: Value = serde_json::from_str(include_str!("../../tests/data/tokenizers/charsmap.json")).expect("JSON");
    let mut unigram: Value = serde_json::from_slice(SMALL[3]).expect("JSON");
    unigram["normalizer"] = charsmap;
    all.push(read(unigram.to_string().as_bytes()));
    let metaspace = unigram["pre_tokenizer"].take();
    let words = serde_json::json!([{"type": "WhitespaceSplit"}, metaspace]);
    unigram["pre_tokenizer"] = serde_json::json!({"type": "Sequence", "pretokenizers": words});
    all.push(read(unigram.to_string().as_bytes()));
    all
});

/// Metadata of a JSON object without the prefix of the keys and without types: numbers are i64 or f32.
fn metadata(object: HashMap<String, Value>) -> Option<Metadata> {
    let typed = |(key, value): (String, Value)| {
        let kind = match value.as_array().map_or(&value, |list| list.first().unwrap_or(&Value::Null)) {
            Value::Bool(_) => "bool",
            Value::Number(_) if key == "precompiled_charsmap" => "u8",
            Value::Number(n) if n.is_f64() || key == "scores" => "f32",
            Value::Number(_) => "i64",
            _ => "string",
        };
        (format!("tokenizer.ggml.{key}"), serde_json::json!({ kind: value }))
    };
    let all: serde_json::Map<String, Value> = object.into_iter().map(typed).collect();
    Metadata::from_json(Value::Object(all).to_string().as_bytes()).ok()
}

fn check(tokenizer: &Tokenizer, text: &[u8]) {
    let mut tokens = vec![];
    // A pattern of the file may take too many steps.
    if tokenizer.encode_exact(text, &mut tokens).is_err() {
        return;
    }
    let vocabulary = tokenizer.vocabulary();
    let bytes = tokens.iter().flat_map(|token| match token.checked_sub(NO_TOKEN) {
        Some(byte) => vec![byte as u8],
        None => vocabulary.bytes(*token).to_vec(),
    });
    assert!(bytes.eq(text.iter().copied()), "the bytes of the tokens are those of the text");
    let is_whole = tokens.iter().all(|token| *token < NO_TOKEN);
    let (mut tokens, mut back) = (vec![], vec![]);
    match tokenizer.encode(text, &mut tokens) {
        Ok(()) => {
            tokenizer.decode(&tokens, &mut back).expect("tokens of the vocabulary");
            assert!(back == text || tokenizer.normalises(), "decoding gives the text");
            assert!(tokens.iter().all(|token| vocabulary.kind(*token).is_text()));
        }
        Err(e) => assert!(!is_whole || tokenizer.normalises() || e.message().contains("no token") || e.message().contains("steps"), "{e}"),
    }
}

fuzz_target!(|input: &[u8]| {
    let cut = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (description, text) = (&input[..cut], input.get(cut + 1..).unwrap_or(b""));
    let tokenizer = match description {
        [letter] => return check(&TOKENIZERS[usize::from(*letter) % TOKENIZERS.len()], text),
        [b'G', json @ ..] => match serde_json::from_slice(json) {
            Ok(object) => match metadata(object) {
                Some(metadata) => Tokenizer::from_gguf(&metadata),
                None => return,
            },
            Err(_) => return,
        },
        json => Tokenizer::from_json(json),
    };
    if let Ok(tokenizer) = tokenizer {
        check(&tokenizer, text);
    }
});
