//! Bit histories in one byte: the bits that followed a context, as two bounded counts and the last bit. These are the
//! nonstationary states of PAQ (Mahoney 2005). The specification of ZPAQ has such states with other bounds.
//!
//! A bit increments its own count. If the other count is above 2, it is reduced, so that recent bits weigh more. A pair
//! of counts that is out of bounds is then reduced until it is within bounds. There are 231 reachable histories.

use std::sync::Once;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

/// The initial state.
pub(crate) const EMPTY: u8 = 0;

/// Bound of the larger count, by the smaller count.
const BOUND: [u8; 6] = [40, 40, 20, 10, 7, 5];

/// The discounted count after the opposite bit.
const fn discounted(n: u8) -> u8 {
    match n {
        0..=2 => n,
        3 => 2,
        4..=5 => 3,
        6..=8 => 4,
        9..=14 => 5,
        _ => 6,
    }
}

/// One history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct History {
    /// The counts of zeros and ones.
    n: [u8; 2],
    /// The last bit. See [`History::canonical`].
    last: u8,
}

impl History {
    /// The last bit distinguishes histories only if both counts are positive. Otherwise it follows from the counts.
    fn canonical(self) -> Self {
        let last = match self.n {
            [0, 0] => 0,
            [_, 0] => 0,
            [0, _] => 1,
            _ => self.last,
        };
        Self { last, ..self }
    }

    fn allowed(self) -> bool {
        let (small, large) = (self.n[0].min(self.n[1]), self.n[0].max(self.n[1]));
        BOUND.get(usize::from(small)).is_some_and(|bound| large <= *bound)
    }

    fn then(self, bit: u8) -> Self {
        let (own, other) = (usize::from(bit), usize::from(1 - bit));
        let mut next = self;
        next.last = bit;
        next.n[other] = discounted(next.n[other]);
        next.n[own] += 1;
        while !next.allowed() {
            let larger = usize::from(next.n[1] > next.n[0]);
            next.n[larger] -= 1;
        }
        next.canonical()
    }
}

// Atomics in statics, for the reasons given in `logistic`.
static NEXT: [[AtomicU8; 2]; 256] = [const { [const { AtomicU8::new(EMPTY) }; 2] }; 256];
static GUESS: [AtomicU16; 256] = [const { AtomicU16::new(1 << 15) }; 256];

/// Token: the tables are initialised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Histories(());

impl Histories {
    /// The tables. The first call fills them.
    #[inline(always)]
    pub(crate) fn get() -> Self {
        static FILLED: Once = Once::new();
        FILLED.call_once(fill);
        Self(())
    }

    /// The state after a bit.
    #[inline(always)]
    pub(crate) fn next(self, state: u8, bit: u32) -> u8 {
        NEXT[usize::from(state)][bit as usize & 1].load(Ordering::Relaxed)
    }

    /// The probability of 1 after this history before any training ([`Start::untrained`](super::Start)), in 1/65536.
    pub(crate) fn guess(self, state: u8) -> u16 {
        GUESS[usize::from(state)].load(Ordering::Relaxed)
    }
}

/// All reachable histories, sorted by the sum of their counts. So a lower number means fewer bits, on which the
/// replacement of slots relies.
fn reached() -> Vec<History> {
    let mut states = vec![History { n: [0, 0], last: 0 }];
    let mut open = 0;
    while let Some(state) = states.get(open).copied() {
        for next in [state.then(0), state.then(1)] {
            if !states.contains(&next) {
                states.push(next);
            }
        }
        open += 1;
    }
    states.sort_by_key(|s| (s.n[0] + s.n[1], s.n[1], s.last));
    assert!(states.len() <= 256);
    states
}

#[cold]
fn fill() {
    let states = reached();
    let number = |s: History| states.iter().position(|t| *t == s).expect("the successor of a state is a state") as u8;
    for (state, (next, guess)) in states.iter().zip(NEXT.iter().zip(&GUESS)) {
        for (bit, cell) in [0, 1].into_iter().zip(next) {
            cell.store(number(state.then(bit)), Ordering::Relaxed);
        }
        // Adding only 1/4 to each count makes deterministic histories strong predictors.
        let [zeros, ones] = state.n.map(|n| u32::from(n) * 4 + 1);
        guess.store(((ones << 16) / (zeros + ones)) as u16, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_history_fits_a_byte_and_the_empty_one_is_first() {
        let states = reached();
        assert_eq!(states[usize::from(EMPTY)].n, [0, 0]);
        assert!((200..=256).contains(&states.len()), "{}", states.len());
        assert!(states.iter().all(|s| s.allowed() && s.canonical() == *s));
        assert!(states.is_sorted_by_key(|s| s.n[0] + s.n[1]));
    }

    #[test]
    fn recent_bits_weigh_more() {
        let table = Histories::get();
        let after = |bits: &str| bits.bytes().fold(EMPTY, |s, b| table.next(s, u32::from(b - b'0')));
        assert_ne!(after("01"), after("10"));
        assert!(table.guess(after("1111")) > 60_000 && table.guess(after("0000")) < 6_000);
        assert!(table.guess(after("111111110000")) < 1 << 15, "four zeros outweigh eight ones before");
    }
}
