//! A network of a method: its base and the segments that follow it.

use super::base::Base;
use super::grammar::pairs;
use super::policy::{self, Learning};
use super::rule::{self, FROZEN, train_name};
use crate::adapt::{Rule, Train};
use crate::error::{Result, fail, shortened};
use crate::model::rwkv7::Packing;
use crate::numeric::matmul::Precision;

/// A second head does not train a group of outputs whose errors are all smaller than this. This halves the training
/// time without loss of compression.
const LEAST_ERROR: f32 = 1.0 / 64.0;

/// A network of a method.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Where its weights come from.
    pub base: Base,
    /// The format of its frozen matrices in memory.
    pub weights: Precision,
    /// How a second head learns, if the network has one in addition to the frozen head. Only a network in a mix can
    /// have it.
    pub head: Option<Rule>,
    /// How all parameters learn, if they do. They are then f32, whatever `weights` is.
    pub learning: Option<Learning>,
}

impl Network {
    /// A network without segments.
    pub(super) fn new(base: Base) -> Self {
        Self { base, weights: Precision::I8, head: None, learning: None }
    }

    /// Parses a base and the segments that follow it. `model_is_open`: see [`Base::parse`]. `mixed`: the network is
    /// part of a mix.
    pub(super) fn parse(text: &str, model_is_open: bool, mixed: bool) -> Result<Self> {
        let mut parts = text.split(';');
        let mut network = Self::new(Base::parse(parts.next().unwrap_or_default(), model_is_open)?);
        let mut seen = false;
        for segment in parts.map(str::trim) {
            if let Some(value) = segment.strip_prefix("weights=") {
                if matches!(network.base, Base::Gru { .. }) {
                    fail!(Method, "\"{}\": a GRU has no frozen weights", shortened(segment));
                }
                if std::mem::replace(&mut seen, true) {
                    fail!(Method, "\"{}\": weights= may appear once", shortened(segment));
                }
                network.weights = match value {
                    "i8" => Precision::I8,
                    "f32" => Precision::F32,
                    other => fail!(Method, "weights={}: i8 and f32 are allowed", shortened(other)),
                };
            } else if let Some(keys) = segment.strip_prefix("head:") {
                network.set_head(keys, mixed)?;
            } else if let Some(text) = segment.strip_prefix("policy:") {
                network.set_policy(text)?;
            } else {
                let segment = shortened(segment);
                fail!(
                    Method,
                    "\"{segment}\": an unknown segment; weights=i8|f32, head: and policy: may follow the base"
                );
            }
        }
        Ok(network)
    }

    /// Parses a policy.
    fn set_policy(&mut self, text: &str) -> Result<()> {
        let short = shortened(text);
        if !self.base.is_frozen() || self.head.is_some() {
            fail!(
                Method,
                "\"policy:{short}\": not allowed beside train=, head: or a GRU, which say themselves what learns"
            );
        }
        if self.learning.is_some() {
            fail!(Method, "\"policy:{short}\": a policy may appear once");
        }
        let learning = policy::parse(text)?;
        if learning.load_from.is_some() && !matches!(self.base, Base::Config { .. }) {
            fail!(Method, "\"policy:{short}\": load_from= is for cfg:, this network has trained weights already");
        }
        self.learning = Some(learning);
        // What learns is f32: the format of frozen weights has no meaning.
        self.weights = Precision::I8;
        Ok(())
    }

    /// Parses `train=sgd,lr=0.01,stride=1`: any subset of the keys. These are the defaults.
    fn set_head(&mut self, keys: &str, mixed: bool) -> Result<()> {
        if !mixed || !self.base.is_frozen() || self.head.is_some() || self.learning.is_some() {
            let keys = shortened(keys);
            fail!(Method, "\"head:{keys}\": allowed once, in a mix, after a network whose weights do not learn");
        }
        let mut head = Rule { train: Train::Sgd, lr: 0.01, stride: 1, least: LEAST_ERROR };
        pairs(keys, &rule::KEYS, |key, value| rule::set(&mut head, key, value))?;
        rule::check(&head)?;
        if head.train == Train::None {
            fail!(Method, "\"head:{}\": a second head must learn, train=sgd and adam are allowed", shortened(keys));
        }
        self.head = Some(head);
        Ok(())
    }

    /// The network's part of the canonical form.
    pub(super) fn canonical(&self) -> String {
        let mut text = self.base.canonical();
        if self.weights == Precision::F32 && self.learning.is_none() {
            text.push_str(";weights=f32");
        }
        if let Some(r) = self.head {
            text.push_str(&format!(";head:train={},lr={},stride={}", train_name(r.train), r.lr, r.stride));
        }
        if let Some(learning) = &self.learning {
            text.push(';');
            text.push_str(&policy::canonical(learning));
        }
        text
    }

    /// Whether its weights were trained beforehand.
    pub fn is_pretrained(&self) -> bool {
        matches!(self.base, Base::Builtin(_) | Base::File(_))
    }

    /// How a head learns: the second head if the network has one, otherwise its only head.
    pub fn rule(&self) -> Rule {
        match (&self.base, self.head) {
            (_, Some(rule)) => rule,
            (Base::Config { rule, .. }, _) => *rule,
            _ => FROZEN,
        }
    }

    /// The formats of the matrices in memory. The initial value of a trained head is always f32.
    pub fn packing(&self) -> Packing {
        let start = self.rule().train != Train::None;
        let frozen_head = !start || self.head.is_some();
        Packing { body: self.weights, head: frozen_head.then_some(self.weights), start }
    }
}
