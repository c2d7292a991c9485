//! Characters of a text that may be any bytes, and their Unicode categories.

use std::sync::atomic::{AtomicU8, Ordering};

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// A set of general categories, with one more bit for white space.
pub(super) type Categories = u32;

/// The bit of the property White_Space.
pub(super) const WHITE_SPACE: Categories = 1 << 31;

/// All categories that a name of one or two letters stands for (`L`, `Lu`).
pub(super) fn named(name: &str) -> Option<Categories> {
    const NAMES: [(&str, GeneralCategory); 30] = {
        use GeneralCategory::*;
        [
            ("Lu", UppercaseLetter),
            ("Ll", LowercaseLetter),
            ("Lt", TitlecaseLetter),
            ("Lm", ModifierLetter),
            ("Lo", OtherLetter),
            ("Mn", NonspacingMark),
            ("Mc", SpacingMark),
            ("Me", EnclosingMark),
            ("Nd", DecimalNumber),
            ("Nl", LetterNumber),
            ("No", OtherNumber),
            ("Pc", ConnectorPunctuation),
            ("Pd", DashPunctuation),
            ("Ps", OpenPunctuation),
            ("Pe", ClosePunctuation),
            ("Pi", InitialPunctuation),
            ("Pf", FinalPunctuation),
            ("Po", OtherPunctuation),
            ("Sm", MathSymbol),
            ("Sc", CurrencySymbol),
            ("Sk", ModifierSymbol),
            ("So", OtherSymbol),
            ("Zs", SpaceSeparator),
            ("Zl", LineSeparator),
            ("Zp", ParagraphSeparator),
            ("Cc", Control),
            ("Cf", Format),
            ("Cs", Surrogate),
            ("Co", PrivateUse),
            ("Cn", Unassigned),
        ]
    };
    let mut found = NAMES.iter().filter(|(known, _)| !name.is_empty() && known.starts_with(name)).peekable();
    found.peek()?;
    Some(found.fold(0, |set, (_, category)| set | bit(*category)))
}

const fn bit(category: GeneralCategory) -> Categories {
    1 << category as u32
}

/// The category of a character as a bit number.
fn number(c: char) -> u8 {
    c.general_category() as u8
}

/// Category numbers of the Basic Multilingual Plane plus one; 0 where none was looked up yet. A search in the crate's
/// table takes about ten times as long as this array. It takes no memory until it is used.
static SEEN: [AtomicU8; 1 << 16] = [const { AtomicU8::new(0) }; 1 << 16];

/// The category of a character, and whether it is white space.
#[inline]
pub(super) fn categories(c: char) -> Categories {
    let category = match SEEN.get(c as usize) {
        None => number(c),
        Some(seen) => match seen.load(Ordering::Relaxed) {
            0 => {
                let number = number(c);
                seen.store(number + 1, Ordering::Relaxed);
                number
            }
            n => n - 1,
        },
    };
    1 << category | if c.is_whitespace() { WHITE_SPACE } else { 0 }
}

/// The character at the start of `text`, which is not empty, and its length in bytes. A byte that does not start a
/// valid character is one character, U+FFFD.
#[inline]
pub(super) fn first_char(text: &[u8]) -> (char, usize) {
    const BAD: (char, usize) = (char::REPLACEMENT_CHARACTER, 1);
    let lead = text[0];
    let len = match lead {
        0..0x80 => return (lead as char, 1),
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return BAD,
    };
    let Some(rest) = text.get(1..len) else { return BAD };
    let mut code = u32::from(lead) & (0x7f >> len);
    for byte in rest {
        if byte & 0xc0 != 0x80 {
            return BAD;
        }
        code = code << 6 | u32::from(byte & 0x3f);
    }
    let smallest = [0x80, 0x800, 0x1_0000][len - 2];
    match char::from_u32(code) {
        Some(c) if code >= smallest => (c, len),
        _ => BAD,
    }
}

/// The length in bytes of the last character of `text`, which is not empty. Characters are those of [`first_char`].
#[inline]
pub(super) fn last_len(text: &[u8]) -> usize {
    let last = text[text.len() - 1];
    if last & 0xc0 != 0x80 {
        return 1;
    }
    // A valid character has one lead byte, which is never inside of another valid character.
    let starts = 2..=text.len().min(4);
    starts.rev().find(|n| first_char(&text[text.len() - n..]).1 == *n).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::random::Random;

    #[test]
    fn names_stand_for_their_categories() {
        assert_eq!(named("L").unwrap().count_ones(), 5);
        assert_eq!(named("Lu").unwrap(), 1 << number('A'));
        assert_eq!((named(""), named("X"), named("Luu"), named("LC")), (None, None, None, None));
        let all = ["L", "M", "N", "P", "S", "Z", "C"].iter().fold(0, |set, name| set | named(name).unwrap());
        assert_eq!(all.count_ones(), 30);
        assert_eq!(all & WHITE_SPACE, 0);
    }

    #[test]
    fn categories_are_those_of_the_crate() {
        for c in ('\0'..=char::MAX).step_by(7).chain(['\u{a0}', '\u{85}', ' ', '漢', '🦀']) {
            for _ in 0..2 {
                let found = categories(c);
                assert_eq!(found & !WHITE_SPACE, 1 << number(c), "{c:?}");
                assert_eq!(found & WHITE_SPACE != 0, c.is_whitespace(), "{c:?}");
            }
        }
    }

    #[test]
    fn characters_are_those_of_the_standard_library() {
        for c in ('\0'..=char::MAX).step_by(3) {
            let mut buffer = [0; 4];
            let bytes = c.encode_utf8(&mut buffer).as_bytes();
            assert_eq!((first_char(bytes), last_len(bytes)), ((c, bytes.len()), bytes.len()));
        }
        // Random bytes with many lead and continuation bytes: forwards and backwards, the characters are the same.
        let mut random = Random::new(1, "characters");
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..8)
                .map(|_| {
                    let x = random.next_u64();
                    let near = [0x80, 0xbf, 0xc2, 0xe0, 0xed, 0xf0, 0xf4, b'a'][(x >> 32) as usize & 7];
                    if x & 1 == 0 { near } else { (x >> 8) as u8 | 0x80 }
                })
                .collect();
            let (mut at, mut starts) = (0, vec![]);
            while at < bytes.len() {
                let (c, len) = first_char(&bytes[at..]);
                let valid = std::str::from_utf8(&bytes[at..at + len]);
                assert_eq!(valid.map_or(char::REPLACEMENT_CHARACTER, |s| s.chars().next().unwrap()), c);
                if valid.is_err() {
                    let prefixes = 1..=(bytes.len() - at).min(4);
                    assert!(len == 1 && prefixes.into_iter().all(|n| std::str::from_utf8(&bytes[at..at + n]).is_err()));
                }
                starts.push(at);
                at += len;
            }
            let mut end = bytes.len();
            while end > 0 {
                end -= last_len(&bytes[..end]);
                assert_eq!(starts.pop(), Some(end), "{bytes:x?}");
            }
        }
    }
}
