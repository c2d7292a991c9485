//! Method strings: one name for everything that must match between the two sides.

use std::path::PathBuf;

use crate::adapt::{Rule, Train};
use crate::container::{MAX_METHOD_LEN, MethodRef};
use crate::error::{Result, fail};
use crate::model::rwkv7::{Config, Packing};
use crate::numeric::matmul::Precision;

/// Methods that frames name by a number. A released number and its string never change (until 1.0: provisional).
const REGISTERED: [(u8, &str); 1] = [(
    1,
    "cfg:hidden=128,layers=1,intermediate=256,decay_rank=8,a_rank=8,v_rank=8,g_rank=16,head_size=32,\
     seed=0,train=adam,lr=0.001,stride=1",
)];

/// What `NULL` stands for: the registered method 1.
pub const DEFAULT: &str = REGISTERED[0].1;

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
    /// `file:`: a weights file, frozen. The path serves to open it and is no part of the method's identity.
    File(PathBuf),
}

/// A parsed method string.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// Where the network comes from.
    pub base: Base,
    /// How frozen matrices are held.
    pub weights: Precision,
}

const FROZEN: Rule = Rule { train: Train::None, lr: 0.001, stride: 1 };

impl Method {
    /// Parses a method string.
    ///
    /// # Errors
    /// `Method`, quoting the part that is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parts = text.split(';');
        let base = parse_base(parts.next().unwrap_or_default().trim())?;
        let mut method = Self { base, weights: Precision::I8 };
        method.parse_segments(parts)?;
        Ok(method)
    }

    /// The method of a model that is held already, with segments as they follow a base: `weights=f32`, or none.
    ///
    /// # Errors
    /// As [`Method::parse`].
    pub fn of_model(segments: &str) -> Result<Self> {
        let mut method = Self { base: Base::File(PathBuf::new()), weights: Precision::I8 };
        if !segments.trim().is_empty() {
            method.parse_segments(segments.split(';'))?;
        }
        Ok(method)
    }

    fn parse_segments<'a>(&mut self, segments: impl Iterator<Item = &'a str>) -> Result<()> {
        let mut seen = false;
        for segment in segments {
            match segment.trim().split_once('=') {
                Some(("weights", value)) if !seen => {
                    seen = true;
                    self.weights = match value {
                        "i8" => Precision::I8,
                        "f32" => Precision::F32,
                        other => fail!(Method, "weights={other}: i8 and f32 are allowed"),
                    };
                }
                Some(("weights", _)) => fail!(Method, "\"{segment}\": weights= may stand once"),
                _ if segment.trim().starts_with("policy:") => {
                    fail!(Method, "\"{segment}\": policies are not in this version of gptz")
                }
                _ => fail!(Method, "\"{segment}\": an unknown segment; weights=i8|f32 may follow the base"),
            }
        }
        Ok(())
    }

    /// The canonical form: what frames store and sides compare. Every key of a `cfg:` base in its order, `head_size`
    /// and `weights` only where they are not the default; a file's path is left out.
    pub fn canonical(&self) -> String {
        let mut text = match &self.base {
            Base::File(_) => "file:".to_owned(),
            Base::Config { config: c, seed, rule } => {
                let train = match rule.train {
                    Train::None => "none",
                    Train::Sgd => "sgd",
                    Train::Adam => "adam",
                };
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
        debug_assert!(text.len() <= MAX_METHOD_LEN);
        text
    }

    /// How the head learns.
    pub fn rule(&self) -> Rule {
        match &self.base {
            Base::Config { rule, .. } => *rule,
            Base::File(_) => FROZEN,
        }
    }

    /// How the matrices are held: what is trained is f32.
    pub fn packing(&self) -> Packing {
        let head = if self.rule().train == Train::None { self.weights } else { Precision::F32 };
        Packing { body: self.weights, head }
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
fn parse_base(base: &str) -> Result<Base> {
    if let Some(rest) = base.strip_prefix("cfg:") {
        let positional = rest.split(',').next().is_some_and(|first| is_number(first.trim()));
        return if positional { parse_positional(rest) } else { parse_keys(rest) };
    }
    if let Some(path) = base.strip_prefix("file:") {
        if path.is_empty() {
            fail!(Method, "\"file:\": a path is missing");
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
    fail!(Method, "\"{base}\": neither cfg:..., file:PATH, numbers nor a file that exists")
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
            "lr" => match value.parse::<f32>() {
                Ok(lr) if (0.0..=1.0).contains(&lr) && lr.is_sign_positive() => self.rule.lr = lr,
                _ => fail!(Method, "lr={value}: a number from 0 to 1 is needed"),
            },
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

fn parse_keys(text: &str) -> Result<Base> {
    let mut draft = Draft::new();
    let mut seen: Vec<&str> = Vec::new();
    for part in text.split(',').filter(|_| !text.trim().is_empty()) {
        let Some((key, value)) = part.trim().split_once('=') else {
            fail!(Method, "\"{part}\": key=value is needed");
        };
        let (key, value) = (key.trim(), value.trim());
        if seen.contains(&key) {
            fail!(Method, "\"{part}\": {key} stands twice");
        }
        seen.push(key);
        draft.set(key, value)?;
    }
    draft.finish()
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
        assert_eq!(canonical("file:/no/such/thing"), "file:");
        assert_eq!(canonical(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")), "file:");
        assert_eq!(canonical("file:x;weights=f32"), "file:;weights=f32");
    }

    #[test]
    fn registered_methods_are_canonical_and_resolve() {
        for (id, text) in REGISTERED {
            assert_eq!(canonical(text), text);
            assert_eq!(reference(text), MethodRef::Registered(id));
            assert_eq!(resolve(&MethodRef::Registered(id)).unwrap(), text);
        }
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
        ];
        for (text, quoted) in cases {
            let e = Method::parse(text).expect_err(text);
            assert_eq!(e.status(), Status::Method, "{text}");
            assert!(e.message().contains(quoted), "{text}: {e}");
        }
    }
}
