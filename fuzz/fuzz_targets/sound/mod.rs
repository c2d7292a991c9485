//! A sound file of segments with an index, and what is changed in it.

use std::sync::OnceLock;

use gptz::container::{BlockKind, Frame, Header, PieceHeader, Walk, block_crc, frame_tag};
use gptz::session::{Param, Session, compress_bound};

/// A small and fast mix.
pub const METHOD: &str = "mix:neural=none,orders=0-2,word=0,match=0,sparse=0,mem=64K";

/// A file of one frame, and its content. In each segment a coded block is followed by stored ones, which the predictor does
/// not see, so that decoding is fast.
pub fn sound() -> &'static (Vec<u8>, Vec<u8>) {
    static SOUND: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    SOUND.get_or_init(|| {
        let mut session = Session::create(METHOD).expect("a method");
        let mut set = |param, value| session.params_mut().set(param, value).expect("a value");
        set(Param::BlockLog, 12);
        set(Param::SegmentLog, 16);
        let mut seed = 1u32;
        let mut byte = |i: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if i % 65_536 < 1500 { b"the cat sat "[i % 12] } else { (seed >> 24) as u8 }
        };
        let content: Vec<u8> = (0..140_000).map(&mut byte).collect();
        let mut frame = vec![0; compress_bound(content.len()).expect("a size")];
        let n = session.compress(&content, &mut frame, None).expect("a frame");
        frame.truncate(n);
        skip_stored(&mut frame);
        let mut back = vec![0; content.len()];
        assert_eq!(session.decompress(&frame, &mut back, None), Ok(content.len()));
        (frame, content)
    })
}

fn skip_stored(frame: &mut [u8]) {
    let (Header::V3(header), mut at) = Frame::first_header(frame).expect("a header") else { unreachable!("version 3") };
    let mut walk = Walk::new(&header, frame_tag(&frame[..at]));
    while let (Some(piece), len) = walk.read_header(&frame[at..], at as u64).expect("a sound frame") {
        let payload = at + len;
        if let PieceHeader::Block(block) = piece {
            let end = payload + block.coded_len as usize;
            if block.kind == BlockKind::StoredLearned {
                let crc = block_crc(BlockKind::StoredSkipped, &frame[payload..end]);
                frame[at] = BlockKind::StoredSkipped as u8;
                frame[payload - 4..payload].copy_from_slice(&crc.to_le_bytes());
            }
            at = end;
        } else {
            at = payload;
        }
    }
}

/// The file with changes: 4 bytes each, a place from the end and what is added there.
pub fn changed(changes: &[u8]) -> Vec<u8> {
    let mut bad = sound().0.clone();
    for change in changes.chunks_exact(4).take(8) {
        let back = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize;
        let at = bad.len() - 1 - back % bad.len();
        bad[at] ^= change[3];
    }
    bad
}
