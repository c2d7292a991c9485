//! What a handle had learned at some moment.

use std::ptr;
use std::sync::Arc;

use super::guard::{call, call_without_memory, with_out};
use super::handle::{Inner, gptz, on_handle};
use super::object::{Opaque, hand_out, object, release};
use super::status::gptz_status;
use crate::session::Snapshot;

/// A copy of a live state: immutable, may be shared by threads, stands on its own. It fits handles of the same method
/// and weights; others answer GPTZ_ERROR_MISMATCH.
pub struct gptz_snapshot {
    _opaque: [u8; 0],
}

impl Opaque for gptz_snapshot {
    type Value = Arc<Snapshot>;
    const TAG: u64 = u64::from_ne_bytes(*b"gptz-snp");
    const NAME: &'static str = "snapshot";
}

/// Copies the live state. On success `*out` is the snapshot, to be freed with gptz_snapshot_free; on failure it is NULL:
/// GPTZ_ERROR_MEMORY, GPTZ_ERROR_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_snapshot_take(handle: *const gptz, out: *mut *mut gptz_snapshot) -> gptz_status {
    let body = |h: &mut Inner| hand_out(Arc::new(h.session.snapshot()?));
    // SAFETY: a handle or NULL, and `out` NULL or the caller's to write, as the header asks.
    unsafe { with_out(out, ptr::null_mut(), "out", || on_handle(handle, body)) }
}

/// Makes the live state what it was when the snapshot was taken. The base stays as it is. On failure nothing changes:
/// GPTZ_ERROR_MISMATCH, GPTZ_ERROR_MEMORY, GPTZ_ERROR_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_snapshot_restore(handle: *mut gptz, snapshot: *const gptz_snapshot) -> gptz_status {
    // SAFETY: a handle and a snapshot or NULL, as the header asks.
    call(|| unsafe { on_handle(handle, |h| h.session.restore(object(snapshot)?)) })
}

/// Makes a snapshot the base: where every later gptz_compress, gptz_decompress and gptz_cross_entropy starts, and what
/// gptz_reset goes back to. NULL: as created. The live state stays as it is. The snapshot may be freed afterwards.
///
/// What was learned so is carried into small messages: feed samples, take a snapshot, make it the base on both sides. A
/// frame names its base by 8 bytes; a handle with another one answers GPTZ_ERROR_MISMATCH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_set_base(handle: *mut gptz, snapshot: *const gptz_snapshot) -> gptz_status {
    let body = |h: &mut Inner| {
        // SAFETY: a snapshot or NULL, as the header asks.
        let base = if snapshot.is_null() { None } else { Some(unsafe { object(snapshot) }?.clone()) };
        h.session.set_base(base)
    };
    // SAFETY: a handle or NULL, as the header asks.
    call(|| unsafe { on_handle(handle, body) })
}

/// Frees a snapshot, also one that is a handle's base. NULL is allowed; what is no snapshot is left alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_snapshot_free(snapshot: *mut gptz_snapshot) {
    if !snapshot.is_null() {
        // SAFETY: a snapshot, as the header asks; calls that are given it do not outlive it.
        call_without_memory(|| unsafe { release(snapshot) });
    }
}
