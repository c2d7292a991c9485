//! Prediction and learning of one bit, compiled for each CPU level.

use super::contexts::hash;
use super::history::Histories;
use super::logistic::{Logistic, ONE};
use super::maps::update_all;
use super::{
    APM_LOG, APM_RATES, CONFIDENCE_STEPS, DIRECT_LINE, DIRECT_RATES, HISTORY_LIMIT, MAX_VIEWS, Mix, Options,
    SEEN_CONTEXTS, SETS, Views, probability,
};
use crate::numeric::level::Kernel;
use crate::numeric::simd::Simd;

/// The final learning rate, and the amount by which the initial one is larger, by [`Options::fast`](super::Options).
const RATES: [[i32; 2]; 3] = [[56, 400], [72, 320], [64, 500]];

/// The learning rate is the same for this many bits, because a division for each bit takes time.
const RATE_BITS: u32 = 16;

/// The learning rate after `seen` bits. It falls with their number.
pub(super) fn rate(options: &Options, seen: u32) -> i32 {
    let [least, more] = RATES[usize::from(options.fast)];
    least + (more << 12) / (4096 + (seen / RATE_BITS) as i32)
}

/// [`Mix::code_byte`] at one CPU level.
pub(super) struct Byte<'a> {
    pub(super) mix: &'a mut Mix,
    pub(super) views: &'a Views<'a>,
    pub(super) code: &'a mut dyn FnMut(u32) -> u32,
}

impl Kernel for Byte<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // The numbers of the registered methods, as constants. Everything else shares one version.
        match (self.mix.contexts, self.mix.mixer.width()) {
            (6, 1) => self.bits::<6, 1, S>(s),
            (9, 1) => self.bits::<9, 1, S>(s),
            (_, 2) => self.bits::<0, 2, S>(s),
            _ => self.bits::<0, 0, S>(s),
        }
    }
}

impl Byte<'_> {
    #[inline(always)]
    fn bits<const N: usize, const W: usize, S: Simd>(self, s: S) {
        let Self { mix, views, code } = self;
        loop {
            if mix.bit_state.bypassed {
                let bit = code(predict_bypassed(s, mix));
                learn_bypassed(s, mix, bit);
                mix.advance(bit, true);
            } else {
                let views = views_of(mix, views);
                let bit = code(predict::<N, W, S>(s, mix, views));
                learn::<N, W, S>(s, mix, bit);
                mix.advance(bit, false);
            }
            if mix.bit_state.bits == 0 {
                return;
            }
        }
    }
}

/// The networks' probabilities of 1 for the next bit.
#[inline(always)]
fn views_of(mix: &Mix, views: &Views) -> [i32; MAX_VIEWS] {
    let mut probabilities = [ONE / 2; MAX_VIEWS];
    for (p, view) in probabilities.iter_mut().zip(views).take(mix.options.neural.into()) {
        if let Some(view) = view {
            *p = view.p(mix.bit_state.partial) as i32;
        }
    }
    probabilities
}

/// [`Mix::predict`] at one CPU level.
pub(super) struct Predict<'a> {
    pub(super) mix: &'a mut Mix,
    pub(super) views: &'a Views<'a>,
}

impl Kernel for Predict<'_> {
    type Output = u32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u32 {
        if self.mix.bit_state.bypassed {
            return predict_bypassed(s, self.mix);
        }
        let views = views_of(self.mix, self.views);
        predict::<0, 0, S>(s, self.mix, views)
    }
}

/// [`Mix::update`] at one CPU level.
pub(super) struct Learn<'a> {
    pub(super) mix: &'a mut Mix,
    pub(super) bit: u32,
}

impl Kernel for Learn<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mix, bit } = self;
        let bypassed = mix.bit_state.bypassed;
        if bypassed {
            learn_bypassed(s, mix, bit);
        } else {
            learn::<0, 0, S>(s, mix, bit);
        }
        mix.advance(bit, bypassed);
    }
}

/// The probability of 1 from all contexts. `N`: the number of contexts, and `W`: the number of lines of a row of
/// weights; 0 if they are not constants.
#[inline(always)]
fn predict<const N: usize, const W: usize, S: Simd>(s: S, mix: &mut Mix, views: [i32; MAX_VIEWS]) -> u32 {
    let node = mix.node();
    let Mix { options, bit_state, text, slots, maps, direct, matches, mixer, apms, .. } = mix;
    let apms = &mut apms[..options.apms()];
    let (logistic, partial, bits) = (Logistic::get(), bit_state.partial, bit_state.bits as usize);
    let [c1, c2, c3] = [1, 2, 3].map(|i| text.back(i));
    let maps = if N > 0 { &maps[..N] } else { &maps[..] };
    let contexts = maps.len();
    let x = &mut mixer.inputs().0;
    let (found, histories) =
        (bit_state.at.iter().zip(&mut bit_state.states).zip(&mut bit_state.cells), slots.histories());
    for ((((at, state), cell), map), x) in found.zip(maps).zip(&mut *x) {
        *state = histories[at + node];
        *cell = map[usize::from(*state)];
        *x = logistic.stretch(cell.p());
    }
    let mut free = x[contexts..].iter_mut();
    let mut push = |t: i32| *free.next().expect("room for all inputs") = t;
    bit_state.direct_at = [partial as usize, (c1 << 8 | partial) as usize];
    for (table, at) in direct.iter_mut().zip(bit_state.direct_at) {
        table.touch(at / DIRECT_LINE);
        let cells = table.lines().as_flattened()[at];
        cells.iter().for_each(|cell| push(logistic.stretch(probability(*cell))));
    }
    let mut lengths = [0; 2];
    let mut expected = 0;
    for (m, length) in matches.iter_mut().flatten().zip(&mut lengths) {
        match m.predict(partial, bit_state.bits) {
            Some(p) => {
                push(logistic.stretch(p));
                *length = m.length_class();
                if expected == 0 {
                    expected = (m.expected_byte() << 3 | bits as u32) + 256 + ((*length as u32 / 3) << 11);
                }
            }
            None => push(0),
        }
    }
    let views = &views[..options.neural.into()];
    views.iter().for_each(|p| push(logistic.stretch(*p)));
    push(256);
    let confidence = match views.last() {
        // The stretched prediction of the last network in steps of one half, from below -2.5 to 2.5 and above.
        Some(p) => (((logistic.stretch(*p) >> 7) + 6).clamp(0, CONFIDENCE_STEPS as i32 - 1) as usize) << 3 | bits,
        None => lengths[0] * 10 + lengths[1],
    };
    let last_three = c1 | c2 << 8 | c3 << 16;
    let order3 = |partial| (hash(last_three, partial) >> (32 - APM_LOG)) as usize;
    apms[0].select(if expected > 0 { expected } else { partial } as usize);
    if let [_, b, rest @ ..] = apms {
        b.select((c1 << 8 | partial) as usize);
        rest.iter_mut().for_each(|c| c.select(order3(partial)));
        if bits < 7 {
            // The next bit selects one of these two rows.
            for next in [partial << 1, partial << 1 | 1] {
                b.prefetch((c1 << 8 | next) as usize);
                rest.iter().for_each(|c| c.prefetch(order3(next)));
            }
        }
    }
    if bits < 7 {
        for next in [partial << 1, partial << 1 | 1] {
            mixer.prefetch(SETS - 1, (text.shape() & 15) << 8 | next as usize);
        }
    }
    // How many of the first six contexts (the orders from 2 on, if there are six) have occurred before.
    let seen_contexts = bit_state.states[..6].iter().filter(|s| **s != 0).count();
    let (shape, outline) = (text.shape(), text.outline());
    let sets: [usize; SETS] = [
        partial as usize,
        (usize::from(lengths[0] > 0) << 3 | seen_contexts) << 3 | bits,
        c1 as usize,
        confidence,
        outline & 0xff,
        shape >> 4 & 0xff,
        (shape & 15) << 8 | partial as usize,
    ];
    const _: () = assert!(SEEN_CONTEXTS == 8);
    let t = mixer.mix::<W, S>(s, sets);
    let p = logistic.squash(t);
    // The weights of each APM.
    let refined = match apms {
        [a] => (p + a.refine(t)) >> 1,
        [a, b] => (p * 2 + a.refine(t) + b.refine(t)) >> 2,
        [a, b, c, ..] => (p * 2 + a.refine(t) + b.refine(t) * 2 + c.refine(t) * 3) >> 3,
        [] => p,
    };
    refined as u32
}

/// Learns a bit that [`predict`] predicted.
#[inline(always)]
fn learn<const N: usize, const W: usize, S: Simd>(s: S, mix: &mut Mix, bit: u32) {
    let (histories, node) = (Histories::get(), mix.node());
    mix.mixer.update::<W, S>(s, bit, mix.rate);
    if mix.seen < 1 << 24 {
        mix.seen += 1;
        if mix.seen.is_multiple_of(RATE_BITS) {
            mix.rate = rate(&mix.options, mix.seen);
        }
    }
    let used = mix.options.apms();
    for (apm, rate) in mix.apms[..used].iter_mut().zip(APM_RATES) {
        apm.update(bit, rate);
    }
    let contexts = if N > 0 { N } else { mix.contexts };
    update_all(s, &mut mix.bit_state.cells, contexts, bit, HISTORY_LIMIT);
    let (bit_state, slots) = (&mix.bit_state, mix.slots.histories_mut());
    let found = bit_state.at.iter().zip(&bit_state.states).zip(&bit_state.cells);
    for (((at, state), cell), map) in found.zip(&mut mix.maps[..contexts]) {
        map[usize::from(*state)] = *cell;
        slots[at + node] = histories.next(*state, bit);
    }
    mix.learn_direct(bit);
    for m in mix.matches.iter_mut().flatten() {
        m.update(bit);
    }
}

impl Mix {
    /// Adapts the probabilities of orders 0 and 1.
    #[inline(always)]
    fn learn_direct(&mut self, bit: u32) {
        let target = if bit != 0 { ONE - 1 } else { 0 };
        for (table, at) in self.direct.iter_mut().zip(self.bit_state.direct_at) {
            let cells = &mut table.lines_mut().as_flattened_mut()[at];
            for (cell, shift) in cells.iter_mut().zip(DIRECT_RATES) {
                let p = probability(*cell);
                *cell = ((p + ((target - p) >> shift)).max(1) as u16) ^ super::HALF;
            }
        }
    }
}

/// [`Mix::predict`] for a bit of a bypassed byte.
#[inline(always)]
fn predict_bypassed<S: Simd>(s: S, mix: &mut Mix) -> u32 {
    let Mix { bit_state, text, direct, matches, bypass, .. } = mix;
    let (Some(bypass), Some([m, _])) = (bypass, matches) else { return ONE as u32 / 2 };
    let at = (text.back(1) << 8 | bit_state.partial) as usize;
    direct[1].touch(at / DIRECT_LINE);
    let order1 = probability(direct[1].lines().as_flattened()[at][0]);
    bypass.predict(s, m, text, bit_state.partial, bit_state.bits, order1)
}

/// Learns a bit of a bypassed byte. The first unexpected bit ends the bypass of the byte.
#[inline(always)]
fn learn_bypassed<S: Simd>(s: S, mix: &mut Mix, bit: u32) {
    if let (Some(bypass), Some([m, _])) = (&mut mix.bypass, &mut mix.matches) {
        bypass.update(s, m, bit);
        mix.bit_state.bypassed = bit == bypass.expected();
    }
}
