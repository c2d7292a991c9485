//! Salvage through the C ABI: sound sources, every kind of damage, forged and moved parts, callbacks.

mod common;

use std::ptr;

use ::gptz::container::{
    BlockKind, Frame, HeaderV3, INDEX_FOOTER_LEN, Index, Segment, Skippable, block_crc, frame_tag, write_block_header,
};
use common::*;

/// A small and fast mix.
const FAST: &str = "mix:neural=none,orders=0-2,word=0,match=0,sparse=0,mem=64K";
const SEGMENT: usize = 1 << 16;
const S: u64 = SEGMENT as u64;

/// Text that is coded, between noise that is stored.
fn content(n: usize, seed: u64) -> Vec<u8> {
    let mut content = Vec::new();
    for i in 0.. {
        content.extend_from_slice(&ALICE[i * 700 % 100_000..][..3000]);
        content.extend(noise(7 * 4096 - 3000, seed + i as u64));
        if content.len() >= n {
            break;
        }
    }
    content.truncate(n);
    content
}

fn segmented() -> Handle {
    let h = Handle::new(FAST);
    h.set(GPTZ_PARAM_BLOCK_LOG, 12);
    h.set(GPTZ_PARAM_SEGMENT_LOG, 16);
    h
}

/// A frame whose length is in its trailer.
fn streamed(h: &Handle, content: &[u8]) -> Vec<u8> {
    let (status, taken, frame, remaining) = h.stream_compress(content, 1 << 21, GPTZ_END);
    assert_eq!((status, taken, remaining), (GPTZ_OK, content.len(), 0), "{}", message());
    frame
}

fn without_index(frame: &[u8]) -> Vec<u8> {
    let len = Index::frame_len_of(frame.last_chunk::<INDEX_FOOTER_LEN>().unwrap()).expect("an index") as usize;
    frame[..frame.len() - len].to_vec()
}

/// Turns the stored blocks behind the last coded one of each segment into blocks that the predictor does not see.
fn skipping(mut frame: Vec<u8>, content: &[u8]) -> Vec<u8> {
    let (mut is_behind, mut header) = (true, 0..0);
    for (what, range, raw) in parts_of(&frame).into_iter().rev() {
        match what {
            What::Payload(kind) => {
                is_behind &= !kind.is_coded();
                header = range;
            }
            What::BlockHeader if is_behind => {
                let crc = block_crc(BlockKind::StoredSkipped, &content[raw as usize..][..header.len()]);
                frame[range.start] = BlockKind::StoredSkipped as u8;
                frame[range.end - 4..range.end].copy_from_slice(&crc.to_le_bytes());
            }
            What::Segment => is_behind = true,
            _ => {}
        }
    }
    frame
}

/// Where the segments of a frame start, and where they end.
fn segments(frame: &[u8]) -> Vec<usize> {
    let parts = parts_of(frame);
    let of = |what: What| move |part: &&(What, std::ops::Range<usize>, u64)| part.0 == what;
    parts.iter().filter(of(What::Segment)).chain(parts.iter().filter(of(What::End))).map(|p| p.1.start).collect()
}

/// The ranges that are lost, after checking that what was written is right, that everything was told in order, and that
/// it covers the content. `unknown`: whether a loss of unknown length is allowed at the end.
#[track_caller]
fn losses(told: &Salvaged, content: &[u8], unknown: bool) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = Vec::new();
    for (offset, data) in &told.written {
        let at = *offset as usize;
        assert!(at + data.len() <= content.len(), "{} bytes written at {at} of {}", data.len(), content.len());
        assert!(*data == content[at..at + data.len()], "wrong bytes at {at}");
        all.push((*offset, data.len() as u64));
    }
    assert!(all.is_sorted(), "written in order");
    let ranges: Vec<_> = told.lost.iter().map(|(offset, len, _)| (*offset, *len)).filter(|(_, len)| *len > 0).collect();
    assert!(ranges.is_sorted(), "told in order");
    all.extend(&ranges);
    all.sort_unstable();
    let mut next = 0;
    for (offset, len) in &all {
        assert_eq!(*offset, next, "{all:?}");
        if *len == u64::MAX {
            assert!(unknown, "an unknown length: {:?}", told.lost);
            assert_eq!((*offset, *len), *all.last().unwrap());
            return ranges;
        }
        next += len;
    }
    assert_eq!(next, content.len() as u64, "{:?}", told.lost);
    ranges
}

#[test]
fn a_sound_source_loses_nothing() {
    let h = segmented();
    for n in [0, 1, 5000, SEGMENT, 2 * SEGMENT + 77] {
        let content = content(n, n as u64);
        for checksum in [1, 0] {
            for segment_log in [16, 0] {
                h.set(GPTZ_PARAM_CHECKSUM, checksum);
                h.set(GPTZ_PARAM_SEGMENT_LOG, segment_log);
                for frame in [h.compress(&content), streamed(&h, &content)] {
                    let told = h.salvage(&frame);
                    assert!(told.lost.is_empty(), "{:?}", told.lost);
                    losses(&told, &content, false);
                }
            }
        }
    }
    assert!(h.salvage(&[]).written.is_empty());
}

#[test]
fn frames_of_several_methods_are_one_content() {
    let (h, other) = (segmented(), Handle::new("level:1"));
    let parts = [content(SEGMENT + 100, 1), ALICE[..3000].to_vec(), Vec::new(), content(2 * SEGMENT, 2)];
    let mut all = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        all.extend(if i == 1 { &other } else { &h }.compress(part));
        Skippable { kind: 0, data: b"between" }.write(&mut all);
    }
    losses(&h.salvage(&all), &parts.concat(), false);
    // A damaged skippable frame costs nothing.
    let at = all.len() - 3;
    all[at] ^= 1;
    assert!(losses(&h.salvage(&all), &parts.concat(), false).is_empty());
}

/// Damage of one byte costs at most its segment, and of the index nothing.
#[test]
fn a_changed_byte_costs_at_most_its_segment() {
    check_changes(13, 9001);
}

#[test]
#[ignore = "minutes; the test above does the same with fewer bytes"]
fn every_changed_byte_of_structure_costs_at_most_its_segment() {
    check_changes(1, 997);
}

/// Changes every `header`-th byte of the headers of blocks and of the index, and every `payload`-th of payloads.
fn check_changes(header: usize, payload: usize) {
    let h = segmented();
    let content = content(3 * SEGMENT - 20_000, 3);
    let mut kinds = [0; 5];
    for frame in [h.compress(&content), streamed(&h, &content)].map(|frame| skipping(frame, &content)) {
        assert!(h.decompress(&frame) == content);
        let index_at = without_index(&frame).len();
        let mut places: Vec<(usize, What, u64)> =
            (index_at..frame.len()).step_by(header).map(|at| (at, What::End, u64::MAX)).collect();
        for (what, range, raw) in parts_of(&frame) {
            let step = match what {
                What::Payload(_) => payload,
                What::BlockHeader => header,
                _ => 1,
            };
            places.extend(range.step_by(step).map(|at| (at, what, raw)));
        }
        for (place, what, raw) in places {
            let mut bad = frame.clone();
            bad[place] ^= [1, 0x80, 0xff, 5][place % 4];
            let told = h.salvage(&bad);
            let lost = losses(&told, &content, what == What::Header);
            let name = format!("byte {place}, {what:?} of content byte {raw}: {:?}", told.lost);
            match what {
                What::Header => {
                    assert_eq!(lost, [(0, u64::MAX)], "{name}");
                    kinds[0] += 1;
                }
                // The checksum of the content, or the length, which the index has too.
                What::End => {
                    assert!(lost.is_empty() || raw != u64::MAX && lost.iter().all(|(at, _)| *at >= 2 * S), "{name}");
                    kinds[1] += 1;
                }
                What::Payload(BlockKind::StoredSkipped) => {
                    assert_eq!(lost.len(), 1, "{name}");
                    assert_eq!(lost[0].0, raw, "{name}");
                    assert!(lost[0].1 <= 4096, "{name}");
                    kinds[2] += 1;
                }
                _ => {
                    let from = raw / S * S;
                    let inside = |(at, len): &(u64, u64)| *at >= from && at + len <= from + S;
                    assert!(lost.iter().all(inside), "{name}");
                    // The blocks before it.
                    assert!(lost.iter().all(|(at, _)| *at >= raw), "{name}");
                    assert!(!lost.is_empty(), "{name}");
                    kinds[3] += 1;
                    // And stored ones behind it.
                    kinds[4] += usize::from(lost.iter().map(|(_, len)| len).sum::<u64>() < from + S - raw);
                }
            }
        }
    }
    assert!(kinds.iter().all(|n| *n > 3), "{kinds:?}");
}

#[test]
fn a_cut_keeps_all_whole_blocks() {
    let h = segmented();
    let content = content(2 * SEGMENT + 30_000, 4);
    for (frame, known) in [(h.compress(&content), true), (streamed(&h, &content), false)] {
        let parts = parts_of(&frame);
        for cut in (1..frame.len()).step_by(4777).chain(frame.len() - 40..frame.len()) {
            let told = h.salvage(&frame[..cut]);
            losses(&told, &content, true);
            let whole: u64 = parts
                .iter()
                .filter(|(what, range, _)| matches!(what, What::Payload(_)) && range.end <= cut)
                .map(|(_, _, raw)| raw + (content.len() as u64 - raw).min(4096).min(S - raw % S))
                .max()
                .unwrap_or(0);
            let written: u64 = told.written.iter().map(|(_, data)| data.len() as u64).sum();
            assert_eq!(written, whole, "cut at {cut}: {:?}", told.lost);
            // Bytes behind the frame could be the start of another one.
            let end = parts.last().unwrap().1.end;
            if known && (parts[0].1.end..=end).contains(&cut) {
                losses(&told, &content, false);
            }
        }
    }
}

/// Large damage: a whole segment of other bytes, several of them, the places between them.
#[test]
fn every_other_segment_survives() {
    let h = segmented();
    let content = content(5 * SEGMENT + 100, 5);
    for frame in [h.compress(&content), streamed(&h, &content)] {
        let starts = segments(&frame);
        for (from, to) in [(0, 1), (1, 2), (1, 4), (0, 5), (2, 6), (5, 6)] {
            let mut bad = frame.clone();
            let range = starts[from]..starts[to];
            bad[range.clone()].copy_from_slice(&noise(range.len(), 6));
            let lost = losses(&h.salvage(&bad), &content, false);
            let end = (to as u64 * S).min(content.len() as u64);
            assert_eq!(lost, [(from as u64 * S, end - from as u64 * S)]);
            // The bytes are gone, not only changed.
            let cut = [&frame[..starts[from]], &frame[starts[to]..]].concat();
            let found = losses(&h.salvage(&cut), &content, to == 6);
            // Of a stream the end is unknown then: the index is too far from the start to be believed.
            assert!(found == lost || to == 6 && found == [(lost[0].0, u64::MAX)], "{found:?}");
        }
        // Every second one.
        let mut bad = frame.clone();
        for k in [0, 2, 4] {
            bad[starts[k] + 2] ^= 0x55;
        }
        assert_eq!(losses(&h.salvage(&bad), &content, false), [(0, S), (2 * S, S), (4 * S, S)]);
    }
}

#[test]
fn swapped_and_repeated_segments_lose_nothing() {
    let h = segmented();
    let content = content(4 * SEGMENT + 9000, 7);
    for frame in [h.compress(&content), streamed(&h, &content)] {
        let frame = without_index(&frame);
        let s = segments(&frame);
        let of = |k: usize| &frame[s[k]..s[k + 1]];
        for order in
            [&[0, 2, 1, 3, 4][..], &[4, 3, 2, 1, 0], &[0, 1, 1, 2, 3, 3, 4], &[1, 2, 3, 4, 0], &[0, 1, 4, 2, 3]]
        {
            let mut moved = frame[..s[0]].to_vec();
            order.iter().for_each(|k| moved.extend(of(*k)));
            moved.extend(&frame[s[5]..]);
            let told = h.salvage(&moved);
            assert!(losses(&told, &content, false).is_empty(), "{order:?}: {:?}", told.lost);
        }
    }
}

#[test]
fn moved_blocks_never_give_wrong_content() {
    let h = segmented();
    let content = content(50_000, 8);
    for segment_log in [0, 16] {
        h.set(GPTZ_PARAM_SEGMENT_LOG, segment_log);
        let frame = h.compress(&content);
        check_moves(&h, &frame, &content);
        check_moves(&h, &skipping(frame, &content), &content);
        check_moves(&h, &streamed(&h, &content), &content);
    }
}

fn check_moves(h: &Handle, frame: &[u8], content: &[u8]) {
    let starts: Vec<usize> =
        parts_of(frame).iter().filter(|p| matches!(p.0, What::BlockHeader | What::End)).map(|p| p.1.start).collect();
    for k in 0..starts.len() - 2 {
        let (one, two, three) = (starts[k], starts[k + 1], starts[k + 2]);
        let twice = [&frame[..two], &frame[one..]].concat();
        let missing = [&frame[..one], &frame[two..]].concat();
        for bad in [twice, missing] {
            losses(&h.salvage(&bad), content, true);
        }
        // Of two stored blocks that change places, no checksum but that of the content tells; of a stored and a coded
        // one, the coded one does.
        let swapped = [&frame[..one], &frame[two..three], &frame[one..two], &frame[three..]].concat();
        let told = h.salvage(&swapped);
        assert!(!told.lost.is_empty());
        assert!(told.written.iter().all(|(offset, data)| offset + data.len() as u64 <= content.len() as u64));
        if told.lost.iter().all(|(_, len, _)| *len == 0) {
            assert!(told.lost[0].2.contains("stored blocks moved"), "{:?}", told.lost);
        }
    }
}

/// A segment header of the frame for another place of the content.
fn header_for(frame: &[u8], raw_offset: u64) -> Vec<u8> {
    let body = parts_of(frame)[0].1.end;
    let mut header = Vec::new();
    Segment { tag: frame_tag(&frame[..body]), raw_offset }.write(&mut header);
    header
}

#[test]
fn forged_places_are_told_and_not_believed() {
    let h = segmented();
    let content = content(3 * SEGMENT, 9);
    let frame = without_index(&streamed(&h, &content));
    let parts = parts_of(&frame);
    let (_, second, _) = parts.iter().find(|(what, _, raw)| *what == What::Segment && *raw == S).unwrap();
    for raw in [1 << 60, 1 << 40, 1 << 34, (1 << 60) + 1, 7, !(S - 1)] {
        let forged = [&frame[..second.start], &header_for(&frame, raw), &frame[second.end..]].concat();
        let told = h.salvage(&forged);
        assert_eq!(losses(&told, &content, true), [(S, S)], "{raw:#x}");
        // The last one: nothing says any more where the content ends.
        let (_, last, _) = parts.iter().find(|(what, _, raw)| *what == What::Segment && *raw == 2 * S).unwrap();
        let forged = [&frame[..last.start], &header_for(&frame, raw), &frame[last.end..]].concat();
        let told = h.salvage(&forged);
        assert_eq!(losses(&told, &content, true), [(2 * S, u64::MAX)], "{raw:#x}");
        assert!(told.lost.iter().all(|(_, len, _)| *len == u64::MAX || *len < 1 << 30));
    }
    // A header that states 2^60 bytes: the length is its word, nothing else is.
    let frame = h.compress(&content);
    let forged = with_header(&frame, |header| header.length = Some(1 << 60));
    let told = h.salvage(&forged);
    assert!(told.written.is_empty());
    assert_eq!(told.lost[0].1, 1 << 60);
}

#[test]
fn a_destroyed_frame_does_not_hide_the_next() {
    let h = segmented();
    let (first, second) = (content(SEGMENT + 500, 10), content(2 * SEGMENT, 11));
    h.set(GPTZ_PARAM_SEGMENT_LOG, 0);
    let single = Handle::new(FAST);
    for bytes in [h.compress(&first), streamed(&h, &first), single.compress(&first[..3000])] {
        h.set(GPTZ_PARAM_SEGMENT_LOG, 16);
        let next = h.compress(&second);
        for damage in [0, 3, 4, 5, 8] {
            let mut all = [&bytes[..], &next].concat();
            all[damage] ^= 0x10;
            let told = h.salvage(&all);
            // The content is counted from where it was last known.
            assert_eq!(told.lost.len(), 1, "{:?}", told.lost);
            assert_eq!((told.lost[0].0, told.lost[0].1), (0, u64::MAX), "byte {damage}");
            let rest = Salvaged { written: told.written, ..Salvaged::default() };
            losses(&rest, &second, false);
        }
        h.set(GPTZ_PARAM_SEGMENT_LOG, 0);
    }
    // Garbage before, between and behind.
    h.set(GPTZ_PARAM_SEGMENT_LOG, 16);
    let next = h.compress(&second);
    let all = [&noise(100, 1)[..], &next, b"GPTZ", &next, b"tail"].concat();
    let told = h.salvage(&all);
    assert_eq!(
        told.lost.iter().map(|l| (l.0, l.1)).collect::<Vec<_>>(),
        [(0, u64::MAX), (2 * S, u64::MAX), (4 * S, u64::MAX)]
    );
    let written: Vec<u8> = told.written.iter().flat_map(|(_, data)| data.clone()).collect();
    assert!(written == second.repeat(2));
}

#[test]
fn a_damaged_single_block_is_lost_alone() {
    let h = Handle::new(FAST);
    let parts = [&ALICE[..3000], &noise(3000, 12), &ALICE[3000..5000]];
    let frames: Vec<Vec<u8>> = parts.iter().map(|part| h.compress(part)).collect();
    let starts: Vec<usize> = frames.iter().scan(0, |at, f| Some(std::mem::replace(at, *at + f.len()))).collect();
    let all = frames.concat();
    for (k, start) in starts.iter().enumerate() {
        let before: u64 = parts[..k].iter().map(|p| p.len() as u64).sum();
        let header = Frame::first_header(&frames[k]).unwrap().1;
        for at in (header..frames[k].len()).step_by(97).chain(frames[k].len() - 4..frames[k].len()) {
            let mut bad = all.clone();
            bad[start + at] ^= 0x21;
            let lost = losses(&h.salvage(&bad), &parts.concat(), false);
            assert_eq!(lost, [(before, parts[k].len() as u64)], "frame {k}, byte {at}");
        }
    }
}
#[test]
fn without_checksums_nothing_behind_an_error_is_given() {
    let h = segmented();
    h.set(GPTZ_PARAM_CHECKSUM, 0);
    let content = content(3 * SEGMENT, 13);
    let frame = h.compress(&content);
    let (_, at, raw) = parts_of(&frame)
        .into_iter()
        .find(|(what, _, raw)| matches!(what, What::Payload(BlockKind::Coded)) && *raw > S)
        .unwrap();
    let mut bad = frame.clone();
    // Behind the payload's end nothing may follow, which the coder notices.
    bad[at.end - 1] ^= 0x40;
    let told = h.salvage(&bad);
    assert_eq!(losses(&told, &content, false), [(raw, 2 * S - raw)]);
}

#[test]
fn frames_in_stored_content_are_content() {
    let h = segmented();
    let inner = h.compress(&content(30_000, 14));
    // Stored content that has frames, in a segment whose first block is damaged.
    let content = [&ALICE[..5000], &noise(10_000, 15), &inner, &noise(60_000, 16), &inner, &noise(50_000, 17)].concat();
    let frame = h.compress(&content);
    let payloads: Vec<_> = parts_of(&frame).into_iter().filter(|p| matches!(p.0, What::Payload(_))).collect();
    for (_, range, raw) in [&payloads[0], &payloads[3], &payloads[8]] {
        let mut bad = frame.clone();
        bad[range.start + 1] ^= 1;
        let lost = losses(&h.salvage(&bad), &content, false);
        assert!(lost.iter().all(|(at, len)| at / S == raw / S && (at + len - 1) / S == raw / S), "{lost:?}");
    }
    // The same with a destroyed block header: the walk breaks.
    for (what, range, raw) in parts_of(&frame).into_iter().filter(|p| p.0 == What::BlockHeader).step_by(5) {
        let mut bad = frame.clone();
        bad[range.start] = 99;
        let lost = losses(&h.salvage(&bad), &content, false);
        assert!(lost.iter().all(|(at, _)| at / S == raw / S), "{what:?} {raw}: {lost:?}");
    }
}

#[test]
fn a_frame_that_cannot_be_decoded_is_told_before_anything_is_given() {
    let h = segmented();
    let (own, small) = (h.compress(&content(SEGMENT + 9, 17)), h.compress(b"small"));
    for (bad, status) in [
        (Handle::new(LEARNING).compress(&ALICE[..500]), GPTZ_ERROR_MISMATCH),
        (with_header(&small, |header: &mut HeaderV3| header.numerics += 1), GPTZ_ERROR_NUMERICS),
    ] {
        for all in [[&own[..], &bad].concat(), [&own[..], b"garbage", &bad].concat()] {
            let mut told = Salvaged::default();
            assert_eq!(h.salvage_of(&Bytes::new(&all).source(), &mut told), status, "{}", message());
            assert!(told.written.is_empty() && told.lost.is_empty());
        }
    }
    // A version 2 frame is lost, because its version may be the damage.
    let v2 = Handle::new(FAST);
    v2.set(GPTZ_PARAM_FORMAT, 2);
    let told = h.salvage(&v2.compress(ALICE));
    assert_eq!((told.lost[0].0, told.lost[0].1), (0, u64::MAX));
    assert!(told.lost[0].2.contains("version 2"));
}

#[test]
fn callbacks_stop_the_call() {
    let h = segmented();
    let content = content(3 * SEGMENT, 18);
    let mut frame = h.compress(&content);
    let middle = segments(&frame)[1];
    frame[middle + 1] ^= 1;
    let all = h.salvage(&frame);
    let count = all.written.len() + all.lost.len();
    for stop in 0..count {
        let mut told = Salvaged { stop_after: Some(stop), ..Salvaged::default() };
        assert_eq!(h.salvage_of(&Bytes::new(&frame).source(), &mut told), GPTZ_ERROR_CANCELLED);
        assert_eq!(told.written.len() + told.lost.len(), stop + 1);
    }
    assert_eq!(losses(&h.salvage(&frame), &content, false), [(S, S)]);
    // The source fails.
    let mut bytes = Bytes::new(&frame);
    bytes.instead = |call, _, _| (call > 5).then_some(-3);
    let mut told = Salvaged::default();
    assert_eq!(h.salvage_of(&bytes.source(), &mut told), GPTZ_ERROR_IO);
    bytes.instead = |call, _, _| (call > 5).then_some(0);
    assert_eq!(h.salvage_of(&bytes.source(), &mut told), GPTZ_ERROR_TRUNCATED);
    let source = Bytes::new(&frame).source();
    // SAFETY: NULL where a callback or an object is expected, which the call must notice.
    unsafe {
        assert_eq!(gptz_salvage(h.0, &source, None, None, ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_salvage(h.0, ptr::null(), None, None, ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_salvage(ptr::null_mut(), &source, None, None, ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
    }
}

/// Inputs for which each start of a frame leads to a long walk over the same bytes: the time must not grow with the square
/// of the size.
#[test]
fn hostile_sources_end() {
    let h = segmented();
    let seed = streamed(&h, &content(SEGMENT + 100, 19));
    let body = parts_of(&seed)[0].1.end;
    let mut block = Vec::new();
    write_block_header(&mut block, BlockKind::StoredSkipped, 4000, Some(1), 0);
    let unsegmented = with_header(&seed[..body], |header| header.shape.segment_log = 0);
    let header = header_for(&seed, 0);
    for unit in [
        // Frames that claim the bytes of many frames behind them.
        [&unsegmented[..], &block].concat(),
        [&seed[..body], &header, &block].concat(),
        [&seed[..body], &header_for(&seed, S)].concat(),
        seed[..body].to_vec(),
        header.clone(),
        b"GPTZ\x03".to_vec(),
        b"GPTZ\x00\x01\xff\xff\x0f".to_vec(),
        b"GPTS".to_vec(),
    ] {
        let all = unit.repeat((1 << 19) / unit.len());
        let told = h.salvage(&all);
        assert!(told.written.len() < all.len());
    }
}
