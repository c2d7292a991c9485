//! Where the frames of a source are, and the segments in them.

use super::source::{CHUNK, Source, Window};
use crate::container::{
    BlockHeader, Header, HeaderV3, INDEX_FOOTER_LEN, Index, Layout, Opening, PieceHeader, SkippableHeader, Walk,
    opening, plausible, single_header, trailer,
};
use crate::error::{Error, Result, Status, fail};
use crate::numeric::buffer::grow;
use crate::session::Progress;

/// The start of a version 3 frame.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) header: HeaderV3,
    pub(super) tag: u32,
    /// The position of its first byte in the source.
    pub(super) at: u64,
    /// The position of the byte behind its header.
    pub(super) body: u64,
}

/// What starts at a position of a source.
pub(super) enum Start {
    Frame(Head),
    /// A skippable frame, and the position of its data.
    Skippable(SkippableHeader, u64),
}

impl Start {
    /// Reads what starts at position `at`.
    ///
    /// # Errors
    /// `State` for a version 2 frame; `Format`, `Truncated`, `Corrupt`, `Numerics`; those of the source.
    pub(super) fn read<S: Source>(window: &mut Window<S>, at: u64) -> Result<Self> {
        let (start, len) = window.parse(at, |part| opening(part, at))?;
        let body = at + len as u64;
        Ok(match start {
            Opening::Skippable(header) => Self::Skippable(header, body),
            Opening::Frame { header: Header::V3(header), tag } => Self::Frame(Head { header, tag, at, body }),
            Opening::Frame { header: Header::V2(_), .. } => {
                fail!(State, "the frame at byte {at} is of version 2, which can only be decompressed as a whole")
            }
        })
    }
}

/// Checks the data of a skippable frame, which starts at `data`. Returns the position behind it.
///
/// An index is a hint, so that a damaged one is skipped if its last bytes confirm its length.
pub(super) fn skip<S: Source>(
    window: &mut Window<S>,
    mut header: SkippableHeader,
    data: u64,
    progress: &mut Progress,
) -> Result<u64> {
    window.check_room(data, header.len, "a skippable frame")?;
    let (start, end) = (header.at, data + header.len);
    let mut at = data;
    while at < end {
        progress.advance(0)?;
        let n = CHUNK.min(end - at);
        header.update(window.exactly(at, n, "a skippable frame")?);
        at += n;
    }
    if let Err(e) = header.check() {
        let is_index = end - data >= INDEX_FOOTER_LEN as u64
            && index_len(window, end)?.is_some_and(|len| u64::from(len) == end - start);
        if !is_index {
            return Err(e);
        }
    }
    Ok(end)
}

/// The length of the index that ends at `end`, if its last bytes are there.
pub(super) fn index_len<S: Source>(window: &mut Window<S>, end: u64) -> Result<Option<u32>> {
    let Some(at) = end.checked_sub(INDEX_FOOTER_LEN as u64) else { return Ok(None) };
    let last = window.exactly(at, INDEX_FOOTER_LEN as u64, "an index")?;
    Ok(last.first_chunk().and_then(Index::frame_len_of))
}

/// The end of a frame.
pub(super) struct End {
    /// The position of the byte behind the frame.
    pub(super) at: u64,
    /// The length of the content.
    pub(super) content: u64,
}

/// Walks over the headers of the blocks and segments from position `at` to the end of the frame. `on_segment` gets the
/// position of each segment's header.
pub(super) fn walk_to_end<S: Source>(
    window: &mut Window<S>,
    head: &Head,
    mut walk: Walk,
    mut at: u64,
    progress: &mut Progress,
    mut on_segment: impl FnMut(u64) -> Result<()>,
) -> Result<End> {
    loop {
        let (piece, len) = window.parse(at, |part| walk.read_header(part, at))?;
        match piece {
            None => {
                at += len as u64;
                break;
            }
            Some(PieceHeader::Segment(_)) => {
                on_segment(at)?;
                at += len as u64;
            }
            Some(PieceHeader::Block(block)) => {
                at += len as u64;
                window.check_room(at, u64::from(block.coded_len), "a block's payload")?;
                at += u64::from(block.coded_len);
            }
        }
        progress.advance(0)?;
    }
    let content = walk.raw();
    let (_, len) = window.parse(at, |part| trailer(part, at, &head.header, head.at, content))?;
    Ok(End { at: at + len as u64, content })
}

/// The block of a frame of one block.
#[derive(Debug)]
pub(super) struct SingleBlock {
    pub(super) header: BlockHeader,
    /// The position of its payload.
    pub(super) payload: u64,
    /// The CRC-32 of the content.
    pub(super) crc: Option<u32>,
    /// The position of the byte behind the frame.
    pub(super) end: u64,
}

/// Reads the header and the trailer of a frame of one block.
pub(super) fn single<S: Source>(window: &mut Window<S>, head: &Head) -> Result<SingleBlock> {
    let at = head.body;
    let (header, len) = window.parse(at, |part| single_header(part, at, &head.header, head.at))?;
    let payload = at + len as u64;
    window.check_room(payload, u64::from(header.coded_len), "a payload")?;
    let after = payload + u64::from(header.coded_len);
    let raw = u64::from(header.raw_len);
    let (crc, len) = window.parse(after, |part| trailer(part, after, &head.header, head.at, raw))?;
    Ok(SingleBlock { header, payload, crc, end: after + len as u64 })
}

/// A frame with content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The position of its first byte in the source.
    pub(super) at: u64,
    pub(super) tag: u32,
    /// Whether the positions of its segments are those of an index, and were not compared with the frame.
    pub(super) by_index: bool,
    /// The position of its content in the content of the source.
    pub(super) start: u64,
    /// The number of its first segment among those of all frames.
    first: usize,
}

/// The frames of a source that have content, in order, and the positions of their segments' headers in the source.
#[derive(Debug, Default)]
pub(super) struct Frames {
    places: Vec<Place>,
    segments: Vec<u64>,
    /// The length of the content of all frames.
    size: u64,
    /// The most memory that the lists may take, in bytes.
    limit: u64,
}

/// A frame that an index describes.
struct Indexed {
    head: Head,
    index: Index,
}

/// Is asked whether a frame can be decoded, before it is used.
pub(super) type Admit<'a> = dyn FnMut(&Head) -> Result<()> + 'a;

impl Frames {
    /// Finds the frames: from the end as far as there are indexes, the others by their headers. The lists may take `limit`
    /// bytes.
    ///
    /// # Errors
    /// Those of `admit`; `State` for a version 2 frame; `Format`, `Truncated`, `Corrupt`, `Numerics`, `Memory`, `Cancelled`;
    /// those of the source.
    pub(super) fn find<S: Source>(
        window: &mut Window<S>,
        limit: u64,
        admit: &mut Admit,
        progress: &mut Progress,
    ) -> Result<Self> {
        let size = window.size();
        let (mut last, mut end) = (Vec::new(), size);
        while let Some(found) = indexed(window, end, progress)? {
            end = found.head.at;
            grow(&mut last, 1, "the frames of a source")?;
            last.push(found);
        }
        let mut frames = Self { limit, ..Self::default() };
        if frames.scan(window, end, admit, progress)? {
            while let Some(Indexed { head, index }) = last.pop() {
                admit(&head)?;
                for offset in &index.offsets {
                    frames.push_segment(head.at + offset)?;
                }
                frames.push(&head, true, index.content_len, index.offsets.len())?;
            }
            return Ok(frames);
        }
        // A frame lies across the start of what looked like an indexed frame, which was part of its content.
        drop(last);
        let mut frames = Self { limit, ..Self::default() };
        frames.scan(window, size, admit, progress)?;
        Ok(frames)
    }

    /// Appends the frames from the start of the source to `limit`. Returns whether a frame ends there.
    fn scan<S: Source>(
        &mut self,
        window: &mut Window<S>,
        limit: u64,
        admit: &mut Admit,
        progress: &mut Progress,
    ) -> Result<bool> {
        let mut at = 0;
        while at < limit || window.size() == 0 {
            at = match Start::read(window, at)? {
                Start::Skippable(header, data) => skip(window, header, data, progress)?,
                Start::Frame(head) => {
                    admit(&head)?;
                    self.walk(window, &head, progress).map_err(|e| e.within(format_args!("frame at byte {at}")))?
                }
            };
        }
        Ok(at == limit)
    }

    /// Appends a frame after walking over its headers. Returns its end.
    fn walk<S: Source>(&mut self, window: &mut Window<S>, head: &Head, progress: &mut Progress) -> Result<u64> {
        if head.header.layout != Layout::Blocks {
            progress.advance(0)?;
            let block = single(window, head)?;
            self.push(head, false, u64::from(block.header.raw_len), 0)?;
            return Ok(block.end);
        }
        let (walk, before) = (Walk::new(&head.header, head.tag), self.segments.len());
        let end = walk_to_end(window, head, walk, head.body, progress, |at| self.push_segment(at))?;
        self.push(head, false, end.content, self.segments.len() - before)?;
        Ok(end.at)
    }

    fn push_segment(&mut self, at: u64) -> Result<()> {
        self.check_limit()?;
        grow(&mut self.segments, 1, "the positions of segments")?;
        self.segments.push(at);
        Ok(())
    }

    /// Appends a frame whose last `segments` positions were appended.
    fn push(&mut self, head: &Head, by_index: bool, content: u64, segments: usize) -> Result<()> {
        let Some(size) = self.size.checked_add(content) else {
            fail!(Corrupt, "the frame at byte {} states {content} bytes after {}", head.at, self.size);
        };
        if content > 0 {
            self.check_limit()?;
            grow(&mut self.places, 1, "the frames of a source")?;
            let first = self.segments.len() - segments;
            self.places.push(Place { at: head.at, tag: head.tag, by_index, start: self.size, first });
        }
        self.size = size;
        Ok(())
    }

    fn check_limit(&self) -> Result<()> {
        let taken = self.places.len() * size_of::<Place>() + self.segments.len() * size_of::<u64>();
        if taken as u64 > self.limit {
            fail!(Memory, "the list of frames and segments takes more than the memory limit, {} bytes", self.limit);
        }
        Ok(())
    }

    /// The length of the content of all frames.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The number of the frame that has the content's byte `offset`, which is below the size.
    pub(super) fn at_offset(&self, offset: u64) -> usize {
        self.places.partition_point(|place| place.start <= offset) - 1
    }

    /// A frame by its number.
    pub(super) fn place(&self, frame: usize) -> Place {
        self.places[frame]
    }

    /// The end of a frame's content in the content of the source.
    pub(super) fn content_end(&self, frame: usize) -> u64 {
        self.places.get(frame + 1).map_or(self.size, |next| next.start)
    }

    /// The position of a segment's header.
    pub(super) fn segment(&self, frame: usize, segment: u64) -> Option<u64> {
        let place = self.places[frame];
        let end = self.places.get(frame + 1).map_or(self.segments.len(), |next| next.first);
        usize::try_from(segment).ok().and_then(|n| self.segments[place.first..end].get(n)).copied()
    }

    /// Replaces the positions of an indexed frame's segments by those that its headers tell. Does nothing a second time.
    ///
    /// # Errors
    /// Those of a walk over the frame; `Corrupt` if the frame has another content than its index stated.
    pub(super) fn rescan<S: Source>(
        &mut self,
        window: &mut Window<S>,
        frame: usize,
        head: &Head,
        progress: &mut Progress,
    ) -> Result<()> {
        self.places[frame].by_index = false;
        let place = self.places[frame];
        let expected = self.content_end(frame) - place.start;
        let slots = place.first..self.places.get(frame + 1).map_or(self.segments.len(), |next| next.first);
        // Two walks, so that the list stays as it is where the frame disagrees.
        let walk = || Walk::new(&head.header, head.tag);
        let mut count = 0;
        let end = walk_to_end(window, head, walk(), head.body, progress, |_| {
            count += 1;
            Ok(())
        })?;
        if end.content != expected || count != slots.len() {
            fail!(Corrupt, "it has {} bytes of content, its index states {expected}", end.content);
        }
        let mut slots = self.segments[slots].iter_mut();
        walk_to_end(window, head, walk(), head.body, progress, |at| {
            if let Some(slot) = slots.next() {
                *slot = at;
            }
            Ok(())
        })?;
        Ok(())
    }
}

/// Whether an error says something about the bytes that were read, and not about reading them.
pub(super) fn is_about_content(e: &Error) -> bool {
    matches!(
        e.status(),
        Status::Format | Status::Truncated | Status::Corrupt | Status::Numerics | Status::State | Status::Mismatch
    )
}

/// The frame whose index ends at `end`. `None` if there is none, or if anything about it is odd.
fn indexed<S: Source>(window: &mut Window<S>, end: u64, progress: &mut Progress) -> Result<Option<Indexed>> {
    match read_indexed(window, end, progress) {
        Err(e) if is_about_content(&e) => Ok(None),
        result => result,
    }
}

fn read_indexed<S: Source>(window: &mut Window<S>, end: u64, progress: &mut Progress) -> Result<Option<Indexed>> {
    progress.advance(0)?;
    let Some(len) = index_len(window, end)?.map(u64::from) else { return Ok(None) };
    let Some(index_at) = end.checked_sub(len) else { return Ok(None) };
    let index = Index::read(window.exactly(index_at, len, "an index")?, index_at)?;
    let Some(at) = index_at.checked_sub(index.frame_len) else { return Ok(None) };
    let Start::Frame(head) = Start::read(window, at)? else { return Ok(None) };
    let shape = head.header.shape;
    let (Some(first), Some(last)) = (index.offsets.first(), index.offsets.last()) else { return Ok(None) };
    let agrees = head.tag == index.tag
        && head.header.layout == Layout::Blocks
        && shape.segment_log == index.segment_log
        && head.header.length.is_none_or(|length| length == index.content_len)
        && *first == head.body - at
        && index.offsets.windows(2).all(|pair| plausible(1 << index.segment_log, pair[1] - pair[0]));
    if !agrees {
        return Ok(None);
    }
    let raw = (index.offsets.len() as u64 - 1) << index.segment_log;
    let walk = Walk::new(&head.header, head.tag).at_segment(raw);
    let found = walk_to_end(window, &head, walk, at + last, progress, |_| Ok(()))?;
    let fits = found.at == index_at && found.content == index.content_len;
    Ok(fits.then_some(Indexed { head, index }))
}
