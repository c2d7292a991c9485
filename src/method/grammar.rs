//! The grammar that all parts of a method string share: keys and values, numbers, switches.
//!
//! Every value that is a number follows one grammar, whatever its key:
//!
//! ```text
//! whole number    0, or digits that do not start with 0:            0, 7, 256
//! number          a whole number, then optionally "." and digits,
//!                 then optionally "e", "-" if negative, and digits: 0.001, 5, 1.50, 1e-05
//! ```
//!
//! So a sign in front, a `+`, a leading zero, a blank inside, a decimal comma, `.5`, `5.`, `1e`, hexadecimal digits,
//! `inf` and `nan` are errors. A number other than 0 that becomes 0 or subnormal as an f32 is an error too, because it
//! would silently give another method.

use crate::error::{Result, fail, shortened};

/// Whether the text consists of decimal digits.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the text is a whole number of the grammar.
pub(super) fn is_whole(text: &str) -> bool {
    is_digits(text) && (text == "0" || !text.starts_with('0'))
}

/// Whether the text is a number of the grammar.
fn is_real(text: &str) -> bool {
    let (mantissa, exponent) = text.split_once('e').map_or((text, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    let exponent = exponent.map(|e| e.strip_prefix('-').unwrap_or(e));
    is_whole(whole) && [fraction, exponent].into_iter().flatten().all(is_digits)
}

/// Parses a whole number from 0 to `limit`.
pub(super) fn number(key: &str, value: &str, limit: u64) -> Result<u64> {
    let shown = shortened(value);
    if !is_whole(value) {
        fail!(Method, "{key}={shown}: a whole number is needed, of digits and without leading zeros");
    }
    match value.parse::<u64>() {
        Ok(n) if n <= limit => Ok(n),
        _ => fail!(Method, "{key}={shown}: a whole number up to {limit} is needed"),
    }
}

/// Parses a number from 0 to `most`.
pub(super) fn real(key: &str, value: &str, most: f32) -> Result<f32> {
    let shown = shortened(value);
    if !is_real(value) {
        fail!(Method, "{key}={shown}: a number such as 0, 5, 0.001 or 1e-3 is needed, with a decimal point");
    }
    let Some(x) = value.parse::<f32>().ok().filter(|x| *x <= most) else {
        fail!(Method, "{key}={shown}: a number from 0 to {most} is needed");
    };
    let is_zero = value.bytes().take_while(|b| *b != b'e').all(|b| matches!(b, b'0' | b'.'));
    if !is_zero && !x.is_normal() {
        fail!(Method, "{key}={shown}: too small, the smallest number above 0 is {:e}", f32::MIN_POSITIVE);
    }
    Ok(x)
}

/// Parses 0 or 1.
pub(super) fn switch(key: &str, value: &str) -> Result<bool> {
    match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => fail!(Method, "{key}={}: 0 and 1 are allowed", shortened(value)),
    }
}

/// Calls `set` with each of the `key=value` pairs between commas, in order. Every key is one of `known`, and no key
/// appears twice.
///
/// It stops at the first error, so that the work on a text that repeats keys does not grow with the square of its
/// length.
pub(super) fn pairs<'a>(
    text: &'a str,
    known: &[&'static str],
    mut set: impl FnMut(&'static str, &'a str) -> Result<()>,
) -> Result<()> {
    if text.trim().is_empty() {
        return Ok(());
    }
    let mut seen = 0u32;
    for part in split_outside(text, ',') {
        let part = part?;
        let Some((key, value)) = part.trim().split_once('=') else {
            let comma = if is_digits(part.trim()) { "; a fraction has a decimal point, not a comma" } else { "" };
            fail!(Method, "\"{}\": key=value is needed{comma}", shortened(part));
        };
        let Some(i) = known.iter().position(|k| *k == key.trim()) else {
            fail!(Method, "\"{}\": an unknown key; {} are known", shortened(part.trim()), known.join(", "));
        };
        if seen & 1 << i != 0 {
            fail!(Method, "\"{}\": {} appears twice", shortened(part.trim()), known[i]);
        }
        seen |= 1 << i;
        set(known[i], value.trim())?;
    }
    Ok(())
}

/// The parts of a text between separators that are not inside parentheses. If the parentheses do not match, the
/// iterator returns an error and ends.
pub(super) fn split_outside(text: &str, separator: char) -> impl Iterator<Item = Result<&str>> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let part = next_part(text, rest?, separator);
        rest = part.as_ref().ok().and_then(|(_, after)| *after);
        Some(part.map(|(part, _)| part))
    })
}

/// The first part of `rest` and, if a separator follows it, the text after that. `text` is quoted in an error.
fn next_part<'a>(text: &str, rest: &'a str, separator: char) -> Result<(&'a str, Option<&'a str>)> {
    let mut depth = 0u32;
    for (i, c) in rest.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => fail!(Method, "\"{}\": a closing parenthesis has no opening one", shortened(text)),
            ')' => depth -= 1,
            c if c == separator && depth == 0 => return Ok((&rest[..i], Some(&rest[i + c.len_utf8()..]))),
            _ => {}
        }
    }
    if depth > 0 {
        fail!(Method, "\"{}\": a parenthesis is not closed", shortened(text));
    }
    Ok((rest, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_spelling_per_digit_string() {
        for good in ["0", "1", "10", "256", "65536"] {
            assert!(number("n", good, 65_536).is_ok(), "{good}");
            assert!(real("x", good, 65_536.0).is_ok(), "{good}");
        }
        for (text, value) in
            [("0.001", 0.001), ("1.50", 1.5), ("1e-05", 1e-5), ("2e1", 20.0), ("0.0", 0.0), ("0e9", 0.0)]
        {
            assert_eq!(real("x", text, 100.0).unwrap(), value, "{text}");
            assert!(number("n", text, 100).is_err(), "{text}");
        }
        let long = format!("0.{}1", "0".repeat(50));
        let bad = [
            "",
            "+1",
            "-1",
            "-0",
            "01",
            "00.5",
            "007",
            "1 0",
            " 1",
            "1.",
            ".5",
            "1e",
            "1e+3",
            "1e-",
            "1E3",
            "e3",
            "1.e3",
            "1,5",
            "0x1",
            "inf",
            "nan",
            "infinity",
            "1_000",
            "1f",
            "\u{661}",
            "1e39",
            "1e999999999999",
            "1e-39",
            "1e-46",
            "1e-999",
            &long,
        ];
        for bad in bad {
            assert!(real("x", bad, 1e6).is_err(), "{bad:?}");
            assert!(number("n", bad, u64::MAX).is_err(), "{bad:?}");
        }
        // The smallest normal number, and every number that a canonical form contains.
        assert_eq!(real("x", "1.1754944e-38", 1.0).unwrap(), f32::MIN_POSITIVE);
        for x in [f32::MIN_POSITIVE, 1e-7, 0.1, 0.33333334, 1.0, 123_456.7, 1e6] {
            assert_eq!(real("x", &x.to_string(), 1e6).unwrap(), x);
        }
    }

    #[test]
    fn keys_are_checked_in_order() {
        let mut calls = 0;
        let text = format!("a=1,{}", "a=1,b=(2,".repeat(1 << 20));
        let e = pairs(&text, &["a", "b"], |_, _| {
            calls += 1;
            Ok(())
        });
        assert!(e.unwrap_err().message().ends_with("a appears twice"));
        assert_eq!(calls, 1);
        // An unknown key is refused before the parts after it are parsed, and its quote is short.
        let e = pairs(&format!("c={},)", "x".repeat(4000)), &["a", "b"], |_, _| Ok(())).unwrap_err();
        assert!(e.message().ends_with("an unknown key; a, b are known") && e.message().len() < 200, "{e}");
    }

    #[test]
    fn parts_are_split_outside_parentheses() {
        let split = |text| split_outside(text, '+').collect::<Result<Vec<_>>>();
        assert_eq!(split("").unwrap(), [""]);
        assert_eq!(split("(a+b)+c+((+)+)").unwrap(), ["(a+b)", "c", "((+)+)"]);
        assert_eq!(split("+").unwrap(), ["", ""]);
        for bad in ["a+b)", "(a+b", "((a)+b", ")("] {
            assert!(split(bad).is_err(), "{bad}");
        }
        let deep = ["(", ")"].map(|c| c.repeat(100_000)).concat();
        assert_eq!(split(&deep).unwrap(), [&deep[..]]);
    }
}
