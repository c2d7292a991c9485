//! Blocks: what bounds memory and names damage.

use super::read::{Reader, put_varint};
use crate::coder::Frequencies;
use crate::error::{Result, fail};

/// The most bytes that a block has beside its payload: kind, two lengths, CRC-32.
pub const MAX_BLOCK_OVERHEAD: usize = 1 + 5 + 5 + 4;

/// The byte that ends the blocks.
pub const END_BLOCK: u8 = 0;

/// What a block's payload is. The numbers are the format's; 0 ends the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BlockKind {
    /// Coded symbols.
    Coded = 1,
    /// The raw bytes; the predictor observes them.
    StoredLearned = 2,
    /// The raw bytes; the predictor stays as it was before the block.
    StoredSkipped = 3,
    /// Coded symbols, by a mix whose networks rest: they neither see the block nor learn from it.
    CodedAlone = 4,
}

impl BlockKind {
    /// Whether the payload is coded symbols.
    pub fn is_coded(self) -> bool {
        matches!(self, Self::Coded | Self::CodedAlone)
    }
}

/// A block as it lies in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// What the payload is.
    pub kind: BlockKind,
    /// How many bytes of content it holds.
    pub raw_len: u32,
    /// [`block_crc`], unless the frame carries no checksums.
    pub crc: Option<u32>,
    /// The payload.
    pub payload: &'a [u8],
    /// Where in the input it begins.
    pub at: usize,
}

/// A block's CRC-32: over its kind's number and its content. With the kind in it, a stored block that was said to be
/// learned from is not taken for one that was skipped.
pub fn block_crc(kind: BlockKind, raw: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[kind as u8]);
    crc.update(raw);
    crc.finalize()
}

/// Appends what stands before a block's payload. `coded_len` counts for coded blocks alone: a stored block's payload
/// is as long as its content.
pub fn write_block_header(out: &mut Vec<u8>, kind: BlockKind, raw_len: u32, crc: Option<u32>, coded_len: usize) {
    out.push(kind as u8);
    put_varint(out, raw_len);
    if kind.is_coded() {
        put_varint(out, coded_len as u32);
    }
    out.extend(crc.iter().flat_map(|c| c.to_le_bytes()));
}

/// Whether so many bytes of payload can hold so many symbols.
pub(super) fn plausible(symbols: u64, payload: u64) -> bool {
    // Less than a byte's worth of symbols may fit into what the coder need not write.
    symbols / Frequencies::MAX_SYMBOLS_A_BYTE <= payload + 1
}

impl<'a> Block<'a> {
    /// Reads a block, or nothing where the blocks end.
    pub(super) fn read(r: &mut Reader<'a>, block_log: u8, checksums: bool) -> Result<Option<Self>> {
        let at = r.at();
        let kind = match r.u8("a block")? {
            END_BLOCK => return Ok(None),
            1 => BlockKind::Coded,
            2 => BlockKind::StoredLearned,
            3 => BlockKind::StoredSkipped,
            4 => BlockKind::CodedAlone,
            other => fail!(Corrupt, "the block at byte {at} is of kind {other}; 0 to 4 are known"),
        };
        let raw_len = r.varint("a block's length")?;
        if raw_len == 0 || raw_len > 1 << block_log {
            fail!(Corrupt, "the block at byte {at} holds {raw_len} bytes; 1 to {} are allowed", 1u32 << block_log);
        }
        let coded_len = if kind.is_coded() { r.varint("a block's length")? } else { raw_len };
        let crc = if checksums { Some(r.u32("a block's CRC-32")?) } else { None };
        if kind.is_coded() && !(coded_len < raw_len && plausible(u64::from(raw_len), u64::from(coded_len))) {
            fail!(Corrupt, "the block at byte {at} codes {raw_len} bytes in {coded_len}, which cannot be");
        }
        let payload = r.take(u64::from(coded_len), "a block's payload")?;
        Ok(Some(Self { kind, raw_len, crc, payload, at }))
    }
}
