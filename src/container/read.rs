//! A reader of untrusted input, which may end at any byte.

use crate::coder::varint;
use crate::error::{Result, fail};

/// An input and the position of the next byte to read.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8], at: usize) -> Self {
        Self { input, at }
    }

    /// The position of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.input.len()
    }

    /// The next byte, which stays unread.
    pub(super) fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    /// The bytes from position `from` to the current one.
    pub(super) fn since(&self, from: usize) -> &'a [u8] {
        &self.input[from..self.at]
    }

    /// Reads `n` bytes. `what` names them in an error message.
    pub(super) fn take(&mut self, n: u64, what: &str) -> Result<&'a [u8]> {
        let left = (self.input.len() - self.at) as u64;
        if n > left {
            fail!(Truncated, "{what} at byte {} takes {n} bytes, the input ends after {left}", self.at);
        }
        let bytes = &self.input[self.at..][..n as usize];
        self.at += n as usize;
        Ok(bytes)
    }

    /// Reads all bytes that are left.
    pub(super) fn take_all(&mut self) -> &'a [u8] {
        let bytes = &self.input[self.at..];
        self.at = self.input.len();
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
        let start = self.at;
        match varint::get(&self.input[self.at..], bits) {
            Ok((value, len)) => {
                self.take(len as u64, what)?;
                Ok(value)
            }
            // Told as a cut.
            Err(varint::Bad::Cut) => self.take((self.input.len() - self.at) as u64 + 1, what).map(|_| 0),
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
            assert_eq!(Reader::new(&bytes, 0).varint64("it"), Ok(value));
            let small = Reader::new(&bytes, 0).varint("it");
            assert!(
                small.is_ok() == (value <= u64::from(u32::MAX)) && small.is_ok_and(|v| u64::from(v) == value)
                    || value > u64::from(u32::MAX)
            );
            for cut in 0..bytes.len() {
                assert_eq!(Reader::new(&bytes[..cut], 0).varint64("it").unwrap_err().status(), Status::Truncated);
            }
            // A longer form of the same number.
            *bytes.last_mut().unwrap() |= 0x80;
            bytes.push(0);
            assert_eq!(Reader::new(&bytes, 0).varint64("it").unwrap_err().status(), Status::Corrupt, "{value}");
        }
        let too_large = [&[0xff; 9][..], &[2]].concat();
        assert_eq!(Reader::new(&too_large, 0).varint64("it").unwrap_err().status(), Status::Corrupt);
        assert_eq!(Reader::new(&[0xff; 30], 0).varint64("it").unwrap_err().status(), Status::Corrupt);
    }
}
