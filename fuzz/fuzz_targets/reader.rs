//! Hostile sources of readers: damaged files of frames, indexes that lie, callbacks that lie. What is read without an error
//! is what the sound file has, if the file has checksums and only bytes were changed; reads never hang or crash.
#![no_main]

use gptz::error::Result;
use gptz::session::{Param, Session};
use gptz::stream::{Reader, Source};
use libfuzzer_sys::fuzz_target;

const METHOD: &str = "mix:neural=none,orders=0-2,word=0,match=0,sparse=0,mem=64K";

/// The sound file and its content: segments, an index, stored and coded blocks, two frames.
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
        let mut file = Vec::new();
        for part in [&content[..135_000], &content[135_000..]] {
            let mut frame = vec![0; gptz::session::compress_bound(part.len()).expect("a size")];
            let n = session.compress(part, &mut frame, None).expect("a frame");
            file.extend_from_slice(&frame[..n]);
        }
        (file, content)
    })
}

/// A source that gives little at a time, and may end early.
struct Slow<'a>(&'a [u8], usize, u64);

impl Source for Slow<'_> {
    fn size(&self) -> u64 {
        self.2
    }

    fn read_at(&mut self, offset: u64, dst: &mut [u8]) -> Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let n = dst.len().min(self.1).min(self.0.len() - from);
        dst[..n].copy_from_slice(&self.0[from..][..n]);
        Ok(n)
    }
}

fuzz_target!(|data: &[u8]| {
    let (file, content) = sound();
    let [choice, rest @ ..] = data else { return };
    let mut session = Session::create(METHOD).expect("a method");
    // The input itself, or the sound file with changes: 4 bytes each, a place from the end and what is added there.
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
        bad
    };
    let size = bad.len() as u64 + u64::from(choice >> 4) * u64::from(choice & 8 != 0) * 1000;
    let source = Slow(&bad, 1 + usize::from(choice >> 1 & 3) * 3000, size);
    let Ok(mut reader) = Reader::open(&session, source, None) else { return };
    let step = 1 + (reader.size() / 40).max(3000);
    let mut dst = vec![0; 5000];
    for offset in (0..reader.size()).step_by(step as usize).take(64) {
        if let Ok(n) = reader.read(&mut session, offset, &mut dst, None) {
            assert!(n == dst.len() || offset + n as u64 == reader.size());
            // Eight changed bytes are fewer than a CRC-32 of a block misses by chance; sizes may differ by a lost frame.
            if !own && reader.size() == content.len() as u64 {
                assert!(dst[..n] == content[offset as usize..][..n], "wrong bytes at {offset}");
            }
        }
    }
});
