//! Compression and decompression by the default method, and the cost of coder and quantiser without a network.
//!
//! `cargo bench`. Compare figures of one run only.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gptz::coder::{Decoder, Encoder, Frequencies, RangeDecoder, RangeEncoder, RansDecoder, RansEncoder};
use gptz::numeric::level::Level;
use gptz::numeric::random::Random;
use gptz::numeric::vector::Vec16;
use gptz::session::{DEFAULT, Session, compress_bound};

const ALICE: &[u8] = include_bytes!("../tests/data/alice29.txt");

/// Logits of distributions about as sharp as a model's, and one symbol of each.
fn symbols(n: usize) -> Vec<([Vec16; 16], u8)> {
    let mut random = Random::new(0, "bench");
    (0..n)
        .map(|_| {
            let cube = |x: f32| x * x * x * 12.0;
            let logits: [Vec16; 16] = std::array::from_fn(|_| Vec16(std::array::from_fn(|_| cube(random.symmetric()))));
            (logits, (random.next_u64() >> 56) as u8)
        })
        .collect()
}

fn encode(level: Level, symbols: &[([Vec16; 16], u8)], encoder: &mut impl Encoder, out: &mut Vec<u8>) {
    let mut frequencies = Frequencies::default();
    for (logits, symbol) in symbols {
        frequencies.set(level, logits);
        encoder.encode(&frequencies, u32::from(*symbol));
    }
    encoder.finish(out).expect("memory");
}

fn decode(level: Level, symbols: &[([Vec16; 16], u8)], mut decoder: impl Decoder) -> u32 {
    let mut frequencies = Frequencies::default();
    let mut sum = 0;
    for (logits, _) in symbols {
        frequencies.set(level, logits);
        sum += decoder.decode(&frequencies);
    }
    sum
}

fn coding(c: &mut Criterion) {
    let symbols = symbols(4096);
    let mut group = c.benchmark_group("quantiser and coder");
    group.throughput(Throughput::Elements(symbols.len() as u64));
    for level in Level::available() {
        let name = level.name().to_str().expect("ASCII");
        let (mut range, mut rans) = (Vec::new(), Vec::new());
        encode(level, &symbols, &mut RangeEncoder::default(), &mut range);
        encode(level, &symbols, &mut RansEncoder::default(), &mut rans);
        let mut out = Vec::new();
        group.bench_function(format!("{name}, range, encode"), |b| {
            b.iter(|| {
                out.clear();
                encode(level, &symbols, &mut RangeEncoder::default(), &mut out);
            });
        });
        group.bench_function(format!("{name}, range, decode"), |b| {
            b.iter(|| black_box(decode(level, &symbols, RangeDecoder::new(&range))));
        });
        group.bench_function(format!("{name}, rANS, encode"), |b| {
            b.iter(|| {
                out.clear();
                encode(level, &symbols, &mut RansEncoder::default(), &mut out);
            });
        });
        group.bench_function(format!("{name}, rANS, decode"), |b| {
            b.iter(|| black_box(decode(level, &symbols, RansDecoder::new(&rans))));
        });
    }
    group.finish();
}

fn default_method(c: &mut Criterion) {
    let text = &ALICE[..16_384];
    let mut session = Session::create(DEFAULT).expect("the default method");
    let mut frame = vec![0; compress_bound(text.len()).expect("a bound")];
    let n = session.compress(text, &mut frame, None).expect("a frame");
    let mut back = vec![0; text.len()];
    let mut group = c.benchmark_group("default method");
    group.sample_size(10).throughput(Throughput::Bytes(text.len() as u64));
    let mut dst = frame.clone();
    group.bench_function("compress", |b| b.iter(|| session.compress(text, &mut dst, None).expect("a frame")));
    group.bench_function("decompress", |b| b.iter(|| session.decompress(&frame[..n], &mut back, None).expect("text")));
    group.finish();
}

criterion_group!(benches, coding, default_method);
criterion_main!(benches);
