//! The progress callback of a call, which may cancel it.

use crate::error::{Result, fail};

/// Gets the bytes done and the total. False cancels the call.
pub type ProgressFn<'a> = dyn FnMut(u64, u64) -> bool + 'a;

/// Counts the bytes of a call and asks its callback.
pub struct Progress<'a> {
    callback: Option<&'a mut ProgressFn<'a>>,
    done: u64,
    total: u64,
    /// Off in a trial.
    counts: bool,
}

impl<'a> Progress<'a> {
    /// For a call over `total` bytes; asks at once.
    ///
    /// # Errors
    /// `Cancelled`.
    pub fn start(callback: Option<&'a mut ProgressFn<'a>>, total: u64) -> Result<Self> {
        let mut progress = Self { callback, done: 0, total, counts: true };
        progress.advance(0)?;
        Ok(progress)
    }

    /// Runs `f`, whose work may be thrown away: the callback is asked, the bytes are not counted.
    pub fn trial<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        self.counts = false;
        let result = f(self);
        self.counts = true;
        result
    }

    /// Counts `bytes` more and asks the callback.
    ///
    /// # Errors
    /// `Cancelled`.
    pub fn advance(&mut self, bytes: u64) -> Result<()> {
        if self.counts {
            self.done += bytes;
        }
        if let Some(callback) = &mut self.callback
            && !callback(self.done, self.total)
        {
            fail!(Cancelled, "cancelled by the progress callback after {} of {} bytes", self.done, self.total);
        }
        Ok(())
    }
}
