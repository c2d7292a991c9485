//! Any content decodes to itself under any options, and every CPU level writes the same frame.
#![no_main]

use std::cell::RefCell;

use arbitrary::Arbitrary;
use gptz::numeric::level::{Cap, set_cap};
use gptz::session::{Param, Session, compress_bound, decompressed_size};
use libfuzzer_sys::fuzz_target;

const METHODS: [&str; 4] = [
    "cfg:hidden=32,layers=2,intermediate=17,decay_rank=3,a_rank=5,v_rank=4,g_rank=7,head_size=32,seed=3,train=adam,lr=0.01",
    "mix:orders=0-4,mem=64K",
    "mix:neural=(builtin:1;head:)+(gru:embed=16,hidden=16,bptt=4,replay=1),orders=0-2,mem=64K",
    "mix:neural=(cfg:hidden=32,layers=1,intermediate=17,head_size=32,train=sgd,lr=0.01),orders=0-2,mem=64K",
];

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    method: u8,
    /// Several blocks, which is slow.
    long: bool,
    rans: bool,
    version_2: bool,
    no_checksum: bool,
    block_log: u8,
    /// Where the content is cut into parts.
    cut: u16,
    /// The number of repetitions of the content. Content that costs little to code has shown defects before.
    repeat: u8,
    content: &'a [u8],
}

thread_local! {
    static SESSIONS: RefCell<[[Session; 2]; METHODS.len()]> =
        RefCell::new(METHODS.map(|method| [0; 2].map(|_| Session::create(method).expect("a method"))));
}

fuzz_target!(|input: Input| {
    let mut content = input.content.repeat(1 + usize::from(input.repeat));
    content.truncate(if input.long { 6000 } else { 600 });
    SESSIONS.with_borrow_mut(|sessions| {
        let [writer, other] = &mut sessions[usize::from(input.method) % METHODS.len()];
        let mut frames = Vec::new();
        for (session, cap) in [(&mut *writer, Cap::Auto), (&mut *other, Cap::Portable)] {
            set_cap(cap);
            let params = session.params_mut();
            params.set(Param::Coder, input.rans.into()).expect("a coder");
            params.set(Param::Format, if input.version_2 { 2 } else { 3 }).expect("a version");
            params.set(Param::Checksum, (!input.no_checksum).into()).expect("a choice");
            params.set(Param::BlockLog, 12 + i64::from(input.block_log % 13)).expect("a size");
            let mut frame = vec![0; compress_bound(content.len()).expect("a bound") + 4 * content.len()];
            let (first, second) = content.split_at(usize::from(input.cut) % (content.len() + 1));
            let n = session.compress_parts(&[first, second], &mut frame, None).expect("a frame");
            frame.truncate(n);
            assert_eq!(session.compressed_size(&content, None), Ok(n));
            frames.push(frame);
        }
        assert_eq!(frames[0], frames[1]);
        assert_eq!(decompressed_size(&frames[0]), Ok(content.len() as u64));
        let mut back = vec![0; content.len()];
        other.decompress(&frames[0], &mut back, None).expect("the content");
        assert_eq!(back, content);
    });
});
