//! `gru:` bases: a GRU with random weights, all of which learn.

use super::grammar::{number, pairs, real};
use super::rule::train_name;
use crate::adapt::{GruRule, Train};
use crate::error::{Result, fail, shortened};
use crate::model::gru::Config;

/// The largest number of time steps of backpropagation.
const MAX_BPTT: u32 = 64;
/// The largest number of replayed segments in a training step.
const MAX_REPLAY: u32 = 64;

/// The keys of a `gru:` base.
const KEYS: [&str; 10] = ["embed", "hidden", "layers", "bptt", "stride", "replay", "train", "lr", "clip", "seed"];

/// The values of a `gru:` base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gru {
    pub(super) config: Config,
    pub(super) seed: u64,
    pub(super) rule: GruRule,
}

/// Parses a number above 0. A GRU always trains, and with a rate or a clip of 0 it would not learn.
fn positive(key: &str, value: &str, most: f32) -> Result<f32> {
    let x = real(key, value, most)?;
    if x == 0.0 {
        fail!(Method, "{key}={}: a number above 0 is needed, because the network trains", shortened(value));
    }
    Ok(x)
}

/// Parses `embed=32,hidden=128,layers=1,bptt=10,stride=1,replay=0,train=sgd,lr=0.01,clip=5,seed=0`: any subset of the
/// keys, in any order. These are the defaults.
pub(super) fn parse(text: &str) -> Result<Gru> {
    let (mut config, mut seed) = (Config::default(), 0);
    let mut rule = GruRule { train: Train::Sgd, lr: 0.01, clip: 5.0, bptt: 10, stride: 1, replay: 0 };
    pairs(text, &KEYS, |key, value| {
        let size = || number(key, value, 1 << 16).map(|n| n as usize);
        match key {
            "embed" => config.embed = size()?,
            "hidden" => config.hidden = size()?,
            "layers" => config.layers = size()?,
            "bptt" => rule.bptt = size()? as u32,
            "stride" => rule.stride = size()? as u32,
            "replay" => rule.replay = size()? as u32,
            "lr" => rule.lr = positive(key, value, 1.0)?,
            "clip" => rule.clip = positive(key, value, 1e6)?,
            "seed" => seed = number(key, value, u64::MAX)?,
            _ => {
                rule.train = match value {
                    "sgd" => Train::Sgd,
                    "adam" => Train::Adam,
                    _ => fail!(Method, "train={}: sgd and adam are allowed", shortened(value)),
                }
            }
        }
        Ok(())
    })?;
    config.check()?;
    if !(1..=MAX_BPTT).contains(&rule.bptt) {
        fail!(Method, "bptt={}: 1 to {MAX_BPTT} are allowed", rule.bptt);
    }
    if rule.replay > 0 && rule.bptt == 1 {
        fail!(Method, "replay={}: bptt must be 2 or more with replay", rule.replay);
    }
    if rule.replay > MAX_REPLAY {
        fail!(Method, "replay={}: 0 to {MAX_REPLAY} are allowed", rule.replay);
    }
    if !(1..=rule.bptt).contains(&rule.stride) {
        fail!(Method, "stride={}: 1 to bptt={} are allowed", rule.stride, rule.bptt);
    }
    Ok(Gru { config, seed, rule })
}

/// The canonical form: every key in a fixed order. Keys that were added later appear only if they are not the default.
pub(super) fn canonical(config: &Config, seed: u64, rule: &GruRule) -> String {
    let (c, r) = (config, rule);
    let unless_default = |key: &str, value: String, default: &str| {
        if value == default { String::new() } else { format!("{key}={value},") }
    };
    format!(
        "gru:embed={},hidden={},{}bptt={},{}{}{}lr={},clip={},seed={seed}",
        c.embed,
        c.hidden,
        unless_default("layers", c.layers.to_string(), "1"),
        r.bptt,
        unless_default("stride", r.stride.to_string(), "1"),
        unless_default("replay", r.replay.to_string(), "0"),
        unless_default("train", train_name(r.train).to_owned(), "sgd"),
        r.lr,
        r.clip
    )
}
