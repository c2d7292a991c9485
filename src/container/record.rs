//! Records: short contents without a frame. A record consists of the content's length, a check of 0, 1, 2 or 4 bytes,
//! and the coded payload, or the content itself if the payload is not shorter. The length of the check is not in the
//! record: both sides must use the same. See docs/FORMAT.md, "Records".

use super::block::plausible;
use super::read::Reader;
use crate::coder::varint;
use crate::error::{Result, fail};

/// The most bytes that precede the body of a record.
pub const MAX_RECORD_OVERHEAD: usize = 5 + 4;

/// Computes the checks of the records of one method and base.
#[derive(Clone, Debug)]
pub struct RecordCheck {
    /// The CRC-32 over everything but the content, which comes last.
    crc: crc32fast::Hasher,
    width: usize,
}

impl RecordCheck {
    /// Checks of `width` bytes, at most 4, that cover the version of the arithmetic, the canonical method, the weights'
    /// fingerprint and the base's identifier. A fingerprint or base that does not exist counts as zeros.
    pub fn new(
        width: usize,
        numerics: u16,
        method: &str,
        fingerprint: Option<&[u8; 32]>,
        base: Option<[u8; 8]>,
    ) -> Self {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&numerics.to_le_bytes());
        crc.update(fingerprint.unwrap_or(&[0; 32]));
        crc.update(&base.unwrap_or_default());
        crc.update(method.as_bytes());
        crc.update(&[0]);
        Self { crc, width }
    }

    /// The length of a check in bytes.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The CRC-32 of a content. Its first [`RecordCheck::width`] bytes are the check.
    pub fn of(&self, content: &[u8]) -> [u8; 4] {
        if self.width == 0 {
            return [0; 4];
        }
        let mut crc = self.crc.clone();
        crc.update(content);
        crc.finalize().to_le_bytes()
    }
}

/// The parts of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The length of the content.
    pub len: u32,
    /// The check; empty if records have none.
    pub check: &'a [u8],
    /// The range coder's payload, or the content itself.
    pub body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record, which takes all of `bytes` and has a check of `check_len` bytes.
    ///
    /// # Errors
    /// `Truncated`, `Corrupt`.
    pub fn read(bytes: &'a [u8], check_len: usize) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let len = r.varint("a record's length")?;
        let check = r.take(check_len as u64, "a record's check")?;
        let body = r.take_all();
        if body.len() > len as usize {
            fail!(Corrupt, "a record of {len} bytes has a payload of {}, longer than its content", body.len());
        }
        if !plausible(len.into(), body.len() as u64) {
            fail!(Corrupt, "a record states {len} bytes, its payload of {} cannot hold them", body.len());
        }
        Ok(Self { len, check, body })
    }

    /// Whether the body is the content.
    pub fn is_stored(&self) -> bool {
        self.body.len() == self.len as usize
    }

    /// Appends what precedes the body: at most [`MAX_RECORD_OVERHEAD`] bytes.
    pub fn write_head(len: u32, check: &[u8], out: &mut Vec<u8>) {
        varint::put(out, len);
        out.extend(check);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    #[test]
    fn a_record_is_read_as_written() {
        for len in [0, 1, 127, 128, 70_000, u32::MAX] {
            let mut bytes = Vec::new();
            Record::write_head(len, &[], &mut bytes);
            assert!(bytes.len() <= 5);
            for cut in 0..bytes.len() {
                assert_eq!(Record::read(&bytes[..cut], 0).unwrap_err().status(), Status::Truncated);
            }
            match Record::read(&bytes, 0) {
                Ok(record) => {
                    assert!(record == Record { len, check: &[], body: &[] } && record.is_stored() == (len == 0))
                }
                Err(e) => assert!(e.status() == Status::Corrupt && len == u32::MAX, "{e}"),
            }
        }
        assert!(Record::read(&[3, 1, 2, 3], 0).unwrap().is_stored());
        assert!(!Record::read(&[3, 1, 2], 0).unwrap().is_stored());
        for bad in [&[3, 1, 2, 3, 4][..], &[0, 1], &[0x80, 0], &[0xff; 9]] {
            assert_eq!(Record::read(bad, 0).unwrap_err().status(), Status::Corrupt, "{bad:x?}");
        }
    }

    #[test]
    fn the_check_is_between_length_and_body() {
        let mut bytes = Vec::new();
        Record::write_head(3, &[8, 9], &mut bytes);
        assert_eq!(Record::read(&bytes[..2], 2).unwrap_err().status(), Status::Truncated);
        bytes.extend([1, 2, 3]);
        assert_eq!(bytes, [3, 8, 9, 1, 2, 3]);
        let record = Record::read(&bytes, 2).unwrap();
        assert!(record == Record { len: 3, check: &[8, 9], body: &[1, 2, 3] } && record.is_stored());
    }

    #[test]
    fn a_check_covers_method_weights_and_base() {
        let (method, fingerprint, base) = ("mix:mem=1M", [1; 32], [2; 8]);
        let all = [
            RecordCheck::new(4, 1, method, None, None),
            RecordCheck::new(4, 2, method, None, None),
            RecordCheck::new(4, 1, "mix:mem=2M", None, None),
            RecordCheck::new(4, 1, method, Some(&fingerprint), None),
            RecordCheck::new(4, 1, method, None, Some(base)),
        ];
        let checks = all.map(|check| check.of(b"content"));
        assert!((0..5).all(|i| (0..i).all(|j| checks[i] != checks[j])), "{checks:x?}");
        // docs/FORMAT.md, byte by byte.
        let covered = [&[1, 0][..], &fingerprint, &base, method.as_bytes(), &[0], b"content"].concat();
        let check = RecordCheck::new(4, 1, method, Some(&fingerprint), Some(base));
        assert_eq!(check.of(b"content"), crc32fast::hash(&covered).to_le_bytes());
    }
}
