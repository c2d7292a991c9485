//! Snapshots: copies of a live state.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use super::buffers::input;
use super::guard::{call, call_without_memory, with_bytes, with_out};
use super::handle::{Inner, ended, gptz, on_handle};
use super::object::{Opaque, hand_out, object, release};
use super::status::gptz_status;
use crate::session::Snapshot;

/// A copy of a live state. A snapshot is immutable, and any number of handles and threads may share it. It does not
/// depend on the handle that it was taken from. Every handle with the same method and weights accepts it; other handles
/// return GPTZ_ERROR_MISMATCH.
pub struct gptz_snapshot {
    _opaque: [u8; 0],
}

impl Opaque for gptz_snapshot {
    type Value = Arc<Snapshot>;
    const TAG: u64 = u64::from_ne_bytes(*b"gptz-snp");
    const NAME: &'static str = "snapshot";
}

/// Copies the live state into a new snapshot. On success `*out` is the snapshot; free it with gptz_snapshot_free. On
/// failure `*out` is NULL. The live state does not change.
///
/// Errors: GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_snapshot_take(handle: *const gptz, out: *mut *mut gptz_snapshot) -> gptz_status {
    let body = |h: &mut Inner| hand_out(Arc::new(h.session.snapshot()?));
    // SAFETY: a handle or NULL, and `out` NULL or the caller's to write, as the header asks.
    unsafe { ended(handle, with_out(out, ptr::null_mut(), "out", || on_handle(handle, body))) }
}

/// Replaces the live state by the state of a snapshot. The base and the snapshot do not change. The snapshot may be
/// freed after the call.
///
/// Errors: GPTZ_ERROR_MISMATCH, GPTZ_ERROR_MEMORY. The live state then does not change.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_snapshot_restore(handle: *mut gptz, snapshot: *const gptz_snapshot) -> gptz_status {
    // SAFETY: a handle and a snapshot or NULL, as the header asks.
    unsafe { ended(handle, call(|| on_handle(handle, |h| h.session.restore(object(snapshot)?)))) }
}

/// Makes a snapshot the base of the handle. All later calls that compress, decompress or measure start from it, and
/// gptz_reset sets the live state to it. NULL makes the state of a new handle the base. The live state does not change.
/// The snapshot may be freed after the call.
///
/// A base makes small messages small: feed samples to a handle, take a snapshot, and make it the base of the handles on
/// both sides. A version 3 frame contains 8 bytes that identify its base. A handle with another base returns
/// GPTZ_ERROR_MISMATCH for it.
///
/// Errors: GPTZ_ERROR_MISMATCH. The base then does not change.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_set_base(handle: *mut gptz, snapshot: *const gptz_snapshot) -> gptz_status {
    let body = |h: &mut Inner| {
        // SAFETY: a snapshot or NULL, as the header asks.
        let base = if snapshot.is_null() { None } else { Some(unsafe { object(snapshot) }?.clone()) };
        h.session.set_base(base)
    };
    // SAFETY: a handle or NULL, as the header asks.
    unsafe { ended(handle, call(|| on_handle(handle, body))) }
}

/// Writes a snapshot in a portable form. On success `*len` is its length. Every later process, on any CPU, can load it
/// with gptz_snapshot_load and continue with the same bits, if its library has the same numerics version.
///
/// The form contains what the fed bytes have changed, not all of the state: see README for sizes. `dst` NULL and `cap`
/// 0 is a query: the call returns GPTZ_ERROR_BUFFER_TOO_SMALL and the length. It takes as much time as a save, because
/// the length is known only then.
///
/// The form is not encrypted and contains fed text. docs/FORMAT.md specifies it.
///
/// Errors: GPTZ_ERROR_BUFFER_TOO_SMALL (`*len` is then the length that is needed), GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_snapshot_save(
    snapshot: *const gptz_snapshot,
    dst: *mut c_void,
    cap: usize,
    len: *mut usize,
) -> gptz_status {
    // SAFETY: a snapshot or NULL, as the header asks.
    let body = || unsafe { object(snapshot) }?.save();
    // SAFETY: `dst` is NULL or the caller's to write for `cap` bytes, and `len` NULL or the caller's to write.
    unsafe { with_bytes((dst, cap), b"", len, body) }
}

/// Makes a snapshot from the portable form that gptz_snapshot_save wrote. On success `*out` is the snapshot; free it
/// with gptz_snapshot_free. On failure `*out` is NULL. `src` may be freed after the call.
///
/// The snapshot has the identifier of the one that was saved. It may be used as a base and as a live state. A handle of
/// another method or other weights returns GPTZ_ERROR_MISMATCH when it is given the snapshot; the message names both.
///
/// `src` need not be trusted: damage is told, and no more memory is taken than the method's state can have. But who
/// wrote it chose what a base predicts.
///
/// Errors: GPTZ_ERROR_FORMAT (no snapshot, or of an unknown version), GPTZ_ERROR_TRUNCATED, GPTZ_ERROR_CORRUPT,
/// GPTZ_ERROR_NUMERICS (written by a library with another numerics version), GPTZ_ERROR_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_snapshot_load(
    src: *const c_void,
    src_len: usize,
    out: *mut *mut gptz_snapshot,
) -> gptz_status {
    let body = || {
        // SAFETY: `src` is NULL or readable for `src_len` bytes, as the header asks.
        let src = unsafe { input(src, src_len, "src")? };
        hand_out(Arc::new(Snapshot::load(src)?))
    };
    // SAFETY: `out` is NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", body) }
}

/// Writes the identifier of a snapshot, which version 3 frames contain if it is their base, to `id`. It is a hash of
/// the method, the weights and all bytes that the state has observed: two snapshots have the same identifier if and
/// only if they have the same method, weights and history. On failure `id`, unless it is NULL, is all 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_snapshot_id(snapshot: *const gptz_snapshot, id: *mut u8) -> gptz_status {
    // SAFETY: a snapshot or NULL, as the header asks.
    let body = || Ok(unsafe { object(snapshot) }?.id());
    // SAFETY: `id` is NULL or the caller's to write for 8 bytes, as the header asks.
    unsafe { with_out(id.cast::<[u8; 8]>(), [0; 8], "id", body) }
}

/// Frees a snapshot. A handle may still have it as its base. NULL is allowed and does nothing. If `snapshot` points to
/// another object, the call frees nothing, and gptz_last_error returns the reason.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_snapshot_free(snapshot: *mut gptz_snapshot) {
    if !snapshot.is_null() {
        // SAFETY: a snapshot, as the header asks. The caller frees it after all calls that use it have returned.
        call_without_memory(|| unsafe { release(snapshot) });
    }
}
