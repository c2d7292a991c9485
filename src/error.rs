//! The library's error type: a status for programs and a message for people. Each layer may add context to the message.

use std::fmt;

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
    /// The operating system could not read or write a file.
    Io = 4,
    /// An allocation failed, or would exceed the memory limit.
    Memory = 5,
    /// The destination is too small.
    BufferTooSmall = 6,
    /// The input is not a gptz frame, or has a version or a flag that this library does not support.
    Format = 7,
    /// The input ends before the frame does.
    Truncated = 8,
    /// The input is damaged.
    Corrupt = 9,
    /// The input was written with a different method, different weights or a different base.
    Mismatch = 10,
    /// The input was written with a version of the arithmetic that this library does not support.
    Numerics = 11,
    /// The progress callback asked to stop.
    Cancelled = 12,
    /// Another call is using the handle.
    Busy = 13,
    /// The call is not allowed in the handle's current state.
    State = 14,
    /// The input does not state the size.
    SizeUnknown = 15,
    /// A defect of the library. The only valid call on the handle is to free it.
    Internal = 16,
}

/// A status and a message. The message says what was found, where, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    status: Status,
    message: String,
    needed: Option<u64>,
}

/// The result of a fallible call.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with this status and message.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), needed: None }
    }

    /// The error of a destination of `capacity` bytes that is too small for `needed` bytes.
    pub fn buffer_too_small(capacity: usize, needed: u64) -> Self {
        let message = format!("the destination holds {capacity} bytes, {needed} are needed");
        Self { status: Status::BufferTooSmall, message, needed: Some(needed) }
    }

    /// The kind of the failure.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The size that the destination needs, in bytes, if it is known.
    pub fn needed(&self) -> Option<u64> {
        self.needed
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
