//! Compression of a content into one frame.

use super::Session;
use super::content::Content;
use super::driver::{Encode, drive};
use super::params::Param;
use super::progress::{Progress, ProgressFn};
use super::writer::{FrameWriter, Written};
use crate::coder::{Encoder, RANS_BLOCK, RangeEncoder, RansEncoder};
use crate::container::{
    Coder, HeaderV2, MAX_BLOCK_OVERHEAD, MAX_HEADER_LEN, MAX_TRAILER_LEN, MIN_BLOCK_LOG, V2_HEADER_LEN,
};
use crate::error::{Error, Result};
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

    fn write(&mut self, written: &Written, raw: &[u8]) {
        self.put(&written.head);
        self.put(written.body(raw));
        self.put(&written.tail);
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
        let mut content = Content::new(parts);
        if self.params.get(Param::Format) == 2 {
            return self.with_scratch(|session, scratch| {
                let mut progress = Progress::start(progress, content.len())?;
                scratch.begin_stream(Some(content.len()));
                version_2(scratch, &mut content, session.params.coder(), sink, &mut progress)
            });
        }
        self.begin_frame(Some(content.len()))?;
        let mut progress = Progress::start(progress, content.len())?;
        if content.len() <= self.max_block() as u64 {
            return self.single(&mut content, sink, &mut progress);
        }
        self.blocks(&mut content, sink, &mut progress)
    }

    /// A frame whose content is one block.
    fn single(&mut self, content: &mut Content, sink: &mut Sink, progress: &mut Progress) -> Result<()> {
        let mut out = Written::default();
        let raw = content.take(content.len() as usize)?;
        self.write_single(raw, &mut out, progress)?;
        sink.write(&out, raw);
        Ok(())
    }

    /// A frame of several blocks.
    fn blocks(&mut self, content: &mut Content, sink: &mut Sink, progress: &mut Progress) -> Result<()> {
        let mut out = Written::default();
        let mut writer = FrameWriter::start(self, Some(content.len()))?;
        while writer.raw() < content.len() {
            let raw = content.take(writer.next_block() as usize)?;
            writer.block(self, raw, &mut out, progress)?;
            sink.write(&out, raw);
        }
        writer.finish(&mut out)?;
        sink.write(&out, &[]);
        Ok(())
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
