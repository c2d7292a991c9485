//! Learning of all parameters: gptz against `infotheory` with the same method strings, in one run on one core.
//!
//!     RUSTFLAGS="-C target-cpu=native" cargo run --release --bin learning -- [FILE [METHOD...]]
//!
//! Methods given are run by gptz alone. For each method: bits a byte of the compressed frame and bytes a second, one stream, for both; and gptz's decoding.

use std::time::Instant;

use gptz::session::{Session, compress_bound};
use infotheory::backends::rwkvzip::{self, Compressor};

const RANKS: &str = "decay_rank=16,a_rank=16,v_rank=16,g_rank=16";

fn methods() -> Vec<String> {
    let steps = |rates: [&str; 4]| {
        let action = |lr| format!("train(scope=all,opt=adam,lr={lr},stride=1,bptt=8,clip=0,momentum=0)");
        let [a, b, c, d] = rates.map(action);
        format!("schedule=0..5%:{a}|5%..20%:{b}|20%..50%:{c}|50%..100%:{d}")
    };
    let cfg = |layers, inter| format!("cfg:hidden=64,layers={layers},intermediate={inter},{RANKS},seed=22");
    vec![
        format!("{};policy:schedule=0..100%:train(scope=all,opt=adam,lr=0.0008,stride=1,bptt=8,clip=0,momentum=0)", cfg(1, 64)),
        format!("{};policy:{}", cfg(2, 256), steps(["0.003", "0.0015", "0.0008", "0.0004"])),
        format!("{};policy:{}", cfg(6, 256), steps(["0.002", "0.001", "0.0006", "0.0003"])),
    ]
}

fn show(what: &str, bytes: usize, frame: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("  {what}: {:.3} bits a byte, {:.0} bytes/s", frame as f64 * 8.0 / bytes as f64, bytes as f64 / seconds);
}

fn main() {
    let path = std::env::args().nth(1).unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/alice29.txt").into());
    let data = std::fs::read(path).expect("a file");
    let given: Vec<String> = std::env::args().skip(2).collect();
    let (theirs, methods) = (given.is_empty(), if given.is_empty() { methods() } else { given });
    for method in methods {
        println!("{method}");
        let mut session = Session::create(&method).expect("gptz's method");
        let mut frame = vec![0; compress_bound(data.len()).expect("a length")];
        let start = Instant::now();
        let n = session.compress(&data, &mut frame, None).expect("gptz's frame");
        show("gptz, one lane, encoding", data.len(), n, start);
        let mut back = vec![0; data.len()];
        let start = Instant::now();
        session.decompress(&frame[..n], &mut back, None).expect("gptz's content");
        show("gptz, one lane, decoding", data.len(), n, start);
        assert!(back == data);
        if theirs {
            let start = Instant::now();
            match Compressor::new_from_method(&method) {
                Ok(mut compressor) => {
                    let frame = compressor.compress(&data, rwkvzip::coders::CoderType::AC).expect("infotheory's frame");
                    show("infotheory", data.len(), frame.len(), start);
                }
                Err(e) => println!("  infotheory: {e:?}"),
            }
        }
    }
}
