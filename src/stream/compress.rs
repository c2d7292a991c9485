//! Compression of a stream into one frame.

use super::ports::{Input, Output};
use crate::error::{Result, fail};
use crate::numeric::reserve;
use crate::session::{FrameWriter, Progress, ProgressFn, Session, Written};

/// What a call asks for besides taking input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Operation {
    /// Nothing.
    Continue = 0,
    /// That all input so far can be decoded from the output.
    Flush = 1,
    /// That the frame ends after this input.
    End = 2,
}

impl Operation {
    /// The operation of this number.
    ///
    /// # Errors
    /// `Argument`.
    pub fn from_number(n: i32) -> Result<Self> {
        match [Self::Continue, Self::Flush, Self::End].into_iter().find(|op| *op as i32 == n) {
            Some(op) => Ok(op),
            None => fail!(Argument, "operation {n} does not exist; 0 (continue), 1 (flush) and 2 (end) do"),
        }
    }
}

/// What a frame can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Input.
    Open,
    /// No more input: its end is in the output that was not given yet.
    Ending,
    /// Nothing: it has ended.
    Ended,
    /// Nothing: a call failed.
    Failed,
}

/// A frame that is being compressed. Until it has ended, nothing else may use the session.
#[derive(Debug)]
pub struct Compressor {
    /// The length of the content, if the caller stated it.
    total: Option<u64>,
    /// The content of the block under way; of the block that is given as it is.
    block: Vec<u8>,
    /// The content taken so far, in bytes.
    taken: u64,
    /// The content in blocks that were coded, in bytes.
    coded: u64,
    /// The frame, once it is known to have several blocks or a flush.
    writer: Option<FrameWriter>,
    out: Written,
    /// How much of `out` was given.
    given: usize,
    phase: Phase,
}

impl Compressor {
    /// Begins a frame of `total` bytes of content, or of unknown length.
    ///
    /// # Errors
    /// `State` if the method's policy needs the length, or if the handle writes version 2 frames; `Memory`.
    pub fn begin(session: &mut Session, total: Option<u64>) -> Result<Self> {
        session.begin_frame(total)?;
        Ok(Self {
            total,
            block: Vec::new(),
            taken: 0,
            coded: 0,
            writer: None,
            out: Written::default(),
            given: 0,
            phase: Phase::Open,
        })
    }

    /// Whether all of the frame was given.
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Takes input and gives output, as far as there is room. Returns how many bytes are left to give or, unless `op` is
    /// to continue, to take: 0 if what was asked for is done.
    ///
    /// # Errors
    /// `State` after an error, and for input after the end; `Argument` if the content has another length than was
    /// stated; `Memory`, `Cancelled`. The frame cannot go on then.
    pub fn run<'p>(
        &mut self,
        session: &mut Session,
        input: &mut Input,
        output: &mut Output,
        op: Operation,
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<u64> {
        match self.phase {
            Phase::Failed => fail!(State, "an earlier call of this stream failed: reset it"),
            Phase::Ending | Phase::Ended if input.left() > 0 => {
                fail!(State, "the frame was ended, and {} bytes more were given: end it first", input.left())
            }
            _ => {}
        }
        let result = Progress::resume(progress, self.coded, self.total.unwrap_or(u64::MAX))
            .and_then(|mut progress| self.advance(session, input, output, op, &mut progress))
            .and_then(|()| reserve::check());
        if result.is_err() {
            self.phase = Phase::Failed;
        }
        result?;
        let unasked = op == Operation::Continue;
        Ok(self.left_to_give() as u64 + if unasked { 0 } else { input.left() as u64 })
    }

    fn advance(
        &mut self,
        session: &mut Session,
        input: &mut Input,
        output: &mut Output,
        op: Operation,
        progress: &mut Progress,
    ) -> Result<()> {
        loop {
            self.give(output);
            if self.left_to_give() > 0 {
                return Ok(());
            }
            if self.phase != Phase::Open {
                self.phase = Phase::Ended;
                return Ok(());
            }
            if self.given > 0 {
                self.given = 0;
                self.block.clear();
                self.out.clear();
            }
            self.gather(session, input)?;
            if !self.code(session, input, op, progress)? {
                return Ok(());
            }
        }
    }

    /// Takes input into the block under way.
    fn gather(&mut self, session: &Session, input: &mut Input) -> Result<()> {
        if let Some(total) = self.total
            && input.left() as u64 > total - self.taken
        {
            let n = input.left();
            fail!(
                Argument,
                "{n} bytes were given after {} of a content whose length was stated as {total}",
                self.taken
            );
        }
        let (before, room) = (self.block.len(), self.room(session));
        input.fill(&mut self.block, room)?;
        self.taken += (self.block.len() - before) as u64;
        Ok(())
    }

    /// The most bytes that the block under way can have.
    fn room(&self, session: &Session) -> usize {
        self.writer.as_ref().map_or(session.max_block(), |writer| writer.next_block() as usize)
    }

    /// Codes what can be coded now. Returns whether there is anything to give.
    fn code(&mut self, session: &mut Session, input: &Input, op: Operation, progress: &mut Progress) -> Result<bool> {
        let (is_last, is_full) = (input.left() == 0, self.block.len() == self.room(session));
        if op == Operation::End && is_last && (self.writer.is_none() || self.block.is_empty()) {
            self.end(session, progress)?;
            return Ok(true);
        }
        // The only block of a frame has no header, so the first one waits for more, unless more is certain to come.
        let more_comes = self.writer.is_some() || !is_last || self.total.is_some_and(|total| total > self.taken);
        let is_due = is_full && more_comes || op != Operation::Continue && is_last;
        if self.block.is_empty() || !is_due {
            return Ok(false);
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(FrameWriter::start(session, self.total)?),
        };
        writer.block(session, &self.block, &mut self.out, progress)?;
        self.coded = self.taken;
        Ok(true)
    }

    /// Writes the whole frame of one block, or the end of a frame of several.
    fn end(&mut self, session: &mut Session, progress: &mut Progress) -> Result<()> {
        if let Some(total) = self.total.filter(|total| *total != self.taken) {
            fail!(Argument, "the content ends after {} bytes, and its length was stated as {total}", self.taken);
        }
        match &mut self.writer {
            None => session.write_single(&self.block, &mut self.out, progress)?,
            Some(writer) => writer.finish(&mut self.out)?,
        }
        self.coded = self.taken;
        self.phase = Phase::Ending;
        Ok(())
    }

    fn left_to_give(&self) -> usize {
        self.out.head.len() + self.out.body(&self.block).len() + self.out.tail.len() - self.given
    }

    fn give(&mut self, output: &mut Output) {
        let mut skip = self.given;
        for bytes in [&self.out.head[..], self.out.body(&self.block), &self.out.tail] {
            let from = skip.min(bytes.len());
            skip -= from;
            let n = output.give(&bytes[from..]);
            self.given += n;
            if n < bytes.len() - from {
                return;
            }
        }
    }
}
