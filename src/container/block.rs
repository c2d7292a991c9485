//! Blocks: the units in which a frame's content is coded and checked. They bound the memory that decoding needs.

use super::header::Shape;
use super::read::Reader;
use crate::coder::Frequencies;
use crate::coder::varint;
use crate::error::{Result, fail};

/// The largest size of a block's header: kind, two lengths, CRC-32.
pub const MAX_BLOCK_OVERHEAD: usize = 1 + 5 + 5 + 4;

/// The kind byte that follows the last block.
pub const END_BLOCK: u8 = 0;

/// The first kind of blocks that have parameters of their own. This version writes none of them.
const FIRST_WITH_PARAMETERS: u8 = 16;

/// The kind of a block's payload. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BlockKind {
    /// Coded symbols.
    Coded = 1,
    /// The raw bytes. The predictor observes and learns from them.
    StoredLearned = 2,
    /// The raw bytes. The predictor's state is the same after the block as before it.
    StoredSkipped = 3,
    /// Coded symbols of a mix whose networks are bypassed: they neither observe the block nor learn from it.
    CodedAlone = 4,
}

impl BlockKind {
    /// Whether the payload is coded symbols.
    pub fn is_coded(self) -> bool {
        matches!(self, Self::Coded | Self::CodedAlone)
    }
}

/// A block's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// The payload's kind.
    pub kind: BlockKind,
    /// The length of its content in bytes.
    pub raw_len: u32,
    /// The length of its payload in bytes.
    pub coded_len: u32,
    /// The stored [`block_crc`]. `None` if the frame has no checksums.
    pub crc: Option<u32>,
    /// The position of its first byte in the input.
    pub at: u64,
}

/// A parsed block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// The payload's kind.
    pub kind: BlockKind,
    /// The length of its content in bytes.
    pub raw_len: u32,
    /// The stored [`block_crc`]. `None` if the frame has no checksums.
    pub crc: Option<u32>,
    /// The payload.
    pub payload: &'a [u8],
    /// The position of its first byte in the input.
    pub at: u64,
}

/// A block's CRC-32, over the number of its kind and its content. It covers the kind so that damage that turns a
/// skipped block into a learned one, or the reverse, is detected.
pub fn block_crc(kind: BlockKind, raw: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[kind as u8]);
    crc.update(raw);
    crc.finalize()
}

/// Appends a block's header. `coded_len` is used for coded blocks only: a stored block's payload is as long as its
/// content.
pub fn write_block_header(out: &mut Vec<u8>, kind: BlockKind, raw_len: u32, crc: Option<u32>, coded_len: usize) {
    out.push(kind as u8);
    varint::put(out, raw_len);
    if kind.is_coded() {
        varint::put(out, coded_len as u64);
    }
    out.extend(crc.iter().flat_map(|c| c.to_le_bytes()));
}

/// Whether `payload` bytes can code `symbols` symbols: the length rule of docs/FORMAT.md.
pub fn plausible(symbols: u64, payload: u64) -> bool {
    // Symbols that together cost less than a byte may take no byte at all, hence the + 1.
    symbols / Frequencies::MAX_SYMBOLS_A_BYTE <= payload + 1
}

impl BlockHeader {
    /// The block with this header and payload.
    pub fn with(self, payload: &[u8]) -> Block<'_> {
        Block { kind: self.kind, raw_len: self.raw_len, crc: self.crc, payload, at: self.at }
    }

    /// Reads a block's header. `None` at the end of the blocks.
    pub(super) fn read(r: &mut Reader, shape: Shape, checksums: bool) -> Result<Option<Self>> {
        let at = r.at();
        let kind = match r.u8("a block")? {
            END_BLOCK => return Ok(None),
            1 => BlockKind::Coded,
            2 => BlockKind::StoredLearned,
            3 => BlockKind::StoredSkipped,
            4 => BlockKind::CodedAlone,
            other @ FIRST_WITH_PARAMETERS.. => {
                fail!(Format, "the block at byte {at} is of kind {other}; this library reads 1 to 4")
            }
            other => fail!(Corrupt, "the block at byte {at} is of kind {other}; 0 to 4 are known"),
        };
        let raw_len = r.varint("a block's length")?;
        let most = shape.max_block();
        if raw_len == 0 || u64::from(raw_len) > most {
            fail!(Corrupt, "the block at byte {at} holds {raw_len} bytes; 1 to {most} are allowed");
        }
        let coded_len = if kind.is_coded() { r.varint("a block's length")? } else { raw_len };
        let crc = if checksums { Some(r.u32("a block's CRC-32")?) } else { None };
        if kind.is_coded() && !(coded_len < raw_len && plausible(u64::from(raw_len), u64::from(coded_len))) {
            fail!(
                Corrupt,
                "the block at byte {at} states {raw_len} bytes, its payload of {coded_len} cannot hold them"
            );
        }
        Ok(Some(Self { kind, raw_len, coded_len, crc, at }))
    }
}
