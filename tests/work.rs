//! The work per byte of a method: how often a call can be cancelled, and the limit for methods that an input names.

mod common;

use std::ffi::{c_int, c_void};

use common::*;

/// A method that takes more than 2^24 multiplications a byte.
const SLOW: &str = "gru:embed=16,hidden=512,bptt=16";
/// A method that takes more than 2^27 multiplications a byte.
const TOO_SLOW: &str = "gru:embed=16,hidden=1024,bptt=32";
/// A method that takes few multiplications on average, but more than 2^27 for a byte after which it trains.
const TOO_SLOW_AT_ONCE: &str = "gru:embed=16,hidden=64,bptt=64,stride=64,replay=64";

unsafe extern "C" fn record_done(seen: *mut c_void, done: u64, _total: u64) -> c_int {
    // SAFETY: the list that was set with this callback, whose call is in progress.
    unsafe { &mut *seen.cast::<Vec<u64>>() }.push(done);
    0
}

#[test]
fn a_slow_method_can_be_cancelled_at_every_byte() {
    let h = Handle::new(SLOW);
    // Version 2 has no stored blocks, so decompression must decode.
    h.set(GPTZ_PARAM_FORMAT, 2);
    let text = &ALICE[..7];
    let frame = h.compress(text);
    let calls: [(&str, &dyn Fn()); 4] = [
        ("compress", &|| assert!(h.compress(text) == frame)),
        ("decompress", &|| assert!(h.decompress(&frame) == text)),
        ("feed", &|| h.feed(text)),
        ("cross_entropy", &|| assert!(h.cross_entropy(text) > 0.0)),
    ];
    for (name, call) in calls {
        let mut seen = Vec::<u64>::new();
        h.set_progress(Some(record_done), (&raw mut seen).cast());
        call();
        h.set_progress(None, std::ptr::null_mut());
        seen.dedup();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7], "{name}");
    }
}

#[test]
fn a_frame_over_the_default_work_limit_is_refused() {
    for method in [TOO_SLOW, TOO_SLOW_AT_ONCE] {
        let h = Handle::new(method);
        let limit = h.get(GPTZ_PARAM_WORK_LIMIT);
        assert!(limit > 1 << 27, "{limit}");
        // The handle reads its own frames, because the caller chose its method.
        let frame = h.compress(b"ab");
        assert_eq!(h.decompress(&frame), b"ab");
        assert_eq!(Handle::for_frame(&frame).err(), Some(GPTZ_ERROR_METHOD));
        assert!(message().contains(&format!("{limit} multiplications")), "{}", message());
    }
    let frame = Handle::new(SLOW).compress(b"ab");
    assert_eq!(Handle::for_frame(&frame).unwrap().decompress(&frame), b"ab");
}

#[test]
fn a_lower_limit_refuses_to_decode() {
    let h = Handle::new(GRU);
    let frame = h.compress(b"some text");
    let (_, lens, all) = records(&h, gptz_records_compress, &[b"some text"], 100);
    let record = &all[..lens[0]];
    assert_eq!(h.set(GPTZ_PARAM_WORK_LIMIT, 1000), GPTZ_OK);
    assert_eq!(h.decompress_into(&frame, 100).0, GPTZ_ERROR_METHOD);
    assert!(message().contains("work limit is 1000"), "{}", message());
    assert_eq!(records(&h, gptz_records_decompress, &[record], 100).0, GPTZ_ERROR_METHOD);
    assert_eq!(h.compress(b"some text"), frame);
    assert_eq!(h.set(GPTZ_PARAM_WORK_LIMIT, 1 << 27), GPTZ_OK);
    assert_eq!(h.decompress(&frame), b"some text");
}
