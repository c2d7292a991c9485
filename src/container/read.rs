//! A reader of untrusted input, which may end at any byte.

use crate::coder::varint;
use crate::error::{Error, Result, fail};

/// A part of an input, and the position of the next byte to read.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    part: &'a [u8],
    /// The position of the part in the input.
    base: u64,
    /// The position of the next byte in the part.
    pos: usize,
}

impl<'a> Reader<'a> {
    /// A reader of a whole input.
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self::part(input, 0)
    }

    /// A reader of the part of an input that starts at byte `base`.
    pub(super) fn part(part: &'a [u8], base: u64) -> Self {
        Self { part, base, pos: 0 }
    }

    /// The position of the next byte in the input.
    pub(super) fn at(&self) -> u64 {
        self.base + self.pos as u64
    }

    /// The position of the next byte in the part: how many bytes were read.
    pub(super) fn pos(&self) -> usize {
        self.pos
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pos >= self.part.len()
    }

    /// The next byte, which stays unread.
    pub(super) fn peek(&self) -> Option<u8> {
        self.part.get(self.pos).copied()
    }

    /// The bytes from position `from` of the input to the current one.
    pub(super) fn since(&self, from: u64) -> &'a [u8] {
        &self.part[(from - self.base) as usize..self.pos]
    }

    /// Reads `n` bytes. `what` names them in an error message.
    pub(super) fn take(&mut self, n: u64, what: &str) -> Result<&'a [u8]> {
        let left = (self.part.len() - self.pos) as u64;
        if n > left {
            let at = self.at();
            return Err(Error::truncated(
                format!("{what} at byte {at} takes {n} bytes, the input ends after {left}"),
                (self.pos as u64).saturating_add(n),
            ));
        }
        let bytes = &self.part[self.pos..][..n as usize];
        self.pos += n as usize;
        Ok(bytes)
    }

    /// Reads all bytes that are left.
    pub(super) fn take_all(&mut self) -> &'a [u8] {
        let bytes = &self.part[self.pos..];
        self.pos = self.part.len();
        bytes
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64, what)?);
        Ok(out)
    }

    pub(super) fn u8(&mut self, what: &str) -> Result<u8> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Reads an LEB128 number below 2^32. It must use as few bytes as possible.
    pub(super) fn varint(&mut self, what: &str) -> Result<u32> {
        Ok(self.varint_below(32, what)? as u32)
    }

    /// Reads an LEB128 number below 2^64. It must use as few bytes as possible.
    pub(super) fn varint64(&mut self, what: &str) -> Result<u64> {
        self.varint_below(64, what)
    }

    fn varint_below(&mut self, bits: u32, what: &str) -> Result<u64> {
        let start = self.at();
        match varint::get(&self.part[self.pos..], bits) {
            Ok((value, len)) => {
                self.take(len as u64, what)?;
                Ok(value)
            }
            // Told as a cut.
            Err(varint::Bad::Cut) => self.take((self.part.len() - self.pos) as u64 + 1, what).map(|_| 0),
            Err(varint::Bad::Form) => {
                fail!(Corrupt, "{what} at byte {start} is not a varint below 2^{bits} in its shortest form")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coder::varint::{MAX_LEN, put};
    use crate::error::Status;

    #[test]
    fn a_varint_has_one_encoding() {
        for value in [0, 1, 127, 128, 16383, 16384, u64::from(u32::MAX), 1 << 32, 1 << 62, u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert!(bytes.len() <= MAX_LEN);
            assert_eq!(Reader::new(&bytes).varint64("it"), Ok(value));
            let small = Reader::new(&bytes).varint("it");
            assert!(
                small.is_ok() == (value <= u64::from(u32::MAX)) && small.is_ok_and(|v| u64::from(v) == value)
                    || value > u64::from(u32::MAX)
            );
            for cut in 0..bytes.len() {
                assert_eq!(Reader::new(&bytes[..cut]).varint64("it").unwrap_err().status(), Status::Truncated);
            }
            // A longer form of the same number.
            *bytes.last_mut().unwrap() |= 0x80;
            bytes.push(0);
            assert_eq!(Reader::new(&bytes).varint64("it").unwrap_err().status(), Status::Corrupt, "{value}");
        }
        let too_large = [&[0xff; 9][..], &[2]].concat();
        assert_eq!(Reader::new(&too_large).varint64("it").unwrap_err().status(), Status::Corrupt);
        assert_eq!(Reader::new(&[0xff; 30]).varint64("it").unwrap_err().status(), Status::Corrupt);
    }
}
