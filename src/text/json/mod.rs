//! `tokenizer.json`, the format of the library `tokenizers`.
//!
//! The vocabulary and the merges are read without a tree of values. All that the parser allocates is transient and below
//! [`PARSER_MEMORY_FACTOR`] times the length of the file, for which a reserve is taken. What is not supported is refused
//! by its name in the file.

mod lists;
mod parts;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use lists::{MergeNames, Text, each_element, each_entry, malformed, read};
use parts::{Description, MAX_CHARSMAP, MAX_PART, VALUE_MEMORY_FACTOR, check_decoder, template, value, value_with};

use super::alphabet;
use super::build::{Engine, Merges, Parts, build};
use super::raw::{Kind, Raw};
use super::table::{Key, Names};
use super::tokenizer::{Special, Tokenizer};
use crate::error::{Result, fail, shortened};
use crate::numeric::buffer::grow;
use crate::numeric::reserve::Reserve;

/// The largest file, in bytes. That of Gemma 3 has 33 MB.
const MAX_FILE: usize = 256 << 20;
/// The most that the parser allocates, in bytes for each byte of the file: see `weights::PARSER_MEMORY_FACTOR`.
const PARSER_MEMORY_FACTOR: usize = 3;
/// The most added tokens. Gemma 3 has 6,415 of them.
const MAX_ADDED: usize = 1 << 17;

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    added_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    normalizer: Option<&'a RawValue>,
    #[serde(borrow)]
    pre_tokenizer: Option<&'a RawValue>,
    #[serde(borrow)]
    post_processor: Option<&'a RawValue>,
    #[serde(borrow)]
    decoder: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ModelPart<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    vocab: Option<&'a RawValue>,
    #[serde(borrow)]
    merges: Option<&'a RawValue>,
    #[serde(borrow)]
    unk_token: Option<Cow<'a, str>>,
    unk_id: Option<u32>,
    dropout: Option<f64>,
    #[serde(borrow)]
    continuing_subword_prefix: Option<Cow<'a, str>>,
    #[serde(borrow)]
    end_of_word_suffix: Option<Cow<'a, str>>,
    byte_fallback: Option<bool>,
    ignore_merges: Option<bool>,
}

#[derive(Deserialize)]
struct AddedToken<'a> {
    id: u64,
    #[serde(borrow)]
    content: Cow<'a, str>,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

/// Reads the added tokens. Returns those that are matched after the others.
fn add_tokens(part: Option<&RawValue>, prefix: bool, raw: &mut Raw) -> Result<Vec<u32>> {
    let mut late = Vec::new();
    let Some(part) = part else { return Ok(late) };
    each_element(part, "added_tokens", &mut |i, token: AddedToken| {
        let AddedToken { id, content, single_word, lstrip, rstrip, normalized, special } = token;
        let quoted = shortened(&content);
        if i == MAX_ADDED {
            fail!(Model, "tokenizer.json has more than {MAX_ADDED} added tokens");
        }
        if !special && (single_word || lstrip || rstrip) {
            fail!(Model, "the added token \"{quoted}\" has single_word, lstrip or rstrip, which is not supported");
        }
        if !special && normalized && prefix {
            fail!(
                Model,
                "the added token \"{quoted}\" is normalized after a space was prepended, which is not supported"
            );
        }
        let kind = if special { Kind::Control } else { Kind::UserDefined };
        match u32::try_from(id) {
            Ok(id) if raw.has(id) && raw.name(id) == content => raw.set_kind(id, kind),
            _ => raw.add(id, &content, kind)?,
        }
        if normalized && !special {
            grow(&mut late, 1, "the added tokens of a tokenizer")?;
            late.push(id as u32);
        }
        Ok(())
    })?;
    late.sort_unstable();
    Ok(late)
}

/// Reads the vocabulary of BPE: an object of names and numbers.
fn read_numbers(part: &RawValue, raw: &mut Raw) -> Result<()> {
    each_entry(part, "the vocabulary", &mut |Text(name), id: u64| raw.add(id, &name, Kind::Normal))
}

/// Reads the vocabulary of unigram: a list of names and scores.
fn read_scores(part: &RawValue, raw: &mut Raw) -> Result<Vec<f64>> {
    let mut scores = Vec::new();
    each_element(part, "the vocabulary", &mut |i, (Text(name), score): (Text, f64)| {
        raw.add(i as u64, &name, Kind::Normal)?;
        grow(&mut scores, 1, "the scores of a tokenizer")?;
        scores.push(score);
        Ok(())
    })?;
    Ok(scores)
}

fn read_merges(part: &RawValue, raw: &Raw, names: &Names) -> Result<Merges> {
    let mut merges = Merges::default();
    each_element(part, "the merges", &mut |i, merge: MergeNames| match &merge {
        MergeNames::Pair(Text(left), Text(right)) => merges.add_names(raw, names, left, right),
        MergeNames::Joined(Text(both)) => match both.split_once(' ') {
            Some((left, right)) if !right.contains(' ') => merges.add_names(raw, names, left, right),
            _ => fail!(Model, "merge {i} of tokenizer.json is \"{}\", expected two tokens", shortened(both)),
        },
    })?;
    Ok(merges)
}

impl Tokenizer {
    /// Reads the bytes of a `tokenizer.json`.
    ///
    /// Supported are the models `BPE` and `Unigram`; the pre-tokenisers `ByteLevel`, `Split`, `Digits`, `Punctuation`,
    /// `Metaspace` and sequences of them, with patterns of classes, groups and one-class lookahead, and `WhitespaceSplit`
    /// before `Metaspace`; the normalisers that put U+2581 in place of spaces, `Precompiled`, `Strip`, and `Replace` of
    /// runs of spaces. NFC and NFKC are not done.
    ///
    /// # Errors
    /// `Model` for a file that is malformed or asks for what is not supported, which the message names; `Memory`.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        const WHAT: &str = "tokenizer.json";
        if bytes.len() > MAX_FILE {
            fail!(Model, "tokenizer.json has {} bytes, at most {MAX_FILE} are allowed", bytes.len());
        }
        let _reserve = Reserve::take_for(PARSER_MEMORY_FACTOR * bytes.len() + VALUE_MEMORY_FACTOR * MAX_PART, WHAT)?;
        let file: File = serde_json::from_slice(bytes).map_err(|e| malformed("the outermost object", &e))?;
        let Some(model) = file.model else { fail!(Model, "tokenizer.json has no model") };
        let model: ModelPart = read(model, "the model")?;
        let mut description = Description::new();
        description.normalizer(&value_with(file.normalizer, "the normalizer", MAX_CHARSMAP)?)?;
        description.pre_tokenizer(&value(file.pre_tokenizer, "the pre_tokenizer")?)?;
        check_decoder(&value(file.decoder, "the decoder")?)?;
        check_model(&model)?;
        let spelling = description.spelling()?;
        let Description { prefix, cuts_spaces, regexes, normaliser, .. } = description;

        let key = Key::random();
        let mut raw = Raw::default();
        let Some(vocab) = model.vocab else { fail!(Model, "the model of tokenizer.json has no vocab") };
        let is_unigram = model.kind.as_deref() == Some("Unigram");
        let mut scores = if is_unigram { read_scores(vocab, &mut raw)? } else { Vec::new() };
        if !is_unigram {
            read_numbers(vocab, &mut raw)?;
        }
        let late = add_tokens(file.added_tokens, prefix, &mut raw)?;
        let names = raw.names(key)?;
        let unknown = match (&model.unk_token, model.unk_id) {
            (Some(name), _) => raw.find(&names, name),
            (None, id) => id.filter(|id| raw.has(*id)),
        };
        if let Some(id) = unknown {
            raw.set_kind(id, Kind::Unknown);
        }
        if model.byte_fallback == Some(true) {
            mark_bytes(&mut raw);
        }
        let engine = if is_unigram {
            let (n, holes) = (raw.len(), raw.len() - scores.len());
            grow(&mut scores, holes, "the scores of a tokenizer")?;
            // Added tokens have no scores, and are not parts of words.
            scores.resize(n, 0.0);
            Engine::Unigram(scores)
        } else {
            let merges = match model.merges {
                Some(merges) => read_merges(merges, &raw, &names)?,
                None => Merges::default(),
            };
            Engine::Bpe { merges, whole: model.ignore_merges == Some(true) }
        };
        let mut special = Special { unknown, ..Special::default() };
        template(&value(file.post_processor, "the post_processor")?, &raw, &names, &mut special)?;
        drop(names);
        build(Parts { raw, spelling, engine, regexes, cuts_spaces, prefix, normaliser, late, special }, key)
    }
}

/// Refuses options that are not supported.
fn check_model(model: &ModelPart) -> Result<()> {
    match model.kind.as_deref() {
        Some("BPE" | "Unigram") => {}
        // Old files do not name it.
        None if model.merges.is_some() => {}
        kind => {
            let kind = kind.unwrap_or("");
            fail!(Model, "the model of tokenizer.json is \"{}\", expected BPE or Unigram", shortened(kind));
        }
    }
    if model.dropout.is_some_and(|p| p != 0.0) {
        fail!(Model, "the model of tokenizer.json has a dropout, which is not supported");
    }
    let affixes = [
        ("continuing_subword_prefix", &model.continuing_subword_prefix),
        ("end_of_word_suffix", &model.end_of_word_suffix),
    ];
    for (name, text) in affixes {
        if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
            fail!(Model, "the model of tokenizer.json has the {name} \"{}\", which is not supported", shortened(text));
        }
    }
    Ok(())
}

/// Gives tokens that are spelt `<0x0A>` their kind.
fn mark_bytes(raw: &mut Raw) {
    for id in 0..raw.len() as u32 {
        if raw.kind(id) == Kind::Normal && alphabet::fallback_byte(raw.name(id)).is_some() {
            raw.set_kind(id, Kind::Byte);
        }
    }
}
