//! Skippable frames, which hold no content: data of applications, and indexes.

use super::header::{MAGIC, SKIPPABLE};
use super::read::Reader;
use crate::coder::varint;
use crate::error::{Result, fail};

/// The kind of an application's data.
pub const SKIPPABLE_DATA: u8 = 0;
/// The kind of an index.
pub const SKIPPABLE_INDEX: u8 = 1;
/// The largest size of a skippable frame without its data: magic, version, kind, length, CRC-32.
pub const MAX_SKIPPABLE_HEADER_LEN: usize = MAGIC.len() + 2 + varint::MAX_LEN + 4;

/// A skippable frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skippable<'a> {
    /// What the data is. Readers skip kinds that they do not know.
    pub kind: u8,
    /// The data.
    pub data: &'a [u8],
}

impl<'a> Skippable<'a> {
    /// Appends the frame's bytes.
    pub fn write(self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(MAGIC);
        out.extend([SKIPPABLE, self.kind]);
        varint::put(out, self.data.len() as u64);
        let crc = Self::crc(&out[start..], self.data);
        out.extend(crc.to_le_bytes());
        out.extend(self.data);
    }

    /// The CRC-32 over the fields before it and the data after it.
    fn crc(header: &[u8], data: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(header);
        crc.update(data);
        crc.finalize()
    }

    /// Reads what follows the version byte of a frame that starts at `start`.
    ///
    /// # Errors
    /// `Truncated`, `Corrupt`.
    pub(super) fn read(r: &mut Reader<'a>, start: usize) -> Result<Self> {
        const WHAT: &str = "a skippable frame";
        let (kind, len) = (r.u8(WHAT)?, r.varint64(WHAT)?);
        let header = r.since(start);
        let expected = r.u32(WHAT)?;
        let data = r.take(len, WHAT)?;
        let found = Self::crc(header, data);
        if found != expected {
            fail!(Corrupt, "the skippable frame at byte {start} is damaged: CRC-32 {found:08x}, not {expected:08x}");
        }
        Ok(Self { kind, data })
    }
}
