//! `cfg:` bases: an RWKV-7 network with random weights, given by keys or by position.

use super::grammar::{is_number, number, pairs};
use super::rule::{self, FROZEN, train_name};
use crate::adapt::{Rule, Train};
use crate::error::{Result, fail};
use crate::model::rwkv7::Config;

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
            _ if rule::set(&mut self.rule, key, value)? => return Ok(()),
            _ => fail!(
                Method,
                "\"{key}={value}\": an unknown key; hidden, layers, intermediate, head_size, decay_rank, a_rank, \
                 v_rank, g_rank, seed, train, lr and stride are known"
            ),
        };
        *field = number(key, value, usize::MAX as u64)? as usize;
        Ok(())
    }
}

/// Parses `hidden=256,...` with keys in any order, or `hidden,intermediate,layers,train,seed,lr[,stride]`.
pub(super) fn parse(text: &str) -> Result<Cfg> {
    let mut cfg = Cfg { config: Config::default(), seed: 0, rule: FROZEN };
    if text.split(',').next().is_some_and(|first| is_number(first.trim())) {
        for (key, value) in positional(text)? {
            cfg.set(key, value)?;
        }
    } else {
        for (key, value) in pairs(text)? {
            cfg.set(key, value)?;
        }
    }
    cfg.config.check()?;
    if cfg.rule.train == Train::None {
        cfg.rule = FROZEN;
    }
    Ok(cfg)
}

/// The keys and values of the positional form.
fn positional(text: &str) -> Result<impl Iterator<Item = (&'static str, &str)>> {
    const KEYS: [&str; 7] = ["hidden", "intermediate", "layers", "train", "seed", "lr", "stride"];
    let fields = text.split(',').map(str::trim);
    let count = fields.clone().count();
    if !(KEYS.len() - 1..=KEYS.len()).contains(&count) {
        fail!(Method, "\"{text}\": {count} values; {} are needed: {}", KEYS.len() - 1, KEYS.join(","));
    }
    Ok(KEYS.into_iter().zip(fields))
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
