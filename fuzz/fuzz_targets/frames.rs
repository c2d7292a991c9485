//! Hostile frames. The target parses the input, computes its decompressed size and decodes it. It does the same with
//! the input after a valid header, so that the code after the header check is reached.
#![no_main]

use std::cell::RefCell;

use gptz::container::{Coder, HeaderV3, Index, Layout, MethodRef, SEGMENT_MAGIC, Segment, Shape, frame_tag};
use gptz::numeric::NUMERICS_VERSION;
use gptz::session::{FrameValue, Session, decompressed_size, frame_info, frame_method};
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

/// The input after a valid header, whose fields the first bytes of the input select. In a frame of segments, every
/// [`SEGMENT_MAGIC`] of the input becomes a valid segment header, for the content position that the byte behind it
/// selects.
fn behind_a_header(data: &[u8]) -> Option<Vec<u8>> {
    let [choice, shape, length, rest @ ..] = data else { return None };
    let layout = [Layout::Blocks, Layout::Single, Layout::SingleAlone, Layout::Blocks][usize::from(choice >> 2 & 3)];
    let segment_log = if shape & 0x80 == 0 { 0 } else { 16 };
    let known = layout != Layout::Blocks || length & 1 == 0;
    let header = HeaderV3 {
        coder: if choice & 2 == 0 { Coder::Range } else { Coder::Rans },
        checksums: choice & 0x80 == 0,
        numerics: NUMERICS_VERSION,
        method: MethodRef::Text(METHODS[method_of(data)].to_owned()),
        fingerprint: None,
        base: None,
        shape: Shape { lanes_log: shape % 7, block_log: 12 + shape % 13, segment_log },
        layout,
        length: known.then_some(u64::from(*length) << (shape >> 4 & 7)),
    };
    let mut frame = Vec::new();
    header.write(&mut frame);
    let tag = frame_tag(&frame);
    let mut rest = rest;
    while let Some(at) = rest.windows(5).position(|w| w[..4] == SEGMENT_MAGIC).filter(|_| segment_log != 0) {
        frame.extend_from_slice(&rest[..at]);
        Segment { tag, raw_offset: u64::from(rest[at + 4]) << segment_log }.write(&mut frame);
        rest = &rest[at + 5..];
    }
    frame.extend_from_slice(rest);
    Some(frame)
}

fuzz_target!(|data: &[u8]| {
    let made = if data.first().is_some_and(|b| b & 1 == 0) { behind_a_header(data) } else { None };
    let frame = made.as_deref().unwrap_or(data);
    let size = decompressed_size(frame);
    for what in (1..=13).map(|n| FrameValue::from_number(n).expect("a value")) {
        // The memory of a method may take long to compute, as building it does.
        if what != FrameValue::Memory || frame.len() < 60 {
            let _ = frame_info(frame, what);
        }
    }
    let _ = frame_method(frame);
    if let Ok(index) = Index::read(data, 0) {
        let mut again = Vec::new();
        index.write(&mut again).expect("written");
        assert_eq!(again, data);
    }
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
