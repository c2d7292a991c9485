//! The live state and measuring.

use std::ffi::c_void;

use super::buffers::{check_apart, input, output};
use super::guard::{call, with_out};
use super::handle::{Inner, gptz, on_handle};
use super::status::gptz_status;
use crate::error::fail;
use crate::model::VOCAB;

/// The distribution of the next byte in the live state: `probs[b]` is the probability of byte b, as the coder would use
/// it. Every one is above 0; they add up to 1 but for rounding. `n` must be 256.
///
/// The live state stays as it is. GPTZ_ERROR_ARGUMENT, GPTZ_ERROR_MEMORY; `probs` is then all 0 (if `n` is 256).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_predict(handle: *mut gptz, probs: *mut f32, n: usize) -> gptz_status {
    if n != VOCAB {
        return call(|| fail!(Argument, "n = {n}, there are {VOCAB} bytes"));
    }
    let body = |h: &mut Inner| {
        let mut found = [0f32; VOCAB];
        h.session.predict(&mut found)?;
        Ok(found)
    };
    // SAFETY: a handle or NULL, and `probs` NULL or room for 256 floats, as the header asks.
    unsafe { with_out(probs.cast::<[f32; VOCAB]>(), [0.0; VOCAB], "probs", || on_handle(handle, body)) }
}

/// Shows the live state `len` bytes: later predictions follow from them, and a method that learns learns from them.
/// gptz_feed of a, then of b, is the same as gptz_feed of both at once.
///
/// On failure, and when the progress callback asks to stop, the live state is as it was: GPTZ_ERROR_CANCELLED,
/// GPTZ_ERROR_MEMORY, GPTZ_ERROR_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_feed(handle: *mut gptz, data: *const c_void, len: usize) -> gptz_status {
    let body = |h: &mut Inner| {
        // SAFETY: `len` bytes of data, as the header asks.
        let data = unsafe { input(data, len, "the data") }?;
        h.with_progress(|session, progress| session.feed(data, progress))
    };
    // SAFETY: a handle or NULL, as the header asks.
    call(|| unsafe { on_handle(handle, body) })
}

/// Puts the live state back to the base: as created, or the snapshot that gptz_set_base was given last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_reset(handle: *mut gptz) -> gptz_status {
    let body = |h: &mut Inner| {
        h.session.reset();
        Ok(())
    };
    // SAFETY: a handle or NULL, as the header asks.
    call(|| unsafe { on_handle(handle, body) })
}

/// What the data would cost from the base, in bits a byte: the mean of -log2 of the probability of each byte, which is
/// what gptz_compress spends on it but for headers and rounding. 0 for no data.
///
/// Where gptz_compress stores noise and skips it, this goes on learning from it; where gptz_compress finds that networks do
/// not help in a block and leaves them out, this has them go on: there the two differ.
///
/// The live state stays as it is. On failure `*bits_per_byte` is 0: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY,
/// GPTZ_ERROR_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_cross_entropy(
    handle: *mut gptz,
    data: *const c_void,
    len: usize,
    bits_per_byte: *mut f64,
) -> gptz_status {
    let body = |h: &mut Inner| {
        // SAFETY: `len` bytes of data, as the header asks.
        let data = unsafe { input(data, len, "the data") }?;
        h.with_progress(|session, progress| session.cross_entropy(data, progress))
    };
    // SAFETY: a handle or NULL, and a double or NULL, as the header asks.
    unsafe { with_out(bits_per_byte, 0.0, "bits_per_byte", || on_handle(handle, body)) }
}

/// What each byte of the data costs from the base, in bits: -log2 of its probability after the bytes before it. `bits` has
/// room for `len` floats, aligned as floats are, and shares no byte with the data. Their sum is what gptz_cross_entropy
/// tells, times `len`, but for rounding: what is surprising in a file, and what a format wastes, byte by byte.
///
/// The live state stays as it is. On failure what `bits` holds is not specified: GPTZ_ERROR_CANCELLED, GPTZ_ERROR_MEMORY,
/// GPTZ_ERROR_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_byte_costs(
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
        // SAFETY: room for `len` floats, as the header asks; the bytes are theirs, aligned as was seen, and only written.
        let costs = unsafe { output(bits.cast(), room, "bits") }?;
        // SAFETY: as above; every bit pattern is a float.
        let (_, costs, _) = unsafe { costs.align_to_mut::<f32>() };
        h.with_progress(|session, progress| session.byte_costs(data, costs, progress))
    };
    // SAFETY: a handle or NULL, as the header asks.
    call(|| unsafe { on_handle(handle, body) })
}
