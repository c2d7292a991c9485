//! Salvage of hostile sources: it ends, tells everything in order, gives no byte twice, and gives only right bytes of a
//! sound file with few changed bytes.
#![no_main]

mod sound;

use std::cell::RefCell;

use gptz::error::{Error, Result};
use gptz::session::Session;
use gptz::stream::{Rescue, salvage};
use libfuzzer_sys::fuzz_target;
use sound::{METHOD, changed, sound};

struct Told<'a> {
    next: u64,
    /// What the bytes must be.
    content: Option<&'a [u8]>,
}

impl Told<'_> {
    fn advance(&mut self, offset: u64, len: u64) {
        assert_eq!(offset, self.next, "told in order, without gaps");
        self.next = offset.checked_add(len).expect("below 2^64");
    }
}

impl Rescue for Told<'_> {
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        self.advance(offset, data.len() as u64);
        if let Some(content) = self.content {
            assert!(content.get(offset as usize..).is_some_and(|c| c.starts_with(data)), "wrong bytes at {offset}");
        }
        Ok(())
    }

    fn lost(&mut self, offset: u64, len: u64, why: &Error) -> Result<()> {
        assert!(!why.message().is_empty());
        // Nobody knows how long: what follows is counted from here on.
        self.advance(offset, if len == u64::MAX { 0 } else { len });
        Ok(())
    }
}

thread_local! {
    static SESSION: RefCell<Session> = RefCell::new(Session::create(METHOD).expect("a method"));
}

fuzz_target!(|data: &[u8]| SESSION.with_borrow_mut(|session| run(session, data)));

fn run(session: &mut Session, data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    let is_own = choice & 1 == 0;
    let mut bad = if is_own { rest.to_vec() } else { changed(rest) };
    if !is_own && choice & 2 != 0 {
        bad.truncate(bad.len() * usize::from(choice >> 2) / 64);
    }
    let mut told = Told { next: 0, content: (!is_own).then_some(&sound().1[..]) };
    let _ = salvage(session, &bad[..], &mut told, None);
}
