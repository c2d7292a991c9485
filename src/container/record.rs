//! A record: a short content without a frame. Its length, then the coded payload, or the content itself if the payload
//! is not shorter. docs/FORMAT.md, "Records".

use super::block::plausible;
use super::read::{Reader, put_varint};
use crate::error::{Result, fail};

/// The parts of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The length of the content.
    pub len: u32,
    /// The range coder's payload, or the content itself.
    pub body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record, which takes all of `bytes`.
    ///
    /// # Errors
    /// `Truncated`, `Corrupt`.
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, 0);
        let len = r.varint("a record's length")?;
        let body = r.take_all();
        if body.len() > len as usize {
            fail!(Corrupt, "a record of {len} bytes has a payload of {}, longer than what it holds", body.len());
        }
        if !plausible(len.into(), body.len() as u64) {
            fail!(Corrupt, "a payload of {} bytes cannot hold the {len} that it promises", body.len());
        }
        Ok(Self { len, body })
    }

    /// Whether the body is the content.
    pub fn is_stored(&self) -> bool {
        self.body.len() == self.len as usize
    }

    /// Appends what precedes the body.
    pub fn write_head(len: u32, out: &mut Vec<u8>) {
        put_varint(out, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    #[test]
    fn a_record_is_what_was_written_and_nothing_else() {
        for len in [0, 1, 127, 128, 70_000, u32::MAX] {
            let mut bytes = Vec::new();
            Record::write_head(len, &mut bytes);
            assert!(bytes.len() <= 5);
            for cut in 0..bytes.len() {
                assert_eq!(Record::read(&bytes[..cut]).unwrap_err().status(), Status::Truncated);
            }
            match Record::read(&bytes) {
                Ok(record) => assert!(record == Record { len, body: &[] } && record.is_stored() == (len == 0)),
                Err(e) => assert!(e.status() == Status::Corrupt && len == u32::MAX, "{e}"),
            }
        }
        assert!(Record::read(&[3, 1, 2, 3]).unwrap().is_stored());
        assert!(!Record::read(&[3, 1, 2]).unwrap().is_stored());
        for bad in [&[3, 1, 2, 3, 4][..], &[0, 1], &[0x80, 0], &[0xff; 9]] {
            assert_eq!(Record::read(bad).unwrap_err().status(), Status::Corrupt, "{bad:x?}");
        }
    }
}
