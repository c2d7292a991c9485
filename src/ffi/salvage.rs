//! Salvage: what can be trusted of a damaged source.

use std::ffi::{c_char, c_int, c_void};

use super::callback::{self, Call};
use super::guard::{call, outside};
use super::handle::{Inner, ended, gptz, on_handle};
use super::message::c_text;
use super::source::{CallerSource, gptz_source};
use super::status::gptz_status;
use crate::error::{Error, Result, fail};
use crate::stream::{Rescue, Source, salvage};

/// Receives content from gptz_salvage: `len` bytes at `data`, which are the content from `offset` on. Offsets ascend, and no
/// byte is given twice. A result other than 0 ends the call with GPTZ_ERROR_CANCELLED. The rules of gptz_progress_fn hold.
pub type gptz_write_fn =
    Option<unsafe extern "C" fn(userdata: *mut c_void, offset: u64, data: *const c_void, len: usize) -> c_int>;

/// Is told by gptz_salvage that `len` bytes of content from `offset` on are lost, and why: UTF-8, valid during the callback.
/// `len` is UINT64_MAX if nothing sound states how many; and 0 if nothing is known to be lost, but the checksum of a whole
/// frame, which was given, differs. A result other than 0 ends the call with GPTZ_ERROR_CANCELLED. The rules of
/// gptz_progress_fn hold.
pub type gptz_lost_fn =
    Option<unsafe extern "C" fn(userdata: *mut c_void, offset: u64, len: u64, why: *const c_char) -> c_int>;

/// The caller's callbacks.
struct Callbacks {
    write: callback::Write,
    lost: callback::Lost,
    userdata: *mut c_void,
    /// The bytes that were given.
    given: usize,
}

/// Runs a callback, which returns 0 to continue.
fn run(call: Call, name: &str, offset: u64) -> Result<()> {
    // SAFETY: the caller of gptz_salvage promised that the callbacks can be called with its userdata.
    match outside(|| unsafe { callback::run(call) }) {
        Some(0) => Ok(()),
        Some(n) => fail!(Cancelled, "cancelled by the {name} callback, which returned {n} at byte {offset}"),
        None => fail!(Cancelled, "the {name} callback did not return"),
    }
}

impl Rescue for Callbacks {
    fn write(&mut self, offset: u64, content: &[u8]) -> Result<()> {
        self.given = self.given.saturating_add(content.len());
        run(Call::Write(self.write, self.userdata, offset, content.as_ptr().cast(), content.len()), "write", offset)
    }

    fn lost(&mut self, offset: u64, len: u64, why: &Error) -> Result<()> {
        let why = c_text(why.message());
        run(Call::Lost(self.lost, self.userdata, offset, len, why.as_ptr().cast()), "lost", offset)
    }
}

/// Gives everything that can be trusted of a damaged source to `write`, and tells what is lost to `lost`. The offsets are
/// those of the content that gptz_decompress would give for all frames of the sound source. Both callbacks are called in the
/// order of the offsets, and together they cover the content.
///
/// - All whole blocks before the first damage in a segment (GPTZ_PARAM_SEGMENT_LOG) are given, and every other segment and
///   frame: they are found again by their headers or by the index. A frame without segments is one segment. Segments that
///   are swapped or come twice lose nothing.
/// - Behind the damage in a segment, blocks are found only if the lengths of its blocks add up to the start of the next
///   segment or to the frame's end. Then stored blocks whose checksums hold are given. A damaged block that was stored
///   without being learned costs only itself. Coded blocks behind any other bad block are lost.
/// - In frames without checksums (GPTZ_PARAM_CHECKSUM) nothing behind an error in a segment is given, and damage that causes
///   no error is not noticed.
/// - A frame whose header is destroyed is lost as a whole with all its segments, and version 2 frames are. Nothing states
///   their length: `len` is UINT64_MAX, and the frames behind are given as if the content went on at that `offset`. The
///   same holds for the rest of a frame whose length stood in a trailer that is lost, if it has no index.
/// - Behind a destroyed header, a complete frame in stored content (a .gptz file in an archive, say) can be taken for a frame
///   of the source.
/// - The checksum of a stored block does not cover its place. If stored blocks were exchanged inside a segment, which is no
///   accident, they are given where they stand; the checksum of the frame then differs, and `lost` is told.
/// - A segment header that would leave a gap larger than what the lost bytes could hold is not believed.
///
/// The call reads the headers of the whole source first. A sound frame header that names another method, other weights or
/// another base is an error before anything is given, never a loss. Returns GPTZ_OK if everything lost was told.
///
/// Errors: GPTZ_ERROR_MISMATCH, GPTZ_ERROR_METHOD, GPTZ_ERROR_NUMERICS, GPTZ_ERROR_FORMAT (lanes, or a registered method
/// that this library does not have) and GPTZ_ERROR_MEMORY for a sound frame that this handle cannot decode.
/// GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY. GPTZ_ERROR_IO and GPTZ_ERROR_TRUNCATED for the source itself (gptz_source): a
/// cut file is a source of its own size.
///
/// Memory: as gptz_decompress of one frame, two blocks, and 48 bytes for each segment of a frame. The time is that of
/// decompression and some passes over the source; it grows with the source's size, however it is damaged. The live state
/// does not change.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_salvage(
    handle: *mut gptz,
    source: *const gptz_source,
    write: gptz_write_fn,
    lost: gptz_lost_fn,
    userdata: *mut c_void,
) -> gptz_status {
    let body = |h: &mut Inner| {
        // SAFETY: a source that lives as long as this call, as the header asks.
        let source = unsafe { CallerSource::copy(source) }?;
        let (Some(write), Some(lost)) = (write, lost) else { fail!(Argument, "a callback is NULL") };
        let read = usize::try_from(source.size()).unwrap_or(usize::MAX);
        let mut callbacks = Callbacks { write, lost, userdata, given: 0 };
        h.with_progress(|session, progress| salvage(session, source, &mut callbacks, progress))?;
        h.last.decompressed(read, callbacks.given);
        Ok(())
    };
    // SAFETY: a handle or NULL, as the header asks.
    unsafe { ended(handle, call(|| on_handle(handle, body))) }
}
