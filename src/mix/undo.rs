//! A log of what tables held before they were written to: going back costs what was written, not a copy of all.

/// How much text a log covers; after more than that a whole copy is the cheaper way.
pub(crate) const MOST_BYTES: u32 = 2048;

/// Old values by where they stood.
#[derive(Debug)]
pub(crate) struct Undo<T> {
    /// Whether it covers everything since it began.
    whole: bool,
    /// Writes are undone by other means for now, and not noted.
    paused: bool,
    old: Vec<(u32, T)>,
}

impl<T> Default for Undo<T> {
    /// One that has not begun.
    fn default() -> Self {
        Self { whole: false, paused: false, old: Vec::new() }
    }
}

impl<T: Copy> Undo<T> {
    /// Starts anew, from what the table holds now.
    pub(crate) fn begin(&mut self) {
        self.whole = true;
        self.old.clear();
    }

    /// Covers nothing any more, and gives its memory back.
    pub(crate) fn stop(&mut self) {
        self.whole = false;
        self.old = Vec::new();
    }

    /// Leaves off noting, or takes it up again: whoever does must leave the table as it was in between.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Whether writes are to be noted.
    #[inline(always)]
    pub(crate) fn is_noting(&self) -> bool {
        self.whole && !self.paused
    }

    /// How many writes it holds.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.old.len()
    }

    /// Whether it covers everything since it began.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Before a write.
    #[inline(always)]
    pub(crate) fn note(&mut self, at: usize, value: T) {
        if self.is_noting() {
            self.push(at, value);
        }
    }

    #[inline]
    fn push(&mut self, at: usize, value: T) {
        if self.old.try_reserve(1).is_ok() {
            self.old.push((at as u32, value));
        } else {
            self.stop();
        }
    }

    /// Hands out what was noted, latest first, and starts anew.
    pub(crate) fn go_back(&mut self, mut put: impl FnMut(usize, T)) {
        while let Some((at, value)) = self.old.pop() {
            put(at as usize, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_back_puts_the_first_values_there() {
        let mut table = [1, 2, 3];
        let mut undo = Undo::default();
        assert!(!undo.is_whole());
        undo.note(0, table[0]);
        undo.begin();
        for (at, value) in [(0, 10), (2, 30), (0, 11)] {
            undo.note(at, table[at]);
            table[at] = value;
        }
        undo.go_back(|at, value| table[at] = value);
        assert_eq!(table, [1, 2, 3]);
        assert!(undo.is_whole());
        undo.stop();
        assert!(!undo.is_whole());
    }
}
