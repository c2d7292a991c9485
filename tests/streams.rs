//! Streams through the C ABI: buffers of every size, flushes, several frames, misuse, damage.

mod common;

use std::ffi::c_void;
use std::ptr;

use ::gptz::container::{Frame, Header, HeaderV3, Layout, MethodRef, Skippable, frames};
use common::*;

const LEVEL_1: &str = "level:1";

/// Compresses a stream. Each call is given at most `step` bytes and has room for `room`. Flushes after the positions of
/// `flushes`.
fn compress(h: &Handle, content: &[u8], (step, room): (usize, usize), flushes: &[usize]) -> Vec<u8> {
    let (mut at, mut frame) = (0, Vec::new());
    let mut calls = 0;
    let mut call = |src: &[u8], op| {
        let (status, taken, given, remaining) = h.stream_compress(src, room, op);
        assert_eq!(status, GPTZ_OK, "{}", message());
        frame.extend(given);
        calls += 1;
        assert!(calls < 10_000_000, "no progress");
        (taken, remaining)
    };
    for end in flushes.iter().copied().chain([content.len()]) {
        while at < end {
            at += call(&content[at..end.min(at + step)], GPTZ_CONTINUE).0;
        }
        let op = if end == content.len() { GPTZ_END } else { GPTZ_FLUSH };
        while call(&[], op).1 > 0 {}
    }
    frame
}

/// Decompresses a stream of any number of frames.
fn decompress(h: &Handle, src: &[u8], (step, room): (usize, usize)) -> Result<Vec<u8>, gptz_status> {
    let (mut at, mut content, mut last) = (0, Vec::new(), 1);
    let mut idle = 0;
    loop {
        let (status, taken, given, hint) = h.stream_decompress(&src[at..src.len().min(at + step)], room);
        content.extend(&given);
        if status != GPTZ_OK {
            return Err(status);
        }
        at += taken;
        idle = if taken == 0 && given.is_empty() { idle + 1 } else { 0 };
        last = if taken == 0 && given.is_empty() && at == src.len() { last } else { hint };
        if at == src.len() && given.len() < room {
            return if last == 0 { Ok(content) } else { Err(GPTZ_ERROR_TRUNCATED) };
        }
        assert!(idle < 3, "no progress");
    }
}

#[test]
fn a_stream_is_the_frame_of_a_call_whatever_the_buffers() {
    for method in [LEVEL_1, LEARNING] {
        let (h, reader) = (Handle::new(method), Handle::new(method));
        for (block_log, segment_log) in [(12, 0), (12, 16), (17, 0)] {
            h.set(GPTZ_PARAM_BLOCK_LOG, block_log);
            h.set(GPTZ_PARAM_SEGMENT_LOG, segment_log);
            for len in [0, 1, 4095, 4096, 4097, 8192, 9000, 70_000] {
                if method == LEARNING && (len > 4097 || block_log == 17) {
                    continue;
                }
                let content = [&ALICE[..len / 2], &noise(len - len / 2, 5)].concat();
                let whole = h.compress(&content);
                for sizes in [(1, 1), (1, 1 << 20), (1 << 20, 1), (4096, 4096), (999, 77), (1 << 20, 1 << 20)] {
                    if len > 9000 && sizes != (999, 77) && sizes != (1 << 20, 1 << 20) {
                        continue;
                    }
                    // A second empty frame needs a reset.
                    h.stream_reset();
                    h.set(GPTZ_PARAM_CONTENT_LENGTH, len as i64);
                    let frame = compress(&h, &content, sizes, &[]);
                    assert!(frame == whole, "{method}, {len} bytes as {sizes:?}");
                    assert_eq!(h.get(GPTZ_PARAM_CONTENT_LENGTH), -1);
                    assert!(decompress(&reader, &frame, sizes).unwrap() == content, "{}", message());
                    h.stream_reset();
                    let unknown = compress(&h, &content, sizes, &[]);
                    let fits = len <= 1 << block_log;
                    assert_eq!(unknown == whole, fits, "{len} bytes as {sizes:?}");
                    assert!(reader.decompress(&unknown) == content);
                    assert!(decompress(&reader, &unknown, sizes).unwrap() == content, "{}", message());
                }
            }
        }
    }
}

#[test]
fn what_was_flushed_can_be_decoded() {
    for (method, coder) in [(LEVEL_1, GPTZ_CODER_AC), (FROZEN, GPTZ_CODER_RANS)] {
        let (h, reader) = (Handle::new(method), Handle::new(method));
        h.set(GPTZ_PARAM_CODER, coder.into());
        h.set(GPTZ_PARAM_BLOCK_LOG, 12);
        let content = &ALICE[..10_000];
        let (mut at, mut got) = (0, Vec::new());
        for end in [1, 2, 500, 4096, 4097, 8192, 8193, 9999] {
            let (status, taken, given, remaining) = h.stream_compress(&content[at..end], 1 << 20, GPTZ_FLUSH);
            assert_eq!((status, taken, remaining), (GPTZ_OK, end - at, 0));
            at = end;
            // Nothing more to flush.
            assert_eq!(h.stream_compress(&[], 100, GPTZ_FLUSH), (GPTZ_OK, 0, vec![], 0));
            let (status, taken, out, hint) = reader.stream_decompress(&given, 1 << 20);
            assert_eq!((status, taken), (GPTZ_OK, given.len()));
            assert!(hint > 0);
            got.extend(out);
            assert!(got == content[..end], "after {end}");
        }
        let (_, _, given, _) = h.stream_compress(&content[at..], 1 << 20, GPTZ_END);
        let (status, _, out, hint) = reader.stream_decompress(&given, 1 << 20);
        assert_eq!((status, hint), (GPTZ_OK, 0));
        got.extend(out);
        assert!(got == content);
    }
}

#[test]
fn a_flush_without_room_goes_on() {
    let h = Handle::new(LEVEL_1);
    let mut frame = Vec::new();
    let (status, taken, given, mut remaining) = h.stream_compress(&ALICE[..300], 0, GPTZ_FLUSH);
    assert_eq!((status, taken, given.len()), (GPTZ_OK, 300, 0));
    while remaining > 0 {
        let (status, _, given, left) = h.stream_compress(&[], 1, GPTZ_FLUSH);
        assert_eq!((status, given.len(), left), (GPTZ_OK, 1, remaining - 1));
        frame.extend(given);
        remaining = left;
    }
    let (status, _, given, remaining) = h.stream_compress(&[], 1000, GPTZ_END);
    assert_eq!((status, remaining), (GPTZ_OK, 0));
    frame.extend(given);
    assert!(h.decompress(&frame) == ALICE[..300]);
}

#[test]
fn a_stated_length_is_a_promise() {
    let h = Handle::new(LEVEL_1);
    for (stated, given) in [(10, 11), (10, 9), (0, 1), (200_000, 100), (5, 0)] {
        assert_eq!(h.set(GPTZ_PARAM_CONTENT_LENGTH, stated), GPTZ_OK);
        let (status, ..) = h.stream_compress(&ALICE[..given], 1 << 20, GPTZ_END);
        assert_eq!(status, GPTZ_ERROR_ARGUMENT, "{stated} stated, {given} given");
        assert!(message().contains(&stated.to_string()), "{}", message());
        assert_eq!(h.stream_compress(&[], 100, GPTZ_END).0, GPTZ_ERROR_STATE);
        assert_eq!(h.get(GPTZ_PARAM_CONTENT_LENGTH), stated);
        assert_eq!(h.stream_reset(), GPTZ_OK);
        assert_eq!(h.get(GPTZ_PARAM_CONTENT_LENGTH), -1);
        assert_eq!(h.decompress(&compress(&h, b"again", (100, 100), &[])), b"again");
    }
    // A stated length and flushes.
    h.set(GPTZ_PARAM_CONTENT_LENGTH, 5000);
    let frame = compress(&h, &ALICE[..5000], (700, 100), &[10, 3000]);
    assert_eq!(decompressed_size(&frame), Ok(5000));
    let (Header::V3(header), _) = Frame::first_header(&frame).unwrap() else { panic!() };
    assert_eq!((header.length, header.layout), (Some(5000), Layout::Blocks));
    assert!(h.decompress(&frame) == ALICE[..5000]);
    assert_eq!(h.set(GPTZ_PARAM_CONTENT_LENGTH, -2), GPTZ_ERROR_ARGUMENT);
}

#[test]
fn several_frames_follow_each_other() {
    let h = Handle::new(LEVEL_1);
    let mut all = Vec::new();
    let contents = [&ALICE[..100], b"x", &ALICE[500..9000]];
    for content in contents {
        all.extend(compress(&h, content, (50, 50), &[]));
    }
    Skippable { kind: 0, data: &noise(5000, 8) }.write(&mut all);
    Skippable { kind: 77, data: b"" }.write(&mut all);
    // A frame of another method, and one with an index.
    all.extend(Handle::new("level:2").compress(&ALICE[..3000]));
    h.set(GPTZ_PARAM_BLOCK_LOG, 12);
    h.set(GPTZ_PARAM_SEGMENT_LOG, 16);
    all.extend(h.compress(&ALICE[..70_000]));
    let expected = [contents.concat(), ALICE[..3000].to_vec(), ALICE[..70_000].to_vec()].concat();
    assert!(h.decompress(&all) == expected);
    for sizes in [(1, 1 << 20), (1 << 20, 1), (100, 3000)] {
        assert!(decompress(&h, &all, sizes).unwrap() == expected, "{}", message());
    }
    // Every call stops at the end of a frame.
    let (mut at, mut ends) = (0, 0);
    while at < all.len() {
        let (status, taken, _, hint) = h.stream_decompress(&all[at..], 1 << 20);
        assert_eq!((status, hint), (GPTZ_OK, 0));
        at += taken;
        ends += 1;
    }
    assert_eq!(ends, 8);
}

#[test]
fn an_end_is_told_once() {
    let h = Handle::new(LEVEL_1);
    let empty = compress(&h, b"", (1, 1), &[]);
    assert_eq!(empty, h.compress(b""));
    compress(&h, b"text", (1, 1), &[]);
    assert_eq!(h.stream_compress(&[], 100, GPTZ_END).0, GPTZ_ERROR_STATE);
    assert_eq!(h.stream_compress(&[], 100, GPTZ_FLUSH), (GPTZ_OK, 0, vec![], 0));
    assert_eq!(h.stream_reset(), GPTZ_OK);
    assert_eq!(h.stream_compress(&[], 100, GPTZ_END).2, empty);
    // Input between the end and the last bytes of the frame.
    assert!(h.stream_compress(b"text", 2, GPTZ_END).3 > 0);
    assert_eq!(h.stream_compress(b"more", 2, GPTZ_CONTINUE).0, GPTZ_ERROR_STATE);
    let (status, _, given, remaining) = h.stream_compress(&[], 100, GPTZ_CONTINUE);
    assert_eq!((status, given.is_empty(), remaining), (GPTZ_OK, false, 0));
    assert_eq!(h.stream_compress(&[], 100, 3).0, GPTZ_ERROR_ARGUMENT);
    assert_eq!(h.stream_compress(&[], 100, -1).0, GPTZ_ERROR_ARGUMENT);
}

extern "C" fn cancels(userdata: *mut c_void, done: u64, total: u64) -> i32 {
    // SAFETY: the test set this callback with a pointer to such a pair.
    let (at, totals) = unsafe { &mut *userdata.cast::<(u64, Vec<u64>)>() };
    totals.push(total);
    i32::from(done >= *at)
}

#[test]
fn a_held_handle_answers_state_until_reset() {
    let h = Handle::new(LEVEL_1);
    let frame = h.compress(&ALICE[..5000]);
    let mut n = 0usize;
    let start = |decompressing: bool| {
        if decompressing {
            assert_eq!(h.stream_decompress(&frame[..50], 1000).0, GPTZ_OK);
        } else {
            assert_eq!(h.stream_compress(&ALICE[..50], 1000, GPTZ_CONTINUE).0, GPTZ_OK);
        }
    };
    for decompressing in [false, true] {
        start(decompressing);
        assert_eq!(h.compress_into(b"text", 100).0, GPTZ_ERROR_STATE);
        assert!(message().contains("stream"), "{}", message());
        assert_eq!(h.decompress_into(&frame, 9000).0, GPTZ_ERROR_STATE);
        assert_eq!(h.set(GPTZ_PARAM_CHECKSUM, 0), GPTZ_ERROR_STATE);
        assert_eq!(h.set_base(None), GPTZ_ERROR_STATE);
        // SAFETY: a handle and buffers of their lengths.
        unsafe {
            assert_eq!(gptz_feed(h.0, b"x".as_ptr().cast(), 1), GPTZ_ERROR_STATE);
            assert_eq!(gptz_compressed_size(h.0, b"x".as_ptr().cast(), 1, &mut n), GPTZ_ERROR_STATE);
        }
        assert_eq!(h.get(GPTZ_PARAM_CHECKSUM), 1);
        assert_eq!(h.method(), Handle::new(LEVEL_1).method());
        let other =
            if decompressing { h.stream_compress(b"x", 10, GPTZ_END).0 } else { h.stream_decompress(&frame, 9).0 };
        assert_eq!(other, GPTZ_ERROR_STATE);
        assert_eq!(h.stream_reset(), GPTZ_OK);
        assert!(h.compress(&ALICE[..5000]) == frame);
    }
    start(true);
    // Freed in the middle.
    drop(h);
    let h = Handle::new(LEVEL_1);
    h.stream_compress(&ALICE[..50], 1000, GPTZ_CONTINUE);
}

#[test]
fn a_cancelled_stream_is_over() {
    let h = Handle::new(LEVEL_1);
    h.set(GPTZ_PARAM_BLOCK_LOG, 12);
    let content = &ALICE[..9000];
    let frame = h.compress(content);
    for total in [u64::MAX, 9000] {
        let mut state: (u64, Vec<u64>) = (5000, Vec::new());
        let known = if total == u64::MAX { -1 } else { 9000 };
        h.set(GPTZ_PARAM_CONTENT_LENGTH, known);
        h.set_progress(Some(cancels), ptr::from_mut(&mut state).cast());
        assert_eq!(h.stream_compress(content, 1 << 20, GPTZ_END).0, GPTZ_ERROR_CANCELLED);
        assert!(state.1.iter().all(|t| *t == total), "{:?}", state.1);
        assert_eq!(h.stream_compress(&[], 100, GPTZ_END).0, GPTZ_ERROR_STATE);
        assert_eq!(h.stream_reset(), GPTZ_OK);
        let (status, _, given, _) = h.stream_decompress(&frame, 1 << 20);
        assert_eq!(status, GPTZ_ERROR_CANCELLED);
        assert_eq!(given, content[..4096]);
        assert_eq!(h.stream_decompress(&[], 100).0, GPTZ_ERROR_STATE);
        assert_eq!(h.stream_reset(), GPTZ_OK);
        h.set_progress(None, ptr::null_mut());
        assert!(decompress(&h, &frame, (100, 100)).unwrap() == content);
    }
}

#[test]
fn bad_arguments_change_nothing() {
    let h = Handle::new(LEVEL_1);
    let (mut buffer, mut n) = ([7u8; 64], 7usize);
    let b = buffer.as_mut_ptr();
    assert_eq!(h.stream_compress(b"begun", 0, GPTZ_CONTINUE).0, GPTZ_OK);
    let input = |src: *mut u8, size, pos| gptz_in { src: src.cast(), size, pos };
    let room = |dst: *mut u8, size, pos| gptz_out { dst: dst.cast(), size, pos };
    let (null, none) = (ptr::null_mut::<u8>(), ptr::null_mut::<gptz>());
    // SAFETY: every pointer that is not NULL meets the requirements of the calls.
    unsafe {
        let compress = |h, mut to: gptz_out, mut from: gptz_in, op| {
            let mut n = 7;
            let status = gptz_stream_compress(h, &mut to, &mut from, op, &mut n);
            assert!(status == GPTZ_OK || n == 0);
            status
        };
        for (name, status) in [
            ("handle", compress(none, room(b, 8, 0), input(b.add(8), 8, 0), 0)),
            ("src", compress(h.0, room(b, 8, 0), input(null, 8, 0), 0)),
            ("dst", compress(h.0, room(null, 8, 0), input(b, 8, 0), 0)),
            ("pos of in", compress(h.0, room(b, 8, 0), input(b.add(8), 8, 9), 0)),
            ("pos of out", compress(h.0, room(b, 8, 9), input(b.add(8), 8, 0), 0)),
            ("overlap", compress(h.0, room(b, 8, 0), input(b.add(7), 8, 0), 0)),
            ("operation", compress(h.0, room(b, 8, 0), input(b.add(8), 8, 0), 3)),
            ("size", compress(h.0, room(b, 8, 0), input(b.add(8), usize::MAX / 2 + 1, 0), 0)),
            ("out", gptz_stream_compress(h.0, ptr::null_mut(), &mut input(b, 8, 0), 0, &mut n)),
            ("in", gptz_stream_compress(h.0, &mut room(b, 8, 0), ptr::null_mut(), 0, &mut n)),
            ("remaining", gptz_stream_compress(h.0, &mut room(b, 8, 0), &mut input(b, 0, 0), 0, ptr::null_mut())),
            ("out", gptz_stream_decompress(h.0, ptr::null_mut(), &mut input(b, 8, 0), &mut n)),
            ("in", gptz_stream_decompress(h.0, &mut room(b, 8, 0), ptr::null_mut(), &mut n)),
            ("hint", gptz_stream_decompress(h.0, &mut room(b, 8, 0), &mut input(b, 0, 0), ptr::null_mut())),
            ("reset", gptz_stream_reset(none)),
        ] {
            assert_eq!(status, GPTZ_ERROR_ARGUMENT, "{name}: {}", message());
        }
        // Buffers without bytes may be NULL.
        assert_eq!(compress(h.0, room(null, 0, 0), input(null, 0, 0), 0), GPTZ_OK);
    }
    let (status, _, frame, remaining) = h.stream_compress(&[], 100, GPTZ_END);
    assert_eq!((status, remaining), (GPTZ_OK, 0));
    assert_eq!(h.decompress(&frame), b"begun");
}

#[test]
fn what_cannot_be_streamed_is_told_before_any_output() {
    let h = Handle::new(LEVEL_1);
    h.set(GPTZ_PARAM_FORMAT, 2);
    let (status, _, given, _) = h.stream_compress(b"text", 100, GPTZ_END);
    assert_eq!((status, given.len()), (GPTZ_ERROR_STATE, 0));
    let old = h.compress(b"text");
    assert_eq!(h.stream_decompress(&old, 100).0, GPTZ_ERROR_STATE);
    assert!(message().contains("version 2"), "{}", message());

    let percent = Handle::new(&format!("{FROZEN};policy:schedule=50%..100%:train(lr=0.01)"));
    let (status, _, given, _) = percent.stream_compress(&ALICE[..3000], 1 << 20, GPTZ_END);
    assert_eq!((status, given.len()), (GPTZ_ERROR_STATE, 0));
    assert!(message().contains("percent"), "{}", message());
    percent.set(GPTZ_PARAM_CONTENT_LENGTH, 3000);
    let frame = compress(&percent, &ALICE[..3000], (1000, 100), &[]);
    assert!(frame == percent.compress(&ALICE[..3000]));
    assert!(decompress(&percent, &frame, (7, 100)).unwrap() == ALICE[..3000]);
    // A policy of bytes needs no length.
    let bytes = Handle::new(&format!("{FROZEN};policy:schedule=100..2000:train(lr=0.01)"));
    bytes.set(GPTZ_PARAM_BLOCK_LOG, 12);
    let frame = compress(&bytes, &ALICE[..5000], (1000, 100), &[]);
    assert!(bytes.decompress(&frame) == ALICE[..5000]);
    assert!(decompress(&bytes, &frame, (7, 100)).unwrap() == ALICE[..5000]);
}

#[test]
fn another_method_or_base_is_told_before_the_first_byte() {
    let (h, frozen) = (Handle::new(LEVEL_1), Handle::new(FROZEN));
    let frame = frozen.compress(&ALICE[..500]);
    let (status, _, given, _) = h.stream_decompress(&frame, 1000);
    assert_eq!((status, given.len()), (GPTZ_ERROR_MISMATCH, 0));
    assert_eq!(h.stream_reset(), GPTZ_OK);
    let based = Handle::new(LEVEL_1);
    based.feed(&ALICE[..3000]);
    assert_eq!(based.set_base(Some(&based.snapshot())), GPTZ_OK);
    let frame = compress(&based, &ALICE[1000..3000], (100, 100), &[]);
    assert!(frame == based.compress(&ALICE[1000..3000]));
    assert_eq!(decompress(&h, &frame, (100, 100)), Err(GPTZ_ERROR_MISMATCH));
    assert!(decompress(&based, &frame, (100, 100)).unwrap() == ALICE[1000..3000]);
    // A frame of the initial state, and its own, on a handle with a base.
    let plain = Handle::new(LEVEL_1).compress(&ALICE[..700]);
    assert!(
        decompress(&based, &[plain, frame].concat(), (100, 100)).unwrap()
            == [&ALICE[..700], &ALICE[1000..3000]].concat()
    );
    // The memory of two blocks counts.
    h.stream_reset();
    h.set(GPTZ_PARAM_BLOCK_LOG, 24);
    let large = h.compress(&ALICE[..1000]);
    let mut estimate = 0;
    // SAFETY: a handle and a place to write to.
    assert_eq!(unsafe { gptz_memory_estimate(frozen.0, &mut estimate) }, GPTZ_OK);
    let reader = Handle::new(LEVEL_1);
    assert_eq!(decompress(&reader, &large, (100, 100)).unwrap().len(), 1000);
    reader.set(GPTZ_PARAM_MEMORY_LIMIT, 40 << 20);
    assert_eq!(decompress(&reader, &large, (100, 100)), Err(GPTZ_ERROR_MEMORY));
}

#[test]
fn damage_never_becomes_content() {
    let h = Handle::new(LEVEL_1);
    h.set(GPTZ_PARAM_BLOCK_LOG, 12);
    let content = [&ALICE[..4096], &noise(4096, 6), &ALICE[5000..6000]].concat();
    let frames = [h.compress(&ALICE[..300]), compress(&h, &content, (9000, 9000), &[])];
    for (frame, content) in frames.iter().zip([&ALICE[..300], &content]) {
        for cut in 0..frame.len() {
            if cut % 7 == 0 || cut < 40 || cut + 40 > frame.len() {
                assert_eq!(decompress(&h, &frame[..cut], (3000, 5000)), Err(GPTZ_ERROR_TRUNCATED), "cut at {cut}");
                h.stream_reset();
            }
        }
        for at in (0..frame.len()).filter(|at| at % 5 == 0 || *at < 60 || at + 20 > frame.len()) {
            let mut bad = frame.clone();
            bad[at] ^= 1 << (at % 8);
            let mut got = Vec::new();
            let mut from = &bad[..];
            let status = loop {
                let (status, taken, given, hint) = h.stream_decompress(&from[..from.len().min(900)], 500);
                got.extend(&given);
                from = &from[taken..];
                if status != GPTZ_OK || from.is_empty() && given.len() < 500 {
                    break if status == GPTZ_OK && hint > 0 { GPTZ_ERROR_TRUNCATED } else { status };
                }
            };
            assert_ne!(status, GPTZ_OK, "byte {at} of {}", frame.len());
            assert!(content.starts_with(&got), "byte {at}: {} bytes given", got.len());
            h.stream_reset();
        }
        assert!(decompress(&h, frame, (5000, 5000)).unwrap() == *content);
    }
    assert_eq!(decompress(&h, b"no frame at all", (100, 100)), Err(GPTZ_ERROR_FORMAT));
}

#[test]
fn a_frame_that_lies_about_its_length_gives_no_more_than_its_blocks() {
    let h = Handle::new(LEVEL_1);
    h.set(GPTZ_PARAM_BLOCK_LOG, 12);
    let frame = h.compress(&ALICE[..9000]);
    for length in [0, 1, 4096, 8999, 9001, u64::MAX] {
        let bad = with_header(&frame, |header: &mut HeaderV3| header.length = Some(length));
        let status = decompress(&h, &bad, (5000, 5000)).unwrap_err();
        assert_eq!(status, GPTZ_ERROR_CORRUPT, "{length}: {}", message());
        h.stream_reset();
    }
    let unknown = with_header(&frame, |header| header.length = None);
    assert!(frames(&unknown).next().unwrap().is_err());
    // The trailer's CRC-32 is read as a length.
    let status = decompress(&h, &unknown, (100, 100)).unwrap_err();
    assert!([GPTZ_ERROR_CORRUPT, GPTZ_ERROR_TRUNCATED].contains(&status), "{}", message());
    h.stream_reset();
    let foreign = with_header(&frame, |header| header.method = MethodRef::Registered(200));
    assert_eq!(decompress(&h, &foreign, (100, 100)), Err(GPTZ_ERROR_FORMAT));
    // A skippable frame of exabytes takes no memory.
    h.stream_reset();
    let mut skip = b"GPTZ\0\0".to_vec();
    skip.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    skip.extend([0; 4]);
    let (status, taken, _, hint) = h.stream_decompress(&[&skip[..], &[9; 1000]].concat(), 100);
    assert_eq!((status, taken), (GPTZ_OK, skip.len() + 1000));
    assert_eq!(hint as u64, (1 << 63) - 1 - 1000);
}
