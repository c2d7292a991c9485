//! The library's error type: a status for programs and a message for people. Each layer may add context to the message.

use std::fmt::{self, Write};
use std::path::Path;

/// The kind of a failure. The numbers are part of the C ABI and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Status {
    /// An argument is not allowed: NULL, out of range, overlapping, an unknown parameter.
    Argument = 1,
    /// A method string is malformed or names something that does not exist.
    Method = 2,
    /// Weights are malformed or do not fit the model.
    Model = 3,
    /// The operating system could not open, read or write a file.
    Io = 4,
    /// An allocation failed, or would exceed the memory limit.
    Memory = 5,
    /// The destination is too small.
    BufferTooSmall = 6,
    /// The input is not a gptz frame, or has a version or a flag that this library does not support.
    Format = 7,
    /// The input ends before its frame or record ends.
    Truncated = 8,
    /// The input is damaged.
    Corrupt = 9,
    /// The input was written with a different method, different weights or a different base.
    Mismatch = 10,
    /// The input was written with a version of the arithmetic that this library does not support.
    Numerics = 11,
    /// The progress callback cancelled the call.
    Cancelled = 12,
    /// Another call is using the handle.
    Busy = 13,
    /// The call is not allowed in the object's current state.
    State = 14,
    /// A frame's header does not state the length of its content.
    SizeUnknown = 15,
    /// A defect of the library. The only valid call on the handle is to free it.
    Internal = 16,
}

/// A status and a message. The message says what was found, where, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    status: Status,
    message: String,
    /// A size: see [`Error::needed`] and [`Error::wanted`].
    size: Option<u64>,
}

/// The result of a fallible call.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with this status and message.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), size: None }
    }

    /// The error of a destination of `capacity` bytes that is too small for `needed` bytes.
    pub fn buffer_too_small(capacity: usize, needed: u64) -> Self {
        let message = format!("the destination holds {capacity} bytes, {needed} are needed");
        Self { status: Status::BufferTooSmall, message, size: Some(needed) }
    }

    /// The error of an array for `capacity` tokens that is too small for `needed` of them.
    pub(crate) fn array_too_small(capacity: usize, needed: u64) -> Self {
        let message = format!("the array holds {capacity} tokens, {needed} are needed");
        Self { status: Status::BufferTooSmall, message, size: Some(needed) }
    }

    /// The kind of the failure.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The error of an input that ends where at least `wanted` bytes of it were expected.
    pub(crate) fn truncated(message: String, wanted: u64) -> Self {
        Self { status: Status::Truncated, message, size: Some(wanted) }
    }

    /// The size that the destination needs, in bytes or tokens, if it is known.
    pub fn needed(&self) -> Option<u64> {
        self.size.filter(|_| self.status == Status::BufferTooSmall)
    }

    /// The length that a truncated input has at least, from the start of the part that was parsed, if it is known.
    pub(crate) fn wanted(&self) -> Option<u64> {
        self.size.filter(|_| self.status == Status::Truncated)
    }

    /// The same error with `place` in front of its message.
    pub fn within(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The longest quote of a text in a message, in bytes. A message has at most three quotes, and the C ABI keeps 511
/// bytes of it.
const MAX_QUOTE: usize = 120;

/// Quotes text of a caller or an input in a message: at most [`MAX_QUOTE`] bytes, so that the rest of the message is
/// never cut off.
///
/// A longer text loses its middle, which becomes `...`. Characters that are not printable are escaped, so that an input
/// cannot control a terminal.
pub(crate) fn shortened(text: &str) -> Shortened<'_> {
    Shortened(text)
}

/// As [`shortened`].
pub(crate) fn shortened_path(path: &Path) -> String {
    shortened(&path.to_string_lossy()).to_string()
}

/// The result of [`shortened`]. It borrows the text and allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shortened<'a>(&'a str);

/// The printable form of a character, for messages.
fn printable(c: char) -> impl Iterator<Item = char> + Clone {
    let escaped = (!matches!(c, '"' | '\'' | '\\')).then(|| c.escape_debug());
    escaped.clone().into_iter().flatten().chain(escaped.is_none().then_some(c))
}

/// The length in bytes of the longest prefix of `chars` whose printable form takes at most `most` bytes.
fn bytes_that_fit(chars: impl Iterator<Item = char>, most: usize) -> usize {
    let mut left = most;
    let fits = |c: &char| {
        let width: usize = printable(*c).map(char::len_utf8).sum();
        let fits = width <= left;
        left -= if fits { width } else { 0 };
        fits
    };
    chars.take_while(fits).map(char::len_utf8).sum()
}

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const GAP: &str = "...";
        const END: usize = (MAX_QUOTE - GAP.len()) / 2;
        let text = self.0;
        let mut write = |part: &str| part.chars().flat_map(printable).try_for_each(|c| f.write_char(c));
        if bytes_that_fit(text.chars(), MAX_QUOTE) == text.len() {
            return write(text);
        }
        write(&text[..bytes_that_fit(text.chars(), END)])?;
        write(GAP)?;
        write(&text[text.len() - bytes_that_fit(text.chars().rev(), END)..])
    }
}

/// The error of a failed allocation for `what`.
pub(crate) fn out_of_memory(bytes: usize, what: &str) -> Error {
    Error::new(Status::Memory, format!("no memory for {what} ({bytes} bytes)"))
}

macro_rules! fail {
    ($status:ident, $($message:tt)+) => {
        return Err($crate::error::Error::new($crate::error::Status::$status, format!($($message)+)))
    };
}
pub(crate) use fail;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_keeps_both_ends_and_at_most_its_length() {
        let show = |text: &str| shortened(text).to_string();
        for text in ["", "a", "\"it's\" \\ ü 漢字", &"x".repeat(MAX_QUOTE)] {
            assert_eq!(show(text), text);
        }
        let long = format!("head{}tail", "x".repeat(1 << 20));
        let shown = show(&long);
        assert!(shown.starts_with("headxx") && shown.contains("xx...xx") && shown.ends_with("xxtail"), "{shown}");
        assert_eq!(shown.len(), MAX_QUOTE - 1);
        // The cut is between characters, whatever their width.
        for c in ["ü", "漢", "🦀", "\u{1b}"] {
            for n in 0..80 {
                let shown = show(&("a".repeat(n % 4) + &c.repeat(n)));
                assert!(shown.len() <= MAX_QUOTE && !shown.contains('\u{1b}'), "{shown}");
            }
        }
        assert_eq!(show("a\u{1b}[2J\n\u{202e}"), "a\\u{1b}[2J\\n\\u{202e}");
    }
}
