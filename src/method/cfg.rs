//! `cfg:` bases: an RWKV-7 network with random weights, given by keys or by position.

use super::grammar::{is_digits, number, pairs};
use super::rule::{self, FROZEN, train_name};
use crate::adapt::{Rule, Train};
use crate::error::{Result, fail, shortened};
use crate::model::rwkv7::Config;

/// The keys of a `cfg:` base.
const KEYS: [&str; 12] = [
    "hidden",
    "layers",
    "intermediate",
    "head_size",
    "decay_rank",
    "a_rank",
    "v_rank",
    "g_rank",
    "seed",
    "train",
    "lr",
    "stride",
];

/// The keys of the positional form, in its order. The last one may be left out.
const POSITIONS: [&str; 7] = ["hidden", "intermediate", "layers", "train", "seed", "lr", "stride"];

/// The values of a `cfg:` base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cfg {
    pub(super) config: Config,
    pub(super) seed: u64,
    pub(super) rule: Rule,
}

impl Cfg {
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
            "seed" => {
                self.seed = number(key, value, u64::MAX)?;
                return Ok(());
            }
            _ => return rule::set(&mut self.rule, key, value),
        };
        *field = number(key, value, usize::MAX as u64)? as usize;
        Ok(())
    }
}

/// Parses `hidden=256,...` with keys in any order, or `hidden,intermediate,layers,train,seed,lr[,stride]`.
pub(super) fn parse(text: &str) -> Result<Cfg> {
    let mut cfg = Cfg { config: Config::default(), seed: 0, rule: FROZEN };
    if text.split(',').next().is_some_and(|first| is_digits(first.trim())) {
        positional(text, |key, value| cfg.set(key, value))?;
    } else {
        pairs(text, &KEYS, |key, value| cfg.set(key, value))?;
    }
    cfg.config.check()?;
    rule::check(&cfg.rule)?;
    if cfg.rule.train == Train::None {
        cfg.rule = FROZEN;
    }
    Ok(cfg)
}

/// Calls `set` with the keys and values of the positional form.
fn positional<'a>(text: &'a str, mut set: impl FnMut(&'static str, &'a str) -> Result<()>) -> Result<()> {
    let fields = text.split(',').map(str::trim);
    let count = fields.clone().count();
    if !(POSITIONS.len() - 1..=POSITIONS.len()).contains(&count) {
        fail!(
            Method,
            "\"{}\": {count} values; {} are needed: {}",
            shortened(text),
            POSITIONS.len() - 1,
            POSITIONS.join(",")
        );
    }
    // A rate with a decimal comma, such as 0,001, parses as the rate 0 and a stride.
    if let (Some("0"), Some(stride)) = (fields.clone().nth(5), fields.clone().nth(6)) {
        let stride = shortened(stride);
        fail!(
            Method,
            "\"0,{stride}\": lr=0 and stride={stride}? a fraction has a decimal point, as in 0.001, not a comma"
        );
    }
    POSITIONS.into_iter().zip(fields).try_for_each(|(key, value)| set(key, value))
}

/// The canonical form: every key in a fixed order, `head_size` only if it is not the default.
pub(super) fn canonical(config: &Config, seed: u64, rule: &Rule) -> String {
    let (c, train) = (config, train_name(rule.train));
    // A frozen head uses neither rate nor stride, so the canonical form has their defaults.
    let rule = if rule.train == Train::None { &FROZEN } else { rule };
    let head_size = if c.head_size == 64 { String::new() } else { format!("head_size={},", c.head_size) };
    format!(
        "cfg:hidden={},layers={},intermediate={},decay_rank={},a_rank={},v_rank={},g_rank={},{head_size}\
         seed={seed},train={train},lr={},stride={}",
        c.hidden, c.layers, c.intermediate, c.decay_rank, c.a_rank, c.v_rank, c.g_rank, rule.lr, rule.stride
    )
}
