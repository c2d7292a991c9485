//! The live state, and measures.

use std::ffi::c_void;

use super::buffers::{check_apart, input, output};
use super::guard::{call, with_out};
use super::handle::{Inner, ended, gptz, on_handle};
use super::status::gptz_status;
use crate::error::fail;
use crate::model::VOCAB;

/// Predicts the byte that follows the live state. `probs` has room for `n` floats, and `n` must be 256. On success
/// `probs[b]` is the probability of byte b that the coder would use. Every probability is greater than 0, and their sum
/// is 1 up to rounding. The live state does not change.
///
/// Errors: GPTZ_ERROR_ARGUMENT also if `n` is not 256; `probs` is then not written. GPTZ_ERROR_MEMORY. On every other
/// failure `probs` is all 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_predict(handle: *mut gptz, probs: *mut f32, n: usize) -> gptz_status {
    if n != VOCAB {
        // SAFETY: a handle or NULL, as the header asks.
        return unsafe {
            ended(handle, call(|| fail!(Argument, "n = {n}, expected {VOCAB}, one for each byte value")))
        };
    }
    let body = |h: &mut Inner| {
        let mut found = [0f32; VOCAB];
        h.session.predict(&mut found)?;
        Ok(found)
    };
    // SAFETY: a handle or NULL, and `probs` NULL or room for 256 floats, as the header asks.
    unsafe { ended(handle, with_out(probs.cast::<[f32; VOCAB]>(), [0.0; VOCAB], "probs", || on_handle(handle, body))) }
}

/// Appends `len` bytes to the live state, as context of later predictions. A method that learns also learns from them.
/// Feeding a and then b gives the same state as feeding both in one call.
///
/// Errors: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY; GPTZ_ERROR_STATE if the method's policy has positions in percent and
/// gptz_live_begin did not state the stream's length. The live state then does not change.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_feed(handle: *mut gptz, data: *const c_void, len: usize) -> gptz_status {
    let body = |h: &mut Inner| {
        // SAFETY: `len` bytes of data, as the header asks.
        let data = unsafe { input(data, len, "the data") }?;
        h.with_progress(|session, progress| session.feed(data, progress))?;
        h.last.measured(data.len(), 0.0);
        Ok(())
    };
    // SAFETY: a handle or NULL, as the header asks.
    unsafe { ended(handle, call(|| on_handle(handle, body))) }
}

/// Sets the live state to the base, which is the snapshot of the last gptz_set_base, or the state of a new handle if no
/// base was set. The base and the options do not change.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_reset(handle: *mut gptz) -> gptz_status {
    let body = |h: &mut Inner| {
        h.session.reset();
        Ok(())
    };
    // SAFETY: a handle or NULL, as the header asks.
    unsafe { ended(handle, call(|| on_handle(handle, body))) }
}

/// Measures how well the method, starting from the base, predicts `len` bytes of data. On success `*bits_per_byte` is
/// the mean of -log2 of the probability of each byte; it is 0 if `len` is 0. On failure it is 0. The live state does
/// not change.
///
/// The result is close to the size of the frame that gptz_compress writes, without headers. It differs for two reasons:
/// gptz_compress stores blocks that do not compress, and it may not learn from them; and it bypasses networks in blocks
/// that they do not make smaller. This call uses and learns from every byte, with all networks.
///
/// Errors: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_cross_entropy(
    handle: *mut gptz,
    data: *const c_void,
    len: usize,
    bits_per_byte: *mut f64,
) -> gptz_status {
    let body = |h: &mut Inner| {
        // SAFETY: `len` bytes of data, as the header asks.
        let data = unsafe { input(data, len, "the data") }?;
        let mean = h.with_progress(|session, progress| session.cross_entropy(data, progress))?;
        h.last.measured(data.len(), mean * data.len() as f64);
        Ok(mean)
    };
    // SAFETY: a handle or NULL, and a double or NULL, as the header asks.
    unsafe { ended(handle, with_out(bits_per_byte, 0.0, "bits_per_byte", || on_handle(handle, body))) }
}

/// Measures the cost of each byte of data, in bits, starting from the base. On success `bits[i]` is -log2 of the
/// probability of byte i, given all bytes before it. The costs show which parts of a file are hard to predict. `bits`
/// has room for `len` floats, must be aligned for float, and must not overlap `data`.
///
/// The sum of `bits` is `len` times the result of gptz_cross_entropy, up to rounding. The live state does not change.
///
/// Errors: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY. The content of `bits` is then unspecified.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn gptz_byte_costs(
    handle: *mut gptz,
    data: *const c_void,
    len: usize,
    bits: *mut f32,
) -> gptz_status {
    let body = |h: &mut Inner| {
        let Some(room) = len.checked_mul(size_of::<f32>()) else {
            fail!(Argument, "{len} floats are more than memory can hold");
        };
        check_apart(data, len, bits.cast(), room)?;
        if !bits.is_aligned() {
            fail!(Argument, "bits is not aligned for floats");
        }
        // SAFETY: `len` bytes of data, as the header asks.
        let data = unsafe { input(data, len, "the data") }?;
        // SAFETY: room for `len` floats, as the header asks. They are aligned, as checked above, and are only written.
        let costs = unsafe { output(bits.cast(), room, "bits") }?;
        // SAFETY: as above; every bit pattern is a float.
        let (_, costs, _) = unsafe { costs.align_to_mut::<f32>() };
        h.with_progress(|session, progress| session.byte_costs(data, costs, progress))?;
        h.last.measured(data.len(), costs.iter().map(|bits| f64::from(*bits)).sum());
        Ok(())
    };
    // SAFETY: a handle or NULL, as the header asks.
    unsafe { ended(handle, call(|| on_handle(handle, body))) }
}
