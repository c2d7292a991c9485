//! Records: many short contents in one call.

use std::ffi::c_void;

use super::buffers::{inputs, output, overlap};
use super::guard::call;
use super::handle::{Inner, ended, gptz, on_handle};
use super::status::gptz_status;
use crate::error::{Result, Status, fail};
use crate::numeric::buffer::filled;
use crate::numeric::reserve;

/// The caller's arrays: `count` records and `count` lengths to write.
#[derive(Clone, Copy)]
struct Arrays {
    src: *const *const c_void,
    src_len: *const usize,
    count: usize,
    dst: *mut c_void,
    dst_cap: usize,
    dst_len: *mut usize,
}

/// Why the lengths of records have no place.
enum BadLengths {
    TooMany,
    Null,
    Overlap,
}

impl Arrays {
    /// Writes the lengths, and 0 for each record that has none in `lens`.
    ///
    /// # Safety
    /// `dst_len` has room for `count` of them.
    unsafe fn write(&self, lens: &[usize]) {
        for i in 0..self.count {
            // SAFETY: the caller's promise. The write is unaligned because C programs may pack their structs.
            unsafe { self.dst_len.add(i).write_unaligned(lens.get(i).copied().unwrap_or(0)) };
        }
    }

    /// Sets all lengths to 0, if there is room for them that overlaps nothing that the call reads or writes. Allocates
    /// nothing. The error says what is wrong with the room.
    ///
    /// # Safety
    /// As [`Arrays::record`] and [`Arrays::write`] ask.
    unsafe fn clear(&self) -> std::result::Result<(), BadLengths> {
        let bytes = self.count.checked_mul(size_of::<usize>()).filter(|n| isize::try_from(*n).is_ok());
        let bytes = bytes.ok_or(BadLengths::TooMany)?;
        if self.count > 0 && self.dst_len.is_null() {
            return Err(BadLengths::Null);
        }
        let apart = |p: *const c_void, len| !overlap(p, len, self.dst_len.cast(), bytes);
        let sources_are_apart = || {
            self.src.is_null()
                || self.src_len.is_null()
                || apart(self.src.cast(), bytes)
                    && apart(self.src_len.cast(), bytes)
                    && (0..self.count).all(|i| {
                        // SAFETY: the caller's promise.
                        let (p, len) = unsafe { self.record(i) };
                        apart(p, len)
                    })
        };
        if !apart(self.dst, self.dst_cap) || !sources_are_apart() {
            return Err(BadLengths::Overlap);
        }
        // SAFETY: the caller's promise.
        unsafe { self.write(&[]) };
        Ok(())
    }

    /// A record's address and length.
    ///
    /// # Safety
    /// `src` and `src_len` hold more than `i`.
    unsafe fn record(&self, i: usize) -> (*const c_void, usize) {
        // SAFETY: the caller's promise; unaligned, as above.
        unsafe { (self.src.add(i).read_unaligned(), self.src_len.add(i).read_unaligned()) }
    }

    /// The records. None of them overlaps the destination.
    ///
    /// # Safety
    /// `src` and `src_len` hold `count` records, as [`inputs`] asks.
    unsafe fn records<'a>(&self) -> Result<Vec<&'a [u8]>> {
        let arrays = (self.src, self.src_len, self.count);
        // SAFETY: the caller's promise.
        unsafe { inputs(arrays, (self.dst, self.dst_cap), "a record", "src or src_len") }
    }

    /// Runs a call over the records. On success and on `BufferTooSmall`, `dst_len` has all lengths; otherwise zeros.
    ///
    /// # Safety
    /// As [`Arrays::records`], [`Arrays::write`], [`output`] for `dst`, and [`on_handle`] ask.
    unsafe fn run(
        self,
        handle: *mut gptz,
        f: impl FnOnce(&mut Inner, &[&[u8]], &mut [u8], &mut [usize]) -> Result<usize>,
    ) -> gptz_status {
        // Before the call, which may find no memory to start with.
        // SAFETY: the caller's promise.
        let cleared = unsafe { self.clear() };
        let status = call(|| {
            match cleared {
                Ok(()) => {}
                Err(BadLengths::TooMany) => fail!(Argument, "a count of {} is more than memory can hold", self.count),
                Err(BadLengths::Null) => fail!(Argument, "dst_len is NULL with a count of {}", self.count),
                Err(BadLengths::Overlap) => fail!(Argument, "source and destination overlap"),
            }
            let mut lens = filled(self.count, 0, "the list of lengths")?;
            let body = |h: &mut Inner| {
                // SAFETY: the caller's promise; no record overlaps the destination.
                let (src, dst) = unsafe { (self.records()?, output(self.dst, self.dst_cap, "the destination")?) };
                f(h, &src, dst, &mut lens)
            };
            // SAFETY: the caller's promise.
            let result = unsafe { on_handle(handle, body) }.and_then(|_| reserve::check());
            if result.as_ref().is_ok() || result.as_ref().is_err_and(|e| e.status() == Status::BufferTooSmall) {
                // SAFETY: as above.
                unsafe { self.write(&lens) };
            }
            result
        });
        // SAFETY: the caller's promise.
        unsafe { ended(handle, status) }
    }
}

/// The bytes of all records.
fn total(records: &[&[u8]]) -> usize {
    records.iter().fold(0, |sum, record| sum.saturating_add(record.len()))
}

/// Compresses `count` records, each on its own from the handle's base. Record i is the `src_len[i]` bytes at `src[i]`.
/// The compressed records are written to `dst` one after the other without gaps. `dst` has room for `dst_cap` bytes. On
/// success `dst_len[i]` is the compressed length of record i in bytes.
///
/// Records are for messages, table rows and log lines. They are small if the base has learned from similar content:
/// call gptz_feed with samples, then gptz_snapshot_take and gptz_set_base. The compressed bytes of a record depend only
/// on the method, the base, the length of the check and the record's content. So records may be stored, sent and
/// decompressed one by one, in any order and in any grouping. The live state does not change.
///
/// A compressed record has no header that names the method or the base: the reader must have the same method and the
/// same base. By default it has no checksum either: damage and a wrong base usually give an error, but not always. With
/// GPTZ_PARAM_RECORD_CHECK each record has a check of 1, 2 or 4 bytes. Records always use the range coder.
/// GPTZ_PARAM_CODER, GPTZ_PARAM_FORMAT and GPTZ_PARAM_CHECKSUM do not apply.
///
/// Without its check, a compressed record is at most 5 bytes longer than its content. In addition to the memory of the
/// method, a call allocates a list of the records and room for one compressed record.
///
/// Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if all records together are longer than `dst_cap`; `dst_len` then has the
/// compressed lengths. Such a call takes as long as one that succeeds. GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY.
/// GPTZ_ERROR_ARGUMENT also for a record of 4 GiB or more, and if `dst` or `dst_len` overlaps another array or buffer
/// of the call; `src_len` and `dst_len` must be different arrays. On every other failure all `dst_len` are 0. If
/// `dst_len` is NULL or overlaps another array or buffer, it is not written.
///
/// `done` and `total` of the progress callback count the bytes of all records.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_records_compress(
    handle: *mut gptz,
    src: *const *const c_void,
    src_len: *const usize,
    count: usize,
    dst: *mut c_void,
    dst_cap: usize,
    dst_len: *mut usize,
) -> gptz_status {
    let arrays = Arrays { src, src_len, count, dst, dst_cap, dst_len };
    // SAFETY: arrays of `count`, buffers of the lengths given, a handle or NULL, as the header asks.
    unsafe {
        arrays.run(handle, |h, src, dst, lens| {
            let n = h.with_progress(|session, progress| session.records_compress(src, dst, lens, progress))?;
            h.last.compressed(total(src), n);
            Ok(n)
        })
    }
}

/// Decompresses `count` records that gptz_records_compress made with the same method and base. Record i is exactly the
/// `src_len[i]` bytes at `src[i]`. The contents are written to `dst` one after the other without gaps. `dst`
/// has room for `dst_cap` bytes. On success `dst_len[i]` is the length of content i in bytes. The live state does not
/// change.
///
/// The call reads the lengths of all contents before it decodes any.
///
/// Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if all contents together are longer than `dst_cap`; `dst_len` then has the
/// lengths that the records state. Compare them with the most that you accept before you allocate a buffer.
/// GPTZ_ERROR_TRUNCATED, GPTZ_ERROR_CORRUPT (the message names the record by its index), GPTZ_ERROR_CANCELLED,
/// GPTZ_ERROR_MEMORY, and GPTZ_ERROR_ARGUMENT as for gptz_records_compress. GPTZ_ERROR_METHOD if the method takes more
/// multiplications for a byte than GPTZ_PARAM_WORK_LIMIT allows. On every other failure `dst_len` is as after a failure
/// of gptz_records_compress.
///
/// A handle of another method or base usually returns GPTZ_ERROR_CORRUPT. Without GPTZ_PARAM_RECORD_CHECK it can also
/// return wrong content without an error. Any input is safe.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_records_decompress(
    handle: *mut gptz,
    src: *const *const c_void,
    src_len: *const usize,
    count: usize,
    dst: *mut c_void,
    dst_cap: usize,
    dst_len: *mut usize,
) -> gptz_status {
    let arrays = Arrays { src, src_len, count, dst, dst_cap, dst_len };
    // SAFETY: as above.
    unsafe {
        arrays.run(handle, |h, src, dst, lens| {
            let n = h.with_progress(|session, progress| session.records_decompress(src, dst, lens, progress))?;
            h.last.decompressed(total(src), n);
            Ok(n)
        })
    }
}
