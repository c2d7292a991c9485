//! How an output head learns: the keys `train`, `lr` and `stride`.

use super::grammar::{number, real};
use crate::adapt::{Rule, Train};
use crate::error::{Result, fail};

/// A head that does not learn, with the default values of the keys that it does not use.
pub(super) const FROZEN: Rule = Rule { train: Train::None, lr: 0.001, stride: 1, least: 0.0 };

/// Sets one key of a rule. False for a key that is not one of a rule's.
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

/// A trainer as method strings spell it.
pub(super) fn train_name(train: Train) -> &'static str {
    match train {
        Train::None => "none",
        Train::Sgd => "sgd",
        Train::Adam => "adam",
    }
}
