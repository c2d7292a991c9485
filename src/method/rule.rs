//! How an output head learns: the keys `train`, `lr` and `stride`.

use super::grammar::{number, real};
use crate::adapt::{Rule, Train};
use crate::error::{Result, fail, shortened};

/// The rule of a head that does not learn. The other values are the defaults of their keys.
pub(super) const FROZEN: Rule = Rule { train: Train::None, lr: 0.001, stride: 1, least: 0.0 };

/// The keys of a rule.
pub(super) const KEYS: [&str; 3] = ["train", "lr", "stride"];

/// Sets a key of a rule, which is one of [`KEYS`].
pub(super) fn set(rule: &mut Rule, key: &str, value: &str) -> Result<()> {
    match key {
        "stride" => {
            rule.stride = number(key, value, u64::from(u32::MAX))? as u32;
            if rule.stride == 0 {
                fail!(Method, "stride=0: 1 or more is needed");
            }
        }
        "lr" => rule.lr = real(key, value, 1.0)?,
        _ => {
            rule.train = match value {
                "none" => Train::None,
                "sgd" => Train::Sgd,
                "adam" => Train::Adam,
                _ => fail!(Method, "train={}: none, sgd and adam are allowed", shortened(value)),
            }
        }
    }
    Ok(())
}

/// Checks a rule after all its keys were set. A head that trains must have a rate: with a rate of 0 it would do all the
/// work of training and never learn.
pub(super) fn check(rule: &Rule) -> Result<()> {
    if rule.train != Train::None && rule.lr == 0.0 {
        fail!(Method, "lr=0: a rate above 0 is needed with train={}", train_name(rule.train));
    }
    Ok(())
}

/// The name of an optimiser in method strings.
pub(super) fn train_name(train: Train) -> &'static str {
    match train {
        Train::None => "none",
        Train::Sgd => "sgd",
        Train::Adam => "adam",
    }
}
