//! Tokenizers: hostile `tokenizer.json` files and GGUF metadata, and any text. What is encoded comes back.
//!
//! An input is a description and a text, with a zero byte between them. A description is a `tokenizer.json`; or, after
//! a `G`, GGUF metadata as a JSON object without the prefix of the keys; or one letter for a tokenizer of the tests.
#![no_main]

use std::collections::HashMap;
use std::sync::LazyLock;

use gptz::error::Result;
use gptz::text::{Metadata, NO_TOKEN, Tokenizer};
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
    names.into_iter().map(&mut byte_level).chain(SMALL[1..].iter().copied().map(read)).collect()
});

struct Gguf(HashMap<String, Value>);

impl Gguf {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key.strip_prefix("tokenizer.ggml.")?)
    }

    fn each<T>(
        &self,
        key: &str,
        convert: impl Fn(&Value) -> Option<T>,
        mut take: impl FnMut(T) -> Result<()>,
    ) -> Result<bool> {
        let Some(list) = self.get(key).and_then(Value::as_array) else { return Ok(false) };
        list.iter().filter_map(convert).try_for_each(&mut take).map(|()| true)
    }
}

impl Metadata for Gguf {
    fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }
    fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.as_u64()
    }
    fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }
    fn each_text(&self, key: &str, take: &mut dyn FnMut(&str) -> Result<()>) -> Result<bool> {
        self.each(key, |x| Some(x.as_str()?.to_owned()), |x| take(&x))
    }
    fn each_number(&self, key: &str, take: &mut dyn FnMut(i64) -> Result<()>) -> Result<bool> {
        self.each(key, Value::as_i64, take)
    }
    fn each_float(&self, key: &str, take: &mut dyn FnMut(f32) -> Result<()>) -> Result<bool> {
        self.each(key, |x| Some(x.as_f64()? as f32), take)
    }
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
            assert!(back == text, "decoding gives the text");
            assert!(tokens.iter().all(|token| vocabulary.kind(*token).is_text()));
        }
        Err(e) => assert!(!is_whole || e.message().contains("no token") || e.message().contains("steps"), "{e}"),
    }
}

fuzz_target!(|input: &[u8]| {
    let cut = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (description, text) = (&input[..cut], input.get(cut + 1..).unwrap_or(b""));
    let tokenizer = match description {
        [letter] => return check(&TOKENIZERS[usize::from(*letter) % TOKENIZERS.len()], text),
        [b'G', json @ ..] => match serde_json::from_slice(json) {
            Ok(metadata) => Tokenizer::from_gguf(&Gguf(metadata)),
            Err(_) => return,
        },
        json => Tokenizer::from_json(json),
    };
    if let Ok(tokenizer) = tokenizer {
        check(&tokenizer, text);
    }
});
