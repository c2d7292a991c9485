//! `policy:` segments: which parameters of a network learn, when and how.
//!
//! ```text
//! policy:[load_from=PATH,]schedule=RULE|RULE...
//! RULE    START..END:ACTION, or repeat(START..END,period=P,pattern=SPAN:ACTION+SPAN:ACTION)
//! ACTION  infer, train, or train(scope=all,opt=sgd,lr=0.001,stride=1,bptt=1,clip=0,momentum=0): any subset of the keys
//! ```
//!
//! START, END, P and SPAN are bytes, as in `100`, or a part of the stream's length, as in `12.5%`: `0..100` is the first
//! hundred bytes, not the whole stream. A scope is `all`, `none`, or groups joined by `+`, `|` or `/`.

use std::path::PathBuf;

use super::grammar::{is_digits, is_whole, number, pairs, real, split_outside};
use super::rule::train_name;
use crate::adapt::Train;
use crate::adapt::policy::{Action, Policy, Position, Rule, SCOPES, Scope, Span, Training};
use crate::error::{Result, fail, shortened};

/// The longest segment of pairs.
const MOST_PAIRS: u64 = 1024;

/// A policy, and the file that its initial weights come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Learning {
    /// Trained weights in place of the random ones of a `cfg:`. The path is not part of the canonical form.
    pub load_from: Option<PathBuf>,
    /// What learns, when and how.
    pub policy: Policy,
}

/// Parses what follows `policy:`.
pub(super) fn parse(text: &str) -> Result<Learning> {
    let (load_from, rest) = match text.trim().strip_prefix("load_from=") {
        Some(rest) => match rest.split_once(",schedule=") {
            Some((path, rules)) => (Some(PathBuf::from(path)), Some(rules)),
            None => fail!(Method, "\"policy:{}\": ,schedule= is missing after the path", shortened(text)),
        },
        None => (None, text.trim().strip_prefix("schedule=")),
    };
    let Some(rules) = rest else {
        fail!(Method, "\"policy:{}\": schedule=RULE is needed", shortened(text));
    };
    let rules = split_outside(rules, '|').map(|rule| parse_rule(rule?.trim())).collect::<Result<_>>()?;
    Ok(Learning { load_from, policy: Policy { rules } })
}

fn parse_rule(text: &str) -> Result<Rule> {
    let Some(inner) = text.strip_prefix("repeat(") else {
        let Some((interval, action)) = text.split_once(':') else {
            fail!(Method, "\"{}\": a rule is START..END:ACTION or repeat(...)", shortened(text));
        };
        let (start, end) = parse_interval(interval)?;
        return Ok(Rule { start, end, period: None, spans: vec![Span { length: end, action: parse_action(action)? }] });
    };
    let Some(inner) = inner.strip_suffix(')') else {
        fail!(Method, "\"{}\": the parenthesis of repeat( is not closed", shortened(text));
    };
    let mut parts = split_outside(inner, ',');
    let (start, end) = parse_interval(parts.next().unwrap_or(Ok(""))?)?;
    let (mut period, mut spans) = (None, Vec::new());
    let rest = inner.split_once(',').map_or("", |(_, rest)| rest);
    pairs(rest, &["period", "pattern"], |key, value| {
        if key == "period" {
            period = Some(parse_length(value)?);
        } else {
            spans = split_outside(value, '+').map(|span| parse_span(span?)).collect::<Result<_>>()?;
        }
        Ok(())
    })?;
    let (Some(period), false) = (period, spans.is_empty()) else {
        fail!(Method, "\"{}\": repeat needs period= and pattern=", shortened(text));
    };
    let in_bytes = |p: Position| if let Position::Bytes(n) = p { Some(n) } else { None };
    let spanned = spans.iter().try_fold(0u64, |sum, span| in_bytes(span.length).map(|n| sum.saturating_add(n)));
    if let (Some(period), Some(spanned)) = (in_bytes(period), spanned)
        && spanned > period
    {
        fail!(Method, "\"{}\": the pattern has {spanned} bytes, its period {period}", shortened(text));
    }
    Ok(Rule { start, end, period: Some(period), spans })
}

fn parse_span(text: &str) -> Result<Span> {
    match text.trim().split_once(':') {
        Some((length, action)) => Ok(Span { length: parse_length(length)?, action: parse_action(action)? }),
        None => fail!(Method, "\"{}\": a part of a pattern is SPAN:ACTION", shortened(text)),
    }
}

fn parse_interval(text: &str) -> Result<(Position, Position)> {
    let Some((start, end)) = text.trim().split_once("..") else {
        fail!(Method, "\"{}\": an interval is START..END", shortened(text));
    };
    let (start, end) = (parse_position(start)?, parse_position(end)?);
    let empty = match (start, end) {
        (Position::Bytes(start), Position::Bytes(end)) => start >= end,
        (Position::Percent(start), Position::Percent(end)) => start >= end,
        (_, end) => end == Position::Bytes(0) || end == Position::Percent(0),
    };
    if empty {
        fail!(Method, "\"{}\": an empty interval", shortened(text));
    }
    Ok((start, end))
}

/// A period or a span, which are not empty.
fn parse_length(text: &str) -> Result<Position> {
    match parse_position(text)? {
        Position::Bytes(0) | Position::Percent(0) => {
            fail!(Method, "\"{}\": a length above 0 is needed", shortened(text))
        }
        length => Ok(length),
    }
}

fn parse_position(text: &str) -> Result<Position> {
    let text = text.trim();
    let Some(percent) = text.strip_suffix('%') else {
        return Ok(Position::Bytes(number("position", text, u64::MAX)?));
    };
    let (whole, fraction) = percent.split_once('.').unwrap_or((percent, "0"));
    if !is_whole(whole) || whole.len() > 3 || !is_digits(fraction) || fraction.len() > 6 {
        fail!(Method, "\"{}\": a percentage of 0 to 100 with six decimals at most is needed", shortened(text));
    }
    let digits = |text: &str| text.bytes().fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
    let millionths = digits(whole) * 1_000_000 + digits(fraction) * 10u64.pow(6 - fraction.len() as u32);
    if millionths > Position::WHOLE {
        fail!(Method, "\"{}\": more than 100 %", shortened(text));
    }
    Ok(Position::Percent(millionths))
}

fn parse_action(text: &str) -> Result<Action> {
    let keys = match text.trim() {
        "infer" => return Ok(Action::Infer),
        "train" => "",
        other => match other.strip_prefix("train(").and_then(|keys| keys.strip_suffix(')')) {
            Some(keys) => keys,
            None => fail!(Method, "\"{}\": infer, train and train(...) are the actions", shortened(other)),
        },
    };
    let mut training = Training::default();
    let mut named = false;
    pairs(keys, &["scope", "opt", "optimizer", "lr", "stride", "bptt", "clip", "momentum"], |key, value| {
        let at_least_one = |n: u64| if n == 0 { fail!(Method, "{key}=0: 1 or more is needed") } else { Ok(n as u32) };
        match key {
            "scope" => training.scope = parse_scope(value)?,
            "lr" => training.lr = real(key, value, 1.0)?,
            "stride" => training.stride = at_least_one(number(key, value, u64::from(u32::MAX))?)?,
            "bptt" => training.bptt = at_least_one(number(key, value, MOST_PAIRS)?)?,
            "clip" => training.clip = real(key, value, 1e6)?,
            "momentum" => training.momentum = real(key, value, 1.0)?,
            _ => {
                if std::mem::replace(&mut named, true) {
                    fail!(Method, "\"{key}={}\": the optimiser appears twice", shortened(value));
                }
                training.train = match value {
                    "sgd" => Train::Sgd,
                    "adam" => Train::Adam,
                    _ => fail!(Method, "{key}={}: sgd and adam are allowed", shortened(value)),
                }
            }
        }
        Ok(())
    })?;
    if training.scope == Scope::NONE {
        return Ok(Action::Infer);
    }
    if training.lr == 0.0 {
        fail!(Method, "\"{}\": a rate above 0 is needed", shortened(text));
    }
    if training.train == Train::Adam && training.momentum != 0.0 {
        fail!(Method, "\"{}\": momentum is of sgd", shortened(text));
    }
    Ok(Action::Train(training))
}

fn parse_scope(text: &str) -> Result<Scope> {
    match text {
        "all" => return Ok(Scope::ALL),
        "none" => return Ok(Scope::NONE),
        _ => {}
    }
    let mut scope = Scope::NONE;
    for name in text.split(['+', '|', '/']) {
        let Some(bit) = SCOPES.iter().position(|(known, _)| *known == name.trim()) else {
            let known: Vec<&str> = SCOPES.iter().map(|(name, _)| *name).collect();
            fail!(Method, "scope={}: all, none, or some of {}", shortened(name), known.join("+"));
        };
        scope.0 |= 1 << bit;
    }
    Ok(scope)
}

/// The canonical form, with the keys of an action that are not the default.
pub(super) fn canonical(learning: &Learning) -> String {
    let from = if learning.load_from.is_some() { "load_from=," } else { "" };
    let rules: Vec<String> = learning.policy.rules.iter().map(rule_text).collect();
    format!("policy:{from}schedule={}", rules.join("|"))
}

fn rule_text(rule: &Rule) -> String {
    let interval = format!("{}..{}", position_text(rule.start), position_text(rule.end));
    let Some(period) = rule.period else {
        return format!("{interval}:{}", action_text(&rule.spans[0].action));
    };
    let spans: Vec<String> =
        rule.spans.iter().map(|span| format!("{}:{}", position_text(span.length), action_text(&span.action))).collect();
    format!("repeat({interval},period={},pattern={})", position_text(period), spans.join("+"))
}

fn position_text(position: Position) -> String {
    match position {
        Position::Bytes(n) => n.to_string(),
        Position::Percent(p) => {
            let text = format!("{}.{:06}", p / 1_000_000, p % 1_000_000);
            format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
        }
    }
}

fn action_text(action: &Action) -> String {
    let Action::Train(t) = action else { return "infer".to_owned() };
    let default = Training::default();
    let mut keys = Vec::new();
    if t.scope != default.scope {
        let names = SCOPES.iter().enumerate().filter(|(bit, _)| t.scope.0 >> bit & 1 == 1).map(|(_, (name, _))| *name);
        keys.push(format!("scope={}", names.collect::<Vec<_>>().join("+")));
    }
    if t.train != default.train {
        keys.push(format!("opt={}", train_name(t.train)));
    }
    for (key, value, default) in [("lr", t.lr, default.lr), ("clip", t.clip, 0.0), ("momentum", t.momentum, 0.0)] {
        if value != default {
            keys.push(format!("{key}={value}"));
        }
    }
    for (key, value) in [("stride", t.stride), ("bptt", t.bptt)] {
        if value != 1 {
            keys.push(format!("{key}={value}"));
        }
    }
    if keys.is_empty() { "train".to_owned() } else { format!("train({})", keys.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(text: &str, want: &str) {
        let learning = parse(text).unwrap();
        assert_eq!(canonical(&learning), format!("policy:{want}"));
        let again = parse(want).unwrap();
        assert_eq!(again.policy, learning.policy);
    }

    #[test]
    fn the_canonical_form_parses_to_the_same_policy() {
        same("schedule=0..100:train", "schedule=0..100:train");
        same(
            " schedule= 0% .. 12.50% : train( optimizer=adam, lr=0.0008 ) | 20..30:infer ",
            "schedule=0%..12.5%:train(opt=adam,lr=0.0008)|20..30:infer",
        );
        same(
            "schedule=0..100%:train(scope=head|bias/embed,stride=2,bptt=1,clip=0.5,momentum=0.9,opt=sgd,lr=0.001)",
            "schedule=0..100%:train(scope=embed+head+bias,clip=0.5,momentum=0.9,stride=2)",
        );
        same("schedule=0..1:train(scope=none,lr=0)", "schedule=0..1:infer");
        let all: Vec<&str> = SCOPES.iter().map(|(name, _)| *name).collect();
        same(&format!("schedule=0..1:train(scope={})", all.join("+")), "schedule=0..1:train");
        same(
            "schedule=repeat(0..100%,period=1000,pattern=100:train(scope=attn+ffn,bptt=16)+5.5%:infer)",
            "schedule=repeat(0..100%,period=1000,pattern=100:train(scope=attn+ffn,bptt=16)+5.5%:infer)",
        );
        same("load_from=a,b.safetensors,schedule=0..9:train", "load_from=,schedule=0..9:train");
        assert_eq!(
            parse("load_from=a,b.safetensors,schedule=0..9:train").unwrap().load_from,
            Some("a,b.safetensors".into())
        );
    }

    #[test]
    fn an_error_quotes_the_part_that_is_wrong() {
        let bad = [
            ("", "schedule=RULE"),
            ("schedule=", "START..END"),
            ("schedule=0..1:train|", "START..END"),
            ("schedule=5..5:train", "5..5"),
            ("schedule=6..5:train", "6..5"),
            ("schedule=50%..50.000%:train", "empty"),
            ("schedule=5..0%:train", "empty"),
            ("schedule=0..101%:train", "101%"),
            ("schedule=0..1.1234567%:train", "six decimals"),
            ("schedule=0..-1:train", "position=-1"),
            ("schedule=0..1:learn", "learn"),
            ("schedule=0..1:train(lr=0)", "rate above 0"),
            ("schedule=0..1:train(lr=1,lr=1)", "twice"),
            ("schedule=0..1:train(opt=sgd,optimizer=sgd)", "twice"),
            ("schedule=0..1:train(opt=rmsprop)", "opt=rmsprop"),
            ("schedule=0..1:train(opt=adam,momentum=0.5)", "momentum"),
            ("schedule=0..1:train(scope=all+head)", "scope=all"),
            ("schedule=0..1:train(scope=heads)", "scope=heads"),
            ("schedule=0..1:train(stride=0)", "stride=0"),
            ("schedule=0..1:train(bptt=1025)", "bptt=1025"),
            ("schedule=0..1:train(foo=1)", "foo=1"),
            ("schedule=0..1:train(lr=0.1", "parenthesis"),
            ("schedule=repeat(0..9,period=4)", "pattern="),
            ("schedule=repeat(0..9,period=0,pattern=1:train)", "above 0"),
            ("schedule=repeat(0..9,period=4,pattern=0:train)", "above 0"),
            ("schedule=repeat(0..9,period=4,pattern=3:train+2:infer)", "5 bytes, its period 4"),
            ("load_from=x", "schedule="),
        ];
        for (text, part) in bad {
            let e = parse(text).unwrap_err();
            assert!(e.message().contains(part), "{text}: {e}");
        }
    }
}
