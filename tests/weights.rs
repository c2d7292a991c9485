//! Weights files that are missing, damaged or of the wrong shape. Errors name the tensor, what was found and what is
//! needed.

mod common;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::ptr;

use common::*;
use serde_json::{Value, json};

/// A parsed safetensors file: its header and the bytes of its tensors.
#[derive(Clone)]
struct File {
    header: BTreeMap<String, Value>,
    data: Vec<u8>,
}

impl File {
    fn fixture() -> Self {
        let n = u64::from_le_bytes(WEIGHTS[..8].try_into().unwrap()) as usize;
        Self { header: serde_json::from_slice(&WEIGHTS[8..8 + n]).unwrap(), data: WEIGHTS[8 + n..].to_vec() }
    }

    fn bytes(&self) -> Vec<u8> {
        let header = serde_json::to_vec(&self.header).unwrap();
        [&(header.len() as u64).to_le_bytes()[..], &header, &self.data].concat()
    }

    /// The position of a tensor's bytes.
    fn range(&self, name: &str) -> std::ops::Range<usize> {
        let at = |i: usize| self.header[name]["data_offsets"][i].as_u64().unwrap() as usize;
        at(0)..at(1)
    }

    /// The file with all BF16 values converted to another dtype.
    fn converted(&self, dtype: &str, convert: impl Fn(f32) -> Vec<u8>) -> Self {
        let (mut header, mut data) = (BTreeMap::new(), Vec::new());
        for (name, info) in self.header.iter().filter(|(name, _)| *name != "__metadata__") {
            let from = data.len();
            for pair in self.data[self.range(name)].as_chunks::<2>().0 {
                data.extend(convert(half::bf16::from_le_bytes(*pair).to_f32()));
            }
            let shape = &info["shape"];
            header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": [from, data.len()]}));
        }
        Self { header, data }
    }
}

#[track_caller]
fn refused(bytes: &[u8], quoted: &[&str]) {
    assert_eq!(Model::from_memory(bytes).err(), Some(GPTZ_ERROR_MODEL), "{quoted:?}: {}", message());
    for part in quoted {
        assert!(message().contains(part), "{part:?} is not in: {}", message());
    }
}

#[test]
fn dtypes_with_the_same_values_are_the_same_weights() {
    let file = File::fixture();
    let bf16 = Model::from_memory(WEIGHTS).unwrap();
    let f32 = Model::from_memory(&file.converted("F32", |x| x.to_le_bytes().to_vec()).bytes()).unwrap();
    assert_eq!(f32.fingerprint(), bf16.fingerprint());
    let (a, b) = (Handle::from_model(&bf16, None).unwrap(), Handle::from_model(&f32, None).unwrap());
    let frame = a.compress(&ALICE[..300]);
    assert_eq!(b.decompress(&frame), &ALICE[..300]);
    // F16 cannot represent all of these values.
    let f16 = file.converted("F16", |x| half::f16::from_f32(x).to_le_bytes().to_vec());
    let again = f16.clone();
    let f16 = Model::from_memory(&f16.bytes()).unwrap();
    assert_eq!(f16.fingerprint(), Model::from_memory(&again.bytes()).unwrap().fingerprint());
    Handle::from_model(&f16, Some("weights=f32")).unwrap().compress(b"abc");
}

/// The file with its matrices as I8 with a scale per row, and with the F32 values that these represent.
fn quantised(file: &File) -> [File; 2] {
    let mut files = [(); 2].map(|()| File { header: BTreeMap::new(), data: Vec::new() });
    fn add(file: &mut File, name: &str, dtype: &str, shape: &serde_json::Value, bytes: Vec<u8>) {
        let from = file.data.len();
        file.data.extend(bytes);
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [from, file.data.len()]});
        file.header.insert(name.to_owned(), entry);
    }
    let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    for (name, info) in file.header.iter().filter(|(name, _)| *name != "__metadata__") {
        let pairs = file.data[file.range(name)].as_chunks::<2>().0;
        let values: Vec<f32> = pairs.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect();
        let shape = &info["shape"];
        let rows = shape[0].as_u64().unwrap() as usize;
        if shape.as_array().unwrap().len() != 2 || name.ends_with("r_k") {
            files.iter_mut().for_each(|file| add(file, name, "F32", shape, bytes(&values)));
            continue;
        }
        let (mut whole, mut scales, mut products) = (Vec::new(), Vec::new(), Vec::new());
        for row in values.chunks_exact(values.len() / rows) {
            let scale = row.iter().fold(0f32, |m, x| m.max(x.abs())) / 127.0;
            let q: Vec<i8> = row.iter().map(|x| (x / scale).round_ties_even() as i8).collect();
            products.extend(q.iter().map(|q| f32::from(*q) * scale));
            whole.extend(q.iter().map(|q| q.cast_unsigned()));
            scales.push(scale);
        }
        add(&mut files[0], name, "I8", shape, whole);
        add(&mut files[0], &format!("{name}.scale"), "F32", &json!([rows]), bytes(&scales));
        add(&mut files[1], name, "F32", shape, bytes(&products));
    }
    files
}

#[test]
fn i8_with_a_scale_per_row_equals_the_products() {
    let files = quantised(&File::fixture());
    let [i8, f32] = files.each_ref().map(|file| Model::from_memory(&file.bytes()).unwrap());
    assert_eq!(i8.fingerprint(), f32.fingerprint());
    for policy in [None, Some("weights=f32")] {
        let [a, b] = [&i8, &f32].map(|model| Handle::from_model(model, policy).unwrap());
        assert_eq!(b.decompress(&a.compress(&ALICE[..300])), &ALICE[..300]);
    }
    let ([file, _], name) = (&files, "lm_head.weight");
    let changed = |change: &dyn Fn(&mut BTreeMap<String, serde_json::Value>)| {
        let mut bad = file.clone();
        change(&mut bad.header);
        bad.bytes()
    };
    let scale = format!("{name}.scale");
    refused(&changed(&|h| h.get_mut(&scale).unwrap()["shape"] = json!([128, 2])), &[&scale, "[128, 2]", "[256]"]);
    refused(&changed(&|h| h.get_mut(name).unwrap()["dtype"] = json!("U8")), &[&scale]);
    refused(
        &changed(&|h| {
            let entry = h.remove(&scale).unwrap();
            h.insert("lm_head.weight.scales".into(), entry);
        }),
        &[&scale, "missing"],
    );
    // The bytes of the scales as twice as many F16 values.
    refused(
        &changed(&|h| {
            let entry = h.get_mut(&scale).unwrap();
            (entry["dtype"], entry["shape"]) = (json!("F16"), json!([512]));
        }),
        &[&scale],
    );
}

#[test]
fn a_truncated_file_or_a_wrong_header_length_is_refused() {
    for n in [0, 1, 7, 8, 9, 100, 2000, WEIGHTS.len() / 2, WEIGHTS.len() - 1] {
        refused(&WEIGHTS[..n], &[]);
    }
    refused(&[WEIGHTS, b"x"].concat(), &["its header names"]);
    for promise in [u64::MAX, u64::MAX - 7, 1 << 40, WEIGHTS.len() as u64 - 7] {
        let mut bytes = WEIGHTS.to_vec();
        bytes[..8].copy_from_slice(&promise.to_le_bytes());
        refused(&bytes, &[&promise.to_string()]);
    }
    refused(&[&5u64.to_le_bytes()[..], b"hello"].concat(), &["header"]);
    refused(&[&2u64.to_le_bytes()[..], b"{}"].concat(), &["model.embeddings.weight", "missing"]);
    refused(&[&4u64.to_le_bytes()[..], b"null"].concat(), &["header"]);
    let deep = [&[b'['; 100_000][..], &[b']'; 100_000]].concat();
    refused(&[&(deep.len() as u64).to_le_bytes()[..], &deep].concat(), &["header"]);
}

#[test]
fn a_missing_tensor_is_named_with_the_shape_that_is_needed() {
    let file = File::fixture();
    let names: Vec<String> = file.header.keys().filter(|n| *n != "__metadata__").cloned().collect();
    assert!(names.len() > 90);
    for name in names {
        let mut bad = file.clone();
        let range = bad.range(&name);
        bad.header.remove(&name);
        bad.data.drain(range.clone());
        for info in bad.header.values_mut().filter(|i| i["data_offsets"][0].as_u64() > Some(range.start as u64)) {
            for i in 0..2 {
                info["data_offsets"][i] = json!(info["data_offsets"][i].as_u64().unwrap() - range.len() as u64);
            }
        }
        // A layer without its r_proj is not counted, so its other tensors are unknown ones.
        let upper = name.ends_with("attn.r_proj.weight") && !name.contains(".0.");
        let quoted = if upper { ["no such", "tensor"] } else { ["missing", &name] };
        refused(&bad.bytes(), &quoted);
    }
}

#[test]
fn a_tensor_of_the_wrong_shape_is_named_with_both_shapes() {
    let file = File::fixture();
    let with = |name: &str, shape: Value| {
        let mut bad = file.clone();
        bad.header.get_mut(name).unwrap()["shape"] = shape;
        bad.bytes()
    };
    let name = "model.layers.1.attn.k_proj.weight";
    refused(&with(name, json!([32, 128])), &[name, "[32, 128]", "[64, 64]"]);
    refused(&with(name, json!([4096])), &[name, "[4096]", "[64, 64]"]);
    refused(&with("model.norm.weight", json!([32, 2])), &["model.norm.weight", "[32, 2]", "[64]"]);
    refused(&with(name, json!([64, 63])), &[name, "8192 bytes"]);
    refused(&with(name, json!([u64::MAX, 2])), &[name]);
    refused(&with("model.embeddings.weight", json!([128, 128])), &["model.embeddings.weight", "[128, 128]", "256"]);
    refused(&with("model.layers.0.attn.r_k", json!([4, 16])), &["head_size=16"]);
    // Dimensions of 1 are ignored.
    assert!(Model::from_memory(&with("model.norm.weight", json!([1, 64, 1]))).is_ok());
    let mut extra = file.clone();
    extra.header.insert("lm_head.bias".into(), json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}));
    refused(&extra.bytes(), &["lm_head.bias"]);
}

#[test]
fn offsets_that_overlap_or_leave_the_file_are_refused() {
    let file = File::fixture();
    let name = "model.layers.1.attn.k_proj.weight";
    let range = file.range(name);
    for (from, to) in [
        (range.start - 2, range.end - 2),
        (range.start, range.end + 2),
        (range.end, range.start),
        (0, range.len()),
        (file.data.len(), file.data.len() + range.len()),
        (usize::MAX - 10, usize::MAX),
    ] {
        let mut bad = file.clone();
        bad.header.get_mut(name).unwrap()["data_offsets"] = json!([from, to]);
        refused(&bad.bytes(), &[]);
    }
}

#[test]
fn a_wrong_dtype_or_a_value_that_is_not_finite_is_named() {
    let file = File::fixture();
    let name = "model.layers.2.ffn.key.weight";
    let mut bad = file.clone();
    bad.header.get_mut(name).unwrap()["dtype"] = json!("I16");
    refused(&bad.bytes(), &[name, "I16", "BF16"]);
    bad.header.get_mut(name).unwrap()["dtype"] = json!("Q4");
    refused(&bad.bytes(), &["Q4"]);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut bad = file.clone();
        let at = bad.range(name).start + 2 * 77;
        bad.data[at..at + 2].copy_from_slice(&half::bf16::from_f32(value).to_le_bytes());
        refused(&bad.bytes(), &[name, "value 77", "finite"]);
    }
}

#[test]
fn extreme_weights_give_frames_that_decode_at_every_level() {
    // Finite weights so large that activations overflow to infinities and NaN. The rules for those must give the same
    // bits at every level too.
    let file = File::fixture();
    for size in [1e30f32, 3e38] {
        for part in ["ffn.value.weight", "attn.v_proj.weight", "lm_head.weight", "norm.weight", "w_lora.lora.0.weight"]
        {
            let mut wild = file.converted("F32", |x| x.to_le_bytes().to_vec());
            for name in file.header.keys().filter(|n| n.ends_with(part)) {
                let range = wild.range(name);
                for (i, value) in wild.data[range].as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    let x = f32::from_le_bytes(*value);
                    *value = (if i % 3 == 0 { size * x.signum() } else { x }).to_le_bytes();
                }
            }
            let model = Model::from_memory(&wild.bytes()).unwrap();
            for policy in ["weights=i8", "weights=f32"] {
                let mut frames = Vec::new();
                for level in ::gptz::numeric::level::Level::available() {
                    let name = CString::from(level.name());
                    let number = ["portable", "avx2", "avx512"].iter().position(|n| *n == name.to_str().unwrap());
                    assert_eq!(gptz_set_cpu_level(number.unwrap() as i32 + 1), GPTZ_OK);
                    let h = Handle::from_model(&model, Some(policy)).unwrap();
                    frames.push((h.compress(&ALICE[..300]), h.predict()));
                    assert_eq!(h.decompress(&frames[0].0), &ALICE[..300], "{part} {size:e} {policy}");
                }
                assert_eq!(gptz_set_cpu_level(GPTZ_CPU_AUTO), GPTZ_OK);
                assert!(frames.windows(2).all(|w| w[0] == w[1]), "{part} {size:e} {policy}");
            }
        }
    }
}

#[test]
fn files_that_cannot_be_read_are_io_errors() {
    let folder = tempfile::tempdir().unwrap();
    let mut out = ptr::null_mut();
    for path in [folder.path().join("none"), folder.path().to_owned(), "/dev/zero".into()] {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a string and a place to write to.
        assert_eq!(unsafe { gptz_model_open(path.as_ptr(), &mut out) }, GPTZ_ERROR_IO, "{path:?}");
        assert!(message().contains(path.to_str().unwrap()) && out.is_null());
    }
    let path = folder.path().join("w");
    std::fs::write(&path, WEIGHTS).unwrap();
    let path = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { gptz_model_open(path.as_ptr(), &mut out) }, GPTZ_OK, "{}", message());
    let model = Model(out);
    assert_eq!(model.fingerprint(), Model::from_memory(WEIGHTS).unwrap().fingerprint());
}

#[test]
fn a_message_keeps_its_reason_with_a_long_path() {
    // 572 bytes, which is longer than a message. Each part is short enough for a file system.
    let path = format!("/none/{}", format!("{}/", "d".repeat(80)).repeat(6)) + &"f".repeat(80);
    assert_eq!(path.len(), 572);
    let c_path = CString::new(&*path).unwrap();
    let mut out = ptr::null_mut();
    // SAFETY: a string and a place to write to.
    assert_eq!(unsafe { gptz_model_open(c_path.as_ptr(), &mut out) }, GPTZ_ERROR_IO);
    for create in [None, Some(format!("file:{path}"))] {
        if let Some(method) = create {
            assert_eq!(Handle::create(&method).err(), Some(GPTZ_ERROR_IO));
        }
        assert!(message().contains("No such file") && message().contains("/none/ddd"), "{}", message());
        assert!(message().contains("...") && message().len() < 250, "{}", message());
    }
    // A tensor's name.
    let mut file = File::fixture();
    let name = format!("head{}tail", "x".repeat(5000));
    file.header.insert(name, json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}));
    refused(&file.bytes(), &["headxxx", "...", "xxxtail", "no such tensor"]);
}

/// A header of `n` tensors without values, as short as it can be.
fn empty_tensors(n: usize) -> Vec<u8> {
    let entry = |i| format!("\"{i:x}\":{{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    let header = format!("{{{}}}", (0..n).map(entry).collect::<Vec<_>>().join(","));
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
}

#[test]
fn headers_are_bounded() {
    // 65,536 tensors can take less than 4 MiB, so each of the two limits is tested without the other.
    refused(&empty_tensors(65_536), &["model.embeddings.weight", "missing"]);
    refused(&empty_tensors(65_537), &["more than 65536 tensors"]);
    let padded = |n: usize| [&(n as u64).to_le_bytes()[..], b"{}", &vec![b' '; n - 2]].concat();
    refused(&padded(4 << 20), &["model.embeddings.weight", "missing"]);
    refused(&padded((4 << 20) + 1), &["4194305 bytes", "4194304 are allowed"]);
}

#[test]
fn a_header_is_json_of_the_right_types() {
    let long = "x".repeat(1000);
    for (entry, reason) in [
        ("1", "an object with dtype"),
        ("\"LONG\"", "a string, expected an object"),
        ("[\"LONG\"]", "sequence, expected an object"),
        ("{\"shape\":[1],\"data_offsets\":[0,0]}", "missing field `dtype`"),
        ("{\"dtype\":\"F32\",\"dtype\":\"F32\"}", "a field appears twice"),
        ("{\"dtype\":\"LONG\"}", "an unknown dtype"),
        ("{\"dtype\":\"F32LONG\"}", "an unknown dtype"),
        ("{\"dtype\":\"\\u0001LONG\"}", "an unknown dtype"),
        ("{\"dtype\":7}", "the name of a dtype"),
        ("{\"shape\":\"LONG\"}", "a string, expected at most 8 dimensions"),
        ("{\"shape\":[\"LONG\"]}", "a string, expected a whole number"),
        ("{\"shape\":[-1]}", "a whole number"),
        ("{\"shape\":[1.5]}", "a whole number"),
        ("{\"shape\":[1,1,1,1,1,1,1,1,1]}", "at most 8 dimensions"),
        ("{\"shape\":[99999999999999999999]}", "a whole number"),
        ("{\"data_offsets\":[1]}", "two offsets"),
        ("{\"data_offsets\":[1,2,3]}", "line 1"),
        ("{\"data_offsets\":\"LONG\"}", "a string, expected two offsets"),
    ] {
        let header = format!("{{\"name\":{}}}", entry.replace("LONG", &long));
        refused(&[&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat(), &["header", "name", reason]);
        assert!(message().len() < 300, "{}", message());
    }
    let header = format!("\"{long}\"");
    refused(&[&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat(), &["a string, expected an object"]);
    let twice = b"{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}";
    refused(&[&(twice.len() as u64).to_le_bytes()[..], twice].concat(), &["a:", "appears twice"]);
}

#[test]
fn another_head_size_is_another_fingerprint() {
    // Two heads of 32 and one head of 64 have the same values, but are different networks.
    let file = File::fixture();
    let mut other = file.clone();
    for layer in 0..3 {
        other.header.get_mut(&format!("model.layers.{layer}.attn.r_k")).unwrap()["shape"] = json!([1, 64]);
    }
    let (a, b) = (Model::from_memory(WEIGHTS).unwrap(), Model::from_memory(&other.bytes()).unwrap());
    assert_ne!(a.fingerprint(), b.fingerprint());
    let (a, b) = (Handle::from_model(&a, None).unwrap(), Handle::from_model(&b, None).unwrap());
    assert_eq!(b.restore(&a.snapshot()), GPTZ_ERROR_MISMATCH);
    assert_eq!(b.decompress_into(&a.compress(b"text"), 4).0, GPTZ_ERROR_MISMATCH);
}
