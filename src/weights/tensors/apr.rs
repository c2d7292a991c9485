//! Reading APR v2, the format of the crate `aprender`.
//!
//! A header of 64 bytes with a checksum, JSON metadata, an index of the tensors sorted by name, their bytes, and a
//! CRC-32 of all that. All sections start at multiples of 64 bytes. docs/TENSORS.md has the layout.

use super::info::{Contents, Reason};
use crate::error::{Result, fail, shortened};
use crate::numeric::buffer::filled;
use crate::weights::dtype::{DType, MAX_DIMENSIONS};
use crate::weights::header::MAX_TENSORS;
use crate::weights::metadata::{Metadata, WHAT};
use crate::weights::source::Source;

/// The first bytes of a file.
pub(in crate::weights) const MAGIC: &[u8; 4] = b"APR\0";

/// The length of the header.
pub(in crate::weights) const HEADER: usize = 64;

/// The alignment of sections and tensors.
pub(in crate::weights) const ALIGNMENT: u64 = 64;

/// The largest metadata, as in aprender.
pub(in crate::weights) const MAX_METADATA: usize = 16 << 20;

/// The largest index: that of the most tensors with names of 500 bytes.
const MAX_INDEX: u64 = 36 << 20;

/// The flag of rows that are stored one after another.
pub(in crate::weights) const ROW_MAJOR: u16 = 1 << 10;

/// Flags of files that are not read, and what they are in a message.
const REFUSED: [(u16, &str); 5] = [
    (1 << 0, "compressed (LZ4)"),
    (1 << 1, "compressed (Zstandard)"),
    (1 << 2, "encrypted"),
    (1 << 4, "one part of several (sharded)"),
    (1 << 11, "stored by columns"),
];
/// Flags that change nothing here: signed, quantised, filter bank, model card, streaming, vocabulary, rows.
const IGNORED: u16 = 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 9 | ROW_MAJOR;

/// The CRC-32 of a header without its checksum.
pub(in crate::weights) fn header_checksum(header: &[u8; HEADER]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&header[..40]);
    hash.update(&header[44..]);
    hash.finalize()
}

/// The number of a type in an index. `None` for types that APR lacks.
pub(in crate::weights) fn number_of(dtype: DType) -> Option<u8> {
    Some(match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::BF16 => 30,
        DType::I8 => 6,
        DType::Q4K => 12,
        DType::Q6K => 14,
        DType::Q4 => 128,
        DType::Q8 => 129,
        _ => return None,
    })
}

fn dtype_of(number: u8) -> std::result::Result<DType, Option<&'static str>> {
    Ok(match number {
        0 => DType::F32,
        1 => DType::F16,
        30 => DType::BF16,
        6 => DType::I8,
        12 => DType::Q4K,
        14 => DType::Q6K,
        // 8 and 9 in older files.
        128 | 8 => DType::Q4,
        129 | 9 => DType::Q8,
        3 => return Err(Some("F64")),
        4 => return Err(Some("I32")),
        5 => return Err(Some("I64")),
        7 => return Err(Some("U8")),
        _ => return Err(None),
    })
}

/// The fields of a header that was checked.
struct Header {
    tensors: u32,
    metadata: u64,
    metadata_len: u32,
    index: u64,
    data: u64,
}

fn read_header(source: &Source) -> Result<Header> {
    let mut header = [0u8; HEADER];
    if source.len() < HEADER as u64 {
        fail!(Model, "an APR file of {} bytes, less than its header of {HEADER}", source.len());
    }
    source.read(&mut header, 0)?;
    let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header[at + i]));
    let u64_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| header[at + i]));
    if header[4] != 2 {
        fail!(Model, "an APR file of version {}.{}, expected 2", header[4], header[5]);
    }
    let (stated, found) = (u32_at(40), header_checksum(&header));
    if stated != found {
        fail!(Model, "the header of the APR file is damaged: its checksum is {found:08x}, it states {stated:08x}");
    }
    let flags = u16::from_le_bytes([header[6], header[7]]);
    if let Some((_, what)) = REFUSED.iter().find(|(flag, _)| flags & flag != 0) {
        fail!(Model, "the APR file is {what}, which is not supported");
    }
    if flags & !IGNORED != 0 {
        fail!(Model, "the APR file has unknown flags: {:#06x}", flags & !IGNORED);
    }
    let (metadata, metadata_len, index, data) = (u64_at(12), u32_at(20), u64_at(24), u64_at(32));
    let metadata_end = metadata.checked_add(u64::from(metadata_len));
    if metadata < HEADER as u64 || metadata_end.is_none_or(|end| end > index) || index > data || data > source.len() {
        fail!(
            Model,
            "the sections of the APR file are not in order: metadata at {metadata} ({metadata_len} bytes), index at \
             {index}, tensors at {data}, end at {}",
            source.len()
        );
    }
    if metadata_len as usize > MAX_METADATA {
        fail!(Model, "the APR file has {metadata_len} bytes of metadata, {MAX_METADATA} are allowed");
    }
    if !data.is_multiple_of(ALIGNMENT) {
        fail!(Model, "the tensors of the APR file start at {data}, which is not a multiple of {ALIGNMENT}");
    }
    Ok(Header { tensors: u32_at(8), metadata, metadata_len, index, data })
}

/// Cuts `n` bytes off an index.
fn take<'a>(rest: &mut &'a [u8], n: usize, i: u32) -> Result<&'a [u8]> {
    match rest.split_off(..n) {
        Some(bytes) => Ok(bytes),
        None => fail!(Model, "the index of the APR file ends within tensor {i}"),
    }
}

fn take_number(rest: &mut &[u8], i: u32) -> Result<u64> {
    let bytes = take(rest, 8, i)?;
    Ok(bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
}

fn read_index(mut rest: &[u8], header: &Header, contents: &mut Contents) -> Result<()> {
    let mut before: Option<&str> = None;
    for i in 0..header.tensors {
        let len = take(&mut rest, 2, i)?;
        let name = take(&mut rest, usize::from(u16::from_le_bytes([len[0], len[1]])), i)?;
        let Ok(name) = std::str::from_utf8(name) else {
            fail!(Model, "the name of tensor {i} of the APR file is not UTF-8");
        };
        if before.is_some_and(|before| before >= name) {
            fail!(Model, "{}: the index of the APR file is not sorted, or has it twice", shortened(name));
        }
        before = Some(name);
        let both = take(&mut rest, 2, i)?;
        let (number, dimensions) = (both[0], usize::from(both[1]));
        if dimensions > MAX_DIMENSIONS {
            fail!(Model, "{}: {dimensions} dimensions, at most {MAX_DIMENSIONS} are allowed", shortened(name));
        }
        let mut shape = [0u64; MAX_DIMENSIONS];
        for to in &mut shape[..dimensions] {
            *to = take_number(&mut rest, i)?;
        }
        let (offset, bytes) = (take_number(&mut rest, i)?, take_number(&mut rest, i)?);
        let Some(offset) = header.data.checked_add(offset) else {
            fail!(Model, "{}: its offset is {offset}", shortened(name));
        };
        match dtype_of(number) {
            Ok(dtype) => contents.add(name, dtype, &shape[..dimensions], offset, Some(bytes))?,
            Err(Some(known)) => contents.skip(name, Reason::Type(known))?,
            Err(None) => fail!(Model, "{}: its type is {number}, which APR does not have", shortened(name)),
        }
    }
    Ok(())
}

/// Reads all but the tensors' bytes.
pub(super) fn read(source: &Source) -> Result<Contents> {
    let header = read_header(source)?;
    let len = header.data - header.index;
    // An entry has at least 20 bytes.
    if u64::from(header.tensors) > (len / 20).min(MAX_TENSORS as u64) {
        fail!(Model, "the APR file states {} tensors in an index of {len} bytes", header.tensors);
    }
    if len > MAX_INDEX {
        fail!(Model, "the index of the APR file has {len} bytes, {MAX_INDEX} are allowed");
    }
    let mut json = filled(header.metadata_len as usize, 0u8, WHAT)?;
    source.read(&mut json, header.metadata)?;
    let mut contents = Contents { metadata: Metadata::from_plain(&json)?, ..Contents::default() };
    drop(json);
    let mut index = filled(len as usize, 0u8, super::info::WHAT)?;
    source.read(&mut index, header.index)?;
    read_index(&index, &header, &mut contents)?;
    contents.check_layout(header.data, source.len(), ALIGNMENT)?;
    Ok(contents)
}
