//! Hostile streams, and streams cut into calls of any sizes.
//!
//! The first byte selects. Either the rest is decompressed as a stream in calls of the sizes that the input gives, and the
//! result must be that of one call; or it is compressed in such calls, with flushes, and must come back.
#![no_main]

use std::cell::RefCell;

use gptz::session::Session;
use gptz::stream::{Compressor, Decompressor, Input, Operation, Output};
use libfuzzer_sys::fuzz_target;

const METHOD: &str = "mix:neural=none,orders=0-3,word=1,match=1,sparse=1,mem=64K";
/// The most bytes that a run gives.
const MOST: usize = 1 << 16;

thread_local! {
    static SESSION: RefCell<Session> = RefCell::new(Session::create(METHOD).expect("a method"));
}

/// Sizes of calls, over and over.
struct Sizes<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl Sizes<'_> {
    fn next(&mut self) -> usize {
        let n = usize::from(*self.0.next().unwrap_or(&1));
        if n > 250 { n << 8 } else { n }
    }
}

fn decompress(session: &mut Session, src: &[u8], sizes: &mut Sizes) -> Option<Vec<u8>> {
    let (mut stream, mut at, mut content, mut hint, mut idle) = (Decompressor::default(), 0, Vec::new(), 1, 0);
    while content.len() < MOST && idle < 600 {
        let mut room = vec![0; sizes.next()];
        let mut input = Input::new(&src[at..src.len().min(at + sizes.next())]);
        let mut output = Output::new(&mut room);
        hint = stream.run(session, &mut input, &mut output, None).ok()?;
        let (taken, given) = (input.taken(), output.given());
        at += taken;
        content.extend_from_slice(&room[..given]);
        idle = if taken + given == 0 { idle + 1 } else { 0 };
    }
    (hint == 0 && at == src.len()).then_some(content)
}

fn compress(session: &mut Session, content: &[u8], sizes: &mut Sizes, total: Option<u64>) -> Vec<u8> {
    let (mut at, mut frame) = (0, Vec::new());
    let mut stream = Compressor::begin(session, total).expect("begun");
    while !stream.has_ended() {
        let n = sizes.next();
        let mut room = vec![0; sizes.next() + 1];
        let mut input = Input::new(&content[at..content.len().min(at + n)]);
        let mut output = Output::new(&mut room);
        let is_last = at + input.left() == content.len();
        let op = match n % 7 {
            _ if is_last => Operation::End,
            0 => Operation::Flush,
            _ => Operation::Continue,
        };
        stream.run(session, &mut input, &mut output, op, None).expect("compressed");
        at += input.taken();
        let given = output.given();
        frame.extend_from_slice(&room[..given]);
    }
    frame
}

fuzz_target!(|data: &[u8]| {
    let [choice, count, rest @ ..] = data else { return };
    let Some((sizes, rest)) = rest.split_at_checked(usize::from(count % 32)) else { return };
    let sizes = &mut Sizes(sizes.iter().cycle());
    SESSION.with_borrow_mut(|session| {
        if choice & 1 == 0 {
            let mut whole = vec![0; MOST];
            let one = session.decompress(rest, &mut whole, None);
            let parts = decompress(session, rest, sizes);
            if let (Ok(n), Some(parts)) = (&one, &parts) {
                assert!(whole[..*n] == parts[..]);
            }
        } else {
            let total = (choice & 2 == 0).then_some(rest.len() as u64);
            let frame = compress(session, rest, sizes, total);
            assert_eq!(decompress(session, &frame, sizes).as_deref(), Some(rest));
            let mut whole = vec![0; rest.len()];
            assert_eq!(session.decompress(&frame, &mut whole, None), Ok(rest.len()));
            assert!(whole == rest);
        }
    });
});
