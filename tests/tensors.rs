//! Tensor files against the Python packages `gguf` and `safetensors`; tests/reference/make_tensor_fixture.py makes the
//! files. tests/judges/ lets these packages and the crate `aprender` read what is written here.

mod common;

use std::ffi::{CStr, CString, c_int};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::ptr;

use ::gptz::error::{Result, Status};
use ::gptz::weights::metadata::{Array, Texts, Value};
use ::gptz::weights::{DType, Format, Metadata, TensorWriter, Tensors};
use common::*;

const EXPECTED: &[u8] = include_bytes!("data/tensors/quantised.f32");
const ENCODED: &[u8] = include_bytes!("data/tensors/encoded.bin");
const ENCODED_K: &[u8] = include_bytes!("data/tensors/encoded-k.bin");
const FORMATS: [Format; 3] = [Format::Apr, Format::Safetensors, Format::Gguf];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tensors").join(name)
}

fn builtin() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/gptz-1.safetensors")
}

fn bytes_of(tensors: &Tensors, i: usize) -> Vec<u8> {
    let mut bytes = vec![0; tensors.info(i).bytes as usize];
    tensors.read(i, &mut bytes).unwrap();
    bytes
}

fn values_of(tensors: &Tensors, i: usize) -> Result<Vec<f32>> {
    let mut values = vec![0.0; tensors.info(i).values() as usize];
    tensors.read_f32(i, &mut values).map(|()| values)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Replaces a file's bytes. Some file systems wait for the disk after a file was cut to nothing, as `fs::write` does.
fn overwrite(path: &Path, bytes: &[u8]) {
    let mut file = fs::File::options().write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all(bytes).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

fn number_of_files(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// The values of the script.
fn values() -> Vec<f32> {
    let value = |i: usize| match i {
        64..96 => 0.0,
        96..128 => (i as f32 - 96.0 - 16.0) / 2.0,
        128..160 => [3.5, -3.5][i % 2],
        160..192 => 1.25,
        _ => {
            let x = ((i as i64 * 1_103_515_245 + 12_345) % 65_536 - 32_768) as f32 / 32_768.0;
            x * ((i / 32 % 24) as i32 - 12).pipe(|e| f32::from_bits(((127 + e) as u32) << 23))
        }
    };
    (0..4096).map(value).collect()
}

trait Pipe: Sized {
    fn pipe<T>(self, f: impl FnOnce(Self) -> T) -> T {
        f(self)
    }
}
impl Pipe for i32 {}

#[test]
fn block_types_decode_to_the_bits_of_the_package_gguf() {
    let tensors = Tensors::open(&data("quantised.gguf")).unwrap();
    assert_eq!(tensors.len(), 10);
    let mut expected = EXPECTED.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b));
    for i in 0..tensors.len() {
        let found = values_of(&tensors, i).unwrap();
        let info = tensors.info(i);
        let part: Vec<u32> = expected.by_ref().take(found.len()).collect();
        assert!(bits(&found) == part, "{}", info.name);
        if i < 8 {
            assert_eq!((info.name.strip_prefix("blk."), &info.shape[..]), (Some(info.dtype.name()), &[3, 512][..]));
        }
    }
    assert!(expected.next().is_none());
    assert_eq!(tensors.info(tensors.find("plain.f16").unwrap()).shape, [2, 3, 5]);
    assert_eq!(tensors.find("plain"), None);
}

/// Writes the values of the script in each type, and compares the bytes with those of a reference.
fn check_encoding(types: &[DType], expected: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let mut writer = TensorWriter::create(&path, Format::Gguf, &Metadata::default()).unwrap();
    types.iter().for_each(|t| writer.add_f32(t.name(), *t, &[16, 256], &values()).unwrap());
    writer.finish().unwrap();
    let (tensors, mut rest) = (Tensors::open(&path).unwrap(), expected);
    for i in 0..types.len() {
        let found = bytes_of(&tensors, i);
        let expected = rest.split_off(..found.len()).unwrap();
        let at = found.iter().zip(expected).position(|(a, b)| a != b);
        assert_eq!(at, None, "{}", tensors.info(i).name);
    }
    assert!(rest.is_empty());
}

#[test]
fn values_encode_to_the_bytes_of_the_package_gguf() {
    let types = [DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1];
    check_encoding(&types, ENCODED);
}

#[test]
fn values_encode_to_the_bytes_of_llama_cpp() {
    check_encoding(&[DType::Q4K, DType::Q5K, DType::Q6K], ENCODED_K);
}

/// Values as weights have them come back with the error that the number of bits allows.
#[test]
fn the_error_of_a_type_is_that_of_its_bits() {
    let folder = tempfile::tempdir().unwrap();
    let random = noise(4 * 8192, 5);
    let values: Vec<f32> =
        random.as_chunks::<4>().0.iter().map(|b| b.iter().map(|b| f32::from(*b) - 127.5).sum::<f32>() / 1e4).collect();
    let square = |all: &[f32]| all.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    for (format, dtype, limit) in [
        (Format::Apr, DType::Q8, 0.008),
        (Format::Apr, DType::Q4, 0.12),
        (Format::Gguf, DType::I8, 0.008),
        (Format::Gguf, DType::Q8_0, 0.006),
        (Format::Gguf, DType::Q6K, 0.02),
        (Format::Gguf, DType::Q5_0, 0.045),
        (Format::Gguf, DType::Q5_1, 0.043),
        (Format::Gguf, DType::Q5K, 0.038),
        (Format::Gguf, DType::Q4_0, 0.09),
        (Format::Gguf, DType::Q4_1, 0.09),
        (Format::Gguf, DType::Q4K, 0.08),
    ] {
        let path = folder.path().join("a");
        let mut writer = TensorWriter::create(&path, format, &Metadata::default()).unwrap();
        writer.add_f32("a", dtype, &[32, 256], &values).unwrap();
        writer.finish().unwrap();
        let found = values_of(&Tensors::open(&path).unwrap(), 0).unwrap();
        let difference: Vec<f32> = found.iter().zip(&values).map(|(a, b)| a - b).collect();
        let error = (square(&difference) / square(&values)).sqrt();
        assert!(error < limit && error > limit / 2.0, "{}: {error}", dtype.name());
    }
}

/// I8 by a naive loop: each row has a scale, and halves round to even.
#[test]
fn matrices_of_bytes_get_a_tensor_of_scales() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    for format in FORMATS {
        // Rows that are shorter and longer than the parts in which they are converted, and than its buffer.
        for (rows, width) in [(5, 3), (300, 257), (2, 40_000), (1, 70_000), (70_000, 1)] {
            let mut values: Vec<f32> = noise(rows * width, 9).iter().map(|b| f32::from(*b) - 100.0).collect();
            values[..width].fill(-0.0);
            if rows > 2 {
                values[width..2 * width].fill(1e-31);
                values[2 * width..3 * width].copy_from_slice(&[127.0, 0.5, 1.5].repeat(width)[..width]);
            }
            let mut writer = TensorWriter::create(&path, format, &Metadata::default()).unwrap();
            let shape = [rows as u64, width as u64];
            writer.add_f32("m", DType::I8, &shape, &values).unwrap();
            assert_eq!(writer.counts().0, 2);
            writer.finish().unwrap();
            let tensors = Tensors::open(&path).unwrap();
            let at = |name| tensors.find(name).unwrap();
            let (bytes, scales) = (bytes_of(&tensors, at("m")), values_of(&tensors, at("m.scale")).unwrap());
            assert_eq!((tensors.len(), &tensors.info(at("m.scale")).shape[..]), (2, &[rows as u64][..]));
            for (i, row) in values.chunks(width).enumerate() {
                let largest = row.iter().fold(0f32, |m, x| m.max(x.abs()));
                let scale = if largest < 1e-30 { 0.0 } else { largest / 127.0 };
                let integer = |x: &f32| if scale == 0.0 { 0 } else { (x / scale).round_ties_even() as i8 };
                let expected: Vec<u8> = row.iter().map(|x| integer(x).cast_unsigned()).collect();
                assert!(bytes[i * width..][..width] == expected && scales[i] == scale, "row {i} of {width}");
            }
            if rows > 2 {
                assert_eq!(bytes[2 * width..3 * width], [127, 0, 2].repeat(width)[..width]);
            }
            let read = values_of(&tensors, at("m")).unwrap();
            let expected = |i: usize| f32::from(bytes[i].cast_signed()) * scales[i / width];
            assert!(read.iter().enumerate().all(|(i, x)| *x == expected(i)));
        }
        let mut writer = TensorWriter::create(&path, format, &Metadata::default()).unwrap();
        let mut add = |name, shape: &[u64], values: &[f32]| writer.add_f32(name, DType::I8, shape, values);
        add("scalar", &[], &[-2.0]).unwrap();
        add("none", &[0, 3], &[]).unwrap();
        for (name, shape, quoted) in [
            ("scalar", &[][..], "before"),
            ("scalar.sc", &[1 << 60, 0], "1152921504606846976 rows"),
            ("none", &[0], "before"),
        ] {
            let e = add(name, shape, if shape.is_empty() { &[1.0] } else { &[] }).unwrap_err();
            assert!(e.status() == Status::Argument && e.message().contains(quoted), "{e}");
        }
        writer.add_f32("x.scale", DType::F32, &[1], &[1.0]).unwrap();
        let counts = writer.counts();
        assert!(writer.add_f32("x", DType::I8, &[1], &[1.0]).unwrap_err().message().contains("x.scale: a tensor"));
        assert!(writer.add_f32("y", DType::I8, &[1], &[f32::NAN]).unwrap_err().message().contains("NaN"));
        if format == Format::Apr {
            let long = "x".repeat(251);
            assert!(writer.add_f32(&long, DType::I8, &[1], &[1.0]).unwrap_err().message().contains("at most 256"));
        }
        assert_eq!(writer.counts(), counts);
        writer.finish().unwrap();
        let tensors = Tensors::open(&path).unwrap();
        assert_eq!(values_of(&tensors, tensors.find("scalar").unwrap()).unwrap(), [-2.0]);
    }
}

/// The matrices of the built-in model are I8: their values become the same integers.
#[test]
fn the_builtin_model_as_values_gives_its_integers_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let first = Tensors::open(&builtin()).unwrap();
    let mut writer = TensorWriter::create(&path, Format::Safetensors, first.metadata()).unwrap();
    let name = |i: usize| first.info(i).name.as_str();
    let is_scale = |i: usize| name(i).strip_suffix(".scale").is_some_and(|stem| first.find(stem).is_some());
    for i in (0..first.len()).filter(|i| !is_scale(*i)) {
        let info = first.info(i);
        writer.add_f32(&info.name, info.dtype, &info.shape, &values_of(&first, i).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    let second = Tensors::open(&path).unwrap();
    assert_eq!(first.len(), second.len());
    for i in 0..first.len() {
        let j = second.find(name(i)).unwrap();
        assert!(bytes_of(&first, i) == bytes_of(&second, j), "{}", name(i));
    }
    let model = |path: &Path| ::gptz::model::file::Model::open(path).unwrap();
    assert_eq!(model(&builtin()).fingerprint(), model(&path).fingerprint());
}

/// Q8 and Q4 of aprender, by hand: halves round away from zero.
#[test]
fn the_types_of_aprender_round_halves_away_from_zero() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.apr");
    let mut writer = TensorWriter::create(&path, Format::Apr, &Metadata::default()).unwrap();
    writer.add_f32("q8", DType::Q8, &[5], &[127.0, 0.5, -0.5, 2.5, -126.5]).unwrap();
    let mut q4 = vec![0.0; 35];
    q4[..4].copy_from_slice(&[7.0, 0.5, -2.5, -7.0]);
    q4[32..].copy_from_slice(&[-14.0, 1.0, 3.0]);
    writer.add_f32("q4", DType::Q4, &[7, 5], &q4).unwrap();
    writer.add_f32("zero", DType::Q8, &[2], &[0.0, -0.0]).unwrap();
    writer.add_f32("none", DType::Q8, &[0], &[]).unwrap();
    assert_eq!(writer.counts(), (4, 64 * 3));
    writer.finish().unwrap();
    let tensors = Tensors::open(&path).unwrap();
    let read = |name| bytes_of(&tensors, tensors.find(name).unwrap());
    assert_eq!(read("q8"), [&1f32.to_le_bytes()[..], &[127, 1, 255, 3, 129]].concat());
    assert_eq!(read("zero"), [&1f32.to_le_bytes()[..], &[0, 0]].concat());
    assert!(read("none").is_empty());
    let q4 = read("q4");
    assert_eq!(q4.len(), 36);
    assert_eq!((&q4[..4], &q4[4..18]), (&[0x00, 0x3c, 0x9f, 0x15][..], &[0x88; 14][..]));
    // A scale of 2: -7, 0.5 and 1.5 become 1, 9 and 10. Unused nibbles are 0.
    assert_eq!((&q4[18..22], &q4[22..]), (&[0x00, 0x40, 0x91, 0x0a][..], &[0; 14][..]));
    let values = values_of(&tensors, tensors.find("q4").unwrap()).unwrap();
    assert_eq!((&values[..4], &values[32..]), (&[7.0, 1.0, -3.0, -7.0][..], &[-14.0, 2.0, 4.0][..]));
}

#[test]
fn a_range_is_the_part_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.apr");
    let mut writer = TensorWriter::create(&path, Format::Apr, &Metadata::default()).unwrap();
    writer.add_f32("q8", DType::Q8, &[7, 11, 13], &values()[..1001]).unwrap();
    writer.add_f32("q4", DType::Q4, &[7, 11, 13], &values()[..1001]).unwrap();
    writer.add("i8", DType::I8, &[77, 13], &noise(1001, 3)).unwrap();
    writer.add_f32("i8.scale", DType::F32, &[77], &values()[..77]).unwrap();
    writer.finish().unwrap();
    for path in [data("quantised.gguf"), path] {
        let tensors = Tensors::open(&path).unwrap();
        for i in 0..tensors.len() {
            let whole = values_of(&tensors, i).unwrap();
            for (first, step) in [(0, 1), (1, 2), (17, 31), (31, 32), (250, 300), (511, 1), (whole.len() - 1, 1)] {
                for n in [0, 1, step, 33, 257, 600] {
                    let (first, n) = (first.min(whole.len()), n.min(whole.len().saturating_sub(first)));
                    let mut part = vec![0.0; n];
                    tensors.read_f32_range(i, first as u64, &mut part).unwrap();
                    assert_eq!(bits(&part), bits(&whole[first..first + n]), "{} {first} {n}", tensors.info(i).name);
                }
            }
            for first in [whole.len() as u64, u64::MAX] {
                let e = tensors.read_f32_range(i, first, &mut [0.0]).unwrap_err();
                assert_eq!(e.status(), Status::Argument);
            }
        }
    }
}

/// Values that are longer than the buffer of a conversion.
#[test]
fn large_tensors_are_converted_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<f32> = (0..300_000).map(|i| (i % 1009) as f32 - 500.0).collect();
    for (format, dtype) in [(Format::Gguf, DType::Q8_0), (Format::Safetensors, DType::F32), (Format::Apr, DType::Q4)] {
        let path = folder.path().join("a");
        let mut writer = TensorWriter::create(&path, format, &Metadata::default()).unwrap();
        writer.add_f32("a", dtype, &[300_000 / 32, 32], &values).unwrap();
        writer.finish().unwrap();
        let tensors = Tensors::open(&path).unwrap();
        let found = values_of(&tensors, 0).unwrap();
        let error = values.iter().zip(&found).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(error <= if dtype == DType::F32 { 0.0 } else { 50.0 } && found.len() == values.len(), "{error}");
        let mut part = vec![0.0; 200_001];
        tensors.read_f32_range(0, 99_999, &mut part).unwrap();
        assert!(part == found[99_999..]);
    }
}

fn some_metadata() -> Metadata {
    let mut metadata = Metadata::default();
    let mut texts = Texts::default();
    ["", "b", "漢\"\\\u{1}"].iter().for_each(|t| texts.push(t).unwrap());
    let all = [
        ("u8", Value::U8(255)),
        ("i8", Value::I8(-128)),
        ("u16", Value::U16(65_535)),
        ("i16", Value::I16(-32_768)),
        ("u32", Value::U32(u32::MAX)),
        ("i32", Value::I32(i32::MIN)),
        ("u64", Value::U64(u64::MAX)),
        ("i64", Value::I64(i64::MIN)),
        ("i64+", Value::I64(5)),
        ("f32", Value::F32(0.1)),
        ("f32 tiny", Value::F32(f32::from_bits(1))),
        ("f32 inf", Value::F32(f32::NEG_INFINITY)),
        ("f64", Value::F64(0.1)),
        ("f64 whole", Value::F64(3.0)),
        ("f64 huge", Value::F64(f64::MAX)),
        ("bool", Value::Bool(true)),
        ("text", Value::Text("[1] \"é\"\n".into())),
        ("number-like", Value::Text("12".into())),
        ("texts", Value::Array(Array::Text(texts))),
        ("no texts", Value::Array(Array::Text(Texts::default()))),
        ("u8s", Value::Array(Array::U8(vec![0, 255]))),
        ("i32s", Value::Array(Array::I32(vec![1, -1]))),
        ("u64s", Value::Array(Array::U64(vec![u64::MAX]))),
        ("f32s", Value::Array(Array::F32(vec![0.1, f32::MIN_POSITIVE, f32::INFINITY]))),
        ("f64s", Value::Array(Array::F64(vec![]))),
        ("bools", Value::Array(Array::Bool(vec![true, false]))),
    ];
    all.into_iter().for_each(|(key, value)| metadata.push(key, value).unwrap());
    metadata
}

#[test]
fn metadata_of_all_types_come_back_from_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = some_metadata();
    assert_eq!(Metadata::from_json(metadata.to_json().unwrap().as_bytes()).unwrap(), metadata);
    for format in FORMATS {
        let path = folder.path().join(format.name());
        let writer = TensorWriter::create(&path, format, &metadata).unwrap();
        writer.finish().unwrap();
        let tensors = Tensors::open(&path).unwrap();
        assert_eq!(*tensors.metadata(), metadata, "{format:?}");
        assert!(tensors.is_empty());
    }
    let own = Metadata::from_json(b"{\"gptz.types\":{\"u8\":1}}").unwrap();
    let e = TensorWriter::create(&folder.path().join("own"), Format::Apr, &own).unwrap_err();
    assert_eq!(e.status(), Status::Argument);
    // Values that only APR files have.
    let mut odd = Metadata::default();
    for (key, json) in [("null", "null"), ("object", "{\"a\":[1,null]}"), ("mixed", "[1,\"a\"]"), ("empty", "[]")] {
        odd.push(key, Value::Json(json.into())).unwrap();
    }
    for format in [Format::Apr, Format::Safetensors] {
        let path = folder.path().join("odd");
        TensorWriter::create(&path, format, &odd).unwrap().finish().unwrap();
        assert_eq!(*Tensors::open(&path).unwrap().metadata(), odd, "{format:?}");
    }
    let found = Tensors::open(&data("quantised.gguf")).unwrap();
    let found = found.metadata();
    assert_eq!(found.text("general.architecture"), Some("test"));
    for (key, value) in [
        ("a.u8", Value::U8(200)),
        ("a.i8", Value::I8(-100)),
        ("a.u16", Value::U16(60_000)),
        ("a.i16", Value::I16(-30_000)),
        ("a.u32", Value::U32(4_000_000_000)),
        ("a.i32", Value::I32(-2_000_000_000)),
        ("a.u64", Value::U64((1 << 63) + 1)),
        ("a.i64", Value::I64(-(1 << 62))),
        ("a.f32", Value::F32(0.1)),
        ("a.f64", Value::F64(0.1)),
        ("a.bool", Value::Bool(true)),
        ("a.string", Value::Text("quote \" and ü".into())),
        ("a.floats", Value::Array(Array::F32(vec![0.5, -1.5]))),
        ("a.ints", Value::Array(Array::I32(vec![1, -2, 3]))),
        ("a.flags", Value::Array(Array::Bool(vec![true, false]))),
    ] {
        assert_eq!(found.get(key), Some(&value), "{key}");
    }
}

#[test]
fn typed_json_that_does_not_fit_is_refused_by_its_key() {
    for (json, quoted) in [
        ("", "metadata"),
        ("[]", "object"),
        ("{\"a\":1}", "metadata"),
        ("{\"a\":{}}", "a has no value"),
        ("{\"a\":{\"u8\":256}}", "a is not of the type u8"),
        ("{\"a\":{\"u8\":1,\"i8\":1}}", "a has two values"),
        ("{\"a\":{\"u7\":1}}", "\"u7\""),
        ("{\"a\":{\"u8\":[1,-1]}}", "a is not of the type u8"),
        ("{\"a\":{\"f32\":\"x\"}}", "a is not of the type f32"),
        ("{\"a\":{\"f32\":1e99}}", "a is not of the type f32"),
        ("{\"a\":{\"string\":[\"x\",1]}}", "a is not of the type string"),
        ("{\"a\":{\"u8\":1},\"a\":{\"u8\":1}}", "a twice"),
        ("{\"a\":{\"u8\":1}} 5", "metadata"),
    ] {
        let e = Metadata::from_json(json.as_bytes()).expect_err(json);
        assert!(e.message().contains(quoted), "{json}: {e}");
    }
}

#[test]
fn safetensors_of_the_python_package_are_read() {
    let tensors = Tensors::open(&data("mixed.safetensors")).unwrap();
    let names: Vec<_> = (0..tensors.len()).map(|i| tensors.info(i).name.clone()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    assert_eq!(tensors.skipped()[0].name, "positions");
    assert_eq!(tensors.skipped()[0].reason.to_string(), "its type is I64");
    assert_eq!(tensors.metadata().text("quote"), Some("a\"b\\ü"));
    let read = |name| values_of(&tensors, tensors.find(name).unwrap()).unwrap();
    assert_eq!(read("w"), [-3.0, -2.5, -2.0, -1.5, 4.0, 2.0, -0.0, -2.0, 6.0, 9.0, 12.0, 15.0]);
    assert_eq!((read("scalar"), read("empty")), (vec![7.0], vec![]));
    assert_eq!(read("f32"), &values()[..12]);
}

/// Copies all tensors as they are.
fn convert(from: &Path, to: &Path, format: Format) {
    let tensors = Tensors::open(from).unwrap();
    let mut writer = TensorWriter::create(to, format, tensors.metadata()).unwrap();
    for i in 0..tensors.len() {
        let info = tensors.info(i);
        writer.add(&info.name, info.dtype, &info.shape, &bytes_of(&tensors, i)).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn the_builtin_model_goes_through_all_formats_without_a_changed_bit() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..6).map(|i| folder.path().join(i.to_string())).collect();
    let mut before = builtin();
    let route = [Format::Gguf, Format::Apr, Format::Safetensors, Format::Apr, Format::Gguf, Format::Safetensors];
    for (path, format) in paths.iter().zip(route) {
        convert(&before, path, format);
        before = path.to_owned();
    }
    let (first, last) = (Tensors::open(&builtin()).unwrap(), Tensors::open(&before).unwrap());
    assert_eq!((first.len(), first.metadata()), (last.len(), last.metadata()));
    for i in 0..first.len() {
        let (a, j) = (first.info(i), last.find(&first.info(i).name).unwrap());
        assert_eq!((a.dtype, &a.shape), (last.info(j).dtype, &last.info(j).shape));
        assert!(bytes_of(&first, i) == bytes_of(&last, j), "{}", a.name);
    }
    let model = |path: &Path| ::gptz::model::file::Model::open(path).unwrap();
    assert_eq!(model(&builtin()).fingerprint(), model(&before).fingerprint());
    assert_eq!(number_of_files(folder.path()), 6);
}

/// A small file of each format.
fn small_files(folder: &Path) -> Vec<PathBuf> {
    let mut metadata = Metadata::default();
    metadata.push("a", Value::U32(7)).unwrap();
    let mut texts = Texts::default();
    ["xy", "z"].iter().for_each(|t| texts.push(t).unwrap());
    metadata.push("b", Value::Array(Array::Text(texts))).unwrap();
    let write = |format: Format| {
        let path = folder.join(format.name());
        let mut writer = TensorWriter::create(&path, format, &metadata).unwrap();
        writer.add_f32("w", DType::F32, &[2, 3], &values()[..6]).unwrap();
        writer.add("q", DType::I8, &[2, 2], &[1, 2, 3, 4]).unwrap();
        writer.add_f32("q.scale", DType::F32, &[2], &[0.5, 2.0]).unwrap();
        match format {
            Format::Apr => writer.add_f32("z", DType::Q4, &[40], &values()[..40]).unwrap(),
            Format::Gguf => writer.add_f32("z", DType::Q5_1, &[32], &values()[..32]).unwrap(),
            Format::Safetensors => {}
        }
        writer.finish().unwrap();
        path
    };
    let mut paths: Vec<PathBuf> = FORMATS.into_iter().map(write).collect();
    // Version 2 of GGUF differs only in its number.
    let mut file = fs::read(&paths[2]).unwrap();
    assert_eq!(&file[..8], b"GGUF\x03\0\0\0");
    file[4] = 2;
    paths.push(folder.join("GGUF 2"));
    fs::write(&paths[3], file).unwrap();
    paths
}

/// Opens a file and reads all of it. Every result is right but a panic.
fn try_all(path: &Path) -> Result<()> {
    let tensors = Tensors::open(path)?;
    let json = tensors.metadata().to_json()?;
    assert_eq!(Metadata::from_json(json.as_bytes()).unwrap().len(), tensors.metadata().len());
    for i in 0..tensors.len() {
        assert_eq!(tensors.find(&tensors.info(i).name), Some(i));
        assert!(bytes_of(&tensors, i).len() < 1 << 20);
        values_of(&tensors, i)?;
    }
    Ok(())
}

/// Makes the checksum of an APR header right again, so that damage gets past it.
fn mend(file: &mut [u8]) {
    if file.starts_with(b"APR\0") && file.len() >= 64 {
        let sum = crc32fast::hash(&[&file[..40], &file[44..64]].concat());
        file[40..44].copy_from_slice(&sum.to_le_bytes());
    }
}

#[test]
fn every_cut_and_every_changed_byte_is_an_error_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged");
    for path in small_files(folder.path()) {
        let file = fs::read(&path).unwrap();
        try_all(&path).unwrap();
        // The footer of an APR file and the padding behind the last tensor can be missing.
        let needed = Tensors::open(&path).unwrap().pipe_end(&file);
        for n in 0..file.len() {
            overwrite(&damaged, &file[..n]);
            let found = try_all(&damaged);
            assert_eq!(found.is_err(), n < needed, "{}: {n} of {} bytes: {found:?}", path.display(), file.len());
            assert!(found.is_ok() || found.unwrap_err().status() == Status::Model);
        }
        for at in 0..file.len() {
            for flip in [0xff, 1, 0x80, 0x20] {
                let mut changed = file.clone();
                changed[at] ^= flip;
                mend(&mut changed);
                overwrite(&damaged, &changed);
                if let Err(e) = try_all(&damaged) {
                    assert_eq!(e.status(), Status::Model, "{e}");
                }
            }
        }
    }
}

trait End {
    fn pipe_end(&self, file: &[u8]) -> usize;
}

impl End for Tensors {
    /// The length of a file without what may be missing: found by the last tensor's bytes.
    fn pipe_end(&self, file: &[u8]) -> usize {
        let last = bytes_of(self, self.len() - 1);
        let in_order = |i: usize| bytes_of(self, i);
        let apr_last = (0..self.len()).map(in_order).find(|b| b.len() == 36);
        let last = apr_last.unwrap_or(last);
        file.windows(last.len()).rposition(|w| w == last).unwrap() + last.len()
    }
}

#[test]
fn promises_of_large_numbers_take_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged");
    for path in small_files(folder.path()) {
        let file = fs::read(&path).unwrap();
        for at in 4..file.len().min(700) {
            for promise in [1u64 << 60, 1 << 63, u64::MAX, 1 << 32, u64::MAX / 4 + 1] {
                let mut changed = file.clone();
                let n = 8.min(file.len() - at);
                changed[at..at + n].copy_from_slice(&promise.to_le_bytes()[..n]);
                mend(&mut changed);
                overwrite(&damaged, &changed);
                if let Err(e) = try_all(&damaged) {
                    assert_eq!(e.status(), Status::Model, "{e}");
                }
            }
        }
    }
    let header = |json: &str| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    let mut gguf = b"GGUF\x03\0\0\0".to_vec();
    gguf.extend((1u64 << 63).to_le_bytes());
    gguf.extend(0u64.to_le_bytes());
    let mut array = b"GGUF\x03\0\0\0".to_vec();
    array.extend([0u64, 1, 1].iter().flat_map(|n| n.to_le_bytes()));
    array.extend(b"k\x09\0\0\0\x08\0\0\0");
    array.extend((1u64 << 60).to_le_bytes());
    for (bytes, quoted) in [
        (gguf, "9223372036854775808 tensors"),
        (array, "k: 1152921504606846976 elements"),
        ((1u64 << 63).to_le_bytes().to_vec(), "9223372036854775808 bytes"),
        (
            header(r#"{"a":{"dtype":"F32","shape":[1152921504606846976,1152921504606846976],"data_offsets":[0,0]}}"#),
            "a: ",
        ),
        (b"GGUF\0\0\0\x03".to_vec(), "big-endian"),
        (b"GGUF\x01\0\0\0".to_vec(), "version 1"),
        (b"GGUF".to_vec(), "ends at 4"),
        (b"APRN".to_vec(), "version 1"),
    ] {
        overwrite(&damaged, &bytes);
        let e = Tensors::open(&damaged).expect_err(quoted);
        assert!(e.status() == Status::Model && e.message().contains(quoted), "{quoted}: {e}");
    }
}

#[test]
fn apr_files_that_are_not_supported_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = fs::read(&small_files(folder.path())[0]).unwrap();
    let path = folder.path().join("changed");
    for (flag, quoted) in [
        (1u16, "compressed"),
        (2, "compressed"),
        (4, "encrypted"),
        (16, "sharded"),
        (1 << 11, "columns"),
        (1 << 15, "unknown flags: 0x8000"),
    ] {
        let mut changed = file.clone();
        let flags = u16::from_le_bytes([file[6], file[7]]) | flag;
        changed[6..8].copy_from_slice(&flags.to_le_bytes());
        mend(&mut changed);
        fs::write(&path, &changed).unwrap();
        let e = Tensors::open(&path).expect_err(quoted);
        assert!(e.message().contains(quoted), "{e}");
    }
    let mut changed = file.clone();
    changed[8] ^= 1;
    fs::write(&path, &changed).unwrap();
    assert!(Tensors::open(&path).unwrap_err().message().contains("checksum"));
}

#[test]
fn scales_that_are_not_finite_are_errors_that_name_the_block() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    for (dtype, at) in [(DType::Q8_0, 0), (DType::Q4_1, 2), (DType::Q4K, 2), (DType::Q6K, 208), (DType::Q5_0, 0)] {
        for bad in [[0x00, 0x7c], [0x01, 0x7e], [0x00, 0xfc]] {
            let (values, size) = dtype.block();
            let mut data = vec![0; 3 * size];
            data[size + at..size + at + 2].copy_from_slice(&bad);
            let mut writer = TensorWriter::create(&path, Format::Gguf, &Metadata::default()).unwrap();
            writer.add("bad", dtype, &[3, values as u64], &data).unwrap();
            writer.finish().unwrap();
            let tensors = Tensors::open(&path).unwrap();
            let e = values_of(&tensors, 0).unwrap_err();
            assert!(e.status() == Status::Model && e.message().contains("bad: the scale of block 1"), "{e}");
            assert!(bytes_of(&tensors, 0) == data, "the bytes can be read as they are");
        }
    }
    let mut writer = TensorWriter::create(&path, Format::Apr, &Metadata::default()).unwrap();
    writer.add("q8", DType::Q8, &[1], &[0, 0, 0xc0, 0x7f, 1]).unwrap();
    writer.add("i8", DType::I8, &[2, 1], &[1, 1]).unwrap();
    writer.add_f32("i8.scale", DType::F32, &[2], &[1.0, f32::NAN]).unwrap();
    writer.add("lone", DType::I8, &[2, 1], &[1, 1]).unwrap();
    writer.finish().unwrap();
    let tensors = Tensors::open(&path).unwrap();
    for (name, quoted) in [("q8", "scale is NaN"), ("i8", "row 1 is NaN"), ("lone", "no F32 tensor")] {
        let e = values_of(&tensors, tensors.find(name).unwrap()).unwrap_err();
        assert!(e.message().contains(quoted), "{e}");
    }
}

#[test]
fn a_refused_tensor_leaves_the_writer_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for format in FORMATS {
        let path = folder.path().join("a");
        let mut writer = TensorWriter::create(&path, format, &Metadata::default()).unwrap();
        writer.add_f32("a", DType::F32, &[2], &[1.0, f32::NAN]).unwrap();
        let counts = writer.counts();
        let long = "x".repeat(70_000);
        let mut refused = |name: &str, dtype, shape: &[u64], data: &[u8], quoted: &str| {
            let e = writer.add(name, dtype, shape, data).expect_err(quoted);
            assert!(e.status() == Status::Argument && e.message().contains(quoted), "{quoted}: {e}");
        };
        refused("a", DType::F32, &[1], &[0; 4], "before");
        refused("b", DType::F32, &[2], &[0; 4], "4 bytes");
        refused("b", DType::F32, &[1 << 60, 1 << 60], &[], "too many");
        refused("b", DType::F32, &[1 << 62], &[], "too many");
        refused("b", DType::F32, &[1; 9], &[0; 4], "9 dimensions");
        refused("b\0", DType::F32, &[], &[0; 4], "zero byte");
        refused(&long, DType::F32, &[], &[0; 4], "at most");
        match format {
            Format::Apr => refused("b", DType::Q4_0, &[32], &[0; 18], "APR files have no type Q4_0"),
            Format::Safetensors => {
                refused("b", DType::Q8_0, &[32], &[0; 34], "have no type");
                refused("__metadata__", DType::F32, &[], &[0; 4], "metadata");
            }
            Format::Gguf => {
                refused("b", DType::Q4, &[32], &[0; 18], "have no type");
                refused("b", DType::Q8_0, &[32, 33], &[0; 34], "blocks");
            }
        }
        for (dtype, bad) in
            [(DType::F16, 1e6), (DType::BF16, f32::MAX), (DType::F16, f32::NAN), (DType::BF16, f32::INFINITY)]
        {
            let e = writer.add_f32("b", dtype, &[2], &[1.0, bad]).unwrap_err();
            assert_eq!(e.status(), Status::Argument, "{e}");
        }
        // The first part of the values is not too large.
        let mut large = vec![1.0; 1 << 15];
        for dtype in
            DType::ALL.into_iter().filter(|t| format.has(*t) && ![DType::F32, DType::Q8, DType::I8].contains(t))
        {
            for bad in [f32::MAX, -f32::MAX, 1e20, -1e13, 3e9] {
                if dtype == DType::BF16 && bad.abs() < f32::MAX {
                    continue;
                }
                large[(1 << 15) - 300] = bad;
                let e = writer.add_f32("b", dtype, &[128, 256], &large).expect_err(dtype.name());
                assert!(e.status() == Status::Argument && e.message().contains("too large"), "{e}");
            }
            large[(1 << 15) - 300] = f32::NAN;
            let e = writer.add_f32("b", dtype, &[128, 256], &large).unwrap_err();
            assert!(e.message().contains("b: value 32468 is NaN"), "{e}");
        }
        assert_eq!(writer.add_f32("b", DType::F32, &[2], &[1.0]).unwrap_err().status(), Status::Argument);
        assert_eq!(writer.counts(), counts);
        writer.add_f32("b", DType::F16, &[], &[65504.0]).unwrap();
        writer.finish().unwrap();
        let tensors = Tensors::open(&path).unwrap();
        assert_eq!(tensors.len(), 2);
        assert_eq!(values_of(&tensors, tensors.find("b").unwrap()).unwrap(), [65504.0]);
        assert_eq!(number_of_files(folder.path()), 1);
    }
}

#[test]
fn an_unfinished_file_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, "old").unwrap();
    for format in FORMATS {
        let mut writer = TensorWriter::create(&path, format, &Metadata::default()).unwrap();
        writer.add("a", DType::I8, &[100_000], &[1; 100_000]).unwrap();
        drop(writer);
        assert_eq!((fs::read(&path).unwrap(), number_of_files(folder.path())), (b"old".to_vec(), 1));
    }
    let taken = folder.path().join("folder");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("x"), "").unwrap();
    let writer = TensorWriter::create(&taken, Format::Gguf, &Metadata::default()).unwrap();
    assert_eq!(writer.finish().unwrap_err().status(), Status::Io);
    assert_eq!(number_of_files(folder.path()), 2);
    let nowhere = folder.path().join("none/a");
    let e = TensorWriter::create(&nowhere, Format::Gguf, &Metadata::default()).unwrap_err();
    assert_eq!(e.status(), Status::Io);
    assert_eq!(Tensors::open(&nowhere).unwrap_err().status(), Status::Io);
    assert_eq!(Tensors::open(folder.path()).unwrap_err().status(), Status::Io);
}

/// A full disk, as a limit on the length of files: it holds for a whole process, so that the test runs in its own.
#[cfg(unix)]
#[test]
fn a_full_disk_is_an_error_that_leaves_nothing_behind() {
    let name = "a_full_disk_in_a_process_of_its_own";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", name, "--ignored"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[cfg(unix)]
#[test]
#[ignore = "a part of the test before"]
fn a_full_disk_in_a_process_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, "old").unwrap();
    // SAFETY: the only thread that does anything; the signal's default action would end the process.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let limit = libc::rlimit { rlim_cur: 100_000, rlim_max: 100_000 };
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    for format in FORMATS {
        let mut writer = TensorWriter::create(&path, format, &Metadata::default()).unwrap();
        writer.add("a", DType::I8, &[60_000], &[1; 60_000]).unwrap();
        let e = writer.add("b", DType::I8, &[60_000], &[1; 60_000]).unwrap_err();
        assert_eq!(e.status(), Status::Io, "{e}");
        assert_eq!(writer.add("c", DType::I8, &[], &[1]).unwrap_err().status(), Status::State);
        assert_eq!(writer.finish().unwrap_err().status(), Status::State);
        // The bytes fit, but not with what precedes them.
        let mut writer = TensorWriter::create(&path, format, &Metadata::default()).unwrap();
        writer.add("a", DType::I8, &[99_968], &[1; 99_968]).unwrap();
        assert_eq!(writer.finish().unwrap_err().status(), Status::Io);
        assert_eq!((fs::read(&path).unwrap(), number_of_files(folder.path())), (b"old".to_vec(), 1));
    }
}

// ---- The C ABI -------------------------------------------------------------------------------------------------------

fn c_path(path: &Path) -> CString {
    CString::new(path.to_str().unwrap()).unwrap()
}

#[test]
fn the_c_calls_read_what_they_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = c_path(&folder.path().join("a.apr"));
    let json = c"{\"k\":{\"u32\":1},\"gptz.skipped\":{\"string\":[\"x\"]}}";
    let values = values();
    // SAFETY: pointers to buffers of the stated lengths, and objects that are freed once.
    unsafe {
        let mut writer = ptr::null_mut();
        assert_eq!(gptz_tensor_writer_open(path.as_ptr(), GPTZ_TENSORS_APR, json.as_ptr(), &mut writer), GPTZ_OK);
        let shape = [2u64, 3];
        let add = |name: &CStr, n| {
            gptz_tensor_writer_add_f32(writer, name.as_ptr(), GPTZ_DTYPE_F32, shape.as_ptr(), 2, values.as_ptr(), n)
        };
        assert_eq!((add(c"w", 6), add(c"w", 6), add(c"v", 5)), (GPTZ_OK, GPTZ_ERROR_ARGUMENT, GPTZ_ERROR_ARGUMENT));
        let raw = |dtype: c_int, data: &[u8]| {
            gptz_tensor_writer_add(writer, c"b".as_ptr(), dtype, ptr::null(), 0, data.as_ptr().cast(), data.len())
        };
        assert_eq!((raw(99, &[1]), raw(-1, &[1]), raw(GPTZ_DTYPE_F16, &[1])), (1, 1, 1));
        assert_eq!(raw(GPTZ_DTYPE_F16, &[0, 0x3c]), GPTZ_OK);
        let (mut n, mut bytes) = (9, 9);
        assert_eq!(gptz_tensor_writer_counts(writer, &mut n, &mut bytes), GPTZ_OK);
        assert_eq!((n, bytes), (2, 128));
        assert_eq!(gptz_tensor_writer_finish(writer), GPTZ_OK, "{}", message());
        assert_eq!(gptz_tensor_writer_finish(writer), GPTZ_ERROR_STATE);
        assert_eq!((raw(GPTZ_DTYPE_F16, &[0, 0]), add(c"x", 6)), (GPTZ_ERROR_STATE, GPTZ_ERROR_STATE));
        assert_eq!(gptz_tensor_writer_counts(writer, &mut n, &mut bytes), GPTZ_ERROR_STATE);
        assert_eq!((n, bytes), (0, 0));
        gptz_tensor_writer_free(writer);

        let mut reader = ptr::null_mut();
        assert_eq!(gptz_tensor_reader_open(path.as_ptr(), &mut reader), GPTZ_OK, "{}", message());
        assert_eq!((gptz_tensor_reader_count(reader, &mut n), n), (GPTZ_OK, 2));
        let (mut name, mut dtype, mut shape, mut dims) = (ptr::null(), 0, ptr::null(), 0);
        let mut info = |i| gptz_tensor_reader_info(reader, i, &mut name, &mut dtype, &mut shape, &mut dims, &mut bytes);
        assert_eq!(info(1), GPTZ_OK);
        assert_eq!((CStr::from_ptr(name), dtype, dims, bytes), (c"w", GPTZ_DTYPE_F32, 2, 24));
        assert_eq!(std::slice::from_raw_parts(shape, 2), [2, 3]);
        let nothing = ptr::null_mut::<u8>;
        let all = |i| {
            gptz_tensor_reader_info(
                reader,
                i,
                nothing().cast(),
                nothing().cast(),
                nothing().cast(),
                nothing().cast(),
                nothing().cast(),
            )
        };
        assert_eq!((all(0), all(2), all(u64::MAX)), (GPTZ_OK, GPTZ_ERROR_ARGUMENT, GPTZ_ERROR_ARGUMENT));
        let mut found = [0f32; 7];
        let mut read = |n| gptz_tensor_reader_read_f32(reader, 1, found.as_mut_ptr(), n);
        assert_eq!((read(5), read(6), read(7)), (GPTZ_ERROR_BUFFER_TOO_SMALL, GPTZ_OK, GPTZ_OK));
        assert_eq!(found[..6], values[..6]);
        let mut raw = [0u8; 24];
        let mut read = |n| gptz_tensor_reader_read(reader, 1, raw.as_mut_ptr().cast(), n);
        assert_eq!((read(23), read(24)), (GPTZ_ERROR_BUFFER_TOO_SMALL, GPTZ_OK));
        assert_eq!(raw[..4], values[0].to_le_bytes());
        let mut len = 0;
        assert_eq!(gptz_tensor_reader_metadata(reader, ptr::null_mut(), 0, &mut len), GPTZ_ERROR_BUFFER_TOO_SMALL);
        let mut json = vec![1u8; len];
        let mut get = |cap| gptz_tensor_reader_metadata(reader, json.as_mut_ptr().cast(), cap, &mut len);
        assert_eq!((get(3), get(16)), (GPTZ_ERROR_BUFFER_TOO_SMALL, GPTZ_OK));
        assert_eq!((CStr::from_bytes_with_nul(&json), len), (Ok(c"{\"k\":{\"u32\":1}}"), 15));
        gptz_tensor_reader_free(reader);

        let mixed = c_path(&data("mixed.safetensors"));
        assert_eq!(gptz_tensor_reader_open(mixed.as_ptr(), &mut reader), GPTZ_OK);
        let mut json = [0u8; 256];
        assert_eq!(gptz_tensor_reader_metadata(reader, json.as_mut_ptr().cast(), 256, &mut len), GPTZ_OK);
        assert!(String::from_utf8_lossy(&json).contains("\"gptz.skipped\":{\"string\":[\"positions\"]}}"));
        gptz_tensor_reader_free(reader);
    }
}

#[test]
fn the_c_calls_check_their_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let path = c_path(&folder.path().join("a"));
    // SAFETY: NULL, and objects of another type, are arguments that the header allows.
    unsafe {
        let (mut reader, mut writer) = (ptr::without_provenance_mut(1), ptr::without_provenance_mut(1));
        assert_eq!(gptz_tensor_reader_open(ptr::null(), &mut reader), GPTZ_ERROR_ARGUMENT);
        assert!(reader.is_null());
        assert_eq!(gptz_tensor_reader_open(path.as_ptr(), &mut reader), GPTZ_ERROR_IO);
        assert_eq!(gptz_tensor_reader_open(path.as_ptr(), ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_tensor_reader_count(ptr::null(), &mut 0), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_tensor_reader_read(ptr::null(), 0, ptr::null_mut(), 0), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_tensor_reader_read_f32(ptr::null(), 0, ptr::null_mut(), 0), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_tensor_reader_metadata(ptr::null(), ptr::null_mut(), 0, &mut 0), GPTZ_ERROR_ARGUMENT);
        let mut open = |format, json: *const _| {
            let status = gptz_tensor_writer_open(path.as_ptr(), format, json, &mut writer);
            assert_eq!(status == GPTZ_OK, !writer.is_null());
            status
        };
        assert_eq!((open(0, ptr::null()), open(4, ptr::null())), (GPTZ_ERROR_ARGUMENT, GPTZ_ERROR_ARGUMENT));
        assert_eq!(open(GPTZ_TENSORS_GGUF, c"{\"general.alignment\":{\"u32\":3}}".as_ptr()), GPTZ_ERROR_ARGUMENT);
        assert_eq!(open(GPTZ_TENSORS_GGUF, c"{\"a\":1}".as_ptr()), GPTZ_ERROR_ARGUMENT);
        assert_eq!(open(GPTZ_TENSORS_GGUF, ptr::null()), GPTZ_OK);
        assert_eq!(gptz_tensor_reader_count(writer.cast(), &mut 0), GPTZ_ERROR_ARGUMENT);
        assert!(message().contains("tensor reader"), "{}", message());
        gptz_tensor_reader_free(writer.cast());
        let add = |name: *const _, shape: *const u64, dims, data: *const f32, n| {
            gptz_tensor_writer_add_f32(writer, name, GPTZ_DTYPE_F32, shape, dims, data, n)
        };
        let (name, x) = (c"a".as_ptr(), [1f32; 2]);
        assert_eq!(add(ptr::null(), ptr::null(), 0, x.as_ptr(), 1), GPTZ_ERROR_ARGUMENT);
        assert_eq!(add(c"\xff".as_ptr(), ptr::null(), 0, x.as_ptr(), 1), GPTZ_ERROR_ARGUMENT);
        assert_eq!(add(name, ptr::null(), 1, x.as_ptr(), 1), GPTZ_ERROR_ARGUMENT);
        assert_eq!(add(name, [1; 9].as_ptr(), 9, x.as_ptr(), 1), GPTZ_ERROR_ARGUMENT);
        assert_eq!(add(name, ptr::null(), 0, ptr::null(), 1), GPTZ_ERROR_ARGUMENT);
        assert_eq!(add(name, ptr::null(), 0, x.as_ptr().byte_add(1), 1), GPTZ_ERROR_ARGUMENT);
        assert_eq!(add(name, ptr::null(), 0, x.as_ptr(), usize::MAX), GPTZ_ERROR_ARGUMENT);
        assert_eq!(add(name, [0].as_ptr(), 1, ptr::null(), 0), GPTZ_OK, "{}", message());
        gptz_tensor_writer_free(writer);
        gptz_tensor_writer_free(ptr::null_mut());
        gptz_tensor_reader_free(ptr::null_mut());
        assert_eq!(gptz_tensor_writer_finish(ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_tensor_writer_counts(ptr::null(), ptr::null_mut(), ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
    }
    assert_eq!(number_of_files(folder.path()), 0);
}

/// A C program may call from a thread with a small stack.
#[test]
fn the_calls_take_little_stack() {
    let folder = tempfile::tempdir().unwrap();
    let json = CString::new(some_metadata().to_json().unwrap()).unwrap();
    let paths = FORMATS.map(|format| (format as c_int, c_path(&folder.path().join(format.name()))));
    let nested = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let deep = [&b"{\"a\":{\"json\":"[..], &nested, b"}}"].concat();
    let call = || {
        let _ = Metadata::from_json(&deep);
        for (format, path) in &paths {
            let (mut writer, mut reader, mut len) = (ptr::null_mut(), ptr::null_mut(), 0);
            // SAFETY: pointers to buffers of the stated lengths, and objects that are freed once.
            unsafe {
                assert_eq!(gptz_tensor_writer_open(path.as_ptr(), *format, json.as_ptr(), &mut writer), GPTZ_OK);
                let (shape, x) = ([32u64], [1f32; 32]);
                let add = |name: &CStr, dtype| {
                    gptz_tensor_writer_add_f32(writer, name.as_ptr(), dtype, shape.as_ptr(), 1, x.as_ptr(), 32)
                };
                assert_eq!(add(c"a", GPTZ_DTYPE_BF16), GPTZ_OK);
                for dtype in [GPTZ_DTYPE_Q4, GPTZ_DTYPE_Q5_1] {
                    add(if dtype == GPTZ_DTYPE_Q4 { c"b" } else { c"c" }, dtype);
                }
                assert_eq!(gptz_tensor_writer_finish(writer), GPTZ_OK);
                gptz_tensor_writer_free(writer);
                assert_eq!(gptz_tensor_reader_open(path.as_ptr(), &mut reader), GPTZ_OK);
                let mut back = [0f32; 32];
                assert_eq!(gptz_tensor_reader_read_f32(reader, 0, back.as_mut_ptr(), 32), GPTZ_OK);
                assert_eq!(back, x);
                let mut text = [0u8; 4096];
                assert_eq!(gptz_tensor_reader_metadata(reader, text.as_mut_ptr().cast(), 4096, &mut len), GPTZ_OK);
                gptz_tensor_reader_free(reader);
            }
        }
    };
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(40 << 10).spawn_scoped(scope, call).unwrap();
    });
}
