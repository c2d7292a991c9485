//! A policy compiled for a stream.

use std::sync::Arc;

use super::rules::{Action, Policy, Position, Training};
use crate::error::Result;
use crate::numeric::buffer::{grow, made};

/// A rule with positions in bytes.
#[derive(Clone, Debug)]
struct Compiled {
    start: u64,
    end: u64,
    /// At least 1.
    period: u64,
    /// Ends of the spans, from the start of a period, and the index of their training.
    spans: Vec<(u64, usize)>,
}

/// What happens at each position of a stream.
#[derive(Debug)]
pub struct Schedule {
    policy: Arc<Policy>,
    rules: Vec<Compiled>,
    /// The different trainings. Two spans with the same training are one setting.
    trainings: Vec<Training>,
    total: Option<u64>,
}

/// The index that stands for [`Action::Infer`].
const INFER: usize = usize::MAX;

impl Schedule {
    /// The schedule of a stream of unknown length. Rules with positions in percent have no effect until
    /// [`Schedule::set_total`].
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(policy: &Arc<Policy>) -> Result<Self> {
        let mut trainings: Vec<Training> = Vec::new();
        let rules = made(policy.rules.len(), "a schedule", |i| {
            let spans = &policy.rules[i].spans;
            let spans = made(spans.len(), "a schedule", |i| {
                let Action::Train(training) = spans[i].action else { return Ok((0, INFER)) };
                if let Some(known) = trainings.iter().position(|t| *t == training) {
                    return Ok((0, known));
                }
                grow(&mut trainings, 1, "a schedule")?;
                trainings.push(training);
                Ok((0, trainings.len() - 1))
            })?;
            Ok(Compiled { start: 0, end: 0, period: 1, spans })
        })?;
        let mut schedule = Self { policy: policy.clone(), rules, trainings, total: None };
        schedule.compile();
        Ok(schedule)
    }

    /// Sets the length of the stream. Allocates nothing.
    pub fn set_total(&mut self, total: Option<u64>) {
        if self.total != total {
            self.total = total;
            self.compile();
        }
    }

    /// Whether its policy has a position in percent.
    pub fn needs_length(&self) -> bool {
        self.policy.needs_length()
    }

    fn compile(&mut self) {
        let bytes = |p: Position| p.in_bytes(self.total).unwrap_or(0);
        for (to, rule) in self.rules.iter_mut().zip(&self.policy.rules) {
            (to.start, to.end) = (bytes(rule.start), bytes(rule.end));
            to.period = rule.period.map_or(u64::MAX, bytes).max(1);
            let mut at = 0u64;
            for ((end, _), span) in to.spans.iter_mut().zip(&rule.spans) {
                at = if rule.period.is_some() { at.saturating_add(bytes(span.length)) } else { u64::MAX };
                *end = at;
            }
        }
    }

    /// The setting at a position: its number and its training. `None` where nothing learns: in `infer`, outside every
    /// rule, and at positions that a stride skips.
    pub fn at(&self, position: u64) -> Option<(usize, &Training)> {
        let rule = self.rules.iter().find(|rule| (rule.start..rule.end).contains(&position))?;
        let offset = (position - rule.start) % rule.period;
        let (_, action) = rule.spans.iter().find(|(end, _)| offset < *end)?;
        let training = self.trainings.get(*action)?;
        position.is_multiple_of(u64::from(training.stride)).then_some((*action, training))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Rule, Span};
    use super::*;

    fn train(lr: f32, stride: u32) -> Action {
        Action::Train(Training { lr, stride, ..Training::default() })
    }

    fn rule(start: Position, end: Position, action: Action) -> Rule {
        Rule { start, end, period: None, spans: vec![Span { length: end, action }] }
    }

    #[test]
    fn the_first_rule_with_a_position_decides() {
        use Position::{Bytes, Percent};
        let policy = Policy {
            rules: vec![
                rule(Bytes(3), Bytes(5), Action::Infer),
                rule(Bytes(0), Percent(50_000_000), train(0.5, 1)),
                Rule {
                    start: Bytes(10),
                    end: Percent(Position::WHOLE),
                    period: Some(Bytes(4)),
                    spans: vec![
                        Span { length: Bytes(1), action: train(0.25, 1) },
                        Span { length: Bytes(1), action: Action::Infer },
                        Span { length: Bytes(1), action: train(0.5, 1) },
                    ],
                },
            ],
        };
        assert!(policy.needs_length());
        let mut schedule = Schedule::new(&Arc::new(policy)).unwrap();
        schedule.set_total(Some(21));
        let rates: Vec<f32> = (0..24).map(|i| schedule.at(i).map_or(0.0, |(_, t)| t.lr)).collect();
        let want = [
            0.5, 0.5, 0.5, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5, // 50 % of 21 is 10
            0.25, 0.0, 0.5, 0.0, 0.25, 0.0, 0.5, 0.0, 0.25, 0.0, 0.5, 0.0, 0.0, 0.0,
        ];
        assert_eq!(rates, want);
        // The same training in two rules is one setting.
        assert_eq!(schedule.at(0).unwrap().0, schedule.at(12).unwrap().0);
    }

    #[test]
    fn a_stride_skips_positions() {
        let policy = Policy { rules: vec![rule(Position::Bytes(1), Position::Bytes(9), train(0.5, 3))] };
        let schedule = Schedule::new(&Arc::new(policy)).unwrap();
        let trained: Vec<u64> = (0..12).filter(|i| schedule.at(*i).is_some()).collect();
        assert_eq!(trained, [3, 6]);
    }

    #[test]
    fn percent_positions_of_the_longest_stream_do_not_overflow() {
        assert_eq!(Position::Percent(Position::WHOLE).in_bytes(Some(u64::MAX)), Some(u64::MAX));
        assert_eq!(Position::Percent(33_333_333).in_bytes(Some(100)), Some(33));
    }
}
