//! A version 3 frame that is written block by block: by a call over a whole content, and by a stream.

use super::Session;
use super::block::BlockEncoder;
use super::params::Param;
use super::progress::Progress;
use crate::coder::{RangeEncoder, RansEncoder};
use crate::container::{
    BlockKind, Coder, END_BLOCK, HeaderV3, Index, Layout, MAX_HEADER_LEN, Segment, Shape, block_crc, frame_tag,
    write_block_header, write_single_length, write_trailer,
};
use crate::error::{Result, fail};
use crate::method::reference;
use crate::numeric::NUMERICS_VERSION;
use crate::numeric::buffer::reserved;

/// Bytes of a frame: `head`, then the payload or the raw bytes of a block, then `tail`.
#[derive(Debug, Default)]
pub struct Written {
    /// What precedes the body.
    pub head: Vec<u8>,
    /// A coded payload. Empty if the body is the raw bytes.
    pub payload: Vec<u8>,
    /// Whether the body is the raw bytes of the block.
    pub is_stored: bool,
    /// What follows the body.
    pub tail: Vec<u8>,
}

impl Written {
    /// Removes all bytes. The memory is kept.
    pub fn clear(&mut self) {
        self.head.clear();
        self.payload.clear();
        self.tail.clear();
        self.is_stored = false;
    }

    /// The body, which may be the raw bytes `raw`.
    pub fn body<'a>(&'a self, raw: &'a [u8]) -> &'a [u8] {
        if self.is_stored { raw } else { &self.payload }
    }

    fn len(&self, raw: &[u8]) -> u64 {
        (self.head.len() + self.body(raw).len() + self.tail.len()) as u64
    }
}

impl Session {
    /// Puts the scratch predictor at the base, for a frame of `total` bytes of content, or of unknown length.
    ///
    /// # Errors
    /// `State` if the length is not known and the method's policy has positions in percent, or if the handle writes
    /// version 2 frames; `Memory`.
    pub fn begin_frame(&mut self, total: Option<u64>) -> Result<()> {
        if self.params.get(Param::Format) == 2 {
            fail!(State, "version 2 frames cannot be written as a stream");
        }
        // Also for short contents, so that a handle whose limit is too low says so at once.
        self.check_memory(true, self.block_bytes())?;
        let mut scratch = self.take_scratch()?;
        if total.is_none() {
            scratch.check_unknown_length()?;
        }
        scratch.begin_stream(total.map(|total| self.params.shape().segment_len(total, 0)));
        self.scratch = Some(scratch);
        Ok(())
    }

    /// The most bytes of content in a block.
    pub fn max_block(&self) -> usize {
        self.params.shape().max_block() as usize
    }

    /// The header of a version 3 frame.
    fn header(&self, layout: Layout, length: Option<u64>) -> HeaderV3 {
        HeaderV3 {
            coder: self.params.coder(),
            checksums: self.params.get(Param::Checksum) != 0,
            numerics: NUMERICS_VERSION,
            method: reference(&self.identity.canonical),
            fingerprint: self.identity.fingerprint.map(|f| std::array::from_fn(|i| f[i])),
            base: self.base.as_ref().map(|b| b.id()),
            shape: self.params.shape(),
            layout,
            length,
        }
    }

    /// Appends the payload of a block to `out.payload`, unless it is stored.
    fn encode_block(&mut self, raw: &[u8], out: &mut Written, progress: &mut Progress) -> Result<BlockKind> {
        let Self { scratch: Some(predictor), blueprint, params, .. } = self else { fail!(Internal, "no frame begun") };
        predictor.mark(blueprint)?;
        let mut encoder = BlockEncoder { predictor, raw, payload: &mut out.payload };
        let kind = match params.coder() {
            Coder::Range => encoder.encode::<RangeEncoder>(progress),
            Coder::Rans => encoder.encode::<RansEncoder>(progress),
        }?;
        out.is_stored = !kind.is_coded();
        if out.is_stored {
            out.payload.clear();
        }
        Ok(kind)
    }

    /// Writes a whole frame whose content is one block, which the predictor is at the start of.
    ///
    /// # Errors
    /// `Memory`, `Cancelled`.
    pub fn write_single(&mut self, raw: &[u8], out: &mut Written, progress: &mut Progress) -> Result<()> {
        let mut kind = BlockKind::StoredSkipped;
        out.is_stored = true;
        if !raw.is_empty() {
            kind = self.encode_block(raw, out, progress)?;
        }
        let layout = if kind == BlockKind::CodedAlone { Layout::SingleAlone } else { Layout::Single };
        let header = self.header(layout, Some(raw.len() as u64));
        header.write(&mut out.head);
        let coded_len = out.body(raw).len() as u32;
        write_single_length(&mut out.head, coded_len);
        write_trailer(&mut out.tail, None, header.checksums.then(|| crc32fast::hash(raw)));
        Ok(())
    }
}

/// A frame of several blocks that is being written.
#[derive(Debug)]
pub struct FrameWriter {
    header: HeaderV3,
    index: Index,
    crc: crc32fast::Hasher,
    /// The content so far, in bytes.
    raw: u64,
    /// The frame so far, in bytes.
    written: u64,
    /// The header is not written yet.
    fresh: Vec<u8>,
}

impl FrameWriter {
    /// Starts a frame of `total` bytes of content, or of unknown length, for which [`Session::begin_frame`] has put the
    /// predictor at the base.
    ///
    /// # Errors
    /// `Memory`.
    pub fn start(session: &Session, total: Option<u64>) -> Result<Self> {
        let header = session.header(Layout::Blocks, total);
        let mut fresh = reserved(MAX_HEADER_LEN, "a frame's header")?;
        header.write(&mut fresh);
        let segment_log = header.shape.segment_log;
        // A stated length is a promise, so the offsets grow with the content.
        let index = Index { tag: frame_tag(&fresh), frame_len: 0, content_len: 0, segment_log, offsets: Vec::new() };
        Ok(Self { header, index, crc: crc32fast::Hasher::new(), raw: 0, written: 0, fresh })
    }

    /// The content so far, in bytes.
    pub fn raw(&self) -> u64 {
        self.raw
    }

    /// The most bytes of content that the next block can have.
    pub fn next_block(&self) -> u64 {
        let Shape { segment_log, .. } = self.header.shape;
        let segment = match segment_log {
            0 => u64::MAX,
            log => (1 << log) - self.raw % (1 << log),
        };
        let left = self.header.length.map_or(u64::MAX, |length| length - self.raw);
        left.min(segment).min(self.header.shape.max_block())
    }

    /// Writes the next block, whose content is `raw`.
    ///
    /// # Errors
    /// `Memory`, `Cancelled`. The frame cannot go on then.
    pub fn block(
        &mut self,
        session: &mut Session,
        raw: &[u8],
        out: &mut Written,
        progress: &mut Progress,
    ) -> Result<()> {
        out.clear();
        out.head.append(&mut self.fresh);
        let log = self.header.shape.segment_log;
        if log != 0 && self.raw.is_multiple_of(1 << log) {
            self.open_segment(session, out)?;
        }
        let kind = session.encode_block(raw, out, progress)?;
        self.crc.update(raw);
        let crc = self.header.checksums.then(|| block_crc(kind, raw));
        write_block_header(&mut out.head, kind, raw.len() as u32, crc, out.payload.len());
        self.raw += raw.len() as u64;
        self.written += out.len(raw);
        Ok(())
    }

    fn open_segment(&mut self, session: &mut Session, out: &mut Written) -> Result<()> {
        if self.raw > 0 {
            let mut scratch = session.take_scratch()?;
            scratch.begin_stream(self.header.length.map(|len| self.header.shape.segment_len(len, self.raw)));
            session.scratch = Some(scratch);
        }
        if self.index.offsets.try_reserve(1).is_err() {
            fail!(Memory, "no memory for the offset of a segment");
        }
        self.index.offsets.push(self.written + out.head.len() as u64);
        Segment { tag: self.index.tag, raw_offset: self.raw }.write(&mut out.head);
        Ok(())
    }

    /// Writes the end of the frame, and its index.
    ///
    /// # Errors
    /// `Memory`.
    pub fn finish(&mut self, out: &mut Written) -> Result<()> {
        out.clear();
        out.head.append(&mut self.fresh);
        out.head.push(END_BLOCK);
        let length = self.header.length.is_none().then_some(self.raw);
        write_trailer(&mut out.head, length, self.header.checksums.then(|| self.crc.clone().finalize()));
        if self.header.shape.segment_log != 0 {
            (self.index.frame_len, self.index.content_len) = (self.written + out.head.len() as u64, self.raw);
            self.index.write(&mut out.head)?;
        }
        Ok(())
    }
}
