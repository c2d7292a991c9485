//! Writing and opening large tensor files: speed and memory, beside `dd conv=fsync` on the same disk in the same run.
//!
//! `cargo bench --bench tensors [FOLDER]`; the folder needs 3 GB. Linux only, for its memory figures.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use gptz::numeric::random::Random;
use gptz::weights::metadata::{Array, Texts, Value};
use gptz::weights::{DType, Format, Metadata, TensorWriter, Tensors};

const TENSOR: usize = 16 << 20;
const TENSORS: usize = 64;

/// The peak of this process's memory in MiB since it was last reset.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("VmHWM: 0 kB");
    line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn dd(folder: &Path) -> f64 {
    let file = folder.join("dd");
    let start = Instant::now();
    let of = format!("of={}", file.display());
    let status =
        Command::new("dd").args(["if=/dev/zero", &of, "bs=1M", "count=1024", "conv=fsync", "status=none"]).status();
    assert!(status.expect("dd").success());
    let speed = (1u64 << 30) as f64 / 1e6 / start.elapsed().as_secs_f64();
    std::fs::remove_file(file).expect("the file of dd");
    speed
}

fn write(path: &Path, format: Format, data: &[u8]) -> (f64, f64) {
    reset_peak();
    let before = peak();
    let start = Instant::now();
    let mut writer = TensorWriter::create(path, format, &Metadata::default()).expect("a writer");
    for i in 0..TENSORS {
        writer.add(&format!("blk.{i}.weight"), DType::F32, &[1024, TENSOR as u64 / 4096], data).expect("a tensor");
    }
    writer.finish().expect("a file");
    ((TENSOR * TENSORS) as f64 / 1e6 / start.elapsed().as_secs_f64(), peak() - before)
}

fn vocabulary() -> Metadata {
    let (mut metadata, mut tokens, mut merges) = (Metadata::default(), Texts::default(), Texts::default());
    for i in 0..262_144u32 {
        tokens.push(&format!("token{i:x}")).expect("memory");
        merges.push(&format!("to ken{i:x}")).expect("memory");
    }
    for (key, value) in [
        ("tokenizer.ggml.tokens", Array::Text(tokens)),
        ("tokenizer.ggml.merges", Array::Text(merges)),
        ("tokenizer.ggml.scores", Array::F32(vec![0.5; 262_144])),
        ("tokenizer.ggml.token_type", Array::I32(vec![1; 262_144])),
    ] {
        metadata.push(key, Value::Array(value)).expect("a key");
    }
    metadata
}

fn main() {
    let argument = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let parent = argument.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(parent).expect("a folder");
    let mut random = Random::new(1, "tensors");
    let data: Vec<u8> = (0..TENSOR / 8).flat_map(|_| random.next_u64().to_le_bytes()).collect();
    for format in [Format::Apr, Format::Safetensors, Format::Gguf] {
        let path = folder.path().join("tensors");
        let disk = dd(folder.path());
        let (speed, memory) = write(&path, format, &data);
        let name = format.name();
        println!(
            "{name}: 1 GiB written at {speed:.0} MB/s, dd conv=fsync {disk:.0} MB/s; {memory:.1} MiB besides the tensor"
        );
        std::fs::remove_file(path).expect("the file");
    }
    let path = folder.path().join("a.gguf");
    let mut writer = TensorWriter::create(&path, Format::Gguf, &vocabulary()).expect("a writer");
    for i in 0..240 {
        writer.add(&format!("blk.{i}.weight"), DType::I8, &[1024, 1024], &data[..1 << 20]).expect("a tensor");
    }
    writer.finish().expect("a file");
    let length = std::fs::metadata(&path).expect("the file").len() as f64 / 1e6;
    for _ in 0..3 {
        reset_peak();
        let (before, start) = (peak(), Instant::now());
        let tensors = Tensors::open(&path).expect("a file");
        let (time, memory) = (start.elapsed().as_secs_f64() * 1e3, peak() - before);
        println!(
            "GGUF of {length:.0} MB, 262,144 tokens: opened in {time:.1} ms, {memory:.1} MiB, {} tensors",
            tensors.len()
        );
    }
}
