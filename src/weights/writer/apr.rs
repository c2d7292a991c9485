//! The head of an APR v2 file, as aprender's streaming writer makes it: header, padded JSON metadata, padded index.

use crate::error::{Result, fail};
use crate::numeric::buffer::{grow, reserved};
use crate::weights::dtype::DType;
use crate::weights::metadata::Metadata;
use crate::weights::tensors::TensorInfo;
use crate::weights::tensors::apr::{ALIGNMENT, HEADER, MAGIC, MAX_METADATA, ROW_MAJOR, header_checksum, number_of};

const WHAT: &str = "the head of an APR file";

pub(super) fn has(dtype: DType) -> bool {
    number_of(dtype).is_some()
}

/// The metadata section without its padding.
pub(super) fn metadata(metadata: &Metadata) -> Result<String> {
    let json = metadata.to_plain()?;
    if json.len() > MAX_METADATA {
        fail!(Argument, "the metadata have {} bytes as JSON, APR files at most {MAX_METADATA}", json.len());
    }
    Ok(json)
}

fn push(to: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    grow(to, bytes.len(), WHAT)?;
    to.extend_from_slice(bytes);
    Ok(())
}

fn pad(to: &mut Vec<u8>) -> Result<()> {
    let n = to.len().next_multiple_of(ALIGNMENT as usize) - to.len();
    push(to, &[0; ALIGNMENT as usize][..n])
}

/// All that precedes the tensors' bytes. `order`: the indexes of the tensors, sorted by name.
pub(super) fn head(json: &str, tensors: &[TensorInfo], order: &[u32]) -> Result<Vec<u8>> {
    let mut head = reserved(HEADER + json.len() + ALIGNMENT as usize, WHAT)?;
    head.resize(HEADER, 0);
    push(&mut head, json.as_bytes())?;
    pad(&mut head)?;
    let index = head.len();
    for tensor in order.iter().map(|i| &tensors[*i as usize]) {
        push(&mut head, &(tensor.name.len() as u16).to_le_bytes())?;
        push(&mut head, tensor.name.as_bytes())?;
        let number = number_of(tensor.dtype).expect("types that APR lacks are refused when they are added");
        push(&mut head, &[number, tensor.shape.len() as u8])?;
        for n in tensor.shape.iter().chain([&tensor.offset, &tensor.bytes]) {
            push(&mut head, &n.to_le_bytes())?;
        }
    }
    pad(&mut head)?;
    let data = head.len();
    let header: &mut [u8; HEADER] = head.first_chunk_mut().expect("the header's bytes");
    header[..4].copy_from_slice(MAGIC);
    header[4] = 2;
    header[6..8].copy_from_slice(&ROW_MAJOR.to_le_bytes());
    header[8..12].copy_from_slice(&(tensors.len() as u32).to_le_bytes());
    header[12..20].copy_from_slice(&(HEADER as u64).to_le_bytes());
    header[20..24].copy_from_slice(&(json.len() as u32).to_le_bytes());
    header[24..32].copy_from_slice(&(index as u64).to_le_bytes());
    header[32..40].copy_from_slice(&(data as u64).to_le_bytes());
    let checksum = header_checksum(header);
    header[40..44].copy_from_slice(&checksum.to_le_bytes());
    Ok(head)
}
