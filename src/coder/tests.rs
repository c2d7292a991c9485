//! Tests of both coders: symbols of any distribution decode correctly, damage is detected, the coding loss is small.

use proptest::prelude::*;

use super::*;
use crate::numeric::level::Level;
use crate::numeric::random::Random;
use crate::numeric::testing::{KINDS, values};
use crate::numeric::vector::{Vec16, flat};

/// A distribution given by a table of cumulative frequencies.
#[derive(Clone, Debug)]
struct Table(Vec<u32>);

impl Table {
    fn new(frequencies: &[u32]) -> Self {
        let mut sums = vec![0];
        for f in frequencies {
            sums.push(sums.last().unwrap() + f);
        }
        Self(sums)
    }
}

impl Distribution for Table {
    fn total(&self) -> u32 {
        *self.0.last().unwrap()
    }
    fn interval(&self, symbol: u32) -> Interval {
        let i = symbol as usize;
        Interval { cumulative: self.0[i], frequency: self.0[i + 1] - self.0[i] }
    }
    fn find(&self, target: u32) -> (u32, Interval) {
        let symbol = self.0.partition_point(|sum| *sum <= target) as u32 - 1;
        (symbol, self.interval(symbol))
    }
}

fn encode<E: Encoder + Default>(symbols: &[(impl Distribution, u32)]) -> Vec<u8> {
    let mut encoder = E::default();
    for (d, s) in symbols {
        encoder.encode(d, *s);
    }
    let mut out = Vec::new();
    encoder.finish(&mut out).unwrap();
    // After finish() the encoder is in its initial state.
    let mut again = Vec::new();
    for (d, s) in symbols {
        encoder.encode(d, *s);
    }
    encoder.finish(&mut again).unwrap();
    assert_eq!(out, again);
    out
}

fn decode(mut decoder: impl Decoder, symbols: &[(impl Distribution, u32)]) -> (Vec<u32>, Result<()>) {
    let found = symbols.iter().map(|(d, _)| decoder.decode(d)).collect();
    (found, decoder.finish())
}

/// Encodes with both coders, checks that the symbols decode correctly, and returns the coded sizes.
fn round_trip(symbols: &[(impl Distribution, u32)]) -> [usize; 2] {
    let wanted: Vec<u32> = symbols.iter().map(|(_, s)| *s).collect();
    let (range, rans) = (encode::<RangeEncoder>(symbols), encode::<RansEncoder>(symbols));
    let (found, end) = decode(RangeDecoder::new(&range), symbols);
    assert!(found == wanted && end.is_ok(), "range coder: {end:?}");
    let (found, end) = decode(RansDecoder::new(&rans), symbols);
    assert!(found == wanted && end.is_ok(), "rANS: {end:?}");
    [range.len(), rans.len()]
}

/// Distributions with totals of every kind, and one symbol of each.
fn symbols() -> impl Strategy<Value = Vec<(Table, u32)>> {
    let frequency = prop_oneof![Just(1u32), 1..4u32, 1..70_000u32, Just(1 << 22)];
    let table = prop_oneof![
        prop::collection::vec(frequency, 1..256).prop_map(|f| Table::new(&f)),
        Just(Table::new(&[MAX_TOTAL - 1, 1])),
        Just(Table::new(&[1, MAX_TOTAL - 2, 1])),
        Just(Table::new(&[MAX_TOTAL])),
    ];
    let symbol = (table, any::<prop::sample::Index>()).prop_map(|(t, i)| {
        let s = i.index(t.0.len() - 1) as u32;
        (t, s)
    });
    prop::collection::vec(symbol, 0..400)
}

proptest! {
    #[test]
    fn any_symbols_of_any_distributions_decode(symbols in symbols()) {
        round_trip(&symbols);
    }

    #[test]
    fn a_changed_or_cut_block_is_detected_or_gives_other_symbols(
        symbols in symbols(), at in any::<prop::sample::Index>(), change in 1..=255u8
    ) {
        let wanted: Vec<u32> = symbols.iter().map(|(_, s)| *s).collect();
        for rans in [false, true] {
            let good = if rans { encode::<RansEncoder>(&symbols) } else { encode::<RangeEncoder>(&symbols) };
            let check = |bytes: &[u8]| {
                let (found, end) =
                    if rans { decode(RansDecoder::new(bytes), &symbols) } else { decode(RangeDecoder::new(bytes), &symbols) };
                assert!(end.is_err() || found != wanted, "rANS {rans}: {good:?} and {bytes:?} decode alike");
            };
            if !good.is_empty() {
                let mut bad = good.clone();
                bad[at.index(good.len())] ^= change;
                check(&bad);
                check(&good[..at.index(good.len())]);
            }
            check(&[&good[..], &[change]].concat());
            check(&[&good[..], &[0]].concat());
        }
    }

    #[test]
    fn decoding_garbage_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), symbols in symbols()) {
        for (d, _) in &symbols {
            prop_assert!(d.total() >= 1);
        }
        let _ = decode(RangeDecoder::new(&bytes), &symbols);
        let _ = decode(RansDecoder::new(&bytes), &symbols);
    }
}

#[test]
fn blocks_of_rans_follow_each_other() {
    let t = Table::new(&[3, 1, 5]);
    for n in [rans::BLOCK - 1, rans::BLOCK, rans::BLOCK + 1, 2 * rans::BLOCK + 7] {
        let symbols: Vec<_> = (0..n).map(|i| (t.clone(), (i * i % 3) as u32)).collect();
        round_trip(&symbols);
    }
}

#[test]
fn bits_are_symbols_like_any_other() {
    let mut random = Random::new(1, "bits");
    let symbols: Vec<_> = (0..20_000)
        .map(|_| {
            let total = [2, 1 << 12, 1 << 16, 1 << 22, MAX_TOTAL][(random.next_u64() % 5) as usize];
            let ones = 1 + (random.next_u64() % u64::from(total - 1)) as u32;
            let bit = random.next_u64() % u64::from(total) < u64::from(ones);
            (Bit { ones, total }, u32::from(bit))
        })
        .collect();
    let ideal: f64 =
        symbols.iter().map(|(b, s)| (f64::from(b.total) / f64::from(b.interval(*s).frequency)).log2() / 8.0).sum();
    for size in round_trip(&symbols) {
        assert!((size as f64) < ideal * 1.001 + 16.0, "{size} bytes, ideal {ideal:.1}");
    }
}

/// The definition of the quantiser, one value at a time.
fn naive_weights(logits: &[f32]) -> Vec<u32> {
    use crate::numeric::math::{Function, scalar};
    let finite: Vec<f32> = logits.iter().copied().filter(|x| x.is_finite()).collect();
    let least = finite.iter().copied().reduce(f32::min).unwrap_or(0.0);
    let finite: Vec<f32> = logits.iter().map(|x| if x.is_finite() { *x } else { least }).collect();
    let largest = finite.iter().copied().reduce(f32::max).unwrap();
    finite.iter().map(|x| (scalar(Function::Exp, x - largest) * 4_194_304.0 + 1.0).round_ties_even() as u32).collect()
}

#[test]
fn frequencies_are_those_of_the_definition_at_every_level() {
    let mut random = Random::new(0, "frequencies");
    for round in 0..200 {
        let mut logits = values(&mut random, 256, KINDS[round % 3]);
        match round {
            10 => logits.fill(f32::NAN),
            11 => logits.fill(f32::INFINITY),
            12 => logits.fill(-3.0),
            13 => logits[1..].fill(f32::NEG_INFINITY),
            14 => logits.iter_mut().enumerate().for_each(|(i, x)| *x = if i == 77 { f32::MAX } else { f32::MIN }),
            _ => {}
        }
        let vectors: Vec<Vec16> = logits.as_chunks::<16>().0.iter().map(|c| Vec16(*c)).collect();
        assert_eq!(flat(&vectors).len(), 256);
        let want = naive_weights(&logits);
        for level in Level::available() {
            let mut f = Frequencies::default();
            f.set(level, &vectors);
            let found: Vec<u32> = (0..=255).map(|s| f.weight(s)).collect();
            assert_eq!(found, want, "round {round} {level:?}");
            assert_eq!(f.total(), want.iter().sum::<u32>());
            assert!(want.iter().all(|w| *w >= 1));
            // find() is the inverse of interval(), and the intervals cover the total without overlapping.
            let mut covered = 0u64;
            for s in 0..256 {
                let at = f.interval(s);
                covered += u64::from(at.frequency);
                for target in [at.cumulative, at.cumulative + at.frequency - 1] {
                    assert_eq!(f.find(target), (s, at));
                }
            }
            assert_eq!(covered, u64::from(f.total()));
        }
    }
}

#[test]
fn a_byte_of_payload_holds_no_more_symbols_than_stated() {
    let mut logits = [Vec16([-1e9; 16]); 16];
    logits[0].0[0] = 0.0;
    let mut f = Frequencies::default();
    f.set(Level::PORTABLE, &logits);
    let cost = (f64::from(f.total()) / f64::from(f.weight(0))).log2();
    assert!(8.0 / cost < Frequencies::MAX_SYMBOLS_A_BYTE as f64, "{} symbols a byte", 8.0 / cost);
}

/// For each coder, the loss of the quantiser and the coder together in bits per symbol, compared with -log2 softmax,
/// and the ideal bits per symbol.
fn loss(logits: impl Fn(&mut Random) -> Vec<f32>, n: usize) -> Vec<(f64, f64)> {
    let mut random = Random::new(9, "loss");
    let mut ideal = 0.0;
    let symbols: Vec<(Frequencies, u32)> = (0..n)
        .map(|_| {
            let logits = logits(&mut random);
            let exps: Vec<f64> = logits.iter().map(|x| f64::from(*x).exp()).collect();
            let sum: f64 = exps.iter().sum();
            // A symbol drawn from that distribution.
            let mut target = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * sum;
            let symbol = exps
                .iter()
                .position(|e| {
                    target -= e;
                    target < 0.0
                })
                .unwrap_or(255);
            ideal -= (exps[symbol] / sum).log2();
            let vectors: Vec<Vec16> = logits.as_chunks::<16>().0.iter().map(|c| Vec16(*c)).collect();
            let mut f = Frequencies::default();
            f.set(Level::current(), &vectors);
            (f, symbol as u32)
        })
        .collect();
    let per_symbol = ideal / n as f64;
    round_trip(&symbols).iter().map(|size| (*size as f64 * 8.0 / n as f64 - per_symbol, per_symbol)).collect()
}

#[test]
fn the_loss_is_at_most_a_thousandth_and_a_thousandth_of_a_bit() {
    let spread = |scale: f32| {
        move |random: &mut Random| {
            (0..256)
                .map(|_| {
                    let x = random.symmetric();
                    x * x * x * scale
                })
                .collect::<Vec<f32>>()
        }
    };
    // One symbol has probability p. The others have equal shares of 1 - p.
    let certain = |p: f64| {
        move |random: &mut Random| {
            let mut v = vec![((1.0 - p) / 255.0).ln() as f32; 256];
            v[(random.next_u64() % 256) as usize] = p.ln() as f32;
            v
        }
    };
    let mut found = Vec::new();
    for scale in [0.0, 2.0, 12.0, 30.0] {
        found.push((format!("spread {scale}"), loss(spread(scale), rans::BLOCK)));
    }
    for p in [0.9, 0.99, 0.9999] {
        found.push((format!("p = {p}"), loss(certain(p), rans::BLOCK)));
    }
    for (name, losses) in found {
        for ((loss, ideal), coder) in losses.into_iter().zip(["range", "rANS"]) {
            println!("{name}, {coder}: {ideal:.5} bits a symbol, {loss:+.6} lost");
            assert!(loss <= 0.001 * ideal + 0.001, "{name}, {coder}: {loss} over {ideal}");
        }
    }
}
