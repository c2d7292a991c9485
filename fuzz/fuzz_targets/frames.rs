//! Hostile frames. The target parses the input, computes its decompressed size and decodes it. It does the same with
//! the input after a valid header, so that the code after the header check is reached.
#![no_main]

use std::cell::RefCell;

use gptz::container::{Coder, Header, MethodRef, Streamed, Version};
use gptz::numeric::NUMERICS_VERSION;
use gptz::session::{Session, decompressed_size};
use libfuzzer_sys::fuzz_target;

const METHODS: [&str; 3] = [
    "cfg:hidden=32,layers=1,intermediate=16,decay_rank=4,a_rank=4,v_rank=4,g_rank=4,head_size=32,seed=1,train=adam,lr=0.004,stride=1",
    "mix:neural=none,orders=0-3,word=1,match=1,sparse=1,mem=64K",
    "mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1),orders=0-3,word=1,match=1,sparse=1,mem=64K",
];

thread_local! {
    static READERS: RefCell<[Session; METHODS.len()]> = RefCell::new(METHODS.map(|m| Session::create(m).expect("a method")));
}

/// The method that an input selects.
fn method_of(data: &[u8]) -> usize {
    data.first().map_or(0, |b| usize::from(b >> 4) % METHODS.len())
}

/// The input after a valid header, whose fields the first bytes of the input select.
fn behind_a_header(data: &[u8]) -> Option<Vec<u8>> {
    let ([choice, block_log, length, rest @ ..], _) = (data, ()) else { return None };
    let header = Header {
        coder: if choice & 2 == 0 { Coder::Range } else { Coder::Rans },
        length: if choice & 4 == 0 { Streamed::Header(u64::from(*length)) } else { Streamed::Trailer },
        crc: if choice & 8 == 0 { Streamed::Absent } else { Streamed::Trailer },
        version: Version::V3 {
            numerics: NUMERICS_VERSION,
            method: MethodRef::Text(METHODS[method_of(data)].to_owned()),
            fingerprint: None,
            base: None,
            block_log: 12 + block_log % 13,
        },
    };
    let mut frame = Vec::new();
    header.write(&mut frame);
    frame.extend_from_slice(rest);
    Some(frame)
}

fuzz_target!(|data: &[u8]| {
    let made = if data.first().is_some_and(|b| b & 1 == 0) { behind_a_header(data) } else { None };
    let frame = made.as_deref().unwrap_or(data);
    let size = decompressed_size(frame);
    // A frame's method may be as large as the limits allow. Only short frames are tried, so that few large ones are
    // built.
    if frame.len() < 60 {
        let _ = Session::create_for_frame(frame);
    }
    let mut dst = [0u8; 2048];
    READERS.with_borrow_mut(|readers| {
        if let Ok(n) = readers[method_of(data)].decompress(frame, &mut dst, None) {
            assert_eq!(size, Ok(n as u64));
        }
    });
});
