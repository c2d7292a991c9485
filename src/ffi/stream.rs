//! Streams: frames through buffers of any size.

use std::ffi::{c_int, c_void};

use super::buffers::{check_apart, input, output};
use super::guard::{call, with_out};
use super::handle::{Hold, Inner, ended, gptz, on_held_handle};
use super::status::gptz_status;
use crate::error::{Error, Result, Status, fail};
use crate::numeric::buffer::boxed;
use crate::session::Param;
use crate::stream::{Compressor, Decompressor, Input, Operation, Output};

/// Input of a stream call: the bytes from `pos` to `size` of the buffer at `src` have not been taken yet. A call advances
/// `pos` by what it took, also if it fails. `src` may be NULL if `size` is 0. The struct will never change.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gptz_in {
    /// The buffer.
    pub src: *const c_void,
    /// Its length in bytes.
    pub size: usize,
    /// How many of its bytes were taken.
    pub pos: usize,
}

/// Room for the output of a stream call: the bytes from `pos` to `size` of the buffer at `dst` are free. A call advances
/// `pos` by what it gave. `dst` may be NULL if `size` is 0. The struct will never change.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gptz_out {
    /// The buffer.
    pub dst: *mut c_void,
    /// Its length in bytes.
    pub size: usize,
    /// How many of its bytes were filled.
    pub pos: usize,
}

/// Operation of gptz_stream_compress: take input, and give output when a block is full.
pub const GPTZ_CONTINUE: c_int = 0;
/// Operation of gptz_stream_compress: also end the block under way, so that everything that was given to the stream can be
/// decoded from what it gave. A short block costs some bytes.
pub const GPTZ_FLUSH: c_int = 1;
/// Operation of gptz_stream_compress: also end the frame.
pub const GPTZ_END: c_int = 2;

const _: () = assert!(
    GPTZ_CONTINUE == Operation::Continue as c_int
        && GPTZ_FLUSH == Operation::Flush as c_int
        && GPTZ_END == Operation::End as c_int
);

/// The buffers of a stream call.
struct Buffers<'a> {
    input: Input<'a>,
    output: Output<'a>,
}

/// Reads a struct of the caller.
///
/// # Safety
/// `p` is NULL or points at a readable T.
unsafe fn read<T: Copy>(p: *const T, name: &str) -> Result<T> {
    if p.is_null() {
        fail!(Argument, "{name} is NULL");
    }
    // SAFETY: the caller's promise. The read is unaligned because C programs may pack their structs.
    Ok(unsafe { p.read_unaligned() })
}

/// Runs a stream call over the caller's buffers, and advances their positions.
///
/// # Safety
/// The structs are NULL or hold buffers of their sizes.
unsafe fn with_buffers<T>(
    out: *mut gptz_out,
    input_at: *mut gptz_in,
    body: impl FnOnce(&mut Buffers) -> Result<T>,
) -> Result<T> {
    // SAFETY: the caller's promise.
    let (mut to, mut from) = unsafe { (read(out.cast_const(), "out")?, read(input_at.cast_const(), "in")?) };
    if from.pos > from.size || to.pos > to.size {
        fail!(
            Argument,
            "in is at {} of {} bytes, out at {} of {}: a position is behind the end",
            from.pos,
            from.size,
            to.pos,
            to.size
        );
    }
    check_apart(from.src, from.size, to.dst, to.size)?;
    // SAFETY: the caller's promise; the two do not overlap.
    let (src, dst) = unsafe { (input(from.src, from.size, "in.src")?, output(to.dst, to.size, "out.dst")?) };
    let mut buffers = Buffers { input: Input::new(&src[from.pos..]), output: Output::new(&mut dst[to.pos..]) };
    let result = body(&mut buffers);
    from.pos += buffers.input.taken();
    to.pos += buffers.output.given();
    // SAFETY: as above.
    unsafe {
        input_at.write_unaligned(from);
        out.write_unaligned(to);
    }
    result
}

/// A handle was asked to do two things at once.
fn other_direction() -> Error {
    Error::new(Status::State, "the handle is in a stream of the other direction, or has an open reader")
}

/// Compresses a stream into one frame. The call takes bytes of `in`, gives bytes of the frame to `out`, and stops when all
/// input was taken and what `op` asks for was given, or when `out` is full. Buffers may have any size.
///
///   GPTZ_CONTINUE   takes input
///   GPTZ_FLUSH      and ends the block under way: the output decodes to all of the input
///   GPTZ_END        and ends the frame
///
/// On success `*remaining` is 0 if the operation is done. Otherwise it is a number of bytes that the call could not give
/// or take, and the program makes room in `out` and calls again with the same operation and the rest of the input. After
/// GPTZ_END, input is refused with GPTZ_ERROR_STATE until `*remaining` was 0.
///
/// The frame is the one that gptz_compress writes for the same content and options, if there was no flush, and if the
/// length was stated (GPTZ_PARAM_CONTENT_LENGTH) or is at most one block. Without a stated length, the length of a longer
/// content stands at the frame's end, so that its first bytes do not tell it. How the content was divided among calls never
/// changes the frame. An empty stream is a frame of an empty content. After the end, input begins the next frame; it is
/// independent of those before. A second GPTZ_END without input is GPTZ_ERROR_STATE; after gptz_stream_reset it writes an
/// empty frame.
///
/// From the first input to the end of the frame the handle belongs to the stream: other calls but gptz_get,
/// gptz_stream_reset, gptz_handle_error, gptz_method and gptz_free return GPTZ_ERROR_STATE. The live state does not change.
///
/// Memory: gptz_memory_estimate counts a stream. A block is coded when it is full, so calls take very different times. The
/// callback's `total` is UINT64_MAX if the length is not known.
///
/// Errors: GPTZ_ERROR_STATE for version 2 frames, and if the policy of the method has positions in percent and the length
/// was not stated: both before any output. GPTZ_ERROR_ARGUMENT, also for a content of another length than was stated.
/// GPTZ_ERROR_MEMORY, GPTZ_ERROR_CANCELLED. On failure `*remaining` is 0. An error in the middle of a frame ends it: the
/// bytes given so far are the start of a frame that cannot be completed, and further calls return GPTZ_ERROR_STATE until
/// gptz_stream_reset. Arguments that are wrong in themselves (NULL, overlap, an unknown operation) change nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_stream_compress(
    handle: *mut gptz,
    out: *mut gptz_out,
    r#in: *mut gptz_in,
    op: c_int,
    remaining: *mut usize,
) -> gptz_status {
    let body = |h: &mut Inner| {
        let op = Operation::from_number(op)?;
        // SAFETY: structs with buffers of their sizes, as the header asks.
        unsafe { with_buffers(out, r#in, |buffers| compress(h, buffers, op)) }
    };
    // SAFETY: a handle or NULL, and `remaining` NULL or the caller's to write, as the header asks.
    unsafe { ended(handle, with_out(remaining, 0, "remaining", || on_held_handle(handle, body))) }
}

fn compress(h: &mut Inner, buffers: &mut Buffers, op: Operation) -> Result<usize> {
    let Buffers { input, output } = buffers;
    match &h.hold {
        Hold::Compress(_) => {}
        Hold::Ended if op == Operation::End && input.left() == 0 => {
            fail!(State, "the frame has ended; give input for the next one, or reset the stream for an empty one")
        }
        hold if hold.reason().is_some() => return Err(other_direction()),
        // Nothing to write yet.
        _ if input.left() == 0 && op != Operation::End => return Ok(0),
        _ => {
            let total = u64::try_from(h.session.params().get(Param::ContentLength)).ok();
            h.hold = Hold::Free;
            let stream = boxed(Compressor::begin(&mut h.session, total)?, "a stream")?;
            h.hold = Hold::Compress(stream);
        }
    }
    let Hold::Compress(mut stream) = std::mem::take(&mut h.hold) else { fail!(Internal, "a stream just begun") };
    let result = h.with_progress(|session, progress| stream.run(session, input, output, op, progress));
    if stream.has_ended() {
        h.session.params_mut().set(Param::ContentLength, -1)?;
        h.hold = Hold::Ended;
    } else {
        h.hold = Hold::Compress(stream);
    }
    let left = result?;
    h.last.compressed(input.taken(), output.given());
    Ok(usize::try_from(left).unwrap_or(usize::MAX))
}

/// Decompresses a stream of frames. The call takes bytes of `in`, gives content to `out`, and stops when all input was
/// taken, when `out` is full, or at the end of a frame. Buffers may have any size.
///
/// On success `*hint` is 0 behind the end of a frame all of whose content was given; a program may stop there, or go on
/// with the next frame. Otherwise it is a number of input bytes that are useful next, at least 1; any other number is allowed. If the
/// input ends while `*hint` is not 0, the stream is cut. Skippable frames give no content.
///
/// Content of a block is given when all of the block is there and its checksum holds, so no content of a damaged block is
/// given. Frames of other methods are decoded as by gptz_decompress. A version 2 frame cannot be streamed:
/// GPTZ_ERROR_STATE.
///
/// From the first byte of a frame to its end the handle belongs to the stream, as in gptz_stream_compress. The live state
/// does not change. Memory: a handle of the frame's method (GPTZ_FRAME_MEMORY) and two blocks, which is checked against
/// GPTZ_PARAM_MEMORY_LIMIT before content is decoded.
///
/// Errors: as gptz_decompress, but never GPTZ_ERROR_BUFFER_TOO_SMALL and GPTZ_ERROR_TRUNCATED. Messages name the frame, the
/// segment and the block by their byte offsets in the stream. On failure `*hint` is 0. After an error further calls return
/// GPTZ_ERROR_STATE until gptz_stream_reset; content that was given before is sound.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_stream_decompress(
    handle: *mut gptz,
    out: *mut gptz_out,
    r#in: *mut gptz_in,
    hint: *mut usize,
) -> gptz_status {
    // SAFETY: structs with buffers of their sizes, as the header asks.
    let body = |h: &mut Inner| unsafe { with_buffers(out, r#in, |buffers| decompress(h, buffers)) };
    // SAFETY: a handle or NULL, and `hint` NULL or the caller's to write, as the header asks.
    unsafe { ended(handle, with_out(hint, 0, "hint", || on_held_handle(handle, body))) }
}

fn decompress(h: &mut Inner, buffers: &mut Buffers) -> Result<usize> {
    let Buffers { input, output } = buffers;
    let mut stream = match std::mem::take(&mut h.hold) {
        Hold::Decompress(stream) => stream,
        hold if hold.reason().is_some() => {
            h.hold = hold;
            return Err(other_direction());
        }
        _ => boxed(Decompressor::default(), "a stream")?,
    };
    let result = h.with_progress(|session, progress| stream.run(session, input, output, progress));
    h.hold = Hold::Decompress(stream);
    let hint = result?;
    h.last.decompressed(input.taken(), output.given());
    Ok(hint)
}

/// Drops the stream that is under way, or that failed, so that the handle can be used again. Options keep their values, but
/// GPTZ_PARAM_CONTENT_LENGTH becomes -1. Without a stream it does that and nothing else.
///
/// Errors: GPTZ_ERROR_STATE if a reader is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_stream_reset(handle: *mut gptz) -> gptz_status {
    let body = |h: &mut Inner| {
        if matches!(h.hold, Hold::Reader) {
            return Err(other_direction());
        }
        h.hold = Hold::Free;
        h.session.params_mut().set(Param::ContentLength, -1)
    };
    // SAFETY: a handle or NULL, as the header asks.
    unsafe { ended(handle, call(|| on_held_handle(handle, body))) }
}
