//! The C ABI's contract: bad arguments, the two states, snapshots, callbacks, threads.

mod common;

use std::ffi::{CStr, c_void};
use std::ptr;

use common::*;

#[test]
fn null_is_an_argument_error_unless_allowed() {
    let h = Handle::new(FROZEN);
    let (mut n, mut size, mut bits, mut value) = (7usize, 7u64, 7f64, 7i64);
    let (mut buffer, mut probs, mut print) = ([0u8; 64], [1f32; 256], [9u8; 32]);
    let b = buffer.as_mut_ptr().cast::<c_void>();
    let null = ptr::null_mut::<c_void>();
    let none = ptr::null_mut::<gptz>();
    let mut words = [0u32; 8];
    let tokens = words.as_mut_ptr();
    let (mut handle, mut model, mut snapshot) = (none, ptr::null_mut(), ptr::null_mut());
    // SAFETY: every pointer that is not NULL meets the requirements of the call.
    unsafe {
        let statuses = [
            ("create out", gptz_create(ptr::null(), ptr::null_mut())),
            ("for_frame out", gptz_create_for_frame(b, 8, ptr::null_mut())),
            ("for_frame src", gptz_create_for_frame(null, 8, &mut handle)),
            ("from_model model", gptz_create_from_model(ptr::null(), ptr::null(), &mut handle)),
            ("set", gptz_set(none, 1, 0)),
            ("get handle", gptz_get(none, 1, &mut value)),
            ("get out", gptz_get(h.0, 1, ptr::null_mut())),
            ("set_progress", gptz_set_progress(none, None, null)),
            ("compress handle", gptz_compress(none, b, 8, b.add(32), 8, &mut n)),
            ("compress src", gptz_compress(h.0, null, 8, b, 8, &mut n)),
            ("compress dst", gptz_compress(h.0, b, 8, null, 8, &mut n)),
            ("compress dst_len", gptz_compress(h.0, b, 8, b.add(32), 8, ptr::null_mut())),
            ("size src", gptz_decompressed_size(null, 8, &mut size)),
            ("size out", gptz_decompressed_size(b, 8, ptr::null_mut())),
            ("decompress handle", gptz_decompress(none, b, 8, b.add(32), 8, &mut n)),
            ("decompress src", gptz_decompress(h.0, null, 8, b, 8, &mut n)),
            ("decompress dst", gptz_decompress(h.0, b, 8, null, 8, &mut n)),
            ("decompress dst_len", gptz_decompress(h.0, b, 8, b.add(32), 8, ptr::null_mut())),
            ("predict handle", gptz_predict(none, probs.as_mut_ptr(), 256)),
            ("predict probs", gptz_predict(h.0, ptr::null_mut(), 256)),
            ("predict n", gptz_predict(h.0, probs.as_mut_ptr(), 255)),
            ("feed handle", gptz_feed(none, b, 8)),
            ("feed data", gptz_feed(h.0, null, 8)),
            ("reset", gptz_reset(none)),
            ("entropy handle", gptz_cross_entropy(none, b, 8, &mut bits)),
            ("entropy data", gptz_cross_entropy(h.0, null, 8, &mut bits)),
            ("entropy out", gptz_cross_entropy(h.0, b, 8, ptr::null_mut())),
            ("costs handle", gptz_byte_costs(none, b, 8, probs.as_mut_ptr())),
            ("costs data", gptz_byte_costs(h.0, null, 8, probs.as_mut_ptr())),
            ("costs out", gptz_byte_costs(h.0, b, 8, ptr::null_mut())),
            ("costs overlap", gptz_byte_costs(h.0, probs.as_ptr().cast(), 8, probs.as_mut_ptr().add(1))),
            ("costs alignment", gptz_byte_costs(h.0, b, 2, probs.as_mut_ptr().cast::<u8>().add(1).cast())),
            ("costs length", gptz_byte_costs(h.0, b, usize::MAX / 2, probs.as_mut_ptr())),
            ("begin handle", gptz_live_begin(none, 8)),
            ("end handle", gptz_live_end(none)),
            ("live entropy handle", gptz_cross_entropy_live(none, b, 8, &mut bits)),
            ("live entropy data", gptz_cross_entropy_live(h.0, null, 8, &mut bits)),
            ("live entropy out", gptz_cross_entropy_live(h.0, b, 8, ptr::null_mut())),
            ("conditional parts", gptz_cross_entropy_conditional(h.0, ptr::null(), &n, 1, b, 8, &mut bits)),
            (
                "conditional lens",
                gptz_cross_entropy_conditional(h.0, &b.cast_const().cast(), ptr::null(), 1, b, 8, &mut bits),
            ),
            ("conditional data", gptz_cross_entropy_conditional(h.0, ptr::null(), ptr::null(), 0, null, 8, &mut bits)),
            (
                "conditional out",
                gptz_cross_entropy_conditional(h.0, ptr::null(), ptr::null(), 0, b, 8, ptr::null_mut()),
            ),
            ("joint handle", gptz_cross_entropy_joint(none, b, 8, b, 8, &mut bits)),
            ("joint x", gptz_cross_entropy_joint(h.0, null, 8, b, 8, &mut bits)),
            ("joint y", gptz_cross_entropy_joint(h.0, b, 8, null, 8, &mut bits)),
            ("joint out", gptz_cross_entropy_joint(h.0, b, 8, b, 8, ptr::null_mut())),
            ("model path", gptz_model_open(ptr::null(), &mut model)),
            ("model out", gptz_model_open(c"x".as_ptr(), ptr::null_mut())),
            ("memory data", gptz_model_from_memory(null, 8, &mut model)),
            ("memory out", gptz_model_from_memory(b, 8, ptr::null_mut())),
            ("fingerprint model", gptz_model_fingerprint(ptr::null(), print.as_mut_ptr())),
            ("fingerprint out", gptz_model_fingerprint(ptr::null(), ptr::null_mut())),
            ("info model", gptz_model_info(ptr::null(), 1, &mut 0i64)),
            ("info out", gptz_model_info(ptr::null(), 1, ptr::null_mut())),
            ("generator create", gptz_generator_create(ptr::null(), ptr::null(), &mut ptr::null_mut())),
            ("generator create out", gptz_generator_create(ptr::null(), ptr::null(), ptr::null_mut())),
            ("generator of handle", gptz_generator_create_from_handle(ptr::null(), ptr::null(), &mut ptr::null_mut())),
            ("generator progress", gptz_generator_set_progress(ptr::null_mut(), None, ptr::null_mut())),
            ("generator sampler", gptz_generator_set_sampler(ptr::null_mut(), ptr::null())),
            ("generator prefill", gptz_generator_prefill(ptr::null_mut(), tokens, 1, ptr::null_mut(), 0)),
            ("generator decode", gptz_generator_decode(ptr::null_mut(), 1, ptr::null_mut(), 0)),
            ("generator step", gptz_generator_step(ptr::null_mut(), tokens)),
            ("generator generate", gptz_generator_generate(ptr::null_mut(), 1, None, ptr::null_mut(), &mut n)),
            ("generator tokens", gptz_generator_tokens(ptr::null(), tokens, 8, &mut n)),
            ("tokenize model", gptz_tokenize(ptr::null(), b, 8, tokens, 8, &mut n)),
            ("tokenize out", gptz_tokenize(ptr::null(), b, 8, tokens, 8, ptr::null_mut())),
            ("detokenize model", gptz_detokenize(ptr::null(), tokens, 8, b, 8, &mut n)),
            ("detokenize out", gptz_detokenize(ptr::null(), tokens, 8, b, 8, ptr::null_mut())),
            ("take handle", gptz_snapshot_take(none, &mut snapshot)),
            ("take out", gptz_snapshot_take(h.0, ptr::null_mut())),
            ("restore handle", gptz_snapshot_restore(none, ptr::null())),
            ("restore snapshot", gptz_snapshot_restore(h.0, ptr::null())),
            ("base handle", gptz_set_base(none, ptr::null())),
            ("estimate handle", gptz_memory_estimate(none, &mut size)),
            ("estimate out", gptz_memory_estimate(h.0, ptr::null_mut())),
        ];
        for (name, status) in statuses {
            assert_eq!(status, GPTZ_ERROR_ARGUMENT, "{name}");
        }
        assert!(gptz_method(ptr::null()).is_null());
        assert!(CStr::from_ptr(gptz_handle_error(ptr::null())).is_empty());
        gptz_free(ptr::null_mut());
        gptz_model_free(ptr::null_mut());
        gptz_snapshot_free(ptr::null_mut());
    }
    assert_eq!((n, size, bits, value, print), (0, 0, 0.0, 0, [0; 32]));
    assert_eq!(probs, [0.0; 256]);
    assert!(handle.is_null() && model.is_null() && snapshot.is_null());
}

#[test]
fn empty_content_round_trips() {
    let h = Handle::new(LEARNING);
    let (mut frame, mut n) = ([0u8; 4096], 0usize);
    // SAFETY: NULL is allowed for a length of 0; the rest are buffers of their lengths.
    unsafe {
        assert_eq!(gptz_compress(h.0, ptr::null(), 0, frame.as_mut_ptr().cast(), frame.len(), &mut n), GPTZ_OK);
        let mut out = 9;
        let src = frame.as_ptr().cast();
        assert_eq!(gptz_decompress(h.0, src, n, ptr::null_mut(), 0, &mut out), GPTZ_OK, "{}", message());
        assert_eq!(out, 0);
        assert_eq!(gptz_feed(h.0, ptr::null(), 0), GPTZ_OK);
    }
    assert_eq!(decompressed_size(&frame[..n]), Ok(0));
    assert_eq!(decompressed_size(&[]), Err(GPTZ_ERROR_TRUNCATED));
    assert_eq!(h.cross_entropy(&[]), 0.0);
}

#[test]
fn a_handle_of_another_type_is_refused() {
    let h = Handle::new(FROZEN);
    let (snapshot, model) = (h.snapshot(), Model::from_memory(WEIGHTS).unwrap());
    let (mut n, mut out) = (0i64, ptr::null_mut());
    // SAFETY: all are objects of the library, which a caller could confuse.
    unsafe {
        assert_eq!(gptz_get(snapshot.0.cast(), 1, &mut n), GPTZ_ERROR_ARGUMENT);
        assert!(message().contains("handle is not a handle"), "{}", message());
        assert_eq!(gptz_reset(model.0.cast()), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_snapshot_restore(h.0, h.0.cast()), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_set_base(h.0, model.0.cast()), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_create_from_model(h.0.cast(), ptr::null(), &mut out), GPTZ_ERROR_ARGUMENT);
        assert!(gptz_method(snapshot.0.cast()).is_null());
        // The wrong call frees nothing, so the right one works afterwards.
        gptz_free(snapshot.0.cast());
        gptz_model_free(h.0.cast());
        gptz_snapshot_free(model.0.cast());
    }
    assert_eq!(h.restore(&snapshot), GPTZ_OK);
    assert_eq!(model.fingerprint(), model.fingerprint());
}

#[test]
fn overlapping_buffers_are_refused() {
    let h = Handle::new(FROZEN);
    let mut buffer = vec![1u8; 4096];
    let p = buffer.as_mut_ptr();
    let mut n = 5;
    // SAFETY: all ranges lie within the buffer; the library refuses before it touches them.
    unsafe {
        for (src, dst) in [(0, 0), (0, 99), (99, 0), (50, 60)] {
            assert_eq!(gptz_compress(h.0, p.add(src).cast(), 100, p.add(dst).cast(), 100, &mut n), GPTZ_ERROR_ARGUMENT);
            assert!(message().contains("overlap"));
            assert_eq!(
                gptz_decompress(h.0, p.add(src).cast(), 100, p.add(dst).cast(), 100, &mut n),
                GPTZ_ERROR_ARGUMENT
            );
            assert_eq!(n, 0);
        }
        assert_eq!(gptz_compress(h.0, p.cast(), 100, p.add(100).cast(), 3000, &mut n), GPTZ_OK, "{}", message());
        assert_eq!(gptz_compress(h.0, p.cast(), usize::MAX, ptr::null_mut(), 0, &mut n), GPTZ_ERROR_ARGUMENT);
    }
}

#[test]
fn a_buffer_one_byte_too_small_reports_the_needed_size() {
    let h = Handle::new(LEARNING);
    for format in [2, 3] {
        for coder in [0, 1] {
            h.set(GPTZ_PARAM_FORMAT, format);
            h.set(GPTZ_PARAM_CODER, coder);
            let text = &ALICE[..3000];
            let frame = h.compress(text);
            for cap in [frame.len() - 1, frame.len() / 2, 18, 0] {
                let (status, len, _) = h.compress_into(text, cap);
                assert_eq!((status, len), (GPTZ_ERROR_BUFFER_TOO_SMALL, frame.len()), "{cap}");
                assert!(message().contains(&frame.len().to_string()), "{}", message());
            }
            assert_eq!(h.compress_into(text, frame.len()).2, frame);
            for cap in [text.len() - 1, 0] {
                let (status, len, _) = h.decompress_into(&frame, cap);
                assert_eq!((status, len), (GPTZ_ERROR_BUFFER_TOO_SMALL, text.len()));
            }
            assert_eq!(h.decompress_into(&frame, text.len()).2, text);
            // Bytes of the buffer after the content are not written.
            let (status, len, dst) = h.decompress_into(&frame, text.len() + 50);
            assert_eq!((status, len), (GPTZ_OK, text.len()));
            assert!(dst[len..].iter().all(|b| *b == 0xa5));
        }
    }
    assert_eq!(gptz_compress_bound(usize::MAX), 0);
    assert!(gptz_compress_bound(0) > 0);
}

#[test]
fn options_are_checked_and_kept() {
    let h = Handle::new(FROZEN);
    let all = [
        (GPTZ_PARAM_CODER, 0, 1, 0),
        (GPTZ_PARAM_FORMAT, 2, 3, 3),
        (GPTZ_PARAM_CHECKSUM, 0, 1, 1),
        (GPTZ_PARAM_THREADS, 0, 1024, 1),
        (GPTZ_PARAM_LANES, 1, 1, 1),
        (GPTZ_PARAM_BLOCK_LOG, 12, 24, 17),
        (GPTZ_PARAM_SEGMENT_LOG, 0, 40, 0),
        (GPTZ_PARAM_MEMORY_LIMIT, 1, i64::MAX, 1 << 30),
        (GPTZ_PARAM_CONTENT_LENGTH, -1, i64::MAX, -1),
        (GPTZ_PARAM_RECORD_CHECK, 0, 4, 0),
        (GPTZ_PARAM_WORK_LIMIT, 1, i64::MAX, 1 << 27),
    ];
    for (param, low, high, default) in all {
        assert_eq!(h.get(param), default);
        for value in [low, high] {
            assert_eq!(h.set(param, value), GPTZ_OK);
            assert_eq!(h.get(param), value);
        }
        for value in [low - 1, high.saturating_add(1), i64::MIN] {
            let allowed = (low..=high).contains(&value);
            assert_eq!(h.set(param, value) == GPTZ_OK, allowed, "{param} = {value}");
        }
        assert_eq!(h.set(param, default), GPTZ_OK);
    }
    for (log, expected) in [(1, GPTZ_ERROR_ARGUMENT), (15, GPTZ_ERROR_ARGUMENT), (16, GPTZ_OK), (0, GPTZ_OK)] {
        assert_eq!(h.set(GPTZ_PARAM_SEGMENT_LOG, log), expected);
    }
    for (width, expected) in [(1, GPTZ_OK), (2, GPTZ_OK), (3, GPTZ_ERROR_ARGUMENT)] {
        assert_eq!(h.set(GPTZ_PARAM_RECORD_CHECK, width), expected);
    }
    for param in [0, 12, -1, i32::MAX] {
        assert_eq!(h.set(param, 0), GPTZ_ERROR_ARGUMENT);
        assert!(message().contains(&param.to_string()));
    }
    assert_eq!(h.set(GPTZ_PARAM_MEMORY_LIMIT, 1000), GPTZ_OK);
    assert_eq!(h.compress_into(b"abc", 4096).0, GPTZ_ERROR_MEMORY);
    h.set(GPTZ_PARAM_MEMORY_LIMIT, 1 << 30);
    assert_eq!(h.compress_into(b"abc", 4096).0, GPTZ_OK);
}

#[test]
fn invalid_methods_are_refused() {
    for (method, expected) in [
        ("cfg:hidden=65", GPTZ_ERROR_METHOD),
        ("nonsense", GPTZ_ERROR_METHOD),
        ("", GPTZ_ERROR_METHOD),
        ("cfg:hidden=64;policy:schedule=0..10:learn", GPTZ_ERROR_METHOD),
        ("cfg:hidden=64;policy:load_from=/nonexistent,schedule=0..10:train", GPTZ_ERROR_IO),
        ("cfg:hidden=65536,layers=1024,intermediate=65536;policy:schedule=0..10:train", GPTZ_ERROR_MEMORY),
        ("file:/nonexistent/weights.safetensors", GPTZ_ERROR_IO),
        ("file:/", GPTZ_ERROR_IO),
        ("cfg:hidden=65536,layers=1024,intermediate=65536", GPTZ_ERROR_MEMORY),
        ("cfg:hidden=65536,layers=1024,intermediate=65536;weights=f32", GPTZ_ERROR_MEMORY),
    ] {
        assert_eq!(Handle::create(method).err(), Some(expected), "{method}: {}", message());
    }
    let mut out = ptr::null_mut();
    // SAFETY: a C string that is not UTF-8.
    assert_eq!(unsafe { gptz_create(c"cfg:\xff".as_ptr(), &mut out) }, GPTZ_ERROR_METHOD);
}

#[test]
fn the_live_state_and_the_base_are_independent() {
    for method in [LEARNING, FROZEN] {
        let (a, b) = (Handle::new(method), Handle::new(method));
        let frame = a.compress(&ALICE[..2000]);
        a.feed(&ALICE[..1000]);
        for part in ALICE[..1000].chunks(37) {
            b.feed(part);
        }
        assert_eq!(a.predict(), b.predict(), "feed(a), feed(b) equals feed(ab)");
        let fed = a.predict();
        // Calls that start from the base do not change the live state, and calls on the live state do not change the
        // base.
        assert_eq!(a.compress(&ALICE[..2000]), frame);
        a.cross_entropy(&ALICE[..100]);
        a.decompress(&frame);
        assert_eq!(a.predict(), fed);
        a.reset();
        assert_eq!(a.predict(), Handle::new(method).predict());
        assert_ne!(a.predict(), fed);
    }
}

#[test]
fn predicted_probabilities_give_the_measured_cost() {
    let h = Handle::new(LEARNING);
    let text = &ALICE[..400];
    let mut bits = 0.0;
    for byte in text {
        let probs = h.predict();
        assert_eq!(probs, h.predict(), "gptz_predict changes the live state");
        let sum: f64 = probs.iter().map(|p| f64::from(*p)).sum();
        assert!((sum - 1.0).abs() < 1e-4 && probs.iter().all(|p| *p > 0.0), "{sum}");
        bits -= f64::from(probs[usize::from(*byte)]).log2();
        h.feed(&[*byte]);
    }
    let measured = h.cross_entropy(text) * text.len() as f64;
    assert!((measured - bits).abs() < 1e-3 * bits, "{measured} and {bits}");
}

#[test]
fn a_snapshot_restores_its_state_and_serves_as_base() {
    for method in [LEARNING, FROZEN] {
        let h = Handle::new(method);
        h.feed(&ALICE[..3000]);
        let (snapshot, then) = (h.snapshot(), h.predict());
        h.feed(&ALICE[3000..4000]);
        let later = h.predict();
        assert_ne!(later, then);
        assert_eq!(h.restore(&snapshot), GPTZ_OK);
        assert_eq!(h.predict(), then);
        h.feed(&ALICE[3000..4000]);
        assert_eq!(h.predict(), later, "feeding after restore gives another state");

        let text = &ALICE[3000..3400];
        let bare = h.compress(text);
        assert_eq!(h.set_base(Some(&snapshot)), GPTZ_OK);
        assert_eq!(h.predict(), later, "a call from the base changes the live state");
        let based = h.compress(text);
        assert_eq!(h.compress(text), based);
        if method == LEARNING {
            assert!(based.len() < bare.len(), "{} and {}", based.len(), bare.len());
        }
        h.reset();
        assert_eq!(h.predict(), then, "reset does not restore the base");
        drop(snapshot);
        assert_eq!(h.decompress(&based), text);
        assert_eq!(h.decompress_into(&bare, 400).0, GPTZ_ERROR_MISMATCH);
        assert!(message().contains("base none"), "{}", message());

        // Another handle reaches the same state by feeding the same bytes.
        let other = Handle::new(method);
        assert_eq!(other.decompress_into(&based, 400).0, GPTZ_ERROR_MISMATCH);
        other.feed(&ALICE[..3000]);
        let same = other.snapshot();
        assert_eq!(other.set_base(Some(&same)), GPTZ_OK);
        assert_eq!(other.decompress(&based), text);
        assert_eq!(other.set_base(None), GPTZ_OK);
        assert_eq!(other.decompress(&bare), text);
        assert_eq!(Handle::for_frame(&based).err(), Some(GPTZ_ERROR_MISMATCH), "{}", message());
    }
    // The live state starts as the base that the handle had when it was created or reset, even if it is first used
    // later.
    let h = Handle::new(LEARNING);
    let (fresh, fed) = (Handle::new(LEARNING), Handle::new(LEARNING));
    fed.feed(b"something else");
    let snapshot = fed.snapshot();
    assert_eq!(h.set_base(Some(&snapshot)), GPTZ_OK);
    assert_eq!(h.predict(), fresh.predict());
    h.reset();
    assert_eq!(h.set_base(None), GPTZ_OK);
    let lazy = h.snapshot();
    assert_eq!(h.predict(), fed.predict());
    assert_eq!(fresh.restore(&lazy), GPTZ_OK);
    assert_eq!(fresh.predict(), fed.predict());

    // A snapshot of another method is refused.
    let (a, b) = (Handle::new(LEARNING), Handle::new(FROZEN));
    let snapshot = a.snapshot();
    assert_eq!(b.set_base(Some(&snapshot)), GPTZ_ERROR_MISMATCH);
    assert_eq!(b.restore(&snapshot), GPTZ_ERROR_MISMATCH);
    // Both methods are quoted. The middle of a long one is left out.
    for method in [a.method(), b.method()] {
        assert!(message().contains(&method[..50]) && message().contains(&method[method.len() - 50..]), "{}", message());
    }
}

/// The instructions for a callback, and its observations.
struct Watch {
    cancel_at: Option<u64>,
    seen: Vec<(u64, u64)>,
    handle: *mut gptz,
    statuses: Vec<gptz_status>,
}

unsafe extern "C" fn watch(userdata: *mut c_void, done: u64, total: u64) -> i32 {
    // SAFETY: the test passes a Watch that outlives the call.
    let watch = unsafe { &mut *userdata.cast::<Watch>() };
    watch.seen.push((done, total));
    if !watch.handle.is_null() {
        let (mut n, mut value) = (0, 0);
        // SAFETY: a handle that is in a call. The calls must return GPTZ_ERROR_BUSY.
        unsafe {
            watch.statuses.push(gptz_reset(watch.handle));
            watch.statuses.push(gptz_get(watch.handle, 1, &mut value));
            watch.statuses.push(gptz_compress(watch.handle, ptr::null(), 0, ptr::null_mut(), 0, &mut n));
            gptz_free(watch.handle);
            assert!(!gptz_method(watch.handle).is_null());
        }
    }
    i32::from(watch.cancel_at.is_some_and(|at| done >= at))
}

fn watched(h: &Handle, cancel_at: Option<u64>) -> Box<Watch> {
    let mut w = Box::new(Watch { cancel_at, seen: Vec::new(), handle: ptr::null_mut(), statuses: Vec::new() });
    h.set_progress(Some(watch), (&raw mut *w).cast());
    w
}

#[test]
fn progress_rises_from_0_to_the_total() {
    let h = Handle::new(LEARNING);
    let frames = [h.compress(&ALICE[..3000]), h.compress(&ALICE[..2000])].concat();
    let w = watched(&h, None);
    h.decompress(&frames);
    let seen = &w.seen;
    assert!(seen.len() > 10 && seen[0] == (0, 5000) && *seen.last().unwrap() == (5000, 5000));
    assert!(seen.windows(2).all(|w| w[0].0 <= w[1].0 && w[1].1 == 5000));
    h.set_progress(None, ptr::null_mut());
    let before = w.seen.len();
    h.decompress(&frames);
    assert_eq!(w.seen.len(), before);
}

#[test]
fn a_callback_that_cancels_anywhere_leaves_the_handle_usable() {
    let h = Handle::new(LEARNING);
    let text = [&ALICE[..6000], &noise(5000, 3)].concat();
    h.set(GPTZ_PARAM_BLOCK_LOG, 12);
    let frame = h.compress(&text);
    h.feed(&ALICE[..100]);
    let live = h.predict();
    for at in [0, 1, 256, 4096, 5000, 10_999, 11_000] {
        let w = watched(&h, Some(at));
        assert_eq!(h.compress_into(&text, 20_000).0, GPTZ_ERROR_CANCELLED, "{at}");
        assert!(message().contains("cancelled"));
        assert_eq!(h.decompress_into(&frame, 11_000).0, GPTZ_ERROR_CANCELLED, "{at}");
        let (mut bits, data) = (1.0, text.as_ptr().cast());
        // SAFETY: a handle, a buffer of its length, a place to write to.
        unsafe {
            assert_eq!(gptz_cross_entropy(h.0, data, text.len(), &mut bits), GPTZ_ERROR_CANCELLED);
            assert_eq!(gptz_feed(h.0, data, text.len()), GPTZ_ERROR_CANCELLED);
        }
        assert_eq!(bits, 0.0);
        h.set_progress(None, ptr::null_mut());
        drop(w);
        assert_eq!(h.predict(), live, "cancelled at {at}, feed changed the live state");
        assert_eq!(h.compress(&text), frame);
        assert!(h.decompress(&frame) == text);
    }
}

#[test]
fn a_handle_in_a_call_returns_busy() {
    let h = Handle::new(FROZEN);
    let mut w = watched(&h, None);
    w.handle = h.0;
    h.set_progress(Some(watch), (&raw mut *w).cast());
    let frame = h.compress(&ALICE[..600]);
    assert!(w.statuses.len() >= 9 && w.statuses.iter().all(|s| *s == GPTZ_ERROR_BUSY), "{:?}", w.statuses);
    h.set_progress(None, ptr::null_mut());
    assert_eq!(h.decompress(&frame), &ALICE[..600], "a busy handle was freed");
}

#[test]
fn models_and_handles_are_freed_in_any_order() {
    let model = Model::from_memory(WEIGHTS).unwrap();
    let (a, b) = (Handle::from_model(&model, None).unwrap(), Handle::from_model(&model, Some("weights=f32")).unwrap());
    let fingerprint = model.fingerprint();
    drop(model);
    let text = &ALICE[..500];
    let (from_a, from_b) = (a.compress(text), b.compress(text));
    assert!(a.decompress(&from_a) == text && b.decompress(&from_b) == text);
    assert_eq!(b.decompress_into(&from_a, 500).0, GPTZ_ERROR_MISMATCH, "int8 and f32 weights are two methods");
    assert_eq!(Handle::for_frame(&from_a).err(), Some(GPTZ_ERROR_MODEL));
    let hex: String = fingerprint[..8].iter().map(|b| format!("{b:02x}")).collect();
    assert!(message().contains(&hex), "{}", message());

    // A handle with the same weights from a path reads the same frames, because the path is not part of the method.
    let path = concat!("file:", env!("CARGO_MANIFEST_DIR"), "/tests/data/rwkv7-tiny.safetensors");
    let by_path = Handle::new(path);
    assert_eq!(by_path.method(), a.method());
    assert_eq!(by_path.compress(text), from_a);
    assert!(Handle::new(path.strip_prefix("file:").unwrap()).decompress(&from_a) == text);

    // A handle with other weights does not.
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.safetensors");
    let config = gptz_config();
    let mut init = ::gptz::model::rwkv7::Init::new(config, 1);
    ::gptz::weights::safetensors::save(&other, &config.tensors().collect::<Vec<_>>(), &mut init).unwrap();
    let h = Handle::new(&format!("file:{}", other.display()));
    assert_eq!(h.decompress_into(&from_a, 500).0, GPTZ_ERROR_MISMATCH);
    assert!(message().contains(&hex), "{}", message());
}

fn gptz_config() -> ::gptz::model::rwkv7::Config {
    ::gptz::model::rwkv7::Config { hidden: 32, layers: 1, intermediate: 32, head_size: 32, ..Default::default() }
}

#[test]
fn threads_use_a_handle_each_and_share_model_and_snapshot() {
    let model = Model::from_memory(WEIGHTS).unwrap();
    let first = Handle::from_model(&model, None).unwrap();
    first.feed(&ALICE[..300]);
    let snapshot = first.snapshot();
    first.set_base(Some(&snapshot));
    let expected = first.compress(&ALICE[300..4000]);
    let (model, snapshot) = (model.0.expose_provenance(), snapshot.0.expose_provenance());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let model = std::mem::ManuallyDrop::new(Model(ptr::with_exposed_provenance_mut(model)));
                let snapshot = std::mem::ManuallyDrop::new(Snapshot(ptr::with_exposed_provenance_mut(snapshot)));
                let h = Handle::from_model(&model, None).unwrap();
                assert_eq!(h.set_base(Some(&snapshot)), GPTZ_OK);
                assert_eq!(h.compress(&ALICE[300..4000]), expected);
                assert_eq!(h.decompress(&expected), &ALICE[300..4000]);
                // Each thread has its own message.
                assert_eq!(h.set(0, 0), GPTZ_ERROR_ARGUMENT);
                assert!(message().starts_with("parameter 0"));
            });
        }
    });
    // A handle may move to another thread.
    let moved = std::thread::spawn(move || first.compress(&ALICE[300..4000])).join().unwrap();
    assert_eq!(moved, expected);
}

#[test]
fn status_names_and_versions() {
    // SAFETY: static strings.
    unsafe {
        assert_eq!(CStr::from_ptr(gptz_version_string()).to_str(), Ok(env!("CARGO_PKG_VERSION")));
        assert_eq!(CStr::from_ptr(gptz_status_name(GPTZ_OK)), c"GPTZ_OK");
        assert_eq!(CStr::from_ptr(gptz_status_name(GPTZ_ERROR_INTERNAL)), c"GPTZ_ERROR_INTERNAL");
        for unknown in [-1, 17, i32::MAX] {
            assert_eq!(CStr::from_ptr(gptz_status_name(unknown)), c"unknown status");
        }
    }
    let numbers: Vec<u32> = env!("CARGO_PKG_VERSION").split('.').map(|n| n.parse().unwrap()).collect();
    assert_eq!(gptz_version_number(), numbers[0] * 10_000 + numbers[1] * 100 + numbers[2]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_callers_floating_point_environment_does_not_matter_and_is_restored() {
    use std::arch::asm;
    let mxcsr = |new: Option<u32>| {
        let mut old = 0u32;
        // SAFETY: reads and writes this thread's MXCSR; the value is a legal one.
        unsafe {
            asm!("stmxcsr [{}]", in(reg) &raw mut old);
            if let Some(new) = new {
                asm!("ldmxcsr [{}]", in(reg) &raw const new);
            }
        }
        old & !0x3f
    };
    let run = || {
        let h = Handle::new(LEARNING);
        h.feed(&ALICE[..100]);
        (h.compress(&ALICE[..3000]), h.predict(), h.cross_entropy(&ALICE[..500]))
    };
    let expected = run();
    // A callback that changes the environment (a plugin built with -ffast-math sets FTZ) does not change the result.
    unsafe extern "C" fn careless(_: *mut c_void, _: u64, _: u64) -> i32 {
        let odd = 0x1f80u32 | 0x6000 | 0x8000 | 0x40;
        // SAFETY: a legal value of MXCSR.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const odd) };
        0
    }
    let h = Handle::new(LEARNING);
    h.set_progress(Some(careless), ptr::null_mut());
    h.feed(&ALICE[..100]);
    let found = (h.compress(&ALICE[..3000]), h.predict(), h.cross_entropy(&ALICE[..500]));
    assert!(found == expected && mxcsr(None) == 0x1f80);
    // Rounding towards zero with FTZ and DAZ; rounding upwards.
    for odd in [0x1f80 | 0x6000 | 0x8000 | 0x40, 0x1f80 | 0x4000] {
        let before = mxcsr(Some(odd));
        let found = run();
        let after = mxcsr(Some(before));
        assert_eq!(after, odd);
        assert!(found == expected, "MXCSR {odd:#x} changes a result");
    }
}

#[test]
fn the_costs_of_bytes_add_up_to_the_payload() {
    for method in ["mix:", "level:1", LEARNING, &mixed_with(LEARNING)] {
        let h = Handle::new(method);
        let text = &ALICE[..8000];
        let mut costs = vec![f32::NAN; text.len() + 1];
        // SAFETY: data and floats of these lengths.
        let status = unsafe { gptz_byte_costs(h.0, text.as_ptr().cast(), text.len(), costs.as_mut_ptr()) };
        assert_eq!(status, GPTZ_OK);
        assert!(costs[text.len()].is_nan(), "it writes after the end of the buffer");
        let sum: f64 = costs[..text.len()].iter().map(|c| f64::from(*c)).sum();
        let (frame, nothing) = (h.compress(text), h.compress(&[]));
        let measured = h.cross_entropy(text) * text.len() as f64;
        assert!((sum - measured).abs() < sum * 1e-5, "{method}: {sum} {measured}");
        // The frame without its header. Each block has some twelve bytes in addition to its payload.
        let payload = (frame.len() - nothing.len()) as f64 * 8.0;
        assert!(sum < payload && payload < sum * 1.001 + 16.0 * 8.0, "{method}: {sum} bits, {payload} in the frame");
        // Every byte costs something. The first one is hard to predict.
        assert!(costs[1..text.len()].iter().all(|c| *c > 0.0) && costs[0] > 3.0);
    }
}

#[test]
fn a_handle_keeps_the_message_of_its_last_failure() {
    let (a, b) = (Handle::new(FROZEN), Handle::new(FROZEN));
    assert_eq!((handle_message(&a), handle_message(&b)), (String::new(), String::new()));
    // Every kind of call fails in its own way. Before the handle's message is read, another call replaces the thread's
    // one.
    let (mut n, mut m, mut out, mut bits, text) = (0, 0, ptr::null_mut(), 0.0, ALICE.as_ptr().cast::<c_void>());
    let null = ptr::null::<c_void>();
    type Call<'a> = (&'a str, &'a mut dyn FnMut(*mut gptz) -> gptz_status);
    // SAFETY: a handle, and arguments that are refused before they are used.
    let calls: [Call; 12] = unsafe {
        [
            ("parameter 88", &mut |h| gptz_set(h, 88, 0)),
            ("value is NULL", &mut |h| gptz_get(h, 1, ptr::null_mut())),
            ("the destination holds 3", &mut |h| gptz_compress(h, text, 1000, [0u8; 9].as_mut_ptr().cast(), 3, &mut n)),
            ("frame", &mut |h| gptz_decompress(h, text, 1000, ptr::null_mut(), 0, &mut m)),
            ("the data is NULL", &mut |h| gptz_feed(h, null, 5)),
            ("n = 255", &mut |h| gptz_predict(h, ptr::null_mut(), 255)),
            ("bits_per_byte is NULL", &mut |h| gptz_cross_entropy(h, text, 5, ptr::null_mut())),
            ("the data is NULL with a length of 6", &mut |h| gptz_cross_entropy(h, null, 6, &mut bits)),
            ("bits is NULL", &mut |h| gptz_byte_costs(h, text, 5, ptr::null_mut())),
            ("out is NULL", &mut |h| gptz_snapshot_take(h, ptr::null_mut())),
            ("the snapshot is NULL", &mut |h| gptz_snapshot_restore(h, ptr::null())),
            ("dst_len is NULL", &mut |h| {
                gptz_records_compress(h, ptr::null(), ptr::null(), 4, ptr::null_mut(), 0, ptr::null_mut())
            }),
        ]
    };
    for (expected, call) in calls {
        assert_ne!(call(a.0), GPTZ_OK);
        assert_eq!(handle_message(&a), message());
        assert_eq!(b.set(77, 0), GPTZ_ERROR_ARGUMENT);
        // SAFETY: a place to write to.
        assert_eq!(unsafe { gptz_create(c"nonsense".as_ptr(), &mut out) }, GPTZ_ERROR_METHOD);
        a.predict();
        assert!(handle_message(&a).contains(expected), "{expected}: {}", handle_message(&a));
        assert!(handle_message(&b).contains("parameter 77"));
        assert!(message().contains("nonsense"));
    }

    // A failure in another thread, which then ends.
    let a = std::thread::spawn(move || {
        assert_eq!(a.set(99, 0), GPTZ_ERROR_ARGUMENT);
        a
    });
    let a = a.join().unwrap();
    assert!(handle_message(&a).contains("parameter 99"));

    // A call that finds the handle busy does not change the handle's message. The message may be read during the call.
    struct Inside(*mut gptz, gptz_status, String);
    unsafe extern "C" fn intrude(userdata: *mut c_void, _: u64, _: u64) -> i32 {
        // SAFETY: the test passes an Inside that outlives the call, with a handle.
        unsafe {
            let inside = &mut *userdata.cast::<Inside>();
            inside.1 = gptz_reset(inside.0);
            inside.2 = CStr::from_ptr(gptz_handle_error(inside.0)).to_str().unwrap().to_owned();
        }
        0
    }
    let mut inside = Inside(a.0, GPTZ_OK, String::new());
    a.set_progress(Some(intrude), (&raw mut inside).cast());
    a.compress(b"text");
    assert!(inside.1 == GPTZ_ERROR_BUSY && inside.2.contains("parameter 99"), "{}", inside.2);
    assert!(message().contains("in a call already") && handle_message(&a).contains("parameter 99"));
    // SAFETY: an object of another type, as a caller could pass it by mistake.
    assert!(unsafe { CStr::from_ptr(gptz_handle_error(a.snapshot().0.cast())) }.is_empty());
}

#[test]
fn the_memory_limit_is_compared_with_the_estimate() {
    for method in [FROZEN, LEARNING, "level:1", "mix:mem=1M,neural=(gru:hidden=16)"] {
        let h = Handle::new(method);
        let mut bytes = 0;
        // SAFETY: a handle and a place to write to.
        assert_eq!(unsafe { gptz_memory_estimate(h.0, &mut bytes) }, GPTZ_OK);
        h.set(GPTZ_PARAM_MEMORY_LIMIT, bytes as i64 - 1);
        assert_eq!(h.compress_into(b"abc", 4096).0, GPTZ_ERROR_MEMORY, "{method}");
        assert!(handle_message(&h).contains(&bytes.to_string()), "{}", message());
        h.set(GPTZ_PARAM_MEMORY_LIMIT, bytes as i64);
        assert_eq!(h.compress_into(b"abc", 4096).0, GPTZ_OK, "{method}");
        h.feed(b"abc");
    }
}

#[test]
fn levels_are_listed_with_their_methods() {
    let method = |level| {
        let text = gptz_level_method(level);
        // SAFETY: NULL or a static string.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_str().unwrap())
    };
    let last = (1..).take_while(|level| method(*level).is_some()).last().unwrap();
    assert_eq!(last, if cfg!(feature = "builtin-model") { 9 } else { 3 });
    for level in 1..=last {
        assert_eq!(method(level).unwrap(), Handle::new(&format!("level:{level}")).method());
    }
    for level in [0, -1, i32::MIN, i32::MAX, last + 1] {
        assert_eq!(method(level), None, "{level}");
        assert!(Handle::create(&format!("level:{level}")).is_err());
    }
    let carried = (1..=last).any(|level| method(level).unwrap().contains("builtin:"));
    let model = gptz_model_builtin();
    assert_eq!(carried, !model.is_null());
    // SAFETY: a model or NULL.
    unsafe { gptz_model_free(model) };
}

#[test]
fn a_message_keeps_its_reason_after_a_long_path() {
    let path = std::ffi::CString::new(format!("/nonexistent/{}", "folder/".repeat(500))).unwrap();
    let mut model = ptr::null_mut();
    // SAFETY: a string and a place to write to.
    assert_eq!(unsafe { gptz_model_open(path.as_ptr(), &mut model) }, GPTZ_ERROR_IO);
    assert!(message().starts_with("opening /nonexistent") && message().contains("(os error "), "{}", message());
}

/// The x87 unit, which C's `long double` uses; `fesetround` sets it together with SSE.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_callers_x87_environment_is_restored_and_callbacks_have_the_default() {
    use std::arch::asm;
    use std::sync::atomic::{AtomicU32, Ordering};
    static SEEN: AtomicU32 = AtomicU32::new(0);
    const DEFAULT: u16 = 0x037f;
    fn control() -> u16 {
        let mut word = 0u16;
        // SAFETY: stores two bytes.
        unsafe { asm!("fnstcw [{}]", in(reg) &raw mut word) };
        word
    }
    fn set_control(word: u16) {
        // SAFETY: a legal control word.
        unsafe { asm!("fldcw [{}]", in(reg) &raw const word) };
    }
    fn flags() -> u16 {
        let mut word = 0u16;
        // SAFETY: stores two bytes.
        unsafe { asm!("fnstsw [{}]", in(reg) &raw mut word) };
        word & 0x3f
    }
    fn divide_by_zero() {
        // SAFETY: balances the register stack; the exception is masked.
        unsafe { asm!("fld1", "fldz", "fdivp st(1), st", "fstp st(0)") };
    }
    unsafe extern "C" fn careless(_: *mut c_void, _: u64, _: u64) -> i32 {
        SEEN.fetch_max(1 + u32::from(control() != DEFAULT), Ordering::Relaxed);
        // Raises a flag and then unmasks its exception, so that the next waiting x87 instruction would trap.
        divide_by_zero();
        set_control(0x0b7b);
        0
    }
    let h = Handle::new(FROZEN);
    h.set_progress(Some(careless), ptr::null_mut());
    // Rounding upwards; rounding towards zero with 24 bits.
    for odd in [0x0b7f, 0x0c7f] {
        set_control(odd);
        SEEN.store(0, Ordering::Relaxed);
        h.compress(&ALICE[..1000]);
        let (after, raised) = (control(), flags());
        set_control(DEFAULT);
        assert_eq!((after, raised, SEEN.load(Ordering::Relaxed)), (odd, 0, 1), "{odd:#x}");
    }
}

#[test]
fn measures_and_live_streams_of_a_policy() {
    const POLICY: &str = "cfg:hidden=32,layers=1,intermediate=24,head_size=32,decay_rank=3,a_rank=3,v_rank=3,g_rank=5;\
                          policy:schedule=0..50%:train(opt=adam,lr=0.01)|50%..100%:train(lr=0.1,momentum=0.9)";
    let h = Handle::new(POLICY);
    let (a, b) = ALICE[..1000].split_at(400);
    let bits = |f: &dyn Fn(*mut f64) -> gptz_status| {
        let mut bits = -1.0;
        assert_eq!(f(&mut bits), GPTZ_OK);
        bits
    };
    // SAFETY: a live handle, and buffers of their lengths.
    unsafe {
        assert_eq!(gptz_feed(h.0, a.as_ptr().cast(), 400), GPTZ_ERROR_STATE);
        assert_eq!(gptz_live_begin(h.0, u64::MAX), GPTZ_ERROR_STATE);
        assert_eq!(gptz_live_begin(h.0, 1000), GPTZ_OK);
        let live = |data: &[u8]| {
            bits(&|out| gptz_cross_entropy_live(h.0, data.as_ptr().cast(), data.len(), out)) * data.len() as f64
        };
        let whole = h.cross_entropy(&ALICE[..1000]) * 1000.0;
        let (first, second) = (live(a), live(b));
        assert!((first + second - whole).abs() < 1e-6);
        assert_eq!(gptz_live_end(h.0), GPTZ_OK);
        let (parts, lens) = ([a.as_ptr().cast(), a[300..].as_ptr().cast()], [300, 100]);
        let conditional = bits(&|out| {
            gptz_cross_entropy_conditional(h.0, parts.as_ptr(), lens.as_ptr(), 2, b.as_ptr().cast(), 600, out)
        });
        assert!((conditional * 600.0 - second).abs() < 1e-6);
        let [x, y] = [a, b].map(|v| v.as_ptr().cast());
        let joint = bits(&|out| gptz_cross_entropy_joint(h.0, x, 400, y, 600, out));
        assert_eq!(joint, bits(&|out| gptz_cross_entropy_joint(h.0, y, 400, x, 400, out)));
        assert!(joint > 1.0);
    }
}
