//! Compares gradients with PyTorch's autograd (tests/reference/make_gru_fixture.py) and with finite differences.

use std::io::Cursor;

use super::*;
use crate::model::VOCAB;
use crate::numeric::buffer::Rows;
use crate::numeric::level::Level;
use crate::numeric::random::Random;
use crate::numeric::vector::flat_mut;
use crate::weights::TensorSource;
use crate::weights::safetensors::Safetensors;

const STEPS: usize = 12;
/// The losses of earlier steps do not count.
const FIRST: usize = 4;
const CONFIG: Config = Config { embed: 16, hidden: 16, layers: 2 };

fn text() -> Vec<u8> {
    (0..=STEPS).map(|i| ((7 * i * i + 3 * i) % 251) as u8).collect()
}

struct Fixture(Safetensors<Cursor<&'static [u8]>>);

impl Fixture {
    fn open() -> Self {
        let bytes = include_bytes!("../../../tests/data/gru-tiny.safetensors");
        Self(Safetensors::open(Cursor::new(&bytes[..]), bytes.len() as u64).unwrap())
    }

    fn get(&mut self, name: &str) -> Vec<f32> {
        let (shape, mut out) = (self.0.shape(name).unwrap().to_vec(), Vec::new());
        self.0.tensor(name, &shape, &mut out).unwrap();
        out
    }

    fn matrix(&mut self, prefix: &str, weight: &str, bias: &str) -> Matrix {
        let (values, biases) = (self.get(&format!("{prefix}.{weight}")), self.get(&format!("{prefix}.{bias}")));
        let cols = values.len() / biases.len();
        let mut matrix = Matrix::new(biases.len(), cols).unwrap();
        for (i, v) in values.iter().enumerate() {
            let (row, k) = (i / cols, i % cols);
            matrix.panels[row / 16 * cols + k].0[row % 16] = *v;
        }
        flat_mut(&mut matrix.bias).copy_from_slice(&biases);
        matrix
    }

    fn weights(&mut self) -> Weights {
        let mut weights = Weights::new(&CONFIG, 0).unwrap();
        for (byte, row) in self.get("embeddings").chunks_exact(CONFIG.embed).enumerate() {
            flat_mut(weights.embeddings.row_mut(byte)).copy_from_slice(row);
        }
        for (l, layer) in weights.layers.iter_mut().enumerate() {
            let prefix = format!("layers.{l}");
            layer.input = self.matrix(&prefix, "weight_ih", "bias_ih");
            layer.recurrent = self.matrix(&prefix, "weight_hh", "bias_hh");
        }
        weights.head = self.matrix("head", "weight", "bias");
        weights
    }
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let exp: Vec<f64> = logits.iter().map(|x| f64::from(*x).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|x| x / sum).collect()
}

/// Processes a text in each lane. Returns the time steps, the logits after each, and the sum of ln p from `FIRST` on.
fn run(level: Level, weights: &Weights, texts: &[Vec<u8>]) -> (Vec<Moment>, Vec<Rows>, f64) {
    let lanes = texts.len();
    let mut scratch = Scratch::new(&CONFIG, lanes).unwrap();
    let (mut moments, mut all, mut score): (Vec<Moment>, _, _) = (Vec::new(), Vec::new(), 0.0);
    for i in 0..STEPS {
        let mut now = Moment::new(&CONFIG, lanes).unwrap();
        let tokens: Vec<u8> = texts.iter().map(|text| text[i]).collect();
        weights.step(level, &tokens, moments.last(), &mut scratch, &mut now);
        let mut logits = Rows::new(lanes, VOCAB).unwrap();
        weights.logits(level, lanes, &now.features, &mut logits);
        now.trains = i >= FIRST;
        for (lane, text) in texts.iter().enumerate().filter(|_| i >= FIRST) {
            let (target, p) = (usize::from(text[i + 1]), softmax(logits.values(lane)));
            score += p[target].ln();
            let error = flat_mut(now.error.row_mut(lane));
            error.iter_mut().zip(&p).for_each(|(e, p)| *e = -*p as f32);
            error[target] += 1.0;
        }
        moments.push(now);
        all.push(logits);
    }
    (moments, all, score)
}

/// The gradients of a matrix and its bias, row by row, from pairs of output derivatives and inputs.
fn outer<'a>(pairs: impl Iterator<Item = (&'a Rows, &'a Rows)>, rows: usize, cols: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut weight, mut bias) = (vec![0.0; rows * cols], vec![0.0; rows]);
    for (d, x) in pairs {
        for lane in 0..d.lanes() {
            for row in 0..rows {
                bias[row] += d.values(lane)[row];
                for k in 0..cols {
                    weight[row * cols + k] += d.values(lane)[row] * x.values(lane)[k];
                }
            }
        }
    }
    (weight, bias)
}

/// All gradients, with their names in the fixture.
fn gradients(level: Level, weights: &Weights, moments: &[Moment]) -> Vec<(String, Vec<f32>)> {
    let mut found = Gradients::new(&CONFIG, STEPS, moments[0].tokens().len()).unwrap();
    found.run(level, weights, moments.iter());
    let (mut all, h) = (Vec::new(), CONFIG.hidden);
    for l in 0..CONFIG.layers {
        let steps = || moments.iter().enumerate();
        let (w, b) = outer(steps().map(|(i, m)| (found.input(i, l), m.input(l))), 3 * h, CONFIG.inputs(l));
        all.extend([(format!("layers.{l}.weight_ih"), w), (format!("layers.{l}.bias_ih"), b)]);
        let (w, b) = outer(steps().map(|(i, m)| (found.recurrent(i, l), m.before(l))), 3 * h, h);
        all.extend([(format!("layers.{l}.weight_hh"), w), (format!("layers.{l}.bias_hh"), b)]);
    }
    let trained = moments.iter().filter(|m| m.trains).map(|m| (&m.error, &m.features));
    let (w, b) = outer(trained, VOCAB, CONFIG.features());
    all.extend([("head.weight".to_owned(), w), ("head.bias".to_owned(), b)]);
    let mut embeddings = vec![0.0; VOCAB * CONFIG.embed];
    for (i, m) in moments.iter().enumerate() {
        for (lane, token) in m.tokens().iter().enumerate() {
            let row = &mut embeddings[usize::from(*token) * CONFIG.embed..][..CONFIG.embed];
            row.iter_mut().zip(found.embedding(i).values(lane)).for_each(|(sum, g)| *sum += g);
        }
    }
    all.push(("embeddings".to_owned(), embeddings));
    all
}

#[test]
fn logits_and_gradients_agree_with_autograd() {
    let mut fixture = Fixture::open();
    let weights = fixture.weights();
    let want = fixture.get("logits");
    for level in Level::available() {
        let (moments, logits, _) = run(level, &weights, &[text()]);
        for (logits, want) in logits.iter().zip(want.chunks_exact(VOCAB)) {
            assert!(logits.values(0).iter().zip(want).all(|(a, b)| (a - b).abs() < 2e-6), "{level:?}");
        }
        for (name, found) in gradients(level, &weights, &moments) {
            let want = fixture.get(&format!("grad.{name}"));
            let size = want.iter().fold(0f32, |m, x| m.max(x.abs()));
            assert!(size > 1e-3, "{name} is all but zero");
            let worst = found.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(found.len() == want.len() && worst < 1e-5 * size.max(1.0), "{name} {level:?}: {worst} of {size}");
        }
    }
}

#[test]
fn every_level_has_the_same_bits() {
    let weights = Fixture::open().weights();
    // Two lanes with different texts.
    let texts = [text(), text().into_iter().rev().collect()];
    let bits = |level| {
        let (moments, logits, _) = run(level, &weights, &texts);
        let gradients = gradients(level, &weights, &moments);
        let logits = logits.iter().flat_map(|l| l.all()).flat_map(|v| v.0);
        logits.chain(gradients.into_iter().flat_map(|(_, g)| g)).map(f32::to_bits).collect::<Vec<_>>()
    };
    let want = bits(Level::PORTABLE);
    assert!(Level::available().into_iter().all(|level| bits(level) == want));
    // A lane's logits do not depend on the other lane.
    let (_, both, _) = run(Level::PORTABLE, &weights, &texts);
    let (_, alone, _) = run(Level::PORTABLE, &weights, &texts[1..]);
    assert!(both.iter().zip(&alone).all(|(b, a)| b.values(1) == a.values(0)));
}

/// The i-th weight of a matrix in row-major order.
fn entry(matrix: &mut Matrix, i: usize) -> &mut f32 {
    let (row, k) = (i / matrix.cols, i % matrix.cols);
    &mut matrix.panels[row / 16 * matrix.cols + k].0[row % 16]
}

#[test]
fn gradients_agree_with_finite_differences() {
    type At = fn(&mut Weights, usize) -> &mut f32;
    let cases: [(&str, At); 6] = [
        ("layers.0.weight_ih", |w, i| entry(&mut w.layers[0].input, i)),
        ("layers.1.weight_ih", |w, i| entry(&mut w.layers[1].input, i)),
        ("layers.0.weight_hh", |w, i| entry(&mut w.layers[0].recurrent, i)),
        ("layers.1.bias_hh", |w, i| &mut flat_mut(&mut w.layers[1].recurrent.bias)[i]),
        ("head.weight", |w, i| entry(&mut w.head, i)),
        ("embeddings", |w, i| &mut flat_mut(w.embeddings.row_mut(i / 16))[i % 16]),
    ];
    let mut weights = Fixture::open().weights();
    let (moments, _, _) = run(Level::PORTABLE, &weights, &[text()]);
    let all = gradients(Level::PORTABLE, &weights, &moments);
    let mut random = Random::new(1, "differences");
    for (name, at) in cases {
        let gradient = &all.iter().find(|(n, _)| n == name).unwrap().1;
        let large: Vec<usize> = (0..gradient.len()).filter(|i| gradient[*i].abs() > 1e-3).collect();
        for _ in 0..10 {
            let i = large[(random.next_u64() % large.len() as u64) as usize];
            let mut score = |step: f32| {
                *at(&mut weights, i) += step;
                let score = run(Level::PORTABLE, &weights, &[text()]).2;
                *at(&mut weights, i) -= step;
                score
            };
            let want = (score(1e-2) - score(-1e-2)) / 2e-2;
            assert!((f64::from(gradient[i]) - want).abs() < 1e-3, "{name} {i}: {} {want}", gradient[i]);
        }
    }
}
