//! What the last call of a handle took.

use std::ffi::c_int;

use super::guard::call;
use super::handle::{Inner, ended, gptz, on_handle};
use super::status::gptz_status;
use crate::error::fail;
use crate::numeric::reserve;

/// What the last call of a handle took and gave: see gptz_stats_get.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct gptz_stats {
    /// The size of the struct in bytes. The caller sets it to sizeof(gptz_stats).
    pub size: usize,
    /// The bytes that the call read.
    pub bytes_in: u64,
    /// The bytes that the call wrote.
    pub bytes_out: u64,
    /// The tokens of the content. All methods of this version predict bytes, so it is the length of the content.
    pub tokens_seen: u64,
    /// The compressed size in bits, or the measured cost, for each byte of content. 0 if there is no content or the call
    /// coded and measured nothing.
    pub bits_per_byte: f64,
    /// The length of the content divided by the compressed size. 0 if the call coded nothing.
    pub ratio: f64,
    /// The time that the call took, the progress callback included.
    pub seconds: f64,
    /// The bytes of content in a second. 0 if the time was too short to be measured.
    pub bytes_per_second: f64,
    /// 1 if the method learns: bytes change more than the context of later predictions. Otherwise 0.
    pub can_learn: c_int,
}

/// Reads what the last call on this handle took, of the calls that compress, decompress, feed or measure and that
/// succeeded. Before the first such call all values but `can_learn` are 0. The caller sets `stats->size` to
/// sizeof(gptz_stats). On failure all other values are 0.
///
/// Errors: GPTZ_ERROR_ARGUMENT if `stats->size` is smaller than the struct of this version; the struct is then not
/// written. A larger size is allowed: a program that was compiled with a later header may use this library. What this
/// library does not know is not written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_stats_get(handle: *const gptz, stats: *mut gptz_stats) -> gptz_status {
    // SAFETY: NULL or the caller's struct, whose first field is its size, as the header asks.
    let size = if stats.is_null() { 0 } else { unsafe { (&raw const (*stats).size).read_unaligned() } };
    let fits = size >= size_of::<gptz_stats>();
    let nothing = gptz_stats {
        size,
        bytes_in: 0,
        bytes_out: 0,
        tokens_seen: 0,
        bits_per_byte: 0.0,
        ratio: 0.0,
        seconds: 0.0,
        bytes_per_second: 0.0,
        can_learn: 0,
    };
    if fits {
        // Before the call, which may find no memory to start with.
        // SAFETY: the caller's struct has room for it.
        unsafe { stats.write_unaligned(nothing) };
    }
    let body = |h: &mut Inner| {
        let (last, of) = (h.last, |a: f64, b: f64| if b == 0.0 { 0.0 } else { a / b });
        let content = last.content as f64;
        Ok(gptz_stats {
            bytes_in: last.bytes_in,
            bytes_out: last.bytes_out,
            tokens_seen: last.content,
            bits_per_byte: of(last.bits, content),
            ratio: if last.bytes_out == 0 { 0.0 } else { of(content * 8.0, last.bits) },
            seconds: last.seconds,
            bytes_per_second: of(content, last.seconds),
            can_learn: h.session.can_learn().into(),
            ..nothing
        })
    };
    let status = call(|| {
        if stats.is_null() {
            fail!(Argument, "stats is NULL");
        }
        if !fits {
            fail!(Argument, "stats->size is {size}, expected {} or more", size_of::<gptz_stats>());
        }
        // SAFETY: a handle or NULL, as the header asks.
        let found = unsafe { on_handle(handle, body) }?;
        reserve::check()?;
        // SAFETY: as above.
        unsafe { stats.write_unaligned(found) };
        Ok(())
    });
    // SAFETY: a handle or NULL, as the header asks.
    unsafe { ended(handle, status) }
}
