//! Method strings: one name for everything that must match between the two sides.

use std::path::PathBuf;

use crate::adapt::{GruRule, Rule, Train};
use crate::container::{MAX_METHOD_LEN, MethodRef};
use crate::error::{Result, fail};
use crate::mix::Options;
use crate::model::rwkv7::{Config, Packing};
use crate::model::{builtin, gru};
use crate::numeric::matmul::Precision;

/// Methods that frames name by a number. A released number and its string never change (until 1.0: provisional).
const REGISTERED: [(u8, &str); 10] = [
    (
        1,
        "cfg:hidden=128,layers=1,intermediate=256,decay_rank=8,a_rank=8,v_rank=8,g_rank=16,head_size=32,\
         seed=0,train=adam,lr=0.001,stride=1",
    ),
    (2, "mix:neural=none,orders=0-6,word=1,match=1,sparse=1,mem=16M"),
    (3, "mix:neural=none,orders=0-6,word=1,match=1,sparse=1,fast=2,mem=16M"),
    (4, "mix:neural=none,orders=0-6,word=1,match=1,sparse=1,fast=1,mem=16M"),
    (5, "mix:neural=(builtin:1),orders=0-6,word=1,match=1,sparse=1,mem=16M"),
    (6, "mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1),orders=0-6,word=1,match=1,sparse=1,mem=16M"),
    (
        7,
        "mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1)+\
         (gru:embed=32,hidden=64,bptt=20,stride=20,train=adam,lr=0.003,clip=5,seed=0),\
         orders=0-6,word=1,match=1,sparse=1,mem=16M",
    ),
    (
        8,
        "mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1)+\
         (gru:embed=32,hidden=128,bptt=20,stride=10,train=adam,lr=0.002,clip=5,seed=0),\
         orders=0-6,word=1,match=1,sparse=1,mem=16M",
    ),
    (
        9,
        "mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1)+\
         (gru:embed=32,hidden=128,bptt=20,stride=10,replay=3,train=adam,lr=0.002,clip=5,seed=0),\
         orders=0-6,word=1,match=1,sparse=1,mem=16M",
    ),
    (
        10,
        "mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1)+\
         (gru:embed=32,hidden=160,bptt=20,stride=10,replay=8,train=adam,lr=0.0015,clip=5,seed=0),\
         orders=0-6,word=1,match=1,sparse=1,mem=16M",
    ),
];

/// What `level:1`, `level:2` and so on stand for, by their registered numbers: faster to smaller. Frames hold the method
/// itself, so that these may change.
const LEVELS: [u8; 9] = [3, 4, 2, 5, 6, 7, 8, 9, 10];

/// What `NULL` stands for: the smallest at some ten thousand bytes a second that this build has all of.
pub const DEFAULT: &str = if builtin::CARRIED { "level:5" } else { "level:3" };

/// Where the network comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// `cfg:`: random weights of this shape and seed; the head may learn.
    Config {
        /// The shape.
        config: Config,
        /// Names the random weights.
        seed: u64,
        /// How the head learns.
        rule: Rule,
    },
    /// `gru:`: random weights of this shape and seed, which all learn.
    Gru {
        /// The shape.
        config: gru::Config,
        /// Names the random weights.
        seed: u64,
        /// How they learn.
        rule: GruRule,
    },
    /// `builtin:`: weights of this name that the library carries, frozen.
    Builtin(String),
    /// `file:`: a weights file, frozen. The path serves to open it and is no part of the method's identity.
    File(PathBuf),
}

/// A network and what goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Where it comes from.
    pub base: Base,
    /// How frozen matrices are held.
    pub weights: Precision,
    /// How a second head learns, beside the frozen one, where there is one: only in a mix.
    pub head: Option<Rule>,
}

/// A parsed method string.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// One where nothing is mixed; in a mix none, one, or two of which the second is a GRU.
    pub networks: Vec<Network>,
    /// What is mixed, where anything is.
    pub mix: Option<Options>,
}

/// How far back a GRU's errors may go.
const MAX_BPTT: u32 = 64;
/// How many earlier stretches of text a GRU may learn from each time.
const MAX_REPLAY: u32 = 64;
/// A second head leaves alone what it was so nearly right about: it costs half the time, and no bits.
const LEAST_ERROR: f32 = 1.0 / 64.0;

const FROZEN: Rule = Rule { train: Train::None, lr: 0.001, stride: 1, least: 0.0 };

impl Method {
    /// Parses a method string.
    ///
    /// # Errors
    /// `Method`, quoting the part that is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Some(level) = text.strip_prefix("level:") {
            let level = level.parse::<usize>().ok().filter(|_| is_number(level)).and_then(|n| n.checked_sub(1));
            return match level.and_then(|n| LEVELS.get(n)) {
                Some(id) => Self::parse(resolve(&MethodRef::Registered(*id))?),
                None => fail!(Method, "\"{text}\": level:1 to level:{} are known", LEVELS.len()),
            };
        }
        Self::parse_with(text, false)
    }

    /// The method of a model that is held already: a `mix:` of it, in which it is `neural=(file:)`, or the segments that
    /// follow a base, such as `weights=f32`, or none.
    ///
    /// # Errors
    /// As [`Method::parse`]; `Method` also for a mix of anything else.
    pub fn of_model(text: &str) -> Result<Self> {
        let text = text.trim();
        if !text.starts_with("mix:") {
            let segments = if text.is_empty() { String::new() } else { format!(";{text}") };
            return Self::parse_with(&format!("file:{segments}"), true);
        }
        let method = Self::parse_with(text, true)?;
        match &method.networks[..] {
            [Network { base: Base::File(path), .. }, ..] if path.as_os_str().is_empty() => Ok(method),
            _ => fail!(Method, "\"{text}\": of a model that is open, a mix has neural=(file:)"),
        }
    }

    /// Parses a method, where `given` with a model that is there already, as a file without a path.
    fn parse_with(text: &str, given: bool) -> Result<Self> {
        match text.strip_prefix("mix:") {
            Some(keys) => parse_mix(keys, given),
            None => Ok(Self { networks: vec![Network::parse(text, given, false)?], mix: None }),
        }
    }

    /// The canonical form: what frames store and sides compare. Every key of a `cfg:` base in its order, `head_size`
    /// and `weights` only where they are not the default; a file's path is left out. Every key of a `mix:`.
    pub fn canonical(&self) -> String {
        let networks: Vec<String> = self.networks.iter().map(Network::canonical).collect();
        let text = match self.mix {
            Some(o) => {
                let networks: Vec<String> = networks.into_iter().map(|n| format!("({n})")).collect();
                let networks = if networks.is_empty() { "none".to_owned() } else { networks.join("+") };
                let [words, matches, sparse] = [o.words, o.matches, o.sparse].map(u8::from);
                let fast = if o.fast > 0 { format!("fast={},", o.fast) } else { String::new() };
                format!(
                    "mix:neural={networks},orders=0-{},word={words},match={matches},sparse={sparse},{fast}mem={}",
                    o.highest_order,
                    memory_text(o.log)
                )
            }
            None => networks.concat(),
        };
        debug_assert!(text.len() <= MAX_METHOD_LEN);
        text
    }
}

impl Network {
    fn new(base: Base) -> Self {
        Self { base, weights: Precision::I8, head: None }
    }

    /// A base and what follows it. `mixed`: inside a mix.
    fn parse(text: &str, given: bool, mixed: bool) -> Result<Self> {
        let mut parts = text.split(';');
        let mut network = Self::new(parse_base(parts.next().unwrap_or_default().trim(), given)?);
        let mut seen = false;
        for segment in parts.map(str::trim) {
            if let Some(value) = segment.strip_prefix("weights=") {
                if matches!(network.base, Base::Gru { .. }) {
                    fail!(Method, "\"{segment}\": a GRU has no frozen weights");
                }
                if std::mem::replace(&mut seen, true) {
                    fail!(Method, "\"{segment}\": weights= may stand once");
                }
                network.weights = match value {
                    "i8" => Precision::I8,
                    "f32" => Precision::F32,
                    other => fail!(Method, "weights={other}: i8 and f32 are allowed"),
                };
            } else if let Some(keys) = segment.strip_prefix("head:") {
                network.set_head(keys, mixed)?;
            } else if segment.starts_with("policy:") {
                fail!(Method, "\"{segment}\": policies are not in this version of gptz");
            } else {
                fail!(Method, "\"{segment}\": an unknown segment; weights=i8|f32 and head: may follow the base");
            }
        }
        Ok(network)
    }

    /// `train=sgd,lr=0.01,stride=1`: any of them, these are the defaults.
    fn set_head(&mut self, keys: &str, mixed: bool) -> Result<()> {
        let frozen = !matches!(self.base, Base::Gru { .. }) && self.rule().train == Train::None;
        if !mixed || !frozen || self.head.is_some() {
            fail!(Method, "\"head:{keys}\": may stand once, in a mix, behind a network that learns nothing else");
        }
        let mut draft = Draft::new();
        draft.rule = Rule { train: Train::Sgd, lr: 0.01, stride: 1, least: LEAST_ERROR };
        for (key, value) in pairs(keys)? {
            if !["train", "lr", "stride"].contains(&key) {
                fail!(Method, "\"{key}={value}\": an unknown key of head:; train, lr and stride are known");
            }
            draft.set_rule(key, value)?;
        }
        if draft.rule.train == Train::None {
            fail!(Method, "\"head:{keys}\": a second head that does not learn is the first one again");
        }
        self.head = Some(draft.rule);
        Ok(())
    }

    /// Its part of the canonical form.
    fn canonical(&self) -> String {
        let mut text = match &self.base {
            Base::File(_) => "file:".to_owned(),
            Base::Builtin(name) => format!("builtin:{name}"),
            Base::Gru { config: c, seed, rule: r } => {
                // What was added to the first keys stands only where it is not the default.
                let more = |key: &str, value: String, default: &str| {
                    if value == default { String::new() } else { format!("{key}={value},") }
                };
                format!(
                    "gru:embed={},hidden={},{}bptt={},{}{}{}lr={},clip={},seed={seed}",
                    c.embed,
                    c.hidden,
                    more("layers", c.layers.to_string(), "1"),
                    r.bptt,
                    more("stride", r.stride.to_string(), "1"),
                    more("replay", r.replay.to_string(), "0"),
                    more("train", train_name(r.train).to_owned(), "sgd"),
                    r.lr,
                    r.clip
                )
            }
            Base::Config { config: c, seed, rule } => {
                let train = train_name(rule.train);
                // What a frozen head does not use is no part of the method.
                let rule = if rule.train == Train::None { &FROZEN } else { rule };
                let head_size = if c.head_size == 64 { String::new() } else { format!("head_size={},", c.head_size) };
                format!(
                    "cfg:hidden={},layers={},intermediate={},decay_rank={},a_rank={},v_rank={},g_rank={},{head_size}\
                     seed={seed},train={train},lr={},stride={}",
                    c.hidden,
                    c.layers,
                    c.intermediate,
                    c.decay_rank,
                    c.a_rank,
                    c.v_rank,
                    c.g_rank,
                    rule.lr,
                    rule.stride
                )
            }
        };
        if self.weights == Precision::F32 {
            text.push_str(";weights=f32");
        }
        if let Some(r) = self.head {
            text.push_str(&format!(";head:train={},lr={},stride={}", train_name(r.train), r.lr, r.stride));
        }
        text
    }

    /// Whether it knows something before it has learned from the text: weights that were learned elsewhere.
    pub fn knows(&self) -> bool {
        matches!(self.base, Base::Builtin(_) | Base::File(_))
    }

    /// How a head learns: the network's own, or the second one.
    pub fn rule(&self) -> Rule {
        match (&self.base, self.head) {
            (_, Some(rule)) => rule,
            (Base::Config { rule, .. }, _) => *rule,
            _ => FROZEN,
        }
    }

    /// How the matrices are held: a head that is trained starts from f32, whatever the others are.
    pub fn packing(&self) -> Packing {
        let start = self.rule().train != Train::None;
        let as_it_is = !start || self.head.is_some();
        Packing { body: self.weights, head: as_it_is.then_some(self.weights), start }
    }
}

fn train_name(train: Train) -> &'static str {
    match train {
        Train::None => "none",
        Train::Sgd => "sgd",
        Train::Adam => "adam",
    }
}

/// How a frame names a canonical method.
pub fn reference(canonical: &str) -> MethodRef {
    match REGISTERED.iter().find(|(_, text)| *text == canonical) {
        Some((id, _)) => MethodRef::Registered(*id),
        None => MethodRef::Text(canonical.to_owned()),
    }
}

/// The canonical method that a frame names.
///
/// # Errors
/// `Format` for a number that is not registered here.
pub fn resolve(reference: &MethodRef) -> Result<&str> {
    match reference {
        MethodRef::Text(text) => Ok(text),
        MethodRef::Registered(id) => match REGISTERED.iter().find(|(number, _)| number == id) {
            Some((_, text)) => Ok(text),
            None => fail!(Format, "the frame names the registered method {id}, which this library does not have"),
        },
    }
}

/// A base is tried as a known prefix, then as numbers, then as a path.
fn parse_base(base: &str, given: bool) -> Result<Base> {
    if let Some(rest) = base.strip_prefix("cfg:") {
        let positional = rest.split(',').next().is_some_and(|first| is_number(first.trim()));
        return if positional { parse_positional(rest) } else { parse_keys(rest) };
    }
    if let Some(keys) = base.strip_prefix("gru:") {
        return parse_gru(keys);
    }
    if let Some(name) = base.strip_prefix("builtin:") {
        builtin::check(name)?;
        return Ok(Base::Builtin(name.to_owned()));
    }
    if let Some(path) = base.strip_prefix("file:") {
        if path.is_empty() != given {
            fail!(Method, "\"{base}\": {}", if given { "the model is open already" } else { "a path is missing" });
        }
        return Ok(Base::File(path.into()));
    }
    let fields: Vec<&str> = base.split(',').collect();
    if fields.len() > 1 && is_number(fields[0].trim()) {
        return parse_positional(base);
    }
    if !base.is_empty() && std::path::Path::new(base).exists() {
        return Ok(Base::File(base.into()));
    }
    fail!(Method, "\"{base}\": neither cfg:..., gru:..., builtin:..., file:PATH, numbers nor a file that exists")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// What a `cfg:` base is made of while it is read.
struct Draft {
    config: Config,
    seed: u64,
    rule: Rule,
}

impl Draft {
    fn new() -> Self {
        Self { config: Config::default(), seed: 0, rule: FROZEN }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let c = &mut self.config;
        let field = match key {
            "hidden" => &mut c.hidden,
            "layers" => &mut c.layers,
            "intermediate" => &mut c.intermediate,
            "head_size" => &mut c.head_size,
            "decay_rank" => &mut c.decay_rank,
            "a_rank" => &mut c.a_rank,
            "v_rank" => &mut c.v_rank,
            "g_rank" => &mut c.g_rank,
            _ => return self.set_rule(key, value),
        };
        *field = number(key, value, usize::MAX as u64)? as usize;
        Ok(())
    }

    fn set_rule(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "seed" => self.seed = number(key, value, u64::MAX)?,
            "stride" => {
                self.rule.stride = number(key, value, u64::from(u32::MAX))? as u32;
                if self.rule.stride == 0 {
                    fail!(Method, "stride=0: 1 or more is needed");
                }
            }
            "lr" => self.rule.lr = real(key, value, 1.0)?,
            "train" => {
                self.rule.train = match value {
                    "none" => Train::None,
                    "sgd" => Train::Sgd,
                    "adam" => Train::Adam,
                    _ => fail!(Method, "train={value}: none, sgd and adam are allowed"),
                }
            }
            _ => fail!(
                Method,
                "\"{key}={value}\": an unknown key; hidden, layers, intermediate, head_size, decay_rank, a_rank, \
                 v_rank, g_rank, seed, train, lr and stride are known"
            ),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Base> {
        self.config.check()?;
        if self.rule.train == Train::None {
            self.rule = FROZEN;
        }
        Ok(Base::Config { config: self.config, seed: self.seed, rule: self.rule })
    }
}

fn number(key: &str, value: &str, limit: u64) -> Result<u64> {
    match value.parse::<u64>() {
        Ok(n) if n <= limit && is_number(value) => Ok(n),
        _ => fail!(Method, "{key}={value}: a whole number is needed"),
    }
}

/// A number from 0 on.
fn real(key: &str, value: &str, most: f32) -> Result<f32> {
    match value.parse::<f32>() {
        Ok(x) if (0.0..=most).contains(&x) && x.is_sign_positive() => Ok(x),
        _ => fail!(Method, "{key}={value}: a number from 0 to {most} is needed"),
    }
}

/// `embed=32,hidden=128,layers=1,bptt=10,stride=1,replay=0,train=sgd,lr=0.01,clip=5,seed=0`: any of them, these are the defaults.
fn parse_gru(text: &str) -> Result<Base> {
    let (mut config, mut seed) = (gru::Config::default(), 0);
    let mut rule = GruRule { train: Train::Sgd, lr: 0.01, clip: 5.0, bptt: 10, stride: 1, replay: 0 };
    for (key, value) in pairs(text)? {
        let size = || number(key, value, 1 << 16).map(|n| n as usize);
        match key {
            "embed" => config.embed = size()?,
            "hidden" => config.hidden = size()?,
            "layers" => config.layers = size()?,
            "bptt" => rule.bptt = size()? as u32,
            "stride" => rule.stride = size()? as u32,
            "replay" => rule.replay = size()? as u32,
            "lr" => rule.lr = real(key, value, 1.0)?,
            "clip" => rule.clip = real(key, value, 1e6)?,
            "seed" => seed = number(key, value, u64::MAX)?,
            "train" => {
                rule.train = match value {
                    "sgd" => Train::Sgd,
                    "adam" => Train::Adam,
                    _ => fail!(Method, "train={value}: sgd and adam are allowed"),
                }
            }
            _ => fail!(
                Method,
                "\"{key}={value}\": an unknown key; embed, hidden, layers, bptt, stride, replay, train, lr, clip and seed are \
                 known"
            ),
        }
    }
    config.check()?;
    if !(1..=MAX_BPTT).contains(&rule.bptt) {
        fail!(Method, "bptt={}: 1 to {MAX_BPTT} are allowed", rule.bptt);
    }
    if rule.replay > 0 && rule.bptt == 1 {
        fail!(Method, "replay={}: with bptt=1 there is nothing to learn from earlier text", rule.replay);
    }
    if rule.replay > MAX_REPLAY {
        fail!(Method, "replay={}: 0 to {MAX_REPLAY} are allowed", rule.replay);
    }
    if !(1..=rule.bptt).contains(&rule.stride) {
        fail!(Method, "stride={}: 1 to bptt={} are allowed", rule.stride, rule.bptt);
    }
    Ok(Base::Gru { config, seed, rule })
}

fn parse_keys(text: &str) -> Result<Base> {
    let mut draft = Draft::new();
    for (key, value) in pairs(text)? {
        draft.set(key, value)?;
    }
    draft.finish()
}

/// Sizes as they are written: 64K, 16M.
fn memory_text(log: u8) -> String {
    let unit = ["K", "M"][usize::from(log / 10) - 1];
    format!("{}{unit}", 1 << (log % 10))
}

/// 2^16 to 2^27 bytes, powers of two: what a handle's predictors may take together bounds it.
fn memory(value: &str) -> Result<u8> {
    match (16..=27).find(|log| memory_text(*log) == value) {
        Some(log) => Ok(log),
        None => fail!(Method, "mem={value}: a power of two from 64K to 128M is needed"),
    }
}

fn switch(key: &str, value: &str) -> Result<bool> {
    match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => fail!(Method, "{key}={value}: 0 and 1 are allowed"),
    }
}

/// `0-6`.
fn orders(value: &str) -> Result<u8> {
    match value.strip_prefix("0-").filter(|n| is_number(n)).and_then(|n| n.parse::<u8>().ok()) {
        Some(n) if (2..=8).contains(&n) => Ok(n),
        _ => fail!(Method, "orders={value}: 0-2 to 0-8 are allowed"),
    }
}

/// The networks of a mix: `none`, or one in parentheses, and perhaps a GRU behind a plus. Not a bare path: what a frame
/// names must not be looked for among files.
fn parse_neural(value: &str, given: bool) -> Result<Vec<Network>> {
    if value == "none" {
        return Ok(Vec::new());
    }
    let mut networks = Vec::new();
    for part in split_outside(value, '+')? {
        let inner = part.trim().strip_prefix('(').and_then(|v| v.strip_suffix(')')).map(str::trim);
        let known = |inner: &&str| ["cfg:", "gru:", "builtin:", "file:"].iter().any(|known| inner.starts_with(known));
        let Some(inner) = inner.filter(known) else {
            fail!(
                Method,
                "neural={value}: none, (cfg:...), (gru:...), (builtin:...) and (file:PATH) are allowed, and +(gru:...) \
                 behind them"
            );
        };
        networks.push(Network::parse(inner, given, true)?);
    }
    if networks.len() > 2 || networks.get(1).is_some_and(|n| !matches!(n.base, Base::Gru { .. })) {
        fail!(Method, "neural={value}: one network, and a GRU behind a plus, are allowed");
    }
    Ok(networks)
}

/// The keys and values between commas, each key once.
fn pairs(text: &str) -> Result<Vec<(&str, &str)>> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for part in split_outside(text, ',')?.into_iter().filter(|_| !text.trim().is_empty()) {
        let Some((key, value)) = part.trim().split_once('=') else {
            fail!(Method, "\"{part}\": key=value is needed");
        };
        let (key, value) = (key.trim(), value.trim());
        if pairs.iter().any(|(seen, _)| *seen == key) {
            fail!(Method, "\"{part}\": {key} stands twice");
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// What stands between separators that are outside of parentheses.
fn split_outside(text: &str, separator: char) -> Result<Vec<&str>> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0u32);
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => fail!(Method, "\"{text}\": a parenthesis is closed that is not open"),
            ')' => depth -= 1,
            c if c == separator && depth == 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    if depth > 0 {
        fail!(Method, "\"{text}\": a parenthesis is not closed");
    }
    parts.push(&text[start..]);
    Ok(parts)
}

/// `neural=...,orders=0-6,word=1,match=1,sparse=1,fast=0,mem=16M`: any of them, these are the defaults, without a network.
fn parse_mix(text: &str, given: bool) -> Result<Method> {
    let mut options =
        Options { neural: 0, knowing: 0, highest_order: 6, words: true, matches: true, sparse: true, fast: 0, log: 24 };
    let mut networks = if given { vec![Network::new(Base::File(PathBuf::new()))] } else { Vec::new() };
    for (key, value) in pairs(text)? {
        match key {
            "neural" => networks = parse_neural(value, given)?,
            "orders" => options.highest_order = orders(value)?,
            "word" => options.words = switch(key, value)?,
            "match" => options.matches = switch(key, value)?,
            "fast" => options.fast = number(key, value, 2)? as u8,
            "sparse" => options.sparse = switch(key, value)?,
            "mem" => options.log = memory(value)?,
            _ => fail!(
                Method,
                "\"{key}={value}\": an unknown key; neural, orders, word, match, sparse, fast and mem are known"
            ),
        }
    }
    let views = |n: &Network| 1 + u8::from(n.head.is_some());
    options.neural = networks.iter().map(views).sum();
    options.knowing = networks.iter().filter(|n| n.knows()).map(views).sum();
    Ok(Method { networks, mix: Some(options) })
}

/// `hidden,intermediate,layers,train,seed,lr[,stride]`.
fn parse_positional(text: &str) -> Result<Base> {
    const KEYS: [&str; 7] = ["hidden", "intermediate", "layers", "train", "seed", "lr", "stride"];
    let fields: Vec<&str> = text.split(',').map(str::trim).collect();
    if !(KEYS.len() - 1..=KEYS.len()).contains(&fields.len()) {
        fail!(Method, "\"{text}\": {} values; {} are needed: {}", fields.len(), KEYS.len() - 1, KEYS.join(","));
    }
    let mut draft = Draft::new();
    for (key, value) in KEYS.iter().zip(fields) {
        draft.set(key, value)?;
    }
    draft.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    const ALL: &str = "cfg:hidden=256,layers=6,intermediate=1024,decay_rank=32,a_rank=32,v_rank=32,g_rank=64,\
                       seed=0,train=none,lr=0.001,stride=1";

    fn canonical(text: &str) -> String {
        Method::parse(text).unwrap().canonical()
    }

    #[test]
    fn every_spelling_of_a_method_has_one_canonical_form() {
        assert_eq!(canonical("cfg:"), ALL);
        assert_eq!(canonical(ALL), ALL);
        assert_eq!(canonical("cfg: layers = 6 , hidden=256;weights=i8"), ALL);
        assert_eq!(canonical("256,1024,6,none,0,0.5"), ALL);
        assert_eq!(canonical("cfg:256,1024,6,none,0,0.001,1"), ALL);
        assert_eq!(canonical("cfg:train=none,lr=0.25,stride=9"), ALL);
        let sgd = canonical("64,64,1,sgd,5,1e-3,2");
        assert!(
            sgd.starts_with("cfg:hidden=64,layers=1,intermediate=64,")
                && sgd.ends_with("seed=5,train=sgd,lr=0.001,stride=2")
        );
        assert!(canonical("cfg:head_size=32,hidden=32;weights=f32").ends_with(",stride=1;weights=f32"));
        assert!(canonical("cfg:head_size=32,hidden=32").contains("g_rank=64,head_size=32,seed=0"));
        let mix = "mix:neural=none,orders=0-6,word=1,match=1,sparse=1,mem=16M";
        for same in ["mix:", mix, " mix: sparse=1 , mem=16M,neural=none", "level:3"] {
            assert_eq!(canonical(same), mix);
        }
        assert_eq!(
            canonical("mix:orders=0-2,mem=64K,match=0"),
            "mix:neural=none,orders=0-2,word=1,match=0,sparse=1,mem=64K"
        );
        assert_eq!(canonical("mix:fast=0"), mix);
        assert_eq!(canonical("mix:fast=2"), canonical("level:1"));
        let with_network = canonical("mix:neural=(cfg:train=adam;weights=f32),mem=128M,word=0");
        let network = canonical("cfg:train=adam;weights=f32");
        assert_eq!(with_network, format!("mix:neural=({network}),orders=0-6,word=0,match=1,sparse=1,mem=128M"));
        assert_eq!(canonical(&with_network), with_network);
        assert!(canonical("mix:neural=(file:x)").starts_with("mix:neural=(file:),orders"));
        let gru = "gru:embed=32,hidden=128,bptt=10,lr=0.01,clip=5,seed=0";
        for same in ["gru:", gru, " gru: clip=5.0 ,layers=1, stride=1,train=sgd,replay=0"] {
            assert_eq!(canonical(same), gru);
        }
        let all = "gru:embed=16,hidden=32,layers=2,bptt=8,stride=4,replay=1,train=adam,lr=0.002,clip=0.5,seed=9";
        assert_eq!(canonical(all), all);
        assert!(canonical(&format!("mix:neural=({all})")).starts_with(&format!("mix:neural=({all}),orders=")));
        let built_in =
            "mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1),orders=0-6,word=1,match=1,sparse=1,mem=16M";
        for same in ["mix:neural=(builtin:1;head:)", " mix: neural = ( builtin:1; head: stride=1 ) ", built_in] {
            assert_eq!(canonical(same), built_in);
        }
        let two = format!("mix:neural=(file:;weights=f32;head:train=adam,lr=0.5,stride=3)+({gru}),orders=0-6");
        assert!(
            canonical(&format!("mix:neural=(file:a+b;head:stride=3,lr=0.5,train=adam;weights=f32) + ({gru})"))
                .starts_with(&two)
        );
        assert_eq!(canonical("builtin:1;weights=f32"), "builtin:1;weights=f32");
        assert_eq!(canonical("file:/no/such/thing"), "file:");
        assert_eq!(canonical(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")), "file:");
        assert_eq!(canonical("file:x;weights=f32"), "file:;weights=f32");
    }

    #[test]
    fn a_model_that_is_open_takes_the_place_of_a_path() {
        let canonical = |text| Method::of_model(text).map(|m| m.canonical());
        assert_eq!(canonical("").unwrap(), "file:");
        assert_eq!(canonical("weights=f32").unwrap(), "file:;weights=f32");
        let mix = "mix:neural=(file:;head:train=sgd,lr=0.02,stride=1),orders=0-4,word=1,match=1,sparse=1,mem=1M";
        assert_eq!(canonical(mix).unwrap(), mix);
        assert!(canonical("mix:mem=1M").unwrap().starts_with("mix:neural=(file:),"));
        for wrong in ["file:", "mix:neural=(file:x)", "mix:neural=none", "mix:neural=(builtin:1)", "level:3", "cfg:"] {
            assert_eq!(canonical(wrong).unwrap_err().status(), Status::Method, "{wrong}");
        }
    }

    #[test]
    fn registered_methods_are_canonical_and_resolve() {
        for (id, text) in REGISTERED {
            assert_eq!(canonical(text), text);
            assert_eq!(reference(text), MethodRef::Registered(id));
            assert_eq!(resolve(&MethodRef::Registered(id)).unwrap(), text);
        }
        assert_eq!(canonical(DEFAULT), resolve(&MethodRef::Registered(if builtin::CARRIED { 6 } else { 2 })).unwrap());
        assert!(
            (1..=9).all(|level| matches!(reference(&canonical(&format!("level:{level}"))), MethodRef::Registered(_)))
        );
        assert_eq!(resolve(&MethodRef::Registered(255)).unwrap_err().status(), Status::Format);
    }

    #[test]
    fn a_mistake_is_told_by_quoting_it() {
        let cases = [
            ("", "\"\""),
            ("nonsense", "nonsense"),
            ("cfgg:hidden=64", "cfgg"),
            ("file:", "file:"),
            ("cfg:hiden=64", "hiden"),
            ("cfg:hidden", "hidden"),
            ("cfg:hidden=", "hidden="),
            ("cfg:hidden=-64", "-64"),
            ("cfg:hidden=+64", "+64"),
            ("cfg:hidden=6 4", "6 4"),
            ("cfg:hidden=64,hidden=64", "hidden"),
            ("cfg:hidden=64,,layers=1", "\"\""),
            ("cfg:hidden=65", "hidden=65"),
            ("cfg:hidden=99999999999999999999", "99999999999999999999"),
            ("cfg:head_size=16", "head_size=16"),
            ("cfg:layers=0", "layers=0"),
            ("cfg:train=rmsprop", "rmsprop"),
            ("cfg:lr=nan", "nan"),
            ("cfg:lr=-0.0", "-0.0"),
            ("cfg:lr=inf", "inf"),
            ("cfg:lr=1.5", "1.5"),
            ("cfg:stride=0", "stride=0"),
            ("cfg:seed=18446744073709551616", "18446744073709551616"),
            ("256,1024", "256,1024"),
            ("256,1024,6,none,0,0.001,1,1", "256,1024,6"),
            ("256,1024,six,none,0,0.001", "six"),
            ("cfg:;weights=i4", "i4"),
            ("cfg:;weights=i8;weights=i8", "weights=i8"),
            ("cfg:;", "\"\""),
            ("cfg:;policy:schedule=0..5:train", "policy:schedule"),
            ("cfg:;threads=4", "threads=4"),
            ("mix:orders=0-9", "orders=0-9"),
            ("mix:orders=1-6", "orders=1-6"),
            ("mix:mem=3M", "mem=3M"),
            ("mix:mem=32K", "mem=32K"),
            ("mix:mem=256M", "mem=256M"),
            ("mix:word=2", "word=2"),
            ("mix:fast=3", "fast=3"),
            ("mix:word=1,word=1", "word"),
            ("mix:words=1", "words"),
            ("mix:neural=cfg:hidden=64", "neural=cfg"),
            ("mix:neural=(mix:)", "(mix:)"),
            ("mix:neural=(Cargo.toml)", "Cargo.toml"),
            ("mix:neural=(cfg:hidden=65)", "hidden=65"),
            ("mix:neural=(cfg:hidden=64", "not closed"),
            ("mix:neural=none),", "not open"),
            ("mix:;weights=f32", "weights"),
            ("level:0", "level:0"),
            ("level:10", "level:10"),
            ("gru:embed=8", "embed=8"),
            ("gru:hidden=4096", "hidden=4096"),
            ("gru:layers=9", "layers=9"),
            ("gru:bptt=0", "bptt=0"),
            ("gru:bptt=65", "bptt=65"),
            ("gru:stride=11", "stride=11"),
            ("gru:replay=65", "replay=65"),
            ("gru:train=none", "train=none"),
            ("gru:lr=-1", "lr=-1"),
            ("gru:clip=inf", "clip=inf"),
            ("gru:bptt=1,replay=1", "replay=1"),
            ("gru:;weights=f32", "weights=f32"),
            ("mix:neural=(gru:;weights=i8)", "weights=i8"),
            ("gru:size=1", "size=1"),
            ("builtin:", "builtin:"),
            ("builtin:0", "builtin:0"),
            ("builtin:1;head:", "head:"),
            ("mix:neural=(builtin:1;head:;head:)", "head:"),
            ("mix:neural=(builtin:1;head:seed=1)", "seed=1"),
            ("mix:neural=(builtin:1;head:train=none)", "train=none"),
            ("mix:neural=(gru:;head:)", "head:"),
            ("mix:neural=(cfg:train=sgd;head:)", "head:"),
            ("mix:neural=(builtin:1)+(builtin:1)", "(builtin:1)+(builtin:1)"),
            ("mix:neural=(gru:)+(gru:)+(gru:)", "+(gru:)+"),
            ("mix:neural=(gru:)+", "(gru:)+"),
            ("mix:neural=none+(gru:)", "none+(gru:)"),
            ("mix:neural=(file:)", "a path is missing"),
            ("level:", "level:"),
            ("level:+3", "level:+3"),
        ];
        for (text, quoted) in cases {
            let e = Method::parse(text).expect_err(text);
            assert_eq!(e.status(), Status::Method, "{text}");
            assert!(e.message().contains(quoted), "{text}: {e}");
        }
    }
}
