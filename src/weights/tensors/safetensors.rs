//! Reading safetensors files: the header's tensors and its `__metadata__`.

use ::safetensors::tensor::Dtype;

use super::info::{Contents, Reason, WHAT};
use crate::error::{Result, fail, shortened};
use crate::numeric::buffer::{filled, made};
use crate::weights::dtype::{DType, MAX_DIMENSIONS};
use crate::weights::header::Header;
use crate::weights::metadata::{Metadata, Value};
use crate::weights::metadata_json::{TYPES, check_json, each_entry, read_text, read_types, read_value};
use crate::weights::source::Source;

/// The largest header. The format itself allows 100 MB.
const MAX_HEADER: u64 = 32 << 20;

fn dtype_of(dtype: Dtype) -> std::result::Result<DType, &'static str> {
    Ok(match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I8 => DType::I8,
        Dtype::F64 => return Err("F64"),
        Dtype::I64 => return Err("I64"),
        Dtype::U64 => return Err("U64"),
        Dtype::I32 => return Err("I32"),
        Dtype::U32 => return Err("U32"),
        Dtype::I16 => return Err("I16"),
        Dtype::U16 => return Err("U16"),
        Dtype::U8 => return Err("U8"),
        Dtype::BOOL => return Err("BOOL"),
        _ => return Err("one that is not supported"),
    })
}

/// Reads the strings of `__metadata__`. Those that [`TYPES`] names are JSON.
fn read_metadata(json: &str) -> Result<Metadata> {
    let mut strings = Metadata::default();
    each_entry(json.as_bytes(), |key, json| match read_text(json)? {
        Some(text) => strings.push(key, Value::Text(text)),
        None => fail!(Model, "metadata: {} is not a string", shortened(key)),
    })?;
    let Some(types) = strings.text(TYPES) else { return Ok(strings) };
    let types = read_types(types)?;
    let mut metadata = Metadata::default();
    for (key, value) in strings.into_entries().filter(|(key, _)| *key != TYPES) {
        let value = match value {
            Value::Text(json) if types.get(&key).is_some() => {
                check_json(&json)?;
                read_value(&key, json.trim_ascii(), &types)?
            }
            value => value,
        };
        metadata.push(&key, value)?;
    }
    Ok(metadata)
}

/// Reads all but the tensors' bytes.
pub(super) fn read(source: &Source) -> Result<Contents> {
    let mut size = [0u8; 8];
    if source.len() < 8 {
        fail!(Model, "not a tensor file: {} bytes", source.len());
    }
    source.read(&mut size, 0)?;
    let (size, available) = (u64::from_le_bytes(size), source.len() - 8);
    if size > available || size > MAX_HEADER {
        fail!(
            Model,
            "not a GGUF, APR or safetensors file: as a safetensors file it states a header of {size} bytes, {available} \
             are there and {MAX_HEADER} allowed"
        );
    }
    let mut json = filled(size as usize, 0u8, WHAT)?;
    source.read(&mut json, 8)?;
    let header = Header::parse(&json, available - size)?;
    let mut contents = Contents::default();
    each_entry(&json, |key, json| {
        if key == "__metadata__" {
            contents.metadata = read_metadata(json)?;
        }
        Ok(())
    })?;
    drop(json);
    // The header is sorted by name. The order of the file is that of the bytes.
    let mut order = made(header.len(), WHAT, |i| Ok(i as u32))?;
    order.sort_unstable_by_key(|i| (header.get(*i as usize).data, *i));
    for i in order {
        let tensor = header.get(i as usize);
        let mut shape = [0u64; MAX_DIMENSIONS];
        let shape = &mut shape[..tensor.shape.len()];
        shape.iter_mut().zip(tensor.shape).for_each(|(to, n)| *to = *n as u64);
        let (from, to) = tensor.data;
        match dtype_of(tensor.dtype) {
            Ok(dtype) => contents.add(tensor.name, dtype, shape, 8 + size + from, Some(to - from))?,
            Err(name) => contents.skip(tensor.name, Reason::Type(name))?,
        }
    }
    contents.check_layout(8 + size, source.len(), 1)?;
    Ok(contents)
}
