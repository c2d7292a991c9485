//! What segments cost and what they save.
//!
//!     cargo bench --bench seek -- [METHOD] FILE...
//!
//! Prints the bits a byte of the files' content, one after the other, in segments of several sizes, and then what reads of
//! 4 KiB at random places of a frame with segments of 1 MiB decode, and how long they take. The content of that frame is
//! the files, repeated to 64 MiB; set GPTZ_SEEK_MIB for another size. METHOD is "level:1" if it is not given.

use std::time::Instant;

use gptz::session::{Param, Session, compress_bound};
use gptz::stream::Reader;

const BLOCK: u64 = 1 << 17;

fn compress(session: &mut Session, content: &[u8], segment_log: i64) -> Vec<u8> {
    session.params_mut().set(Param::SegmentLog, segment_log).expect("a value");
    let mut frame = vec![0; compress_bound(content.len()).expect("a size")];
    let n = session.compress(content, &mut frame, None).expect("a frame");
    frame.truncate(n);
    frame
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let is_method = arguments.first().is_some_and(|a| !std::path::Path::new(a).exists());
    let method = if is_method { arguments.remove(0) } else { "level:1".to_owned() };
    let mut content = Vec::new();
    for path in &arguments {
        content.extend(std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}")));
    }
    if content.is_empty() {
        println!("usage: cargo bench --bench seek -- [METHOD] FILE...");
        return;
    }
    let mut session = Session::create(&method).expect("a method");
    println!("{method}, {} bytes", content.len());
    let mut whole = 0.0;
    for log in [0, 24, 22, 20, 18] {
        if log != 0 && content.len() < 1 << log {
            continue;
        }
        let bits = compress(&mut session, &content, log).len() as f64 * 8.0 / content.len() as f64;
        if log == 0 {
            whole = bits;
            println!("one segment      {bits:.4} bits a byte");
        } else {
            println!("{:5} KiB        {bits:.4} bits a byte, {:+.2} %", 1 << (log - 10), (bits / whole - 1.0) * 100.0);
        }
    }
    seek(&mut session, &content);
}

fn seek(session: &mut Session, content: &[u8]) {
    let mib: usize = std::env::var("GPTZ_SEEK_MIB").ok().and_then(|n| n.parse().ok()).unwrap_or(64);
    let content: Vec<u8> = content.iter().copied().cycle().take(mib << 20).collect();
    let frame = compress(session, &content, 20);
    println!("{mib} MiB in segments of 1 MiB: a frame of {} bytes", frame.len());
    let start = Instant::now();
    let mut reader = Reader::open(session, &frame[..], None).expect("a reader");
    println!("opened in {:.2} ms", start.elapsed().as_secs_f64() * 1e3);
    let (mut random, mut times, mut decoded) = (1u64, Vec::new(), Vec::new());
    let mut part = vec![0; 4096];
    for _ in 0..40 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let offset = (random >> 16) % (content.len() as u64 - 4096);
        let (start, before) = (Instant::now(), reader.decoded());
        assert_eq!(reader.read(session, offset, &mut part, None), Ok(4096));
        assert!(part == content[offset as usize..][..4096]);
        times.push(start.elapsed().as_secs_f64());
        decoded.push(reader.decoded() - before);
    }
    times.sort_by(f64::total_cmp);
    decoded.sort_unstable();
    let blocks = |bytes: u64| bytes.div_ceil(BLOCK);
    println!(
        "4 KiB at 40 random places: {} blocks of 128 KiB decoded in the median, {} at most; {:.0} ms, {:.0} ms",
        blocks(decoded[20]),
        blocks(decoded[39]),
        times[20] * 1e3,
        times[39] * 1e3
    );
}
