//! Many short contents from one base: each on its own, however they are grouped.

mod common;

use std::ffi::c_void;
use std::ptr;

use common::*;

/// A handle whose base has read some lines, and lines like them.
fn primed(method: &str) -> (Handle, Vec<Vec<u8>>) {
    let line = |i: u64| {
        let n = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        format!(
            "2024-05-{:02} host{} app[{}]: user={} status=ok took={}ms\n",
            i % 28 + 1,
            n % 7,
            n % 90,
            n % 31,
            n % 997
        )
    };
    let h = Handle::new(method);
    (0..200).for_each(|i| h.feed(line(i).as_bytes()));
    assert_eq!(h.set_base(Some(&h.snapshot())), GPTZ_OK);
    let mut lines: Vec<Vec<u8>> = (200..230).map(|i| line(i).into_bytes()).collect();
    lines.extend([vec![], noise(40, 1), vec![b'x'; 3000], line(3).repeat(40).into_bytes(), vec![7]]);
    (h, lines)
}

fn refs(lines: &[Vec<u8>]) -> Vec<&[u8]> {
    lines.iter().map(Vec::as_slice).collect()
}

#[test]
fn records_are_the_same_in_any_grouping_and_come_back() {
    for method in ["mix:mem=1M", LEARNING, &mixed_with(GRU)] {
        let (h, lines) = primed(method);
        let src = refs(&lines);
        let (status, lens, all) = records(&h, gptz_records_compress, &src, 100_000);
        assert_eq!(status, GPTZ_OK);
        let together = pieces(&all, &lens);
        for (i, (raw, record)) in src.iter().zip(&together).enumerate().rev() {
            let (status, len, alone) = records(&h, gptz_records_compress, &[raw], raw.len() + 10);
            assert_eq!((status, &alone[..len[0]]), (GPTZ_OK, *record), "{method}: record {i} alone is another one");
            assert!(record.len() <= raw.len() + 5);
            let (status, len, back) = records(&h, gptz_records_decompress, &[record], raw.len());
            assert_eq!((status, &back[..len[0]]), (GPTZ_OK, *raw), "{method}: record {i}");
        }
        let reversed: Vec<&[u8]> = together.iter().rev().copied().collect();
        let (status, sizes, back) = records(&h, gptz_records_decompress, &reversed, 100_000);
        assert_eq!(status, GPTZ_OK);
        assert!(pieces(&back, &sizes).iter().rev().eq(src.iter()));
        // They pay, and the handle's other calls are as if they had not been.
        let (known, cost) = (30 * 66, lens[..30].iter().sum::<usize>());
        assert!(cost * 3 < known, "{method}: {cost} of {known}");
        assert_eq!(h.compress(&lines[0]), primed(method).0.compress(&lines[0]));
    }
}

#[test]
fn too_little_room_tells_what_is_needed() {
    let (h, lines) = primed("mix:mem=64K");
    let src = refs(&lines);
    let (_, lens, all) = records(&h, gptz_records_compress, &src, 100_000);
    let needed: usize = lens.iter().sum();
    for room in [0, 1, needed - 1] {
        let (status, told, _) = records(&h, gptz_records_compress, &src, room);
        assert_eq!((status, &told), (GPTZ_ERROR_BUFFER_TOO_SMALL, &lens));
        assert!(message().contains(&needed.to_string()), "{}", message());
    }
    let (status, told, exact) = records(&h, gptz_records_compress, &src, needed);
    assert_eq!((status, told, &exact[..]), (GPTZ_OK, lens.clone(), &all[..needed]));
    let (compressed, sizes): (_, Vec<usize>) = (pieces(&all, &lens), src.iter().map(|r| r.len()).collect());
    let total: usize = sizes.iter().sum();
    let (status, told, _) = records(&h, gptz_records_decompress, &compressed, total - 1);
    assert_eq!((status, &told), (GPTZ_ERROR_BUFFER_TOO_SMALL, &sizes));
    let (status, told, back) = records(&h, gptz_records_decompress, &compressed, total);
    assert_eq!((status, told, back), (GPTZ_OK, sizes, src.concat()));
    assert_eq!(records(&h, gptz_records_compress, &[], 0), (GPTZ_OK, vec![], vec![]));
    assert_eq!(records(&h, gptz_records_decompress, &[], 0), (GPTZ_OK, vec![], vec![]));
}

#[test]
fn damage_gets_an_answer_and_names_the_record() {
    let (h, lines) = primed("mix:mem=64K");
    let (_, lens, all) = records(&h, gptz_records_compress, &[&lines[0]], 1000);
    let whole = &all[..lens[0]];
    let mut told = 0;
    let mut ask = |bytes: &[u8]| {
        let (status, sizes, back) = records(&h, gptz_records_decompress, &[whole, bytes], 200_000);
        match status {
            GPTZ_OK => assert!(back.starts_with(&lines[0]) && sizes[0] == lines[0].len()),
            GPTZ_ERROR_TRUNCATED | GPTZ_ERROR_CORRUPT => {
                assert!(message().contains("record 1") && sizes == [0, 0], "{}", message());
                told += 1;
            }
            GPTZ_ERROR_BUFFER_TOO_SMALL => {}
            other => panic!("{other}: {}", message()),
        }
    };
    for cut in 0..whole.len() {
        ask(&whole[..cut]);
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 1 << bit;
            ask(&bytes);
        }
    }
    assert!(told > whole.len() * 6, "{told} of {} told", whole.len() * 9);
    // Another base is another language.
    let (status, ..) = records(&Handle::new("mix:mem=64K"), gptz_records_decompress, &[whole], 1000);
    assert!(status == GPTZ_OK || status == GPTZ_ERROR_CORRUPT);
}

#[test]
fn wrong_arguments_are_told() {
    let h = Handle::new("mix:mem=64K");
    let (mut buffer, mut len) = ([0u8; 64], [5usize; 2]);
    let (at, null) = (buffer.as_mut_ptr().cast::<c_void>(), ptr::null_mut::<c_void>());
    let sizes = [8usize, 8];
    for call in [gptz_records_compress, gptz_records_decompress] {
        // SAFETY: every pointer that is not NULL is what the call asks for.
        unsafe {
            let (good, overlap) = ([at.cast_const(), at], [at.cast_const(), at.add(40)]);
            let to = at.add(32);
            let answers = [
                ("handle", call(ptr::null_mut(), good.as_ptr(), sizes.as_ptr(), 2, to, 32, len.as_mut_ptr())),
                ("src", call(h.0, ptr::null(), sizes.as_ptr(), 2, to, 32, len.as_mut_ptr())),
                ("src_len", call(h.0, good.as_ptr(), ptr::null(), 2, to, 32, len.as_mut_ptr())),
                ("dst", call(h.0, good.as_ptr(), sizes.as_ptr(), 2, null, 32, len.as_mut_ptr())),
                ("dst_len", call(h.0, good.as_ptr(), sizes.as_ptr(), 2, to, 32, ptr::null_mut())),
                ("count", call(h.0, good.as_ptr(), sizes.as_ptr(), usize::MAX / 4, to, 32, len.as_mut_ptr())),
                ("overlap", call(h.0, overlap.as_ptr(), sizes.as_ptr(), 2, to, 32, len.as_mut_ptr())),
                ("record", call(h.0, [at.cast_const(), null].as_ptr(), sizes.as_ptr(), 2, to, 32, len.as_mut_ptr())),
            ];
            for (what, status) in answers {
                assert_eq!(status, GPTZ_ERROR_ARGUMENT, "{what}");
            }
            assert_eq!(len, [0, 0]);
        }
    }
}

#[test]
fn records_can_be_cancelled() {
    unsafe extern "C" fn stop(_: *mut c_void, done: u64, total: u64) -> i32 {
        i32::from(done >= total / 2)
    }
    let (h, lines) = primed("mix:mem=64K");
    // SAFETY: a handle, and a callback that needs nothing.
    assert_eq!(unsafe { gptz_set_progress(h.0, Some(stop), ptr::null_mut()) }, GPTZ_OK);
    let (status, lens, _) = records(&h, gptz_records_compress, &refs(&lines), 100_000);
    assert_eq!((status, lens), (GPTZ_ERROR_CANCELLED, vec![0; lines.len()]));
}
