//! What a frame states about itself.

use std::ffi::{c_char, c_int, c_void};

use super::buffers::{check_apart, input};
use super::guard::{with_bytes, with_out};
use super::status::gptz_status;
use crate::error::fail;
use crate::numeric::buffer::copied;
use crate::session::{FrameValue, frame_info, frame_method};

/// Frame value: the length of the content in bytes. GPTZ_ERROR_SIZE_UNKNOWN if only the frame's trailer has it, as in
/// streams; gptz_decompressed_size finds it there.
pub const GPTZ_FRAME_CONTENT_LENGTH: c_int = 1;
/// Frame value: the bytes of memory that a handle of the frame's method takes to decompress it. With this value as
/// GPTZ_PARAM_MEMORY_LIMIT, a handle that does nothing else can. GPTZ_ERROR_MODEL for a method with a weights file, GPTZ_ERROR_METHOD for a version 2 frame.
pub const GPTZ_FRAME_MEMORY: c_int = 2;
/// Frame value: the number of bytes from the start of the input to the end of the frame's header.
pub const GPTZ_FRAME_HEADER_LENGTH: c_int = 3;
/// Frame value: the version of the arithmetic; 0 for a version 2 frame, which does not state it.
pub const GPTZ_FRAME_NUMERICS: c_int = 4;
/// Frame value: the number of lanes.
pub const GPTZ_FRAME_LANES: c_int = 5;
/// Frame value: the binary logarithm of the block size in bytes; 0 for a version 2 frame.
pub const GPTZ_FRAME_BLOCK_LOG: c_int = 6;
/// Frame value: the binary logarithm of the segment size in bytes; 0 for one segment.
pub const GPTZ_FRAME_SEGMENT_LOG: c_int = 7;
/// Frame value: 1 if the method needs a weights file, otherwise 0.
pub const GPTZ_FRAME_NEEDS_MODEL: c_int = 8;
/// Frame value: 1 if the frame needs a base, otherwise 0. Version 2 frames do not state it: 0.
pub const GPTZ_FRAME_NEEDS_BASE: c_int = 9;
/// Frame value: 1 if the frame has checksums of its content, otherwise 0.
pub const GPTZ_FRAME_CHECKSUM: c_int = 10;
/// Frame value: the number of bytes from the start of the input to the end of the frame. The call checks the structure
/// of the whole frame. GPTZ_ERROR_TRUNCATED if the input has less than that.
pub const GPTZ_FRAME_CODED_LENGTH: c_int = 11;
/// Frame value: the identifier of the base, its 8 bytes read as a little-endian number; 0 if the frame needs no base.
pub const GPTZ_FRAME_BASE_ID: c_int = 12;
/// Frame value: the first 8 bytes of the weights' fingerprint (gptz_model_fingerprint), read as a little-endian number;
/// 0 if the method has no weights file.
pub const GPTZ_FRAME_MODEL_ID: c_int = 13;

const _: () = assert!(
    GPTZ_FRAME_CONTENT_LENGTH == FrameValue::ContentLength as c_int
        && GPTZ_FRAME_MEMORY == FrameValue::Memory as c_int
        && GPTZ_FRAME_HEADER_LENGTH == FrameValue::HeaderLength as c_int
        && GPTZ_FRAME_NUMERICS == FrameValue::Numerics as c_int
        && GPTZ_FRAME_LANES == FrameValue::Lanes as c_int
        && GPTZ_FRAME_BLOCK_LOG == FrameValue::BlockLog as c_int
        && GPTZ_FRAME_SEGMENT_LOG == FrameValue::SegmentLog as c_int
        && GPTZ_FRAME_NEEDS_MODEL == FrameValue::NeedsModel as c_int
        && GPTZ_FRAME_NEEDS_BASE == FrameValue::NeedsBase as c_int
        && GPTZ_FRAME_CHECKSUM == FrameValue::Checksum as c_int
        && GPTZ_FRAME_CODED_LENGTH == FrameValue::CodedLength as c_int
        && GPTZ_FRAME_BASE_ID == FrameValue::BaseId as c_int
        && GPTZ_FRAME_MODEL_ID == FrameValue::ModelId as c_int
);

/// Reads a value of the first frame of `src`, one of GPTZ_FRAME_... , into `*value`. Skippable frames before it are
/// skipped. `src` must contain the frame's header; only GPTZ_FRAME_CODED_LENGTH needs the whole frame. On failure
/// `*value` is 0.
///
/// Security: the input states the values, and the input may be hostile.
///
/// Errors: GPTZ_ERROR_ARGUMENT if the value does not exist. GPTZ_ERROR_FORMAT, GPTZ_ERROR_TRUNCATED (also for an empty
/// input), GPTZ_ERROR_CORRUPT, and those that the values name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_frame_info(
    src: *const c_void,
    src_len: usize,
    what: c_int,
    value: *mut i64,
) -> gptz_status {
    let body = || {
        // SAFETY: `src` holds `src_len` bytes, as the header asks.
        let src = unsafe { input(src, src_len, "the source") }?;
        frame_info(src, FrameValue::from_number(what)?)
    };
    // SAFETY: `value` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(value, 0, "value", body) }
}

/// Copies the canonical method string of the first frame of `src` to `dst`, which has room for `cap` bytes, with a NUL
/// after it. Skippable frames before it are skipped. `src` must contain the frame's header. On success `*len` is the
/// length of the string without the NUL.
///
/// If `cap` is less than what is needed, the call returns GPTZ_ERROR_BUFFER_TOO_SMALL, and `*len` is what is needed, with
/// the NUL. A call with NULL and 0 asks for it: it returns the same status and does not change the message of
/// gptz_last_error. On every other failure `*len` is 0.
///
/// Security: the string comes from the input. It is UTF-8 and at most 4,096 bytes long, and it may contain any
/// characters.
///
/// Errors: GPTZ_ERROR_METHOD for a version 2 frame, which names no method. GPTZ_ERROR_FORMAT (also for a registered
/// method that this library does not have), GPTZ_ERROR_TRUNCATED (also for an empty input), GPTZ_ERROR_CORRUPT (also for
/// a string that contains a NUL).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_frame_method(
    src: *const c_void,
    src_len: usize,
    dst: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> gptz_status {
    let body = || {
        check_apart(src, src_len, dst.cast(), cap)?;
        // SAFETY: `src_len` bytes, which do not overlap the destination, as the header asks.
        let method = frame_method(unsafe { input(src, src_len, "the source")? })?;
        if method.contains('\0') {
            fail!(Corrupt, "the frame names a method that contains a NUL");
        }
        copied(method.as_bytes(), "a method string")
    };
    // SAFETY: `dst` has room for `cap` bytes, and `len` is NULL or the caller's to write, as the header asks.
    unsafe { with_bytes((dst.cast(), cap), b"\0", len, body) }
}
