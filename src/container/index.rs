//! The index of a frame of several segments: where each segment starts. It is the data of a skippable frame directly
//! behind its frame, and can be found from the last bytes of an input.

use super::header::{MAX_SEGMENT_LOG, MIN_SEGMENT_LOG};
use super::read::Reader;
use super::skippable::{SKIPPABLE_INDEX, Skippable};
use crate::coder::varint;
use crate::error::{Result, fail};
use crate::numeric::buffer::{grow, reserved};

/// The last bytes of an index: the length of its skippable frame as a u32, and this magic.
pub const INDEX_MAGIC: [u8; 4] = *b"GPTI";
/// The length of an index's last bytes.
pub const INDEX_FOOTER_LEN: usize = 8;

/// The index of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The [`frame_tag`](super::frame_tag) of the frame.
    pub tag: u32,
    /// The frame's length in bytes, which is the distance from its start to the start of the index.
    pub frame_len: u64,
    /// The length of the frame's content in bytes.
    pub content_len: u64,
    /// Binary logarithm of the segment size. Segment i holds the content from i segment sizes on.
    pub segment_log: u8,
    /// The position of each segment's header, from the start of the frame.
    pub offsets: Vec<u64>,
}

impl Index {
    /// Appends the index as a skippable frame; nothing if that would have 4 GiB or more.
    ///
    /// # Errors
    /// `Memory`.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut data = reserved(64 + self.offsets.len().saturating_mul(varint::MAX_LEN), "an index")?;
        data.extend(self.tag.to_le_bytes());
        varint::put(&mut data, self.frame_len);
        varint::put(&mut data, self.content_len);
        data.push(self.segment_log);
        let mut before = 0;
        for offset in &self.offsets {
            varint::put(&mut data, offset - before);
            before = *offset;
        }
        // The length of the data decides the length of the frame's own length field.
        let body = data.len() + INDEX_FOOTER_LEN;
        let mut length = Vec::new();
        varint::put(&mut length, body as u64);
        let Ok(total) = u32::try_from(4 + 2 + length.len() + 4 + body) else { return Ok(()) };
        data.extend(total.to_le_bytes());
        data.extend(INDEX_MAGIC);
        grow(out, total as usize, "an index")?;
        Skippable { kind: SKIPPABLE_INDEX, data: &data }.write(out);
        Ok(())
    }

    /// The length of the index's skippable frame that ends with these last bytes of an input. `None` if no index does.
    pub fn frame_len_of(last: &[u8; INDEX_FOOTER_LEN]) -> Option<u32> {
        let (len, magic) = last.split_at(4);
        (magic == INDEX_MAGIC).then(|| u32::from_le_bytes(len.try_into().expect("4 bytes")))
    }

    /// Reads the skippable frame of an index, which takes all of `bytes`, from position `at` of the input on.
    ///
    /// # Errors
    /// `Format` if it is another frame; `Truncated`; `Corrupt`; `Memory`.
    pub fn read(bytes: &[u8], at: u64) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let version = super::header::read_version(&mut r)?;
        if version != super::header::SKIPPABLE {
            fail!(Format, "the frame at byte {at} is no index");
        }
        let Skippable { kind, data } = Skippable::read(&mut r, 0)?;
        if kind != SKIPPABLE_INDEX {
            fail!(Format, "the skippable frame at byte {at} is of kind {kind}, an index is of kind {SKIPPABLE_INDEX}");
        }
        let footer = data.last_chunk().and_then(Self::frame_len_of);
        if !r.is_empty() || footer != u32::try_from(bytes.len()).ok() {
            fail!(Corrupt, "the index at byte {at} has {} bytes and states {footer:?}", bytes.len());
        }
        Self::parse(&data[..data.len() - INDEX_FOOTER_LEN], at)
    }

    fn parse(data: &[u8], at: u64) -> Result<Self> {
        const WHAT: &str = "an index";
        let mut r = Reader::new(data);
        let (tag, frame_len, content_len) = (r.u32(WHAT)?, r.varint64(WHAT)?, r.varint64(WHAT)?);
        let segment_log = r.u8(WHAT)?;
        if !(MIN_SEGMENT_LOG..=MAX_SEGMENT_LOG).contains(&segment_log) {
            fail!(Corrupt, "the index at byte {at} has a segment size of 2^{segment_log}");
        }
        let count = content_len.div_ceil(1 << segment_log);
        // Each offset takes a byte or more.
        let rest = (data.len() - r.pos()) as u64;
        if count > rest {
            fail!(Corrupt, "the index at byte {at} states {content_len} bytes of content and has no room for them");
        }
        let mut offsets = reserved(count as usize, "the offsets of segments")?;
        let mut offset = 0u64;
        for i in 0..count {
            let step = r.varint64(WHAT)?;
            match offset.checked_add(step).filter(|next| step > 0 && *next < frame_len) {
                Some(next) => offset = next,
                None => fail!(
                    Corrupt,
                    "the index at byte {at} has segment {i} {step} bytes behind byte {offset} of a frame of {frame_len}"
                ),
            }
            offsets.push(offset);
        }
        if !r.is_empty() {
            fail!(Corrupt, "the index at byte {at} has {} bytes too many", data.len() - r.pos());
        }
        Ok(Self { tag, frame_len, content_len, segment_log, offsets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    fn index() -> Index {
        Index {
            tag: 0x1234_5678,
            frame_len: 300_000,
            content_len: (3 << 16) + 5,
            segment_log: 16,
            offsets: vec![12, 70_000, 70_001, 299_999],
        }
    }

    fn bytes(index: &Index) -> Vec<u8> {
        let mut bytes = Vec::new();
        index.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn an_index_is_found_from_the_last_bytes_and_read_as_written() {
        let bytes = bytes(&index());
        let len = Index::frame_len_of(bytes.last_chunk().unwrap()).unwrap() as usize;
        assert_eq!(len, bytes.len());
        assert_eq!(Index::read(&bytes, 0), Ok(index()));
        // Many segments: the length of the data takes several bytes.
        let many = Index {
            offsets: (1..=40_000).map(|i| i * 50).collect(),
            content_len: 40_000 << 16,
            frame_len: 3_000_000,
            ..index()
        };
        let all = self::bytes(&many);
        assert_eq!(Index::frame_len_of(all.last_chunk().unwrap()), Some(all.len() as u32));
        assert_eq!(Index::read(&all, 0), Ok(many));
        assert_eq!(Index::frame_len_of(b"\x10\0\0\0GPTX"), None);
    }

    #[test]
    fn a_damaged_index_is_refused() {
        let bytes = bytes(&index());
        for cut in 0..bytes.len() {
            assert!(Index::read(&bytes[..cut], 0).is_err());
        }
        for at in 0..bytes.len() {
            for change in [1, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[at] ^= change;
                assert!(Index::read(&bad, 0).is_err(), "byte {at} ^ {change:#x}");
            }
        }
    }

    #[test]
    fn an_index_that_lies_is_refused() {
        let mut data = Vec::new();
        let cases: [(&str, Index); 6] = [
            ("outside", Index { offsets: vec![12, 70_000, 70_001, 300_000], ..index() }),
            ("twice", Index { offsets: vec![12, 70_000, 70_000, 299_999], ..index() }),
            ("at the start", Index { offsets: vec![0, 70_000, 70_001, 299_999], ..index() }),
            ("too few", Index { offsets: vec![12], ..index() }),
            ("too many", Index { offsets: vec![1, 2, 3, 4, 5], ..index() }),
            ("exabytes", Index { content_len: u64::MAX, ..index() }),
        ];
        for (name, index) in cases {
            data.clear();
            index.write(&mut data).unwrap();
            let e = Index::read(&data, 77).unwrap_err();
            assert!(matches!(e.status(), Status::Corrupt | Status::Truncated), "{name}: {e}");
        }
        data.clear();
        Skippable { kind: 0, data: b"other" }.write(&mut data);
        assert_eq!(Index::read(&data, 0).unwrap_err().status(), Status::Format);
    }
}
