//! Frames through the C ABI: every content decodes to itself, every damage is reported.

mod common;

use std::ptr;

use ::gptz::container::{Body, Frame, Header, HeaderV3, INDEX_FOOTER_LEN, Index, MethodRef, Piece, Skippable, frames};
use common::*;

/// Text and noise, with lengths at the limits of blocks and counters.
fn contents() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> =
        [0, 1, 2, 15, 255, 256, 257, 4095, 4096, 4097, 9000].map(|n| ALICE[..n].to_vec()).into();
    all.extend([noise(1, 1), noise(300, 2), noise(5000, 3), vec![0; 6000], vec![255; 1]]);
    // Noise between texts gives stored blocks between coded ones.
    all.push([&ALICE[..5000], &noise(9000, 4), &ALICE[5000..9000]].concat());
    all
}

#[test]
fn every_content_round_trips_under_every_option() {
    for method in [LEARNING, FROZEN] {
        let (writer, reader) = (Handle::new(method), Handle::new(method));
        for coder in [GPTZ_CODER_AC, GPTZ_CODER_RANS] {
            for (format, checksum) in [(3, 1), (3, 0), (2, 1)] {
                for block_log in [12, 17] {
                    assert_eq!(writer.set(GPTZ_PARAM_CODER, coder.into()), GPTZ_OK);
                    assert_eq!(writer.set(GPTZ_PARAM_FORMAT, format), GPTZ_OK);
                    assert_eq!(writer.set(GPTZ_PARAM_CHECKSUM, checksum), GPTZ_OK);
                    assert_eq!(writer.set(GPTZ_PARAM_BLOCK_LOG, block_log), GPTZ_OK);
                    for content in contents() {
                        let frame = writer.compress(&content);
                        assert_eq!(writer.compress(&content), frame, "a call changed the handle");
                        assert_eq!(reader.decompress(&frame), content);
                    }
                }
            }
        }
    }
}

#[test]
fn more_than_one_block_of_rans_round_trips() {
    let h = Handle::new(FROZEN);
    h.set(GPTZ_PARAM_CODER, GPTZ_CODER_RANS.into());
    let content = [ALICE, &noise(20_000, 9), ALICE].concat();
    for (format, block_log) in [(2, 17), (3, 18), (3, 24)] {
        h.set(GPTZ_PARAM_FORMAT, format);
        h.set(GPTZ_PARAM_BLOCK_LOG, block_log);
        let frame = h.compress(&content);
        assert!(h.decompress(&frame) == content);
    }
}

#[test]
fn content_of_almost_no_cost_round_trips() {
    // Byte 0 has the lowest interval of the range coder, so a long run of it is coded as zeros.
    let h = Handle::new(&LEARNING.replace("layers=2", "layers=1"));
    let image = [&b"P5\n500 400\n255\n"[..], &vec![0; 200_000]].concat();
    for (content, format, coder, block_log) in [
        (&image, 3, 0, 24),
        (&image, 2, 0, 17),
        (&vec![0; 200_000], 3, 0, 24),
        (&vec![0; 20_000], 3, 0, 12),
        (&vec![255; 200_000], 2, 1, 17),
        (&ALICE[..1].repeat(20_000), 3, 1, 12),
    ] {
        h.set(GPTZ_PARAM_FORMAT, format);
        h.set(GPTZ_PARAM_CODER, coder);
        h.set(GPTZ_PARAM_BLOCK_LOG, block_log);
        let frame = h.compress(content);
        assert!(frame.len() < 2000, "{} bytes", frame.len());
        assert!(h.decompress(&frame) == *content, "version {format}, coder {coder}");
    }
}

#[test]
fn the_default_method_compresses_as_the_readme_states() {
    let h = Handle::default();
    let frame = h.compress(ALICE);
    let bits = frame.len() as f64 * 8.0 / ALICE.len() as f64;
    // In a build without models, the default method is a mix of contexts.
    let most = if cfg!(feature = "builtin-model") { 1.65 } else { 1.88 };
    assert!(bits <= most, "{bits} bits a byte");
    let reader = Handle::for_frame(&frame).unwrap();
    assert_eq!(reader.method(), h.method());
    assert!(reader.decompress(&frame) == ALICE);
    // The measured cost equals the frame's size, apart from headers and rounding.
    let measured = h.cross_entropy(ALICE);
    assert!((measured - bits).abs() < 0.005, "measured {measured}, spent {bits}");
}

#[test]
fn noise_grows_by_no_more_than_the_stated_overhead() {
    let h = Handle::new(LEARNING);
    let content = noise(100_000, 5);
    let frame = h.compress(&content);
    assert!(frame.len() <= content.len() + 200, "{} bytes", frame.len());
    assert!(h.decompress(&frame) == content);
    assert!(gptz_compress_bound(content.len()) >= frame.len());
}

#[test]
fn concatenated_frames_are_decoded_and_skippable_ones_skipped() {
    let h = Handle::new(LEARNING);
    let mut skippable = Vec::new();
    Skippable { kind: 7, data: b"for another reader" }.write(&mut skippable);
    h.set(GPTZ_PARAM_CODER, 1);
    let (a, b) = (h.compress(&ALICE[..700]), h.compress(&[]));
    h.set(GPTZ_PARAM_CODER, 0);
    let c = h.compress(&ALICE[700..1500]);
    let all = [&skippable[..], &a, &skippable, &b, &c, &skippable].concat();
    assert_eq!(decompressed_size(&all), Ok(1500));
    assert!(h.decompress(&all) == ALICE[..1500]);
    assert_eq!(Handle::for_frame(&all).unwrap().method(), h.method());
    assert!(h.decompress(&skippable).is_empty());
    let (status, ..) = h.decompress_into(&[&all[..], b"and more"].concat(), 2000);
    assert_eq!(status, GPTZ_ERROR_FORMAT, "{}", message());
    let mut damaged = all;
    damaged[20] ^= 1;
    assert_eq!(decompressed_size(&damaged), Err(GPTZ_ERROR_CORRUPT));
}

/// Frames of every version, coder and block kind, small enough to be cut and changed at every byte.
fn small_frames(h: &Handle) -> Vec<(String, Vec<u8>)> {
    let mut frames = Vec::new();
    let text = &ALICE[..150];
    for coder in [0, 1] {
        for format in [2, 3] {
            h.set(GPTZ_PARAM_CODER, coder);
            h.set(GPTZ_PARAM_FORMAT, format);
            frames.push((format!("coder {coder} version {format}"), h.compress(text)));
        }
    }
    h.set(GPTZ_PARAM_CODER, 0);
    frames.push(("stored".into(), h.compress(&noise(150, 8))));
    frames.push(("empty".into(), h.compress(&[])));
    frames
}

#[test]
fn a_frame_that_is_cut_anywhere_is_truncated() {
    let h = Handle::new(LEARNING);
    for (name, frame) in small_frames(&h) {
        for n in 0..frame.len() {
            let cut = &frame[..n];
            let (status, len, _) = h.decompress_into(cut, 4096);
            assert_eq!(len, 0);
            // A frame does not state the length of a version 2 payload of the range coder. Its decoder finds that it is
            // truncated.
            let whole_payload = name == "coder 0 version 2" && n >= 18;
            let expected = if whole_payload { GPTZ_ERROR_CORRUPT } else { GPTZ_ERROR_TRUNCATED };
            assert_eq!(status, expected, "{name} cut to {n}: {}", message());
            assert!(whole_payload || decompressed_size(cut) == Err(GPTZ_ERROR_TRUNCATED), "{name} cut to {n}");
        }
    }
}

#[test]
fn a_frame_with_any_byte_changed_is_refused() {
    let h = Handle::new(LEARNING);
    let allowed = [GPTZ_ERROR_FORMAT, GPTZ_ERROR_TRUNCATED, GPTZ_ERROR_CORRUPT, GPTZ_ERROR_BUFFER_TOO_SMALL];
    for (name, frame) in small_frames(&h) {
        for at in 0..frame.len() {
            for change in [0x01, 0x80, 0xff, 0x10] {
                let mut bad = frame.clone();
                bad[at] ^= change;
                let before = std::time::Instant::now();
                let (status, ..) = h.decompress_into(&bad, 4096);
                assert!(allowed.contains(&status), "{name}, byte {at} ^ {change:#x}: {status}, {}", message());
                assert!(before.elapsed().as_secs() < 60, "{name}, byte {at} ^ {change:#x} hangs");
            }
            let mut bad = frame.clone();
            bad[at] ^= 0x04;
            if let Ok(made) = Handle::for_frame(&bad) {
                assert_eq!(made.method(), h.method(), "{name}, byte {at}");
            }
        }
        // The handle is still usable.
        assert!(h.decompress_into(&frame, 4096).0 == GPTZ_OK);
    }
}

#[test]
fn a_header_with_one_wrong_field_is_refused_for_that_field() {
    let h = Handle::new(LEARNING);
    let frame = h.compress(&ALICE[..100]);
    let forged = |change: fn(&mut HeaderV3)| with_header(&frame, change);
    assert_eq!(forged(|_| ()), frame);
    let byte = |at: usize, value: u8| {
        let mut bad = frame.clone();
        bad[at] = value;
        bad
    };
    let cases: [(&str, Vec<u8>, gptz_status, &str); 14] = [
        ("magic", byte(0, b'g'), GPTZ_ERROR_FORMAT, "not a gptz frame"),
        ("future version", byte(4, 4), GPTZ_ERROR_FORMAT, "version 4"),
        ("version 1", byte(4, 1), GPTZ_ERROR_FORMAT, "version 1"),
        ("layout", byte(5, 0xc0), GPTZ_ERROR_FORMAT, "layout 3"),
        ("check", byte(6, 3), GPTZ_ERROR_CORRUPT, "damaged"),
        ("version 2's coder", [b"GPTZ\x02\x02", &[0; 20][..]].concat(), GPTZ_ERROR_FORMAT, "coder 2"),
        (
            "too long for a block",
            forged(|h| h.length = Some((1 << 17) + 1)),
            GPTZ_ERROR_CORRUPT,
            "contradict each other",
        ),
        ("too long for its payload", forged(|h| h.length = Some(3)), GPTZ_ERROR_CORRUPT, "cannot hold"),
        ("no length", forged(|h| h.length = None), GPTZ_ERROR_CORRUPT, "contradict each other"),
        ("numerics", forged(|h| h.numerics = 9), GPTZ_ERROR_NUMERICS, "version 9"),
        ("lanes", forged(|h| h.shape.lanes_log = 7), GPTZ_ERROR_CORRUPT, "2^7 lanes"),
        ("block size", forged(|h| h.shape.block_log = 40), GPTZ_ERROR_CORRUPT, "2^40"),
        ("segment size", forged(|h| h.shape.segment_log = 63), GPTZ_ERROR_CORRUPT, "2^63"),
        ("registered id", forged(|h| h.method = MethodRef::Registered(200)), GPTZ_ERROR_FORMAT, "200"),
    ];
    for (name, bad, expected, quoted) in cases {
        let (status, len, _) = h.decompress_into(&bad, 4096);
        assert_eq!(status, expected, "{name}: {}", message());
        assert!(message().contains(quoted), "{name}: {}", message());
        assert_eq!(len, 0);
    }
    // Version 2 states its length only in the header.
    h.set(GPTZ_PARAM_FORMAT, 2);
    let mut v2 = h.compress(&ALICE[..100]);
    v2[6..14].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(decompressed_size(&v2), Err(GPTZ_ERROR_CORRUPT), "{}", message());
}

#[test]
fn a_frame_of_another_method_is_refused_before_it_is_decoded() {
    let (a, b) = (Handle::new(LEARNING), Handle::new(FROZEN));
    let frame = a.compress(&ALICE[..5000]);
    let mut calls = 0u32;
    b.set_progress(Some(count), (&raw mut calls).cast());
    let (status, len, _) = b.decompress_into(&frame, 5000);
    assert_eq!((status, len, calls), (GPTZ_ERROR_MISMATCH, 0, 0));
    // Both methods are quoted. The middle of a long one is left out.
    for method in [a.method(), b.method()] {
        assert!(message().contains(&method[..50]) && message().contains(&method[method.len() - 50..]), "{}", message());
    }
    // The same with the other frame after a frame of the right method. The method is checked before the capacity.
    let (status, ..) = b.decompress_into(&[b.compress(b"mine"), frame.clone()].concat(), 0);
    assert_eq!(status, GPTZ_ERROR_MISMATCH);
    // A version 2 frame names no method, so a wrong one looks like damage.
    a.set(GPTZ_PARAM_FORMAT, 2);
    let (status, ..) = b.decompress_into(&a.compress(&ALICE[..5000]), 5000);
    assert_eq!(status, GPTZ_ERROR_CORRUPT);
    assert!(message().contains("or another method"), "{}", message());
    assert_eq!(Handle::for_frame(&a.compress(b"x")).err(), Some(GPTZ_ERROR_METHOD));
}

unsafe extern "C" fn count(calls: *mut std::ffi::c_void, _done: u64, _total: u64) -> i32 {
    // SAFETY: the test passes a u32.
    unsafe { *calls.cast::<u32>() += 1 };
    0
}

#[test]
fn methods_in_frames_are_limited_and_name_no_path() {
    // A valid empty frame whose header names this method.
    let empty = Handle::new(FROZEN).compress(&[]);
    let naming = |method: &str| with_header(&empty, |header| header.method = MethodRef::Text(method.to_owned()));
    let largest = if cfg!(feature = "builtin-model") { "level:9" } else { "level:3" };
    for method in [LEARNING, GRU, largest] {
        let canonical = Handle::new(method).method();
        assert!(Handle::for_frame(&naming(&canonical)).is_ok(), "{method}: {}", message());
    }
    let huge = "cfg:hidden=65536,layers=1024,intermediate=65536,decay_rank=32,a_rank=32,v_rank=32,g_rank=64,\
                seed=0,train=none,lr=0.001,stride=1";
    let large = huge.replace("65536", "4096").replace("1024", "8");
    let cases = [
        (huge.to_owned(), GPTZ_ERROR_MEMORY),
        (large, GPTZ_ERROR_MEMORY),
        ("gru:embed=1024,hidden=2048,layers=8,bptt=64,lr=0.01,clip=5,seed=0".into(), GPTZ_ERROR_METHOD),
        ("gru:embed=32,hidden=512,bptt=64,replay=64,lr=0.01,clip=5,seed=0".into(), GPTZ_ERROR_METHOD),
        ("gru:embed=1024,hidden=2048,bptt=1,train=adam,lr=0.01,clip=5,seed=0".into(), GPTZ_ERROR_MEMORY),
        ("/etc/passwd".into(), GPTZ_ERROR_CORRUPT),
        (concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rwkv7-tiny.safetensors").into(), GPTZ_ERROR_CORRUPT),
        ("file:/etc/passwd".into(), GPTZ_ERROR_CORRUPT),
        ("file:".into(), GPTZ_ERROR_CORRUPT),
        ("cfg:hidden=64".into(), GPTZ_ERROR_CORRUPT),
        ("builtin:2".into(), GPTZ_ERROR_CORRUPT),
        ("mix:neural=(file:),orders=0-6,word=1,match=1,sparse=1,mem=64K".into(), GPTZ_ERROR_CORRUPT),
        ("cfg:hidden=\u{1b}[31m".into(), GPTZ_ERROR_CORRUPT),
        ("x".repeat(4096), GPTZ_ERROR_CORRUPT),
        ("x".repeat(4097), GPTZ_ERROR_CORRUPT),
        (format!("cfg:{}", "hidden=64,".repeat(409)), GPTZ_ERROR_CORRUPT),
        (String::new(), GPTZ_ERROR_CORRUPT),
    ];
    for (method, expected) in cases {
        assert_eq!(Handle::for_frame(&naming(&method)).err(), Some(expected), "{method:?}: {}", message());
        assert!(!message().contains('\u{1b}') && message().len() < 450, "{}", message());
        // The limit is part of the format: a longer method is damage, a shorter one is parsed.
        let too_long = message().contains("4096 are allowed");
        assert_eq!(too_long, method.len() > 4096, "{}", message());
    }
}

#[test]
fn lengths_in_trailers_are_read() {
    // A frame whose length follows the blocks, as a stream of unknown length has it.
    let h = Handle::new(LEARNING);
    h.set(GPTZ_PARAM_BLOCK_LOG, 12);
    let content = &ALICE[..5000];
    let frame = h.compress(content);
    let crc_at = frame.len() - 4;
    let mut streamed = with_header(&frame[..crc_at], |header| header.length = None);
    streamed.extend([0x88, 0x27]);
    streamed.extend(&frame[crc_at..]);
    assert!(h.decompress(&streamed) == content);
    assert_eq!(frame_info(&streamed, GPTZ_FRAME_CONTENT_LENGTH), Err(GPTZ_ERROR_SIZE_UNKNOWN));
    for at in streamed.len() - 6..streamed.len() {
        let mut bad = streamed.clone();
        bad[at] ^= 1;
        assert_eq!(h.decompress_into(&bad, 9999).0, GPTZ_ERROR_CORRUPT, "byte {at}: {}", message());
    }
}

#[test]
fn a_frame_of_a_registered_method_has_the_stated_overhead() {
    let h = Handle::new("level:1");
    let payload = |content: &[u8]| {
        h.set(GPTZ_PARAM_FORMAT, 2);
        let len = h.compress(content).len() - 18;
        h.set(GPTZ_PARAM_FORMAT, 3);
        len.min(content.len())
    };
    for (checksum, overhead) in [(1, 15), (0, 11)] {
        h.set(GPTZ_PARAM_CHECKSUM, checksum);
        for (n, more) in [(0, 0), (1, 0), (35, 0), (127, 0), (128, 2), (16_383, 2), (16_384, 4), (100_000, 4)] {
            for content in [&ALICE[..n], &noise(n, 3)[..]] {
                let frame = h.compress(content);
                assert!(frame.len() <= payload(content) + overhead + more, "{n}: {} bytes", frame.len());
                let mut len = 1;
                // SAFETY: a handle, a buffer of its length, a place to write to.
                let status = unsafe { gptz_compressed_size(h.0, content.as_ptr().cast(), n, &mut len) };
                assert_eq!((status, len), (GPTZ_OK, frame.len()));
            }
        }
    }
    // 0.05 % of the raw length at the default block size, over the stored content.
    let content = noise(1 << 20, 4);
    let frame = h.compress(&content);
    assert!((frame.len() - content.len()) * 2000 < content.len(), "{} bytes", frame.len());
}

#[test]
fn parts_make_the_frame_of_the_whole() {
    let h = Handle::new(LEARNING);
    let content = &ALICE[..9000];
    for (format, coder, block_log) in [(3, 0, 12), (3, 1, 17), (2, 0, 17), (2, 1, 17)] {
        h.set(GPTZ_PARAM_FORMAT, format);
        h.set(GPTZ_PARAM_CODER, coder);
        h.set(GPTZ_PARAM_BLOCK_LOG, block_log);
        let whole = h.compress(content);
        for cuts in [&[][..], &[0, 0, 9000], &[1, 2, 4095, 4096, 4097], &[8999]] {
            let ends: Vec<usize> = cuts.iter().copied().chain([9000]).collect();
            let parts: Vec<&[u8]> =
                ends.iter().scan(0, |at, end| Some(&content[std::mem::replace(at, *end)..*end])).collect();
            let pointers: Vec<_> = parts.iter().map(|p| p.as_ptr().cast()).collect();
            let lens: Vec<usize> = parts.iter().map(|p| p.len()).collect();
            let (mut dst, mut len) = (vec![0u8; whole.len()], 0);
            for room in [whole.len() - 1, whole.len()] {
                // SAFETY: arrays of one element for each part, and buffers of their lengths.
                let status = unsafe {
                    let dst = dst.as_mut_ptr().cast();
                    gptz_compress_parts(h.0, pointers.as_ptr(), lens.as_ptr(), parts.len(), dst, room, &mut len)
                };
                assert_eq!(len, whole.len());
                assert_eq!(status == GPTZ_OK, room == whole.len(), "{}", message());
            }
            assert!(dst == whole, "{cuts:?}");
        }
    }
    let (dst, mut len) = (ptr::null_mut(), 1);
    // SAFETY: no buffers are read.
    unsafe {
        let null = ptr::null();
        assert_eq!(gptz_compress_parts(h.0, ptr::null(), ptr::null(), 1, dst, 0, &mut len), GPTZ_ERROR_ARGUMENT);
        assert_eq!(len, 0);
        assert_eq!(gptz_compress_parts(h.0, &null, &1, 1, dst, 0, &mut len), GPTZ_ERROR_ARGUMENT);
        assert_eq!(
            gptz_compress_parts(h.0, ptr::null(), ptr::null(), 0, dst, 0, &mut len),
            GPTZ_ERROR_BUFFER_TOO_SMALL
        );
    }
}

#[test]
fn frames_of_registered_methods_are_decoded_in_a_row() {
    let all = ["level:1", "level:3", if cfg!(feature = "builtin-model") { "level:5" } else { "level:2" }];
    let frames: Vec<Vec<u8>> = all.iter().map(|m| Handle::new(m).compress(&ALICE[..700])).collect();
    let row = [&frames[0][..], &frames[1], &frames[2], &frames[1], &frames[0]].concat();
    let expected = ALICE[..700].repeat(5);
    for method in [all[0], LEARNING] {
        let h = Handle::new(method);
        assert!(h.decompress(&row) == expected, "{method}");
        // A base of the handle is of no concern to frames that need none, if their method is registered.
        h.feed(&ALICE[1000..2000]);
        let snapshot = h.snapshot();
        assert_eq!(h.set_base(Some(&snapshot)), GPTZ_OK);
        let based = h.compress(&ALICE[..700]);
        assert!(h.decompress(&[&row[..], &based, &row].concat()) == ALICE[..700].repeat(11), "{method}");
        assert_eq!(Handle::new(all[1]).decompress_into(&based, 700).0, GPTZ_ERROR_MISMATCH);
        // The limits hold for guests, and are checked before the first byte.
        let mut calls = 0u32;
        h.set_progress(Some(count), (&raw mut calls).cast());
        h.set(GPTZ_PARAM_WORK_LIMIT, 1000);
        assert_eq!(h.decompress_into(&row, 4000).0, GPTZ_ERROR_METHOD, "{}", message());
        h.set(GPTZ_PARAM_WORK_LIMIT, 1 << 27);
        let mut own = 0;
        // SAFETY: a handle and a place to write to.
        assert_eq!(unsafe { gptz_memory_estimate(h.0, &mut own) }, GPTZ_OK);
        h.set(GPTZ_PARAM_MEMORY_LIMIT, own as i64 + 1000);
        assert_eq!(h.decompress_into(&row, 4000).0, GPTZ_ERROR_MEMORY, "{}", message());
        assert_eq!(calls, 0);
        h.set_progress(None, ptr::null_mut());
        assert_eq!(h.decompress(&based), &ALICE[..700]);
        // Room for one guest at a time.
        h.set(GPTZ_PARAM_MEMORY_LIMIT, own as i64 + (300 << 20));
        assert!(h.decompress(&row) == expected, "{method}");
    }
}

#[test]
fn segments_start_from_the_base() {
    let h = Handle::new("mix:orders=0-2,mem=64K");
    h.feed(&ALICE[100_000..102_000]);
    let snapshot = h.snapshot();
    assert_eq!(h.set_base(Some(&snapshot)), GPTZ_OK);
    let content = [&ALICE[..70_000], &noise(5000, 3), &ALICE[..60_000]].concat();
    for (coder, block_log, segment_log) in [(0, 15, 16), (1, 17, 16), (0, 12, 17)] {
        h.set(GPTZ_PARAM_CODER, coder);
        h.set(GPTZ_PARAM_BLOCK_LOG, block_log);
        h.set(GPTZ_PARAM_SEGMENT_LOG, segment_log);
        let frame = h.compress(&content);
        assert!(frame.len() <= gptz_compress_bound(content.len()));
        assert!(h.decompress(&frame) == content, "{}", message());
        assert!(h.decompress(&frame.repeat(2)) == content.repeat(2));
        assert_eq!(frame_info(&frame, GPTZ_FRAME_SEGMENT_LOG), Ok(segment_log));
        let footer: &[u8; INDEX_FOOTER_LEN] = frame.last_chunk().unwrap();
        let index_at = frame.len() - Index::frame_len_of(footer).unwrap() as usize;
        assert_eq!(frame_info(&frame, GPTZ_FRAME_CODED_LENGTH), Ok(index_at as i64));
        let index = Index::read(&frame[index_at..], 0).unwrap();
        assert_eq!((index.frame_len, index.content_len), (index_at as u64, content.len() as u64));
        // The blocks of a segment are those of a frame of its content alone.
        for (i, part) in content.chunks(1 << segment_log).enumerate() {
            let start = index.offsets[i] as usize;
            assert_eq!(&frame[start..start + 4], b"GPTS");
            h.set(GPTZ_PARAM_SEGMENT_LOG, 0);
            let alone = h.compress(part);
            h.set(GPTZ_PARAM_SEGMENT_LOG, segment_log);
            if let [Piece::Block(first), ..] = &pieces_of(&alone)[..] {
                let same = pieces_of(&frame)
                    .into_iter()
                    .skip_while(|p| !matches!(p, Piece::Segment(s) if s.raw_offset == (i << segment_log) as u64))
                    .nth(1);
                assert!(matches!(same, Some(Piece::Block(b)) if b.payload == first.payload), "segment {i}");
            }
        }
    }
    // Without checksums, so that segments that are exchanged are found by their headers.
    h.set(GPTZ_PARAM_CHECKSUM, 0);
    h.set(GPTZ_PARAM_SEGMENT_LOG, 16);
    let frame = h.compress(&content);
    let footer: &[u8; INDEX_FOOTER_LEN] = frame.last_chunk().unwrap();
    let index_at = frame.len() - Index::frame_len_of(footer).unwrap() as usize;
    let offsets = Index::read(&frame[index_at..], 0).unwrap().offsets;
    let [a, b, c] = [0, 1, 2].map(|i| offsets[i] as usize);
    for bad in [
        [&frame[..a], &frame[b..c], &frame[a..b], &frame[c..]].concat(),
        [&frame[..b], &frame[a..b], &frame[b..]].concat(),
        [&frame[..b], &frame[c..]].concat(),
    ] {
        assert_eq!(h.decompress_into(&bad, 1 << 20).0, GPTZ_ERROR_CORRUPT);
        assert!(message().contains("segment"), "{}", message());
    }
}

fn pieces_of(frame: &[u8]) -> Vec<Piece<'_>> {
    match frames(frame).next().unwrap().unwrap().body {
        Body::Blocks(pieces) => pieces.collect(),
        _ => Vec::new(),
    }
}

fn frame_info(frame: &[u8], what: i32) -> Result<i64, gptz_status> {
    let mut value = -1;
    // SAFETY: a buffer of its length and a place to write to.
    match unsafe { gptz_frame_info(frame.as_ptr().cast(), frame.len(), what, &mut value) } {
        GPTZ_OK => Ok(value),
        status => {
            assert_eq!(value, 0);
            Err(status)
        }
    }
}

#[test]
fn a_frame_states_its_values() {
    let h = Handle::new("level:1");
    h.set(GPTZ_PARAM_BLOCK_LOG, 12);
    let frame = h.compress(&ALICE[..5000]);
    let mut skippable = Vec::new();
    Skippable { kind: 0, data: b"before" }.write(&mut skippable);
    let numerics = i64::from(::gptz::numeric::NUMERICS_VERSION);
    // With this memory limit, a handle can decode the frame; with a little less, it cannot.
    let memory = frame_info(&frame, GPTZ_FRAME_MEMORY).unwrap();
    let reader = Handle::new("level:1");
    for (limit, status) in [(memory, GPTZ_OK), (memory - memory / 16, GPTZ_ERROR_MEMORY)] {
        reader.set(GPTZ_PARAM_MEMORY_LIMIT, limit);
        assert_eq!(reader.decompress_into(&frame, 5000).0, status, "{limit}: {}", message());
    }
    // Magic, version, flags, numerics, method, shape (2 bytes), length (2 bytes), check.
    let header_len = 13;
    let values = [
        (GPTZ_FRAME_CONTENT_LENGTH, 5000),
        (GPTZ_FRAME_MEMORY, memory),
        (GPTZ_FRAME_HEADER_LENGTH, header_len),
        (GPTZ_FRAME_NUMERICS, numerics),
        (GPTZ_FRAME_LANES, 1),
        (GPTZ_FRAME_BLOCK_LOG, 12),
        (GPTZ_FRAME_SEGMENT_LOG, 0),
        (GPTZ_FRAME_NEEDS_MODEL, 0),
        (GPTZ_FRAME_NEEDS_BASE, 0),
        (GPTZ_FRAME_CHECKSUM, 1),
        (GPTZ_FRAME_BASE_ID, 0),
        (GPTZ_FRAME_MODEL_ID, 0),
    ];
    for (what, value) in values {
        assert_eq!(frame_info(&frame, what), Ok(value), "{what}");
        assert_eq!(frame_info(&frame[..header_len as usize], what), Ok(value), "{what} of the header alone");
        assert_eq!(frame_info(&frame[..header_len as usize - 1], what), Err(GPTZ_ERROR_TRUNCATED));
        let before = if what == GPTZ_FRAME_HEADER_LENGTH { skippable.len() as i64 } else { 0 };
        assert_eq!(frame_info(&[&skippable[..], &frame].concat(), what), Ok(value + before));
    }
    let n = frame.len() as i64;
    assert_eq!(frame_info(&[&frame[..], b"what follows"].concat(), GPTZ_FRAME_CODED_LENGTH), Ok(n));
    assert_eq!(frame_info(&[&skippable[..], &frame].concat(), GPTZ_FRAME_CODED_LENGTH), Ok(n + skippable.len() as i64));
    assert_eq!(frame_info(&frame[..frame.len() - 1], GPTZ_FRAME_CODED_LENGTH), Err(GPTZ_ERROR_TRUNCATED));
    for what in [0, 14, -1, i32::MAX] {
        assert_eq!(frame_info(&frame, what), Err(GPTZ_ERROR_ARGUMENT));
    }
    assert_eq!(frame_info(b"", 1), Err(GPTZ_ERROR_TRUNCATED));
    assert_eq!(frame_info(b"GPTX", 1), Err(GPTZ_ERROR_FORMAT));

    h.set(GPTZ_PARAM_FORMAT, 2);
    let v2 = h.compress(&ALICE[..100]);
    for (what, value) in [(1, Ok(100)), (2, Err(GPTZ_ERROR_METHOD)), (3, Ok(18)), (4, Ok(0)), (5, Ok(1)), (10, Ok(1))] {
        assert_eq!(frame_info(&v2, what), value, "{what}");
    }
    let weights = Model::from_memory(WEIGHTS).unwrap();
    let h = Handle::from_model(&weights, None).unwrap();
    h.feed(b"a base");
    let snapshot = h.snapshot();
    h.set_base(Some(&snapshot));
    let frame = h.compress(b"text");
    let print = i64::from_le_bytes(*weights.fingerprint().first_chunk().unwrap());
    assert_eq!(frame_info(&frame, GPTZ_FRAME_MODEL_ID), Ok(print));
    assert_eq!(frame_info(&frame, GPTZ_FRAME_MEMORY), Err(GPTZ_ERROR_MODEL));
    assert_eq!((frame_info(&frame, GPTZ_FRAME_NEEDS_MODEL), frame_info(&frame, GPTZ_FRAME_NEEDS_BASE)), (Ok(1), Ok(1)));
    let (Header::V3(header), _) = Frame::first_header(&frame).unwrap() else { panic!("version 3") };
    assert_eq!(frame_info(&frame, GPTZ_FRAME_BASE_ID), Ok(i64::from_le_bytes(header.base.unwrap())));
}

#[test]
fn a_frame_names_its_method() {
    let method_of = |frame: &[u8], cap: usize| {
        let (mut text, mut len) = (vec![0x55u8; cap], usize::MAX);
        let dst = if cap == 0 { ptr::null_mut() } else { text.as_mut_ptr().cast() };
        // SAFETY: buffers of their lengths and a place to write to.
        let status = unsafe { gptz_frame_method(frame.as_ptr().cast(), frame.len(), dst, cap, &mut len) };
        (status, len, text)
    };
    for method in ["level:2", LEARNING] {
        let h = Handle::new(method);
        let (frame, name) = (h.compress(&ALICE[..100]), h.method());
        decompressed_size(b"GPTX").unwrap_err();
        let before = message();
        assert_eq!(method_of(&frame, 0), (GPTZ_ERROR_BUFFER_TOO_SMALL, name.len() + 1, vec![]));
        assert_eq!(message(), before, "a question changes no message");
        assert_eq!(method_of(&frame, name.len()).0, GPTZ_ERROR_BUFFER_TOO_SMALL);
        assert!(message().contains(&(name.len() + 1).to_string()), "{}", message());
        let (status, len, text) = method_of(&frame, name.len() + 2);
        assert_eq!((status, len), (GPTZ_OK, name.len()));
        assert_eq!(text, [name.as_bytes(), &[0, 0x55]].concat());
        h.set(GPTZ_PARAM_FORMAT, 2);
        assert_eq!(method_of(&h.compress(b"x"), 50).0, GPTZ_ERROR_METHOD);
        let bad = with_header(&frame, |header| header.method = MethodRef::Text("a\0b".into()));
        assert_eq!(method_of(&bad, 50), (GPTZ_ERROR_CORRUPT, 0, vec![0x55; 50]));
    }
}

#[test]
fn stats_are_those_of_the_last_call() {
    let stats_of = |h: &Handle, size: usize| {
        let mut stats = gptz_stats {
            size,
            bytes_in: 7,
            bytes_out: 7,
            tokens_seen: 7,
            bits_per_byte: 7.0,
            ratio: 7.0,
            seconds: 7.0,
            bytes_per_second: 7.0,
            can_learn: 7,
        };
        // SAFETY: a handle and a struct of its size.
        (unsafe { gptz_stats_get(h.0, &mut stats) }, stats)
    };
    let size = size_of::<gptz_stats>();
    let h = Handle::new(LEARNING);
    let (status, stats) = stats_of(&h, size);
    assert_eq!((status, stats.bytes_in, stats.seconds, stats.can_learn), (GPTZ_OK, 0, 0.0, 1));
    let frame = h.compress(&ALICE[..2000]);
    let (_, stats) = stats_of(&h, size + 100);
    assert_eq!((stats.bytes_in, stats.bytes_out, stats.tokens_seen), (2000, frame.len() as u64, 2000));
    assert_eq!(stats.ratio, 2000.0 / frame.len() as f64);
    assert!((stats.bits_per_byte * stats.ratio - 8.0).abs() < 1e-9);
    assert!(stats.seconds > 0.0 && (stats.bytes_per_second * stats.seconds - 2000.0).abs() < 1e-6);
    // A call that fails changes nothing.
    assert_ne!(h.compress_into(&ALICE[..50], 3).0, GPTZ_OK);
    assert_eq!(stats_of(&h, size).1.bytes_in, 2000);
    h.decompress(&frame);
    let (_, back) = stats_of(&h, size);
    assert_eq!((back.bytes_in, back.bytes_out), (frame.len() as u64, 2000));
    assert_eq!((back.ratio, back.bits_per_byte), (stats.ratio, stats.bits_per_byte));
    let bits = h.cross_entropy(&ALICE[..500]);
    let (_, stats) = stats_of(&h, size);
    assert_eq!((stats.bytes_in, stats.bytes_out, stats.ratio), (500, 0, 0.0));
    assert!((stats.bits_per_byte - bits).abs() < 1e-9);
    h.feed(b"fed");
    assert_eq!((stats_of(&h, size).1.bytes_in, stats_of(&h, size).1.bits_per_byte), (3, 0.0));
    let (status, stats) = stats_of(&h, size - 1);
    assert_eq!((status, stats.bytes_in), (GPTZ_ERROR_ARGUMENT, 7), "{}", message());
    assert_eq!(stats_of(&Handle::new(FROZEN), size).1.can_learn, 0);
    assert_eq!(stats_of(&Handle::new("level:1"), size).1.can_learn, 1);
    // SAFETY: NULL is refused.
    unsafe {
        assert_eq!(gptz_stats_get(h.0, ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
        let mut stats = stats;
        stats.size = size;
        assert_eq!(gptz_stats_get(ptr::null(), &mut stats), GPTZ_ERROR_ARGUMENT);
        assert_eq!(stats.bytes_in, 0);
    }
}
