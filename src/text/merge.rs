//! Byte pair encoding: the pair of neighbours whose merge has the lowest rank becomes one token, the leftmost of several,
//! until no pair has a merge.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::table::{Merge, Pairs};
use crate::error::Result;
use crate::numeric::buffer::grow;

/// The longest word that is merged without a heap.
const SHORT: usize = 24;

const NONE: Merge = Merge { rank: u32::MAX, token: 0 };
const WHAT: &str = "the parts of a word";

/// Working memory, kept from word to word.
#[derive(Debug, Default)]
pub(super) struct Merger {
    /// The merge of each token with the next one.
    merges: Vec<Merge>,
    /// The tokens before and after each one.
    links: Vec<(u32, u32)>,
    /// Rank and position.
    heap: Vec<Reverse<(u32, u32)>>,
}

impl Merger {
    /// Merges tokens from `start` on, in place.
    ///
    /// # Errors
    /// `Memory`.
    #[inline]
    pub(super) fn merge(&mut self, pairs: &Pairs, tokens: &mut Vec<u32>, start: usize) -> Result<()> {
        match tokens.len() - start {
            0 | 1 => Ok(()),
            2..=SHORT => {
                short(pairs, tokens, start);
                Ok(())
            }
            _ => self.long(pairs, tokens, start),
        }
    }

    /// As [`short`], in time that grows with n log n.
    fn long(&mut self, pairs: &Pairs, tokens: &mut Vec<u32>, start: usize) -> Result<()> {
        let word = &mut tokens[start..];
        let n = word.len();
        let (merges, links) = (&mut self.merges, &mut self.links);
        let mut heap = std::mem::take(&mut self.heap);
        merges.clear();
        links.clear();
        heap.clear();
        grow(merges, n, WHAT)?;
        grow(links, n, WHAT)?;
        // One for each pair at the start, and two for each merge.
        grow(&mut heap, 3 * n, WHAT)?;
        for i in 0..n {
            let merge = word.get(i + 1).and_then(|next| pairs.find(word[i], *next)).unwrap_or(NONE);
            if merge != NONE {
                heap.push(Reverse((merge.rank, i as u32)));
            }
            merges.push(merge);
            links.push(((i as u32).wrapping_sub(1), i as u32 + 1));
        }
        let mut heap = BinaryHeap::from(heap);
        while let Some(Reverse((rank, at))) = heap.pop() {
            let i = at as usize;
            // The pair may have changed since. A token that is gone has no merge.
            if merges[i].rank != rank || rank == NONE.rank {
                continue;
            }
            word[i] = merges[i].token;
            let gone = links[i].1 as usize;
            let (before, after) = (links[i].0, links[gone].1);
            merges[gone] = NONE;
            links[i].1 = after;
            if let Some(link) = links.get_mut(after as usize) {
                link.0 = at;
            }
            let mut update = |left: u32, right: u32| {
                let merge = word.get(right as usize).and_then(|right| pairs.find(word[left as usize], *right));
                merges[left as usize] = merge.unwrap_or(NONE);
                if let Some(merge) = merge {
                    heap.push(Reverse((merge.rank, left)));
                }
            };
            update(at, after);
            if (before as usize) < n {
                update(before, at);
            }
        }
        self.heap = heap.into_vec();
        let (mut from, mut to) = (0, 0);
        while from < n {
            word[to] = word[from];
            to += 1;
            from = self.links[from].1 as usize;
        }
        tokens.truncate(start + to);
        Ok(())
    }
}

/// Merges a word of at most [`SHORT`] tokens.
fn short(pairs: &Pairs, tokens: &mut Vec<u32>, start: usize) {
    let word = &mut tokens[start..];
    let mut n = word.len();
    let mut merges = [NONE; SHORT];
    for i in 0..n - 1 {
        merges[i] = pairs.find(word[i], word[i + 1]).unwrap_or(NONE);
    }
    loop {
        let mut best = 0;
        for i in 1..n - 1 {
            if merges[i].rank < merges[best].rank {
                best = i;
            }
        }
        if n < 2 || merges[best] == NONE {
            break;
        }
        word[best] = merges[best].token;
        word.copy_within(best + 2..n, best + 1);
        merges.copy_within(best + 1..n, best);
        n -= 1;
        merges[n - 1] = NONE;
        if best + 1 < n {
            merges[best] = pairs.find(word[best], word[best + 1]).unwrap_or(NONE);
        }
        if best > 0 {
            merges[best - 1] = pairs.find(word[best - 1], word[best]).unwrap_or(NONE);
        }
    }
    tokens.truncate(start + n);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::random::Random;
    use crate::text::table::Key;

    /// The definition.
    fn naive(pairs: &Pairs, tokens: &mut Vec<u32>) {
        loop {
            let found = (1..tokens.len()).filter_map(|i| Some((pairs.find(tokens[i - 1], tokens[i])?, i - 1)));
            let Some((merge, at)) = found.min_by_key(|(merge, at)| (merge.rank, *at)) else { return };
            tokens.splice(at..at + 2, [merge.token]);
        }
    }

    #[test]
    fn words_of_every_length_are_merged_as_the_definition_says() {
        let mut random = Random::new(3, "merges");
        let mut below = |n: u64| (random.next_u64() >> 33) as u32 % n as u32;
        for round in 0..60 {
            let mut pairs = Pairs::new(400, Key::random()).unwrap();
            let mut known = 4;
            for i in 0..400 {
                // In some rounds many merges have the same rank, as in a vocabulary with scores.
                let rank = if round % 3 == 0 { below(20) } else { i };
                let fresh = known;
                let token = if round % 2 == 0 || below(3) == 0 {
                    known += 1;
                    fresh
                } else {
                    below(u64::from(known))
                };
                pairs.add(below(u64::from(fresh)), below(u64::from(fresh)), Merge { rank, token });
            }
            let mut merger = Merger::default();
            for n in (0..2 * SHORT).chain([100, 300, 1000]) {
                let word: Vec<u32> = (0..n).map(|_| below(4)).collect();
                let (mut expected, mut found) = (word.clone(), vec![7, 7]);
                naive(&pairs, &mut expected);
                found.extend(&word);
                merger.merge(&pairs, &mut found, 2).unwrap();
                assert_eq!((&found[..2], &found[2..]), (&[7, 7][..], &expected[..]), "{word:?}");
                if n > 1 {
                    let mut found = word;
                    merger.long(&pairs, &mut found, 0).unwrap();
                    assert_eq!(found, expected);
                }
            }
        }
    }
}
