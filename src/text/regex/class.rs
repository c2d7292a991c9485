//! Sets of characters.

use crate::text::category::{Categories, categories, first_char};

/// A set of characters.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// The members below 128.
    ascii: [bool; 128],
    /// The other members: the characters of these categories and ranges, or all others if `negated`.
    pub(super) categories: Categories,
    pub(super) ranges: Vec<(char, char)>,
    pub(super) negated: bool,
}

impl Class {
    pub(super) fn new() -> Self {
        Self { ascii: [false; 128], categories: 0, ranges: Vec::new(), negated: false }
    }

    fn has_by_definition(&self, c: char) -> bool {
        let within = |(from, to): &(char, char)| (*from..=*to).contains(&c);
        ((categories(c) & self.categories != 0) || self.ranges.iter().any(within)) != self.negated
    }

    /// The same set with its table of ASCII characters.
    pub(super) fn ready(mut self) -> Self {
        self.ascii = std::array::from_fn(|c| self.has_by_definition(c as u8 as char));
        self
    }

    /// Adds the other cases of all members. Only sets of ASCII characters have them here: U+017F is a case of s, and
    /// U+212A one of k.
    pub(super) fn fold(&mut self) -> Option<()> {
        if self.negated || self.categories != 0 || self.ranges.iter().any(|(_, to)| !to.is_ascii()) {
            return None;
        }
        let has = |c: char| self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&c));
        let mut more: Vec<char> = Vec::new();
        for c in ('a'..='z').filter(|c| has(*c) || has(c.to_ascii_uppercase())) {
            more.extend([c, c.to_ascii_uppercase()]);
            more.extend(match c {
                's' => Some('\u{17f}'),
                'k' => Some('\u{212a}'),
                _ => None,
            });
        }
        self.ranges.extend(more.into_iter().map(|c| (c, c)));
        Some(())
    }

    /// The length of the first character of `text` if it is a member.
    #[inline]
    pub(super) fn first(&self, text: &[u8]) -> Option<usize> {
        match text.first() {
            None => None,
            Some(b) if b.is_ascii() => self.ascii[usize::from(*b)].then_some(1),
            Some(_) => {
                let (c, len) = first_char(text);
                self.has_by_definition(c).then_some(len)
            }
        }
    }
}
