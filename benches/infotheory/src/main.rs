//! gptz against the open Rust neural compressor `infotheory` (its RWKV-7 backend), in one run on one core.
//!
//!     RUSTFLAGS="-C target-cpu=native" cargo run --release -- [FILE]
//!
//! The same network for both: hidden 256, 6 layers, intermediate 1024, ranks 32 32 32 64, frozen, random weights; the
//! same bytes; modelling and range coding, nothing else. infotheory holds f32 weights and one stream; gptz int8 weights,
//! one stream through the C ABI and sixteen lanes through the Rust API.

use std::ptr;
use std::time::Instant;

use gptz::coder::{Encoder, Frequencies, RangeEncoder};
use gptz::ffi;
use gptz::model::rwkv7::{Config, Init, Packing, Scratch, State, Weights};
use gptz::numeric::buffer::Rows;
use gptz::numeric::level::{Cap, Level, set_cap};
use gptz::numeric::matmul::Precision;
use infotheory::backends::rwkvzip::{self, Compressor};

const SHAPE: &str = "hidden=256,layers=6,intermediate=1024,decay_rank=32,a_rank=32,v_rank=32,g_rank=64";
const LANES: usize = 16;
const ROUNDS: usize = 3;

/// The best of a few rounds, in bytes a second.
fn rate(bytes: usize, mut f: impl FnMut()) -> f64 {
    (0..ROUNDS).fold(0.0, |best: f64, _| {
        let start = Instant::now();
        f();
        best.max(bytes as f64 / start.elapsed().as_secs_f64())
    })
}

fn infotheory(data: &[u8]) -> f64 {
    let method = format!("cfg:{SHAPE},seed=1,train=none,lr=0.001,stride=1");
    let mut compressor = Compressor::new_from_method(&method).expect("infotheory's network");
    rate(data.len(), || {
        compressor.compress(data, rwkvzip::coders::CoderType::AC).expect("infotheory's frame");
    })
}

fn c_abi(data: &[u8], head_size: usize) -> f64 {
    let method = format!("cfg:{SHAPE},head_size={head_size},seed=1,train=none\0");
    let mut handle = ptr::null_mut();
    let mut frame = vec![0u8; ffi::gptz_compress_bound(data.len())];
    // SAFETY: a string, buffers of their lengths, a handle that is made, used and freed here.
    unsafe {
        assert_eq!(ffi::gptz_create(method.as_ptr().cast(), &mut handle), ffi::GPTZ_OK);
        let best = rate(data.len(), || {
            let (src, dst) = (data.as_ptr().cast(), frame.as_mut_ptr().cast());
            let mut n = 0;
            assert_eq!(ffi::gptz_compress(handle, src, data.len(), dst, frame.len(), &mut n), ffi::GPTZ_OK);
        });
        ffi::gptz_free(handle);
        best
    }
}

fn lanes(data: &[u8], head_size: usize) -> f64 {
    let config = Config { head_size, ..Config::default() };
    let weights = Weights::load(&config, Packing::all(Precision::I8), &mut Init::new(config, 1)).expect("weights");
    let streams: Vec<&[u8]> = data.chunks_exact(data.len() / LANES).take(LANES).collect();
    let (mut scratch, mut logits) = (Scratch::new(&config, LANES).unwrap(), Rows::new(LANES, 256).unwrap());
    let (mut features, mut frequencies) = (Rows::new(LANES, config.hidden).unwrap(), Frequencies::default());
    let level = Level::current();
    rate(streams.len() * streams[0].len(), || {
        let mut state = State::new(&config, LANES).unwrap();
        let mut coders: Vec<RangeEncoder> = (0..LANES).map(|_| RangeEncoder::default()).collect();
        let mut tokens = [0u8; LANES];
        for t in 0..streams[0].len() {
            weights.step(level, &tokens, tokens.len(), &mut state, &mut scratch);
            for lane in 0..LANES {
                features.row_mut(lane).copy_from_slice(scratch.features().row(lane));
            }
            weights.logits(level, &features, &mut logits, &mut scratch);
            for (lane, stream) in streams.iter().enumerate() {
                frequencies.set(level, logits.row(lane));
                coders[lane].encode(&frequencies, u32::from(stream[t]));
                tokens[lane] = stream[t];
            }
        }
        let mut out = Vec::new();
        coders.iter_mut().for_each(|c| c.finish(&mut out).expect("memory"));
    })
}

fn main() {
    let path = std::env::args().nth(1).unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/alice29.txt").into());
    let data = std::fs::read(path).expect("a file");
    // It streams its weights from memory, whose speed is what others on the machine leave: each of our rates stands between
    // two of its own.
    let mut base = infotheory(&data[..4096]);
    println!("infotheory, one stream: {base:.0} bytes/s");
    let mut show = |what: &str, rate: f64| {
        let after = infotheory(&data[..4096]);
        let (low, high) = (rate / base.max(after), rate / base.min(after));
        println!("{what}: {rate:.0} bytes/s, {low:.1} to {high:.1} times (infotheory {base:.0} before, {after:.0} after)");
        base = after;
    };
    for (name, cap) in [("avx2", Cap::Avx2), ("avx512", Cap::Avx512)] {
        for head_size in [64, 32] {
            set_cap(cap);
            show(&format!("gptz {name}, C ABI, one stream, head size {head_size}"), c_abi(&data[..16_384], head_size));
            show(&format!("gptz {name}, {LANES} lanes, head size {head_size}"), lanes(&data[..65_536], head_size));
        }
    }
}
