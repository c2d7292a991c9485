use sha2::{Digest, Sha256};

use super::*;
use crate::coder::Frequencies;
use crate::model::VOCAB;
use crate::numeric::buffer::Rows;
use crate::numeric::random::Random;
use crate::numeric::vector::flat_mut;

/// No predictions of networks.
const NONE: Views = [None; MAX_VIEWS];

const SMALL: Options =
    Options { neural: 0, knowing: 0, highest_order: 4, words: true, matches: true, sparse: true, fast: 0, log: 16 };

/// Lines with fields that repeat or change, repeated passages and some noise, so that every model is used.
fn text(len: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed, "mix");
    let mut out = Vec::new();
    while out.len() < len {
        let n = random.next_u64();
        match n % 8 {
            2 => out
                .extend(format!("{{\"id\": {}, \"name\": \"N-{}\", \"list\": [1, \"x\"]}},\n", n >> 60, n % 5).bytes()),
            0 => out.extend(n.to_le_bytes()),
            1 => out.extend_from_within(out.len() / 2..(out.len() / 2 + 300).min(out.len())),
            _ => out.extend(format!("user={} path=/index/{}.html Status OK\n", n % 5, n >> 32 & 63).bytes()),
        }
    }
    out.truncate(len);
    out
}

fn feed(mix: &mut Mix, data: &[u8], view: &Views) -> f64 {
    let mut bits = 0.0;
    for byte in data {
        for i in (0..8).rev() {
            let bit = u32::from(byte >> i & 1);
            let ones = mix.predict(view);
            assert!(0 < ones && ones < ONE as u32);
            bits -= (f64::from(if bit == 1 { ones } else { ONE as u32 - ones }) / f64::from(ONE)).log2();
            mix.update(bit);
        }
    }
    bits
}

fn hash_of(mix: &Mix) -> [u8; 32] {
    let mut hash = Sha256::new();
    mix.visit(&mut |bytes| hash.update(bytes));
    hash.finalize().into()
}

fn view() -> BitView {
    let mut logits = Rows::new(1, 256).unwrap();
    let mut random = Random::new(9, "mix");
    flat_mut(logits.row_mut(0)).iter_mut().for_each(|x| *x = random.symmetric() * 3.0);
    let mut frequencies = Frequencies::default();
    frequencies.set(Level::PORTABLE, logits.row(0));
    BitView::new(&frequencies)
}

/// Options with each switch on and off, at small sizes.
fn all_options() -> [Options; 6] {
    let none = Options { words: false, matches: false, sparse: false, highest_order: 2, ..SMALL };
    [
        none,
        Options { neural: 1, words: true, log: 17, ..none },
        Options { sparse: true, highest_order: 8, ..none },
        SMALL,
        Options { fast: 1, highest_order: 6, ..SMALL },
        Options { fast: 2, highest_order: 6, ..SMALL },
    ]
}

#[test]
fn rollback_restores_the_state() {
    let view = view();
    for options in all_options() {
        let view = &std::array::from_fn(|i| (i < options.neural.into()).then_some(&view));
        // More than the window of the smaller sizes, so that positions in it are reused.
        let past = text(20_000, 1);
        let mut base = Mix::new(options).unwrap();
        feed(&mut base, &past, view);
        let mut work = Mix::new(options).unwrap();
        work.copy_from(&base);
        let before = hash_of(&base);
        assert_eq!(hash_of(&work), before);
        let costs: Vec<f64> = [1, 100, CHECKPOINT_BYTES as usize, 1]
            .into_iter()
            .map(|n| {
                if n == 100 {
                    work.begin_line();
                }
                let cost = feed(&mut work, &text(n, 2), view);
                assert_ne!(hash_of(&work), before);
                assert!(work.roll_back());
                assert_eq!(hash_of(&work), before, "{options:?} after {n} bytes");
                cost
            })
            .collect();
        assert_eq!(costs[0], costs[3], "equal states must predict the same");
        feed(&mut work, &text(CHECKPOINT_BYTES as usize + 1, 2), view);
        assert!(!work.roll_back(), "the journals cover fewer bytes");
        work.copy_from(&base);
        assert_eq!(hash_of(&work), before);
    }
}

#[test]
fn probabilities_of_bytes_match_the_cost_of_their_bits_and_leave_the_state_unchanged() {
    let view = view();
    for options in all_options() {
        let view = &std::array::from_fn(|i| (i < options.neural.into()).then_some(&view));
        let mut mix = Mix::new(options).unwrap();
        feed(&mut mix, &text(3000, 3), view);
        for next in text(4, 4) {
            let before = hash_of(&mix);
            let mut p = [0.0; VOCAB];
            mix.probabilities(view, &mut p).unwrap();
            assert_eq!(hash_of(&mix), before, "{options:?}");
            let sum: f64 = p.iter().map(|p| f64::from(*p)).sum();
            assert!((sum - 1.0).abs() < 1e-4, "{sum}");
            let cost = feed(&mut mix, &[next], view);
            let expected = -f64::from(p[usize::from(next)]).log2();
            assert!((cost - expected).abs() < 1e-3, "{options:?}: {cost} {expected}");
        }
    }
}

#[test]
fn probabilities_do_not_grow_the_journals() {
    let mut mix = Mix::new(SMALL).unwrap();
    let (mut p, fresh) = ([0.0; VOCAB], hash_of(&mix));
    feed(&mut mix, &text(100, 3), &NONE);
    let noted = |mix: &Mix| (mix.slots.recorded(), mix.apms[0].journal.len(), mix.checkpoint.direct[0].len());
    let before = noted(&mix);
    assert!(before.0 > 0 && before.1 > 0 && before.2 > 0);
    for _ in 0..20 {
        mix.probabilities(&NONE, &mut p).unwrap();
    }
    assert_eq!(noted(&mix), before);
    feed(&mut mix, &text(100, 4), &NONE);
    assert!(noted(&mix) > before);
    assert!(mix.roll_back());
    assert_eq!(hash_of(&mix), fresh);
}

#[test]
fn every_level_predicts_the_same() {
    let view = view();
    for options in all_options() {
        let view = &std::array::from_fn(|i| (i < options.neural.into()).then_some(&view));
        let data = text(3000, 5);
        let of_level = |level: Level| {
            let mut mix = Mix::new(options).unwrap();
            mix.level = level;
            (feed(&mut mix, &data, view).to_bits(), hash_of(&mix))
        };
        let want = of_level(Level::PORTABLE);
        for level in Level::available() {
            assert_eq!(of_level(level), want, "{options:?} {level:?}");
        }
    }
}

#[test]
fn repetitions_are_cheap_and_noise_barely_expands() {
    let mut random = Random::new(6, "mix");
    let noise: Vec<u8> = (0..4000).map(|_| random.next_u64() as u8).collect();
    let mut mix = Mix::new(SMALL).unwrap();
    let first = feed(&mut mix, &noise, &NONE) / 8.0;
    assert!(first < noise.len() as f64 * 1.03, "{first}");
    let again = feed(&mut mix, &noise, &NONE) / 8.0;
    assert!(again < 250.0, "the match model predicts the repeated bytes: {again}");
    // A long match continues after one changed byte.
    let mut changed = noise.clone();
    changed[2000] ^= 0x55;
    let with_change = feed(&mut mix, &changed, &NONE) / 8.0;
    assert!(with_change < 100.0, "{with_change}");
}

#[test]
fn a_confident_network_is_followed() {
    // A network that predicts every byte of noise correctly.
    let mut random = Random::new(7, "mix");
    let noise: Vec<u8> = (0..2000).map(|_| random.next_u64() as u8).collect();
    let mut mix = Mix::new(Options { neural: 1, ..SMALL }).unwrap();
    let mut bits = 0.0;
    for byte in &noise {
        let mut logits = Rows::new(1, 256).unwrap();
        flat_mut(logits.row_mut(0))[usize::from(*byte)] = 9.0;
        let mut frequencies = Frequencies::default();
        frequencies.set(Level::PORTABLE, logits.row(0));
        bits += feed(&mut mix, &[*byte], &[Some(&BitView::new(&frequencies)), None, None]);
    }
    assert!(bits / 8.0 < noise.len() as f64 * 0.2, "{bits}");
}

#[test]
fn texts_longer_than_the_window_are_accepted() {
    // The window has 16 KiB, so what the second half repeats is no longer in the window.
    let half = text(40_000, 8);
    let mut mix = Mix::new(SMALL).unwrap();
    feed(&mut mix, &half, &NONE);
    feed(&mut mix, &half, &NONE);
}

/// Log lines in which some fields change, so that long matches fail at predictable places.
fn log_lines(n: usize) -> Vec<u8> {
    let mut random = Random::new(11, "mix");
    let line = |i| {
        format!("Dec 10 07:{:02} host sshd[24200]: Failed password from 10.0.0.{}\n", i % 60, random.next_u64() % 7)
    };
    (0..n).map(line).collect::<String>().into_bytes()
}

#[test]
fn bypassed_bytes_are_rolled_back_and_have_probabilities() {
    for fast in 0..=2 {
        let options = Options { fast, ..SMALL };
        let (past, next) = (log_lines(60), log_lines(80).split_off(60 * 55));
        let mut base = Mix::new(options).unwrap();
        feed(&mut base, &past, &NONE);
        let mut work = Mix::new(options).unwrap();
        work.copy_from(&base);
        let (before, mut bypassed) = (hash_of(&base), 0);
        for round in 0..3 {
            for (i, byte) in next[..if round == 2 { 40 } else { next.len() }].iter().enumerate() {
                bypassed += usize::from(work.bit_state.bypassed);
                let mut p = [0.0; VOCAB];
                if round == 2 {
                    let here = (i % 20 == 3).then(|| hash_of(&work));
                    work.probabilities(&NONE, &mut p).unwrap();
                    assert!(here.is_none_or(|here| hash_of(&work) == here));
                }
                let cost = feed(&mut work, &[*byte], &NONE);
                let expected = -f64::from(p[usize::from(*byte)]).log2();
                assert!(round < 2 || (cost - expected).abs() < 1e-3 * cost.max(1.0), "{cost} {expected}");
            }
            assert!(work.roll_back());
            assert_eq!(hash_of(&work), before);
        }
        assert!(bypassed > next.len() / 4, "{bypassed} of {}", next.len());
    }
}

#[test]
fn a_bypass_is_for_mixes_with_matches_and_without_networks() {
    let bypasses = |options| Mix::new(options).unwrap().bypass.is_some();
    assert!(bypasses(SMALL));
    assert!(!bypasses(Options { neural: 1, ..SMALL }) && !bypasses(Options { matches: false, ..SMALL }));
}
