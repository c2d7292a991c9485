//! Tokenizers against the library `tokenizers`: tests/reference/make_tokenizer_fixture.py makes the fixture and describes
//! it.

use std::collections::HashMap;

use gptz::error::Status;
use gptz::text::{Kind, NO_TOKEN, Tokenizer};
use gptz::weights::Metadata;
use serde_json::Value;

const SCRIPT: &str = include_str!("reference/make_tokenizer_fixture.py");
const HASHES: &str = include_str!("data/tokenizers/hashes.txt");
const BYTE_LEVEL: &str = include_str!("data/tokenizers/byte-level.json");
const PRE_TOKENIZERS: &str = include_str!("data/tokenizers/pre-tokenizers.json");
const GEMMA: &str = include_str!("data/tokenizers/gemma.json");
const LLAMA2: &str = include_str!("data/tokenizers/llama2.json");
const UNIGRAM: &str = include_str!("data/tokenizers/unigram.json");
const CHARSMAP: &str = include_str!("data/tokenizers/charsmap.json");
const CHARSMAP_HASHES: &str = include_str!("data/tokenizers/charsmap.txt");

/// SplitMix64, as in the script.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// The ranges of characters and the snippets of the script.
struct Alphabet {
    ranges: Vec<(u32, u32)>,
    snippets: Vec<String>,
}

impl Alphabet {
    /// Reads them from the script, so that there is one list of them.
    fn new() -> Self {
        let body = |name: &str| SCRIPT.split_once(name).unwrap().1.split_once("\n]").unwrap().0.replace('\n', " ");
        let mut ranges = vec![];
        for part in body("\nRANGES = [").split('(').skip(1) {
            let (numbers, rest) = part.split_once(')').unwrap();
            let mut numbers = numbers.split(", ").map(|n| u32::from_str_radix(n.trim_start_matches("0x"), 16).unwrap());
            let range = (numbers.next().unwrap(), numbers.next().unwrap());
            let times =
                rest.split_once("] * ").map_or(1, |(_, n)| n.split(',').next().unwrap().trim().parse().unwrap());
            ranges.extend(std::iter::repeat_n(range, times));
        }
        let python =
            body("\nSNIPPETS = [").replace("\\U0001f469", "\\ud83d\\udc69").replace("\\U0001f4bb", "\\ud83d\\udcbb");
        let python = python.replace("\\0", "\\u0000");
        let json = format!("[{}]", python.trim().trim_end_matches(','));
        Self { ranges, snippets: serde_json::from_str(&json).unwrap() }
    }

    fn string(&self, seed: u64) -> Vec<u8> {
        let mut random = Random(seed);
        let mut text = String::new();
        for _ in 0..random.below(20) {
            if random.below(4) == 0 {
                text.push_str(&self.snippets[random.below(self.snippets.len())]);
                continue;
            }
            let (low, high) = self.ranges[random.below(self.ranges.len())];
            for _ in 0..1 + random.below(8) {
                text.push(char::from_u32(low + random.below((high - low + 1) as usize) as u32).unwrap());
            }
        }
        let mut bytes = text.into_bytes();
        let damage = random.below(8);
        if !bytes.is_empty() && damage < 3 {
            let at = random.below(bytes.len());
            match damage {
                0 => drop(bytes.remove(at)),
                1 => bytes.truncate(at),
                _ => bytes.insert(at, random.below(256) as u8),
            }
        }
        bytes
    }
}

/// A tokenizer of the fixture by its name in `hashes.txt`.
fn tokenizer(name: &str) -> Tokenizer {
    let json = match name {
        "gemma" => GEMMA.to_owned(),
        "llama2" => LLAMA2.to_owned(),
        "unigram" => UNIGRAM.to_owned(),
        name => {
            let mut json: Value = serde_json::from_str(BYTE_LEVEL).unwrap();
            let all: Value = serde_json::from_str(PRE_TOKENIZERS).unwrap();
            json["pre_tokenizer"] = all[name]["pre_tokenizer"].clone();
            json["model"]["ignore_merges"] = all[name]["ignore_merges"].clone();
            json.to_string()
        }
    };
    Tokenizer::from_json(json.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn encoded(tokenizer: &Tokenizer, text: &[u8]) -> Vec<u32> {
    let mut tokens = vec![];
    tokenizer.encode(text, &mut tokens).unwrap();
    tokens
}

fn decoded(tokenizer: &Tokenizer, tokens: &[u32]) -> Vec<u8> {
    let mut text = vec![];
    tokenizer.decode(tokens, &mut text).unwrap();
    text
}

#[test]
fn tokens_are_those_of_the_oracle_and_every_string_comes_back() {
    let alphabet = Alphabet::new();
    let strings: Vec<Vec<u8>> = (0..10_000).map(|seed| alphabet.string(seed)).collect();
    assert!(strings.iter().filter(|s| std::str::from_utf8(s).is_err()).count() > 1000);
    assert_eq!(HASHES.lines().count(), 15);
    for line in HASHES.lines() {
        let mut fields = line.split(' ');
        let name = fields.next().unwrap();
        let tokenizer = tokenizer(name);
        let hashes: Vec<&str> = fields.collect();
        assert_eq!(hashes.len(), 100);
        for (block, (strings, expected)) in strings.chunks(100).zip(hashes).enumerate() {
            let mut hash = 0xcbf2_9ce4_8422_2325u64;
            for string in strings {
                let tokens = encoded(&tokenizer, string);
                assert_eq!(&decoded(&tokenizer, &tokens), string, "{name}");
                assert!(tokens.iter().all(|t| tokenizer.vocabulary().kind(*t).is_text()));
                for token in tokens.into_iter().chain([u32::MAX]) {
                    hash = (hash ^ u64::from(token)).wrapping_mul(0x100_0000_01b3);
                }
            }
            assert_eq!(format!("{hash:016x}"), expected, "{name}, strings {}..", block * 100);
        }
    }
}

/// The tokens of real tokenizers. The variable names the directory that the script made with `--real`.
#[test]
#[ignore = "needs GPTZ_REAL_TOKENIZERS"]
fn tokens_of_real_tokenizers_are_those_of_the_oracle() {
    let dir = std::env::var("GPTZ_REAL_TOKENIZERS").expect("GPTZ_REAL_TOKENIZERS");
    let alphabet = Alphabet::new();
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        let mut words = bytes.as_slice();
        let mut word = || words.split_off(..4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).unwrap();
        let len = word() as usize;
        let path = std::str::from_utf8(&bytes[4..4 + len]).unwrap();
        words = &bytes[4 + len..];
        let mut word = || words.split_off(..4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).unwrap();
        let content = std::fs::read(path).unwrap();
        let read = match path.ends_with(".gguf") {
            true => Tokenizer::from_gguf(&Gguf::read(&content).metadata()),
            false => Tokenizer::from_json(&content),
        };
        let tokenizer = read.unwrap_or_else(|e| panic!("{path}: {e}"));
        println!("{path}: {} tokens", tokenizer.vocabulary().len());
        let mut lacking = 0;
        for seed in 0..10_000 {
            let string = alphabet.string(seed);
            let n = word();
            let expected: Vec<u32> = (0..n).map(|_| word()).collect();
            let mut found = vec![];
            tokenizer.encode_exact(&string, &mut found).unwrap();
            // The oracle leaves out bytes without a token, and may then merge what was around them.
            if found.iter().any(|token| *token >= NO_TOKEN) {
                lacking += 1;
                continue;
            }
            found = encoded(&tokenizer, &string);
            assert_eq!(found, expected, "{path}, string {seed}: {:?}", String::from_utf8_lossy(&string));
            assert_eq!(decoded(&tokenizer, &found), string);
        }
        println!("{lacking} strings have bytes without a token");
        assert!(lacking < 3000);
    }
}

/// The metadata of a GGUF file.
#[derive(Default)]
struct Gguf(HashMap<String, Value>);

impl Gguf {
    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(format!("tokenizer.ggml.{key}"), value.into());
        self
    }

    /// The metadata of a file of version 2 or 3 that is not damaged.
    fn read(file: &[u8]) -> Self {
        fn take<'a>(file: &mut &'a [u8], n: usize) -> &'a [u8] {
            file.split_off(..n).unwrap()
        }
        fn number(file: &mut &[u8], bytes: usize) -> u64 {
            take(file, bytes).iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte))
        }
        fn text(file: &mut &[u8]) -> String {
            let n = number(file, 8) as usize;
            String::from_utf8(take(file, n).to_vec()).unwrap()
        }
        fn value(file: &mut &[u8], kind: u64) -> Value {
            match kind {
                0 => number(file, 1).into(),
                1 => (number(file, 1) as i8).into(),
                2 => number(file, 2).into(),
                3 => (number(file, 2) as i16).into(),
                4 => number(file, 4).into(),
                5 => (number(file, 4) as i32).into(),
                6 => f32::from_bits(number(file, 4) as u32).into(),
                7 => (number(file, 1) != 0).into(),
                8 => text(file).into(),
                9 => {
                    let (kind, n) = (number(file, 4), number(file, 8));
                    (0..n).map(|_| value(file, kind)).collect()
                }
                10 => number(file, 8).into(),
                11 => (number(file, 8) as i64).into(),
                kind => panic!("the fixture has the type {kind}"),
            }
        }
        let mut file = &file[16..];
        let n = number(&mut file, 8);
        let mut entry = || {
            let key = text(&mut file);
            let kind = number(&mut file, 4);
            (key, value(&mut file, kind))
        };
        Self((0..n).map(|_| entry()).collect())
    }

    /// As a reader of tensor files gives them. Numbers with a fraction are f32, as in files; null is NaN.
    fn metadata(&self) -> Metadata {
        let typed = |(key, value): (&String, &Value)| {
            let mut value = value.clone();
            let items = value.as_array_mut().map_or(&mut [][..], |list| &mut list[..]);
            items.iter_mut().filter(|x| x.is_null()).for_each(|x| *x = "nan".into());
            let kind = match value.as_array().map_or(&value, |list| list.last().unwrap_or(&Value::Null)) {
                Value::Bool(_) => "bool",
                Value::Number(n) if n.is_f64() || key.ends_with(".scores") => "f32",
                Value::Number(_) => "i64",
                _ => "string",
            };
            (key.clone(), serde_json::json!({ kind: value }))
        };
        let all: serde_json::Map<String, Value> = self.0.iter().map(typed).collect();
        Metadata::from_json(Value::Object(all).to_string().as_bytes()).unwrap()
    }

    /// The metadata that a converter makes from a `tokenizer.json`.
    fn from_json(json: &str, model: &str) -> Self {
        let json: Value = serde_json::from_str(json).unwrap();
        let mut tokens: Vec<(u64, String)> = match &json["model"]["vocab"] {
            Value::Object(map) => map.iter().map(|(name, id)| (id.as_u64().unwrap(), name.clone())).collect(),
            list => {
                let names = list.as_array().unwrap().iter().map(|piece| piece[0].as_str().unwrap().to_owned());
                (0..).zip(names).collect()
            }
        };
        tokens.sort();
        assert!((0..).zip(&tokens).all(|(i, (id, _))| i == *id), "numbers without holes");
        let special = |name: &str| {
            let mut all = json["added_tokens"].as_array().unwrap().iter();
            all.find(|added| added["content"] == *name).map(|added| added["special"].as_bool().unwrap())
        };
        let is_byte = |name: &str| model != "gpt2" && name.starts_with("<0x") && name.len() == 6;
        let kind = |name: &str| match special(name) {
            _ if name == "<unk>" && model != "gpt2" => 2,
            Some(true) => 3,
            Some(false) => 4,
            None if is_byte(name) => 6,
            None => 1,
        };
        let kinds: Vec<i32> = tokens.iter().map(|(_, name)| kind(name)).collect();
        let scores: Vec<f64> = match json["model"]["vocab"].as_array() {
            Some(list) => list.iter().map(|piece| piece[1].as_f64().unwrap()).collect(),
            None => tokens.iter().map(|(id, _)| -(*id as f64)).collect(),
        };
        let merges: Vec<String> = match json["model"]["merges"].as_array() {
            Some(list) => {
                list.iter().map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap())).collect()
            }
            None => vec![],
        };
        let names: Vec<String> = tokens.into_iter().map(|(_, name)| name).collect();
        let gguf = Self::default().with("model", model).with("tokens", names).with("token_type", kinds);
        if model == "gpt2" { gguf.with("merges", merges) } else { gguf.with("scores", scores) }
    }
}

#[test]
fn a_gguf_file_gives_the_tokens_of_the_json_that_it_was_made_from() {
    let names = [
        ("gpt2", "gpt-2"),
        ("llama3", "llama-bpe"),
        ("qwen2", "qwen2"),
        ("qwen35", "qwen35"),
        ("gpt4o", "gpt-4o"),
        ("tekken", "tekken"),
        ("deepseek-v3", "deepseek-v3"),
        ("smollm", "smollm"),
    ];
    let mut pairs: Vec<(Tokenizer, Gguf)> = names
        .iter()
        .map(|(json, pre)| (tokenizer(json), Gguf::from_json(BYTE_LEVEL, "gpt2").with("pre", *pre)))
        .collect();
    pairs.push((tokenizer("gemma"), Gguf::from_json(GEMMA, "llama").with("add_space_prefix", false)));
    pairs.push((tokenizer("llama2"), Gguf::from_json(LLAMA2, "llama").with("bos_token_id", 1)));
    pairs.push((tokenizer("unigram"), Gguf::from_json(UNIGRAM, "t5")));
    let alphabet = Alphabet::new();
    for (i, (json, gguf)) in pairs.iter().enumerate() {
        let gguf = Tokenizer::from_gguf(&gguf.metadata()).unwrap();
        assert_eq!(gguf.vocabulary().len(), json.vocabulary().len());
        for token in 0..gguf.vocabulary().len() as u32 {
            let look = |t: &Tokenizer| (t.vocabulary().kind(token), t.vocabulary().name(token).to_owned());
            assert_eq!(look(&gguf), look(json));
        }
        for string in (0..2000).map(|seed| alphabet.string(seed)) {
            let (a, b) = (encoded(json, &string), encoded(&gguf, &string));
            assert_eq!(a, b, "{i} {}", String::from_utf8_lossy(&string));
        }
    }
    let llama2 = Tokenizer::from_gguf(&pairs[9].1.metadata()).unwrap();
    assert_eq!((llama2.bos(), llama2.adds_bos(), llama2.adds_eos()), (Some(1), true, false));
    assert_eq!((pairs[9].0.bos(), pairs[9].0.adds_bos(), pairs[9].0.eos()), (Some(1), true, None));
}

/// All tokenizers of the fixture.
fn all() -> impl Iterator<Item = (&'static str, Tokenizer)> {
    HASHES.lines().map(|line| line.split(' ').next().unwrap()).map(|name| (name, tokenizer(name)))
}

/// Encodes a text, checks that it comes back, and that the bytes of the exact tokens are the text.
fn check_round_trip(tokenizer: &Tokenizer, text: &[u8]) {
    let tokens = encoded(tokenizer, text);
    assert!(tokens.len() <= text.len() + 1);
    assert!(decoded(tokenizer, &tokens) == text);
    let mut exact = vec![7];
    tokenizer.encode_exact(text, &mut exact).unwrap();
    let bytes = exact[1..].iter().flat_map(|token| tokenizer.vocabulary().bytes(*token));
    assert!(exact[0] == 7 && bytes.copied().eq(text.iter().copied()));
}

#[test]
fn any_bytes_come_back() {
    let mut random = Random(5);
    let every: Vec<u8> = (0..=255).collect();
    for (_, tokenizer) in all() {
        check_round_trip(&tokenizer, b"");
        check_round_trip(&tokenizer, &every);
        (0..=255).for_each(|byte| check_round_trip(&tokenizer, &[byte]));
        for n in 0..300 {
            // Few different bytes, so that words are seen twice and sequences are often valid.
            let near = [b' ', b'a', b'\n', 0xe2, 0x96, 0x81, 0xf0, 0x9f, 0x80, b'\'', b's', b'0'];
            let text: Vec<u8> = (0..n)
                .map(|_| if random.below(4) > 0 { near[random.below(near.len())] } else { random.below(256) as u8 })
                .collect();
            check_round_trip(&tokenizer, &text);
        }
        for text in ["\u{2581}", " \u{2581} ", " ", "  ", "   a", "ing ing \n\n", "<table>  <table>", "\n\n"] {
            check_round_trip(&tokenizer, text.as_bytes());
        }
    }
}

/// Long words, for which a quadratic algorithm takes minutes.
#[test]
fn long_words_of_hostile_texts_come_back() {
    let n = if cfg!(debug_assertions) { 100_000 } else { 400_000 };
    for name in ["gpt2", "none", "gpt4o", "gemma", "llama2", "unigram"] {
        let tokenizer = tokenizer(name);
        for unit in ["a", "ab", "the", "\n", " ", "漢", "\u{301}", "A一", "\u{2581}", "'", "<table", "ing"] {
            check_round_trip(&tokenizer, unit.repeat(n / unit.len()).as_bytes());
        }
        check_round_trip(&tokenizer, &vec![0x80; n]);
        check_round_trip(&tokenizer, &vec![0xff; n]);
    }
}

#[test]
fn words_that_are_copied_have_the_tokens_of_words_that_are_not() {
    let alphabet = Alphabet::new();
    for (name, tokenizer) in all() {
        // The second half of the text is copied from the first. Line ends keep the words of the two apart.
        let text: Vec<u8> = (0..300).flat_map(|seed| [alphabet.string(seed), b"\n|\n".to_vec()].concat()).collect();
        let mut once = vec![];
        tokenizer.encode_exact(&text, &mut once).unwrap();
        let mut twice = vec![];
        tokenizer.encode_exact(&[&text[..], &text].concat(), &mut twice).unwrap();
        if name != "none" {
            assert!(twice == [&once[..], &once].concat(), "{name}");
        }
    }
}

#[test]
fn control_tokens_come_only_from_their_numbers() {
    for (name, special) in [("gpt2", "<|endoftext|>"), ("gemma", "<s>"), ("llama2", "</s>"), ("unigram", "<unk>")] {
        let tokenizer = tokenizer(name);
        let vocabulary = tokenizer.vocabulary();
        let ids = 0..vocabulary.len() as u32;
        let id =
            ids.into_iter().find(|id| vocabulary.name(*id) == special.as_bytes() && !vocabulary.kind(*id).is_text());
        let id = id.unwrap_or_else(|| panic!("{name}"));
        assert_eq!(vocabulary.kind(id), if special == "<unk>" { Kind::Unknown } else { Kind::Control });
        let tokens = encoded(&tokenizer, special.as_bytes());
        assert!(tokens.len() > 1 && !tokens.contains(&id));
        assert_eq!(vocabulary.bytes(id), b"");
        // It has no bytes, and does not hide the first space of a text.
        let text = [&[id][..], &encoded(&tokenizer, b" a"), &[id]].concat();
        assert_eq!(decoded(&tokenizer, &text), b" a", "{name}");
    }
}

#[test]
fn user_defined_tokens_are_matched_first_and_the_longest_of_them() {
    let json = |added: &str| {
        let mut json: Value = serde_json::from_str(BYTE_LEVEL).unwrap();
        json["added_tokens"] = serde_json::from_str(added).unwrap();
        Tokenizer::from_json(json.to_string().as_bytes())
    };
    let token = |id: u32, content: &str, normalized: bool| {
        serde_json::json!({"id": id, "content": content, "special": false, "normalized": normalized}).to_string()
    };
    let list =
        [token(5000, "<x>", false), token(5001, "<x>y", false), token(5002, "y", true), token(5003, ">y<", true)];
    let tokenizer = json(&format!("[{}]", list.join(","))).unwrap();
    assert_eq!(encoded(&tokenizer, b"<x>y<x>y"), [5001, 5001]);
    assert_eq!(encoded(&tokenizer, b"<x><x>yy"), [5000, 5001, 5002]);
    // Those that are normalized come after the others: ">y<" starts earlier than "<x>".
    assert_eq!(encoded(&tokenizer, b">y<x>"), [encoded(&tokenizer, b">"), vec![5002, 5000]].concat());
    assert_eq!(tokenizer.vocabulary().kind(4999), Kind::Unused);
    assert_eq!(decoded(&tokenizer, &[4999, 5001]), b"<x>y");
    for (option, part) in [("single_word", "single_word"), ("lstrip", "lstrip"), ("rstrip", "rstrip")] {
        let added =
            format!("[{}]", token(5000, "x", false).replace("\"special\"", &format!("\"{option}\":true,\"special\"")));
        assert!(json(&added).unwrap_err().message().contains(part));
    }
}

/// A tokenizer without fallback, whose vocabulary lacks bytes.
#[test]
fn bytes_without_a_token_are_an_error_that_names_them() {
    let byte_level = r#"{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},
        "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"Ġ":3},"merges":["a b"]}}"#;
    let plain = r#"{"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},
        "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"▁":3},"merges":[["a","b"]]}}"#;
    let unigram = r#"{"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"never"},
        "model":{"type":"Unigram","unk_id":null,"vocab":[["a",-1],["b",-2],["ab",-1.5],["▁",-3]]}}"#;
    for json in [byte_level, plain, unigram] {
        let tokenizer = Tokenizer::from_json(json.as_bytes()).unwrap();
        assert_eq!(encoded(&tokenizer, b"abba ab"), [2, 1, 0, 3, 2]);
        let mut tokens = vec![9];
        let error = tokenizer.encode("ab aß".as_bytes(), &mut tokens).unwrap_err();
        assert_eq!((error.status(), &tokens[..]), (Status::Argument, &[9][..]));
        assert_eq!(error.message(), "the byte 0xc3 at offset 4 has no token in this vocabulary");
        tokenizer.encode_exact("ab aß\0".as_bytes(), &mut tokens).unwrap();
        assert_eq!(tokens, [9, 2, 3, 0, NO_TOKEN + 0xc3, NO_TOKEN + 0x9f, NO_TOKEN]);
        let vocabulary = tokenizer.vocabulary();
        assert_eq!((vocabulary.of_byte(b'a'), vocabulary.of_byte(b'c')), (Some(0), None));
        let error = tokenizer.decode(&[0, NO_TOKEN + 0xc3], &mut vec![]).unwrap_err();
        assert_eq!(error.message(), format!("token 1 is {}, the vocabulary has 4", NO_TOKEN + 0xc3));
    }
    // The space in front has none.
    let json = byte_level.replace("false", "true").replace("Ġ", "c");
    let tokenizer = Tokenizer::from_json(json.as_bytes()).unwrap();
    assert!(tokenizer.encode(b"a", &mut vec![]).unwrap_err().message().contains("space in front"));
    tokenizer.encode(b"", &mut vec![]).unwrap();
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let part = |name: &str, part: &str| {
        let json = format!(r#"{{"{name}":{part},"model":{{"type":"BPE","vocab":{{"a":0}},"merges":[]}}}}"#);
        Tokenizer::from_json(json.as_bytes()).map(|_| ()).map_err(|e| e.message().to_owned())
    };
    let refused = [
        ("normalizer", r#"{"type":"Lowercase"}"#, "Lowercase"),
        ("normalizer", r#"{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"StripAccents"}]}"#, "StripAccents"),
        ("normalizer", r#"{"type":"Precompiled","precompiled_charsmap":"AAAA"}"#, "3 bytes, expected a length of 4"),
        ("normalizer", r#"{"type":"Precompiled","precompiled_charsmap":"AAA_"}"#, "not base64: AAA_"),
        ("normalizer", r#"{"type":"Precompiled","precompiled_charsmap":"AAAAA"}"#, "not base64"),
        ("normalizer", r#"{"type":"Precompiled","precompiled_charsmap":"/////w=="}"#, "a trie of 4294967295 bytes"),
        ("normalizer", r#"{"type":"Precompiled","precompiled_charsmap":"BAAAAAAAAA=="}"#, "a trie of 4 bytes"),
        (
            "normalizer",
            r#"{"type":"Sequence","normalizers":[{"type":"Strip"},{"type":"Precompiled","precompiled_charsmap":""}]}"#,
            "Precompiled",
        ),
        ("pre_tokenizer", r#"{"type":"WhitespaceSplit"}"#, "WhitespaceSplit"),
        (
            "pre_tokenizer",
            r#"{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},
            {"type":"Metaspace","replacement":"▁","prepend_scheme":"first"}]}"#,
            "first",
        ),
        ("normalizer", r#"{"type":"Replace","pattern":{"Regex":" "},"content":"▁"}"#, "Replace"),
        ("normalizer", r#"{"type":"Replace","pattern":{"String":" "},"content":"_"}"#, "Replace"),
        ("normalizer", r#"{"type":"Prepend","prepend":"▁"}"#, "prepends"),
        ("normalizer", "7", "7"),
        ("pre_tokenizer", r#"{"type":"Whitespace"}"#, "Whitespace"),
        ("pre_tokenizer", r#"{"type":"Split","pattern":{"Regex":"\\w+"},"behavior":"Isolated"}"#, "\\w+"),
        ("pre_tokenizer", r#"{"type":"Split","pattern":{"Regex":"a"},"behavior":"MergedWithNext"}"#, "MergedWithNext"),
        ("pre_tokenizer", r#"{"type":"Split","pattern":{"String":" "},"behavior":"Isolated"}"#, "Split"),
        ("pre_tokenizer", r#"{"type":"Metaspace","replacement":"_"}"#, "Metaspace"),
        (
            "pre_tokenizer",
            r#"{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits"}]}"#,
            "after ByteLevel",
        ),
        ("decoder", r#"{"type":"WordPiece"}"#, "WordPiece"),
        ("post_processor", r#"{"type":"BertProcessing"}"#, "BertProcessing"),
        ("post_processor", r#"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}}]}"#, "<s>"),
        ("added_tokens", r#"[{"id":0,"content":"b"}]"#, "token 0 is both"),
        ("added_tokens", r#"[{"id":1048576,"content":"b"}]"#, "1048576"),
        ("added_tokens", r#"[{"id":900000,"content":"b"}]"#, "numbers below 900001"),
        ("added_tokens", r#"{"b":1}"#, "added_tokens"),
    ];
    for (name, json, quoted) in refused {
        let error = part(name, json).expect_err(json);
        assert!(error.contains(quoted), "{json}: {error}");
    }
    let deep = "[".repeat(40) + &"]".repeat(40);
    assert!(part("normalizer", &deep).unwrap_err().contains("levels"));
    assert!(part("normalizer", "null").is_ok());
    let model = |model: &str| {
        let json = format!(r#"{{"model":{model}}}"#);
        Tokenizer::from_json(json.as_bytes()).map(|_| ()).map_err(|e| e.message().to_owned())
    };
    let long = format!(r#"{{"type":"BPE","vocab":{{"{}":0}},"merges":[]}}"#, "a".repeat(5000));
    let refused = [
        ("null", "no model"),
        (r#"{"type":"WordPiece","vocab":{"a":0}}"#, "WordPiece"),
        (r#"{"vocab":{"a":0}}"#, "expected BPE"),
        (r#"{"type":"BPE","vocab":{"a":0},"dropout":0.1}"#, "dropout"),
        (r###"{"type":"BPE","vocab":{"a":0},"continuing_subword_prefix":"##"}"###, "continuing_subword_prefix"),
        (r#"{"type":"BPE","vocab":{"a":0},"end_of_word_suffix":"</w>"}"#, "end_of_word_suffix"),
        (r#"{"type":"BPE","vocab":{},"merges":[]}"#, "empty"),
        (r#"{"type":"BPE","merges":[]}"#, "no vocab"),
        (r#"{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}"#, "token 0 is both"),
        (r#"{"type":"BPE","vocab":{"a":-1},"merges":[]}"#, "vocabulary"),
        (r#"{"type":"BPE","vocab":{"a":0},"merges":["a b"]}"#, "merge 0"),
        (r#"{"type":"BPE","vocab":{"a":0},"merges":["a a"]}"#, "\"aa\" is not a token"),
        (r#"{"type":"BPE","vocab":{"a":0},"merges":["aa"]}"#, "two tokens"),
        (r#"{"type":"BPE","vocab":{"a":0},"merges":["a a a"]}"#, "two tokens"),
        (r#"{"type":"BPE","vocab":{"a":0},"merges":[["a","a","a"]]}"#, "two tokens"),
        (r#"{"type":"BPE","vocab":{"a":0},"merges":[7]}"#, "merges"),
        (r#"{"type":"Unigram","vocab":[["a"]]}"#, "vocabulary"),
        (r#"{"type":"Unigram","vocab":[["a",1e999]]}"#, "vocabulary"),
        (&long, "5000 bytes"),
    ];
    for (json, quoted) in refused {
        let error = model(json).expect_err(json);
        assert!(error.contains(quoted), "{json}: {error}");
    }
}

#[test]
fn gguf_metadata_that_do_not_fit_are_refused_by_their_key() {
    let good = || {
        Gguf::default().with("model", "llama").with("tokens", vec!["a", "b", "ab"]).with("scores", vec![0.0, 0.0, 1.0])
    };
    let read = |gguf: Gguf| Tokenizer::from_gguf(&gguf.metadata()).map(|_| ()).map_err(|e| e.message().to_owned());
    assert_eq!(read(good()), Ok(()));
    let gpt2 = || good().with("model", "gpt2").with("pre", "gpt-2").with("merges", vec!["a b"]);
    assert_eq!(read(gpt2()), Ok(()));
    assert_eq!(read(good().with("model", "t5")), Ok(()));
    let refused = [
        (Gguf::default(), "tokenizer.ggml.model"),
        (good().with("model", "bert"), "\"bert\""),
        (good().with("model", 7), "tokenizer.ggml.model"),
        (good().with("tokens", 7), "tokenizer.ggml.tokens"),
        (good().with("tokens", Vec::<String>::new()), "empty"),
        (good().with("tokens", vec!["a", "b"]), "scores has 3 elements"),
        (good().with("scores", vec![0.0]), "scores has 1 elements"),
        (good().with("scores", vec![Value::Null, 0.into(), 0.into()]), "NaN"),
        (good().with("token_type", vec![1, 1]), "token_type has 2"),
        (good().with("token_type", vec![1, 1, 1, 1]), "token_type has 4"),
        (good().with("token_type", vec![1, 1, 0]), "token 2 has the type 0"),
        (good().with("bos_token_id", 3), "bos_token_id is 3"),
        (good().with("eos_token_id", 1u64 << 40), "eos_token_id"),
        (gpt2().with("pre", "nonsense"), "\"nonsense\""),
        (gpt2().with("merges", vec!["ab"]), "element 0"),
        (gpt2().with("merges", vec!["b a"]), "\"ba\" is not a token"),
        (gpt2().with("merges", 7), "tokenizer.ggml.merges"),
    ];
    for (gguf, quoted) in refused {
        let error = read(gguf).expect_err(quoted);
        assert!(error.contains(quoted), "{error}");
    }
    let mut without = gpt2();
    without.0.remove("tokenizer.ggml.pre");
    assert!(read(without).unwrap_err().contains("\"default\""));
}

/// unigram.json with the normaliser and the pre-tokeniser of make_charsmap_fixture.py.
fn normalising(charsmap: &Value, more: &[Value], before: Option<&str>) -> Tokenizer {
    let mut json: Value = serde_json::from_str(UNIGRAM).unwrap();
    let normalizers = [std::slice::from_ref(charsmap), more].concat();
    json["normalizer"] = serde_json::json!({"type": "Sequence", "normalizers": normalizers});
    let pre = before.map(|kind| serde_json::json!({ "type": kind })).into_iter().chain([json["pre_tokenizer"].take()]);
    json["pre_tokenizer"] = serde_json::json!({"type": "Sequence", "pretokenizers": pre.collect::<Vec<_>>()});
    Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
}

/// The same from GGUF metadata, without a space in front.
fn normalising_gguf(blob: &[u8], removes_spaces: bool) -> Result<Tokenizer, String> {
    use gptz::weights::metadata::{Array, Value};
    let gguf = Gguf::from_json(UNIGRAM, "t5").with("remove_extra_whitespaces", removes_spaces);
    let mut metadata = gguf.with("add_space_prefix", false).metadata();
    let signed = blob.iter().map(|b| b.cast_signed()).collect();
    metadata.push("tokenizer.ggml.precompiled_charsmap", Value::Array(Array::I8(signed))).unwrap();
    Tokenizer::from_gguf(&metadata).map_err(|e| e.message().to_owned())
}

fn base64(text: &str) -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = text.bytes().filter(|b| *b != b'=').flat_map(|b| {
        let digit = digits.iter().position(|d| *d == b).unwrap();
        (0..6).rev().map(move |i| digit >> i & 1)
    });
    let bits: Vec<usize> = bits.collect();
    bits.chunks_exact(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | *bit) as u8).collect()
}

#[test]
fn normalisation_is_that_of_the_library_tokenizers_and_of_sentencepiece() {
    let charsmap: Value = serde_json::from_str(CHARSMAP).unwrap();
    let blob = base64(charsmap["precompiled_charsmap"].as_str().unwrap());
    let strip = serde_json::json!({"type": "Strip", "strip_left": false, "strip_right": true});
    let replace = serde_json::json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"});
    let alphabet = Alphabet::new();
    let strings: Vec<Vec<u8>> = (0..10_000).map(|seed| alphabet.string(seed)).collect();
    let mut lines = 0;
    for line in CHARSMAP_HASHES.lines() {
        let mut fields = line.split(' ');
        let name = fields.next().unwrap();
        let tokenizer = match name {
            "precompiled" => normalising(&charsmap, &[], None),
            "strip" => normalising(&charsmap, &[strip.clone(), replace.clone()], None),
            "words" => normalising(&charsmap, &[], Some("WhitespaceSplit")),
            "longest" => normalising_gguf(&blob, false).unwrap(),
            _ => normalising_gguf(&blob, true).unwrap(),
        };
        assert!(tokenizer.normalises());
        for (block, (strings, expected)) in strings.chunks(100).zip(fields).enumerate() {
            let mut hash = 0xcbf2_9ce4_8422_2325u64;
            for string in strings {
                let tokens = encoded(&tokenizer, string);
                let text = decoded(&tokenizer, &tokens);
                let mut exact = vec![];
                tokenizer.encode_exact(string, &mut exact).unwrap();
                let bytes: Vec<u8> = exact.iter().flat_map(|t| tokenizer.vocabulary().bytes(*t).to_vec()).collect();
                assert_eq!(&bytes, string, "the bytes of exact tokens are those of the text");
                let numbers: Vec<u32> = match std::str::from_utf8(string) {
                    Err(_) => vec![],
                    Ok(_) if name == "longest" || name == "spaces" => text.into_iter().map(u32::from).collect(),
                    Ok(_) => tokens,
                };
                for number in numbers.into_iter().chain([u32::MAX]) {
                    hash = (hash ^ u64::from(number)).wrapping_mul(0x100_0000_01b3);
                }
            }
            assert_eq!(format!("{hash:016x}"), expected, "{name}, strings {}..", block * 100);
        }
        lines += 1;
    }
    assert_eq!(lines, 5);
}

#[test]
fn added_tokens_and_invalid_bytes_are_not_normalised() {
    let charsmap: Value = serde_json::from_str(CHARSMAP).unwrap();
    let blob = base64(charsmap["precompiled_charsmap"].as_str().unwrap());
    let tokenizer = normalising_gguf(&blob, true).unwrap();
    let text = |text: &[u8]| decoded(&tokenizer, &encoded(&tokenizer, text));
    assert_eq!(text("  ａ\t Ⅷ\r\n".as_bytes()), b"a VIII");
    assert_eq!(text(&[b"\xff ", "\u{3000}ｂ\u{3000}".as_bytes(), b"\xe3\x80"].concat()), b"\xff b \xe3\x80");
    assert_eq!((text(b"  "), text(b"")), (vec![], vec![]));
    // The letters of a syllable, the longest first; a replacement that is longer than what it replaces.
    assert_eq!(text("\u{1100}\u{1161}\u{11a8}".as_bytes()), "각".as_bytes());
    assert_eq!(text("\u{fdfa}".as_bytes()).len(), 33);
    let mut json: Value = serde_json::from_str(UNIGRAM).unwrap();
    json["normalizer"] = charsmap;
    let added = serde_json::json!({"id": 5000, "content": "ａ\u{3000}", "special": false, "normalized": false});
    json["added_tokens"].as_array_mut().unwrap().push(added);
    let tokenizer = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
    let tokens = encoded(&tokenizer, "ｂａ\u{3000}ａ".as_bytes());
    assert_eq!(decoded(&tokenizer, &tokens), "bａ\u{3000}a".as_bytes());
    assert!(tokens.contains(&5000));
}

/// Every cut and every changed byte of a character map, and every number in it as a large one.
#[test]
fn damaged_character_maps_are_refused_or_give_tokenizers_that_work() {
    let charsmap: Value = serde_json::from_str(CHARSMAP).unwrap();
    let blob = base64(charsmap["precompiled_charsmap"].as_str().unwrap());
    let text = "ａ\u{1100}\u{1161}\u{11a8} ﬁé\u{fdfa}\t e\u{301}x\u{2581}\u{1}Å";
    let check = |damaged: &[u8]| {
        let Ok(tokenizer) = charsmap_alone(damaged) else { return false };
        let tokens = encoded(&tokenizer, text.as_bytes());
        assert!(decoded(&tokenizer, &tokens).len() < 256 * text.len());
        true
    };
    let trie = 4 + u32::from_le_bytes(blob[..4].try_into().unwrap()) as usize;
    for n in 0..blob.len() {
        assert_eq!(check(&blob[..n]), n >= trie || n == 0, "{n}");
    }
    let mut works = 0;
    for at in 0..blob.len() {
        for flip in [1, 0x80, 0xff] {
            let mut changed = blob.clone();
            changed[at] ^= flip;
            works += u32::from(check(&changed));
        }
        if at % 4 == 0 && at + 4 <= trie {
            let mut changed = blob.clone();
            changed[at..at + 4].copy_from_slice(&[0xff; 4]);
            works += u32::from(check(&changed));
        }
    }
    assert!(works > 20_000, "{works}");
    let long = [&4u32.to_le_bytes()[..], &[0; 4], &[b'x'; 257], &[0]].concat();
    assert!(charsmap_alone(&long).unwrap_err().contains("replacement 0"));
    assert!(charsmap_alone(&vec![0; (1 << 22) + 1]).unwrap_err().contains("4194305 bytes"));
}

/// A tokenizer of single bytes with a character map.
fn charsmap_alone(blob: &[u8]) -> Result<Tokenizer, String> {
    use gptz::weights::metadata::{Array, Texts, Value};
    let mut metadata = Metadata::default();
    let mut names = Texts::default();
    (0..256).for_each(|byte| names.push(&format!("<0x{byte:02X}>")).unwrap());
    for (key, value) in [
        ("model", Value::Text("t5".into())),
        ("tokens", Value::Array(Array::Text(names))),
        ("token_type", Value::Array(Array::I32(vec![6; 256]))),
        ("scores", Value::Array(Array::F32(vec![0.0; 256]))),
        ("precompiled_charsmap", Value::Array(Array::U8(blob.to_vec()))),
    ] {
        metadata.push(&format!("tokenizer.ggml.{key}"), value).unwrap();
    }
    Tokenizer::from_gguf(&metadata).map_err(|e| e.message().to_owned())
}

/// Every truncation and many changes of a file give a tokenizer or an error.
#[test]
fn damaged_files_are_refused_or_give_tokenizers_that_work() {
    let json = r#"{"added_tokens":[{"id":7,"content":"<s>","special":true},{"id":8,"content":"xy","special":false}],
        "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},
        {"type":"Replace","pattern":{"String":" "},"content":"▁"}]},
        "pre_tokenizer":null,"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},
        {"Sequence":{"id":"A"}}]},"decoder":{"type":"ByteFallback"},"model":{"type":"BPE","unk_token":null,
        "byte_fallback":true,"vocab":{"▁":0,"a":1,"b":2,"ab":3,"<0x0A>":4,"▁ab":5},"merges":["a b",["▁","ab"]]}}"#;
    let byte_level = r#"{"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":
        {"Regex":"(?i:'s|'t)|[^\\r\\n\\p{L}]?\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},
        {"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]},"model":{"type":"Unigram","unk_id":0,
        "vocab":[["a",-1.5],["b",-2],["Ġ",-3],["ab",-1e-3],["\u0120a",-7]]}}"#;
    let mut random = Random(11);
    let mut works = 0;
    let mut check = |bytes: &[u8]| {
        let Ok(tokenizer) = Tokenizer::from_json(bytes) else { return };
        works += 1;
        let mut tokens = vec![];
        tokenizer.encode_exact(b" abba xy<s>\n\xff'S 1234  ab", &mut tokens).unwrap();
        let ids: Vec<u32> = (0..tokenizer.vocabulary().len() as u32).collect();
        tokenizer.decode(&ids, &mut vec![]).unwrap();
    };
    for json in [json, byte_level].map(str::as_bytes) {
        Tokenizer::from_json(json).unwrap();
        for at in 0..json.len() {
            check(&json[..at]);
            for _ in 0..12 {
                let mut changed = json.to_vec();
                match random.below(4) {
                    0 => changed[at] = random.below(256) as u8,
                    1 => changed[at] = b"\"{}[],:0-\\"[random.below(10)],
                    2 => drop(changed.remove(at)),
                    _ => changed.insert(at, json[random.below(json.len())]),
                }
                check(&changed);
            }
        }
    }
    assert!(works > 2000, "{works}");
}

#[test]
fn threads_may_share_a_tokenizer() {
    let tokenizer = tokenizer("gpt4o");
    let alphabet = Alphabet::new();
    let expected: Vec<_> = (0..200).map(|seed| encoded(&tokenizer, &alphabet.string(seed))).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                (0..200)
                    .for_each(|seed| assert_eq!(encoded(&tokenizer, &alphabet.string(seed)), expected[seed as usize]));
            });
        }
    });
}

/// A thread of a C program may have a small stack. The library promises to use at most 32 KiB in a call.
#[test]
fn encoding_takes_little_stack() {
    let pattern = "(?:b|c)?".repeat(20) + "(?:a|b)";
    let deep = format!(
        r#"{{"pre_tokenizer":{{"type":"Sequence","pretokenizers":[{{"type":"Split","pattern":{{"Regex":"{pattern}"}},
        "behavior":"Isolated"}},{{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}}]}},
        "model":{{"type":"BPE","vocab":{{"a":0,"b":1,"c":2}},"merges":[]}}}}"#
    );
    let deep = Tokenizer::from_json(deep.as_bytes()).unwrap();
    let text = [&b"abcb"[..], &[b'a'; 5000]].concat();
    let charsmap = normalising(&serde_json::from_str(CHARSMAP).unwrap(), &[], Some("WhitespaceSplit"));
    for tokenizer in [deep, tokenizer("gpt4o"), tokenizer("gemma"), tokenizer("unigram"), charsmap] {
        std::thread::scope(|scope| {
            let encode = || check_round_trip(&tokenizer, &text);
            std::thread::Builder::new().stack_size(32 << 10).spawn_scoped(scope, encode).unwrap();
        });
    }
}
