//! Statuses and the last message.

use std::ffi::{CStr, c_char, c_int};

use super::message::last_error;
use crate::error::Status;

/// The result of a call: GPTZ_OK or one of the errors below. A number keeps its meaning in all later versions and is
/// never reused. Later versions may add errors, so treat an unknown number as an error.
pub type gptz_status = c_int;

/// Success.
pub const GPTZ_OK: gptz_status = 0;
/// An argument is invalid: a pointer that is NULL, freed or of another type, a value out of range, an unknown option,
/// or buffers that overlap.
pub const GPTZ_ERROR_ARGUMENT: gptz_status = 1;
/// A method string is malformed or names something that this library does not have. Or the method needs more
/// multiplications per byte than a limit allows. Or a frame is of version 2, which names no method.
pub const GPTZ_ERROR_METHOD: gptz_status = 2;
/// A weights file or tensor file is malformed or of a kind that is not supported. Or a frame needs weights from a file.
pub const GPTZ_ERROR_MODEL: gptz_status = 3;
/// The operating system could not open, read or write a file, or the path is not that of a regular file.
pub const GPTZ_ERROR_IO: gptz_status = 4;
/// An allocation failed, or the call needs more memory than a limit allows.
pub const GPTZ_ERROR_MEMORY: gptz_status = 5;
/// The destination is too small.
pub const GPTZ_ERROR_BUFFER_TOO_SMALL: gptz_status = 6;
/// The input is not a gptz frame, or its version, coder, flags or registered method are unknown to this library.
pub const GPTZ_ERROR_FORMAT: gptz_status = 7;
/// The input ends before its frame ends.
pub const GPTZ_ERROR_TRUNCATED: gptz_status = 8;
/// The input is damaged: its structure is inconsistent, or a checksum does not match.
pub const GPTZ_ERROR_CORRUPT: gptz_status = 9;
/// A frame or a snapshot was made with another method, other weights or another base than those of the handle.
pub const GPTZ_ERROR_MISMATCH: gptz_status = 10;
/// A frame was made with a version of the arithmetic that this library does not have.
pub const GPTZ_ERROR_NUMERICS: gptz_status = 11;
/// The progress callback cancelled the call.
pub const GPTZ_ERROR_CANCELLED: gptz_status = 12;
/// The handle is already in a call on another thread, or in the call whose progress callback made this call.
pub const GPTZ_ERROR_BUSY: gptz_status = 13;
/// The object is in a state that does not allow the call.
pub const GPTZ_ERROR_STATE: gptz_status = 14;
/// The header of a frame does not state the length of its content.
pub const GPTZ_ERROR_SIZE_UNKNOWN: gptz_status = 15;
/// The library has a defect; please report it. Every later call on the handle returns the same status; free the handle.
pub const GPTZ_ERROR_INTERNAL: gptz_status = 16;

/// The statuses with their names, in the order of their numbers. Each number must be the one that the engine uses.
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

// cbindgen makes macros only from literals, so the numbers are written twice. This check keeps them equal.
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

/// Returns the name of a status as this header spells it, such as "GPTZ_ERROR_CORRUPT", or "unknown status" for any
/// other number. The string is static. Never fails.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_status_name(status: gptz_status) -> *const c_char {
    NAMES.iter().find(|(number, ..)| *number == status).map_or(c"unknown status", |(.., name)| name).as_ptr()
}

/// Returns the message of the last call of this thread that failed. It says what was found, where, and what was
/// expected. It is UTF-8, never NULL, and empty if no call of this thread has failed. It is at most 511 bytes long; the
/// middle of a longer message is left out.
///
/// The string belongs to the library. It is valid until the thread ends, and unchanged until the next call of this
/// thread that fails. Calls that succeed do not clear it, so read it only after a failure. The wording is for people
/// and may change between versions; programs should test the status.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_last_error() -> *const c_char {
    last_error()
}
