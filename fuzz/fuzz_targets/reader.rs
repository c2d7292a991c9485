//! Hostile sources of readers: damaged files of frames, indexes that lie, sources that end early or give little. What is
//! read without an error of a file with few changed bytes is its content.
#![no_main]

mod sound;

use std::cell::RefCell;

use gptz::error::Result;
use gptz::session::Session;
use gptz::stream::{Reader, Source};
use libfuzzer_sys::fuzz_target;
use sound::{METHOD, changed, sound};

/// A source that gives little at a time, and may end before its stated size.
struct Slow<'a> {
    bytes: &'a [u8],
    most: usize,
    size: u64,
}

impl Source for Slow<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, offset: u64, dst: &mut [u8]) -> Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len());
        let n = dst.len().min(self.most).min(self.bytes.len() - from);
        dst[..n].copy_from_slice(&self.bytes[from..][..n]);
        Ok(n)
    }
}

thread_local! {
    static SESSION: RefCell<Session> = RefCell::new(Session::create(METHOD).expect("a method"));
}

fuzz_target!(|data: &[u8]| SESSION.with_borrow_mut(|session| run(session, data)));

fn run(session: &mut Session, data: &[u8]) {
    let content = &sound().1;
    let [choice, rest @ ..] = data else { return };
    let is_own = choice & 1 == 0;
    let bad = if is_own { rest.to_vec() } else { changed(rest) };
    let missing = if choice & 8 == 0 { 0 } else { u64::from(choice >> 4) * 1000 };
    let source =
        Slow { bytes: &bad, most: 1000 + usize::from(choice >> 1 & 3) * 30_000, size: bad.len() as u64 + missing };
    let Ok(mut reader) = Reader::open(session, source, None) else { return };
    let step = 1 + (reader.size() / 8).max(3000);
    let mut dst = vec![0; 5000];
    for offset in (0..reader.size()).step_by(step as usize).take(16) {
        if let Ok(n) = reader.read(session, offset, &mut dst, None) {
            assert!(n == dst.len() || offset + n as u64 == reader.size());
            // So few changed bytes are not missed by a CRC-32. A frame may be missing as a whole.
            if !is_own && reader.size() == content.len() as u64 {
                assert!(dst[..n] == content[offset as usize..][..n], "wrong bytes at {offset}");
            }
        }
    }
}
