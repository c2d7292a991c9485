//! The stored form of a mix's content (docs/FORMAT.md, "State of a mix"). Only what differs from the initial content is
//! stored. The hash tables of the match models are not stored: they follow from the window.

use std::sync::Arc;

use super::MATCHES;
use super::bypass::BypassContent;
use super::content::Content;
use super::contexts::{MAX_CONTEXTS, TextContent, TextState, WINDOW_LINE};
use super::history::{EMPTY, Histories};
use super::maps::Adaptive;
use super::matches::MatchContent;
use super::slots::{LINE, NODES, WAYS};
use super::table::{Builder, Frozen};
use crate::coder::bytes::{put, put_varint, take, take_varint};
use crate::error::{Result, fail};
use crate::numeric::buffer::{Zero, copied, filled, grow, reserved};

/// A line of words of 16 or 32 bits.
trait Words: Zero + PartialEq {
    /// Bytes of a word.
    const BYTES: usize;
    /// Words of a line.
    const COUNT: usize;
    /// A word, sign-extended or not; the bits above its width do not matter.
    fn word(&self, i: usize) -> u32;
    fn set_word(&mut self, i: usize, word: u32);
}

impl<const N: usize> Words for [u16; N] {
    const BYTES: usize = 2;
    const COUNT: usize = N;
    fn word(&self, i: usize) -> u32 {
        self[i].into()
    }
    fn set_word(&mut self, i: usize, word: u32) {
        self[i] = word as u16;
    }
}

impl<const N: usize> Words for [[u16; 2]; N] {
    const BYTES: usize = 2;
    const COUNT: usize = 2 * N;
    fn word(&self, i: usize) -> u32 {
        self.as_flattened()[i].into()
    }
    fn set_word(&mut self, i: usize, word: u32) {
        self.as_flattened_mut()[i] = word as u16;
    }
}

impl<const N: usize> Words for [u32; N] {
    const BYTES: usize = 4;
    const COUNT: usize = N;
    fn word(&self, i: usize) -> u32 {
        self[i]
    }
    fn set_word(&mut self, i: usize, word: u32) {
        self[i] = word;
    }
}

impl<const N: usize> Words for [i32; N] {
    const BYTES: usize = 4;
    const COUNT: usize = N;
    fn word(&self, i: usize) -> u32 {
        self[i] as u32
    }
    fn set_word(&mut self, i: usize, word: u32) {
        self[i] = word as i32;
    }
}

/// A signed number of `bytes` bytes as an unsigned one that is small if its magnitude is.
fn zigzag(x: u32, bytes: usize) -> u32 {
    let x = (x << (32 - 8 * bytes)) as i32 >> (32 - 8 * bytes);
    (x << 1 ^ x >> 31) as u32
}

/// The inverse of [`zigzag`].
fn unzigzag(x: u32) -> u32 {
    x >> 1 ^ (x & 1).wrapping_neg()
}

/// Appends numbers as strings, one for each of their lowest `bytes` bytes: the upper ones are mostly zeros.
fn put_planes(out: &mut Vec<u8>, words: &[u32], bytes: usize) -> Result<()> {
    for byte in 0..bytes {
        let mut plane = reserved(words.len(), "a stored table")?;
        plane.extend(words.iter().map(|word| word.to_le_bytes()[byte]));
        put(out, &plane)?;
    }
    Ok(())
}

/// The inverse of [`put_planes`], for `count` numbers.
fn take_planes(from: &mut &[u8], count: usize, bytes: usize) -> Result<Vec<u32>> {
    let mut words = filled(count, 0, "a stored table")?;
    for byte in 0..bytes {
        let plane = take(from, count)?;
        if plane.len() != count {
            fail!(Corrupt, "a table of {count} numbers has {} bytes", plane.len());
        }
        words.iter_mut().zip(plane).for_each(|(word, x)| *word |= u32::from(x) << (8 * byte));
    }
    Ok(words)
}

/// Appends the numbers of units, in ascending order: how many, and a string of the distances as varints.
fn put_units(out: &mut Vec<u8>, units: impl Iterator<Item = usize> + Clone) -> Result<()> {
    put_varint(out, units.clone().count() as u64)?;
    let (mut gaps, mut next) = (Vec::new(), 0);
    for unit in units {
        put_varint(&mut gaps, (unit - next) as u64)?;
        next = unit + 1;
    }
    put(out, &gaps)
}

/// The inverse of [`put_units`], for a table of `units` units.
fn take_units(from: &mut &[u8], units: usize) -> Result<Vec<u32>> {
    let n = number(from, units)?;
    let gaps = take(from, n.saturating_mul(5))?;
    let (mut gaps, mut numbers, mut next) = (&gaps[..], reserved(n, "a stored table")?, 0);
    for _ in 0..n {
        next += number(&mut gaps, units - next)?;
        if next >= units {
            fail!(Corrupt, "a stored table has part {next} of {units}");
        }
        numbers.push(next as u32);
        next += 1;
    }
    if !gaps.is_empty() {
        fail!(Corrupt, "a stored table has {} bytes of parts too many", gaps.len());
    }
    Ok(numbers)
}

/// Removes a number of at most `most`.
fn number(from: &mut &[u8], most: usize) -> Result<usize> {
    match take_varint(from) {
        Some(n) if n <= most as u64 => Ok(n as usize),
        Some(n) => fail!(Corrupt, "a number of a stored mix is {n}, at most {most} is possible"),
        None => fail!(Corrupt, "a stored mix is cut"),
    }
}

/// Removes a number of 32 bits.
fn number32(from: &mut &[u8]) -> Result<u32> {
    number(from, u32::MAX as usize).map(|n| n as u32)
}

/// Appends the units of a table that differ from the initial ones: their numbers, and the differences of their words.
fn put_table<L: Words>(out: &mut Vec<u8>, table: &Arc<Frozen<L>>) -> Result<()> {
    put_units(out, table.differing().map(|(unit, _)| unit).collect::<Vec<_>>().into_iter())?;
    let mut words = Vec::new();
    for (unit, lines) in table.differing() {
        grow(&mut words, lines.len() * L::COUNT, "a stored table")?;
        let initial = table.initial().get(unit);
        for (i, line) in lines.iter().enumerate() {
            let first = initial.map_or(L::ZERO, |lines| lines[i]);
            words.extend((0..L::COUNT).map(|i| zigzag(line.word(i).wrapping_sub(first.word(i)), L::BYTES)));
        }
    }
    put_planes(out, &words, L::BYTES)
}

/// The inverse of [`put_table`].
fn take_table<L: Words>(from: &mut &[u8], like: &Arc<Frozen<L>>) -> Result<Arc<Frozen<L>>> {
    let initial = like.initial();
    let stride = initial.stride();
    let units = take_units(from, initial.units())?;
    let words = take_planes(from, units.len() * stride * L::COUNT, L::BYTES)?;
    let mut builder = Builder::over(initial, units.len())?;
    let mut lines = filled(stride, L::ZERO, "a stored table")?;
    for (unit, words) in units.into_iter().zip(words.chunks_exact(stride * L::COUNT)) {
        let first = initial.get(unit as usize);
        for (i, (line, words)) in lines.iter_mut().zip(words.chunks_exact(L::COUNT)).enumerate() {
            let first = first.map_or(L::ZERO, |lines| lines[i]);
            for (i, word) in words.iter().enumerate() {
                line.set_word(i, first.word(i).wrapping_add(unzigzag(*word)));
            }
        }
        builder.add(unit as usize, &lines)?;
    }
    builder.finish()
}

/// The histories after n equal bits, n from 1 on, for zeros and ones.
fn runs() -> [Vec<u8>; 2] {
    let histories = Histories::get();
    [0, 1].map(|bit| {
        let mut run = vec![histories.next(EMPTY, bit)];
        while let Some(last) = run.last().copied().filter(|last| histories.next(*last, bit) != *last) {
            run.push(histories.next(last, bit));
        }
        run
    })
}

/// The nodes of a slot on the path of a nibble, with the bit that follows each.
fn path(nibble: usize) -> [(usize, usize); 4] {
    std::array::from_fn(|i| ((1 << i) - 1 + (nibble >> (4 - i)), nibble >> (3 - i) & 1))
}

/// Kinds of slots: empty; then by the nibble that is the only one that occurred, once or more often; then all others.
const EMPTY_SLOT: u8 = 0;
const ONCE: u8 = 1;
const OFTEN: u8 = 17;
const OTHER: u8 = 33;

/// The lines of slots: the numbers of the lines; the kinds of all their slots; the checks of those that are not empty;
/// the counts of those with one nibble that occurred more often than once; for the others, a byte with the number of
/// histories, and then these, with their nodes.
fn put_slots(out: &mut Vec<u8>, table: &Arc<Frozen<[u8; LINE]>>) -> Result<()> {
    let runs = runs();
    put_units(out, table.differing().map(|(unit, _)| unit).collect::<Vec<_>>().into_iter())?;
    let [mut kinds, mut checks, mut counts, mut masks, mut states] = [const { Vec::new() }; 5];
    for (_, lines) in table.differing() {
        [&mut kinds, &mut checks, &mut counts].into_iter().try_for_each(|v| grow(v, WAYS, "stored slots"))?;
        grow(&mut masks, 2 * WAYS, "stored slots")?;
        grow(&mut states, NODES * WAYS, "stored slots")?;
        let (check, slots) = lines[0].split_at(WAYS);
        for (check, slot) in check.iter().zip(slots.chunks_exact(NODES)) {
            if *check == 0 && slot.iter().all(|state| *state == EMPTY) {
                kinds.push(EMPTY_SLOT);
                continue;
            }
            checks.push(*check);
            match only_nibble(slot, &runs) {
                Some((nibble, 0)) => kinds.push(ONCE + nibble),
                Some((nibble, count)) => {
                    kinds.push(OFTEN + nibble);
                    counts.push(count);
                }
                None => {
                    kinds.push(OTHER);
                    let used = slot.iter().rev().fold(0u16, |mask, state| mask << 1 | u16::from(*state != EMPTY));
                    masks.extend(used.to_le_bytes());
                    states.extend(slot.iter().filter(|state| **state != EMPTY));
                }
            }
        }
    }
    [kinds, checks, counts, masks, states].iter().try_for_each(|part| put(out, part))
}

/// The nibble, if it is the only one that occurred, and how often it did, less 1.
fn only_nibble(slot: &[u8], runs: &[Vec<u8>; 2]) -> Option<(u8, u8)> {
    let (mut node, mut nibble, mut count) = (0, 0, None);
    for _ in 0..4 {
        let bit = usize::from(runs[1].contains(&slot[node]));
        let n = runs[bit].iter().position(|state| *state == slot[node])?;
        if *count.get_or_insert(n) != n {
            return None;
        }
        nibble = nibble << 1 | bit;
        node = 2 * node + 1 + bit;
    }
    let used = slot.iter().filter(|state| **state != EMPTY).count();
    (used == 4).then_some((nibble as u8, count? as u8))
}

/// The inverse of [`put_slots`].
fn take_slots(from: &mut &[u8], like: &Arc<Frozen<[u8; LINE]>>) -> Result<Arc<Frozen<[u8; LINE]>>> {
    let (initial, runs) = (like.initial(), runs());
    let units = take_units(from, initial.units())?;
    let slots = units.len() * WAYS;
    let kinds = take(from, slots)?;
    let [checks, counts, masks, states] =
        [take(from, slots)?, take(from, slots)?, take(from, 2 * slots)?, take(from, NODES * slots)?];
    let (mut kinds, mut checks, mut counts) = (kinds.iter(), checks.iter(), counts.iter());
    let (mut masks, mut states) = (masks.chunks_exact(2), states.iter());
    let mut builder = Builder::over(initial, units.len())?;
    let mut parts = || -> Option<[u8; LINE]> {
        let mut line = [0; LINE];
        let (check, slots) = line.split_at_mut(WAYS);
        for (check, slot) in check.iter_mut().zip(slots.chunks_exact_mut(NODES)) {
            let kind = *kinds.next()?;
            if kind == EMPTY_SLOT {
                continue;
            }
            *check = *checks.next()?;
            match kind {
                ONCE..OTHER => {
                    let count = if kind < OFTEN { 0 } else { usize::from(*counts.next()?) };
                    for (node, bit) in path(usize::from(kind - ONCE) % 16) {
                        slot[node] = *runs[bit].get(count)?;
                    }
                }
                OTHER => {
                    let mask = masks.next()?;
                    let mask = u16::from_le_bytes([mask[0], mask[1]]);
                    for (node, state) in slot.iter_mut().enumerate() {
                        if mask >> node & 1 != 0 {
                            *state = *states.next()?;
                        }
                    }
                }
                _ => return None,
            }
        }
        Some(line)
    };
    for unit in units {
        let Some(line) = parts() else { fail!(Corrupt, "the stored slots of line {unit} are not valid") };
        builder.add(unit as usize, &[line])?;
    }
    builder.finish()
}

/// Appends the differences of adaptive probabilities from the initial ones.
fn put_adaptive<'a>(
    out: &mut Vec<u8>,
    all: impl Iterator<Item = &'a Adaptive>,
    initial: impl Iterator<Item = &'a Adaptive>,
) -> Result<()> {
    let mut words = Vec::new();
    for (p, first) in all.zip(initial) {
        grow(&mut words, 1, "a stored table")?;
        words.push(zigzag(p.bits().wrapping_sub(first.bits()), 4));
    }
    put_planes(out, &words, 4)
}

/// The inverse of [`put_adaptive`]: adds the differences.
fn take_adaptive<'a>(from: &mut &[u8], all: impl ExactSizeIterator<Item = &'a mut Adaptive>) -> Result<()> {
    let words = take_planes(from, all.len(), 4)?;
    for (p, word) in all.zip(words) {
        *p = Adaptive::from_bits(p.bits().wrapping_add(unzigzag(word)));
    }
    Ok(())
}

/// The bytes of the window, in the order of the text.
fn window_bytes(text: &TextContent) -> Result<Vec<u8>> {
    let len = text.window.units() * WINDOW_LINE;
    let position = text.state.position();
    // The position is modulo 2^32: after that many bytes, it does not tell how many there are.
    let last = text.window.differing().last().map_or(0, |(unit, _)| unit * WINDOW_LINE);
    let n = if last >= position as usize { len } else { len.min(position as usize) };
    let mut bytes = reserved(n, "the window")?;
    let at = |i: usize| (position as usize).wrapping_sub(n).wrapping_add(i) & (len - 1);
    bytes.extend((0..n).map(at).map(|at| text.window.get(at / WINDOW_LINE).map_or(0, |l| l[0][at % WINDOW_LINE])));
    Ok(bytes)
}

/// The window that has these bytes before `position`.
fn window_of(bytes: &[u8], position: u32, like: &TextContent) -> Result<Arc<Frozen<[u8; WINDOW_LINE]>>> {
    let initial = like.window.initial();
    let len = initial.units() * WINDOW_LINE;
    let first = (position as usize).wrapping_sub(bytes.len()) & (len - 1);
    let used = if first + bytes.len() <= len { (first + bytes.len()).next_multiple_of(WINDOW_LINE) } else { len };
    let mut ring = filled(used, 0, "the window")?;
    bytes.iter().enumerate().for_each(|(i, byte)| ring[(first + i) & (len - 1)] = *byte);
    let mut builder = Builder::over(initial, used / WINDOW_LINE)?;
    for (unit, line) in ring.as_chunks::<WINDOW_LINE>().0.iter().enumerate() {
        builder.add(unit, &[*line])?;
    }
    builder.finish()
}

/// Appends a content.
///
/// # Errors
/// `Memory`.
pub(super) fn store(content: &Content, initial: &Content, out: &mut Vec<u8>) -> Result<()> {
    let mut state = content.text.state;
    let (last, fields) = state.fields();
    put_varint(out, *last)?;
    fields.into_iter().try_for_each(|x| put_varint(out, (*x).into()))?;
    put(out, &window_bytes(&content.text)?)?;
    content.text.followers.iter().try_for_each(|table| put_table(out, table))?;
    put_slots(out, &content.slots)?;
    put_adaptive(out, content.maps.iter().flatten(), initial.maps.iter().flatten())?;
    content.direct.iter().try_for_each(|table| put_table(out, table))?;
    for (m, first) in content.matches.iter().flatten().zip(initial.matches.iter().flatten()) {
        let (at, len, since_miss) = m.state.stored();
        [u64::from(at.is_some()), at.unwrap_or(0).into(), len.into(), since_miss.into()]
            .into_iter()
            .try_for_each(|x| put_varint(out, x))?;
        put_adaptive(out, m.confidence.iter(), first.confidence.iter())?;
    }
    put_table(out, &content.mixer)?;
    if let Some(bypass) = &content.bypass {
        put_table(out, &bypass.weights)?;
        put_table(out, &bypass.cells)?;
        put_table(out, &bypass.gates)?;
        put_varint(out, bypass.gate_at.is_some().into())?;
        bypass.gate_at.iter().flatten().try_for_each(|at| put_varint(out, *at as u64))?;
    }
    content.apms.iter().try_for_each(|table| put_table(out, table))?;
    put_varint(out, content.bypassed.into())?;
    content.at[..content.maps.len()].iter().try_for_each(|at| put_varint(out, (*at).into()))?;
    put_varint(out, content.seen.into())
}

/// Reads a content of the same options as `initial`. All of `from` must be used.
///
/// # Errors
/// `Corrupt`, `Memory`.
pub(super) fn load(initial: &Content, mut from: &[u8]) -> Result<Content> {
    let from = &mut from;
    let mut state = TextState::default();
    let (last, fields) = state.fields();
    *last = match take_varint(from) {
        Some(last) => last,
        None => fail!(Corrupt, "a stored mix is cut"),
    };
    for x in fields {
        *x = number32(from)?;
    }
    let window = take(from, initial.text.window.units() * WINDOW_LINE)?;
    let position = state.position();
    let [one, two] = &initial.text.followers;
    let text = TextContent {
        window: window_of(&window, position, &initial.text)?,
        followers: [take_table(from, one)?, take_table(from, two)?],
        state,
    };
    let slots = take_slots(from, &initial.slots)?;
    let mut maps = copied(&initial.maps, "context maps")?;
    take_adaptive(from, maps.as_flattened_mut().iter_mut())?;
    let [order0, order1] = &initial.direct;
    let direct = [take_table(from, order0)?, take_table(from, order1)?];
    let mut one_match = |i: usize, first: &MatchContent| -> Result<MatchContent> {
        let at = number(from, 1)?;
        let (place, len, since_miss) = (number32(from)?, number32(from)?, number32(from)?);
        let mut confidence = copied(&first.confidence, "match model")?;
        take_adaptive(from, confidence.iter_mut())?;
        let place = (at == 1).then_some(place);
        MatchContent::rebuilt(first, MATCHES[i].0, &window, position, (place, len, since_miss), confidence)
    };
    let matches = match &initial.matches {
        Some([long, short]) => Some([one_match(0, long)?, one_match(1, short)?]),
        None => None,
    };
    let mixer = take_table(from, &initial.mixer)?;
    let bypass = match &initial.bypass {
        Some(first) => {
            let (weights, cells) = (take_table(from, &first.weights)?, take_table(from, &first.cells)?);
            let gates = take_table(from, &first.gates)?;
            let gate_at =
                if number(from, 1)? == 1 { Some(BypassContent::gates(|most| number(from, most))?) } else { None };
            Some(BypassContent { weights, cells, gates, gate_at })
        }
        None => None,
    };
    let [a, b, c] = &initial.apms;
    let apms = [take_table(from, a)?, take_table(from, b)?, take_table(from, c)?];
    let bypassed = number(from, 1)? == 1;
    if bypassed && bypass.as_ref().is_none_or(|bypass| bypass.gate_at.is_none()) {
        fail!(Corrupt, "a stored mix bypasses a byte without a match");
    }
    let mut at = [0; MAX_CONTEXTS];
    for at in &mut at[..maps.len()] {
        *at = number(from, slots.units() * LINE - NODES)? as u32;
        let within = *at as usize % LINE;
        if !bypassed && (within < WAYS || !(within - WAYS).is_multiple_of(NODES)) {
            fail!(Corrupt, "a stored mix has a slot at {at}, where none begins");
        }
    }
    let seen = number(from, 1 << 24)? as u32;
    if !from.is_empty() {
        fail!(Corrupt, "a stored mix has {} bytes too many", from.len());
    }
    let options = initial.options;
    Ok(Content { options, text, slots, maps, direct, matches, mixer, bypass, apms, at, bypassed, seen, shared: false })
}
