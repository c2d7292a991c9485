//! Inputs that are read at any place: memory, or a caller's function.

use crate::error::{Error, Result, Status, fail};
use crate::numeric::buffer::grow;

/// An input of a fixed size, which can be read at any place.
pub trait Source {
    /// Its size in bytes.
    fn size(&self) -> u64;

    /// Reads at most `dst.len()` bytes from `offset` on to the start of `dst`. `dst` is not empty, and all of it is in the
    /// source. Returns how many bytes were read: fewer are allowed, 0 means that the source is shorter than it states.
    ///
    /// # Errors
    /// `Io`, `Cancelled`.
    fn read_at(&mut self, offset: u64, dst: &mut [u8]) -> Result<usize>;
}

impl Source for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&mut self, offset: u64, dst: &mut [u8]) -> Result<usize> {
        dst.copy_from_slice(&self[offset as usize..][..dst.len()]);
        Ok(dst.len())
    }
}

/// The bytes that a read asks for at least: most headers fit, and a read costs more than these bytes.
const READ: u64 = 4096;
/// What a parser gets at first. Longer headers are rare.
const FIRST: u64 = 64;
/// The size of the pieces in which long parts are read once.
pub const CHUNK: u64 = 1 << 16;

/// The part of a source that was read last.
#[derive(Debug)]
pub struct Window<S> {
    source: S,
    size: u64,
    /// The position of the buffer's first byte in the source.
    at: u64,
    buffer: Vec<u8>,
}

impl<S: Source> Window<S> {
    /// A window on a source. Nothing is read.
    pub fn new(source: S) -> Self {
        Self { size: source.size(), source, at: 0, buffer: Vec::new() }
    }

    /// The source's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes from position `at` on: at least `n`, or all that the source has. There may be more.
    ///
    /// # Errors
    /// `Io`, `Truncated` if the source ends before its stated size, `Memory`, `Cancelled`.
    pub fn part(&mut self, at: u64, n: u64) -> Result<&[u8]> {
        let left = self.size.saturating_sub(at);
        let n = n.min(left);
        let skip = at.checked_sub(self.at).filter(|skip| *skip <= self.buffer.len() as u64);
        let have = skip.map_or(0, |skip| self.buffer.len() as u64 - skip);
        if have >= n {
            return Ok(skip.map_or(&[], |skip| &self.buffer[skip as usize..]));
        }
        self.buffer.drain(..skip.map_or(self.buffer.len(), |skip| skip as usize));
        self.at = at;
        let whole = n.max(READ).min(left);
        while (self.buffer.len() as u64) < n {
            let have = self.buffer.len();
            // The buffer grows with what the source gives, not with what an input promises.
            let step = (whole - have as u64).min((have as u64).max(CHUNK)) as usize;
            grow(&mut self.buffer, step, "a part of the source")?;
            self.buffer.resize(have + step, 0);
            let read = read(&mut self.source, at + have as u64, &mut self.buffer[have..], self.size);
            self.buffer.truncate(have + *read.as_ref().unwrap_or(&0));
            read?;
        }
        Ok(&self.buffer)
    }

    /// Some bytes from position `at` on, for a search: those that are there, or the next [`CHUNK`]. None past the end.
    ///
    /// # Errors
    /// As [`Window::part`].
    pub fn ahead(&mut self, at: u64) -> Result<&[u8]> {
        let have = at.checked_sub(self.at).map_or(0, |skip| (self.buffer.len() as u64).saturating_sub(skip));
        self.part(at, if have >= FIRST { FIRST } else { CHUNK })
    }

    /// The `n` bytes from position `at` on. `what` names them in an error message.
    ///
    /// # Errors
    /// As [`Window::part`], and `Truncated` if the source has fewer.
    pub fn exactly(&mut self, at: u64, n: u64, what: &str) -> Result<&[u8]> {
        self.check_room(at, n, what)?;
        Ok(&self.part(at, n)?[..n as usize])
    }

    /// Checks that the source has `n` bytes from position `at` on.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn check_room(&self, at: u64, n: u64, what: &str) -> Result<()> {
        let left = self.size.saturating_sub(at);
        if n > left {
            fail!(Truncated, "{what} at byte {at} takes {n} bytes, the input ends after {left}");
        }
        Ok(())
    }

    /// Parses what is at position `at` with more and more of the source, until there is enough for it.
    ///
    /// # Errors
    /// Those of `f`, and as [`Window::part`].
    pub fn parse<T>(&mut self, at: u64, mut f: impl FnMut(&[u8]) -> Result<T>) -> Result<T> {
        let left = self.size.saturating_sub(at);
        let mut wanted = FIRST;
        loop {
            let part = self.part(at, wanted)?;
            let have = part.len() as u64;
            match f(part) {
                Err(e) if have < left && e.wanted().is_some_and(|n| n > have) => {
                    wanted = e.wanted().unwrap_or_default().min(left);
                }
                result => return result,
            }
        }
    }
}

fn read<S: Source>(source: &mut S, at: u64, dst: &mut [u8], size: u64) -> Result<usize> {
    match source.read_at(at, dst)? {
        0 => Err(Error::new(
            Status::Truncated,
            format!("the source ends at byte {at}; it was stated to have {size} bytes"),
        )),
        n if n > dst.len() => fail!(Io, "the source gave {n} bytes at byte {at}, {} were asked for", dst.len()),
        n => Ok(n),
    }
}
