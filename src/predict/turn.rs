//! Turns: one byte of every lane, in the order of the lanes. docs/FORMAT.md, "Lanes".

/// The most lanes.
pub const MAX_LANES: usize = 64;
/// The least length of a stripe. A block whose stripes would be shorter has fewer lanes.
pub const MIN_STRIPE: u64 = 1 << 10;

/// The number of lanes of a block of `len` bytes in a predictor of `lanes` lanes, a power of two. `window`: the longest block
/// that may have several.
pub fn lanes_of(len: u64, lanes: usize, window: u64) -> usize {
    let most = if len > window { 1 } else { (len / MIN_STRIPE).max(1) };
    // Powers of two.
    lanes.min(1 << most.min(MAX_LANES as u64).ilog2())
}

/// The turn under way.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    /// The lanes of the block.
    lanes: usize,
    /// The lane whose byte comes next.
    lane: usize,
    /// The bytes of the block before this turn that are left; `usize::MAX` in a text of one lane, whose length does not
    /// matter.
    left: usize,
    bytes: [u8; MAX_LANES],
}

impl Turn {
    /// One lane.
    pub(super) const ONE: Self = Self { lanes: 1, lane: 0, left: usize::MAX, bytes: [0; MAX_LANES] };

    /// The first turn of a block of `len` bytes.
    pub(super) fn first(len: usize, lanes: usize) -> Self {
        if lanes == 1 { Self::ONE } else { Self { lanes, left: len, ..Self::ONE } }
    }

    /// The lanes of the block.
    pub(super) fn lanes(&self) -> usize {
        self.lanes
    }

    /// The lanes that have a byte in this turn.
    pub(super) fn active(&self) -> usize {
        self.lanes.min(self.left)
    }

    /// The lane whose byte comes next.
    pub(super) fn lane(&self) -> usize {
        self.lane
    }

    /// The bytes that are left of the block, if no byte of the turn has come.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Takes the next lane's byte. If it was the turn's last one, returns the turn's bytes.
    pub(super) fn take(&mut self, byte: u8) -> Option<&[u8]> {
        let active = self.active();
        self.bytes[self.lane] = byte;
        self.lane += 1;
        if self.lane < active {
            return None;
        }
        self.lane = 0;
        if self.lanes > 1 {
            self.left -= active;
        }
        Some(&self.bytes[..active])
    }
}

/// The place in the block of each byte in coding order.
fn places(len: usize, lanes: usize) -> impl Iterator<Item = usize> {
    let (short, longer) = (len / lanes, len % lanes);
    let first = move |lane: usize| lane * short + lane.min(longer);
    (0..len).map(move |i| first(i % lanes) + i / lanes)
}

/// The bytes of a block in the order in which they are coded. Both have the same length.
pub fn to_coding_order(block: &[u8], lanes: usize, out: &mut Vec<u8>) {
    out.extend(places(block.len(), lanes).map(|place| block[place]));
}

/// The inverse of [`to_coding_order`].
///
/// # Panics
/// If the lengths differ.
pub fn from_coding_order(coded: &[u8], lanes: usize, block: &mut [u8]) {
    assert_eq!(coded.len(), block.len());
    places(coded.len(), lanes).zip(coded).for_each(|(place, byte)| block[place] = *byte);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_blocks_have_fewer_lanes() {
        for (len, lanes, window, want) in [
            (0, 8, 1 << 20, 1),
            (2047, 8, 1 << 20, 1),
            (2048, 8, 1 << 20, 2),
            (8191, 8, 1 << 20, 4),
            (8192, 8, 1 << 20, 8),
            (1 << 24, 64, 1 << 24, 64),
            ((1 << 14) + 1, 4, 1 << 14, 1),
            (1 << 14, 1, 1 << 14, 1),
        ] {
            assert_eq!(lanes_of(len, lanes, window), want, "{len} {lanes} {window}");
        }
    }

    #[test]
    fn the_coding_order_takes_one_byte_of_every_stripe() {
        let order = |block: &[u8], lanes| {
            let mut out = Vec::new();
            to_coding_order(block, lanes, &mut out);
            out
        };
        assert_eq!(order(b"abcdefghij", 4), b"adgibehjcf");
        assert_eq!(order(b"abc", 1), b"abc");
        for len in [1, 2, 7, 64, 129, 1000] {
            let block: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
            for lanes in [1, 2, 4, 8, 16, 32, 64] {
                let mut back = vec![0; len];
                from_coding_order(&order(&block, lanes), lanes, &mut back);
                assert!(back == block, "{len} {lanes}");
            }
        }
    }

    #[test]
    fn the_last_turn_has_the_lanes_with_longer_stripes() {
        let mut turn = Turn::first(10, 4);
        let mut turns = Vec::new();
        for byte in 0..10 {
            if let Some(bytes) = turn.take(byte) {
                turns.push(bytes.to_vec());
            }
        }
        assert_eq!(turns, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
        let mut one = Turn::ONE;
        assert!((0..5).all(|byte| one.take(byte) == Some(&[byte])) && one.active() == 1);
    }
}
