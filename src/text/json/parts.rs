//! The small parts of `tokenizer.json`: normaliser, pre-tokeniser, decoder, post-processor. They are read as values, and
//! what they ask for is refused by its name if it is not supported.

use serde_json::Value;
use serde_json::value::RawValue;

use super::lists::read;
use crate::error::{Result, fail, shortened};
use crate::numeric::reserve::Reserve;
use crate::text::build::add_pattern;
use crate::text::charsmap::{Charsmap, base64};
use crate::text::normalise::{Matching, Normaliser, Runs};
use crate::text::raw::Raw;
use crate::text::regex::Regex;
use crate::text::table::Names;
use crate::text::tokenizer::Special;
use crate::text::vocabulary::Spelling;
use crate::text::{alphabet, patterns};

/// The longest description of a normaliser, pre-tokeniser, decoder or post-processor.
pub(super) const MAX_PART: usize = 1 << 17;
/// The memory of such a description as values, in bytes for each byte.
pub(super) const VALUE_MEMORY_FACTOR: usize = 48;
/// How deep such descriptions may be nested.
const MAX_DEPTH: usize = 16;
/// The most bytes of a character map in base64.
pub(super) const MAX_CHARSMAP: usize = 6 << 20;

/// How deep the brackets of a value are nested, and how many of its bytes are not in strings. A string's quotes are not.
fn measure(json: &str) -> (usize, usize) {
    let (mut depth, mut deepest, mut in_string, mut escaped, mut outside) = (0usize, 0, false, false, 0);
    for byte in json.bytes() {
        outside += usize::from(!in_string || byte == b'"');
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    (deepest, outside)
}

/// A small part of the file, as a value.
pub(super) fn value(part: Option<&RawValue>, what: &str) -> Result<Value> {
    value_with(part, what, 0)
}

/// As [`value`]. The strings of the part may have `more` bytes.
pub(super) fn value_with(part: Option<&RawValue>, what: &str, more: usize) -> Result<Value> {
    let Some(part) = part else { return Ok(Value::Null) };
    let (len, (depth, outside)) = (part.get().len(), measure(part.get()));
    let most = MAX_PART + more;
    if len > most || outside > MAX_PART || depth > MAX_DEPTH {
        fail!(Model, "{what} of tokenizer.json has {len} bytes, at most {most} and {MAX_DEPTH} levels are allowed");
    }
    // A string takes its length twice while it is read.
    let _reserve = Reserve::take_for(if more > 0 { 3 * len } else { 0 }, what)?;
    read(part, what)
}

/// What a normaliser, a pre-tokeniser and so on is called.
fn type_of(part: &Value) -> &str {
    part["type"].as_str().unwrap_or("")
}

fn refuse<T>(what: &str, part: &Value) -> Result<T> {
    let text = part.to_string();
    fail!(Model, "{what} of tokenizer.json is not supported: {}", shortened(&text))
}

/// A truth value, `otherwise` where the file does not say.
fn flag(part: &Value, name: &str, otherwise: bool) -> bool {
    part[name].as_bool().unwrap_or(otherwise)
}

/// What the small parts say.
#[derive(Default)]
pub(super) struct Description {
    by_bytes: bool,
    spaces: bool,
    /// Text gets a space in front.
    pub(super) prefix: bool,
    /// The pre-tokeniser cuts before each space.
    pub(super) cuts_spaces: bool,
    pub(super) regexes: Vec<Regex>,
    pub(super) normaliser: Normaliser,
}

/// The elements of a `Sequence`.
fn sequence<'v>(part: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    part[name].as_array().into_iter().flatten()
}

impl Description {
    pub(super) fn new() -> Self {
        let normaliser = Normaliser { matching: Matching::Graphemes, ..Normaliser::default() };
        Self { normaliser, ..Self::default() }
    }

    pub(super) fn normalizer(&mut self, part: &Value) -> Result<()> {
        let is_space = |name: &str| part[name].as_str().is_some_and(|s| s.chars().eq([alphabet::SPACE]));
        match type_of(part) {
            _ if part.is_null() => Ok(()),
            "Sequence" => sequence(part, "normalizers").try_for_each(|part| self.normalizer(part)),
            // Not done: it would lose what the text was. See `Tokenizer`.
            "NFC" | "NFKC" => Ok(()),
            "Replace" if part["pattern"]["String"] == " " && is_space("content") => {
                self.spaces = true;
                Ok(())
            }
            "Precompiled" if self.normaliser.is_empty() && !self.spaces => self.charsmap(part),
            "Strip" if self.normaliser.runs == Runs::None && !self.spaces => {
                let [start, end] = self.normaliser.trims;
                self.normaliser.trims = [start | flag(part, "strip_left", true), end | flag(part, "strip_right", true)];
                Ok(())
            }
            "Replace" if part["pattern"]["Regex"] == " {2,}" && (is_space("content") || part["content"] == " ") => {
                self.normaliser.runs = Runs::Spaces;
                Ok(())
            }
            "Prepend" if is_space("prepend") => {
                self.prefix = true;
                Ok(())
            }
            _ => refuse("the normalizer", part),
        }
    }

    fn charsmap(&mut self, part: &Value) -> Result<()> {
        let text = part["precompiled_charsmap"].as_str().unwrap_or("");
        let Some(blob) = base64(text)? else {
            fail!(Model, "precompiled_charsmap of tokenizer.json is not base64: {}", shortened(text));
        };
        self.normaliser.map = if blob.is_empty() { None } else { Some(Charsmap::new(&blob)?) };
        Ok(())
    }

    pub(super) fn pre_tokenizer(&mut self, part: &Value) -> Result<()> {
        if self.by_bytes {
            return refuse("a pre_tokenizer after ByteLevel", part);
        }
        let regexes = &mut self.regexes;
        match type_of(part) {
            _ if part.is_null() => Ok(()),
            "Sequence" => sequence(part, "pretokenizers").try_for_each(|part| self.pre_tokenizer(part)),
            "ByteLevel" => {
                self.by_bytes = true;
                self.prefix |= flag(part, "add_prefix_space", true);
                if flag(part, "use_regex", true) { add_pattern(regexes, patterns::GPT2) } else { Ok(()) }
            }
            // The words that are left have a space before each, which is what `Metaspace` then does.
            "WhitespaceSplit" if !self.spaces && regexes.is_empty() => {
                (self.normaliser.trims, self.normaliser.runs) = ([true; 2], Runs::WhiteSpace);
                Ok(())
            }
            "Digits" if flag(part, "individual_digits", false) => add_pattern(regexes, patterns::DIGIT),
            "Digits" => add_pattern(regexes, patterns::DIGITS),
            "Punctuation" => match part["behavior"].as_str() {
                None | Some("Isolated") => add_pattern(regexes, patterns::PUNCTUATION),
                Some("Contiguous") => add_pattern(regexes, patterns::PUNCTUATIONS),
                Some(_) => refuse("the pre_tokenizer", part),
            },
            "Split" => self.split(part),
            "Metaspace" => self.metaspace(part),
            _ => refuse("the pre_tokenizer", part),
        }
    }

    fn split(&mut self, part: &Value) -> Result<()> {
        let invert = flag(part, "invert", false);
        match (part["pattern"]["Regex"].as_str(), part["behavior"].as_str()) {
            // The other pieces are removed, but the known patterns of this kind leave none.
            (Some(pattern), Some("Removed")) if invert => add_pattern(&mut self.regexes, pattern),
            (Some(pattern), Some("Isolated")) => add_pattern(&mut self.regexes, pattern),
            // The normaliser has left no space.
            (None, _) if self.spaces && part["pattern"]["String"] == " " => Ok(()),
            _ => refuse("the pre_tokenizer", part),
        }
    }

    fn metaspace(&mut self, part: &Value) -> Result<()> {
        if !part["replacement"].as_str().is_some_and(|s| s.chars().eq([alphabet::SPACE])) || self.cuts_spaces {
            return refuse("the pre_tokenizer", part);
        }
        let is_split = self.normaliser.runs == Runs::WhiteSpace;
        if is_split && part["prepend_scheme"] == "first" {
            return refuse("the pre_tokenizer", part);
        }
        self.spaces = true;
        self.prefix |= match part["prepend_scheme"].as_str() {
            Some("always" | "first") => true,
            Some("never") => false,
            None => flag(part, "add_prefix_space", true),
            Some(_) => return refuse("the pre_tokenizer", part),
        };
        self.cuts_spaces = flag(part, "split", true);
        Ok(())
    }

    pub(super) fn spelling(&self) -> Result<Spelling> {
        if self.normaliser.runs == Runs::WhiteSpace && !(self.spaces && self.prefix) {
            fail!(Model, "tokenizer.json asks for WhitespaceSplit without a Metaspace that prepends U+2581");
        }
        match (self.by_bytes, self.spaces) {
            (true, true) => fail!(Model, "tokenizer.json asks both for ByteLevel and for U+2581 in place of spaces"),
            (true, false) => Ok(Spelling::Alphabet),
            (false, true) => Ok(Spelling::Spaces),
            (false, false) if self.prefix => {
                fail!(Model, "tokenizer.json prepends U+2581, but replaces no space by it")
            }
            (false, false) => Ok(Spelling::Plain),
        }
    }
}

/// Checks that decoding is what the pre-tokeniser implies.
pub(super) fn check_decoder(part: &Value) -> Result<()> {
    match type_of(part) {
        _ if part.is_null() => Ok(()),
        "Sequence" => sequence(part, "decoders").try_for_each(check_decoder),
        "ByteLevel" | "ByteFallback" | "Fuse" | "Strip" | "Metaspace" | "Replace" => Ok(()),
        _ => refuse("the decoder", part),
    }
}

/// The tokens that a template puts before and after a text.
pub(super) fn template(part: &Value, raw: &Raw, names: &Names, special: &mut Special) -> Result<()> {
    match type_of(part) {
        _ if part.is_null() => Ok(()),
        "Sequence" => sequence(part, "processors").try_for_each(|part| template(part, raw, names, special)),
        "ByteLevel" => Ok(()),
        "TemplateProcessing" => {
            let mut is_after = false;
            for piece in sequence(part, "single") {
                if piece.get("Sequence").is_some() {
                    is_after = true;
                    continue;
                }
                let name = piece["SpecialToken"]["id"].as_str().unwrap_or("");
                let Some(id) = raw.find(names, name) else {
                    fail!(Model, "the post_processor of tokenizer.json adds \"{}\", no such token", shortened(name));
                };
                if is_after {
                    (special.eos, special.adds_eos) = (Some(id), true);
                } else {
                    (special.bos, special.adds_bos) = (Some(id), true);
                }
            }
            Ok(())
        }
        _ => refuse("the post_processor", part),
    }
}
