//! Snapshots: copies of a live state.

use std::ptr;
use std::sync::Arc;

use super::guard::{call, call_without_memory, with_out};
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

/// Frees a snapshot. A handle may still have it as its base. NULL is allowed and does nothing. If `snapshot` points to
/// another object, the call frees nothing, and gptz_last_error returns the reason.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_snapshot_free(snapshot: *mut gptz_snapshot) {
    if !snapshot.is_null() {
        // SAFETY: a snapshot, as the header asks. The caller frees it after all calls that use it have returned.
        call_without_memory(|| unsafe { release(snapshot) });
    }
}
