//! Parses frames and checks their structure, without decoding the content.

use super::block::{Block, plausible};
use super::header::{Coder, Header, Streamed, Version};
use super::read::Reader;
use crate::coder::RANS_BLOCK;
use crate::error::{Result, fail};

/// A frame whose structure is valid: its lengths fit the input and each other.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// The position of its first byte in the input.
    pub at: usize,
    /// The content's length, from the header or the trailer.
    pub length: u64,
    /// CRC-32 of the content, from the header or the trailer. `None` if the frame has none.
    pub crc: Option<u32>,
    /// The payload.
    pub body: Body<'a>,
}

/// A frame's payload. Parts and blocks are parsed again when they are decoded, because a list of them could take many
/// times the memory of the input.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// Version 2 with the range coder: one payload.
    Whole(&'a [u8]),
    /// Version 2 with rANS: one payload for each block of [`RANS_BLOCK`] symbols.
    Parts(Parts<'a>),
    /// Version 3.
    Blocks(Blocks<'a>),
}

/// The payloads of a version 2 frame with rANS. Their lengths were checked.
#[derive(Clone, Debug)]
pub struct Parts<'a>(Reader<'a>, u32);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.1 = self.1.checked_sub(1)?;
        read_part(&mut self.0).ok()
    }
}

fn read_part<'a>(r: &mut Reader<'a>) -> Result<&'a [u8]> {
    let len = r.u32("the length of a rANS block")?;
    r.take(u64::from(len), "a rANS block")
}

/// The blocks of a version 3 frame. Their headers were checked.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    reader: Reader<'a>,
    block_log: u8,
    checksums: bool,
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        Block::read(&mut self.reader, self.block_log, self.checksums).ok()?
    }
}

/// The frames of an input. Skippable frames are checked and left out. An empty input gives `Truncated`.
pub fn frames(input: &[u8]) -> Frames<'_> {
    Frames { reader: Some(Reader::new(input, 0)) }
}

/// An iterator over frames. It ends after the first error.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    reader: Option<Reader<'a>>,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut reader = self.reader.take()?;
            let frame = Frame::read(&mut reader);
            if frame.is_ok() && !reader.is_empty() {
                self.reader = Some(reader);
            }
            if let Some(item) = frame.transpose() {
                return Some(item);
            }
        }
    }
}

impl<'a> Frame<'a> {
    /// Reads a frame. `None` for a skippable one.
    fn read(r: &mut Reader<'a>) -> Result<Option<Self>> {
        let at = r.at();
        let header = Header::read(r)?;
        let frame = match header.version {
            Version::Skippable => {
                let (Streamed::Header(length), Streamed::Header(crc)) = (header.length, header.crc) else {
                    unreachable!("only version 3 has trailers")
                };
                let found = crc32fast::hash(r.take(length, "a skippable frame")?);
                if found != crc {
                    fail!(Corrupt, "the skippable frame at byte {at} is damaged: CRC-32 {found:08x}, not {crc:08x}");
                }
                return Ok(None);
            }
            Version::V2 => Self::read_v2(r, header, at)?,
            Version::V3 { block_log, .. } => Self::read_v3(r, header, at, block_log)?,
        };
        Ok(Some(frame))
    }

    fn read_v2(r: &mut Reader<'a>, header: Header, at: usize) -> Result<Self> {
        let (Streamed::Header(length), Streamed::Header(crc)) = (header.length, header.crc) else {
            unreachable!("only version 3 has trailers")
        };
        let (body, payload) = match header.coder {
            Coder::Range => {
                let payload = r.take_all();
                (Body::Whole(payload), payload.len())
            }
            Coder::Rans => {
                let count = r.u32("the number of rANS blocks")?;
                let needed = length.div_ceil(RANS_BLOCK as u64);
                if u64::from(count) != needed {
                    fail!(Corrupt, "the frame at byte {at} has {count} rANS blocks, its length needs {needed}");
                }
                let parts = Parts(r.clone(), count);
                let mut total = 0;
                for _ in 0..count {
                    total += read_part(r)?.len();
                }
                (Body::Parts(parts), total)
            }
        };
        if !plausible(length, payload as u64) {
            fail!(Corrupt, "the frame at byte {at} states {length} bytes, its payload of {payload} cannot hold them");
        }
        Ok(Self { header, at, length, crc: Some(crc), body })
    }

    fn read_v3(r: &mut Reader<'a>, header: Header, at: usize, block_log: u8) -> Result<Self> {
        let checksums = header.crc != Streamed::Absent;
        let blocks = Blocks { reader: r.clone(), block_log, checksums };
        let mut content_len = 0u64;
        while let Some(block) = Block::read(r, block_log, checksums)? {
            if !content_len.is_multiple_of(1 << block_log) {
                fail!(Corrupt, "the block at byte {} follows one that is not full", block.at);
            }
            content_len += u64::from(block.raw_len);
        }
        let length = match header.length {
            Streamed::Header(length) => length,
            _ => r.u64("a frame's trailer")?,
        };
        let crc = match header.crc {
            Streamed::Header(crc) => Some(crc),
            Streamed::Trailer => Some(r.u32("a frame's trailer")?),
            Streamed::Absent => None,
        };
        if content_len != length {
            fail!(Corrupt, "the frame at byte {at} states {length} bytes, its blocks hold {content_len}");
        }
        Ok(Self { header, at, length, crc, body: Body::Blocks(blocks) })
    }

    /// The header of the first frame that is not skippable. The input after this header is not checked.
    ///
    /// # Errors
    /// As [`frames`].
    pub fn first_header(input: &[u8]) -> Result<Header> {
        let mut r = Reader::new(input, 0);
        loop {
            let header = Header::read(&mut r)?;
            match (&header.version, header.length) {
                (Version::Skippable, Streamed::Header(length)) => {
                    r.take(length, "a skippable frame")?;
                }
                _ => return Ok(header),
            }
        }
    }
}
