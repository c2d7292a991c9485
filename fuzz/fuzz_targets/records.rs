//! Hostile records after a valid one: decoding succeeds or returns an error, and the valid record is decoded correctly.
#![no_main]

use std::cell::RefCell;
use std::sync::Arc;

use gptz::session::Session;
use libfuzzer_sys::fuzz_target;

fn primed() -> Session {
    let mut session = Session::create("mix:orders=0-3,mem=64K").expect("a method");
    session.feed(b"time=12 user=5 status=ok\ntime=13 user=7 status=ok\n", None).expect("fed");
    let base = session.snapshot().expect("taken");
    session.set_base(Some(Arc::new(base))).expect("set");
    session
}

thread_local! {
    static READER: RefCell<Session> = RefCell::new(primed());
}

fuzz_target!(|data: &[u8]| {
    READER.with_borrow_mut(|reader| {
        let (mut sound, mut len) = ([0; 64], [0]);
        let content = b"time=14 user=5 status=ok\n";
        reader.records_compress(&[content], &mut sound, &mut len, None).expect("compressed");
        let (mut back, mut lens) = (vec![0; 5000], [0; 2]);
        if let Ok(n) = reader.records_decompress(&[&sound[..len[0]], data], &mut back, &mut lens, None) {
            assert_eq!(lens[0] + lens[1], n);
            assert_eq!(&back[..lens[0]], content);
        }
    });
});
