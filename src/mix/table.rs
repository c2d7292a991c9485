//! Tables that cost what is touched: starting from another state, going back to a mark, and copying the content take
//! time in proportion to the parts that are used, not to the size of the table.
//!
//! A table consists of units of one or more cache lines. It starts as its *origin*, an immutable content that other
//! tables may share. A unit is copied from the origin when it is first touched. While there is a mark, the content of
//! each unit is logged when it is first touched after the mark.

use std::sync::Arc;

use crate::error::Result;
use crate::numeric::buffer::{Lines, Zero, grow, prefetch, reserved, zeroed};
use crate::numeric::reserve::fallible;

/// Units for each word of a set.
const BITS: usize = u64::BITS as usize;
/// Without a mark, units are logged as long as they are at most this share of the table: going back to the origin is
/// then fast, and the units remain copied.
const LOGGED_SHARE: usize = 8;

/// A set of units.
#[derive(Debug)]
struct Set(Vec<u64>);

impl Set {
    fn new(units: usize) -> Result<Self> {
        Ok(Self(zeroed(units.div_ceil(BITS), "a table")?))
    }

    #[inline(always)]
    fn has(&self, unit: usize) -> bool {
        self.0[unit / BITS] >> (unit % BITS) & 1 != 0
    }

    #[inline(always)]
    fn add(&mut self, unit: usize) {
        self.0[unit / BITS] |= 1 << (unit % BITS);
    }

    fn remove(&mut self, unit: usize) {
        self.0[unit / BITS] &= !(1 << (unit % BITS));
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }
}

/// The numbers of the ones of a word, which is the `index`-th of a set.
fn members(index: usize, mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (bit < BITS).then_some(index * BITS + bit)
    })
}

/// The immutable content of a table: the units that differ from the initial content. Threads may share it.
#[derive(Debug)]
pub(crate) struct Frozen<L> {
    /// Number of units.
    units: usize,
    /// Lines of a unit.
    stride: usize,
    /// The units that are stored.
    stored: Set,
    /// For each word of `stored`, the number of stored units before it.
    ranks: Vec<u32>,
    /// The stored units, in ascending order.
    lines: Vec<L>,
    /// The initial content, which has none. Units that neither has are zero.
    initial: Option<Arc<Frozen<L>>>,
}

impl<L: Zero + PartialEq> Frozen<L> {
    /// The initial content of a table of `units` units of `stride` lines each: zeros.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn zeros(units: usize, stride: usize) -> Result<Arc<Self>> {
        Builder::new(units, stride, None, 0)?.finish()
    }

    /// An initial content that consists of these lines.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn full(lines: Vec<L>, stride: usize) -> Result<Arc<Self>> {
        let mut builder = Builder::new(lines.len() / stride, stride, None, 0)?;
        let units = builder.frozen.units;
        (0..units).for_each(|unit| builder.frozen.stored.add(unit));
        builder.frozen.lines = lines;
        builder.finish()
    }

    /// The number of units.
    pub(crate) fn units(&self) -> usize {
        self.units
    }

    /// Lines of a unit.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The initial content of such tables.
    pub(crate) fn initial(self: &Arc<Self>) -> &Arc<Self> {
        self.initial.as_ref().unwrap_or(self)
    }

    /// The memory that this content takes in bytes, without the initial content.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.stored.0[..]) + size_of_val(&self.ranks[..]) + self.lines.capacity() * size_of::<L>()
    }

    /// The units that differ from the initial content, in ascending order.
    pub(crate) fn differing(&self) -> impl Iterator<Item = (usize, &[L])> {
        // Nothing of the initial content differs from it.
        let words = if self.initial.is_some() { &self.stored.0[..] } else { &[] };
        let units = words.iter().enumerate().flat_map(|(index, word)| members(index, *word));
        units.zip(self.lines.chunks_exact(self.stride))
    }

    /// The content of a unit; `None` for zeros.
    pub(crate) fn get(&self, unit: usize) -> Option<&[L]> {
        if self.stored.has(unit) {
            let below = self.stored.0[unit / BITS] & ((1 << (unit % BITS)) - 1);
            let rank = self.ranks[unit / BITS] as usize + below.count_ones() as usize;
            return Some(&self.lines[rank * self.stride..][..self.stride]);
        }
        self.initial.as_ref()?.get(unit)
    }

    /// Whether a unit of the initial content is equal to these lines.
    fn begins_as(&self, unit: usize, lines: &[L]) -> bool {
        let initial = self.initial.as_deref().unwrap_or(self);
        match initial.get(unit) {
            Some(first) => first == lines,
            None => lines.iter().all(|line| *line == L::ZERO),
        }
    }
}

/// Makes a content out of units in ascending order.
#[derive(Debug)]
pub(crate) struct Builder<L> {
    frozen: Frozen<L>,
}

impl<L: Zero + PartialEq> Builder<L> {
    /// With room for `expected` units that differ from the initial content.
    ///
    /// # Errors
    /// `Memory`.
    fn new(units: usize, stride: usize, initial: Option<Arc<Frozen<L>>>, expected: usize) -> Result<Self> {
        let stored = Set::new(units)?;
        let ranks = zeroed(stored.0.len(), "a table")?;
        let lines = reserved(expected.saturating_mul(stride), "a table's content")?;
        Ok(Self { frozen: Frozen { units, stride, stored, ranks, lines, initial } })
    }

    /// For contents of tables with this initial content.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn over(initial: &Arc<Frozen<L>>, expected: usize) -> Result<Self> {
        Self::new(initial.units, initial.stride, Some(initial.clone()), expected)
    }

    /// Adds a unit, which must come after those before, unless it is equal to that of the initial content.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn add(&mut self, unit: usize, lines: &[L]) -> Result<()> {
        let frozen = &mut self.frozen;
        if !frozen.initial.as_ref().is_some_and(|initial| initial.begins_as(unit, lines)) {
            grow(&mut frozen.lines, lines.len(), "a table's content")?;
            frozen.lines.extend_from_slice(lines);
            frozen.stored.add(unit);
        }
        Ok(())
    }

    /// The content.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn finish(mut self) -> Result<Arc<Frozen<L>>> {
        let mut sum = 0;
        for (rank, word) in self.frozen.ranks.iter_mut().zip(&self.frozen.stored.0) {
            *rank = sum;
            sum += word.count_ones();
        }
        Ok(Arc::new(self.frozen))
    }
}

/// What the log of a table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// There is no log.
    None,
    /// Going back to the origin. If it becomes long, or if memory is short, it is dropped.
    Origin,
    /// Going back to a mark.
    Mark,
}

/// The contents of units when they were first touched after the log began.
#[derive(Debug)]
struct Log<L> {
    purpose: Purpose,
    /// Whether the table was its origin when the log began.
    from_origin: bool,
    units: Vec<u32>,
    lines: Vec<L>,
}

/// A table.
#[derive(Debug)]
pub(crate) struct Table<L> {
    lines: Lines<L>,
    stride: usize,
    /// The units that were copied from the origin.
    own: Set,
    /// Those of them that need not be logged either.
    ready: Set,
    origin: Arc<Frozen<L>>,
    log: Log<L>,
}

/// Marks and memory of a table of any kind of line.
pub(crate) trait Marked {
    /// Sets a mark, to which [`Marked::undo`] goes back. It replaces an earlier one.
    fn mark(&mut self);
    /// Drops the mark. `free`: whether the memory of its log is freed too, or kept for the next mark.
    fn unmark(&mut self, free: bool);
    /// Goes back to the mark, which stays. [`Marked::is_logged`] must hold.
    fn undo(&mut self);
    /// Whether there is a mark and its log is complete.
    fn is_logged(&self) -> bool;
    /// Makes room for the log of `touches` more calls of [`Table::touch`]. `Memory` is the only error.
    fn reserve(&mut self, touches: usize) -> Result<()>;
    /// The bytes of the table, and of a unit.
    #[cfg(test)]
    fn size(&self) -> (u64, u64);
}

impl<L: Zero + PartialEq> Table<L> {
    /// A table whose content is `origin`.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn new(origin: &Arc<Frozen<L>>, what: &str) -> Result<Self> {
        let (units, stride) = (origin.units, origin.stride);
        Ok(Self {
            lines: Lines::zeroed(units * stride, what)?,
            stride,
            own: Set::new(units)?,
            ready: Set::new(units)?,
            origin: origin.clone(),
            log: Log { purpose: Purpose::Origin, from_origin: true, units: Vec::new(), lines: Vec::new() },
        })
    }

    /// All lines. Only those of units that were touched are valid.
    #[inline(always)]
    pub(crate) fn lines(&self) -> &[L] {
        &self.lines
    }

    /// All lines. Only those of units that were touched since the last mark may be read or written.
    #[inline(always)]
    pub(crate) fn lines_mut(&mut self) -> &mut [L] {
        &mut self.lines
    }

    /// Prepares a unit for reading and writing.
    #[inline(always)]
    pub(crate) fn touch(&mut self, unit: usize) {
        if !self.ready.has(unit) {
            self.fetch(unit);
        }
    }

    /// Prefetches a unit's first line.
    #[inline(always)]
    pub(crate) fn prefetch(&self, unit: usize) {
        prefetch(&self.lines[unit * self.stride]);
    }

    /// The content of a unit that may not have been touched; `None` for zeros.
    #[inline(always)]
    pub(crate) fn get(&self, unit: usize) -> Option<&[L]> {
        if self.own.has(unit) {
            return Some(&self.lines[unit * self.stride..][..self.stride]);
        }
        self.origin.get(unit)
    }

    #[cold]
    #[inline(never)]
    fn fetch(&mut self, unit: usize) {
        let lines = &mut self.lines[unit * self.stride..][..self.stride];
        if !self.own.has(unit) {
            match self.origin.get(unit) {
                Some(from) => lines.copy_from_slice(from),
                None => lines.fill(L::ZERO),
            }
            self.own.add(unit);
        }
        self.ready.add(unit);
        let log = &mut self.log;
        if log.purpose == Purpose::Origin && log.units.len() >= self.origin.units.div_ceil(LOGGED_SHARE) {
            log.drop();
        }
        if log.purpose != Purpose::None {
            // After `reserve`, there is room.
            let room = log.units.len() < log.units.capacity() && log.lines.len() + self.stride <= log.lines.capacity();
            let grows = || log.units.try_reserve(1).and_then(|()| log.lines.try_reserve(self.stride));
            if room || fallible(grows).is_ok() {
                log.units.push(unit as u32);
                log.lines.extend_from_slice(lines);
            } else {
                log.drop();
            }
        }
    }

    /// Sets the content to that of `origin`, which is of the same shape.
    pub(crate) fn start_at(&mut self, origin: &Arc<Frozen<L>>) {
        debug_assert!(self.origin.units == origin.units && self.stride == origin.stride);
        // Going back by a long log takes longer than copying again what will be touched.
        let short = self.log.units.len() <= self.origin.units / LOGGED_SHARE;
        if Arc::ptr_eq(&self.origin, origin) && self.log.reaches_origin() && short {
            self.go_back();
            self.log.purpose = Purpose::Origin;
            return;
        }
        self.origin = origin.clone();
        self.own.clear();
        self.ready.clear();
        self.log.restart(Purpose::Origin, true);
    }

    /// Restores the logged contents.
    fn go_back(&mut self) {
        for (unit, lines) in self.log.units.iter().zip(self.log.lines.chunks_exact(self.stride)) {
            let unit = *unit as usize;
            self.lines[unit * self.stride..][..self.stride].copy_from_slice(lines);
            self.ready.remove(unit);
        }
        self.log.units.clear();
        self.log.lines.clear();
    }

    /// A copy of the content.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn freeze(&self) -> Result<Arc<Frozen<L>>> {
        let words = || self.own.0.iter().zip(&self.origin.stored.0).enumerate();
        if self.own.0.iter().all(|word| *word == 0) {
            return Ok(self.origin.clone());
        }
        // The units of an initial origin need not be copied: they are found in it.
        let inherits = self.origin.initial.is_some();
        let from = |own: u64, stored: u64| if inherits { own | stored } else { own };
        let expected = words().map(|(_, (own, stored))| from(*own, *stored).count_ones() as usize).sum();
        let mut builder = Builder::over(self.origin.initial(), expected)?;
        for (index, (own, stored)) in words() {
            for unit in members(index, from(*own, *stored)) {
                builder.add(unit, self.get(unit).expect("own or stored"))?;
            }
        }
        builder.finish()
    }
}

impl<L: Zero + PartialEq> Marked for Table<L> {
    fn mark(&mut self) {
        let unchanged = self.log.reaches_origin() && self.log.units.is_empty();
        if !unchanged {
            self.ready.clear();
        }
        self.log.restart(Purpose::Mark, unchanged);
    }

    fn unmark(&mut self, free: bool) {
        if free {
            self.log.drop();
        } else {
            self.log.restart(Purpose::None, false);
        }
    }

    fn undo(&mut self) {
        debug_assert!(self.is_logged());
        self.go_back();
    }

    fn is_logged(&self) -> bool {
        self.log.purpose == Purpose::Mark
    }

    fn reserve(&mut self, touches: usize) -> Result<()> {
        let touches = touches.min(self.origin.units - self.log.units.len());
        if self.log.purpose == Purpose::Mark {
            grow(&mut self.log.units, touches, "the log of a table")?;
            grow(&mut self.log.lines, touches * self.stride, "the log of a table")?;
        }
        Ok(())
    }

    #[cfg(test)]
    fn size(&self) -> (u64, u64) {
        (size_of_val(&self.lines[..]) as u64, (self.stride * size_of::<L>()) as u64)
    }
}

impl<L> Log<L> {
    /// Whether going back by this log leads to the origin.
    fn reaches_origin(&self) -> bool {
        self.from_origin && self.purpose != Purpose::None
    }

    fn restart(&mut self, purpose: Purpose, from_origin: bool) {
        (self.purpose, self.from_origin) = (purpose, from_origin);
        self.units.clear();
        self.lines.clear();
    }

    fn drop(&mut self) {
        self.purpose = Purpose::None;
        (self.units, self.lines) = (Vec::new(), Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::random::Random;

    type Line = [u32; 16];
    const UNITS: usize = 300;
    const STRIDE: usize = 2;

    fn content(table: &Table<Line>) -> Vec<Line> {
        (0..UNITS).flat_map(|u| table.get(u).map_or([Line::ZERO; STRIDE], |l| [l[0], l[1]])).collect()
    }

    fn frozen_content(frozen: &Frozen<Line>) -> Vec<Line> {
        (0..UNITS).flat_map(|u| frozen.get(u).map_or([Line::ZERO; STRIDE], |l| [l[0], l[1]])).collect()
    }

    /// Random touches, writes, marks, undos, freezes and restarts, compared with plain copies of all lines.
    #[test]
    fn a_table_equals_plain_copies() {
        for (seed, full) in [(1, false), (2, true), (3, false), (4, true)] {
            let mut random = Random::new(seed, "table");
            let mut below = |n: usize| (random.next_u64() >> 33) as usize % n;
            let initial = if full {
                Frozen::full((0..UNITS * STRIDE).map(|i| [i as u32; 16]).collect(), STRIDE).unwrap()
            } else {
                Frozen::zeros(UNITS, STRIDE).unwrap()
            };
            let mut table = Table::new(&initial, "test").unwrap();
            let mut states = vec![(initial.clone(), frozen_content(&initial))];
            let mut plain = frozen_content(&initial);
            let mut mark: Option<Vec<Line>> = None;
            for _ in 0..4000 {
                match below(40) {
                    0 if states.len() < 12 => {
                        let frozen = table.freeze().unwrap();
                        assert_eq!(frozen_content(&frozen), plain);
                        assert!(frozen.differing().all(|(unit, lines)| !initial.begins_as(unit, lines)));
                        states.push((frozen, plain.clone()));
                    }
                    1 => {
                        let (frozen, lines) = &states[below(states.len())];
                        table.start_at(frozen);
                        plain.copy_from_slice(lines);
                        mark = None;
                    }
                    2 => {
                        table.mark();
                        mark = Some(plain.clone());
                    }
                    3 => {
                        if let Some(lines) = &mark {
                            table.undo();
                            plain.copy_from_slice(lines);
                        }
                    }
                    4 if below(4) == 0 => {
                        table.unmark(below(2) == 0);
                        assert!(!table.is_logged());
                        mark = None;
                    }
                    5 => {
                        let at = table.log.units.capacity();
                        table.reserve(below(UNITS)).unwrap();
                        assert!(mark.is_some() || table.log.units.capacity() == at);
                    }
                    _ => {
                        let (unit, line, value) = (below(UNITS), below(STRIDE), below(3) as u32);
                        table.touch(unit);
                        // Writing the value that is there already must not matter.
                        table.lines_mut()[unit * STRIDE + line][below(16)] = value;
                        plain[unit * STRIDE + line] = table.lines()[unit * STRIDE + line];
                    }
                }
                assert_eq!(content(&table), plain);
            }
        }
    }

    #[test]
    fn going_back_to_the_origin_keeps_what_was_copied() {
        let zeros = Frozen::<Line>::zeros(UNITS, 1).unwrap();
        let mut table = Table::new(&zeros, "test").unwrap();
        for unit in 0..UNITS / LOGGED_SHARE {
            table.touch(unit);
            table.lines_mut()[unit][0] = 7;
        }
        table.start_at(&zeros);
        assert!(table.own.has(0) && !table.ready.has(0) && table.lines()[0][0] == 0);
        // A long log is dropped: the units are copied again.
        (0..UNITS).for_each(|unit| table.touch(unit));
        assert!(!table.log.reaches_origin());
        table.start_at(&zeros);
        assert!(!table.own.has(0) && table.log.reaches_origin());
    }

    #[test]
    fn a_content_without_changes_is_shared() {
        let zeros = Frozen::<Line>::zeros(UNITS, 1).unwrap();
        let mut table = Table::new(&zeros, "test").unwrap();
        assert!(Arc::ptr_eq(&table.freeze().unwrap(), &zeros));
        table.touch(5);
        table.lines_mut()[5][3] = 1;
        let one = table.freeze().unwrap();
        assert_eq!(one.differing().map(|(unit, _)| unit).collect::<Vec<_>>(), [5]);
        table.start_at(&one);
        assert!(Arc::ptr_eq(&table.freeze().unwrap(), &one));
    }
}
