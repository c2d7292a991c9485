//! What a policy states: rules, each with an interval of positions and an action.

use crate::adapt::Train;
use crate::model::rwkv7::Group;

/// The groups of a scope, with their names in the canonical order. The bit of a group is its index here.
pub const SCOPES: [(&str, Group); 8] = [
    ("embed", Group::Embed),
    ("pre_norm", Group::PreNorm),
    ("attn_norm", Group::AttnNorm),
    ("ffn_norm", Group::FfnNorm),
    ("attn", Group::Attn),
    ("ffn", Group::Ffn),
    ("head", Group::Head),
    ("bias", Group::Bias),
];

/// A set of groups of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope(pub u8);

impl Scope {
    /// No group.
    pub const NONE: Self = Self(0);
    /// All groups, the bias included.
    pub const ALL: Self = Self(0xff);

    /// Whether the set has this group.
    pub fn has(self, group: Group) -> bool {
        SCOPES.iter().position(|(_, g)| *g == group).is_some_and(|bit| self.0 >> bit & 1 == 1)
    }
}

/// A position in a stream, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Bytes from the start.
    Bytes(u64),
    /// Millionths of a per cent of the length.
    Percent(u64),
}

impl Position {
    /// 100 %.
    pub const WHOLE: u64 = 100_000_000;

    /// The position in a stream of this length, rounded down. `None` for a percent position of an unknown length.
    pub fn in_bytes(self, total: Option<u64>) -> Option<u64> {
        match self {
            Self::Bytes(n) => Some(n),
            Self::Percent(p) => Some((u128::from(total?) * u128::from(p) / u128::from(Self::WHOLE)) as u64),
        }
    }
}

/// How parameters learn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// The groups that are updated.
    pub scope: Scope,
    /// The optimiser: SGD or Adam.
    pub train: Train,
    /// Learning rate.
    pub lr: f32,
    /// Every stride-th position of the stream is trained on.
    pub stride: u32,
    /// The pairs in a segment; 1 means [`Training::WINDOW`].
    pub bptt: u32,
    /// Each value of a gradient is limited to this magnitude; 0: no limit.
    pub clip: f32,
    /// Momentum of SGD; 0: none.
    pub momentum: f32,
}

impl Training {
    /// The window that `bptt=1` means.
    pub const WINDOW: usize = 8;

    /// The number of pairs in a segment.
    pub fn window(&self) -> usize {
        if self.bptt == 1 { Self::WINDOW } else { self.bptt as usize }
    }
}

impl Default for Training {
    fn default() -> Self {
        let (scope, train) = (Scope::ALL, Train::Sgd);
        Self { scope, train, lr: 0.001, stride: 1, bptt: 1, clip: 0.0, momentum: 0.0 }
    }
}

/// What happens at a position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Nothing learns.
    Infer,
    /// Parameters learn.
    Train(Training),
}

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Its length; a percent of the stream's length if `Percent`.
    pub length: Position,
    /// What happens in it.
    pub action: Action,
}

/// A rule: an interval, and an action or a pattern that repeats.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The first position.
    pub start: Position,
    /// The position after the last one.
    pub end: Position,
    /// The period of the pattern. `None`: one span, whose length is that of the interval.
    pub period: Option<Position>,
    /// The spans of the pattern, from the start of each period. What they leave of it infers.
    pub spans: Vec<Span>,
}

/// All rules. The first one whose interval has a position decides. Outside every rule nothing learns.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// In the order of the text.
    pub rules: Vec<Rule>,
}

impl Policy {
    fn trainings(&self) -> impl Iterator<Item = &Training> {
        self.rules.iter().flat_map(|rule| &rule.spans).filter_map(|span| match &span.action {
            Action::Infer => None,
            Action::Train(training) => Some(training),
        })
    }

    /// The longest segment, in pairs; at least 1.
    pub fn window(&self) -> usize {
        self.trainings().map(Training::window).max().unwrap_or(1)
    }

    /// Whether any action uses Adam, and whether any uses momentum.
    pub fn optimisers(&self) -> (bool, bool) {
        let adam = self.trainings().any(|t| t.train == Train::Adam);
        (adam, self.trainings().any(|t| t.train == Train::Sgd && t.momentum > 0.0))
    }

    /// Whether it has a position in percent, which needs the stream's length.
    pub fn needs_length(&self) -> bool {
        let percent = |p: &Position| matches!(p, Position::Percent(_));
        self.rules.iter().any(|rule| {
            let lengths = rule.spans.iter().map(|span| &span.length);
            [&rule.start, &rule.end].into_iter().chain(&rule.period).chain(lengths).any(percent)
        })
    }
}
