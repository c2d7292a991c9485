use super::*;
use crate::coder::Frequencies;
use crate::numeric::testing::assert_same;
use crate::numeric::transfer::{Load, Store};
use crate::numeric::vector::flat;

const CONFIG: Config = Config { embed: 16, hidden: 32, layers: 2 };
const RULE: Rule = Rule { train: Train::Adam, lr: 0.01, clip: 0.02, bptt: 6, stride: 2, replay: 3 };

fn probability(gru: &Gru, byte: u8) -> f32 {
    let mut logits = Rows::new(1, VOCAB).unwrap();
    gru.logits(Level::current(), 1, &mut logits);
    let mut frequencies = Frequencies::default();
    frequencies.set(Level::current(), logits.row(0));
    flat(&frequencies.probabilities())[usize::from(byte)]
}

fn observe(level: Level, gru: &mut Gru, rule: &Rule, work: &mut Workspace, byte: u8) {
    let mut logits = Rows::new(1, VOCAB).unwrap();
    gru.logits(level, 1, &mut logits);
    let mut frequencies = Frequencies::default();
    frequencies.set(level, logits.row(0));
    let mut errors = Rows::new(1, VOCAB).unwrap();
    errors.row_mut(0).copy_from_slice(&frequencies.error(byte));
    gru.learn(level, rule, 1, &errors, work);
    gru.step(level, &[byte], true, work);
}

/// A whole state.
fn all(gru: &mut Gru) -> Vec<u8> {
    let mut all = Vec::new();
    gru.transfer(&mut Store(&mut all)).unwrap();
    all
}

#[test]
fn a_stored_state_goes_on_with_the_same_bits() {
    for rule in [RULE, Rule { train: Train::Sgd, replay: 0, stride: 6, ..RULE }] {
        for n in [0, 1, 3, 6, 7, 100] {
            let level = Level::current();
            let [mut gru, mut again] = [1, 2].map(|seed| Gru::new(&CONFIG, seed, &rule, 1).unwrap());
            let mut work = Workspace::new(&CONFIG, &rule, 1).unwrap();
            gru.step(level, &[0], true, &mut work);
            (0..n).for_each(|i| observe(level, &mut gru, &rule, &mut work, u8::wrapping_mul(i, 7)));
            let stored = all(&mut gru);
            let mut from = Load(&stored);
            again.transfer(&mut from).unwrap();
            assert!(from.0.is_empty() && all(&mut again) == stored);
            for byte in 0..40 {
                observe(level, &mut gru, &rule, &mut work, byte);
                observe(level, &mut again, &rule, &mut work, byte);
            }
            assert!(all(&mut again) == all(&mut gru), "after {n} bytes");
            assert!(again.transfer(&mut Load(&stored[..stored.len() - 1])).is_err());
        }
    }
}

#[test]
fn a_full_history_is_part_of_the_state() {
    let mut gru = Gru::new(&CONFIG, 0, &RULE, 1).unwrap();
    for count in [HISTORY - 1, HISTORY, HISTORY + 1] {
        gru.count = count as u64;
        let before = all(&mut gru);
        for at in [0, 5, HISTORY - 2] {
            gru.history[at] ^= 1;
            assert!(all(&mut gru) != before, "{count} bytes, byte {at}");
            gru.history[at] ^= 1;
        }
    }
}

#[test]
fn a_stream_of_ab_is_learned() {
    let plain = Rule { train: Train::Sgd, lr: 0.01, clip: 5.0, bptt: 10, stride: 1, replay: 0 };
    for (config, rule) in [(Config::default(), plain), (CONFIG, RULE)] {
        let level = Level::current();
        let (mut gru, mut work) = (Gru::new(&config, 0, &rule, 1).unwrap(), Workspace::new(&config, &rule, 1).unwrap());
        gru.step(level, &[0], true, &mut work);
        for i in 0..1001 {
            observe(level, &mut gru, &rule, &mut work, b"ab"[i % 2]);
        }
        assert!(probability(&gru, b'b') > 0.9, "{rule:?}: {}", probability(&gru, b'b'));
    }
}

#[test]
fn every_level_learns_the_same_bits_and_so_does_a_copy() {
    let text: Vec<u8> = (0..60u32).map(|i| b"the cat sat on "[(i * i % 15) as usize]).collect();
    let run = |level| {
        let mut gru = Gru::new(&CONFIG, 1, &RULE, 1).unwrap();
        let mut work = Workspace::new(&CONFIG, &RULE, 1).unwrap();
        gru.step(level, &[0], true, &mut work);
        text[..40].iter().for_each(|byte| observe(level, &mut gru, &RULE, &mut work, *byte));
        let mut copy = Gru::new(&CONFIG, 1, &RULE, 1).unwrap();
        copy.copy_from(&gru);
        for one in [&mut gru, &mut copy] {
            text[40..].iter().for_each(|byte| observe(level, one, &RULE, &mut work, *byte));
        }
        assert_eq!(all(&mut gru), all(&mut copy));
        all(&mut gru)
    };
    let want = run(Level::PORTABLE);
    assert!(Level::available().into_iter().all(|level| run(level) == want));
    assert_ne!(want, all(&mut Gru::new(&CONFIG, 1, &RULE, 1).unwrap()));
}

#[test]
fn an_update_gives_the_bits_of_the_naive_loop() {
    // Two time steps of two lanes: gradients are summed over (time, lane) and clipped, then applied.
    let (rows, cols) = (48, 16);
    for (train, level) in
        [Train::Sgd, Train::Adam].into_iter().flat_map(|t| Level::available().into_iter().map(move |l| (t, l)))
    {
        let mut random = Random::new(7, "descend");
        let mut fill = |rows: &mut Rows| {
            for lane in 0..rows.lanes() {
                rows.row_mut(lane).iter_mut().flat_map(|v| &mut v.0).for_each(|x| *x = random.symmetric());
            }
        };
        let mut factors = Factors::new(&CONFIG, 4).unwrap();
        let mut steps: Vec<(Rows, Rows)> =
            (0..2).map(|_| (Rows::new(2, rows).unwrap(), Rows::new(2, cols).unwrap())).collect();
        steps.iter_mut().for_each(|(d, x)| (fill(d), fill(x)).0);
        factors.gather(steps.iter().map(|(d, x)| (d, x)), cols);
        let mut matrix = Matrix::new(rows, cols).unwrap();
        let mut moments = Moments::new(matrix.panels.len() + matrix.bias.len(), train).unwrap();
        let adam = (train == Train::Adam).then(|| Powers::FIRST.clone().next(0.1));
        let update = Update { lr: 0.1, clip: 0.6, adam };
        level.run(UpdateMatrix { matrix: &mut matrix, moments: &mut moments, factors: &factors, update });
        for row in 0..rows {
            for k in 0..=cols {
                let mut g = 0f32;
                for (d, x) in &steps {
                    for lane in 0..2 {
                        let x = if k < cols { x.values(lane)[k] } else { 1.0 };
                        g += d.values(lane)[row] * x;
                    }
                }
                let g = g.clamp(-0.6, 0.6);
                let want = match train {
                    Train::Adam => {
                        let (m, v) = ((1.0 - 0.9f32) * g, (1.0 - 0.999f32) * (g * g));
                        let (step, correction) = (0.1 * (1.0 / (1.0 - 0.9f32)), 1.0 / (1.0 - 0.999f32));
                        (step * m) / ((v * correction).sqrt() + 1e-8)
                    }
                    _ => 0.1 * g,
                };
                let found = if k < cols {
                    matrix.panels[row / 16 * cols + k].0[row % 16]
                } else {
                    matrix.bias[row / 16].0[row % 16]
                };
                assert_same(&[found], &[want], &format!("{train:?} {level:?} {row} {k}"));
            }
        }
    }
}

/// A step of a GRU with lanes: predicts, learns and observes.
fn observe_step(level: Level, gru: &mut Gru, rule: &Rule, work: &mut Workspace, bytes: &[u8]) {
    let lanes = bytes.len();
    let [mut logits, mut errors] = [0, 1].map(|_| Rows::new(lanes, VOCAB).unwrap());
    gru.logits(level, lanes, &mut logits);
    let mut frequencies = Frequencies::default();
    for (lane, byte) in bytes.iter().enumerate() {
        frequencies.set(level, logits.row(lane));
        errors.row_mut(lane).copy_from_slice(&frequencies.error(*byte));
    }
    gru.learn(level, rule, lanes, &errors, work);
    gru.step(level, bytes, false, work);
}

/// All weights.
fn weights(gru: &Gru) -> Vec<f32> {
    let matrices = gru.weights.matrices().flat_map(|m| flat(&m.panels).iter().chain(flat(&m.bias)));
    matrices.chain(flat(gru.weights.embeddings.all())).copied().collect()
}

const TEXTS: [&[u8]; 3] = [b"the cat sat on", b"a dog ran home", b"0123456789abcd"];

/// Without learning, a lane is a GRU of its own, also where lanes sit out and where one takes over another.
#[test]
fn lanes_without_learning_are_grus_of_their_own() {
    let rule = Rule { train: Train::Sgd, lr: 0.0, clip: 1.0, bptt: 4, stride: 1, replay: 0 };
    let level = Level::current();
    let mut base = Gru::new(&CONFIG, 3, &rule, 1).unwrap();
    let mut one = Workspace::new(&CONFIG, &rule, 1).unwrap();
    base.step(level, &[0], false, &mut one);
    let (mut gru, mut work) = (Gru::new(&CONFIG, 3, &rule, 3).unwrap(), Workspace::new(&CONFIG, &rule, 3).unwrap());
    gru.copy_from(&base);
    let mut alone: Vec<Gru> = (0..3).map(|_| Gru::new(&CONFIG, 3, &rule, 1).unwrap()).collect();
    alone.iter_mut().for_each(|gru| gru.copy_from(&base));
    let check = |gru: &Gru, alone: &[Gru]| {
        let [mut all, mut own] = [3, 1].map(|lanes| Rows::new(lanes, VOCAB).unwrap());
        gru.logits(level, 3, &mut all);
        for (lane, alone) in alone.iter().enumerate() {
            alone.logits(level, 1, &mut own);
            assert_same(all.values(lane), own.values(0), &format!("lane {lane}"));
        }
    };
    for (i, active) in [3, 3, 3, 3, 3, 3, 2, 1, 1, 3, 2, 3, 3].into_iter().enumerate() {
        let bytes: Vec<u8> = TEXTS[..active].iter().map(|text| text[i]).collect();
        observe_step(level, &mut gru, &rule, &mut work, &bytes);
        for (alone, byte) in alone.iter_mut().zip(&bytes) {
            observe_step(level, alone, &rule, &mut one, &[*byte]);
        }
        check(&gru, &alone);
        if i == 6 {
            gru.copy_lane(2, 0);
            let (first, last) = alone.split_at_mut(2);
            first[0].copy_from(&last[0]);
            check(&gru, &alone);
        }
    }
}

/// One learning step of lanes moves the weights by the mean of what the lanes' own steps would do.
#[test]
fn lanes_learn_by_the_mean_of_their_gradients() {
    let rule = Rule { train: Train::Sgd, lr: 0.5, clip: 100.0, bptt: 8, stride: 8, replay: 0 };
    let level = Level::current();
    let mut base = Gru::new(&CONFIG, 3, &rule, 1).unwrap();
    let mut one = Workspace::new(&CONFIG, &rule, 1).unwrap();
    // A head of zeros passes no derivatives to the layers below.
    base.step(level, &[0], false, &mut one);
    (0..64).for_each(|i| observe_step(level, &mut base, &rule, &mut one, &[TEXTS[0][i % 14]]));
    let before = weights(&base);
    // Eight bytes a lane, and 24 in all lanes.
    let rule_of_all = Rule { stride: 24, ..rule };
    let mut work = Workspace::new(&CONFIG, &rule, 3).unwrap();
    let mut gru = Gru::new(&CONFIG, 3, &rule_of_all, 3).unwrap();
    gru.copy_from(&base);
    gru.countdown = 24;
    (0..8).for_each(|i| observe_step(level, &mut gru, &rule_of_all, &mut work, &TEXTS.map(|text| text[i])));
    let found = weights(&gru);
    let mut mean = vec![0f64; before.len()];
    for text in TEXTS {
        let mut alone = Gru::new(&CONFIG, 3, &rule, 1).unwrap();
        alone.copy_from(&base);
        (0..8).for_each(|i| observe_step(level, &mut alone, &rule, &mut one, &[text[i]]));
        let after = weights(&alone);
        mean.iter_mut().zip(after.iter().zip(&before)).for_each(|(m, (a, b))| *m += f64::from(a - b) / 3.0);
    }
    let largest = mean.iter().fold(0f64, |m, x| m.max(x.abs()));
    assert!(largest > 1e-3, "{largest}");
    for (i, mean) in mean.iter().enumerate() {
        let change = f64::from(found[i] - before[i]);
        assert!((change - mean).abs() < 1e-5 * largest.max(1.0), "weight {i}: {change}, mean {mean}");
    }
}
