//! The grammar that all parts of a method string share: keys and values, numbers, switches.

use crate::error::{Result, fail};

/// Whether the text is decimal digits and nothing else.
pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A whole number from 0 to `limit`.
pub(super) fn number(key: &str, value: &str, limit: u64) -> Result<u64> {
    match value.parse::<u64>() {
        Ok(n) if n <= limit && is_number(value) => Ok(n),
        _ => fail!(Method, "{key}={value}: a whole number is needed"),
    }
}

/// A decimal number from 0 to `most`.
pub(super) fn real(key: &str, value: &str, most: f32) -> Result<f32> {
    match value.parse::<f32>() {
        Ok(x) if (0.0..=most).contains(&x) && x.is_sign_positive() => Ok(x),
        _ => fail!(Method, "{key}={value}: a number from 0 to {most} is needed"),
    }
}

/// 0 or 1.
pub(super) fn switch(key: &str, value: &str) -> Result<bool> {
    match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => fail!(Method, "{key}={value}: 0 and 1 are allowed"),
    }
}

/// The `key=value` pairs between commas, each key once.
pub(super) fn pairs(text: &str) -> Result<Vec<(&str, &str)>> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for part in split_outside(text, ',')?.into_iter().filter(|_| !text.trim().is_empty()) {
        let Some((key, value)) = part.trim().split_once('=') else {
            fail!(Method, "\"{part}\": key=value is needed");
        };
        let (key, value) = (key.trim(), value.trim());
        if pairs.iter().any(|(seen, _)| *seen == key) {
            fail!(Method, "\"{part}\": {key} stands twice");
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// The parts of a text between separators, not counting separators inside parentheses.
pub(super) fn split_outside(text: &str, separator: char) -> Result<Vec<&str>> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0u32);
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => fail!(Method, "\"{text}\": a parenthesis is closed that is not open"),
            ')' => depth -= 1,
            c if c == separator && depth == 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    if depth > 0 {
        fail!(Method, "\"{text}\": a parenthesis is not closed");
    }
    parts.push(&text[start..]);
    Ok(parts)
}
