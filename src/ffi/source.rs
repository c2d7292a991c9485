//! Sources: inputs that the library reads at any place.

use std::ffi::c_void;

use super::callback::{self, Call};
use super::guard::outside;
use crate::error::{Error, Result, Status, fail};
use crate::stream::Source;

/// An input that is read at any place: a file, a part of one, a remote object. The struct will never change. A call copies
/// it; what `opaque` points at must stay valid as long as the object that was made from it.
///
/// `read_at` reads at most `len` bytes from position `offset` on to `dst`. `len` is at least 1, and `offset` + `len` at
/// most `size`. It returns how many bytes it read, which may be fewer than `len`; 0, as at an end; or a negative number for
/// an error. What the call then returns:
///
/// - a negative number: GPTZ_ERROR_IO. The message has the number.
/// - more than `len`: GPTZ_ERROR_IO.
/// - 0 before `size`: GPTZ_ERROR_TRUNCATED.
///
/// The same place must always give the same bytes. If it does not, calls return wrong content or errors, and do nothing
/// worse.
///
/// `read_at` runs on the thread of the call. What a progress callback may do and must not do (gptz_progress_fn) holds for
/// it too: it must not use the handle or the reader of the call, must not leave by longjmp, and may throw a C++ exception or
/// end its thread only where a progress callback may. The call then ends as if it were cancelled.
///
/// Most reads are of 4 KiB; payloads of blocks are read whole, in pieces of at least 64 KiB.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gptz_source {
    /// Passed to `read_at`.
    pub opaque: *mut c_void,
    /// Reads a part of the source.
    pub read_at: Option<unsafe extern "C" fn(opaque: *mut c_void, offset: u64, dst: *mut c_void, len: usize) -> i64>,
    /// The size of the source in bytes.
    pub size: u64,
}

/// A source of the caller.
pub(super) struct CallerSource {
    opaque: *mut c_void,
    read_at: callback::Read,
    size: u64,
}

impl CallerSource {
    /// Copies a source.
    ///
    /// # Safety
    /// `source` is NULL or points at a source, as the header describes it, which stays valid as long as the result.
    pub(super) unsafe fn copy(source: *const gptz_source) -> Result<Self> {
        if source.is_null() {
            fail!(Argument, "source is NULL");
        }
        // SAFETY: the caller's promise. The read is unaligned because C programs may pack their structs.
        let gptz_source { opaque, read_at, size } = unsafe { source.read_unaligned() };
        let Some(read_at) = read_at else { fail!(Argument, "the source's read_at is NULL") };
        Ok(Self { opaque, read_at, size })
    }
}

impl Source for CallerSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, offset: u64, dst: &mut [u8]) -> Result<usize> {
        let call = Call::Read(self.read_at, self.opaque, offset, dst.as_mut_ptr().cast(), dst.len());
        // SAFETY: `copy` was promised that the callback can be called with its `opaque`; a buffer of its length.
        match outside(|| unsafe { callback::run(call) }) {
            Some(n) => match u64::try_from(n) {
                // Too much is an error too; see the engine.
                Ok(n) => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
                Err(_) => fail!(Io, "the source's read_at returned {n} for {} bytes at byte {offset}", dst.len()),
            },
            None => Err(Error::new(Status::Cancelled, "the source's read_at did not return")),
        }
    }
}
