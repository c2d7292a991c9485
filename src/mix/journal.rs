//! An undo journal: the previous values of table entries. The time of a rollback is proportional to the number of
//! writes, not to the size of the table.

use crate::numeric::reserve::fallible;

/// How many bytes of text the journals cover. After more bytes, copying the whole state is cheaper.
pub(crate) const CHECKPOINT_BYTES: u32 = 2048;

/// Indices and previous values, oldest first.
#[derive(Debug)]
pub(crate) struct Journal<T> {
    /// Whether there is a checkpoint and the journal covers every write since then.
    complete: bool,
    /// Whether recording is suspended, because the caller undoes its own writes.
    paused: bool,
    entries: Vec<(u32, T)>,
}

impl<T> Default for Journal<T> {
    /// A journal without a checkpoint.
    fn default() -> Self {
        Self { complete: false, paused: false, entries: Vec::new() }
    }
}

impl<T: Copy> Journal<T> {
    /// Sets the checkpoint to the present content of the table.
    pub(crate) fn start(&mut self) {
        self.complete = true;
        self.entries.clear();
    }

    /// Drops the checkpoint and frees the memory.
    pub(crate) fn discard(&mut self) {
        self.complete = false;
        self.entries = Vec::new();
    }

    /// Suspends or resumes recording. Before it resumes, the caller must undo all writes since it was suspended.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Whether writes must be recorded.
    #[inline(always)]
    pub(crate) fn is_recording(&self) -> bool {
        self.complete && !self.paused
    }

    /// Number of entries.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is a checkpoint and the journal covers every write since then.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Records the value of an entry before it is overwritten. If memory runs out, the checkpoint is dropped.
    #[inline(always)]
    pub(crate) fn record(&mut self, at: usize, value: T) {
        if self.is_recording() {
            self.push(at, value);
        }
    }

    #[inline]
    fn push(&mut self, at: usize, value: T) {
        if fallible(|| self.entries.try_reserve(1)).is_ok() {
            self.entries.push((at as u32, value));
        } else {
            self.discard();
        }
    }

    /// Passes the entries to `put`, latest first, and removes them. The checkpoint remains.
    pub(crate) fn undo_all(&mut self, mut put: impl FnMut(usize, T)) {
        while let Some((at, value)) = self.entries.pop() {
            put(at as usize, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undo_restores_the_values_at_the_checkpoint() {
        let mut table = [1, 2, 3];
        let mut journal = Journal::default();
        assert!(!journal.is_complete());
        journal.record(0, table[0]);
        journal.start();
        for (at, value) in [(0, 10), (2, 30), (0, 11)] {
            journal.record(at, table[at]);
            table[at] = value;
        }
        journal.undo_all(|at, value| table[at] = value);
        assert_eq!(table, [1, 2, 3]);
        assert!(journal.is_complete());
        journal.discard();
        assert!(!journal.is_complete());
    }
}
