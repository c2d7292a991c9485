//! Attention of one token: the softmax of its scores with the visible tokens, and the mean of their values under it.
//!
//! - A score with int8 keys is `float(sum) * (key_scale * query_scale)`, the sum exact. With other keys it has one
//!   accumulator, dimensions ascending.
//! - Softmax over the n visible tokens in the order of their positions: e = exp(score - largest); their sum has sixteen
//!   partial sums, of the tokens whose index in that order is i modulo 16, then the fixed tree.
//! - A value has one accumulator for each dimension, positions ascending: `acc + (e * value_scale) * float(value)`
//!   (without the scale for other formats), and is divided by the sum of e at the end.

mod cache;

pub use cache::{KvCache, KvFormat};
use cache::{Store, widen_f16};

use super::buffer::filled;
use super::level::{Kernel, Level};
use super::math;
use super::simd::Simd;
use super::vector::{Vec16, WIDTH, flat, flat_mut};
use crate::error::Result;

/// The query heads that are computed together, because they share their keys and values.
const GROUP: usize = 4;

/// Slots that a token sees, in the order of their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visible {
    /// The first slot.
    pub first: usize,
    /// The slot after the last.
    pub end: usize,
    /// The query that scores them: 0 or 1.
    pub query: usize,
}

/// Scratch memory of attention. Reused between calls.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    /// Quantised queries of a group of heads.
    quantised: Vec<u64>,
    /// Scores by slot, of a range and one head after the other.
    scores: Vec<Vec16>,
    /// Scores, then weights, in the order of positions.
    weights: Vec<Vec16>,
}

impl AttentionScratch {
    fn prepare(&mut self, slots: usize, dim: usize) -> Result<()> {
        let vectors = slots.div_ceil(WIDTH) + 1;
        if self.scores.len() < vectors * GROUP {
            let vectors = vectors.next_power_of_two();
            self.scores = filled(vectors * GROUP, Vec16::ZERO, "scores")?;
            self.weights = filled(vectors * GROUP, Vec16::ZERO, "scores")?;
        }
        if self.quantised.len() < dim / 4 * GROUP {
            self.quantised = filled(dim / 4 * GROUP, 0, "queries")?;
        }
        Ok(())
    }
}

/// The inputs of attention of one token to one head of keys and values.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Keys and values.
    pub cache: &'a KvCache,
    /// The head of keys and values.
    pub head: usize,
    /// Two sets of query heads, head by head, rotated and multiplied by the scale of scores. The second is for slots
    /// whose [`Visible::query`] is 1.
    pub queries: [&'a [Vec16]; 2],
    /// What the token sees: at least one slot.
    pub visible: &'a [Visible],
    /// If set, a score is c * tanh(score / c).
    pub cap: Option<f32>,
}

impl Attention<'_> {
    /// Writes the output of every query head.
    ///
    /// # Errors
    /// `Memory`.
    pub fn run(&self, level: Level, scratch: &mut AttentionScratch, out: &mut [Vec16]) -> Result<()> {
        let n = self.cache.vectors;
        let seen: usize = self.visible.iter().map(|v| v.end - v.first).sum();
        let longest = self.visible.iter().map(|v| v.end - v.first / WIDTH * WIDTH).max().unwrap_or(0);
        assert!(seen > 0 && self.visible.iter().all(|v| v.end <= self.cache.slots()));
        scratch.prepare(seen.max(longest), n * WIDTH)?;
        for (i, out) in out.chunks_mut(GROUP * n).enumerate() {
            let heads = out.len() / n;
            let queries = self.queries.map(|q| &q[i * GROUP * n..][..heads * n]);
            let call = Heads { attention: self, queries, seen, scratch, out };
            match heads {
                1 => level.run(Of::<1>(call)),
                2 => level.run(Of::<2>(call)),
                3 => level.run(Of::<3>(call)),
                _ => level.run(Of::<4>(call)),
            }
        }
        Ok(())
    }
}

struct Heads<'a> {
    attention: &'a Attention<'a>,
    queries: [&'a [Vec16]; 2],
    seen: usize,
    scratch: &'a mut AttentionScratch,
    out: &'a mut [Vec16],
}

/// G query heads.
struct Of<'a, const G: usize>(Heads<'a>);

impl<const G: usize> Kernel for Of<'_, G> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Heads { attention, queries, seen, scratch, out } = self.0;
        let AttentionScratch { quantised, scores, weights } = scratch;
        let row = seen.div_ceil(WIDTH);
        let mut done = 0;
        for visible in attention.visible {
            let (first, end) = (visible.first / WIDTH, visible.end.div_ceil(WIDTH));
            let query = queries[visible.query];
            let scores = &mut scores[..G * (end - first)];
            match &attention.cache.store {
                Store::I8 { .. } => score_i8::<S, G>(s, attention, query, (first, end), quantised, scores),
                _ => score_float::<S, G>(s, attention, query, (first, end), scores),
            }
            if let Some(cap) = attention.cap {
                scores.iter_mut().for_each(|v| s.store(math::soft_cap(s, s.load(v), cap), v));
            }
            let n = visible.end - visible.first;
            for g in 0..G {
                let from = &flat(&scores[g * (end - first)..][..end - first])[visible.first - first * WIDTH..][..n];
                flat_mut(&mut weights[g * row..][..row])[done..done + n].copy_from_slice(from);
            }
            done += n;
        }
        let sums: [f32; G] = std::array::from_fn(|g| softmax(s, &mut weights[g * row..][..row], seen));
        let weights = &mut weights[..G * row];
        match &attention.cache.store {
            Store::I8 { values, value_scales, .. } => {
                scale_weights(attention, value_scales, weights, G);
                sum_values::<S, G, _>(s, attention, weights, sums, out, |i| s.to_float(s.widen(&values[i])));
            }
            Store::F16 { values, .. } => {
                sum_values::<S, G, _>(s, attention, weights, sums, out, |i| s.load(&widen_f16(&values[i])));
            }
            Store::F32 { values, .. } => {
                sum_values::<S, G, _>(s, attention, weights, sums, out, |i| s.load(&values[i]))
            }
        }
    }
}

/// Scores of the blocks from `first` to `end`, head by head.
#[inline(always)]
fn score_i8<S: Simd, const G: usize>(
    s: S,
    attention: &Attention,
    query: &[Vec16],
    (first, end): (usize, usize),
    quantised: &mut [u64],
    scores: &mut [Vec16],
) {
    let Store::I8 { keys, key_scales, .. } = &attention.cache.store else { unreachable!("int8 keys") };
    let (n, heads) = (attention.cache.vectors, attention.cache.heads);
    let (mut scales, mut excess) = ([0.0; G], [0i32; G]);
    for g in 0..G {
        let out = &mut quantised[g * n * 4..][..n * 4];
        let mut sum = s.splat_i(0);
        scales[g] = math::quantise(s, &query[g * n..][..n], |i, q| {
            sum = sum + q;
            out[i * 4..][..4].copy_from_slice(&s.pack_groups(q).map(|group| group ^ S::BIAS));
        });
        excess[g] = if S::BIASED_WEIGHTS { s.sum_i(sum) << 7 } else { 0 };
    }
    let x: [&[u64]; G] = std::array::from_fn(|g| &quantised[g * n * 4..][..n * 4]);
    let blocks = end - first;
    let mut block = 0;
    while block < blocks {
        let at = (first + block) * heads + attention.head;
        // Two blocks at a time where registers suffice, for independent chains of sums.
        if S::REGISTERS / 2 >= 2 * G * S::ACC_REGISTERS && block + 1 < blocks {
            let panels = [&keys[at * n * 4..][..n * 4], &keys[(at + heads) * n * 4..][..n * 4]];
            let acc = products::<S, G, 2>(s, panels, x);
            for (p, acc) in acc.iter().enumerate() {
                for g in 0..G {
                    let sums = s.to_float(s.finish_signed(acc[g], excess[g]));
                    let scale = s.load(&key_scales[at + p * heads]) * s.splat(scales[g]);
                    s.store(sums * scale, &mut scores[g * blocks + block + p]);
                }
            }
            block += 2;
        } else {
            let acc = products::<S, G, 1>(s, [&keys[at * n * 4..][..n * 4]], x);
            for g in 0..G {
                let sums = s.to_float(s.finish_signed(acc[0][g], excess[g]));
                s.store(sums * (s.load(&key_scales[at]) * s.splat(scales[g])), &mut scores[g * blocks + block]);
            }
            block += 1;
        }
    }
}

#[inline(always)]
fn products<S: Simd, const G: usize, const P: usize>(
    s: S,
    panels: [&[super::vector::Bytes64]; P],
    x: [&[u64]; G],
) -> [[S::Acc; G]; P] {
    let mut acc = [[s.acc(); G]; P];
    for k in 0..panels[0].len() {
        for p in 0..P {
            let w = s.load_weights_signed(&panels[p][k]);
            for g in 0..G {
                acc[p][g] = s.dot_signed(acc[p][g], w, x[g][k]);
            }
        }
    }
    acc
}

/// As [`score_i8`], for the other formats.
#[inline(always)]
fn score_float<S: Simd, const G: usize>(
    s: S,
    attention: &Attention,
    query: &[Vec16],
    (first, end): (usize, usize),
    scores: &mut [Vec16],
) {
    let (n, heads) = (attention.cache.vectors, attention.cache.heads);
    let x: [&[f32]; G] = std::array::from_fn(|g| flat(&query[g * n..][..n]));
    for block in first..end {
        let at = (block * heads + attention.head) * n * WIDTH;
        let mut acc = [s.splat(0.0); G];
        for k in 0..n * WIDTH {
            let key = match &attention.cache.store {
                Store::F32 { keys, .. } => s.load(&keys[at + k]),
                Store::F16 { keys, .. } => s.load(&widen_f16(&keys[at + k])),
                Store::I8 { .. } => unreachable!("float keys"),
            };
            for g in 0..G {
                acc[g] = acc[g] + key * s.splat(x[g][k]);
            }
        }
        for g in 0..G {
            s.store(acc[g], &mut scores[g * (end - first) + block - first]);
        }
    }
}

/// Replaces the first `n` scores by exp(score - largest), those after them by 0. Returns the sum.
#[inline(always)]
fn softmax<S: Simd>(s: S, scores: &mut [Vec16], n: usize) -> f32 {
    flat_mut(scores)[n..].fill(f32::NEG_INFINITY);
    let m = scores.iter().fold(s.splat(f32::NEG_INFINITY), |m, v| s.max(s.load(v), m));
    let m = s.splat(s.tree_max(m));
    for v in &mut *scores {
        s.store(math::exp(s, s.load(v) - m), v);
    }
    flat_mut(scores)[n..].fill(0.0);
    super::norm::strided_sum(s, scores.len(), |i| s.load(&scores[i]))
}

/// Multiplies each weight by the scale of its value.
#[inline(always)]
fn scale_weights(attention: &Attention, scales: &[Vec16], weights: &mut [Vec16], heads: usize) {
    let row = weights.len() / heads;
    let mut done = 0;
    for visible in attention.visible {
        for slot in visible.first..visible.end {
            let scale = scales[slot / WIDTH * attention.cache.heads + attention.head].0[slot % WIDTH];
            for g in 0..heads {
                weights[g * row + done / WIDTH].0[done % WIDTH] *= scale;
            }
            done += 1;
        }
    }
}

/// The mean of the values under the weights; `value(i)` is vector i of the cache.
#[inline(always)]
fn sum_values<S: Simd, const G: usize, F: Fn(usize) -> S::F>(
    s: S,
    attention: &Attention,
    weights: &[Vec16],
    sums: [f32; G],
    out: &mut [Vec16],
    value: F,
) {
    let n = attention.cache.vectors;
    let mut first = 0;
    if S::REGISTERS / 2 >= 4 * G * S::F_REGISTERS {
        while first + 4 <= n {
            some_values::<S, G, 4, F>(s, attention, weights, sums, out, first, &value);
            first += 4;
        }
    }
    while first + 2 <= n {
        some_values::<S, G, 2, F>(s, attention, weights, sums, out, first, &value);
        first += 2;
    }
    if first < n {
        some_values::<S, G, 1, F>(s, attention, weights, sums, out, first, &value);
    }
}

/// Vectors `first` to `first + V` of the output.
#[inline(always)]
fn some_values<S: Simd, const G: usize, const V: usize, F: Fn(usize) -> S::F>(
    s: S,
    attention: &Attention,
    weights: &[Vec16],
    sums: [f32; G],
    out: &mut [Vec16],
    first: usize,
    value: &F,
) {
    let (n, heads) = (attention.cache.vectors, attention.cache.heads);
    let row = weights.len() / G;
    let weights: [&[f32]; G] = std::array::from_fn(|g| flat(&weights[g * row..][..row]));
    let mut acc = [[s.splat(0.0); V]; G];
    let mut done = 0;
    for visible in attention.visible {
        for slot in visible.first..visible.end {
            let at = ((slot / WIDTH * heads + attention.head) * WIDTH + slot % WIDTH) * n + first;
            let x: [S::F; V] = std::array::from_fn(|v| value(at + v));
            for g in 0..G {
                let weight = s.splat(weights[g][done]);
                for v in 0..V {
                    acc[g][v] = acc[g][v] + weight * x[v];
                }
            }
            done += 1;
        }
    }
    for g in 0..G {
        for v in 0..V {
            s.store(acc[g][v] / s.splat(sums[g]), &mut out[g * n + first + v]);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
