//! Weights files: arbitrary bytes, and a valid file with a part of its header replaced.
#![no_main]

use arbitrary::Arbitrary;
use gptz::model::file::Model;
use gptz::model::rwkv7::Packing;
use gptz::numeric::matmul::Precision;
use libfuzzer_sys::fuzz_target;

const FIXTURE: &[u8] = include_bytes!("../../tests/data/rwkv7-tiny.safetensors");

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Raw(&'a [u8]),
    /// `insert` replaces `remove` bytes of the header.
    Patched { at: u16, remove: u8, insert: &'a [u8] },
    /// This text as the header, followed by some bytes.
    Header(&'a str, u8),
}

fuzz_target!(|input: Input| {
    let bytes = match input {
        Input::Raw(bytes) => bytes.to_vec(),
        Input::Patched { at, remove, insert } => {
            let n = u64::from_le_bytes(FIXTURE[..8].try_into().expect("8 bytes")) as usize;
            let mut header = FIXTURE[8..8 + n].to_vec();
            let at = usize::from(at) % n;
            header.splice(at..(at + usize::from(remove)).min(n), insert.iter().copied());
            [&(header.len() as u64).to_le_bytes()[..], &header, &FIXTURE[8 + n..]].concat()
        }
        Input::Header(text, behind) => {
            [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &vec![0; usize::from(behind)]].concat()
        }
    };
    if let Ok(model) = Model::from_bytes(bytes) {
        model.weights(Packing::all(Precision::I8)).expect("weights that were checked");
    }
});
