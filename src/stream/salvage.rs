//! Everything that can be trusted of a damaged source, and what is lost.

use super::frames::{Head, SingleBlock};
use super::parts::{Blocks, Part, about, stored_is_sound};
use super::source::{Source, Window};
use super::survey::{Body, Found, Parts, Scan, Survey};
use crate::container::{BlockHeader, BlockKind, Segment};
use crate::error::{Error, Result, Status};
use crate::numeric::buffer::grow;
use crate::session::{FrameDecoder, Guests, Progress, ProgressFn, Session};

/// Where salvage puts what it finds. Positions are those in the content of the source, and ascend.
pub trait Rescue {
    /// Takes sound content.
    ///
    /// # Errors
    /// `Cancelled`, which ends the salvage.
    fn write(&mut self, offset: u64, content: &[u8]) -> Result<()>;

    /// Is told that `len` bytes are lost, and why. `u64::MAX`: nothing sound states how many, and what follows is counted
    /// from `offset` on. 0: a whole frame was written whose checksum differs.
    ///
    /// # Errors
    /// `Cancelled`, which ends the salvage.
    fn lost(&mut self, offset: u64, len: u64, why: &Error) -> Result<()>;
}

/// Decodes what is sound in a source, in the order of the content. Frames that the session cannot decode are found before
/// anything is decoded.
///
/// # Errors
/// `Mismatch`, `Method` (the work limit), `Numerics`, `Format` (lanes, an unknown registered method): a frame is sound, and
/// this session cannot decode it. `Memory`, `Cancelled`; those of the source and of `rescue`. Damage is no error.
pub fn salvage<'p, S: Source>(
    session: &mut Session,
    source: S,
    rescue: &mut dyn Rescue,
    progress: Option<&'p mut ProgressFn<'p>>,
) -> Result<()> {
    let mut progress = Progress::start(progress, u64::MAX)?;
    let mut window = Window::new(source);
    let mut guests = Guests::default();
    let mut scan = Scan::new(&mut window);
    while let Some(found) = scan.next(&mut progress)? {
        if let Found::Frame(survey) = found {
            FrameDecoder::new(session, &mut guests, &survey.head.header, survey.head.at)?;
        }
    }
    let scan = Scan::new(&mut window);
    let out = Out { rescue, next: 0, lost: None, crc: crc32fast::Hasher::new(), is_whole: true };
    let mut salvage = Salvage { session, guests, scan, out, raw: Vec::new() };
    while let Some(found) = salvage.scan.next(&mut progress)? {
        match found {
            Found::Unknown(why) => salvage.out.lose_unknown(why)?,
            Found::Frame(survey) => salvage.frame(&survey, &mut progress)?,
        }
    }
    salvage.out.tell()
}

/// What was told so far.
struct Out<'a> {
    rescue: &'a mut dyn Rescue,
    /// The position of the next byte of content that nothing was told about.
    next: u64,
    /// A loss that was not told yet, because it may go on: where it starts, and why. It ends at `next`.
    lost: Option<(u64, Error)>,
    /// Of the content of the frame so far.
    crc: crc32fast::Hasher,
    /// Whether nothing of the frame is lost so far.
    is_whole: bool,
}

impl Out<'_> {
    /// Gives content at `offset`. What is before it and was not told is lost.
    fn give(&mut self, offset: u64, content: &[u8], why: impl FnOnce() -> Error) -> Result<()> {
        self.lose_to(offset, why);
        self.tell()?;
        self.crc.update(content);
        self.next = offset + content.len() as u64;
        self.rescue.write(offset, content)
    }

    /// Everything up to `end` is lost.
    fn lose_to(&mut self, end: u64, why: impl FnOnce() -> Error) {
        if end > self.next {
            self.is_whole = false;
            if self.lost.is_none() {
                self.lost = Some((self.next, why()));
            }
            self.next = end;
        }
    }

    /// Nobody knows how much is lost here.
    fn lose_unknown(&mut self, why: Error) -> Result<()> {
        self.tell()?;
        self.is_whole = false;
        self.rescue.lost(self.next, u64::MAX, &why)
    }

    /// Tells the loss that was found.
    fn tell(&mut self) -> Result<()> {
        match self.lost.take() {
            Some((start, why)) => self.rescue.lost(start, self.next - start, &why),
            None => Ok(()),
        }
    }
}

struct Salvage<'a, 'w, S> {
    session: &'a mut Session,
    guests: Guests,
    scan: Scan<'w, S>,
    out: Out<'a>,
    /// The content of a block.
    raw: Vec<u8>,
}

/// What a part gave.
#[derive(Default)]
struct Outcome {
    /// The number of blocks up to the last coded one that comes before all blocks that the predictor does not see. That
    /// it could be decoded shows that the blocks before it are complete.
    proven: u64,
    /// Whether there was a block that the predictor does not see.
    has_skipped: bool,
    /// The number of its blocks before the first bad one.
    good: u64,
    /// The first bad block, and the position of its payload.
    bad: Option<(BlockHeader, u64)>,
    /// What was bad.
    why: Option<Error>,
}

/// What is done with the blocks of a part.
#[derive(Clone, Copy)]
struct Mode {
    /// At most so many are decoded.
    most: u64,
    /// Whether they are given. If not, decoding ends at the first bad one.
    gives: bool,
}

impl<S: Source> Salvage<'_, '_, S> {
    fn frame(&mut self, survey: &Survey, progress: &mut Progress) -> Result<()> {
        self.out.tell()?;
        (self.out.crc, self.out.is_whole) = (crc32fast::Hasher::new(), true);
        let (head, base) = (&survey.head, self.out.next);
        let within = |e: Error| e.within(format_args!("frame at byte {}", head.at));
        let why = match &survey.body {
            Body::Single(Err(e)) => Some(e.clone()),
            Body::Single(Ok(block)) if base.checked_add(u64::from(block.header.raw_len)).is_none() => None,
            Body::Single(Ok(block)) => about(self.single(head, block, progress))?.err(),
            Body::Parts(parts) => self.parts(head, parts, base, progress)?,
        };
        let missing = || {
            let found = "the content behind was not found".to_owned();
            within(why.clone().unwrap_or_else(|| Error::new(Status::Corrupt, found)))
        };
        match survey.content.and_then(|content| base.checked_add(content)) {
            Some(end) => self.out.lose_to(end, missing),
            None => return self.out.lose_unknown(missing()),
        }
        if let Body::Parts(Parts { crc, .. }) = &survey.body
            && self.out.is_whole
            && let Err(e) = FrameDecoder::check_content(*crc, self.out.crc.clone().finalize())
        {
            let text = "every block is whole, but not all together: the trailer is damaged, or stored blocks moved";
            return self.out.rescue.lost(self.out.next, 0, &within(e.within(text)));
        }
        Ok(())
    }

    /// Gives the content of a frame of one block.
    fn single(&mut self, head: &Head, found: &SingleBlock, progress: &mut Progress) -> Result<()> {
        let (block, n) = (found.header, u64::from(found.header.coded_len));
        if block.raw_len == 0 {
            return Ok(());
        }
        let mut decoder = FrameDecoder::new(self.session, &mut self.guests, &head.header, head.at)?;
        decoder.seek(self.session, &mut self.guests, 0)?;
        let payload = self.scan.window.exactly(found.payload, n, "a payload")?;
        let raw = room(&mut self.raw, block.raw_len)?;
        let decoded = decoder
            .block(self.session, &mut self.guests, &block.with(payload), raw, progress)
            .and_then(|()| FrameDecoder::check_content(found.crc, crc32fast::hash(raw)));
        if decoded.is_err() {
            self.scan.effort.spend(u64::from(block.raw_len));
        }
        decoded?;
        let offset = self.out.next;
        self.out.give(offset, &self.raw, || Error::new(Status::Internal, "a gap in one block"))
    }

    /// Gives what is sound in the parts of a frame whose content starts at `base`. Returns why the rest is lost, if any.
    fn parts(&mut self, head: &Head, parts: &Parts, base: u64, progress: &mut Progress) -> Result<Option<Error>> {
        let mut decoder = FrameDecoder::new(self.session, &mut self.guests, &head.header, head.at)?;
        let within = |e: Error| e.within(format_args!("frame at byte {}", head.at));
        let not_found =
            |raw: u64| Error::new(Status::Corrupt, format!("the segments before content byte {raw} were not found"));
        let mut why = None;
        for part in &parts.list {
            // An earlier frame may state a content of 2^64 bytes.
            let (Some(start), Some(_)) = (base.checked_add(part.raw), base.checked_add(part.raw_end)) else { break };
            self.out.lose_to(start, || within(why.take().unwrap_or_else(|| not_found(part.raw))));
            let most = self.trusted(head, part, base, &mut decoder, progress)?;
            why = self.part(head, part, base, &mut decoder, Mode { most, gives: true }, progress)?.why;
        }
        if parts.has_doubts && why.is_none() {
            let text = "what is missing before the next segment header is more than the lost bytes could hold";
            why = Some(Error::new(Status::Corrupt, text));
        }
        Ok(why)
    }

    /// How many of the first blocks of a part are where they seem to be, as far as they are whole.
    ///
    /// All blocks may be whole while some are missing or come twice: then they end properly and do not hold what they
    /// should, or a block follows that the part has no room for. Only a coded block shows that those before it are
    /// complete, and not even it tells anything about blocks that the predictor does not see. A coded block that states a
    /// wrong length looks the same; but with the right length it can be decoded.
    fn trusted(
        &mut self,
        head: &Head,
        part: &Part,
        base: u64,
        decoder: &mut FrameDecoder,
        progress: &mut Progress,
    ) -> Result<u64> {
        let mut behind = Blocks::behind(head, part);
        let extra = match about(behind.next(self.scan.window))? {
            Ok(extra) if !part.is_closed => extra,
            _ => None,
        };
        if !head.header.checksums || !(part.is_misfit || extra.is_some()) {
            return Ok(u64::MAX);
        }
        let all = Mode { most: u64::MAX, gives: false };
        let tried = self.part(head, part, base, decoder, all, progress)?;
        let Some((bad, payload)) = tried.bad else {
            let Some(extra) = extra else { return Ok(tried.proven) };
            let is_whole = about(self.block(&extra, behind.payload, &mut true, decoder, progress))?.is_ok();
            return Ok(if is_whole { tried.proven } else { u64::MAX });
        };
        if !bad.kind.is_coded() {
            return Ok(u64::MAX);
        }
        // All that follows, to the end of the segment or the frame.
        while self.scan.effort.spend(16) && about(behind.next(self.scan.window))?.is_ok_and(|block| block.is_some()) {}
        let missing = i128::from(part.expected) - i128::from(part.raw_end) - i128::from(behind.walk.raw());
        let right = u32::try_from(i128::from(bad.raw_len) + missing).unwrap_or(0);
        if right <= bad.coded_len || u64::from(right) > head.header.shape.max_block() {
            return Ok(tried.proven);
        }
        self.part(head, part, base, decoder, Mode { most: tried.good, gives: false }, progress)?;
        let repaired = BlockHeader { raw_len: right, ..bad };
        let is_whole = about(self.block(&repaired, payload, &mut true, decoder, progress))?.is_ok();
        Ok(if is_whole { u64::MAX } else { tried.proven })
    }

    /// Decodes what is sound in a part.
    fn part(
        &mut self,
        head: &Head,
        part: &Part,
        base: u64,
        decoder: &mut FrameDecoder,
        mode: Mode,
        progress: &mut Progress,
    ) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        if let Err(e) = about(self.seek(head, part, decoder))? {
            outcome.why = Some(e);
            return Ok(outcome);
        }
        let (mut blocks, mut is_in_step, mut count) = (Blocks::new(head, part), true, 0);
        while blocks.at < part.stop && count < mode.most {
            let raw = blocks.walk.raw();
            let Some(block) = blocks.next(self.scan.window)? else { break };
            outcome.has_skipped |= block.kind == BlockKind::StoredSkipped;
            let decoded = about(self.block(&block, blocks.payload, &mut is_in_step, decoder, progress))?;
            count += 1;
            if outcome.why.is_none() && decoded.is_ok() {
                outcome.good = count;
            }
            if block.kind.is_coded() && !outcome.has_skipped && decoded.is_ok() {
                outcome.proven = count;
            }
            match decoded {
                Ok(()) if !mode.gives => {}
                Ok(()) => {
                    let why = || {
                        let e = outcome.why.clone();
                        e.unwrap_or_else(|| Error::new(Status::Corrupt, "the content before was not found"))
                            .within(format_args!("frame at byte {}", head.at))
                    };
                    self.out.give(base + raw, &self.raw, why)?;
                }
                Err(e) => {
                    outcome.why.get_or_insert(e);
                    outcome.bad.get_or_insert((block, blocks.payload));
                    // Behind damage a block is where it seems to be only if all lengths add up to the next sync.
                    if !(mode.gives && part.fits && head.header.checksums) {
                        return Ok(outcome);
                    }
                }
            }
        }
        if outcome.why.is_none() && !part.is_closed && mode.gives {
            // The walk breaks here again, unless the frame ends.
            outcome.why = about(blocks.next(self.scan.window))?.err();
        }
        Ok(outcome)
    }

    /// Puts the decoder at the start of a part.
    fn seek(&mut self, head: &Head, part: &Part, decoder: &mut FrameDecoder) -> Result<()> {
        if part.raw == 0 {
            decoder.seek(self.session, &mut self.guests, 0)?;
        }
        if head.header.shape.segment_log != 0 {
            decoder.segment(self.session, &mut self.guests, Segment { tag: head.tag, raw_offset: part.raw })?;
        }
        Ok(())
    }

    /// Decodes a block to `self.raw`. `is_in_step`: whether the predictor has seen all blocks before that it should see.
    fn block(
        &mut self,
        block: &BlockHeader,
        payload: u64,
        is_in_step: &mut bool,
        decoder: &mut FrameDecoder,
        progress: &mut Progress,
    ) -> Result<()> {
        let was_in_step = *is_in_step;
        let skipped = block.kind == BlockKind::StoredSkipped;
        // Set again where the block is found sound.
        *is_in_step &= skipped;
        if block.kind.is_coded() && !was_in_step {
            return Err(Error::new(Status::Corrupt, "it was coded with what the damaged bytes before it held")
                .within(format_args!("block at byte {}", block.at)));
        }
        let n = u64::from(block.coded_len);
        let payload = self.scan.window.exactly(payload, n, "a block's payload")?;
        let raw = room(&mut self.raw, block.raw_len)?;
        if !block.kind.is_coded() {
            let is_sound = stored_is_sound(block, payload);
            if is_sound == Some(false) {
                let text = "the content is damaged: its CRC-32 differs";
                return Err(Error::new(Status::Corrupt, text).within(format_args!("block at byte {}", block.at)));
            }
            if skipped || !was_in_step {
                raw.copy_from_slice(payload);
                return progress.advance(n);
            }
        }
        let decoded = decoder.block(self.session, &mut self.guests, &block.with(payload), raw, progress);
        if decoded.is_err() {
            self.scan.effort.spend(u64::from(block.raw_len));
        }
        *is_in_step = decoded.is_ok();
        decoded
    }
}

/// Makes room for the content of a block.
fn room(raw: &mut Vec<u8>, len: u32) -> Result<&mut [u8]> {
    raw.clear();
    grow(raw, len as usize, "a block's content")?;
    raw.resize(len as usize, 0);
    Ok(raw)
}
