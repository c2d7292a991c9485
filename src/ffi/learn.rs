//! Streams of a policy over the live state, and measures that need more than one input or the live state.

use std::ffi::c_void;

use super::buffers::{input, inputs};
use super::guard::{call, with_out};
use super::handle::{Inner, ended, gptz, on_handle};
use super::status::gptz_status;

/// The destination of calls that have none.
const NO_OUTPUT: (*const c_void, usize) = (std::ptr::null(), 0);

/// Begins a stream over the live state for a method with a policy. Networks first train on the bytes that they were fed
/// and have not trained on. Then the policy starts at position 0 of a stream of `total` bytes. A `total` of UINT64_MAX is
/// a length that is not known; then the policy must have no positions in percent. Call it before gptz_feed if the policy
/// has such positions, and to start the policy again. A method without a policy does nothing here.
///
/// gptz_compress, records and measures begin a stream of their own length themselves.
///
/// Errors: GPTZ_ERROR_STATE if the policy has positions in percent and `total` is UINT64_MAX; GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_live_begin(handle: *mut gptz, total: u64) -> gptz_status {
    let body = |h: &mut Inner| h.session.live_begin((total != u64::MAX).then_some(total));
    // SAFETY: a handle or NULL, as the header asks.
    unsafe { ended(handle, call(|| on_handle(handle, body))) }
}

/// Ends a stream over the live state for a method with a policy: networks train on the bytes that they were fed and have
/// not trained on, which are fewer than a segment. gptz_feed does not do this at its end, so that feeding a and then b is
/// the same as feeding both in one call.
///
/// Errors: GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_live_end(handle: *mut gptz) -> gptz_status {
    let body = |h: &mut Inner| h.session.live_end();
    // SAFETY: a handle or NULL, as the header asks.
    unsafe { ended(handle, call(|| on_handle(handle, body))) }
}

/// Feeds `len` bytes to the live state, as gptz_feed does, and measures how well it predicted them. On success
/// `*bits_per_byte` is the mean of -log2 of the probability of each byte; it is 0 if `len` is 0. On failure it is 0.
///
/// Errors: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY, and GPTZ_ERROR_STATE as in gptz_feed. The live state then does not
/// change.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_cross_entropy_live(
    handle: *mut gptz,
    data: *const c_void,
    len: usize,
    bits_per_byte: *mut f64,
) -> gptz_status {
    let body = |h: &mut Inner| {
        // SAFETY: `len` bytes of data, as the header asks.
        let data = unsafe { input(data, len, "the data") }?;
        let mean = h.with_progress(|session, progress| session.cross_entropy_live(data, progress))?;
        h.last.measured(data.len(), mean * data.len() as f64);
        Ok(mean)
    };
    // SAFETY: a handle or NULL, and a double or NULL, as the header asks.
    unsafe { ended(handle, with_out(bits_per_byte, 0.0, "bits_per_byte", || on_handle(handle, body))) }
}

/// Measures how well the method, starting from the base, predicts `len` bytes of data after a prefix of `parts` parts:
/// part i has `prefix_lens[i]` bytes at `prefix[i]`. On success `*bits_per_byte` is the mean of -log2 of the probability
/// of each byte of the data; it is 0 if `len` is 0. On failure it is 0. The live state does not change. Without parts it
/// is gptz_cross_entropy.
///
/// Errors: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_cross_entropy_conditional(
    handle: *mut gptz,
    prefix: *const *const c_void,
    prefix_lens: *const usize,
    parts: usize,
    data: *const c_void,
    len: usize,
    bits_per_byte: *mut f64,
) -> gptz_status {
    let body = |h: &mut Inner| {
        // SAFETY: as many parts and lengths, and `len` bytes of data, as the header asks.
        let (prefix, data) = unsafe {
            (
                inputs((prefix, prefix_lens, parts), NO_OUTPUT, "a part", "prefix or prefix_lens")?,
                input(data, len, "the data")?,
            )
        };
        let mean = h.with_progress(|session, progress| session.cross_entropy_conditional(&prefix, data, progress))?;
        h.last.measured(data.len(), mean * data.len() as f64);
        Ok(mean)
    };
    // SAFETY: a handle or NULL, and a double or NULL, as the header asks.
    unsafe { ended(handle, with_out(bits_per_byte, 0.0, "bits_per_byte", || on_handle(handle, body))) }
}

/// Measures how well the method, starting from the base, predicts two aligned sequences together. The bytes of the two
/// alternate, x first or y first; the order with the lower cost counts. On success `*bits_per_pair` is the mean cost of a
/// pair; it is 0 if a sequence is empty. The longer sequence is cut to the length of the other. On failure
/// `*bits_per_pair` is 0. The live state does not change.
///
/// Errors: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_cross_entropy_joint(
    handle: *mut gptz,
    x: *const c_void,
    x_len: usize,
    y: *const c_void,
    y_len: usize,
    bits_per_pair: *mut f64,
) -> gptz_status {
    let body = |h: &mut Inner| {
        // SAFETY: as many bytes of x and y, as the header asks.
        let (x, y) = unsafe { (input(x, x_len, "x")?, input(y, y_len, "y")?) };
        let mean = h.with_progress(|session, progress| session.cross_entropy_joint(x, y, progress))?;
        let pairs = x.len().min(y.len());
        h.last.measured(2 * pairs, mean * pairs as f64);
        Ok(mean)
    };
    // SAFETY: a handle or NULL, and a double or NULL, as the header asks.
    unsafe { ended(handle, with_out(bits_per_pair, 0.0, "bits_per_pair", || on_handle(handle, body))) }
}
