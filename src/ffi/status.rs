//! Statuses and the last message.

use std::ffi::{CStr, c_char, c_int};

use super::message::last_error;
use crate::error::Status;

/// What a call answers: GPTZ_OK, or one of the errors below. The numbers are never changed and never used again for
/// another meaning; later versions may add some, so treat an unknown number as an error.
pub type gptz_status = c_int;

/// The call did what it says.
pub const GPTZ_OK: gptz_status = 0;
/// An argument is not allowed: NULL, freed, of another type, out of range, overlapping, an unknown parameter.
pub const GPTZ_ERROR_ARGUMENT: gptz_status = 1;
/// A method string is malformed, or the frame names no method.
pub const GPTZ_ERROR_METHOD: gptz_status = 2;
/// Weights are malformed or do not fit the model, or are needed and were not given.
pub const GPTZ_ERROR_MODEL: gptz_status = 3;
/// The operating system could not read or write a file.
pub const GPTZ_ERROR_IO: gptz_status = 4;
/// Memory could not be had, or would pass the limit.
pub const GPTZ_ERROR_MEMORY: gptz_status = 5;
/// The destination is too small.
pub const GPTZ_ERROR_BUFFER_TOO_SMALL: gptz_status = 6;
/// The input is no gptz frame, or of a version, coder or flag that this library does not know.
pub const GPTZ_ERROR_FORMAT: gptz_status = 7;
/// The input ends before its frame does.
pub const GPTZ_ERROR_TRUNCATED: gptz_status = 8;
/// The input is damaged.
pub const GPTZ_ERROR_CORRUPT: gptz_status = 9;
/// The input was made with another method, other weights or another base.
pub const GPTZ_ERROR_MISMATCH: gptz_status = 10;
/// The input was made with a version of the arithmetic that this library does not have.
pub const GPTZ_ERROR_NUMERICS: gptz_status = 11;
/// The progress callback asked to stop.
pub const GPTZ_ERROR_CANCELLED: gptz_status = 12;
/// The handle is in a call already.
pub const GPTZ_ERROR_BUSY: gptz_status = 13;
/// The call is not possible now.
pub const GPTZ_ERROR_STATE: gptz_status = 14;
/// The size is not stated in the input.
pub const GPTZ_ERROR_SIZE_UNKNOWN: gptz_status = 15;
/// A defect of the library; the handle answers nothing else any more and is to be freed. Please report it.
pub const GPTZ_ERROR_INTERNAL: gptz_status = 16;

/// The names, by number; each must be the number that the engine gives it.
const NAMES: [(gptz_status, Option<Status>, &CStr); 17] = [
    (GPTZ_OK, None, c"GPTZ_OK"),
    (GPTZ_ERROR_ARGUMENT, Some(Status::Argument), c"GPTZ_ERROR_ARGUMENT"),
    (GPTZ_ERROR_METHOD, Some(Status::Method), c"GPTZ_ERROR_METHOD"),
    (GPTZ_ERROR_MODEL, Some(Status::Model), c"GPTZ_ERROR_MODEL"),
    (GPTZ_ERROR_IO, Some(Status::Io), c"GPTZ_ERROR_IO"),
    (GPTZ_ERROR_MEMORY, Some(Status::Memory), c"GPTZ_ERROR_MEMORY"),
    (GPTZ_ERROR_BUFFER_TOO_SMALL, Some(Status::BufferTooSmall), c"GPTZ_ERROR_BUFFER_TOO_SMALL"),
    (GPTZ_ERROR_FORMAT, Some(Status::Format), c"GPTZ_ERROR_FORMAT"),
    (GPTZ_ERROR_TRUNCATED, Some(Status::Truncated), c"GPTZ_ERROR_TRUNCATED"),
    (GPTZ_ERROR_CORRUPT, Some(Status::Corrupt), c"GPTZ_ERROR_CORRUPT"),
    (GPTZ_ERROR_MISMATCH, Some(Status::Mismatch), c"GPTZ_ERROR_MISMATCH"),
    (GPTZ_ERROR_NUMERICS, Some(Status::Numerics), c"GPTZ_ERROR_NUMERICS"),
    (GPTZ_ERROR_CANCELLED, Some(Status::Cancelled), c"GPTZ_ERROR_CANCELLED"),
    (GPTZ_ERROR_BUSY, Some(Status::Busy), c"GPTZ_ERROR_BUSY"),
    (GPTZ_ERROR_STATE, Some(Status::State), c"GPTZ_ERROR_STATE"),
    (GPTZ_ERROR_SIZE_UNKNOWN, Some(Status::SizeUnknown), c"GPTZ_ERROR_SIZE_UNKNOWN"),
    (GPTZ_ERROR_INTERNAL, Some(Status::Internal), c"GPTZ_ERROR_INTERNAL"),
];

// A C macro must be a literal here; this is what ties each to the engine's own number.
const _: () = {
    let mut i = 0;
    while i < NAMES.len() {
        let (number, status, _) = NAMES[i];
        assert!(number == i as gptz_status);
        assert!(match status {
            Some(status) => status as gptz_status == number,
            None => number == 0,
        });
        i += 1;
    }
};

/// The name of a status as it is spelled in this header, such as "GPTZ_ERROR_CORRUPT"; "unknown status" for any other
/// number. The string is static. Never fails; any thread.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_status_name(status: gptz_status) -> *const c_char {
    NAMES.iter().find(|(number, ..)| *number == status).map_or(c"unknown status", |(.., name)| name).as_ptr()
}

/// What the last call of this thread that failed had to say: what was found, where, and what was expected. Always a
/// string, empty when no call has failed yet, in UTF-8, at most 511 bytes.
///
/// It belongs to the library and stands until this thread's next call that fails; calls that succeed leave it alone, so
/// ask only after a failure. Its wording is for people and may change; programs go by the status.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_last_error() -> *const c_char {
    last_error()
}
