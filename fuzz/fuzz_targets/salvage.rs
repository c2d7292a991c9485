//! Salvage of hostile sources: it ends, tells everything in order, gives no byte twice, and gives only right bytes of a
//! sound file with few changed bytes.
#![no_main]

use gptz::error::{Error, Result};
use gptz::session::{Param, Session};
use gptz::stream::{Rescue, salvage};
use libfuzzer_sys::fuzz_target;

const METHOD: &str = "mix:neural=none,orders=0-2,word=0,match=0,sparse=0,mem=64K";

/// The sound file and its content.
fn sound() -> &'static (Vec<u8>, Vec<u8>) {
    static SOUND: std::sync::OnceLock<(Vec<u8>, Vec<u8>)> = std::sync::OnceLock::new();
    SOUND.get_or_init(|| {
        let mut session = Session::create(METHOD).expect("a method");
        let mut set = |param, value| session.params_mut().set(param, value).expect("a value");
        set(Param::BlockLog, 12);
        set(Param::SegmentLog, 16);
        let mut seed = 1u32;
        let mut byte = |i: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if i % 9000 < 700 { b"the cat sat "[i % 12] } else { (seed >> 24) as u8 }
        };
        let content: Vec<u8> = (0..140_000).map(&mut byte).collect();
        let mut frame = vec![0; gptz::session::compress_bound(content.len()).expect("a size")];
        let n = session.compress(&content, &mut frame, None).expect("a frame");
        frame.truncate(n);
        (frame, content)
    })
}

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
        if len == u64::MAX {
            self.next = self.next.max(offset);
        } else {
            self.advance(offset, len);
        }
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let (file, content) = sound();
    let [choice, rest @ ..] = data else { return };
    let mut session = Session::create(METHOD).expect("a method");
    let own = choice & 1 == 0;
    let bad = if own {
        rest.to_vec()
    } else {
        let mut bad = file.clone();
        for change in rest.chunks_exact(4).take(8) {
            let back = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize;
            let at = (bad.len() - 1).saturating_sub(back % bad.len());
            bad[at] ^= change[3];
        }
        if choice & 2 != 0 {
            bad.truncate(bad.len() * usize::from(choice >> 2) / 64);
        }
        bad
    };
    let mut told = Told { next: 0, content: (!own).then_some(&content[..]) };
    let _ = salvage(&mut session, &bad[..], &mut told, None);
});
