//! Compares the network with a public reference (tests/reference/make_fixture.py), and its lanes with each other.

use std::io::Cursor;

use gptz::model::rwkv7::{Config, Init, Packing, Scratch, State, Weights};
use gptz::numeric::buffer::Rows;
use gptz::numeric::level::Level;
use gptz::numeric::matmul::Precision;
use gptz::weights::TensorSource;
use gptz::weights::safetensors::Safetensors;

const WEIGHTS: &[u8] = include_bytes!("data/rwkv7-tiny.safetensors");
const LOGITS: &[u8] = include_bytes!("data/rwkv7-tiny-logits.safetensors");

fn open(bytes: &[u8]) -> Safetensors<Cursor<&[u8]>> {
    Safetensors::open(Cursor::new(bytes), bytes.len() as u64).unwrap()
}

fn fixture(precision: Precision) -> Weights {
    let mut file = open(WEIGHTS);
    let config = Config::infer(|name| file.shape(name).map(<[usize]>::to_vec)).unwrap();
    Weights::load(&config, Packing::all(precision), &mut file).unwrap()
}

/// The tokens of the reference, and its logits after each of them.
fn reference() -> (Vec<u8>, Vec<f32>) {
    let parsed = safetensors::SafeTensors::deserialize(LOGITS).unwrap();
    let tokens = parsed.tensor("tokens").unwrap().data().to_vec();
    let mut logits = Vec::new();
    open(LOGITS).tensor("logits", &[tokens.len(), 256], &mut logits).unwrap();
    (tokens, logits)
}

/// The logits of every lane after every step: `[step][lane][256]`.
fn run(weights: &Weights, level: Level, lanes: &[&[u8]]) -> Vec<Vec<Vec<f32>>> {
    let mut state = State::new(weights.config(), lanes.len()).unwrap();
    let mut scratch = Scratch::new(weights.config(), lanes.len()).unwrap();
    (0..lanes[0].len())
        .map(|t| {
            let tokens: Vec<u8> = lanes.iter().map(|lane| lane[t]).collect();
            weights.step(level, &tokens, tokens.len(), &mut state, &mut scratch);
            let features = scratch.features().clone();
            let mut logits = Rows::new(lanes.len(), 256).unwrap();
            weights.logits(level, &features, &mut logits, &mut scratch);
            (0..lanes.len()).map(|lane| logits.values(lane).to_vec()).collect()
        })
        .collect()
}

#[test]
fn f32_agrees_with_the_reference_in_every_logit() {
    let (tokens, want) = reference();
    assert!(tokens.len() >= 64);
    let weights = fixture(Precision::F32);
    let config = weights.config();
    assert!(config.layers == 3 && config.heads() == 2 && config.head_size == 32 && config.g_rank == 16);
    for level in Level::available() {
        let found = run(&weights, level, &[&tokens]);
        for (t, (found, want)) in found.iter().zip(want.chunks(256)).enumerate() {
            for (i, (a, b)) in found[0].iter().zip(want).enumerate() {
                assert!((a - b).abs() <= 1e-4, "step {t}, logit {i} at {level:?}: {a}, reference {b}");
            }
        }
    }
}

#[test]
fn int8_is_close_to_the_reference() {
    let (tokens, want) = reference();
    let found = run(&fixture(Precision::I8), Level::current(), &[&tokens]);
    let squares: f32 = found.iter().flat_map(|step| &step[0]).zip(&want).map(|(a, b)| (a - b) * (a - b)).sum();
    let error = (squares / want.len() as f32).sqrt();
    // The standard deviation of the logits is 1.5.
    assert!(error > 0.0 && error < 0.1, "root mean square error {error}");
}

#[test]
fn every_level_gives_the_same_bits() {
    let (tokens, _) = reference();
    let seeded =
        |config: Config, precision| Weights::load(&config, Packing::all(precision), &mut Init::new(config, 7)).unwrap();
    let odd = Config {
        hidden: 192,
        layers: 2,
        intermediate: 77,
        head_size: 64,
        decay_rank: 5,
        a_rank: 17,
        v_rank: 3,
        g_rank: 33,
    };
    for precision in [Precision::F32, Precision::I8] {
        for weights in [fixture(precision), seeded(odd, precision)] {
            let want = run(&weights, Level::PORTABLE, &[&tokens]);
            for level in Level::available() {
                assert!(run(&weights, level, &[&tokens]) == want, "{precision:?} {level:?}");
            }
        }
    }
}

#[test]
fn a_lane_does_not_depend_on_its_neighbours() {
    let (tokens, _) = reference();
    let tokens = &tokens[..40];
    for precision in [Precision::F32, Precision::I8] {
        let weights = fixture(precision);
        let other: Vec<Vec<u8>> =
            (0..64u8).map(|lane| tokens.iter().map(|t| t.wrapping_mul(3).wrapping_add(lane)).collect()).collect();
        for level in Level::available() {
            let alone = run(&weights, level, &[tokens]);
            for lanes in [2, 3, 7, 16, 33, 64] {
                for at in [0, lanes / 2, lanes - 1] {
                    let mut set: Vec<&[u8]> = other[..lanes].iter().map(|v| &v[..]).collect();
                    set[at] = tokens;
                    let found = run(&weights, level, &set);
                    for (t, step) in found.iter().enumerate() {
                        assert!(step[at] == alone[t][0], "{precision:?} {level:?} lane {at} of {lanes}, step {t}");
                    }
                }
            }
        }
    }
}

/// The compressor processes batches of bytes, the decompressor one byte at a time.
#[test]
fn a_batch_gives_the_same_bits_as_single_bytes() {
    let (tokens, _) = reference();
    for precision in [Precision::F32, Precision::I8] {
        let weights = fixture(precision);
        for level in Level::available() {
            let want = run(&weights, level, &[&tokens]);
            for most in [1, 2, 3, 8, 13, 32, tokens.len()] {
                let mut state = State::new(weights.config(), 1).unwrap();
                let mut scratch = Scratch::new(weights.config(), most).unwrap();
                let mut found = Vec::new();
                for tokens in tokens.chunks(most) {
                    weights.step(level, tokens, 1, &mut state, &mut scratch);
                    let mut logits = Rows::new(tokens.len(), 256).unwrap();
                    weights.logits_of_step(level, &mut logits, &mut scratch);
                    found.extend((0..tokens.len()).map(|row| logits.values(row).to_vec()));
                }
                assert!(found.iter().eq(want.iter().map(|step| &step[0])), "{precision:?} {level:?} batches of {most}");
                let mut one_by_one = State::new(weights.config(), 1).unwrap();
                let mut scratch = Scratch::new(weights.config(), 1).unwrap();
                tokens.iter().for_each(|token| weights.step(level, &[*token], 1, &mut one_by_one, &mut scratch));
                assert!(state.parts_mut() == one_by_one.parts_mut(), "{precision:?} {level:?} batches of {most}");
            }
        }
    }
}

#[test]
fn saved_weights_load_again_with_the_same_fingerprint_and_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let config = Config { hidden: 64, layers: 2, intermediate: 50, head_size: 32, ..Config::default() };
    let made = Weights::load(&config, Packing::all(Precision::F32), &mut Init::new(config, 3)).unwrap();
    gptz::weights::safetensors::save(&path, &config.tensors().collect::<Vec<_>>(), &mut Init::new(config, 3)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let parsed = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(parsed.tensor("model.layers.1.attn.x_r").unwrap().shape(), [1, 1, 64]);
    let mut file = open(&bytes);
    assert_eq!(Config::infer(|name| file.shape(name).map(<[usize]>::to_vec)).unwrap(), config);
    let loaded = Weights::load(&config, Packing::all(Precision::F32), &mut file).unwrap();
    assert_eq!(loaded.fingerprint(), made.fingerprint());
    let text: Vec<u8> = (0..50).collect();
    assert_eq!(run(&loaded, Level::current(), &[&text]), run(&made, Level::current(), &[&text]));
    let other = Weights::load(&config, Packing::all(Precision::F32), &mut Init::new(config, 4)).unwrap();
    assert_ne!(other.fingerprint(), made.fingerprint());
}

/// Several steps of several lanes in one pass, of which the last one has fewer lanes, in a state with more lanes.
#[test]
fn a_batch_of_lanes_gives_the_same_bits_as_single_lanes() {
    let (tokens, _) = reference();
    let weights = fixture(Precision::I8);
    let (lanes, steps) = (3, 5);
    for level in Level::available() {
        let mut state = State::new(weights.config(), 4).unwrap();
        let mut scratch = Scratch::new(weights.config(), lanes * steps).unwrap();
        // Two steps, then two and one of two lanes.
        for bytes in [&tokens[..6], &tokens[6..14]] {
            weights.step(level, bytes, lanes, &mut state, &mut scratch);
        }
        for lane in 0..4 {
            let mut one = State::new(weights.config(), 1).unwrap();
            let own = tokens[..14].iter().skip(lane).step_by(lanes).filter(|_| lane < lanes);
            own.for_each(|token| weights.step(level, &[*token], 1, &mut one, &mut scratch));
            // Taken over by all lanes of another state.
            let mut all = State::new(weights.config(), 4).unwrap();
            all.copy_from(&one);
            let mut same = state.clone();
            (0..4).filter(|to| *to != lane).for_each(|to| same.copy_lane(lane, to));
            assert!(same.parts() == all.parts(), "{level:?}, lane {lane}");
        }
    }
}
