//! Frames through the C ABI: every content decodes to itself, every damage is reported.

mod common;

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
    let skippable = {
        // The 18 common bytes with version 0, and the length and CRC-32 of the bytes to skip.
        let content = b"for another reader";
        let mut frame = b"GPTZ\0\0".to_vec();
        frame.extend((content.len() as u64).to_le_bytes());
        frame.extend(crc32fast::hash(content).to_le_bytes());
        frame.extend(content);
        frame
    };
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
    damaged[30] ^= 1;
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
    let crc_at = 18 + 2 + 2 + 1 + 2 + h.method().len() + 3;
    // Changes bytes of the header and corrects its CRC-32.
    let forged = |changes: &[(usize, &[u8])]| {
        let mut bad = frame.clone();
        for (at, bytes) in changes {
            bad[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        let crc = crc32fast::hash(&bad[..crc_at]);
        bad[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
        bad
    };
    assert_eq!(forged(&[]), frame);
    let cases: [(&str, Vec<u8>, gptz_status, &str); 13] = [
        ("magic", forged(&[(0, b"gptz")]), GPTZ_ERROR_FORMAT, "not a gptz frame"),
        ("future version", forged(&[(4, &[4])]), GPTZ_ERROR_FORMAT, "version 4"),
        ("version 1", forged(&[(4, &[1])]), GPTZ_ERROR_FORMAT, "version 1"),
        ("coder", forged(&[(5, &[2])]), GPTZ_ERROR_FORMAT, "coder 2"),
        ("exabytes", forged(&[(6, &(1u64 << 60).to_le_bytes())]), GPTZ_ERROR_CORRUPT, "1152921504606846976"),
        ("flag", forged(&[(18, &[0x23])]), GPTZ_ERROR_FORMAT, "0x0023"),
        ("high flag", forged(&[(19, &[0x80])]), GPTZ_ERROR_FORMAT, "0x8003"),
        ("both CRC flags", forged(&[(18, &[0x13])]), GPTZ_ERROR_CORRUPT, "contradict each other"),
        ("numerics", forged(&[(20, &[9])]), GPTZ_ERROR_NUMERICS, "version 9"),
        ("lanes", forged(&[(crc_at - 3, &[1])]), GPTZ_ERROR_FORMAT, "lanes"),
        ("block size", forged(&[(crc_at - 2, &[40])]), GPTZ_ERROR_CORRUPT, "2^40"),
        ("segments", forged(&[(crc_at - 1, &[20])]), GPTZ_ERROR_FORMAT, "segments"),
        ("registered id", forged(&[(22, &[200])]), GPTZ_ERROR_CORRUPT, "CRC-32"),
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
    let naming = |method: &str| {
        let mut header = b"GPTZ\x03\0".to_vec();
        header.extend(0u64.to_le_bytes());
        header.extend(crc32fast::hash(b"").to_le_bytes());
        header.extend([3, 0, 2, 0, 0]);
        header.extend((method.len() as u16).to_le_bytes());
        header.extend(method.as_bytes());
        header.extend([0, 17, 0]);
        let crc = crc32fast::hash(&header);
        header.extend(crc.to_le_bytes());
        header.push(0);
        header
    };
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
fn lengths_and_checksums_in_trailers_are_read() {
    // A frame whose length and CRC-32 follow the blocks, as a streaming encoder will write it.
    let h = Handle::new(LEARNING);
    let frame = h.compress(&ALICE[..100]);
    let crc_at = 18 + 2 + 2 + 1 + 2 + h.method().len() + 3;
    let mut streamed = frame[..crc_at].to_vec();
    streamed[6..18].fill(0);
    streamed[18] = 0;
    let crc = crc32fast::hash(&streamed);
    streamed.extend(crc.to_le_bytes());
    streamed.extend(&frame[crc_at + 4..]);
    streamed.extend(100u64.to_le_bytes());
    streamed.extend(crc32fast::hash(&ALICE[..100]).to_le_bytes());
    assert!(h.decompress(&streamed) == ALICE[..100]);
    for at in streamed.len() - 12..streamed.len() {
        let mut bad = streamed.clone();
        bad[at] ^= 1;
        assert_eq!(h.decompress_into(&bad, 4096).0, GPTZ_ERROR_CORRUPT, "byte {at}: {}", message());
    }
}
