//! Compression and decompression of whole buffers.

use std::ffi::c_void;

use super::buffers::{check_apart, input, inputs, output};
use super::guard::with_out;
use super::handle::{Inner, ended, gptz, on_handle};
use super::status::{GPTZ_ERROR_BUFFER_TOO_SMALL, gptz_status};
use crate::error::{Result, Status, fail};
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

/// Runs a call that writes to `dst`. `*dst_len` becomes the length written, or the length needed.
///
/// # Safety
/// As `with_out` and `on_handle` ask.
unsafe fn transform(
    handle: *mut gptz,
    dst_len: *mut usize,
    f: impl FnOnce(&mut Inner) -> Result<usize>,
) -> gptz_status {
    let mut needed = 0;
    let body = |h: &mut Inner| {
        f(h).inspect_err(|e| {
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

/// A source and a destination that do not overlap.
///
/// # Safety
/// As `input` and `output` ask.
unsafe fn pair<'a>(
    (src, src_len): (*const c_void, usize),
    (dst, dst_cap): (*mut c_void, usize),
) -> Result<(&'a [u8], &'a mut [u8])> {
    check_apart(src, src_len, dst, dst_cap)?;
    // SAFETY: the caller's promise; the two do not overlap.
    Ok(unsafe { (input(src, src_len, "the source")?, output(dst, dst_cap, "the destination")?) })
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
        transform(handle, dst_len, |h| {
            let (src, dst) = pair((src, src_len), (dst, dst_cap))?;
            let n = h.with_progress(|session, progress| session.compress(src, dst, progress))?;
            h.last.compressed(src.len(), n);
            Ok(n)
        })
    }
}

/// Compresses the bytes of `count` parts, one after the other, into one frame, as gptz_compress does with the same bytes
/// in one buffer. Part i is the `lens[i]` bytes at `parts[i]`. The frame does not depend on where the content is cut
/// into parts. In addition to the memory of gptz_compress the call allocates a list of the parts, and room for one block
/// if a block is in several parts.
///
/// Errors: as gptz_compress; GPTZ_ERROR_ARGUMENT also if a part overlaps `dst`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_compress_parts(
    handle: *mut gptz,
    parts: *const *const c_void,
    lens: *const usize,
    count: usize,
    dst: *mut c_void,
    dst_cap: usize,
    dst_len: *mut usize,
) -> gptz_status {
    // SAFETY: arrays of `count`, buffers of the lengths given, as the header asks.
    unsafe {
        transform(handle, dst_len, |h| {
            let parts = inputs((parts, lens, count), (dst, dst_cap), "a part", "parts or lens")?;
            let Some(total) = parts.iter().try_fold(0usize, |sum, part| sum.checked_add(part.len())) else {
                fail!(Argument, "the parts together are longer than memory can hold");
            };
            let dst = output(dst, dst_cap, "the destination")?;
            let n = h.with_progress(|session, progress| session.compress_parts(&parts, dst, progress))?;
            h.last.compressed(total, n);
            Ok(n)
        })
    }
}

/// Computes the length in bytes of the frame that gptz_compress writes for the same content, without a destination. On
/// failure `*len` is 0. The call takes as long as gptz_compress. The live state does not change.
///
/// Errors: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_compressed_size(
    handle: *mut gptz,
    src: *const c_void,
    src_len: usize,
    len: *mut usize,
) -> gptz_status {
    let body = |h: &mut Inner| {
        // SAFETY: `src` holds `src_len` bytes, as the header asks.
        let src = unsafe { input(src, src_len, "the source") }?;
        let n = h.with_progress(|session, progress| session.compressed_size(src, progress))?;
        h.last.measured(src.len(), n as f64 * 8.0);
        Ok(n)
    };
    // SAFETY: a handle or NULL, and `len` NULL or the caller's to write, as the header asks.
    unsafe { ended(handle, with_out(len, 0, "len", || on_handle(handle, body))) }
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
/// The frames may have different methods. A frame of a registered method (gptz_level_method returns some of them) that
/// needs no base is decoded whatever the method and the base of the handle are. All other frames must have the method,
/// the weights and the base of the handle. For frames of other methods the call creates what a handle of that method
/// has, and frees it at its end.
///
/// Before it decodes anything, the call checks, in this order:
///
/// - the structure of all frames;
/// - that the library has the frames' version of the arithmetic (otherwise GPTZ_ERROR_NUMERICS), and that it can decode
///   them with this handle (otherwise GPTZ_ERROR_MISMATCH, and the message names both sides; gptz_create_for_frame
///   creates a handle for a frame);
/// - GPTZ_PARAM_WORK_LIMIT (otherwise GPTZ_ERROR_METHOD), and for frames of other methods GPTZ_PARAM_MEMORY_LIMIT,
///   which holds for the handle and one other method together (otherwise GPTZ_ERROR_MEMORY);
/// - the room in `dst`.
///
/// Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if the content is longer than `dst_cap`; `*dst_len` is then the length of the
/// content, or 0 if that does not fit a size_t. GPTZ_ERROR_FORMAT, GPTZ_ERROR_TRUNCATED (also for an empty input),
/// GPTZ_ERROR_CORRUPT (the message names the frame and the block), GPTZ_ERROR_NUMERICS, GPTZ_ERROR_MISMATCH,
/// GPTZ_ERROR_METHOD, GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY. On every failure but the first `*dst_len` is 0. A
/// version 2 frame names no method, so a handle of another method returns GPTZ_ERROR_CORRUPT.
///
/// Security: any input is safe. A hostile input costs at most the time to decode as many bytes as `dst` has room for,
/// and, once for each frame or segment that has content, the time to restore the base or to create another method. Other
/// methods are created more than once only if the memory limit has no room for all of them.
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
        transform(handle, dst_len, |h| {
            let (src, dst) = pair((src, src_len), (dst, dst_cap))?;
            let n = h.with_progress(|session, progress| session.decompress(src, dst, progress))?;
            h.last.decompressed(src.len(), n);
            Ok(n)
        })
    }
}
