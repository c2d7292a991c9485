//! From the text of a pattern to its parts.

use super::class::Class;
use crate::error::{Result, fail, shortened};
use crate::text::category::{WHITE_SPACE, named};

/// The deepest nesting of groups.
const MAX_NESTING: u32 = 8;
/// The largest bound of a quantifier.
const MAX_COUNT: u32 = 1000;

/// A part of a sequence, as it is written.
pub(super) enum Part {
    /// From `min` to `max` members of a class, as many as possible. `keeps`: it never gives one back.
    Take { class: u16, min: u32, max: u32, keeps: bool },
    /// The next character is not in the class.
    Not(u16),
    /// One of several sequences, or nothing if `optional`.
    Group { branches: Vec<Vec<Part>>, optional: bool },
}

/// Reads a pattern from its start to its end.
pub(super) struct Parser<'a> {
    pattern: &'a str,
    at: usize,
    pub(super) classes: Vec<Class>,
}

/// `\r` and the like.
fn escaped(c: char) -> Option<char> {
    match c {
        'r' => Some('\r'),
        'n' => Some('\n'),
        't' => Some('\t'),
        'f' => Some('\u{c}'),
        'v' => Some('\u{b}'),
        c if c.is_ascii_punctuation() || c == ' ' => Some(c),
        _ => None,
    }
}

impl<'a> Parser<'a> {
    /// A reader of a pattern.
    pub(super) fn new(pattern: &'a str) -> Self {
        Self { pattern, at: 0, classes: Vec::new() }
    }

    /// Reads all of the pattern.
    ///
    /// # Errors
    /// `Model` for syntax that is not supported.
    pub(super) fn all(&mut self) -> Result<Vec<Vec<Part>>> {
        let branches = self.alternatives(false, 0)?;
        if self.at < self.pattern.len() { self.refuse("this sign") } else { Ok(branches) }
    }

    fn rest(&self) -> &str {
        &self.pattern[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// The error for what stands at the current place.
    pub(super) fn refuse<T>(&self, what: &str) -> Result<T> {
        let pattern = shortened(self.pattern);
        fail!(Model, "the pattern \"{pattern}\" of the pre-tokenizer: {what} at byte {} is not supported", self.at)
    }

    fn alternatives(&mut self, fold: bool, nesting: u32) -> Result<Vec<Vec<Part>>> {
        if nesting > MAX_NESTING {
            return self.refuse("a deeper group");
        }
        let mut all = Vec::new();
        loop {
            let mut sequence = Vec::new();
            while self.peek().is_some_and(|c| c != '|' && c != ')') {
                sequence.push(self.part(fold, nesting)?);
            }
            all.push(sequence);
            if !self.skip("|") {
                return Ok(all);
            }
        }
    }

    fn part(&mut self, fold: bool, nesting: u32) -> Result<Part> {
        if self.skip("(?!") {
            let class = self.class(fold)?;
            return if self.skip(")") { Ok(Part::Not(class)) } else { self.refuse("a lookahead of more than a class") };
        }
        if self.peek() == Some('(') {
            let plain = self.at;
            let fold = if self.skip("(?i:") {
                true
            } else if self.skip("(?:") || (!self.rest().starts_with("(?") && self.skip("(")) {
                fold
            } else {
                self.at = plain;
                return self.refuse("a group of this kind");
            };
            let branches = self.alternatives(fold, nesting + 1)?;
            if !self.skip(")") {
                return self.refuse("a group without its end");
            }
            let optional = self.skip("?");
            return match self.peek() {
                Some('*' | '+' | '?' | '{') => self.refuse("a quantifier of a group"),
                _ => Ok(Part::Group { branches, optional }),
            };
        }
        let class = self.class(fold)?;
        let (min, max) = self.quantifier()?;
        let keeps = (min, max) != (1, 1) && self.skip("+");
        match self.peek() {
            Some('?' | '*' | '+' | '{') => self.refuse("a second quantifier"),
            _ => Ok(Part::Take { class, min, max, keeps }),
        }
    }

    fn quantifier(&mut self) -> Result<(u32, u32)> {
        for (sign, bounds) in [("?", (0, 1)), ("*", (0, u32::MAX)), ("+", (1, u32::MAX))] {
            if self.skip(sign) {
                return Ok(bounds);
            }
        }
        let start = self.at;
        if !self.skip("{") {
            return Ok((1, 1));
        }
        let Some(min) = self.number() else {
            self.at = start;
            return self.refuse("a quantifier without a number");
        };
        let max = if self.skip(",") {
            if self.peek() == Some('}') { Some(u32::MAX) } else { self.number() }
        } else {
            Some(min)
        };
        match max {
            Some(max) if max >= min && self.skip("}") => Ok((min, max)),
            _ => self.refuse("a quantifier of this kind"),
        }
    }

    fn number(&mut self) -> Option<u32> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let n = self.rest()[..digits].parse().ok().filter(|n| *n <= MAX_COUNT)?;
        self.at += digits;
        Some(n)
    }

    /// A class or a single character; its number.
    fn class(&mut self, fold: bool) -> Result<u16> {
        let start = self.at;
        let mut class = Class::new();
        if self.skip("[") {
            class.negated = self.skip("^");
            self.members(&mut class)?;
        } else {
            match self.next() {
                Some('\\') => self.escape(&mut class, true)?,
                Some(c) if !"*+?{}()[]|^$.".contains(c) => class.ranges.push((c, c)),
                _ => {
                    self.at = start;
                    return self.refuse("this sign");
                }
            }
        }
        if fold && class.fold().is_none() {
            self.at = start;
            return self.refuse("a class without regard to case");
        }
        self.classes.push(class.ready());
        Ok((self.classes.len() - 1) as u16)
    }

    /// The members of a class up to its `]`.
    fn members(&mut self, class: &mut Class) -> Result<()> {
        let mut first = true;
        loop {
            let start = self.at;
            let from = match self.next() {
                Some(']') if !first => return Ok(()),
                None | Some('[' | ']') => {
                    self.at = start;
                    return self.refuse("this class");
                }
                Some('&') if self.peek() == Some('&') => return self.refuse("an intersection"),
                Some('\\') => match self.peek().and_then(escaped) {
                    Some(c) => {
                        self.next();
                        c
                    }
                    None => {
                        self.escape(class, false)?;
                        first = false;
                        continue;
                    }
                },
                Some(c) => c,
            };
            first = false;
            let is_range = self.rest().starts_with('-') && !self.rest().starts_with("-]");
            if !is_range {
                class.ranges.push((from, from));
                continue;
            }
            self.next();
            let to = match self.next() {
                Some('\\') => self.next().and_then(escaped),
                Some('[') | None => None,
                to => to,
            };
            match to.filter(|to| *to >= from) {
                Some(to) => class.ranges.push((from, to)),
                None => return self.refuse("a range of this kind"),
            }
        }
    }

    /// What follows a backslash. `alone`: outside of brackets, where a negation is possible.
    fn escape(&mut self, class: &mut Class, alone: bool) -> Result<()> {
        match self.next() {
            Some('s') => class.categories |= WHITE_SPACE,
            Some('d') => class.categories |= named("Nd").unwrap_or(0),
            Some('S') if alone => (class.categories, class.negated) = (WHITE_SPACE, true),
            Some(p @ ('p' | 'P')) if p == 'p' || alone => {
                let name = self.rest().strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(name, _)| name);
                let Some((len, found)) = name.and_then(|name| Some((name.len(), named(name)?))) else {
                    return self.refuse("a property of this name");
                };
                self.at += len + 2;
                class.categories |= found;
                class.negated |= p == 'P';
            }
            Some(c) => match escaped(c) {
                Some(c) => class.ranges.push((c, c)),
                None => return self.refuse("this escape"),
            },
            None => return self.refuse("an escape of nothing"),
        }
        Ok(())
    }
}
