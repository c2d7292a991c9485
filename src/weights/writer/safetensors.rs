//! The head of a safetensors file: the length of the JSON header, and the header.

use std::fmt::Write;

use crate::error::Result;
use crate::numeric::buffer::{made, reserved};
use crate::weights::dtype::DType;
use crate::weights::metadata::{Metadata, Value};
use crate::weights::metadata_json::{Out, TYPES, write_plain};
use crate::weights::tensors::TensorInfo;

const WHAT: &str = "the head of a safetensors file";

pub(super) fn name_of(dtype: DType) -> Option<&'static str> {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16 | DType::I8).then(|| dtype.name())
}

/// The strings of `__metadata__` as JSON. Values that are not strings become the text of their JSON, and the types that
/// it does not show are in the string [`TYPES`], so that no type is lost.
pub(super) fn metadata(metadata: &Metadata) -> Result<String> {
    let mut types = Metadata::default();
    for (key, value) in metadata.iter().filter(|(_, value)| !matches!(value, Value::Text(_))) {
        types.push(key, Value::Text(value.kind().name().into()))?;
    }
    let mut out = Out::default();
    out.write(|out| out.write_str("{"))?;
    for (i, (key, value)) in metadata.iter().enumerate() {
        let mut json = Out::default();
        json.write(|json| if let Value::Text(_) = value { Ok(()) } else { write_plain(json, value) })?;
        out.write(|out| {
            out.write_str(if i > 0 { "," } else { "" })?;
            out.quoted(key)?;
            out.write_str(":")?;
            out.quoted(if let Value::Text(text) = value { text } else { &json.0 })
        })?;
    }
    if !types.is_empty() {
        let json = types.to_plain()?;
        out.write(|out| {
            write!(out, ",\"{TYPES}\":")?;
            out.quoted(&json)
        })?;
    }
    out.write(|out| out.write_str("}"))?;
    Ok(out.0)
}

/// All that precedes the tensors' bytes, and the order of the tensors: wide values come first, so that all are aligned.
pub(super) fn head(metadata: &str, tensors: &[TensorInfo]) -> Result<(Vec<u8>, Vec<u32>)> {
    let mut order = made(tensors.len(), WHAT, |i| Ok(i as u32))?;
    order.sort_unstable_by_key(|i| (std::cmp::Reverse(tensors[*i as usize].dtype.block().1), *i));
    let mut out = Out::default();
    let mut offset = 0;
    let mut separator = "{";
    if metadata != "{}" {
        out.write(|out| write!(out, "{{\"__metadata__\":{metadata}"))?;
        separator = ",";
    }
    for tensor in order.iter().map(|i| &tensors[*i as usize]) {
        let from = offset;
        offset += tensor.bytes;
        out.write(|out| {
            out.write_str(separator)?;
            out.quoted(&tensor.name)?;
            let dtype = tensor.dtype.name();
            write!(out, ":{{\"dtype\":\"{dtype}\",\"shape\":[")?;
            for (i, n) in tensor.shape.iter().enumerate() {
                write!(out, "{}{n}", if i > 0 { "," } else { "" })?;
            }
            write!(out, "],\"data_offsets\":[{from},{offset}]}}")
        })?;
        separator = ",";
    }
    out.write(|out| out.write_str(if out.0.is_empty() { "{}" } else { "}" }))?;
    // The format recommends spaces up to a multiple of 8 bytes.
    let len = out.0.len().next_multiple_of(8);
    let mut head = reserved(8 + len, WHAT)?;
    head.extend_from_slice(&(len as u64).to_le_bytes());
    head.extend_from_slice(out.0.as_bytes());
    head.resize(8 + len, b' ');
    Ok((head, order))
}
