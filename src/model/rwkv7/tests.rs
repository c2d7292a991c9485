//! The backward pass against autograd's gradients of a public implementation (tests/reference/make_gradients_fixture.py),
//! against finite differences, and between CPU levels; the tape against the step of frozen weights.

use std::io::Cursor;

use super::*;
use crate::error::Result;
use crate::numeric::buffer::Rows;
use crate::numeric::level::Level;
use crate::numeric::matmul::Precision;
use crate::numeric::random::Random;
use crate::numeric::vector::{Vec16, flat, flat_mut};
use crate::weights::TensorSource;
use crate::weights::safetensors::Safetensors;

const FIXTURES: [&[u8]; 2] = [
    include_bytes!("../../../tests/data/rwkv7-gradients-32.safetensors"),
    include_bytes!("../../../tests/data/rwkv7-gradients-64.safetensors"),
];
const STEPS: usize = 9;
const LANES: usize = 3;

/// The weights of a fixture, whose names have a prefix.
struct Prefixed<'a>(Safetensors<Cursor<&'a [u8]>>);

impl TensorSource for Prefixed<'_> {
    fn tensor(&mut self, name: &str, shape: &[usize], out: &mut Vec<f32>) -> Result<()> {
        self.0.tensor(&format!("w.{name}"), shape, out)
    }
}

struct Fixture {
    file: Prefixed<'static>,
    params: Params,
    start: State,
    tokens: Vec<u8>,
    errors: Rows,
}

impl Fixture {
    fn open(bytes: &'static [u8]) -> Self {
        let mut file = Prefixed(Safetensors::open(Cursor::new(bytes), bytes.len() as u64).unwrap());
        let config = Config::infer(|name| file.0.shape(&format!("w.{name}")).map(<[usize]>::to_vec)).unwrap();
        assert_eq!(config.layers, 3);
        let (params, _) = Params::load(&config, &mut file).unwrap();
        let parsed = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let tokens = parsed.tensor("tokens").unwrap().data().to_vec();
        let mut errors = Rows::new(STEPS * LANES, 256).unwrap();
        let values = file.get("errors", &[STEPS * LANES, 256]);
        flat_mut(errors.span_mut(0..STEPS * LANES)).copy_from_slice(&values);
        let start = file.state("", &config);
        Self { file, params, start, tokens, errors }
    }

    fn tape(&self, level: Level) -> Tape {
        let mut tape = Tape::new(self.params.config(), STEPS, LANES).unwrap();
        tape.start(&self.start);
        self.tokens.chunks(LANES).for_each(|tokens| tape.step(level, &self.params, tokens));
        tape
    }
}

impl Prefixed<'_> {
    fn get(&mut self, name: &str, shape: &[usize]) -> Vec<f32> {
        let mut out = Vec::new();
        self.0.tensor(name, shape, &mut out).unwrap();
        out
    }

    /// A state, or its gradient. The reference has the matrices by key, then by value, as a state has.
    fn state(&mut self, prefix: &str, config: &Config) -> State {
        let mut state = State::new(config, LANES).unwrap();
        let (heads, n) = (config.heads(), config.head_size);
        for layer in 0..config.layers {
            for (half, name) in ["attn", "ffn"].iter().enumerate() {
                let values = self.get(&format!("{prefix}shift.{layer}.{name}"), &[LANES, config.hidden]);
                for (lane, values) in values.chunks(config.hidden).enumerate() {
                    flat_mut(state.shift_mut(layer, half, lane)).copy_from_slice(values);
                }
            }
            let values = self.get(&format!("{prefix}state.{layer}"), &[LANES, heads, n, n]);
            for (at, values) in values.chunks(n * n).enumerate() {
                let (lane, head) = (at / heads, at % heads);
                let to = &mut flat_mut(state.wkv_mut(layer, lane))[head * n * n..][..n * n];
                to.copy_from_slice(values);
            }
        }
        state
    }
}

/// The largest error over the largest value.
fn error(found: &[f32], want: &[f32]) -> f32 {
    assert_eq!(found.len(), want.len());
    let largest = want.iter().fold(0f32, |m, w| m.max(w.abs()));
    let error = found.iter().zip(want).fold(0f32, |m, (f, w)| m.max((f - w).abs()));
    assert!(largest > 0.0 && error.is_finite());
    error / largest
}

#[test]
fn every_gradient_is_that_of_the_reference() {
    for bytes in FIXTURES {
        let mut fixture = Fixture::open(bytes);
        let config = *fixture.params.config();
        let level = Level::current();
        let tape = fixture.tape(level);
        let mut logits = Rows::new(STEPS * LANES, 256).unwrap();
        tape.logits(level, &fixture.params, 0..STEPS * LANES, &mut logits);
        let want = fixture.file.get("logits", &[STEPS * LANES, 256]);
        let error_of_logits = error(flat(logits.all()), &want);
        assert!(error_of_logits < 1e-4, "{error_of_logits}");
        let mut backward = Backward::new(&fixture.params, STEPS, LANES).unwrap();
        backward.run(level, &fixture.params, &tape, &fixture.errors, |_| true);
        let mut found = Vec::new();
        let mut worst = 0f32;
        for (spec, slot) in config.tensors().zip(fixture.params.slots()) {
            let want = fixture.file.get(&format!("b.{}", spec.name), &spec.shape);
            slot.read(backward.gradients(), &mut found).unwrap();
            let error = error(&found, &want);
            assert!(error < 1e-3, "head size {}, {}: relative error {error}", config.head_size, spec.name);
            worst = worst.max(error);
        }
        let want = fixture.file.state("b.", &config);
        for layer in 0..config.layers {
            for lane in 0..LANES {
                for half in 0..2 {
                    let [found, want] = [backward.start(), &want].map(|s| flat(s.shift(layer, half, lane)));
                    assert!(error(found, want) < 1e-3, "layer {layer}, half {half}, lane {lane}");
                }
                let [found, want] = [backward.start(), &want].map(|s| flat(s.wkv(layer, lane)));
                assert!(error(found, want) < 1e-3, "layer {layer}, state of lane {lane}");
            }
        }
        println!("head size {}: largest relative error of a parameter's gradient {worst:e}", config.head_size);
    }
}

/// The f32 forward pass limits what a finite difference can show, so it is taken along random directions in each tensor.
#[test]
fn gradients_are_finite_differences() {
    let mut fixture = Fixture::open(FIXTURES[0]);
    let level = Level::current();
    let score = |fixture: &Fixture| -> f64 {
        let mut logits = Rows::new(STEPS * LANES, 256).unwrap();
        fixture.tape(level).logits(level, &fixture.params, 0..STEPS * LANES, &mut logits);
        flat(logits.all()).iter().zip(flat(fixture.errors.all())).map(|(l, e)| f64::from(*l) * f64::from(*e)).sum()
    };
    let mut backward = Backward::new(&fixture.params, STEPS, LANES).unwrap();
    backward.run(level, &fixture.params, &fixture.tape(level), &fixture.errors, |_| true);
    let mut random = Random::new(1, "directions");
    for slot in fixture.params.slots().to_vec() {
        let original: Vec<Vec16> = fixture.params.values()[slot.range()].to_vec();
        let gradient = flat(&backward.gradients()[slot.range()]).to_vec();
        // Along the gradient's signs, with random factors, so that the difference is far above rounding.
        let direction: Vec<f32> = gradient.iter().map(|g| g.signum() * (0.2 + random.symmetric().abs())).collect();
        let slope: f64 = gradient.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
        let step = 1e-3f32;
        let mut at = |factor: f32| {
            let values = &mut fixture.params.values_mut()[slot.range()];
            values.copy_from_slice(&original);
            flat_mut(values).iter_mut().zip(&direction).for_each(|(v, d)| *v += factor * step * d);
            score(&fixture)
        };
        // The fourth-order difference.
        let found = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * f64::from(step));
        at(0.0);
        let bound = 0.02 * slope.abs() + 0.02;
        assert!((found - slope).abs() < bound, "{slot:?}: {found}, from the gradient {slope}");
    }
}

#[test]
fn every_level_gives_the_same_bits() {
    for bytes in FIXTURES {
        let fixture = Fixture::open(bytes);
        let run = |level| {
            let mut backward = Backward::new(&fixture.params, STEPS, LANES).unwrap();
            backward.run(level, &fixture.params, &fixture.tape(level), &fixture.errors, |_| true);
            let bits = |v: &[Vec16]| flat(v).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            let [shifts, wkv] = backward.start().parts().map(bits);
            (bits(backward.gradients()), shifts, wkv)
        };
        let want = run(Level::PORTABLE);
        for level in Level::available() {
            assert!(run(level) == want, "{level:?}");
        }
    }
}

#[test]
fn the_tape_gives_the_bits_of_the_frozen_step() {
    let odd = Config {
        hidden: 96,
        layers: 2,
        intermediate: 77,
        head_size: 32,
        decay_rank: 5,
        a_rank: 17,
        v_rank: 3,
        g_rank: 33,
    };
    let (params, fingerprint) = Params::load(&odd, &mut Init::new(odd, 7)).unwrap();
    let weights = Weights::load(&odd, Packing::all(Precision::F32), &mut Init::new(odd, 7)).unwrap();
    assert_eq!(&fingerprint, weights.fingerprint());
    assert!(Params::vectors(&odd) >= params.values().len() as u64);
    for level in Level::available() {
        let mut tape = Tape::new(&odd, 5, 2).unwrap();
        let (mut state, mut scratch) = (State::new(&odd, 2).unwrap(), Scratch::new(&odd, 2).unwrap());
        let [mut found, mut want] = [0, 1].map(|_| Rows::new(2, 256).unwrap());
        for step in 0..5u8 {
            let tokens = [step, 200 - 3 * step];
            tape.step(level, &params, &tokens);
            weights.step(level, &tokens, tokens.len(), &mut state, &mut scratch);
            let features = scratch.features().clone();
            weights.logits(level, &features, &mut want, &mut scratch);
            let rows = usize::from(step) * 2..usize::from(step) * 2 + 2;
            tape.logits(level, &params, rows, &mut found);
            assert!(found.all() == want.all(), "{level:?}, step {step}");
        }
        assert!(tape.state(5).parts() == state.parts());
    }
}

#[test]
fn a_tensor_is_read_as_it_was_written() {
    let config = Config { hidden: 64, layers: 2, intermediate: 41, ..Config::default() };
    let (mut params, _) = Params::load(&config, &mut Init::new(config, 1)).unwrap();
    let (mut end, mut read) = (0, Vec::new());
    for (i, slot) in params.slots().to_vec().into_iter().enumerate() {
        assert_eq!(slot.range().start, end);
        end = slot.range().end;
        let values: Vec<f32> = (0..slot.rows() * slot.cols()).map(|v| (v * 7 + i) as f32).collect();
        slot.write(&values, params.values_mut());
        slot.read(params.values(), &mut read).unwrap();
        assert_eq!(read, values);
    }
    assert_eq!(end, params.values().len());
}
