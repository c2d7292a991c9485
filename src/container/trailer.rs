//! What a version 3 frame has besides its header and its blocks: the length of a single payload, and the trailer.

use crate::coder::varint;

/// The most bytes that a frame of one block has besides its header and its payload: the payload's length and a CRC-32.
pub const MAX_SINGLE_OVERHEAD: usize = 5 + 4;
/// The most bytes of a trailer: length and CRC-32.
pub const MAX_TRAILER_LEN: usize = varint::MAX_LEN + 4;

/// Appends the length of the payload of a frame of one block.
pub fn write_single_length(out: &mut Vec<u8>, coded_len: u32) {
    varint::put(out, coded_len);
}

/// Appends a trailer. `length` is the content's length if the header does not have it. `crc` is the content's CRC-32 if
/// the frame has checksums.
pub fn write_trailer(out: &mut Vec<u8>, length: Option<u64>, crc: Option<u32>) {
    if let Some(length) = length {
        varint::put(out, length);
    }
    out.extend(crc.iter().flat_map(|c| c.to_le_bytes()));
}
