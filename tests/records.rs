//! Records: many short contents in one call. A record does not depend on the others.

mod common;

use std::ffi::c_void;
use std::ptr;

use common::*;

/// A handle whose base has learned some lines, and lines like them.
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
    // The base ends within a line. A record is still treated as the start of a line.
    h.feed(b"2024-05-1");
    assert_eq!(h.set_base(Some(&h.snapshot())), GPTZ_OK);
    let mut lines: Vec<Vec<u8>> = (200..230).map(|i| line(i).into_bytes()).collect();
    lines.extend([vec![], noise(40, 1), vec![b'x'; 3000], line(3).repeat(40).into_bytes(), vec![7]]);
    (h, lines)
}

fn refs(lines: &[Vec<u8>]) -> Vec<&[u8]> {
    lines.iter().map(Vec::as_slice).collect()
}

#[test]
fn records_do_not_depend_on_each_other_and_are_restored() {
    for method in ["mix:mem=1M", LEARNING, &mixed_with(REPLAYING)] {
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
        // They compress well, and the handle's other calls are not affected by them.
        let (known, cost) = (src[..30].iter().map(|r| r.len()).sum::<usize>(), lens[..30].iter().sum::<usize>());
        assert!(cost * 3 < known, "{method}: {cost} of {known}");
        assert_eq!(h.compress(&lines[0]), primed(method).0.compress(&lines[0]));
    }
}

#[test]
fn a_destination_too_small_gives_the_length_needed() {
    let (h, lines) = primed("mix:mem=64K");
    let src = refs(&lines);
    let (_, lens, all) = records(&h, gptz_records_compress, &src, 100_000);
    let needed: usize = lens.iter().sum();
    for room in [0, 1, needed - 1] {
        let (status, found, _) = records(&h, gptz_records_compress, &src, room);
        assert_eq!((status, &found), (GPTZ_ERROR_BUFFER_TOO_SMALL, &lens));
        assert!(message().contains(&needed.to_string()), "{}", message());
    }
    let (status, found, exact) = records(&h, gptz_records_compress, &src, needed);
    assert_eq!((status, found, &exact[..]), (GPTZ_OK, lens.clone(), &all[..needed]));
    let (compressed, sizes): (_, Vec<usize>) = (pieces(&all, &lens), src.iter().map(|r| r.len()).collect());
    let total: usize = sizes.iter().sum();
    let (status, found, _) = records(&h, gptz_records_decompress, &compressed, total - 1);
    assert_eq!((status, &found), (GPTZ_ERROR_BUFFER_TOO_SMALL, &sizes));
    let (status, found, back) = records(&h, gptz_records_decompress, &compressed, total);
    assert_eq!((status, found, back), (GPTZ_OK, sizes, src.concat()));
    assert_eq!(records(&h, gptz_records_compress, &[], 0), (GPTZ_OK, vec![], vec![]));
    assert_eq!(records(&h, gptz_records_decompress, &[], 0), (GPTZ_OK, vec![], vec![]));
}

#[test]
fn damage_is_an_error_that_names_the_record() {
    let (h, lines) = primed("mix:mem=64K");
    let (_, lens, all) = records(&h, gptz_records_compress, &[&lines[0]], 1000);
    let whole = &all[..lens[0]];
    let mut detected = 0;
    let mut check = |bytes: &[u8]| {
        let (status, sizes, back) = records(&h, gptz_records_decompress, &[whole, bytes], 200_000);
        match status {
            GPTZ_OK => assert!(back.starts_with(&lines[0]) && sizes[0] == lines[0].len()),
            GPTZ_ERROR_TRUNCATED | GPTZ_ERROR_CORRUPT => {
                assert!(message().contains("record 1") && sizes == [0, 0], "{}", message());
                detected += 1;
            }
            GPTZ_ERROR_BUFFER_TOO_SMALL => {}
            other => panic!("{other}: {}", message()),
        }
    };
    for cut in 0..whole.len() {
        check(&whole[..cut]);
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 1 << bit;
            check(&bytes);
        }
    }
    assert!(detected > whole.len() * 6, "{detected} of {} detected", whole.len() * 9);
    // Without the base, decoding gives an error or another content.
    let (status, lens, back) = records(&Handle::new("mix:mem=64K"), gptz_records_decompress, &[whole], 1000);
    assert!(status == GPTZ_ERROR_CORRUPT || (status == GPTZ_OK && back[..lens[0]] != lines[0]), "{status}");
}

/// Records with checks of `width` bytes. Each adds exactly as many bytes, and each is restored.
fn checked(h: &Handle, src: &[&[u8]], width: usize) -> Vec<Vec<u8>> {
    assert_eq!(h.set(GPTZ_PARAM_RECORD_CHECK, 0), GPTZ_OK);
    let (_, plain, _) = records(h, gptz_records_compress, src, 100_000);
    assert_eq!(h.set(GPTZ_PARAM_RECORD_CHECK, width as i64), GPTZ_OK);
    let (status, lens, all) = records(h, gptz_records_compress, src, 100_000);
    assert_eq!(status, GPTZ_OK);
    assert!(lens.iter().zip(&plain).all(|(len, plain)| *len == plain + width));
    let compressed = pieces(&all, &lens);
    let (status, sizes, back) = records(h, gptz_records_decompress, &compressed, 100_000);
    assert_eq!((status, pieces(&back, &sizes)), (GPTZ_OK, src.to_vec()));
    compressed.into_iter().map(<[u8]>::to_vec).collect()
}

#[test]
fn a_check_detects_another_base_and_damage() {
    let (h, lines) = primed("mix:mem=64K");
    // With coded, stored and empty records.
    let src = refs(&lines);
    let wrong = Handle::new("mix:mem=64K");
    wrong.feed(&ALICE[..5000]);
    assert_eq!(wrong.set_base(Some(&wrong.snapshot())), GPTZ_OK);
    let no_base = Handle::new("mix:mem=64K");
    for (width, most_missed) in [(1, 3), (2, 0), (4, 0)] {
        let compressed = checked(&h, &src, width);
        let mut missed = 0;
        let mut expect_corrupt = |h: &Handle, record: &[u8]| {
            let (status, ..) = records(h, gptz_records_decompress, &[record], 100_000);
            match status {
                GPTZ_OK => missed += 1,
                GPTZ_ERROR_CORRUPT => assert!(message().contains("record 0"), "{}", message()),
                other => panic!("{other}: {}", message()),
            }
        };
        for other in [&wrong, &no_base] {
            assert_eq!(other.set(GPTZ_PARAM_RECORD_CHECK, width as i64), GPTZ_OK);
            compressed.iter().for_each(|record| expect_corrupt(other, record));
        }
        // One bit of every byte is changed, except in the length.
        let record = &compressed[1];
        for at in 1..record.len() {
            let mut bytes = record.clone();
            bytes[at] ^= 1 << (at % 8);
            expect_corrupt(&h, &bytes);
        }
        assert!(missed <= most_missed, "{missed} missed with a check of {width}");
    }
}

#[test]
fn wrong_arguments_are_refused() {
    let h = Handle::new("mix:mem=64K");
    let mut buffer = [0u8; 64];
    let (at, null) = (buffer.as_mut_ptr().cast::<c_void>(), ptr::null_mut::<c_void>());
    let (good, overlap, with_null) =
        ([at.cast_const(), at], [at.cast_const(), at.wrapping_add(40)], [at.cast_const(), null]);
    let (mut sizes, to) = ([8usize, 8], at.wrapping_add(32));
    for call in [gptz_records_compress, gptz_records_decompress] {
        let mut len = [5usize; 2];
        // `dst_len` is NULL, or has more elements than memory can hold.
        // SAFETY: every pointer that is not NULL meets the requirements of the call, here and below.
        unsafe {
            let statuses = [
                call(h.0, good.as_ptr(), sizes.as_ptr(), 2, to, 32, ptr::null_mut()),
                call(h.0, good.as_ptr(), sizes.as_ptr(), usize::MAX / 4, to, 32, len.as_mut_ptr()),
                // `dst_len` overlaps another array: nothing is written.
                call(h.0, good.as_ptr(), sizes.as_ptr(), 2, to, 32, sizes.as_mut_ptr()),
                call(h.0, good.as_ptr(), sizes.as_ptr(), 2, to, 32, to.cast()),
                call(h.0, good.as_ptr(), sizes.as_ptr(), 2, to, 32, at.cast()),
                call(h.0, good.as_ptr(), sizes.as_ptr(), 2, to, 32, good.as_ptr().cast_mut().cast()),
            ];
            assert_eq!((statuses, len, sizes, buffer), ([GPTZ_ERROR_ARGUMENT; 6], [5, 5], [8, 8], [0; 64]));
        }
        for case in 0..6 {
            let mut len = [5usize; 2];
            let to_len = len.as_mut_ptr();
            // SAFETY: as above.
            let status = unsafe {
                match case {
                    0 => call(ptr::null_mut(), good.as_ptr(), sizes.as_ptr(), 2, to, 32, to_len),
                    1 => call(h.0, ptr::null(), sizes.as_ptr(), 2, to, 32, to_len),
                    2 => call(h.0, good.as_ptr(), ptr::null(), 2, to, 32, to_len),
                    3 => call(h.0, good.as_ptr(), sizes.as_ptr(), 2, null, 32, to_len),
                    4 => call(h.0, overlap.as_ptr(), sizes.as_ptr(), 2, to, 32, to_len),
                    _ => call(h.0, with_null.as_ptr(), sizes.as_ptr(), 2, to, 32, to_len),
                }
            };
            assert_eq!((status, len), (GPTZ_ERROR_ARGUMENT, [0, 0]), "case {case}");
        }
    }
}

#[test]
fn arrays_may_be_unaligned() {
    let (h, lines) = primed("mix:mem=64K");
    let (_, want, all) = records(&h, gptz_records_compress, &[&lines[0], &lines[1]], 1000);
    const WORD: usize = size_of::<usize>();
    let packed = |words: [usize; 2]| [&[0][..], words.map(usize::to_ne_bytes).as_flattened()].concat();
    let src = packed([lines[0].as_ptr().expose_provenance(), lines[1].as_ptr().expose_provenance()]);
    let (src_len, mut dst_len, mut dst) = (packed([lines[0].len(), lines[1].len()]), packed([7, 7]), [0u8; 1000]);
    // SAFETY: arrays of two, one byte off, and the lines they point at.
    let status = unsafe {
        let (src, src_len) = (src.as_ptr().add(1).cast(), src_len.as_ptr().add(1).cast());
        gptz_records_compress(h.0, src, src_len, 2, dst.as_mut_ptr().cast(), 1000, dst_len.as_mut_ptr().add(1).cast())
    };
    let lens: Vec<usize> = dst_len[1..].as_chunks::<WORD>().0.iter().map(|word| usize::from_ne_bytes(*word)).collect();
    let n: usize = want.iter().sum();
    assert_eq!((status, lens, &dst[..n]), (GPTZ_OK, want, &all[..n]));
}

#[test]
fn the_identifier_of_a_base_depends_on_all_learned_state() {
    for method in [GRU, &mixed_with(REPLAYING)] {
        let base_of = |text: &[u8]| {
            let h = Handle::new(method);
            h.feed(text);
            assert_eq!(h.set_base(Some(&h.snapshot())), GPTZ_OK);
            h.compress(b"")
        };
        assert_eq!(base_of(&ALICE[..300]), base_of(&ALICE[..300]));
        assert_ne!(base_of(&ALICE[..300]), base_of(&ALICE[..301]));
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
