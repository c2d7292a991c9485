//! Whole buffers in one call.

use std::ffi::c_void;

use super::buffers::{check_apart, input, output};
use super::guard::with_out;
use super::handle::{Inner, gptz, on_handle};
use super::status::{GPTZ_ERROR_BUFFER_TOO_SMALL, gptz_status};
use crate::error::{Result, Status};
use crate::session::{compress_bound, decompressed_size};

/// How large a destination makes sure that gptz_compress does not fail for want of room, for `src_len` bytes, whatever
/// the method and options; 0 if that is more than a size_t counts.
///
/// For version 2 frames (GPTZ_PARAM_FORMAT), which cannot store what does not compress, it is no promise: if a method
/// predicts some content worse than chance by more than an eighth, gptz_compress answers GPTZ_ERROR_BUFFER_TOO_SMALL.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_compress_bound(src_len: usize) -> usize {
    compress_bound(src_len).unwrap_or(0)
}

/// Runs a call from one buffer to another; what was written, or would have to be, ends up in `*dst_len`.
///
/// # Safety
/// As `input`, `output`, `with_out` and `on_handle` ask.
unsafe fn transform(
    handle: *mut gptz,
    (src, src_len): (*const c_void, usize),
    (dst, dst_cap): (*mut c_void, usize),
    dst_len: *mut usize,
    f: impl FnOnce(&mut Inner, &[u8], &mut [u8]) -> Result<usize>,
) -> gptz_status {
    let mut needed = 0;
    let body = |h: &mut Inner| {
        check_apart(src, src_len, dst, dst_cap)?;
        // SAFETY: the caller's promise; the two do not overlap.
        let (src, dst) = unsafe { (input(src, src_len, "the source")?, output(dst, dst_cap, "the destination")?) };
        f(h, src, dst).inspect_err(|e| {
            if e.status() == Status::BufferTooSmall {
                needed = e.needed().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
            }
        })
    };
    // SAFETY: the caller's promise.
    let status = unsafe { with_out(dst_len, 0, "dst_len", || on_handle(handle, body)) };
    if status == GPTZ_ERROR_BUFFER_TOO_SMALL {
        // SAFETY: the call came as far as its buffers, so dst_len was written to.
        unsafe { dst_len.write_unaligned(needed) };
    }
    status
}

/// Compresses `src_len` bytes of `src` into one frame at the start of `dst`, which has room for `dst_cap` bytes;
/// `*dst_len` is the frame's length. The frame depends on the handle's method, base and options and on the content
/// alone: not on the machine, not on earlier calls.
///
/// GPTZ_ERROR_BUFFER_TOO_SMALL if there is not enough room: `*dst_len` is then the room that is needed, found at the cost
/// of a whole call (gptz_compress_bound tells a size that is always enough). GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY,
/// GPTZ_ERROR_ARGUMENT if the buffers overlap or are NULL (allowed for a length of 0). On failure `*dst_len` is 0 but
/// where said otherwise, and what `dst` holds is not specified.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_compress(
    handle: *mut gptz,
    src: *const c_void,
    src_len: usize,
    dst: *mut c_void,
    dst_cap: usize,
    dst_len: *mut usize,
) -> gptz_status {
    // SAFETY: buffers of the lengths given, as the header asks.
    unsafe {
        transform(handle, (src, src_len), (dst, dst_cap), dst_len, |h, src, dst| {
            h.with_progress(|session, progress| session.compress(src, dst, progress))
        })
    }
}

/// How many bytes the frames of `src` hold together. All of `src` must be there: the structure of every frame is checked
/// from end to end, nothing is decoded, no memory is taken for what it promises. No input at all is
/// GPTZ_ERROR_TRUNCATED.
///
/// The size is what the input promises. It comes from whoever made the input: hold it against what you are ready to take
/// before you allocate it. On failure `*size` is 0: GPTZ_ERROR_FORMAT, GPTZ_ERROR_TRUNCATED, GPTZ_ERROR_CORRUPT,
/// GPTZ_ERROR_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_decompressed_size(src: *const c_void, src_len: usize, size: *mut u64) -> gptz_status {
    // SAFETY: `src` holds `src_len` bytes, as the header asks.
    let body = || decompressed_size(unsafe { input(src, src_len, "the source") }?);
    // SAFETY: `size` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(size, 0, "size", body) }
}

/// Decompresses all frames of `src`, one after the other, to the start of `dst`, which has room for `dst_cap` bytes;
/// `*dst_len` is the length of all content. `src` must end where a frame does; no input at all is GPTZ_ERROR_TRUNCATED.
/// Nothing can follow a version 2 frame with the range coder, which takes all that is there.
///
/// Before anything is decoded the frames' structure is checked, then that they are of this handle's method, weights and
/// base (GPTZ_ERROR_MISMATCH, naming both; gptz_create_for_frame makes a handle that fits), then the room
/// (GPTZ_ERROR_BUFFER_TOO_SMALL: `*dst_len` is what is needed, 0 if that is more than a size_t counts). A version 2 frame
/// names no method: the wrong one shows as GPTZ_ERROR_CORRUPT.
///
/// GPTZ_ERROR_FORMAT, GPTZ_ERROR_TRUNCATED, GPTZ_ERROR_CORRUPT (naming frame and block), GPTZ_ERROR_NUMERICS,
/// GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY, GPTZ_ERROR_ARGUMENT. On failure `*dst_len` is 0 but where said otherwise, and
/// what `dst` holds is not specified. Any input is safe; hostile input costs at most the time of decoding as many bytes as
/// `dst` has room for, and of going back to the base for each frame that holds any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_decompress(
    handle: *mut gptz,
    src: *const c_void,
    src_len: usize,
    dst: *mut c_void,
    dst_cap: usize,
    dst_len: *mut usize,
) -> gptz_status {
    // SAFETY: buffers of the lengths given, as the header asks.
    unsafe {
        transform(handle, (src, src_len), (dst, dst_cap), dst_len, |h, src, dst| {
            h.with_progress(|session, progress| session.decompress(src, dst, progress))
        })
    }
}
