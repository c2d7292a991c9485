//! Readers through the C ABI: any place of any frames, with and without indexes; damage; indexes and sources that lie; what
//! a reader does to its handle.

mod common;

use std::ffi::c_void;
use std::ptr;

use ::gptz::container::{INDEX_FOOTER_LEN, Index, Skippable, frames};
use ::gptz::session::Session;
use ::gptz::stream;
use common::*;

/// A small and fast mix.
const FAST: &str = "mix:neural=none,orders=0-2,word=0,match=0,sparse=0,mem=64K";
const SEGMENT: usize = 1 << 16;

/// Text that is coded, between noise that is stored: `n` bytes.
fn content(n: usize, seed: u64) -> Vec<u8> {
    let mut content = Vec::new();
    for i in 0.. {
        content.extend_from_slice(&ALICE[i * 700 % 100_000..][..3000]);
        content.extend(noise(10 * 4096 - 3000, seed + i as u64));
        if content.len() >= n {
            break;
        }
    }
    content.truncate(n);
    content
}

fn segmented(block_log: i64) -> Handle {
    let h = Handle::new(FAST);
    h.set(GPTZ_PARAM_BLOCK_LOG, block_log);
    h.set(GPTZ_PARAM_SEGMENT_LOG, 16);
    h
}

/// A frame with its index taken off.
fn without_index(frame: &[u8]) -> Vec<u8> {
    let len = Index::frame_len_of(frame.last_chunk::<INDEX_FOOTER_LEN>().unwrap()).expect("an index") as usize;
    frame[..frame.len() - len].to_vec()
}

fn index_of(frame: &[u8]) -> Index {
    let at = without_index(frame).len();
    Index::read(&frame[at..], at as u64).unwrap()
}

fn with_index(frame: &[u8], change: impl FnOnce(&mut Index)) -> Vec<u8> {
    let (mut changed, mut index) = (without_index(frame), index_of(frame));
    change(&mut index);
    index.write(&mut changed).unwrap();
    changed
}

/// Reads at places around every limit, in an order that goes back and forth.
fn check_places(reader: &Reader, expected: &[u8]) {
    assert_eq!(reader.size(), expected.len() as u64);
    let n = expected.len();
    let places: Vec<usize> = [2 * SEGMENT - 3, 0, 4095, SEGMENT - 1, SEGMENT, n / 3 * 2]
        .into_iter()
        .chain([1, 0].map(|back| n.saturating_sub(back)))
        .collect();
    for place in places.into_iter().filter(|place| *place <= n) {
        for len in [0, 9000] {
            let found = reader.read(place as u64, len).unwrap_or_else(|s| panic!("{place}: {s} {}", message()));
            assert!(found == expected[place..n.min(place + len)], "{len} bytes at {place}");
        }
    }
    assert_eq!(reader.read(n as u64, 10), Ok(vec![]));
    assert_eq!(reader.read(u64::MAX, 10), Ok(vec![]));
    assert!(reader.read(0, n + 100).unwrap() == expected, "the whole content in one read");
}

#[test]
fn every_place_is_read_as_it_was_written() {
    let h = segmented(12);
    for n in [0, 1, 4096, 9000, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 3 * SEGMENT + 777] {
        for (checksum, segment_log) in [(1, 16), (0, 16), (1, 0)] {
            h.set(GPTZ_PARAM_CHECKSUM, checksum);
            h.set(GPTZ_PARAM_SEGMENT_LOG, segment_log);
            let content = content(n, n as u64);
            let frame = h.compress(&content);
            check_places(&h.reader(&frame).unwrap(), &content);
            if segment_log != 0 && n > SEGMENT {
                check_places(&h.reader(&without_index(&frame)).unwrap(), &content);
            }
        }
    }
}

#[test]
fn every_level_and_kind_of_method_can_be_read_at_any_place() {
    for n in 1.. {
        // SAFETY: a static string or NULL.
        let level = gptz_level_method(n);
        if level.is_null() {
            break;
        }
        let h = Handle::new(&format!("level:{n}"));
        h.set(GPTZ_PARAM_BLOCK_LOG, 12);
        let content = [&ALICE[..1500], &noise(5000, 1), &ALICE[1500..2500]].concat();
        let frame = h.compress(&content);
        let reader = h.reader(&frame).unwrap();
        for (place, len) in [(4000, 20), (7490, 100), (0, 3), (6000, 1500)] {
            assert!(reader.read(place as u64, len).unwrap() == content[place..content.len().min(place + len)]);
        }
    }
    for method in [LEARNING, FROZEN, GRU] {
        let h = Handle::new(method);
        h.set(GPTZ_PARAM_BLOCK_LOG, 12);
        h.set(GPTZ_PARAM_SEGMENT_LOG, 16);
        let content = [&ALICE[..3000], &noise(SEGMENT, 2), &ALICE[..5000]].concat();
        let frame = h.compress(&content);
        check_places(&h.reader(&frame).unwrap(), &content);
    }
}

#[test]
fn a_base_is_the_start_of_every_segment() {
    let h = segmented(12);
    h.feed(&ALICE[..3000]);
    let snapshot = h.snapshot();
    assert_eq!(h.set_base(Some(&snapshot)), GPTZ_OK);
    let content = content(2 * SEGMENT + 99, 5);
    let frame = h.compress(&content);
    check_places(&h.reader(&frame).unwrap(), &content);
    // Another base is told when the reader is opened.
    assert_eq!(segmented(12).reader(&frame).unwrap_err(), GPTZ_ERROR_MISMATCH);
}

/// Frames of different methods, layouts and shapes, with skippable frames and empty frames between. And their content.
fn mixed_frames() -> (Vec<u8>, Vec<u8>) {
    let (mut all, mut contents) = (Vec::new(), Vec::new());
    let mut add = |h: &Handle, content: &[u8]| {
        all.extend(h.compress(content));
        contents.extend_from_slice(content);
        Skippable { kind: all.len() as u8, data: &noise(70, 3) }.write(&mut all);
    };
    let levels: Vec<Handle> = [1, 2].map(|n| Handle::new(&format!("level:{n}"))).into();
    let own = segmented(12);
    add(&levels[0], b"");
    add(&own, &content(SEGMENT + 5, 1));
    add(&levels[0], &ALICE[..2000]);
    add(&own, b"");
    levels[1].set(GPTZ_PARAM_BLOCK_LOG, 12);
    add(&levels[1], &content(12_000, 2));
    add(&own, b"x");
    add(&own, &content(2 * SEGMENT, 3));
    levels[0].set(GPTZ_PARAM_SEGMENT_LOG, 16);
    let last = content(SEGMENT + 4000, 4);
    all.extend(levels[0].compress(&last));
    contents.extend(last);
    (all, contents)
}

#[test]
fn frames_of_several_methods_are_one_content() {
    let (all, contents) = mixed_frames();
    let h = Handle::new(FAST);
    assert!(h.decompress(&all) == contents);
    check_places(&h.reader(&all).unwrap(), &contents);
    // Through a callback that gives little at a time.
    let mut bytes = Bytes::new(&all);
    bytes.most = 777;
    let source = bytes.source();
    let reader = h.reader_of(&source).unwrap();
    check_places(&reader, &contents);
    drop(reader);
    assert!(bytes.calls > 100);
}

/// The engine's reader of a frame, and the bytes that it decoded for each of these reads.
fn decoded(frame: &[u8], reads: &[(u64, usize)]) -> Vec<u64> {
    let mut session = Session::create(FAST).unwrap();
    let mut reader = stream::Reader::open(&session, frame, None).unwrap();
    let mut before = 0;
    reads
        .iter()
        .map(|(offset, len)| {
            assert_eq!(reader.read(&mut session, *offset, &mut vec![0; *len], None), Ok(*len));
            let n = reader.decoded() - before;
            before = reader.decoded();
            n
        })
        .collect()
}

#[test]
fn a_read_decodes_one_segment_at_most_and_stops_at_its_last_block() {
    let h = segmented(12);
    let frame = h.compress(&content(4 * SEGMENT, 9));
    let s = SEGMENT as u64;
    let reads = [
        (2 * s, 10),        // the first block of segment 2
        (2 * s + 20, 100),  // still there
        (2 * s + 5000, 10), // the next block, from where it is
        (3 * s - 1, 1),     // the rest of the segment
        (2 * s, SEGMENT),   // kept
        (3 * s, 1),         // the next segment, without a search
        (s, SEGMENT),       // another one
        (s + 7, 4096),      // kept
        (s - 2048, 4096),   // across two: all of segment 0, and a block of segment 1, which was dropped
    ];
    let block = 4096;
    let expected = [block, 0, block, s - 2 * block, 0, block, s, 0, s + block];
    assert_eq!(decoded(&frame, &reads), expected);
    // Without segments a read that goes back starts at the frame's start; the last block is kept.
    h.set(GPTZ_PARAM_SEGMENT_LOG, 0);
    let frame = h.compress(&content(10 * 4096, 9));
    assert_eq!(decoded(&frame, &[(8192, 1), (8200, 10), (12_288, 1), (8192, 1)]), [3 * block, 0, block, 0]);
}

#[test]
fn an_index_saves_reads_of_the_source() {
    let h = segmented(12);
    let content = content(20 * SEGMENT, 10);
    let frame = h.compress(&content);
    let mut bytes = Bytes::new(&frame);
    let reader = h.reader_of(&bytes.source()).unwrap();
    let with = bytes.calls;
    drop(reader);
    let bare = without_index(&frame);
    let mut bytes = Bytes::new(&bare);
    drop(h.reader_of(&bytes.source()).unwrap());
    assert!(with < 40 && bytes.calls > 5 * with, "{with} reads with an index, {} without", bytes.calls);
}

/// Whatever an index says: it is believed only where the frame agrees.
#[test]
fn an_index_that_lies_changes_nothing() {
    let h = segmented(12);
    let content = content(4 * SEGMENT + 99, 11);
    let frame = h.compress(&content);
    let bare = without_index(&frame);
    let n = bare.len() as u64;
    type Change = (&'static str, fn(&mut Index));
    let changes: [Change; 14] = [
        ("nothing", |_| {}),
        ("another tag", |i| i.tag ^= 1),
        ("a longer frame", |i| i.frame_len += 1),
        ("a frame before the source", |i| i.frame_len += 1 << 40),
        ("a shorter frame", |i| i.frame_len -= 1),
        ("more content", |i| i.content_len += 1),
        ("less content", |i| i.content_len -= 1),
        ("another segment size", |i| {
            i.segment_log = 17;
            i.offsets.truncate(3);
        }),
        ("a segment too late", |i| i.offsets[2] += 1),
        ("a segment too early", |i| i.offsets[2] -= 1),
        ("another segment's header", |i| i.offsets[2] = i.offsets[1] + 30),
        ("the first one elsewhere", |i| i.offsets[0] += 1),
        ("the last one elsewhere", |i| i.offsets[4] += 1),
        ("all in a heap", |i| (1..4).for_each(|k| i.offsets[k] = i.offsets[0] + k as u64)),
    ];
    for (name, change) in changes {
        let changed = with_index(&frame, change);
        let reader = h.reader(&changed).unwrap_or_else(|s| panic!("{name}: {s} {}", message()));
        assert_eq!(reader.size(), content.len() as u64, "{name}");
        for place in [2 * SEGMENT + 9, 0, SEGMENT - 5, 4 * SEGMENT] {
            let n = (content.len() - place).min(50);
            assert!(reader.read(place as u64, n).unwrap() == content[place..][..n], "{name}: {place}");
        }
    }
    // Segments that another index claims: the offsets of a frame that is not the one before it.
    let shifted = [&frame[..], &with_index(&frame, |i| i.frame_len += n)[..]].concat();
    check_places(&h.reader(&shifted).unwrap(), &content.repeat(2));
    // An index alone, and one behind a frame that is not its own.
    let alone = &frame[bare.len()..];
    assert_eq!(h.reader(alone).unwrap().size(), 0);
    let small = h.compress(b"small");
    check_places(&h.reader(&[&small[..], alone].concat()).unwrap(), b"small");
    // More segments than the frame has, where the frame states no length.
    let forged = with_index(&frame, |i| {
        let last = *i.offsets.last().unwrap();
        i.offsets.extend((1..50).map(|k| last + k));
        i.content_len = (i.offsets.len() as u64) << 16;
        i.frame_len += 100;
    });
    check_places(&h.reader(&forged).unwrap(), &content);
}

#[test]
fn a_stream_without_a_stated_length_can_be_read() {
    let h = segmented(12);
    let content = content(3 * SEGMENT + 99, 12);
    let mut frame = Vec::new();
    for (part, op) in content.chunks(50_000).map(|part| (part, GPTZ_FLUSH)).chain([(&[][..], GPTZ_END)]) {
        let (status, taken, given, remaining) = h.stream_compress(part, 1 << 20, op);
        assert_eq!((status, taken, remaining), (GPTZ_OK, part.len(), 0), "{}", message());
        frame.extend(given);
    }
    check_places(&h.reader(&frame).unwrap(), &content);
    check_places(&h.reader(&without_index(&frame)).unwrap(), &content);
}

/// A file of segments, blocks of three kinds, an index. Damage of every structural byte and of some of each payload gives
/// the content or an error, also after the error.
#[test]
fn damage_gives_right_bytes_or_an_error() {
    check_damage(7, 9001);
}

#[test]
#[ignore = "minutes; the test above does the same with fewer bytes"]
fn damage_of_every_byte_of_structure_gives_right_bytes_or_an_error() {
    check_damage(1, 499);
}

/// Changes every `header`-th byte of the headers of blocks and of the index, and every `payload`-th of payloads.
fn check_damage(header: usize, payload: usize) {
    let h = segmented(12);
    let content = content(2 * SEGMENT + 5000, 13);
    let frame = h.compress(&content);
    let mut places: Vec<usize> = (without_index(&frame).len()..frame.len()).step_by(header).collect();
    for (what, range, _) in parts_of(&frame) {
        match what {
            What::Payload(_) => places.extend(range.step_by(payload)),
            What::BlockHeader => places.extend(range.step_by(header)),
            _ => places.extend(range),
        }
    }
    let (mut opened, mut failed, mut read) = (0, 0, 0);
    for place in places {
        let mut bad = frame.clone();
        bad[place] ^= [1, 0x80, 0xff, 3][place % 4];
        let Ok(reader) = h.reader(&bad) else {
            failed += 1;
            continue;
        };
        opened += 1;
        assert_eq!(reader.size(), content.len() as u64, "byte {place}");
        for start in (0..content.len()).step_by(13_000) {
            if let Ok(found) = reader.read(start as u64, 13_000) {
                assert!(
                    found == content[start..content.len().min(start + 13_000)],
                    "byte {place}, content byte {start}"
                );
                read += 1;
            }
        }
    }
    assert!(opened > 40 && failed > 10 && read > opened * 6, "{opened} {failed} {read}");
    for cut in (0..frame.len()).step_by(811).chain(frame.len() - 60..frame.len()) {
        if let Ok(reader) = h.reader(&frame[..cut]) {
            assert!(reader.read(0, content.len()).unwrap() == content, "cut at {cut}");
        }
    }
}

#[test]
fn errors_name_the_place_and_leave_the_reader_usable() {
    let h = segmented(12);
    let content = content(3 * SEGMENT, 14);
    let mut frame = h.compress(&content);
    let parts = parts_of(&frame);
    let (at, raw) = parts
        .iter()
        .find_map(|(what, range, raw)| {
            (matches!(what, What::Payload(_)) && *raw > SEGMENT as u64 + 20_000).then_some((range.clone(), *raw))
        })
        .unwrap();
    let header = parts.iter().find(|(what, _, r)| *what == What::BlockHeader && *r == raw).unwrap().1.start;
    frame[at.start] ^= 1;
    let reader = h.reader(&frame).unwrap();
    for _ in 0..2 {
        assert_eq!(reader.read(raw, 1), Err(GPTZ_ERROR_CORRUPT));
        let text = message();
        for part in ["frame at byte 0", "segment of content byte 65536", &format!("block at byte {header}")] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(handle_message(&h), text);
        // The blocks before it and the other segments.
        let s = SEGMENT as u64;
        assert!(reader.read(s, (raw - s) as usize).unwrap() == content[SEGMENT..raw as usize]);
        assert!(reader.read(0, SEGMENT).unwrap() == content[..SEGMENT]);
        assert!(reader.read(2 * s, SEGMENT).unwrap() == content[2 * SEGMENT..]);
    }
}

#[test]
fn swapped_and_repeated_parts_are_errors_or_found() {
    let h = segmented(12);
    let content = content(4 * SEGMENT, 15);
    let frame = without_index(&h.compress(&content));
    let parts = parts_of(&frame);
    let starts: Vec<usize> =
        parts.iter().filter(|(what, ..)| *what == What::Segment).map(|(_, range, _)| range.start).collect();
    let [_, one, two, three] = starts[..] else { panic!("{starts:?}") };
    let swapped = [&frame[..one], &frame[two..three], &frame[one..two], &frame[three..]].concat();
    assert_eq!(h.reader(&swapped).unwrap_err(), GPTZ_ERROR_CORRUPT);
    let twice = [&frame[..two], &frame[one..]].concat();
    assert_eq!(h.reader(&twice).unwrap_err(), GPTZ_ERROR_CORRUPT);
    // With an index they are found, because every segment says where it belongs.
    let mut index = index_of(&h.compress(&content));
    let mut indexed = swapped.clone();
    index.offsets[2] = index.offsets[1] + (three - two) as u64;
    index.write(&mut indexed).unwrap();
    let reader = h.reader(&indexed).unwrap();
    assert!(reader.read(0, SEGMENT).unwrap() == content[..SEGMENT]);
    assert!(reader.read(3 * SEGMENT as u64, SEGMENT).unwrap() == content[3 * SEGMENT..]);
    assert_eq!(reader.read(SEGMENT as u64, SEGMENT), Err(GPTZ_ERROR_CORRUPT));
    drop(reader);
    // Blocks: a coded one decodes to something else, a frame with one more or one less has another length.
    let blocks: Vec<_> = parts.iter().filter(|(what, ..)| *what == What::BlockHeader).map(|p| p.1.start).collect();
    let repeated = [&frame[..blocks[3]], &frame[blocks[2]..]].concat();
    assert_eq!(h.reader(&repeated).unwrap_err(), GPTZ_ERROR_CORRUPT);
    let mut exchanged = [&frame[..blocks[1]], &frame[blocks[2]..blocks[3]], &frame[blocks[1]..blocks[2]]].concat();
    exchanged.extend(&frame[blocks[3]..]);
    if let Ok(reader) = h.reader(&exchanged) {
        assert_eq!(reader.read(0, SEGMENT), Err(GPTZ_ERROR_CORRUPT));
    }
}

#[test]
fn sources_that_lie_or_fail_are_errors() {
    let h = segmented(12);
    let content = content(2 * SEGMENT, 16);
    let frame = h.compress(&content);
    for (instead, status, text) in [
        ((|_, _, _| Some(-7)) as fn(u64, u64, usize) -> Option<i64>, GPTZ_ERROR_IO, "-7"),
        (|_, _, len| Some(len as i64 + 1), GPTZ_ERROR_IO, "asked for"),
        (|_, _, _| Some(i64::MAX), GPTZ_ERROR_IO, "asked for"),
        (|_, _, _| Some(i64::MIN), GPTZ_ERROR_IO, "-9223372036854775808"),
        (|_, _, _| Some(0), GPTZ_ERROR_TRUNCATED, "stated"),
    ] {
        let mut bytes = Bytes::new(&frame);
        bytes.instead = instead;
        assert_eq!(h.reader_of(&bytes.source()).unwrap_err(), status);
        assert!(message().contains(text), "{}", message());
        // Later, in a read: the reader can go on.
        let mut bytes = Bytes::new(&frame);
        let source = bytes.source();
        let reader = h.reader_of(&source).unwrap();
        // SAFETY: the value that the source points at; no call is running.
        unsafe { (*source.opaque.cast::<Bytes>()).instead = instead };
        assert_eq!(reader.read(SEGMENT as u64 / 2, 5000), Err(status));
        // SAFETY: as above.
        unsafe { (*source.opaque.cast::<Bytes>()).instead = |_, _, _| None };
        assert!(reader.read(0, content.len()).unwrap() == content);
    }
    // A source of 2^63 bytes that has only these.
    let mut bytes = Bytes::new(&frame);
    bytes.instead = |_, offset, _| (offset > 1 << 40).then_some(0);
    let mut source = bytes.source();
    source.size = 1 << 63;
    assert_eq!(h.reader_of(&source).unwrap_err(), GPTZ_ERROR_TRUNCATED);
    // Nothing at all.
    source.size = 0;
    assert_eq!(h.reader_of(&source).unwrap_err(), GPTZ_ERROR_TRUNCATED);
    source.read_at = None;
    assert_eq!(h.reader_of(&source).unwrap_err(), GPTZ_ERROR_ARGUMENT);
}

#[test]
fn frames_of_several_lanes_are_read_and_streamed() {
    let (h, reader) = (segmented(14), Handle::new(FAST));
    let content = content(SEGMENT + 20_009, 3);
    for lanes in [2, 8] {
        h.set(GPTZ_PARAM_LANES, lanes);
        let frame = h.compress(&content);
        let open = reader.reader(&frame).unwrap();
        for (offset, len) in [(0, 10), (SEGMENT - 5, 10), (70_000, 3000), (0, content.len())] {
            assert!(
                open.read(offset as u64, len).unwrap() == content[offset..offset + len],
                "{lanes} lanes at {offset}"
            );
        }
        drop(open);
        let (status, taken, given, _) = reader.stream_decompress(&frame, content.len());
        assert_eq!(status, GPTZ_OK, "{}", message());
        assert!(taken <= frame.len() && given == content);
        reader.stream_reset();
        h.set(GPTZ_PARAM_CONTENT_LENGTH, content.len() as i64);
        let (status, _, streamed, remaining) = h.stream_compress(&content, frame.len(), GPTZ_END);
        assert_eq!((status, remaining), (GPTZ_OK, 0));
        assert!(streamed == frame);
    }
}

#[test]
fn frames_that_cannot_be_read_are_told_at_once() {
    let h = segmented(12);
    let own = h.compress(&content(SEGMENT + 9, 17));
    let cases = [
        (Handle::new(LEARNING).compress(ALICE), GPTZ_ERROR_MISMATCH),
        (with_header(&own, |header| header.numerics += 1), GPTZ_ERROR_NUMERICS),
        // The segments name another header.
        (with_header(&own, |header| header.shape.lanes_log = 2), GPTZ_ERROR_CORRUPT),
        (
            {
                let h = Handle::new(FAST);
                h.set(GPTZ_PARAM_FORMAT, 2);
                h.compress(ALICE)
            },
            GPTZ_ERROR_STATE,
        ),
        (b"garbage".to_vec(), GPTZ_ERROR_FORMAT),
        (b"GP".to_vec(), GPTZ_ERROR_TRUNCATED),
    ];
    for (bad, status) in cases {
        assert_eq!(h.reader(&[&own[..], &bad].concat()).unwrap_err(), status, "{}", message());
    }
    h.set(GPTZ_PARAM_WORK_LIMIT, 1);
    assert_eq!(h.reader(&own).unwrap_err(), GPTZ_ERROR_METHOD);
    let h = segmented(12);
    h.set(GPTZ_PARAM_MEMORY_LIMIT, 1000);
    assert_eq!(h.reader(&own).unwrap_err(), GPTZ_ERROR_MEMORY);
}

#[test]
fn a_frame_in_the_content_of_another_is_content() {
    // A frame whose content is stored and which ends without a checksum, so that the source ends with the inner index.
    let h = segmented(12);
    let inner = h.compress(&content(2 * SEGMENT, 18));
    let outer = Handle::new(FAST);
    outer.set(GPTZ_PARAM_CHECKSUM, 0);
    outer.set(GPTZ_PARAM_BLOCK_LOG, 20);
    let frame = outer.compress(&inner);
    assert!(frame.ends_with(&inner), "it is stored");
    check_places(&h.reader(&frame).unwrap(), &inner);
}

#[test]
fn an_open_reader_holds_its_handle() {
    let h = segmented(12);
    let content = content(SEGMENT + 100, 19);
    let frame = h.compress(&content);
    let reader = h.reader(&frame).unwrap();
    let mut value = 0.0;
    // SAFETY: a handle, buffers of their lengths, places to write to.
    unsafe {
        let mut room = [0u8; 100];
        let (b, dst) = (frame.as_ptr().cast::<c_void>(), room.as_mut_ptr().cast::<c_void>());
        let mut n = 0;
        let mut other = ptr::null_mut();
        assert_eq!(gptz_compress(h.0, b, 8, dst, 100, &mut n), GPTZ_ERROR_STATE);
        assert_eq!(gptz_decompress(h.0, b, 8, dst, 100, &mut n), GPTZ_ERROR_STATE);
        assert_eq!(gptz_feed(h.0, b, 8), GPTZ_ERROR_STATE);
        assert_eq!(gptz_cross_entropy(h.0, b, 8, &mut value), GPTZ_ERROR_STATE);
        assert_eq!(gptz_set(h.0, GPTZ_PARAM_BLOCK_LOG, 13), GPTZ_ERROR_STATE);
        assert_eq!(gptz_set_base(h.0, ptr::null()), GPTZ_ERROR_STATE);
        assert_eq!(gptz_stream_reset(h.0), GPTZ_ERROR_STATE);
        assert_eq!(gptz_reader_open_memory(h.0, b, 8, &mut other), GPTZ_ERROR_STATE);
    }
    assert_eq!(h.stream_compress(b"x", 10, GPTZ_CONTINUE).0, GPTZ_ERROR_STATE);
    assert_eq!(h.stream_decompress(&frame, 10).0, GPTZ_ERROR_STATE);
    let mut told = Salvaged::default();
    assert_eq!(h.salvage_of(&Bytes::new(&frame).source(), &mut told), GPTZ_ERROR_STATE);
    assert_eq!((h.get(GPTZ_PARAM_BLOCK_LOG), h.method().is_empty()), (12, false));
    assert!(reader.read(5, 10).unwrap() == content[5..15]);
    drop(reader);
    assert!(h.decompress(&frame) == content);
    // A stream is in the way of a reader.
    assert_eq!(h.stream_compress(b"x", 10, GPTZ_CONTINUE).0, GPTZ_OK);
    assert_eq!(h.reader(&frame).unwrap_err(), GPTZ_ERROR_STATE);
    // The handle may be freed first.
    let h = segmented(12);
    let reader = h.reader(&frame).unwrap();
    drop(h);
    check_places(&reader, &content);
    // And by another thread, while the reader moves too.
    let h = segmented(12);
    let reader = h.reader(&frame).unwrap();
    std::thread::scope(|s| {
        s.spawn(move || drop(h));
        let content = &content;
        s.spawn(move || check_places(&{ reader }, content));
    });
}

/// What a callback inside a call tries to do with the reader, and what came of it.
struct Inside {
    bytes: Bytes<'static>,
    reader: *mut gptz_reader,
    handle: *mut gptz,
    seen: Vec<gptz_status>,
}

unsafe extern "C" fn read_inside(opaque: *mut c_void, offset: u64, dst: *mut c_void, len: usize) -> i64 {
    // SAFETY: the test's value, and the buffer of the library.
    unsafe {
        let inside = &mut *opaque.cast::<Inside>();
        if !inside.reader.is_null() && inside.seen.is_empty() {
            let (mut byte, mut n, mut size) = (0u8, 0, 0);
            let status = gptz_reader_read(inside.reader, 0, (&raw mut byte).cast(), 1, &mut n);
            inside.seen.push(status);
            inside.seen.push(gptz_set(inside.handle, GPTZ_PARAM_CODER, 0));
            inside.seen.push(gptz_reader_size(inside.reader, &mut size));
            // It must not free what is running.
            gptz_reader_free(inside.reader);
        }
        let n = len.min(inside.bytes.bytes.len() - offset as usize);
        inside.bytes.bytes[offset as usize..].as_ptr().copy_to_nonoverlapping(dst.cast(), n);
        n as i64
    }
}

#[test]
fn a_second_call_is_busy() {
    let h = segmented(12);
    let content = content(SEGMENT + 100, 20);
    let frame: &'static [u8] = h.compress(&content).leak();
    let mut inside = Inside { bytes: Bytes::new(frame), reader: ptr::null_mut(), handle: h.0, seen: Vec::new() };
    let at = &raw mut inside;
    let source = gptz_source { opaque: at.cast(), read_at: Some(read_inside), size: frame.len() as u64 };
    let reader = h.reader_of(&source).unwrap();
    // SAFETY: the value outlives the reader, and no call is running.
    unsafe { (*at).reader = reader.0 };
    check_places(&reader, &content);
    drop(reader);
    assert_eq!(inside.seen, [GPTZ_ERROR_BUSY, GPTZ_ERROR_BUSY, GPTZ_OK]);
    assert_eq!(h.set(GPTZ_PARAM_CODER, 0), GPTZ_OK);
}

unsafe extern "C" fn cancel(userdata: *mut c_void, _done: u64, total: u64) -> i32 {
    // SAFETY: the test's counter.
    let left = unsafe { &mut *userdata.cast::<u64>() };
    assert_eq!(total, u64::MAX);
    *left = left.saturating_sub(1);
    i32::from(*left == 0)
}

#[test]
fn a_cancelled_read_can_be_made_again() {
    let h = segmented(12);
    let content = content(2 * SEGMENT, 21);
    let frame = h.compress(&content);
    let mut left = u64::MAX;
    h.set_progress(Some(cancel), (&raw mut left).cast());
    let at = &raw mut left;
    let bare = without_index(&frame);
    let reader = h.reader(&bare).unwrap();
    for n in [1, 2, 3, 9] {
        // SAFETY: no call is running.
        unsafe { *at = n };
        assert_eq!(reader.read(SEGMENT as u64 - 100, 200), Err(GPTZ_ERROR_CANCELLED));
        // SAFETY: as above.
        unsafe { *at = u64::MAX };
        assert!(reader.read(SEGMENT as u64 - 100, 200).unwrap() == content[SEGMENT - 100..][..200]);
        assert!(reader.read(0, content.len()).unwrap() == content);
    }
    drop(reader);
    // SAFETY: as above.
    unsafe { *at = 3 };
    assert_eq!(h.reader(&bare).unwrap_err(), GPTZ_ERROR_CANCELLED);
}

#[test]
fn wrong_arguments_are_refused() {
    let h = segmented(12);
    let frame = h.compress(ALICE);
    let reader = h.reader(&frame).unwrap();
    let (mut n, mut size) = (7, 7);
    // SAFETY: NULL and other objects, which the calls must notice; a buffer of its length.
    unsafe {
        let mut out = ptr::without_provenance_mut(1);
        assert_eq!(gptz_reader_open(h.0, ptr::null(), &mut out), GPTZ_ERROR_STATE);
        assert!(out.is_null());
        assert_eq!(gptz_reader_open_memory(ptr::null_mut(), ptr::null(), 0, &mut out), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_reader_open_memory(h.0, frame.as_ptr().cast(), 5, ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_reader_size(ptr::null(), &mut size), GPTZ_ERROR_ARGUMENT);
        assert_eq!(size, 0);
        assert_eq!(gptz_reader_size(reader.0, ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_reader_size(h.0.cast(), &mut size), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_reader_read(ptr::null_mut(), 0, ptr::null_mut(), 0, &mut n), GPTZ_ERROR_ARGUMENT);
        assert_eq!(n, 0);
        assert_eq!(gptz_reader_read(reader.0, 0, ptr::null_mut(), 5, &mut n), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_reader_read(reader.0, 0, frame.as_ptr().cast_mut().cast(), 5, &mut n), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_reader_read(reader.0, 0, ptr::null_mut(), 0, ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_reader_read(reader.0, 0, ptr::null_mut(), 0, &mut n), GPTZ_OK);
        gptz_reader_free(ptr::null_mut());
        gptz_reader_free(h.0.cast());
        gptz_free(reader.0.cast());
    }
    assert_eq!(frames(&frame).count(), 1);
    assert!(reader.read(0, ALICE.len()).unwrap() == ALICE);
}
