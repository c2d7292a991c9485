use super::super::buffer::padded;
use super::super::math::{Function, scalar};
use super::super::random::Random;
use super::super::testing::{Kind, assert_same, naive_sum, values};
use super::*;

/// Quantised numbers and their scale, or the numbers of another format and 1.
fn stored(format: KvFormat, x: &[f32]) -> (Vec<f32>, f32) {
    match format {
        KvFormat::F32 => (x.to_vec(), 1.0),
        KvFormat::F16 => (x.iter().map(|x| half::f16::from_f32(*x).to_f32()).collect(), 1.0),
        KvFormat::I8 => {
            let m = x.iter().fold(0.0, |m: f32, x| if x.abs() > m { x.abs() } else { m });
            let factor = if m < 1e-30 { 0.0 } else { 127.0 / m };
            (x.iter().map(|x| (x * factor).round_ties_even()).collect(), if m < 1e-30 { 0.0 } else { m / 127.0 })
        }
    }
}

fn dot(format: KvFormat, q: &[f32], k: &[f32]) -> f32 {
    let (k, ks) = stored(format, k);
    if format == KvFormat::I8 {
        let (q, qs) = stored(format, q);
        let sum: i64 = q.iter().zip(&k).map(|(q, k)| *q as i64 * *k as i64).sum();
        return sum as f32 * (ks * qs);
    }
    q.iter().zip(&k).fold(0.0, |acc, (q, k)| acc + k * q)
}

/// The definition: keys and values of the visible tokens in order, each with the query that scores it.
pub(crate) fn naive(format: KvFormat, tokens: &[(&[f32], &[f32], &[f32])], cap: Option<f32>) -> Vec<f32> {
    let mut e: Vec<f32> = tokens.iter().map(|(q, k, _)| dot(format, q, k)).collect();
    if let Some(c) = cap {
        e.iter_mut().for_each(|x| *x = scalar(Function::Tanh, *x / c) * c);
    }
    let m = e.iter().copied().fold(f32::NEG_INFINITY, |m, x| if x > m { x } else { m });
    e.iter_mut().for_each(|x| *x = scalar(Function::Exp, *x - m));
    let sum = naive_sum(&e);
    let mut out = vec![0f32; tokens[0].2.len()];
    for (e, (_, _, v)) in e.iter().zip(tokens) {
        let (v, scale) = stored(format, v);
        let weight = if format == KvFormat::I8 { e * scale } else { *e };
        out.iter_mut().zip(v).for_each(|(out, v)| *out += weight * v);
    }
    out.iter().map(|out| out / sum).collect()
}

#[test]
fn every_level_and_format_gives_the_bits_of_the_naive_loop() {
    for (seed, (dim, heads, group)) in
        [(16, 1, 1), (32, 2, 2), (64, 3, 3), (256, 1, 4), (48, 2, 7)].into_iter().enumerate()
    {
        for format in [KvFormat::I8, KvFormat::F16, KvFormat::F32] {
            for kind in [Kind::Even, Kind::Wide] {
                let mut random = Random::new(seed as u64, "attention");
                let slots = 70;
                // Scores of huge numbers overflow; these stay finite.
                let mut draw = |n| -> Vec<f32> {
                    values(&mut random, n, kind).iter().map(|x| if x.abs() > 1e4 { 3.0 } else { *x }).collect()
                };
                let k: Vec<Vec<f32>> = (0..slots * heads).map(|_| draw(dim)).collect();
                let v: Vec<Vec<f32>> = (0..slots * heads).map(|_| draw(dim)).collect();
                let q: [Vec<f32>; 2] = [draw(group * dim), draw(group * dim)];
                let visible: [&[Visible]; 4] = [
                    &[Visible { first: 0, end: 1, query: 0 }],
                    &[Visible { first: 0, end: 70, query: 0 }],
                    &[Visible { first: 5, end: 37, query: 0 }],
                    &[
                        Visible { first: 0, end: 4, query: 1 },
                        Visible { first: 23, end: 70, query: 0 },
                        Visible { first: 4, end: 22, query: 0 },
                    ],
                ];
                for level in Level::available() {
                    let mut cache = KvCache::new(format, heads, dim);
                    for slot in 0..slots {
                        cache.reserve((slot + 1).next_power_of_two()).unwrap();
                        for head in 0..heads {
                            let pad = |x: &Vec<f32>| padded(x, "test").unwrap();
                            cache.set(level, slot, head, &pad(&k[slot * heads + head]), &pad(&v[slot * heads + head]));
                        }
                    }
                    let queries = [padded(&q[0], "test").unwrap(), padded(&q[1], "test").unwrap()];
                    let mut scratch = AttentionScratch::default();
                    for (head, visible, cap) in (0..heads)
                        .flat_map(|h| visible.map(|v| (h, v, None)).into_iter().chain([(h, visible[3], Some(5.0))]))
                    {
                        let queries = [&*queries[0], &*queries[1]];
                        let mut out = vec![Vec16::ZERO; group * dim / 16];
                        let attention = Attention { cache: &cache, head, queries, visible, cap };
                        attention.run(level, &mut scratch, &mut out).unwrap();
                        let want: Vec<f32> = (0..group)
                            .flat_map(|g| {
                                let seen: Vec<(&[f32], &[f32], &[f32])> = visible
                                    .iter()
                                    .flat_map(|x| (x.first..x.end).map(move |slot| (slot * heads + head, x.query)))
                                    .map(|(i, query)| (&q[query][g * dim..][..dim], &*k[i], &*v[i]))
                                    .collect();
                                naive(format, &seen, cap)
                            })
                            .collect();
                        assert_same(flat(&out), &want, &format!("{dim} {heads} {group} {format:?} {kind:?} {level:?}"));
                    }
                }
            }
        }
    }
}
