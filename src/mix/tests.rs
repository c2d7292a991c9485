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

fn stored(mix: &Mix) -> Vec<u8> {
    let mut out = Vec::new();
    mix.freeze().unwrap().store(&mut out).unwrap();
    out
}

/// The hash of everything that is stored, and of the heads of matches, which are not.
fn hash_of(mix: &Mix) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(stored(mix));
    for m in mix.freeze().unwrap().matches.iter().flatten() {
        m.heads.differing().for_each(|(unit, lines)| {
            hash.update(unit.to_le_bytes());
            hash.update(lines[0].map(u32::to_le_bytes).as_flattened());
        });
    }
    hash.finalize().into()
}

/// Learns bytes with a mark, which reserves room for them.
fn feed_marked(mix: &mut Mix, data: &[u8], view: &Views) -> f64 {
    mix.reserve(data.len()).unwrap();
    feed(mix, data, view)
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
fn whole_bytes_equal_single_bits() {
    let view = view();
    for options in all_options() {
        let view = &std::array::from_fn(|i| (i < options.neural.into()).then_some(&view));
        for level in Level::available() {
            let [mut bits, mut bytes] = [0; 2].map(|_| Mix::new(options).unwrap());
            (bits.level, bytes.level) = (Level::PORTABLE, level);
            for byte in text(8000, 4) {
                let mut left = 8;
                bytes.code_byte(view, &mut |ones| {
                    left -= 1;
                    let bit = u32::from(byte >> left & 1);
                    assert_eq!(ones, bits.predict(view), "{options:?}, {level:?}");
                    bits.update(bit);
                    bit
                });
                assert_eq!(left, 0);
            }
            assert_eq!(hash_of(&bits), hash_of(&bytes));
        }
    }
}

#[test]
fn undo_restores_the_state() {
    let view = view();
    for options in all_options() {
        let view = &std::array::from_fn(|i| (i < options.neural.into()).then_some(&view));
        // More than the window of the smaller sizes, so that positions in it are reused.
        let past = text(20_000, 1);
        let mut base = Mix::new(options).unwrap();
        assert!(!base.undo(), "there is no mark");
        feed(&mut base, &past, view);
        let content = base.freeze().unwrap();
        let mut work = Mix::new(options).unwrap();
        feed(&mut work, &text(500, 7), view);
        work.start_at(&content);
        let before = hash_of(&base);
        assert_eq!(hash_of(&work), before);
        let mut costs = Vec::new();
        for (round, n) in [1, 100, 3000, 1, 5000, 1].into_iter().enumerate() {
            match round {
                // From here on, without a mark: back to the content itself.
                4 => work.unmark(true),
                5 => {}
                _ => work.mark(),
            }
            if n == 100 {
                work.begin_line();
            }
            costs.push(feed_marked(&mut work, &text(n, 2), view));
            assert_ne!(hash_of(&work), before);
            if round < 4 {
                assert!(work.undo());
            } else {
                work.start_at(&content);
            }
            assert_eq!(hash_of(&work), before, "{options:?} after {n} bytes");
        }
        assert!(costs[0] == costs[3] && costs[0] == costs[5], "equal states must predict the same");
    }
}

#[test]
fn the_sizes_of_tables_are_those_that_are_made() {
    for options in all_options() {
        let mut mix = Mix::new(options).unwrap();
        let mut made = Vec::new();
        mix.each_table(&mut |table, touches| {
            let (bytes, unit) = table.size();
            made.push((bytes, unit, if bytes > 0 { touches as u64 } else { 0 }));
        });
        let sum = |all: &[(u64, u64, u64)], f: fn(&(u64, u64, u64)) -> u64| all.iter().map(f).sum::<u64>();
        let stated = options.tables();
        assert_eq!(sum(&made, |t| t.0), sum(&stated, |t| t.0), "{options:?}");
        assert_eq!(sum(&made, |t| t.0 / t.1), sum(&stated, |t| t.0 / t.1), "{options:?}");
        let touches = |all: &[(u64, u64, u64)]| all.iter().filter(|t| t.0 > 0).map(|t| t.2).sum::<u64>();
        assert_eq!(touches(&made), touches(&stated), "{options:?}");
    }
}

#[test]
fn stored_contents_go_on_with_the_same_bits() {
    let view = view();
    for options in all_options() {
        let view = &std::array::from_fn(|i| (i < options.neural.into()).then_some(&view));
        for n in [0, 1, 2, 4, 300, 20_000, 70_000] {
            let mut mix = Mix::new(options).unwrap();
            feed(&mut mix, &text(n, 1), view);
            let kept = stored(&mix);
            let loaded = Content::load(options, &kept).unwrap();
            let mut again = Mix::with(&loaded).unwrap();
            assert_eq!(stored(&again), kept, "{options:?} after {n} bytes");
            let next = text(3000, 2 + n as u64 % 2);
            assert_eq!(feed(&mut again, &next, view).to_bits(), feed(&mut mix, &next, view).to_bits());
            assert!(stored(&again) == stored(&mix), "{options:?} after {n} bytes and more");
        }
    }
}

#[test]
fn damaged_contents_are_told_or_harmless() {
    // As long as it is in use, the initial content is not made anew.
    let _initial = Content::initial(SMALL).unwrap();
    let mut mix = Mix::new(SMALL).unwrap();
    feed(&mut mix, &text(700, 1), &NONE);
    let kept = stored(&mix);
    let mut random = Random::new(5, "mix");
    for cut in (0..kept.len()).step_by(7) {
        assert!(Content::load(SMALL, &kept[..cut]).is_err(), "{cut} of {}", kept.len());
    }
    for at in 0..1500 {
        let mut damaged = kept.clone();
        let at = if at < 300 { at } else { random.next_u64() as usize % kept.len() };
        damaged[at] ^= 1 << (random.next_u64() % 8);
        if let Ok(content) = Content::load(SMALL, &damaged) {
            // A checksum protects the stored form. Without it, what is loaded must still be usable.
            let mut mix = Mix::with(&content).unwrap();
            feed(&mut mix, &text(200, 3), &NONE);
            mix.freeze().unwrap();
        }
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
        let mut work = Mix::with(&base.freeze().unwrap()).unwrap();
        work.mark();
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
                let cost = feed_marked(&mut work, &[*byte], &NONE);
                let expected = -f64::from(p[usize::from(*byte)]).log2();
                assert!(round < 2 || (cost - expected).abs() < 1e-3 * cost.max(1.0), "{cost} {expected}");
            }
            assert!(work.undo());
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
