//! From the parts that a file names to a tokenizer.

use super::encode::{Cut, Model, Rules};
use super::joints::Joints;
use super::normalise::Normaliser;
use super::patterns;
use super::prefixes::Prefixes;
use super::raw::{Kind, Raw};
use super::regex::Regex;
use super::table::{Key, Merge, Names, Pairs};
use super::tokenizer::{Special, Tokenizer};
use super::unigram::Unigram;
use super::vocabulary::{Spelling, Vocabulary};
use crate::error::{Result, fail, shortened};
use crate::numeric::buffer::grow;
use crate::numeric::reserve::Reserve;

/// The largest number of merges. Gemma 3 has 514,906 of them.
pub(super) const MAX_MERGES: usize = 1 << 22;
/// The most patterns of a pre-tokeniser.
const MAX_PATTERNS: usize = 8;

/// Merges in the order of a file.
#[derive(Debug, Default)]
pub(super) struct Merges {
    /// Left, right, the merge.
    list: Vec<(u32, u32, Merge)>,
    /// Working memory for the name of a result.
    joined: Vec<u8>,
}

impl Merges {
    /// Adds a merge.
    ///
    /// # Errors
    /// `Model` if there are too many; `Memory`.
    pub(super) fn add(&mut self, left: u32, right: u32, merge: Merge) -> Result<()> {
        if self.list.len() == MAX_MERGES {
            fail!(Model, "the tokenizer has more than {MAX_MERGES} merges");
        }
        grow(&mut self.list, 1, "the merges of a tokenizer")?;
        self.list.push((left, right, merge));
        Ok(())
    }

    /// Adds the next merge of a list, by the names of its two tokens.
    ///
    /// # Errors
    /// As [`Merges::add`], and `Model` if the two or their result are not tokens.
    pub(super) fn add_names(&mut self, raw: &Raw, names: &Names, left: &str, right: &str) -> Result<()> {
        let i = self.list.len();
        self.joined.clear();
        grow(&mut self.joined, left.len() + right.len(), "a merge")?;
        self.joined.extend_from_slice(left.as_bytes());
        self.joined.extend_from_slice(right.as_bytes());
        let find = |name: &[u8]| match raw.find_bytes(names, name) {
            Some(id) => Ok(id),
            None => {
                let name = String::from_utf8_lossy(&name[..name.len().min(1000)]);
                let (left, right, name) = (shortened(left), shortened(right), shortened(&name));
                fail!(Model, "merge {i} of the tokenizer is \"{left}\" and \"{right}\", but \"{name}\" is not a token")
            }
        };
        let (left_id, right_id, token) = (find(left.as_bytes())?, find(right.as_bytes())?, find(&self.joined)?);
        self.add(left_id, right_id, Merge { rank: i as u32, token })
    }
}

/// How words become tokens, as files say it.
#[derive(Debug)]
pub(super) enum Engine {
    /// Merges. `whole`: a word that is a token is not merged.
    Bpe { merges: Merges, whole: bool },
    /// A score for each token.
    Unigram(Vec<f64>),
}

/// The parts of a tokenizer.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) raw: Raw,
    pub(super) spelling: Spelling,
    pub(super) engine: Engine,
    /// The patterns of the pre-tokeniser, in order.
    pub(super) regexes: Vec<Regex>,
    /// The pre-tokeniser cuts before each space.
    pub(super) cuts_spaces: bool,
    /// Text gets a space in front.
    pub(super) prefix: bool,
    pub(super) normaliser: Normaliser,
    /// The user-defined tokens that are matched after the others, sorted.
    pub(super) late: Vec<u32>,
    pub(super) special: Special,
}

/// Compiles a pattern of a pre-tokeniser and appends it.
///
/// # Errors
/// `Model`, `Memory`.
pub(super) fn add_pattern(regexes: &mut Vec<Regex>, pattern: &str) -> Result<()> {
    // A class takes about 200 bytes, and has at least one byte of the pattern.
    let _reserve = Reserve::take_for(400 * pattern.len().min(4096), "a pattern of a pre-tokenizer")?;
    if regexes.len() == MAX_PATTERNS {
        fail!(Model, "the pre-tokenizer has more than {MAX_PATTERNS} patterns");
    }
    regexes.push(Regex::new(pattern)?);
    Ok(())
}

/// Appends the patterns that a GGUF file names. The result says whether a word that is a token is not merged.
///
/// # Errors
/// `Model` for an unknown name; `Memory`.
pub(super) fn add_named(regexes: &mut Vec<Regex>, pre: &str) -> Result<bool> {
    let Some((all, whole)) = patterns::of_gguf(pre) else {
        fail!(Model, "tokenizer.ggml.pre is \"{}\", a pre-tokenizer that gptz does not have", shortened(pre));
    };
    all.iter().try_for_each(|pattern| add_pattern(regexes, pattern))?;
    Ok(whole)
}

/// Makes a tokenizer.
///
/// # Errors
/// `Memory`.
pub(super) fn build(parts: Parts, key: Key) -> Result<Tokenizer> {
    let Parts { raw, spelling, engine, regexes, cuts_spaces, prefix, normaliser, late, special } = parts;
    let vocabulary = Vocabulary::new(&raw, spelling)?;
    let names = vocabulary.names(&raw, spelling, key)?;
    // A name with U+2581 for spaces is not the text that it stands for.
    let is_added = |id: u32| {
        raw.kind(id) == Kind::UserDefined
            && (spelling != Spelling::Spaces || raw.name(id).as_bytes() == vocabulary.bytes(id))
    };
    let is_late = |id: &u32| late.binary_search(id).is_ok();
    let added = [
        Prefixes::new(&vocabulary, |id| is_added(id) && !is_late(&id))?,
        Prefixes::new(&vocabulary, |id| is_added(id) && is_late(&id))?,
    ];
    let by_bytes = spelling == Spelling::Alphabet;
    let model = match engine {
        Engine::Bpe { merges: Merges { list: merges, .. }, whole } => {
            let mut pairs = Pairs::new(merges.len(), key)?;
            // Text never becomes a control token, even if the file has the merges for it.
            let is_word = |merge: &Merge| matches!(raw.kind(merge.token), Kind::Normal | Kind::UserDefined);
            merges.iter().filter(|(.., merge)| is_word(merge)).for_each(|(l, r, merge)| pairs.add(*l, *r, *merge));
            Model::Bpe { pairs, whole }
        }
        Engine::Unigram(scores) => {
            let is_word = |id: u32| names.find(vocabulary.bytes(id), |id| vocabulary.bytes(id)) == Some(id);
            Model::Unigram(Unigram::new(scores, Prefixes::new(&vocabulary, is_word)?))
        }
    };
    let cut = match () {
        () if cuts_spaces => Cut::Spaces,
        () if regexes.is_empty() => Cut::Joints(Joints::new(&vocabulary)?),
        () => Cut::Nowhere,
    };
    let rules = Rules { vocabulary, names, model, by_bytes, added, regexes, cut, key };
    Ok(Tokenizer { rules, special, prefix, normaliser: Some(normaliser).filter(|n| !n.is_empty()) })
}
