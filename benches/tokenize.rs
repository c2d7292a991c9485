//! Encoding text by each kind of tokenizer.
//!
//! `cargo bench --bench tokenize` measures the small tokenizers of the tests. Arguments after `--` that name a
//! `tokenizer.json` or a text measure those: `cargo bench --bench tokenize -- llama3/tokenizer.json lcet10.txt`. Small
//! vocabularies make more tokens, and take more time for a word that occurs for the first time.

use std::hint::black_box;
use std::time::{Duration, Instant};

use gptz::text::Tokenizer;

const ALICE: &[u8] = include_bytes!("../tests/data/alice29.txt");
const SMALL: [(&str, &[u8]); 4] = [
    ("byte-level", include_bytes!("../tests/data/tokenizers/byte-level.json")),
    ("gemma", include_bytes!("../tests/data/tokenizers/gemma.json")),
    ("llama2", include_bytes!("../tests/data/tokenizers/llama2.json")),
    ("unigram", include_bytes!("../tests/data/tokenizers/unigram.json")),
];

/// The least time of several calls.
fn fastest(mut call: impl FnMut()) -> Duration {
    let (start, mut best) = (Instant::now(), Duration::MAX);
    for n in 0.. {
        if n >= 5 && start.elapsed() > Duration::from_millis(700) {
            break;
        }
        let before = Instant::now();
        call();
        best = best.min(before.elapsed());
    }
    best
}

fn measure(name: &str, tokenizer: &Tokenizer, file: &str, text: &[u8]) {
    let mut tokens = Vec::new();
    let encoding = fastest(|| {
        tokens.clear();
        tokenizer.encode_exact(black_box(text), &mut tokens).unwrap();
    });
    let mut back = Vec::new();
    let decoding = fastest(|| {
        back.clear();
        tokenizer.decode(black_box(&tokens), &mut back).unwrap_or_default();
    });
    let speed = |time: Duration| text.len() as f64 / 1e6 / time.as_secs_f64();
    let n = tokens.len();
    println!(
        "{name}, {file} ({} bytes): {n} tokens, encode {:.1} MB/s, decode {:.0} MB/s",
        text.len(),
        speed(encoding),
        speed(decoding)
    );
    if tokenizer.normalises() {
        let encoding = fastest(|| {
            tokens.clear();
            tokenizer.encode(black_box(text), &mut tokens).unwrap();
        });
        println!("{name}, {file}: with normalisation, encode {:.1} MB/s", speed(encoding));
    }
}

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let read = |path: &String| (path.clone(), std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}")));
    let (json, texts): (Vec<_>, Vec<_>) = paths.iter().map(read).partition(|(path, _)| path.ends_with(".json"));
    let small = SMALL.map(|(name, json)| (name.to_owned(), json.to_owned()));
    let json = if json.is_empty() { small.to_vec() } else { json };
    let texts = if texts.is_empty() { vec![("alice29.txt".to_owned(), ALICE.to_owned())] } else { texts };
    for (name, json) in &json {
        let start = Instant::now();
        let tokenizer = Tokenizer::from_json(json).unwrap_or_else(|e| panic!("{name}: {e}"));
        println!("{name}: read in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
        texts.iter().for_each(|(file, text)| measure(name, &tokenizer, file, text));
    }
}
