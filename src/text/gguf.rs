//! The tokenizer in the metadata of a GGUF file: the keys `tokenizer.ggml.*` of llama.cpp.

use super::build::{Engine, Merges, Parts, add_named, build};
use super::charsmap::Charsmap;
use super::normalise::{Matching, Normaliser, Runs};
use super::raw::{Kind, Raw};
use super::table::{Key, Merge, Names};
use super::tokenizer::{Special, Tokenizer};
use super::vocabulary::Spelling;
use crate::error::{Result, fail, shortened};
use crate::numeric::buffer::{copied, grow, made, reserved};
use crate::weights::metadata::{Array, Metadata, Value};

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";
const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";

/// The most work to find the merges of a vocabulary with scores: the sum of the squares of the lengths of its names, in
/// bytes. That of Gemma 3 is 30 million.
const MAX_SPLIT_WORK: u64 = 1 << 30;

/// Reads the names and kinds of the tokens.
fn read_tokens(metadata: &Metadata) -> Result<Raw> {
    let Some(Array::Text(names)) = metadata.array(TOKENS) else {
        fail!(Model, "{TOKENS} is not an array of strings");
    };
    let mut raw = Raw::default();
    for (id, name) in (0..).zip(names.iter()) {
        // A name of no bytes leaves a hole.
        raw.add(id, name, Kind::Normal)?;
    }
    let Some(types) = metadata.array(TYPES) else { return Ok(raw) };
    if !types.is_empty() && types.len() != raw.len() {
        fail!(Model, "{TYPES} has {} elements, {TOKENS} has {}", types.len(), raw.len());
    }
    for id in 0..types.len() as u32 {
        let kind = match types.integer(id as usize) {
            Some(1) => Kind::Normal,
            Some(2) => Kind::Unknown,
            Some(3) => Kind::Control,
            Some(4) => Kind::UserDefined,
            Some(5) => Kind::Unused,
            Some(6) => Kind::Byte,
            Some(number) => fail!(Model, "{TYPES}: token {id} has the type {number}, expected 1 to 6"),
            None => fail!(Model, "{TYPES} is not an array of integers"),
        };
        if raw.has(id) {
            raw.set_kind(id, kind);
        }
    }
    Ok(raw)
}

/// Reads the scores of `n` tokens.
fn read_scores(metadata: &Metadata, n: usize) -> Result<Vec<f32>> {
    let (found, mut scores) = (metadata.array(SCORES), reserved(n, "the scores of a tokenizer")?);
    match found {
        Some(Array::F32(found)) if found.len() == n => scores.extend_from_slice(found),
        Some(Array::F64(found)) if found.len() == n => scores.extend(found.iter().map(|x| *x as f32)),
        _ => fail!(Model, "{SCORES} has {} elements, {TOKENS} has {n}", found.map_or(0, Array::len)),
    }
    if let Some((i, score)) = scores.iter().enumerate().find(|(_, score)| !f32::is_finite(**score)) {
        fail!(Model, "{SCORES}: the score of token {i} is {score}, scores must be finite");
    }
    Ok(scores)
}

fn read_merges(metadata: &Metadata, raw: &Raw, names: &Names) -> Result<Merges> {
    let Some(Array::Text(pairs)) = metadata.array(MERGES) else {
        fail!(Model, "{MERGES} is not an array of strings");
    };
    let mut merges = Merges::default();
    for (i, both) in pairs.iter().enumerate() {
        match both.split_once(' ') {
            Some((left, right)) if !right.contains(' ') => merges.add_names(raw, names, left, right)?,
            _ => fail!(Model, "{MERGES}: element {i} is \"{}\", expected two tokens", shortened(both)),
        }
    }
    Ok(merges)
}

/// The rank of a merge by the score of its result: the highest score comes first.
fn rank(score: f32) -> u32 {
    let bits = score.to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !ascending
}

/// The merges of a vocabulary of SentencePiece: two tokens are merged if their names together are a token.
fn merges_by_score(raw: &Raw, names: &Names, scores: &[f32]) -> Result<Merges> {
    let is_word = |id: &u32| matches!(raw.kind(*id), Kind::Normal | Kind::UserDefined);
    let find = |name: &str| raw.find(names, name).filter(is_word);
    let mut merges = Merges::default();
    let mut work = 0u64;
    for (id, score) in (0..raw.len() as u32).zip(scores).filter(|(id, _)| is_word(id)) {
        let name = raw.name(id);
        work += (name.len() as u64).pow(2);
        if work > MAX_SPLIT_WORK {
            fail!(Model, "the names in {TOKENS} are too long for a vocabulary without merges");
        }
        // Of several tokens of one name, the first one counts.
        if find(name) != Some(id) {
            continue;
        }
        for (at, _) in name.char_indices().skip(1) {
            if let (Some(left), Some(right)) = (find(&name[..at]), find(&name[at..])) {
                merges.add(left, right, Merge { rank: rank(*score), token: id })?;
            }
        }
    }
    Ok(merges)
}

/// What SentencePiece does to a text before it looks for tokens.
fn read_normaliser(metadata: &Metadata) -> Result<Normaliser> {
    let mut normaliser = Normaliser { matching: Matching::Longest, ..Normaliser::default() };
    if let Some(value) = metadata.get(CHARSMAP) {
        let blob = match value {
            Value::Array(Array::U8(bytes)) => copied(bytes, CHARSMAP)?,
            Value::Array(Array::I8(bytes)) => made(bytes.len(), CHARSMAP, |i| Ok(bytes[i].cast_unsigned()))?,
            _ => fail!(Model, "{CHARSMAP} is not an array of bytes"),
        };
        normaliser.map = if blob.is_empty() { None } else { Some(Charsmap::new(&blob)?) };
    }
    if metadata.flag("tokenizer.ggml.remove_extra_whitespaces") == Some(true) {
        (normaliser.trims, normaliser.runs) = ([true; 2], Runs::Spaces);
    }
    Ok(normaliser)
}

/// The tokens with a role. `adds_bos`: what llama.cpp does if the file does not say.
fn special(metadata: &Metadata, raw: &Raw, adds_bos: bool) -> Result<Special> {
    let token = |key: &str| match metadata.number(key) {
        None => Ok(None),
        Some(id) => match u32::try_from(id) {
            Ok(id) if (id as usize) < raw.len() => Ok(Some(id)),
            _ => fail!(Model, "{key} is {id}, but there are {} tokens", raw.len()),
        },
    };
    Ok(Special {
        bos: token("tokenizer.ggml.bos_token_id")?,
        eos: token("tokenizer.ggml.eos_token_id")?,
        unknown: token("tokenizer.ggml.unknown_token_id")?,
        adds_bos: metadata.flag("tokenizer.ggml.add_bos_token").unwrap_or(adds_bos),
        adds_eos: metadata.flag("tokenizer.ggml.add_eos_token").unwrap_or(false),
    })
}

impl Tokenizer {
    /// Reads the metadata of a GGUF file.
    ///
    /// `tokenizer.ggml.model` may be `gpt2` (byte-level BPE; the pre-tokeniser is that of `tokenizer.ggml.pre`), `llama`
    /// (SentencePiece BPE by scores) or `t5` (unigram, with `tokenizer.ggml.precompiled_charsmap` and
    /// `tokenizer.ggml.remove_extra_whitespaces`).
    ///
    /// # Errors
    /// `Model` for metadata that are missing, inconsistent or name what is not supported; the message has the key.
    /// `Memory`.
    pub fn from_gguf(metadata: &Metadata) -> Result<Self> {
        let Some(model) = metadata.text(MODEL) else { fail!(Model, "{MODEL} is not a string") };
        if !["gpt2", "llama", "t5"].contains(&model) {
            fail!(Model, "{MODEL} is \"{}\", expected gpt2, llama or t5", shortened(model));
        }
        let pre = metadata.text(PRE).unwrap_or("default");
        let mut regexes = Vec::new();
        let whole = model == "gpt2" && add_named(&mut regexes, pre)?;
        let key = Key::random();
        let raw = read_tokens(metadata)?;
        let names = raw.names(key)?;
        let engine = match model {
            "gpt2" => Engine::Bpe { merges: read_merges(metadata, &raw, &names)?, whole },
            "llama" => {
                let scores = read_scores(metadata, raw.len())?;
                Engine::Bpe { merges: merges_by_score(&raw, &names, &scores)?, whole }
            }
            _ => {
                let scores = read_scores(metadata, raw.len())?;
                let mut wide = Vec::new();
                grow(&mut wide, scores.len(), "the scores of a tokenizer")?;
                wide.extend(scores.iter().map(|score| f64::from(*score)));
                Engine::Unigram(wide)
            }
        };
        let adds_bos = model == "llama" || ["llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral"].contains(&pre);
        let special = special(metadata, &raw, adds_bos)?;
        let is_sentence_piece = model != "gpt2";
        let prefix = metadata.flag("tokenizer.ggml.add_space_prefix").unwrap_or(is_sentence_piece);
        let spelling = if is_sentence_piece { Spelling::Spaces } else { Spelling::Alphabet };
        drop(names);
        // As llama.cpp, which does so for this model only.
        let normaliser = if model == "t5" { read_normaliser(metadata)? } else { Normaliser::default() };
        let late = Vec::new();
        build(Parts { raw, spelling, engine, regexes, cuts_spaces: false, prefix, normaliser, late, special }, key)
    }
}
