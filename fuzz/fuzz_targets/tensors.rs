//! Tensor files of the three formats: arbitrary bytes, and files of the tests with a part replaced. What is read and
//! written again is the same.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use gptz::weights::{DType, Format, Metadata, TensorWriter, Tensors};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Raw(&'a [u8]),
    /// `insert` replaces `remove` bytes of a file.
    Patched { file: u8, at: u16, remove: u8, insert: &'a [u8] },
    /// A number in a file becomes this one.
    Number { file: u8, at: u16, number: u64 },
}

/// A small file of each format, and two of other programs.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let json = br#"{"a":{"u32":7},"b":{"string":["x","yz"]},"c":{"f32":[0.5]}}"#;
    let metadata = Metadata::from_json(json).expect("metadata");
    let write = |format: Format| {
        let path = folder.path().join("file");
        let mut writer = TensorWriter::create(&path, format, &metadata).expect("a writer");
        writer.add_f32("w", DType::F32, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).expect("a tensor");
        writer.add("q", DType::I8, &[2, 2], &[1, 2, 3, 4]).expect("a tensor");
        writer.add_f32("q.scale", DType::F32, &[2], &[0.5, 2.0]).expect("a tensor");
        if format == Format::Apr {
            writer.add_f32("z", DType::Q4, &[40], &[0.25; 40]).expect("a tensor");
            writer.add_f32("y", DType::Q8, &[3], &[0.25; 3]).expect("a tensor");
        }
        writer.finish().expect("a file");
        std::fs::read(path).expect("a file")
    };
    let mut files: Vec<_> = [Format::Apr, Format::Safetensors, Format::Gguf].into_iter().map(write).collect();
    files.push(include_bytes!("../../tests/data/tensors/quantised.gguf").to_vec());
    files.push(include_bytes!("../../tests/data/tensors/mixed.safetensors").to_vec());
    files
});

/// Makes the checksum of an APR header right, so that damage gets past it.
fn mend(file: &mut [u8]) {
    if file.starts_with(b"APR\0") && file.len() >= 64 {
        let sum = crc32fast::hash(&[&file[..40], &file[44..64]].concat());
        file[40..44].copy_from_slice(&sum.to_le_bytes());
    }
}

fn bytes_of(tensors: &Tensors, i: usize) -> Vec<u8> {
    let mut bytes = vec![0; tensors.info(i).bytes as usize];
    tensors.read(i, &mut bytes).expect("bytes that were checked");
    bytes
}

fn check(path: &Path, copy: &Path) {
    let Ok(tensors) = Tensors::open(path) else { return };
    let json = tensors.metadata().to_json().expect("memory");
    let again = Metadata::from_json(json.as_bytes()).expect("typed JSON");
    assert_eq!(again.to_json().expect("memory"), json);
    for i in 0..tensors.len() {
        assert_eq!(tensors.find(&tensors.info(i).name), Some(i));
        let mut values = vec![0.0; tensors.info(i).values() as usize];
        let _ = tensors.read_f32(i, &mut values);
    }
    for format in [Format::Apr, Format::Safetensors, Format::Gguf] {
        let Ok(mut writer) = TensorWriter::create(copy, format, tensors.metadata()) else { continue };
        let mut kept = vec![];
        for i in 0..tensors.len() {
            let info = tensors.info(i);
            if writer.add(&info.name, info.dtype, &info.shape, &bytes_of(&tensors, i)).is_ok() {
                kept.push(i);
            }
        }
        writer.finish().expect("a file");
        let back = Tensors::open(copy).expect("a file that was written");
        assert_eq!(back.len(), kept.len());
        for i in kept {
            let j = back.find(&tensors.info(i).name).expect("a tensor that was written");
            assert_eq!(bytes_of(&tensors, i), bytes_of(&back, j));
        }
        if format == Format::Apr {
            assert_eq!(back.metadata().to_json().expect("memory"), json);
        }
    }
}

fuzz_target!(|input: Input| {
    let pick = |file: u8| FILES[usize::from(file) % FILES.len()].clone();
    let mut bytes = match input {
        Input::Raw(bytes) => bytes.to_vec(),
        Input::Patched { file, at, remove, insert } => {
            let mut bytes = pick(file);
            let at = usize::from(at) % bytes.len();
            bytes.splice(at..(at + usize::from(remove)).min(bytes.len()), insert.iter().copied());
            bytes
        }
        Input::Number { file, at, number } => {
            let mut bytes = pick(file);
            let at = usize::from(at) % (bytes.len() - 8);
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
            bytes
        }
    };
    mend(&mut bytes);
    static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        // In memory where there is such a folder, for speed.
        let shared = Path::new("/dev/shm");
        if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.expect("a folder")
    });
    let (path, copy) = (FOLDER.path().join("in"), FOLDER.path().join("out"));
    std::fs::write(&path, &bytes).expect("a file");
    check(&path, &copy);
});
