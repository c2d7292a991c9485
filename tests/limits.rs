//! Hostile input under a limit of address space: every call returns, without a crash or a large allocation.

mod common;

use common::*;

/// The address space that the process may take in addition to what it uses when the limit is set.
const ROOM: u64 = 96 << 20;

fn address_space() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

/// The allocator reserves an arena for each thread, so this file has a single test, and only one thread allocates.
#[cfg(target_os = "linux")]
#[test]
fn hostile_input_is_refused_without_a_large_allocation() {
    let h = Handle::new(LEARNING);
    let frame = h.compress(&ALICE[..150]);
    h.set(GPTZ_PARAM_BLOCK_LOG, 12);
    let blocks = h.compress(&ALICE[..5000]);
    let limit = address_space() + ROOM;
    // SAFETY: a struct of the system's own.
    unsafe {
        let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &limit), 0);
    }
    let mut none = Vec::<u8>::new();
    assert!(none.try_reserve_exact(ROOM as usize + (1 << 20)).is_err(), "the limit does not hold");

    // Frames that state a length that they cannot hold.
    for length in [1u64 << 40, 1 << 60, u64::MAX] {
        let bad = [b"GPTZ\x02\0", &length.to_le_bytes()[..], &[0; 4], &frame].concat();
        assert_eq!(decompressed_size(&bad), Err(GPTZ_ERROR_CORRUPT), "{}", message());
        assert_ne!(h.decompress_into(&bad, 4096).0, GPTZ_OK);
        for frame in [&frame, &blocks] {
            let bad = with_header(frame, |header| header.length = Some(length));
            assert_eq!(decompressed_size(&bad), Err(GPTZ_ERROR_CORRUPT), "{}", message());
            assert_ne!(h.decompress_into(&bad, 4096).0, GPTZ_OK);
        }
    }
    // Many frames in a small input.
    let empty = h.compress(&[]);
    let many = empty.repeat((16 << 20) / empty.len());
    assert_eq!(decompressed_size(&many), Ok(0));
    drop(many);

    // Methods that need more memory than the process may have. They are refused because of their size, or an allocation
    // fails.
    let sizes = [
        ("cfg:hidden=65536,layers=1024,intermediate=65536", GPTZ_ERROR_MEMORY),
        ("cfg:hidden=8192,layers=2,intermediate=8192", GPTZ_ERROR_MEMORY),
        ("cfg:hidden=4096,layers=2,intermediate=16384;weights=f32", GPTZ_ERROR_MEMORY),
        ("cfg:hidden=65536,layers=1,intermediate=1,train=adam", GPTZ_ERROR_MEMORY),
    ];
    for (method, expected) in sizes {
        assert_eq!(Handle::create(method).err(), Some(expected), "{method}: {}", message());
    }

    // Weights files that state a header of gigabytes.
    for promise in [1u64 << 32, 1 << 62, 99_000_000] {
        let mut bytes = WEIGHTS.to_vec();
        bytes[..8].copy_from_slice(&promise.to_le_bytes());
        assert_eq!(Model::from_memory(&bytes).err(), Some(GPTZ_ERROR_MODEL));
    }

    // The largest number of tensors in the largest header, and names as long as the header.
    let entry = |i: usize| format!("\"{i:x}\":{{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    let many = format!("{{{}}}", (0..65_536).map(entry).collect::<Vec<_>>().join(","));
    for header in [many, format!("{{\"{}\\u0041\":0}}", "x".repeat((4 << 20) - 16)), "[".repeat(4 << 20)] {
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
        drop(header);
        // The rest of the limit is for this input, the library's copy of the header, the stated multiple of it, and
        // slack.
        let needed = bytes.len() * (2 + ::gptz::weights::HEADER_MEMORY_FACTOR);
        let held = ROOM as usize - needed - (4 << 20);
        let mut ballast = Vec::<u8>::new();
        ballast.try_reserve_exact(held).unwrap();
        assert_eq!(Model::from_memory(&bytes).err(), Some(GPTZ_ERROR_MODEL), "{}", message());
    }

    // Headers that would be many times larger in a general JSON representation.
    let zeros = "0,".repeat(1 << 20);
    for header in [
        format!("{{\"x\":{{\"dtype\":\"F32\",\"shape\":[{zeros}0],\"data_offsets\":[0,0]}}}}"),
        format!("{{\"__metadata__\":{{\"a\":[{zeros}0]}},\"x\":[{zeros}0]}}"),
        format!("{{\"x\":{{\"dtype\":[{zeros}0]}}}}"),
    ] {
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
        assert_eq!(Model::from_memory(&bytes).err(), Some(GPTZ_ERROR_MODEL), "{}", message());
    }

    // The handle is still usable.
    assert_eq!(h.decompress(&frame), &ALICE[..150]);
    let large = Handle::create("cfg:hidden=1024,layers=2,intermediate=1024").unwrap();
    assert_eq!(large.set(GPTZ_PARAM_MEMORY_LIMIT, 1 << 20), GPTZ_OK);
    assert_eq!(large.compress_into(b"abc", 4096).0, GPTZ_ERROR_MEMORY);
}
