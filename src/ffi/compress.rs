//! Compression and decompression of whole buffers.

use std::ffi::c_void;

use super::buffers::{check_apart, input, output};
use super::guard::with_out;
use super::handle::{Inner, ended, gptz, on_handle};
use super::status::{GPTZ_ERROR_BUFFER_TOO_SMALL, gptz_status};
use crate::error::{Result, Status};
use crate::session::{compress_bound, decompressed_size};

/// Returns a destination size, in bytes, that is always large enough for gptz_compress to write `src_len` bytes of
/// content as a version 3 frame, whatever the method and options. Returns 0 if that size does not fit a size_t. Never
/// fails.
///
/// The size is not always enough for a version 2 frame (GPTZ_PARAM_FORMAT). If the method predicts the content so badly
/// that the frame grows by more than an eighth, gptz_compress returns GPTZ_ERROR_BUFFER_TOO_SMALL.
#[unsafe(no_mangle)]
pub extern "C" fn gptz_compress_bound(src_len: usize) -> usize {
    compress_bound(src_len).unwrap_or(0)
}

/// Runs a call that reads one buffer and writes another. `*dst_len` becomes the length written, or the length needed.
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
        // SAFETY: only `body` returns this status, and it runs after `with_out` has written to dst_len.
        unsafe { dst_len.write_unaligned(needed) };
    }
    // SAFETY: the caller's promise.
    unsafe { ended(handle, status) }
}

/// Compresses `src_len` bytes at `src` into one frame at the start of `dst`, which has room for `dst_cap` bytes. On
/// success `*dst_len` is the length of the frame in bytes.
///
/// The frame depends only on the content and on the handle's method, base and options. It does not depend on the
/// machine or on earlier calls. The live state does not change.
///
/// Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if the frame is longer than `dst_cap`; `*dst_len` is then the length of the
/// frame. Such a call takes as long as one that succeeds; gptz_compress_bound returns a size that is always enough.
/// GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY. On every other failure `*dst_len` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_compress(
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

/// Computes the total length in bytes of the content of all frames in `src`. The frames must be complete. The call
/// checks the structure of every frame from start to end; it decodes nothing, and its memory does not depend on the
/// input. On failure `*size` is 0.
///
/// Security: the input states the size, and the input may be hostile. Compare the size with the most that you accept
/// before you allocate a buffer.
///
/// Errors: GPTZ_ERROR_FORMAT, GPTZ_ERROR_TRUNCATED (also for an empty input), GPTZ_ERROR_CORRUPT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_decompressed_size(src: *const c_void, src_len: usize, size: *mut u64) -> gptz_status {
    // SAFETY: `src` holds `src_len` bytes, as the header asks.
    let body = || decompressed_size(unsafe { input(src, src_len, "the source") }?);
    // SAFETY: `size` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(size, 0, "size", body) }
}

/// Decompresses all frames in `src`, one after the other, to the start of `dst`, which has room for `dst_cap` bytes. On
/// success `*dst_len` is the total length of the content in bytes. `src` must end where its last frame ends. A version
/// 2 frame that uses the range coder extends to the end of `src`. The live state does not change.
///
/// Before it decodes anything, the call checks, in this order:
///
/// - the structure of all frames;
/// - that the library has the frames' version of the arithmetic (otherwise GPTZ_ERROR_NUMERICS), and that the frames
///   have the method, weights and base of this handle (otherwise GPTZ_ERROR_MISMATCH, and the message names both sides;
///   gptz_create_for_frame creates a handle for a frame);
/// - GPTZ_PARAM_WORK_LIMIT (otherwise GPTZ_ERROR_METHOD);
/// - the room in `dst`.
///
/// Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if the content is longer than `dst_cap`; `*dst_len` is then the length of the
/// content, or 0 if that does not fit a size_t. GPTZ_ERROR_FORMAT, GPTZ_ERROR_TRUNCATED (also for an empty input),
/// GPTZ_ERROR_CORRUPT (the message names the frame and the block), GPTZ_ERROR_NUMERICS, GPTZ_ERROR_MISMATCH,
/// GPTZ_ERROR_METHOD, GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY. On every failure but the first `*dst_len` is 0. A
/// version 2 frame names no method, so a handle of another method returns GPTZ_ERROR_CORRUPT.
///
/// Security: any input is safe. A hostile input costs at most the time to decode as many bytes as `dst` has room for,
/// and to restore the base once for each frame that has content.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_decompress(
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
