//! One error for the whole library: a status for programs and a message for people. Every layer adds what it knows.

use std::fmt;

/// What kind of failure it was. The numbers are those of the C ABI and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Status {
    /// An argument is not allowed: NULL, out of range, overlapping, an unknown parameter.
    Argument = 1,
    /// A method string is malformed or names what does not exist.
    Method = 2,
    /// Weights are malformed or do not fit the model.
    Model = 3,
    /// The operating system could not read or write a file.
    Io = 4,
    /// Memory could not be had, or would pass the limit.
    Memory = 5,
    /// The destination is too small.
    BufferTooSmall = 6,
    /// The input is not a gptz frame, or of a version or with a flag that this library does not know.
    Format = 7,
    /// The input ends before the frame does.
    Truncated = 8,
    /// The input is damaged.
    Corrupt = 9,
    /// The input was made with another method, other weights or another base.
    Mismatch = 10,
    /// The input was made with a version of the arithmetic that this library does not have.
    Numerics = 11,
    /// The progress callback asked to stop.
    Cancelled = 12,
    /// The handle is in a call already.
    Busy = 13,
    /// The call is not possible now.
    State = 14,
    /// The size is not stated in the input.
    SizeUnknown = 15,
    /// A defect of the library. The handle must be freed.
    Internal = 16,
}

/// A status and a message that says what was found, where, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    status: Status,
    message: String,
    needed: Option<u64>,
}

/// What everything fallible returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of this kind.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), needed: None }
    }

    /// A destination of `capacity` bytes that would have to hold `needed`.
    pub fn buffer_too_small(capacity: usize, needed: u64) -> Self {
        let message = format!("the destination holds {capacity} bytes, {needed} are needed");
        Self { status: Status::BufferTooSmall, message, needed: Some(needed) }
    }

    /// What kind of failure it was.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How many bytes the destination would have to hold, where that is known.
    pub fn needed(&self) -> Option<u64> {
        self.needed
    }

    /// The same failure, told by a layer that knows where it happened.
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

/// Memory for `what` could not be had.
pub(crate) fn out_of_memory(bytes: usize, what: &str) -> Error {
    Error::new(Status::Memory, format!("no memory for {what} ({bytes} bytes)"))
}

macro_rules! fail {
    ($status:ident, $($message:tt)+) => {
        return Err($crate::error::Error::new($crate::error::Status::$status, format!($($message)+)))
    };
}
pub(crate) use fail;
