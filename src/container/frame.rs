//! Parses frames and checks their structure, without decoding the content.

use super::block::{Block, BlockHeader, BlockKind, plausible};
use super::check::frame_tag;
use super::header::{Coder, Header, HeaderV2, HeaderV3, Layout, SKIPPABLE, read_version};
use super::read::Reader;
use super::skippable::{Skippable, SkippableHeader};
use super::walk::{Pieces, Walk};
use crate::coder::RANS_BLOCK;
use crate::error::{Result, fail};

/// A frame whose structure is valid: its lengths fit the input and each other.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// The position of its first byte in the input.
    pub at: usize,
    /// The length of its header.
    pub header_len: usize,
    /// The position of the byte behind it.
    pub end: usize,
    /// The content's length, from the header or the trailer.
    pub length: u64,
    /// CRC-32 of the content. `None` if the frame has none.
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
    /// Version 3, content of one block. The frame's CRC-32 is the only one.
    Single(Block<'a>),
    /// Version 3: blocks, and the headers of segments between them.
    Blocks(Pieces<'a>),
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

/// The frames of an input. Skippable frames are checked and left out. An empty input gives `Truncated`.
pub fn frames(input: &[u8]) -> Frames<'_> {
    Frames { reader: Some(Reader::new(input)) }
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
        let (at, pos) = (r.at(), r.pos());
        let version = read_version(r)?;
        if version == SKIPPABLE {
            Skippable::read(r, at)?;
            return Ok(None);
        }
        let header = Header::read(r, version, at)?;
        let header_len = r.pos() - pos;
        let (length, crc, body) = match &header {
            Header::V2(header) => read_v2(r, header, at)?,
            Header::V3(header) if header.layout == Layout::Blocks => read_blocks(r, header, at)?,
            Header::V3(header) => read_single(r, header, at)?,
        };
        Ok(Some(Self { header, at: pos, header_len, end: r.pos(), length, crc, body }))
    }

    /// The header of the first frame that is not skippable, and the position of the byte behind this header. The input
    /// from there on is not checked.
    ///
    /// # Errors
    /// As [`frames`].
    pub fn first_header(input: &[u8]) -> Result<(Header, usize)> {
        let mut r = Reader::new(input);
        loop {
            let at = r.at();
            match read_version(&mut r)? {
                SKIPPABLE => Skippable::read(&mut r, at).map(|_| ())?,
                version => return Ok((Header::read(&mut r, version, at)?, r.pos())),
            }
        }
    }
}

/// A frame's length, CRC-32 and payload.
type Rest<'a> = (u64, Option<u32>, Body<'a>);

fn read_v2<'a>(r: &mut Reader<'a>, header: &HeaderV2, at: u64) -> Result<Rest<'a>> {
    let length = header.length;
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
    Ok((length, Some(header.crc), body))
}

fn read_single<'a>(r: &mut Reader<'a>, header: &HeaderV3, at: u64) -> Result<Rest<'a>> {
    let block = read_single_header(r, header, at)?;
    let payload = r.take(u64::from(block.coded_len), "a payload")?;
    let crc = if header.checksums { Some(r.u32("a frame's trailer")?) } else { None };
    Ok((u64::from(block.raw_len), crc, Body::Single(block.with(payload))))
}

/// Reads what precedes the payload of a frame of one block.
fn read_single_header(r: &mut Reader, header: &HeaderV3, at: u64) -> Result<BlockHeader> {
    let length = header.length.expect("the header's check demands it");
    let block_at = r.at();
    let coded_len = r.varint("the length of a payload")?;
    let (alone, coded) = (header.layout == Layout::SingleAlone, u64::from(coded_len));
    let allowed = if alone { coded < length } else { coded <= length };
    if !(allowed && plausible(length, coded)) {
        fail!(Corrupt, "the frame at byte {at} states {length} bytes, its payload of {coded_len} cannot hold them");
    }
    let kind = match header.layout {
        Layout::SingleAlone => BlockKind::CodedAlone,
        _ if coded < length => BlockKind::Coded,
        _ => BlockKind::StoredSkipped,
    };
    Ok(BlockHeader { kind, raw_len: length as u32, coded_len, crc: None, at: block_at })
}

fn read_blocks<'a>(r: &mut Reader<'a>, header: &HeaderV3, at: u64) -> Result<Rest<'a>> {
    let mut walk = Walk::new(header, frame_tag(r.since(at)));
    let pieces = Pieces::new(r.clone(), walk.clone());
    while walk.next(r)?.is_some() {}
    let (length, crc) = read_trailer(r, header, at, walk.raw())?;
    Ok((length, crc, Body::Blocks(pieces)))
}

/// Reads the trailer of a frame whose blocks hold `raw` bytes. Returns the content's length and CRC-32.
fn read_trailer(r: &mut Reader, header: &HeaderV3, at: u64, raw: u64) -> Result<(u64, Option<u32>)> {
    let length = match header.length {
        Some(length) => length,
        None => r.varint64("a frame's trailer")?,
    };
    let crc = if header.checksums { Some(r.u32("a frame's trailer")?) } else { None };
    if raw != length {
        fail!(Corrupt, "the frame at byte {at} states {length} bytes, its blocks hold {raw}");
    }
    Ok((length, crc))
}

/// What starts a frame of an input that is read in parts.
#[derive(Clone, Debug)]
pub enum Opening {
    /// A frame with content.
    Frame {
        /// Its header.
        header: Header,
        /// Its [`frame_tag`].
        tag: u32,
    },
    /// A skippable frame.
    Skippable(SkippableHeader),
}

/// Reads the start of a frame at the start of a part of an input, which is at byte `base` of it. Returns the length
/// read too.
///
/// # Errors
/// `Format`, `Truncated`, `Corrupt`, `Numerics`.
pub fn opening(part: &[u8], base: u64) -> Result<(Opening, usize)> {
    let mut r = Reader::part(part, base);
    let opening = match read_version(&mut r)? {
        SKIPPABLE => Opening::Skippable(SkippableHeader::read(&mut r, base)?),
        version => {
            let header = Header::read(&mut r, version, base)?;
            Opening::Frame { header, tag: frame_tag(r.since(base)) }
        }
    };
    Ok((opening, r.pos()))
}

/// Reads the block and the CRC-32 of the content of a frame of one block. They follow the header of a frame at byte `at`,
/// and `part` starts there, at byte `base` of the input. Returns the length read too.
///
/// # Errors
/// `Truncated`, `Corrupt`.
pub fn single<'a>(part: &'a [u8], base: u64, header: &HeaderV3, at: u64) -> Result<(Block<'a>, Option<u32>, usize)> {
    let mut r = Reader::part(part, base);
    let (_, crc, body) = read_single(&mut r, header, at)?;
    let Body::Single(block) = body else { unreachable!("just made") };
    Ok((block, crc, r.pos()))
}

/// As [`single`], without the payload and the CRC-32 of the content: the [`trailer`] behind the payload has it.
///
/// # Errors
/// `Truncated`, `Corrupt`.
pub fn single_header(part: &[u8], base: u64, header: &HeaderV3, at: u64) -> Result<(BlockHeader, usize)> {
    let mut r = Reader::part(part, base);
    let block = read_single_header(&mut r, header, at)?;
    Ok((block, r.pos()))
}

/// Reads the trailer of a frame at byte `at` whose blocks hold `raw` bytes, from a part of the input at byte `base`.
/// Returns the CRC-32 of the content, and the length read.
///
/// # Errors
/// `Truncated`, `Corrupt`.
pub fn trailer(part: &[u8], base: u64, header: &HeaderV3, at: u64, raw: u64) -> Result<(Option<u32>, usize)> {
    let mut r = Reader::part(part, base);
    let (_, crc) = read_trailer(&mut r, header, at, raw)?;
    Ok((crc, r.pos()))
}
