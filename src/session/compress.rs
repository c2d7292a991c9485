//! Compression of a content into one frame.

use super::Session;
use super::block::BlockEncoder;
use super::content::Content;
use super::driver::{Encode, drive};
use super::params::Param;
use super::progress::{Progress, ProgressFn};
use crate::coder::{Encoder, RANS_BLOCK, RangeEncoder, RansEncoder};
use crate::container::{
    BlockKind, Coder, END_BLOCK, HeaderV2, HeaderV3, Index, Layout, MAX_BLOCK_OVERHEAD, MAX_HEADER_LEN,
    MAX_SINGLE_OVERHEAD, MAX_TRAILER_LEN, MIN_BLOCK_LOG, Segment, Shape, V2_HEADER_LEN, block_crc, frame_tag,
    write_block_header, write_single_length, write_trailer,
};
use crate::error::{Error, Result};
use crate::method::reference;
use crate::numeric::NUMERICS_VERSION;
use crate::numeric::buffer::reserved;
use crate::predict::Predictor;

/// The most bytes that a version 3 frame of `len` bytes of content takes, whatever the method and parameters; `None` if
/// that overflows a `usize`.
///
/// It is the length of a frame of stored blocks in one segment, and an eighth of the content more, in which the segments
/// and their index have room too. Version 2 has no stored blocks, so its frames may be longer than this if the method
/// predicts the content badly.
pub fn compress_bound(len: usize) -> Option<usize> {
    let blocks = (len >> MIN_BLOCK_LOG).checked_add(1)?;
    let overhead = blocks.checked_mul(MAX_BLOCK_OVERHEAD)?.checked_add(MAX_HEADER_LEN + 1 + MAX_TRAILER_LEN)?;
    len.checked_add(overhead)?.checked_add(len / 8)
}

/// A destination that counts on after it is full, so that an error can state the length that is needed.
pub(super) struct Sink<'a> {
    dst: &'a mut [u8],
    len: usize,
}

impl<'a> Sink<'a> {
    pub(super) fn new(dst: &'a mut [u8]) -> Self {
        Self { dst, len: 0 }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        if let Some(to) = self.dst.get_mut(self.len..).and_then(|rest| rest.get_mut(..bytes.len())) {
            to.copy_from_slice(bytes);
        }
        self.len = self.len.saturating_add(bytes.len());
    }

    pub(super) fn finish(self) -> Result<usize> {
        if self.len > self.dst.len() {
            return Err(Error::buffer_too_small(self.dst.len(), self.len as u64));
        }
        Ok(self.len)
    }
}

impl Session {
    /// Compresses `src` into one frame at the start of `dst`; returns its length.
    ///
    /// # Errors
    /// `BufferTooSmall` with the length that was needed, `Memory`, `Cancelled`.
    pub fn compress<'p>(
        &mut self,
        src: &[u8],
        dst: &mut [u8],
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<usize> {
        self.compress_parts(&[src], dst, progress)
    }

    /// As [`Session::compress`]; the content is that of all parts, one after the other. Where it is cut into parts does
    /// not change the frame.
    ///
    /// # Errors
    /// As [`Session::compress`].
    pub fn compress_parts<'p>(
        &mut self,
        parts: &[&[u8]],
        dst: &mut [u8],
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<usize> {
        let mut sink = Sink::new(dst);
        self.write_frame(parts, &mut sink, progress)?;
        sink.finish()
    }

    /// The length of the frame that [`Session::compress`] writes.
    ///
    /// # Errors
    /// `Memory`, `Cancelled`.
    pub fn compressed_size<'p>(&mut self, src: &[u8], progress: Option<&'p mut ProgressFn<'p>>) -> Result<usize> {
        let mut sink = Sink::new(&mut []);
        self.write_frame(&[src], &mut sink, progress)?;
        Ok(sink.len)
    }

    fn write_frame<'p>(
        &mut self,
        parts: &[&[u8]],
        sink: &mut Sink,
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<()> {
        self.with_scratch(|session, scratch| {
            let mut content = Content::new(parts);
            let mut progress = Progress::start(progress, content.len())?;
            scratch.begin_stream(Some(session.params.shape().segment_len(content.len(), 0)));
            match (session.params.get(Param::Format), session.params.coder()) {
                (2, coder) => version_2(scratch, &mut content, coder, sink, &mut progress),
                (_, Coder::Range) => session.version_3::<RangeEncoder>(scratch, &mut content, sink, &mut progress),
                (_, Coder::Rans) => session.version_3::<RansEncoder>(scratch, &mut content, sink, &mut progress),
            }
        })
    }

    /// The header of a version 3 frame.
    fn header(&self, layout: Layout, length: u64) -> HeaderV3 {
        HeaderV3 {
            coder: self.params.coder(),
            checksums: self.params.get(Param::Checksum) != 0,
            numerics: NUMERICS_VERSION,
            method: reference(&self.identity.canonical),
            fingerprint: self.identity.fingerprint.map(|f| std::array::from_fn(|i| f[i])),
            base: self.base.as_ref().map(|b| b.id()),
            shape: self.params.shape(),
            layout,
            length: Some(length),
        }
    }

    fn version_3<E: Encoder + Default>(
        &mut self,
        scratch: &mut Predictor,
        content: &mut Content,
        sink: &mut Sink,
        progress: &mut Progress,
    ) -> Result<()> {
        // Also for short contents, so that a handle whose limit is too low says so at once.
        self.check_memory(true, self.block_bytes())?;
        if content.len() <= self.params.shape().max_block() {
            return self.single::<E>(scratch, content, sink, progress);
        }
        self.blocks::<E>(scratch, content, sink, progress)
    }

    /// A frame whose content is one block.
    fn single<E: Encoder + Default>(
        &mut self,
        scratch: &mut Predictor,
        content: &mut Content,
        sink: &mut Sink,
        progress: &mut Progress,
    ) -> Result<()> {
        let (length, crc) = (content.len(), content.crc());
        let (raw, mut payload) = (content.take(length as usize)?, Vec::new());
        let mut kind = BlockKind::StoredSkipped;
        if !raw.is_empty() {
            scratch.mark(&self.blueprint)?;
            kind = BlockEncoder { predictor: scratch, raw, payload: &mut payload }.encode::<E>(progress)?;
        }
        let body = if kind.is_coded() { &payload } else { raw };
        let layout = if kind == BlockKind::CodedAlone { Layout::SingleAlone } else { Layout::Single };
        let header = self.header(layout, length);
        let mut bytes = reserved(MAX_HEADER_LEN + MAX_SINGLE_OVERHEAD, "a frame's header")?;
        header.write(&mut bytes);
        write_single_length(&mut bytes, body.len() as u32);
        sink.put(&bytes);
        sink.put(body);
        bytes.clear();
        write_trailer(&mut bytes, None, header.checksums.then_some(crc));
        sink.put(&bytes);
        Ok(())
    }

    /// A frame of several blocks.
    fn blocks<E: Encoder + Default>(
        &mut self,
        scratch: &mut Predictor,
        content: &mut Content,
        sink: &mut Sink,
        progress: &mut Progress,
    ) -> Result<()> {
        let header = self.header(Layout::Blocks, content.len());
        let mut bytes = reserved(MAX_HEADER_LEN, "a frame's header")?;
        header.write(&mut bytes);
        let mut segments = Segments::start(&header, frame_tag(&bytes), content.len())?;
        sink.put(&bytes);
        let (mut crc, mut payload) = (crc32fast::Hasher::new(), Vec::new());
        let mut at = 0;
        while at < content.len() {
            bytes.clear();
            let first = segments.open(at, sink.len, &mut bytes);
            if first && at > 0 {
                scratch.start_at(self.base_state());
                scratch.begin_stream(Some(header.shape.segment_len(content.len(), at)));
            }
            scratch.mark(&self.blueprint)?;
            let raw = content.take(segments.next_block(at) as usize)?;
            payload.clear();
            let kind = BlockEncoder { predictor: scratch, raw, payload: &mut payload }.encode::<E>(progress)?;
            crc.update(raw);
            let block_crc = header.checksums.then(|| block_crc(kind, raw));
            write_block_header(&mut bytes, kind, raw.len() as u32, block_crc, payload.len());
            sink.put(&bytes);
            sink.put(if kind.is_coded() { &payload } else { raw });
            at += raw.len() as u64;
        }
        bytes.clear();
        bytes.push(END_BLOCK);
        write_trailer(&mut bytes, None, header.checksums.then(|| crc.finalize()));
        segments.finish(sink.len + bytes.len(), &mut bytes)?;
        sink.put(&bytes);
        Ok(())
    }
}

/// The segments of a frame that is being written.
struct Segments {
    shape: Shape,
    index: Index,
}

impl Segments {
    /// The segments of a frame with this header.
    fn start(header: &HeaderV3, tag: u32, content_len: u64) -> Result<Self> {
        let (shape, segment_log) = (header.shape, header.shape.segment_log);
        let count = if segment_log == 0 { 0 } else { content_len.div_ceil(1 << segment_log) };
        let offsets = reserved(count as usize, "the offsets of segments")?;
        Ok(Self { shape, index: Index { tag, frame_len: 0, content_len, segment_log, offsets } })
    }

    /// Whether a segment starts at byte `raw_offset` of the content. If the frame has several, its header, which will be
    /// at byte `at` of the frame, is appended.
    fn open(&mut self, raw_offset: u64, at: usize, out: &mut Vec<u8>) -> bool {
        if self.shape.segment_log == 0 {
            return raw_offset == 0;
        }
        let first = raw_offset.is_multiple_of(1 << self.shape.segment_log);
        if first {
            self.index.offsets.push(at as u64);
            Segment { tag: self.index.tag, raw_offset }.write(out);
        }
        first
    }

    /// The length of the block that starts at byte `raw_offset` of the content.
    fn next_block(&self, raw_offset: u64) -> u64 {
        let left = self.index.content_len - raw_offset;
        let segment = match self.shape.segment_log {
            0 => left,
            log => (1 << log) - raw_offset % (1 << log),
        };
        left.min(segment).min(self.shape.max_block())
    }

    /// Appends the index if the frame, which has `frame_len` bytes, has segments.
    fn finish(mut self, frame_len: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.shape.segment_log == 0 {
            return Ok(());
        }
        self.index.frame_len = frame_len as u64;
        self.index.write(out)
    }
}

/// A version 2 frame.
fn version_2(
    predictor: &mut Predictor,
    content: &mut Content,
    coder: Coder,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<()> {
    let mut bytes = reserved(V2_HEADER_LEN, "a frame's header")?;
    HeaderV2 { coder, length: content.len(), crc: content.crc() }.write(&mut bytes);
    sink.put(&bytes);
    match coder {
        Coder::Range => version_2_range(predictor, content, sink, progress),
        Coder::Rans => version_2_rans(predictor, content, sink, progress),
    }
}

/// The body of a version 2 frame with the range coder: one payload.
fn version_2_range(
    predictor: &mut Predictor,
    content: &mut Content,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<()> {
    let mut encoder = RangeEncoder::default();
    loop {
        let part = content.take_from_part(usize::MAX);
        if part.is_empty() {
            break;
        }
        drive(predictor, &mut Encode::new(part, &mut encoder), progress)?;
    }
    let mut payload = Vec::new();
    encoder.finish(&mut payload)?;
    sink.put(&payload);
    Ok(())
}

/// The body of a version 2 frame with rANS: the number of blocks, then the length and payload of each.
fn version_2_rans(
    predictor: &mut Predictor,
    content: &mut Content,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<()> {
    let mut encoder = RansEncoder::default();
    let (mut payload, mut left) = (Vec::new(), content.len());
    sink.put(&(left.div_ceil(RANS_BLOCK as u64) as u32).to_le_bytes());
    while left > 0 {
        let part = content.take(left.min(RANS_BLOCK as u64) as usize)?;
        left -= part.len() as u64;
        payload.clear();
        drive(predictor, &mut Encode::new(part, &mut encoder), progress)?;
        encoder.finish(&mut payload)?;
        sink.put(&(payload.len() as u32).to_le_bytes());
        sink.put(&payload);
    }
    Ok(())
}
