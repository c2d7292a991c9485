//! The stripes of a block of several lanes: which bytes of the block and of the window were coded.

/// A block that is cut into stripes, one for each lane, and how much of it was coded. docs/FORMAT.md, "Lanes".
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stripes {
    /// The position of the block's first byte.
    start: u32,
    /// The length of the block.
    len: u32,
    /// log2 of the number of lanes.
    log: u32,
    /// The bytes of the block that were coded.
    coded: u32,
    /// The position of the first byte of the present lane's text without a gap. 0 in lane 0, whose text goes on from the
    /// block before.
    own: u32,
}

impl Stripes {
    /// A text of one lane, of any length.
    pub(crate) const NONE: Self = Self { start: 0, len: 0, log: 0, coded: 0, own: 0 };

    /// A block of `len` bytes in 2^`log` lanes.
    pub(crate) fn new(start: u32, len: u32, log: u32) -> Self {
        Self { start, len, log, coded: 0, own: 0 }
    }

    /// Whether there is one lane.
    #[inline(always)]
    pub(crate) fn is_one(&self) -> bool {
        self.log == 0
    }

    /// Counts a byte that was coded.
    #[inline(always)]
    pub(crate) fn count(&mut self) {
        self.coded = self.coded.wrapping_add(1);
    }

    /// The length of the shorter stripes, and the number of those that are one byte longer.
    fn lengths(&self) -> (u32, u32) {
        (self.len >> self.log, self.len & ((1 << self.log) - 1))
    }

    /// The position of the first byte of a lane's stripe.
    pub(crate) fn first(&self, lane: u32) -> u32 {
        let (short, longer) = self.lengths();
        self.start.wrapping_add(lane * short + lane.min(longer))
    }

    /// Sets the present lane.
    #[inline(always)]
    pub(crate) fn select(&mut self, lane: u32) {
        self.own = if lane == 0 || self.is_one() { 0 } else { self.first(lane) };
    }

    /// The position of the first byte of the present lane's text without a gap.
    #[inline(always)]
    pub(crate) fn own_start(&self) -> u32 {
        self.own
    }

    /// The lane of a byte of the block, and its place in the lane's stripe.
    fn place(&self, offset: u32) -> (u32, u32) {
        let (short, longer) = self.lengths();
        let long = longer * (short + 1);
        match offset.checked_sub(long) {
            Some(rest) => (longer + rest / short.max(1), rest % short.max(1)),
            None => (offset / (short + 1), offset % (short + 1)),
        }
    }

    /// The bytes of a lane's stripe that were coded.
    fn progress(&self, lane: u32) -> u32 {
        (self.coded >> self.log) + u32::from(lane < self.coded & ((1 << self.log) - 1))
    }

    /// The number of positions from `at`, which is not behind the block's start, to the block's end.
    fn distance_to_end(&self, at: u32) -> usize {
        self.start.wrapping_add(self.len).wrapping_sub(at) as usize
    }

    /// Whether the byte at a position was coded and stays in a window of `window_mask` + 1 bytes until the block ends.
    pub(crate) fn is_coded(&self, at: u32, window_mask: usize) -> bool {
        let offset = at.wrapping_sub(self.start);
        if (offset as i32) < 0 {
            return self.distance_to_end(at) <= window_mask + 1;
        }
        let (lane, place) = self.place(offset.min(self.len));
        offset < self.len && place < self.progress(lane)
    }

    /// How many bytes directly before a position were coded and stay in the window until the block ends. A stripe of
    /// another lane than lane 0 ends the count, and so does position 0.
    pub(crate) fn coded_before(&self, at: u32, window_mask: usize) -> u32 {
        let offset = at.wrapping_sub(self.start);
        if (offset as i32) <= 0 {
            return ((window_mask + 1).saturating_sub(self.distance_to_end(at)) as u32).min(at);
        }
        if offset > self.len {
            return 0;
        }
        let (lane, place) = self.place(offset - 1);
        match lane {
            _ if place >= self.progress(lane) => 0,
            0 => place + 1 + self.coded_before(self.start, window_mask),
            _ => place + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a plain array of what was coded.
    #[test]
    fn what_was_coded_is_what_a_plain_array_says() {
        const WINDOW: u32 = 64;
        for (start, len, log) in
            [(0, 37, 2), (5, 64, 3), (100, 61, 1), (200, 16, 2), (1000, 63, 4), (u32::MAX - 20, 50, 2)]
        {
            let mut stripes = Stripes::new(start, len, log);
            let mut coded = vec![false; len as usize];
            let lanes = 1 << log;
            for i in 0..=len {
                for back in -70i64..i64::from(len) + 10 {
                    let at = (i64::from(start) + back) as u32;
                    if i64::from(start) + back < 0 {
                        continue;
                    }
                    let known = |back: i64| match usize::try_from(back) {
                        Ok(offset) => coded.get(offset).copied().unwrap_or(false),
                        Err(_) => i64::from(len) - back <= i64::from(WINDOW) && i64::from(start) + back >= 0,
                    };
                    assert_eq!(
                        stripes.is_coded(at, WINDOW as usize - 1),
                        known(back),
                        "{start} {len} {log} {i} {back}"
                    );
                    let firsts: Vec<i64> =
                        (1..lanes).map(|lane| i64::from(stripes.first(lane).wrapping_sub(start))).collect();
                    let mut run = 0;
                    while known(back - 1 - run) && (run == 0 || !firsts.contains(&(back - run))) {
                        run += 1;
                    }
                    assert_eq!(
                        i64::from(stripes.coded_before(at, WINDOW as usize - 1)),
                        run,
                        "{start} {len} {log} {i} {back}"
                    );
                }
                if i < len {
                    let (turn, lane) = (i / lanes, i % lanes);
                    coded[(stripes.first(lane).wrapping_sub(start) + turn) as usize] = true;
                    stripes.count();
                }
            }
            assert!(coded.iter().all(|coded| *coded));
        }
    }
}
