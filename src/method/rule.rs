//! How an output head learns: the keys `train`, `lr` and `stride`.

use super::grammar::{number, real};
use crate::adapt::{Rule, Train};
use crate::error::{Result, fail};

/// The rule of a head that does not learn. The other values are the defaults of their keys.
pub(super) const FROZEN: Rule = Rule { train: Train::None, lr: 0.001, stride: 1, least: 0.0 };

/// Sets a key of a rule. Returns false if a rule has no such key.
pub(super) fn set(rule: &mut Rule, key: &str, value: &str) -> Result<bool> {
    match key {
        "stride" => {
            rule.stride = number(key, value, u64::from(u32::MAX))? as u32;
            if rule.stride == 0 {
                fail!(Method, "stride=0: 1 or more is needed");
            }
        }
        "lr" => rule.lr = real(key, value, 1.0)?,
        "train" => {
            rule.train = match value {
                "none" => Train::None,
                "sgd" => Train::Sgd,
                "adam" => Train::Adam,
                _ => fail!(Method, "train={value}: none, sgd and adam are allowed"),
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The name of an optimiser in method strings.
pub(super) fn train_name(train: Train) -> &'static str {
    match train {
        Train::None => "none",
        Train::Sgd => "sgd",
        Train::Adam => "adam",
    }
}
