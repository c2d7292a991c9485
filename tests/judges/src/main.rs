//! The crate `aprender` as a judge of APR files: it reads what gptz writes, and gptz reads what it writes.
//!
//! `cargo run` in this folder prints "aprender agrees", or fails. The bytes of all tensors are the same, and so
//! is a whole file that gptz copies.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use aprender::format::AprV2DequantExt;
use aprender::format::v2::{AprV2Metadata, AprV2Reader, AprV2StreamingWriter, AprV2Writer, TensorDType};
use gptz::numeric::random::Random;
use gptz::weights::{DType, Format, Metadata, TensorWriter, Tensors};

/// Values with halves of the scales of Q8 and Q4, zeros, and magnitudes from 2^-20 to 2^10.
fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed, "judges");
    let mut value = |i: usize| {
        let x = random.next_u64();
        match seed % 3 {
            0 => ((x % 255) as f32 - 127.0) / 2.0,
            1 => ((x % 29) as f32 - 14.0) / 4.0 * if i / 32 % 5 == 0 { 0.0 } else { 1.0 },
            _ => (x as i32 as f32 / 2f32.powi(31)) * 2f32.powi((i / 32 % 30) as i32 - 20),
        }
    };
    (0..n).map(&mut value).collect()
}

/// Blocks of Q4_K and Q6_K: random bytes with scales of a usual size.
fn blocks(size: usize, scales: &[usize], n: usize) -> Vec<u8> {
    let mut random = Random::new(size as u64, "blocks");
    let mut bytes: Vec<u8> = (0..n * size).map(|_| (random.next_u64() >> 56) as u8).collect();
    for block in bytes.chunks_exact_mut(size) {
        for at in scales {
            // 2^-7 to 2^-3, as f16.
            block[at + 1] = 0x20 | block[at + 1] & 0x0f;
        }
    }
    bytes
}

const SHAPES: [&[usize]; 5] = [&[7], &[3, 32], &[5, 7, 11], &[256, 40], &[1]];

fn bytes_of(tensors: &Tensors, i: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; tensors.info(i).bytes as usize];
    tensors.read(i, &mut bytes)?;
    Ok(bytes)
}

fn convert(from: &Path, to: &Path) -> Result<()> {
    let tensors = Tensors::open(from)?;
    let mut writer = TensorWriter::create(to, Format::Apr, tensors.metadata())?;
    for i in 0..tensors.len() {
        let info = tensors.info(i);
        writer.add(&info.name, info.dtype, &info.shape, &bytes_of(&tensors, i)?)?;
    }
    writer.finish()?;
    Ok(())
}

/// Both writers write the same tensors. Returns the counts that they give.
fn write_both(theirs: &Path, ours: &Path) -> Result<[(u64, u64); 2]> {
    let mut metadata =
        AprV2Metadata { model_type: "judge".into(), name: Some("a \"name\"".into()), ..Default::default() };
    metadata.custom.insert("custom".into(), 3.into());
    let mut a = AprV2StreamingWriter::new(metadata)?;
    let mut b = TensorWriter::create(ours, Format::Apr, &Metadata::default())?;
    for (k, shape) in SHAPES.iter().enumerate() {
        let dims: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
        for seed in 0..3u64 {
            let values = values(shape.iter().product(), seed + 10 * k as u64 * 3);
            let name = |kind: &str| format!("{kind}.{seed}.{k}");
            a.add_f32_tensor(name("z.f32"), shape.to_vec(), &values)?;
            b.add_f32(&name("z.f32"), DType::F32, &dims, &values)?;
            a.add_f16_tensor(name("f16"), shape.to_vec(), &values)?;
            b.add_f32(&name("f16"), DType::F16, &dims, &values)?;
            a.add_q8_tensor(name("q8"), shape.to_vec(), &values)?;
            b.add_f32(&name("q8"), DType::Q8, &dims, &values)?;
            a.add_q4_tensor(name("q4"), shape.to_vec(), &values)?;
            b.add_f32(&name("q4"), DType::Q4, &dims, &values)?;
        }
    }
    let bf16: Vec<u8> = (0..64).map(|i| i * 3).collect();
    a.add_raw_f16_tensor("bf16", vec![32], &bf16, true)?;
    b.add("bf16", DType::BF16, &[32], &bf16)?;
    let q4k = blocks(144, &[0, 2], 6);
    a.add_q4k_raw_tensor("q4k", vec![3, 512], &q4k)?;
    b.add("q4k", DType::Q4K, &[3, 512], &q4k)?;
    let q6k = blocks(210, &[208], 2);
    a.add_tensor("q6k", TensorDType::Q6K, vec![2, 256], &q6k)?;
    b.add("q6k", DType::Q6K, &[2, 256], &q6k)?;
    let counts = [(a.tensor_count() as u64, a.data_bytes_written()), b.counts()];
    a.finalize(theirs)?;
    b.finish()?;
    Ok(counts)
}

/// aprender's reader and gptz's read the same names, shapes and values.
fn compare(path: &Path) -> Result<()> {
    let file = std::fs::read(path)?;
    let theirs = AprV2Reader::from_bytes(&file)?;
    ensure!(theirs.verify_alignment(), "aprender finds tensors that are not aligned");
    let ours = Tensors::open(path)?;
    ensure!(theirs.tensor_names().len() == ours.len());
    for i in 0..ours.len() {
        let info = ours.info(i);
        let entry = theirs.get_tensor(&info.name).context("a name that aprender lacks")?;
        let shape: Vec<u64> = entry.shape.iter().map(|n| *n as u64).collect();
        ensure!(shape == info.shape, "{}: {shape:?}", info.name);
        ensure!(theirs.get_tensor_data(&info.name) == Some(&bytes_of(&ours, i)?[..]), "{}: bytes", info.name);
        let expected = theirs.get_tensor_as_f32(&info.name).context("a type that aprender does not decode")?;
        let mut found = vec![0f32; info.values() as usize];
        ours.read_f32(i, &mut found)?;
        let at = expected.iter().zip(&found).position(|(a, b)| a.to_bits() != b.to_bits());
        ensure!(at.is_none(), "{}: value {at:?} differs from aprender's", info.name);
    }
    Ok(())
}

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [theirs, ours, again, back] = ["theirs", "ours", "again", "back"].map(|name| folder.path().join(name));
    let [a, b] = write_both(&theirs, &ours)?;
    ensure!(a == b, "aprender counts {a:?}, gptz {b:?}");
    let (x, y) = (Tensors::open(&theirs)?, Tensors::open(&ours)?);
    for i in 0..x.len() {
        let j = y.find(&x.info(i).name).context("a tensor is missing")?;
        ensure!(bytes_of(&x, i)? == bytes_of(&y, j)?, "{}: the bytes differ", x.info(i).name);
    }
    compare(&theirs)?;
    compare(&ours)?;
    // This writer stores tensors in the order of their names, as the copy does, so that the copy is the same file.
    let mut sorted = AprV2Writer::new(AprV2Metadata { model_type: "judge".into(), ..Default::default() });
    sorted.add_q8_tensor("a", vec![33], &values(33, 0));
    sorted.add_q4_tensor("b", vec![33], &values(33, 2));
    sorted.add_f32_tensor("c", vec![33], &values(33, 1));
    std::fs::write(&again, sorted.write()?)?;
    convert(&again, &back)?;
    ensure!(std::fs::read(&again)? == std::fs::read(&back)?, "the copy of aprender's file differs");
    let metadata = Tensors::open(&theirs)?;
    ensure!(metadata.metadata().text("name") == Some("a \"name\"") && metadata.metadata().number("custom") == Some(3));
    // aprender reads the metadata that gptz writes for the built-in model.
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/gptz-1.safetensors");
    convert(&model, &ours)?;
    let file = std::fs::read(&ours)?;
    let reader = AprV2Reader::from_bytes(&file)?;
    ensure!(reader.metadata().custom.get("format").and_then(|v| v.as_str()) == Some("pt"));
    println!("aprender agrees");
    Ok(())
}
