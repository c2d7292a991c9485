//! The built-in model, alone and as an input of a mix, and blocks that bypass networks.
#![cfg(feature = "builtin-model")]

mod common;

use std::ffi::{c_int, c_void};
use std::ptr;

use ::gptz::container::{Block, BlockKind, Body, Header, Layout, Piece, block_crc, frames};
use common::*;

/// The weights of a network: they hardly compress, and a network trained on text does not help.
const NUMBERS: &[u8] = WEIGHTS.split_at(8192).1;

fn blocks(frame: &[u8]) -> Vec<Block<'_>> {
    match frames(frame).next().unwrap().unwrap().body {
        Body::Single(block) => vec![block],
        Body::Blocks(pieces) => {
            pieces.filter_map(|p| if let Piece::Block(block) = p { Some(block) } else { None }).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn kinds(frame: &[u8]) -> Vec<BlockKind> {
    blocks(frame).iter().map(|block| block.kind).collect()
}

#[test]
fn the_builtin_model_works_like_an_opened_one() {
    let (a, b) = (Model::builtin(), Model::builtin());
    assert_eq!(a.fingerprint(), b.fingerprint());
    let alone = Handle::from_model(&a, None).unwrap();
    let mixed = Handle::from_model(&a, Some("mix:neural=(file:;head:),mem=1M")).unwrap();
    let implied = Handle::from_model(&b, Some("mix:mem=1M")).unwrap();
    drop((a, b));
    assert!(implied.method().starts_with("mix:neural=(file:),"), "{}", implied.method());
    for h in [alone, mixed, implied] {
        let text = &ALICE[..700];
        let frame = h.compress(text);
        assert!(frame.len() < 450, "{} bytes", frame.len());
        assert_eq!(h.decompress(&frame), text);
        assert_eq!(
            Handle::for_frame(&frame).err(),
            Some(GPTZ_ERROR_MODEL),
            "those weights have a fingerprint, no name"
        );
    }
}

#[test]
fn frames_of_builtin_methods_need_no_file() {
    let long = "mix:neural=(builtin:1;head:lr=0.02)+(gru:hidden=16,embed=16,bptt=2),mem=1M";
    for method in ["level:4", "level:5", "level:6", "builtin:1", "builtin:1;weights=f32", long] {
        let h = Handle::new(method);
        let frame = h.compress(&ALICE[..900]);
        let reader = Handle::for_frame(&frame).unwrap_or_else(|e| panic!("{method}: {e} {}", message()));
        assert_eq!(reader.method(), h.method());
        assert_eq!(reader.decompress(&frame), &ALICE[..900]);
        let costs = h.cross_entropy(&ALICE[..900]) * 900.0 / 8.0;
        let payload = blocks(&frame)[0].payload.len() as f64;
        assert!((payload - costs).abs() < 3.0, "{method}: {payload} bytes, {costs}");
    }
}

#[test]
fn networks_are_bypassed_where_they_do_not_help() {
    let h = Handle::new("level:5");
    let (text, numbers) = (&ALICE[..32_768], &NUMBERS[..32_768]);
    for coder in [GPTZ_CODER_AC, GPTZ_CODER_RANS] {
        h.set(GPTZ_PARAM_CODER, coder.into());
        h.set(GPTZ_PARAM_BLOCK_LOG, 15);
        let content = [text, numbers, &noise(32_768, 3), &ALICE[60_000..69_000]].concat();
        let frame = h.compress(&content);
        use BlockKind::*;
        assert_eq!(kinds(&frame), [Coded, CodedAlone, StoredLearned, Coded]);
        assert!(Handle::for_frame(&frame).unwrap().decompress(&frame) == content);
        // Smaller than the frame of the mix alone.
        let alone = Handle::new("level:3");
        alone.set(GPTZ_PARAM_CODER, coder.into());
        alone.set(GPTZ_PARAM_BLOCK_LOG, 15);
        assert!(frame.len() < alone.compress(&content).len());
    }
    // A short block is coded to its end in both ways, because its first piece is the whole block.
    h.set(GPTZ_PARAM_CODER, GPTZ_CODER_AC.into());
    for n in [1, 2, 3, 10, 100, 1000, 5000] {
        for content in [&numbers[..n], &text[..n], &noise(n, 4)[..]] {
            let frame = h.compress(content);
            assert!(h.decompress(&frame) == content, "{n}");
        }
    }
}

unsafe extern "C" fn record_progress(seen: *mut c_void, done: u64, total: u64) -> c_int {
    // SAFETY: the list that was set with this callback, whose call is in progress.
    let (seen, cancel_at) = unsafe { &mut *seen.cast::<(Vec<(u64, u64)>, u64)>() };
    seen.push((done, total));
    c_int::from(done >= *cancel_at)
}

#[test]
fn progress_counts_every_byte_once_despite_trials() {
    let h = Handle::new("level:5");
    h.set(GPTZ_PARAM_BLOCK_LOG, 15);
    // A block coded with networks, one without, noise, and a block of less than a piece.
    let content = [&ALICE[..32_768], &NUMBERS[..32_768], &noise(32_768, 3), &ALICE[60_000..62_000]].concat();
    let total = content.len() as u64;
    let mut watch = (Vec::<(u64, u64)>::new(), u64::MAX);
    h.set_progress(Some(record_progress), (&raw mut watch).cast());
    let frame = h.compress(&content);
    let seen = &watch.0;
    assert!(seen[0] == (0, total) && *seen.last().unwrap() == (total, total), "{:?}", seen.last());
    assert!(seen.windows(2).all(|w| w[0].0 <= w[1].0 && w[1].1 == total));
    for at in [0u64, 20_000, 40_000, 98_304] {
        let mut watch = (Vec::<(u64, u64)>::new(), at);
        h.set_progress(Some(record_progress), (&raw mut watch).cast());
        assert_eq!(h.compress_into(&content, 150_000).0, GPTZ_ERROR_CANCELLED, "{at}");
    }
    h.set_progress(None, ptr::null_mut());
    assert!(h.compress(&content) == frame && h.decompress(&frame) == content);
}

#[test]
fn a_block_with_a_changed_kind_is_corrupt() {
    for (method, content, from, to) in [
        ("level:4", &ALICE[..5000][..], BlockKind::Coded, BlockKind::CodedAlone),
        ("level:4", &NUMBERS[..20_000], BlockKind::CodedAlone, BlockKind::Coded),
        ("level:3", &ALICE[..5000], BlockKind::Coded, BlockKind::CodedAlone),
        (LEARNING, &ALICE[..5000], BlockKind::Coded, BlockKind::CodedAlone),
        (&mixed_with(LEARNING), &ALICE[..5000], BlockKind::Coded, BlockKind::CodedAlone),
    ] {
        let h = Handle::new(method);
        // A frame of one block: its layout stands for the kind.
        h.set(GPTZ_PARAM_CHECKSUM, 0);
        let frame = h.compress(content);
        assert_eq!(kinds(&frame), [from], "{method}");
        let parsed = frames(&frame).next().unwrap().unwrap();
        let Header::V3(mut header) = parsed.header else { panic!("version 3") };
        header.layout = if to == BlockKind::CodedAlone { Layout::SingleAlone } else { Layout::Single };
        let mut other = Vec::new();
        header.write(&mut other);
        other.extend(&frame[parsed.header_len..]);
        let (found, ..) = h.decompress_into(&other, content.len());
        assert_eq!(found, GPTZ_ERROR_CORRUPT, "{method}: {}", message());

        h.set(GPTZ_PARAM_BLOCK_LOG, 12);
        for checksum in [1, 0] {
            h.set(GPTZ_PARAM_CHECKSUM, checksum);
            let mut frame = h.compress(content);
            let block = blocks(&frame)[0];
            assert_eq!(block.kind, from, "{method}");
            let (content, at) = (&content[..block.raw_len as usize], block.at);
            let crc = block_crc(to, content);
            frame[at as usize] = to as u8;
            // Also with a CRC-32 adapted to the damage, so that the coder has to find it.
            let place = frame.windows(4).position(|w| w == block_crc(from, content).to_le_bytes());
            assert_eq!(place.is_some(), checksum == 1);
            if let Some(place) = place {
                frame[place..place + 4].copy_from_slice(&crc.to_le_bytes());
            }
            let (found, ..) = h.decompress_into(&frame, 20_000);
            assert_eq!(found, GPTZ_ERROR_CORRUPT, "{method}: {}", message());
        }
    }
}

#[test]
fn the_model_makes_records_smaller() {
    let text = &ALICE[2000..6000];
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    let bytes = |method: &str| {
        let h = Handle::new(method);
        let (status, lens, all) = records(&h, gptz_records_compress, &lines, 10_000);
        assert_eq!(status, GPTZ_OK);
        let (status, sizes, back) = records(&h, gptz_records_decompress, &pieces(&all, &lens), 10_000);
        assert_eq!((status, &back[..sizes.iter().sum()]), (GPTZ_OK, text));
        lens.iter().sum::<usize>()
    };
    let (with, without) = (bytes("level:5"), bytes("level:3"));
    assert!(with * 10 < without * 7, "{with} bytes, {without} without the model");
}

/// Bytes known in advance are batched; the ends of batches must not affect results.
#[test]
fn the_live_state_does_not_depend_on_the_sizes_fed() {
    for method in ["builtin:1", "builtin:1;weights=f32", "mix:neural=(builtin:1;head:),mem=64K", "level:4"] {
        let (whole, parts, bytes) = (Handle::new(method), Handle::new(method), Handle::new(method));
        whole.feed(&ALICE[..300]);
        for (i, part) in ALICE[..300].chunks(37).enumerate() {
            parts.feed(part);
            parts.predict();
            for (j, byte) in part.iter().enumerate() {
                bytes.feed(&[*byte]);
                if (i + j) % 5 == 0 {
                    bytes.predict();
                }
            }
            assert_eq!(parts.predict(), bytes.predict(), "{method}: after {} bytes", 37 * i + part.len());
        }
        assert_eq!(whole.predict(), bytes.predict(), "{method}");
        let cost = |h: &Handle| h.cross_entropy(&ALICE[300..400]);
        assert_eq!(whole.set_base(Some(&whole.snapshot())), GPTZ_OK);
        assert_eq!(bytes.set_base(Some(&bytes.snapshot())), GPTZ_OK);
        assert!(cost(&whole) == cost(&bytes));
        // The frame's base id depends on the whole state.
        assert!(whole.decompress(&bytes.compress(&ALICE[300..1000])) == ALICE[300..1000]);
    }
}
