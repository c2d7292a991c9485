//! A network of a method: its base and the segments behind it.

use super::base::Base;
use super::grammar::pairs;
use super::rule::{self, FROZEN, train_name};
use crate::adapt::{Rule, Train};
use crate::error::{Result, fail};
use crate::model::rwkv7::Packing;
use crate::numeric::matmul::Precision;

/// A second head skips groups of outputs whose errors are all smaller than this: half the time, and no bits lost.
const LEAST_ERROR: f32 = 1.0 / 64.0;

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

impl Network {
    /// With nothing behind the base.
    pub(super) fn new(base: Base) -> Self {
        Self { base, weights: Precision::I8, head: None }
    }

    /// A base and what follows it. `given`: see [`Base::parse`]; `mixed`: inside a mix.
    pub(super) fn parse(text: &str, given: bool, mixed: bool) -> Result<Self> {
        let mut parts = text.split(';');
        let mut network = Self::new(Base::parse(parts.next().unwrap_or_default().trim(), given)?);
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
        if !mixed || !self.base.is_frozen() || self.head.is_some() {
            fail!(Method, "\"head:{keys}\": may stand once, in a mix, behind a network that learns nothing else");
        }
        let mut head = Rule { train: Train::Sgd, lr: 0.01, stride: 1, least: LEAST_ERROR };
        for (key, value) in pairs(keys)? {
            if !rule::set(&mut head, key, value)? {
                fail!(Method, "\"{key}={value}\": an unknown key of head:; train, lr and stride are known");
            }
        }
        if head.train == Train::None {
            fail!(Method, "\"head:{keys}\": a second head that does not learn is the first one again");
        }
        self.head = Some(head);
        Ok(())
    }

    /// Its part of the canonical form.
    pub(super) fn canonical(&self) -> String {
        let mut text = self.base.canonical();
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
