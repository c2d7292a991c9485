//! Readers: content at any place of a source of frames.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use super::buffers::{check_apart, input, output};
use super::guard::{call_without_memory, with_out};
use super::handle::{Handle, Hold, end_reader, ended, ended_on, gptz, on_handle, on_reader};
use super::object::{Opaque, hand_out, object, object_if_any, release};
use super::source::{CallerSource, gptz_source};
use super::status::gptz_status;
use crate::error::Result;
use crate::numeric::buffer::boxed;
use crate::stream::{Reader, Source};

/// A reader of the content of a source at any place.
///
/// A reader holds its handle: while it is open, calls on the handle other than gptz_get, gptz_method, gptz_handle_error and
/// gptz_free return GPTZ_ERROR_STATE. So a handle has at most one reader. The reader uses the options and the progress
/// callback that the handle had when it was opened. Handle and reader may be freed in any order. A handle that is freed
/// first lives on until its reader is freed, but its pointer must not be used.
///
/// Threads: a reader may move between threads and serves one call at a time; a second one returns GPTZ_ERROR_BUSY.
pub struct gptz_reader {
    _opaque: [u8; 0],
}

/// The value of a reader.
pub struct OpenReader {
    handle: Arc<Handle>,
    size: u64,
    /// The memory that a reader of memory reads, which no destination may overlap.
    memory: (usize, usize),
    /// Used with a claim on the handle.
    reader: UnsafeCell<Box<Reader<Input>>>,
}

impl Opaque for gptz_reader {
    type Value = OpenReader;
    const TAG: u64 = u64::from_ne_bytes(*b"gptz-rdr");
    const NAME: &'static str = "reader";
}

/// What a reader reads.
enum Input {
    Memory(&'static [u8]),
    Caller(CallerSource),
}

impl Source for Input {
    fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.size(),
            Self::Caller(source) => source.size(),
        }
    }

    fn read_at(&mut self, offset: u64, dst: &mut [u8]) -> Result<usize> {
        match self {
            Self::Memory(bytes) => bytes.read_at(offset, dst),
            Self::Caller(source) => source.read_at(offset, dst),
        }
    }
}

/// Opens a reader of what `make` makes.
///
/// # Safety
/// As `with_out` and `on_handle` ask.
unsafe fn open(handle: *mut gptz, out: *mut *mut gptz_reader, make: impl FnOnce() -> Result<Input>) -> gptz_status {
    let body = || {
        // SAFETY: the caller's promise.
        let share = Arc::clone(unsafe { object(handle.cast_const()) }?);
        // SAFETY: as above.
        unsafe {
            on_handle(handle, |h| {
                let source = make()?;
                let memory = match &source {
                    Input::Memory(bytes) => (bytes.as_ptr().addr(), bytes.len()),
                    Input::Caller(_) => (0, 0),
                };
                let reader = h.with_progress(|session, progress| Reader::open(session, source, progress))?;
                let (size, reader) = (reader.size(), UnsafeCell::new(boxed(reader, "a reader")?));
                let opened = hand_out(OpenReader { handle: share, size, memory, reader })?;
                h.hold = Hold::Reader;
                Ok(opened)
            })
        }
    };
    // SAFETY: the caller's promise.
    unsafe { ended(handle, with_out(out, ptr::null_mut(), "out", body)) }
}

/// Opens a reader of the content of all frames in `source`, as if it were the content of one file. The frames may have
/// different methods, as in gptz_decompress, and skippable frames between them.
///
/// The call finds the frames and decodes nothing. From the end of the source on it uses the indexes behind frames with
/// segments (GPTZ_PARAM_SEGMENT_LOG): such a frame costs a few reads. An index is a hint and is compared with its frame; if
/// anything about it is odd, it is ignored. The headers of all blocks of other frames are read, some bytes for each block.
///
/// What a read costs: content is decoded from the start of a segment on. A read that starts in the middle of a segment
/// decodes half of one on average, and never more than one segment and the rest of its last block before its first byte. So
/// smaller segments make reads at random places faster, and frames larger: README.md has figures. A frame without segments
/// is one segment. A read that goes on where the last one ended decodes only what it gives. Memory: a handle of the frame's
/// method, two blocks, and the content of the last segment if it is at most 16 MiB and GPTZ_PARAM_MEMORY_LIMIT has room for
/// it, so that reads in it decode nothing again.
///
/// On success `*out` is the reader; free it with gptz_reader_free. On failure `*out` is NULL.
///
/// Errors: GPTZ_ERROR_MISMATCH, GPTZ_ERROR_METHOD, GPTZ_ERROR_NUMERICS and GPTZ_ERROR_MEMORY for a frame that this handle
/// cannot decode, as in gptz_decompress. GPTZ_ERROR_STATE for a version 2 frame, and if the handle is in a stream or has a
/// reader. GPTZ_ERROR_FORMAT for bytes that are no frame, GPTZ_ERROR_TRUNCATED (also for an empty source),
/// GPTZ_ERROR_CORRUPT if the headers of the frames cannot be followed to the end; gptz_salvage reads such a source.
/// GPTZ_ERROR_IO, GPTZ_ERROR_CANCELLED.
///
/// Security: any source is safe. The list of frames and segments takes at most GPTZ_PARAM_MEMORY_LIMIT bytes. An index may
/// state a size that the source does not have; then a read of what is missing is an error.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_reader_open(
    handle: *mut gptz,
    source: *const gptz_source,
    out: *mut *mut gptz_reader,
) -> gptz_status {
    // SAFETY: a source that lives as long as the reader, as the header asks.
    unsafe { open(handle, out, || Ok(Input::Caller(CallerSource::copy(source)?))) }
}

/// As gptz_reader_open, for the `len` bytes at `src`. They are not copied: they must stay valid and unchanged as long as the
/// reader.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_reader_open_memory(
    handle: *mut gptz,
    src: *const c_void,
    len: usize,
    out: *mut *mut gptz_reader,
) -> gptz_status {
    // SAFETY: `src` holds `len` bytes that stay as long as the reader, as the header asks.
    unsafe { open(handle, out, || Ok(Input::Memory(input(src, len, "the source")?))) }
}

/// Gives the length of the content in bytes. On failure `*size` is 0. The call is allowed while the reader is in a call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_reader_size(reader: *const gptz_reader, size: *mut u64) -> gptz_status {
    // SAFETY: a reader or NULL, and `size` NULL or the caller's to write, as the header asks; the size never changes.
    unsafe { with_out(size, 0, "size", || Ok(object(reader)?.size)) }
}

/// Reads `len` bytes of content from `offset` on to `dst`. On success `*done` is the number of bytes: `len`, or less if the
/// content ends before, or 0 at its end and past it. gptz_reader_open says what a read costs. The progress callback's
/// `total` is UINT64_MAX.
///
/// Only content whose checksum holds is given. In frames without checksums (GPTZ_PARAM_CHECKSUM) damage can go unnoticed.
///
/// Errors: GPTZ_ERROR_CORRUPT, GPTZ_ERROR_TRUNCATED or GPTZ_ERROR_FORMAT for damage on the way to the last byte asked for;
/// the message names the frame, the segment and the block by their byte offsets. GPTZ_ERROR_IO, GPTZ_ERROR_MEMORY,
/// GPTZ_ERROR_CANCELLED. On failure `*done` is 0. The reader stays usable: other segments can still be read, and the blocks
/// before damage by shorter reads.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_reader_read(
    reader: *mut gptz_reader,
    offset: u64,
    dst: *mut c_void,
    len: usize,
    done: *mut usize,
) -> gptz_status {
    let body = || {
        // SAFETY: a reader or NULL, as the header asks.
        let reader = unsafe { object(reader.cast_const()) }?;
        on_reader(&reader.handle, |h| {
            check_apart(ptr::without_provenance(reader.memory.0), reader.memory.1, dst, len)?;
            // SAFETY: `dst` has room for `len` bytes, as the header asks, and does not overlap what is read.
            let dst = unsafe { output(dst, len, "the destination") }?;
            h.with_progress(|session, progress| {
                // SAFETY: this call holds the claim on the handle, so no other call has a reference into the cell.
                unsafe { &mut *reader.reader.get() }.read(session, offset, dst, progress)
            })
        })
    };
    // SAFETY: `done` is NULL or the caller's to write, as the header asks.
    let status = unsafe { with_out(done, 0, "done", body) };
    // SAFETY: a reader or NULL, as the header asks.
    match unsafe { object_if_any(reader.cast_const()) } {
        Some(reader) => ended_on(&reader.handle, status),
        None => status,
    }
}

/// Frees a reader. Its handle can be used again. NULL is allowed and does nothing. If the reader is in a call, or `reader`
/// points to another object, the call frees nothing, and gptz_last_error returns the reason.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_reader_free(reader: *mut gptz_reader) {
    if reader.is_null() {
        return;
    }
    call_without_memory(|| {
        // SAFETY: a reader, as the header asks.
        let handle = Arc::clone(unsafe { &object(reader.cast_const())?.handle });
        // SAFETY: as above. The claim on the handle shows that no call has a reference to the reader.
        end_reader(&handle, || unsafe { release(reader) })
    });
}
