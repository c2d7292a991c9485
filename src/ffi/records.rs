//! Many short contents in one call.

use std::ffi::c_void;

use super::buffers::{check_apart, input, output};
use super::guard::call;
use super::handle::{Inner, gptz, on_handle};
use super::status::gptz_status;
use crate::error::{Result, Status, fail};
use crate::numeric::buffer::filled;

/// The caller's arrays: `count` records, and as many lengths to write.
#[derive(Clone, Copy)]
struct Arrays {
    src: *const *const c_void,
    src_len: *const usize,
    count: usize,
    dst: *mut c_void,
    dst_cap: usize,
    dst_len: *mut usize,
}

impl Arrays {
    /// Writes lengths, all 0 where there are none.
    ///
    /// # Safety
    /// `dst_len` has room for `count` of them.
    unsafe fn write(&self, lens: &[usize]) {
        for i in 0..self.count {
            // SAFETY: the caller's promise; unaligned, for C programs may pack their structs.
            unsafe { self.dst_len.add(i).write_unaligned(lens.get(i).copied().unwrap_or(0)) };
        }
    }

    /// How many bytes an array of `count` lengths, or pointers, takes.
    fn bytes(&self) -> Result<usize> {
        match self.count.checked_mul(size_of::<usize>()) {
            Some(bytes) if isize::try_from(bytes).is_ok() => Ok(bytes),
            _ => fail!(Argument, "a count of {} is more than memory can hold", self.count),
        }
    }

    /// Sets all lengths to 0, unless that would destroy what the call is to read or has written.
    ///
    /// # Safety
    /// As [`Arrays::record`] and [`Arrays::write`] ask.
    unsafe fn clear(&self) -> Result<()> {
        let bytes = self.bytes()?;
        if self.count > 0 && self.dst_len.is_null() {
            fail!(Argument, "dst_len is NULL with a count of {}", self.count);
        }
        let apart = |p: *const c_void, len| check_apart(p, len, self.dst_len.cast(), bytes);
        apart(self.dst, self.dst_cap)?;
        if !self.src.is_null() && !self.src_len.is_null() {
            apart(self.src.cast(), bytes)?;
            apart(self.src_len.cast(), bytes)?;
            for i in 0..self.count {
                // SAFETY: the caller's promise.
                let (p, len) = unsafe { self.record(i) };
                apart(p, len)?;
            }
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

    /// The records, none of which shares a byte with the destination.
    ///
    /// # Safety
    /// `src` and `src_len` hold `count` records, as [`input`] asks of each.
    unsafe fn records<'a>(&self) -> Result<Vec<&'a [u8]>> {
        if self.count > 0 && (self.src.is_null() || self.src_len.is_null()) {
            fail!(Argument, "src or src_len is NULL with a count of {}", self.count);
        }
        let mut records: Vec<&[u8]> = filled(self.count, &[][..], "the list of records")?;
        for (i, record) in records.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let (p, len) = unsafe { self.record(i) };
            check_apart(p, len, self.dst, self.dst_cap)?;
            // SAFETY: the caller's promise.
            *record = unsafe { input(p, len, "a record") }?;
        }
        Ok(records)
    }

    /// Runs a call over them. On success, and where there is not enough room, `dst_len` has all lengths; else zeros.
    ///
    /// # Safety
    /// As [`Arrays::records`], [`Arrays::write`], [`output`] for `dst`, and [`on_handle`] ask.
    unsafe fn run(
        self,
        handle: *mut gptz,
        f: impl FnOnce(&mut Inner, &[&[u8]], &mut [u8], &mut [usize]) -> Result<usize>,
    ) -> gptz_status {
        call(|| {
            // SAFETY: the caller's promise.
            unsafe { self.clear() }?;
            let mut lens = filled(self.count, 0, "the list of lengths")?;
            let body = |h: &mut Inner| {
                // SAFETY: the caller's promise; no record shares a byte with the destination.
                let (src, dst) = unsafe { (self.records()?, output(self.dst, self.dst_cap, "the destination")?) };
                f(h, &src, dst, &mut lens)
            };
            // SAFETY: the caller's promise.
            let result = unsafe { on_handle(handle, body) };
            if result.as_ref().is_ok() || result.as_ref().is_err_and(|e| e.status() == Status::BufferTooSmall) {
                // SAFETY: as above.
                unsafe { self.write(&lens) };
            }
            result.map(drop)
        })
    }
}

/// Compresses `count` records, each on its own from the handle's base: record i is the `src_len[i]` bytes at `src[i]`. The
/// compressed records lie end to end in `dst`, which has room for `dst_cap` bytes, and `dst_len[i]` is how many bytes record
/// i took. What one record teaches is gone before the next one starts: a record's bytes depend on the method, the base and
/// its content alone, so that records may be kept, sent and decompressed one by one, in any order and any grouping.
///
/// Records are for messages, rows and log lines, with a base that has seen the like: gptz_feed samples, gptz_snapshot_take,
/// gptz_set_base. A record has no frame: it names neither method nor base. The decompressing side must have
/// the same of both. By default a record has no checksum either: damage and a wrong base are detected mostly, not always.
/// GPTZ_PARAM_RECORD_CHECK adds a check of 1, 2 or 4 bytes. Records always use the range coder; GPTZ_PARAM_CODER, FORMAT and CHECKSUM have no part in them.
///
/// GPTZ_ERROR_BUFFER_TOO_SMALL if there is not enough room: `dst_len[i]` are then the lengths that are needed, found at the
/// cost of a whole call; a record takes at most 5 bytes, and its check, more than its content. GPTZ_ERROR_CANCELLED (progress counts the
/// bytes of all records), GPTZ_ERROR_MEMORY, GPTZ_ERROR_ARGUMENT if a record has 4 GiB or more, if `dst` or `dst_len` overlap
/// anything else (one array for both lengths will not do), or if a pointer is NULL (allowed for lengths and counts of 0).
/// On failure all `dst_len` are 0 but where said otherwise or where they overlap, and what `dst` holds is not specified.
/// Beside what the method takes, a call takes memory for a list of the records and for one compressed record.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_records_compress(
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
            h.with_progress(|session, progress| session.records_compress(src, dst, lens, progress))
        })
    }
}

/// Decompresses `count` records that gptz_records_compress made with this method and base: record i is the `src_len[i]`
/// bytes at `src[i]`, exactly. Their contents lie end to end in `dst`, which has room for `dst_cap` bytes, and `dst_len[i]`
/// is the length of content i.
///
/// All lengths are read before anything is decoded. GPTZ_ERROR_BUFFER_TOO_SMALL if there is not enough room: `dst_len[i]` are
/// then the lengths that the records promise; hold them against what you are ready to take. GPTZ_ERROR_TRUNCATED,
/// GPTZ_ERROR_CORRUPT (naming the record by its index; also for another method or base, which without
/// GPTZ_PARAM_RECORD_CHECK may also give wrong content without an error), GPTZ_ERROR_METHOD (GPTZ_PARAM_WORK_LIMIT), GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY, GPTZ_ERROR_ARGUMENT as above. On failure
/// all `dst_len` are 0 but where said otherwise, and what `dst` holds is not specified. Any input is safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_records_decompress(
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
            h.with_progress(|session, progress| session.records_decompress(src, dst, lens, progress))
        })
    }
}
