//! The progress callback of a call, which may cancel the call.

use crate::error::{Result, fail};

/// Receives the bytes done and the total. Returns false to cancel the call.
pub type ProgressFn<'a> = dyn FnMut(u64, u64) -> bool + 'a;

/// Counts the bytes of a call and invokes its callback.
pub struct Progress<'a> {
    callback: Option<&'a mut ProgressFn<'a>>,
    done: u64,
    total: u64,
    /// Whether bytes are counted. False in a trial.
    counts: bool,
}

impl<'a> Progress<'a> {
    /// Starts a call over `total` bytes and invokes the callback.
    ///
    /// # Errors
    /// `Cancelled`.
    pub fn start(callback: Option<&'a mut ProgressFn<'a>>, total: u64) -> Result<Self> {
        Self::resume(callback, 0, total)
    }

    /// Goes on with a count that an earlier call began: `done` of `total` bytes, which is `u64::MAX` if it is not known.
    ///
    /// # Errors
    /// `Cancelled`.
    pub fn resume(callback: Option<&'a mut ProgressFn<'a>>, done: u64, total: u64) -> Result<Self> {
        let mut progress = Self { callback, done, total, counts: true };
        progress.advance(0)?;
        Ok(progress)
    }

    /// Runs `f`, whose result may be discarded: the callback is invoked, but the bytes are not counted.
    pub fn trial<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        self.counts = false;
        let result = f(self);
        self.counts = true;
        result
    }

    /// Counts `bytes` more and invokes the callback.
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
            let of = if self.total == u64::MAX { String::new() } else { format!(" of {}", self.total) };
            fail!(Cancelled, "cancelled by the progress callback after {}{of} bytes", self.done);
        }
        Ok(())
    }
}
