//! An output head that trains after each byte, by SGD or Adam. The loss is -ln p(byte).

use super::optimiser::{AdamStep, Moments, Powers, Train};
use crate::error::Result;
use crate::model::VOCAB;
use crate::numeric::buffer::{Rows, filled};
use crate::numeric::level::{Kernel, Level};
use crate::numeric::matmul::mul_panels;
use crate::numeric::simd::Simd;
use crate::numeric::transfer::Transfer;
use crate::numeric::vector::{Vec16, WIDTH, flat};

const PANELS: usize = VOCAB / WIDTH;

/// How a head trains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The optimiser.
    pub train: Train,
    /// Learning rate.
    pub lr: f32,
    /// Trains on every stride-th byte, the first one included.
    pub stride: u32,
    /// A panel (16 outputs) is skipped if the magnitudes of all its errors are below this. After a good prediction that
    /// is most panels.
    pub least: f32,
}

/// A head of 256 outputs and a bias, in panels of sixteen outputs, with the optimiser's moments.
#[derive(Clone, Debug)]
pub struct Head {
    cols: usize,
    /// `[panel][k]`, then one vector a panel for the bias, which is the weight of a constant input 1.
    weights: Vec<Vec16>,
    /// In the order of the weights.
    moments: Moments,
    powers: Powers,
    /// The number of bytes before the next byte that is trained on.
    countdown: u32,
}

impl Head {
    /// Starts from a frozen head's panels, with a bias of zero.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(panels: &[Vec16], train: Train) -> Result<Self> {
        let cols = panels.len() / PANELS;
        let mut weights = filled(panels.len() + PANELS, Vec16::ZERO, "the trained head")?;
        weights[..panels.len()].copy_from_slice(panels);
        let moments = Moments::new(weights.len(), train)?;
        Ok(Self { cols, weights, moments, powers: Powers::FIRST, countdown: 0 })
    }

    /// The bytes that a head takes; saturates.
    pub fn bytes(cols: u64, train: Train) -> u64 {
        let copies = if train == Train::Adam { 3 } else { 1 };
        cols.saturating_add(1).saturating_mul(4 * VOCAB as u64 * copies)
    }

    /// Copies another head of the same shape. Allocates nothing.
    pub fn copy_from(&mut self, other: &Self) {
        self.weights.copy_from_slice(&other.weights);
        self.moments.copy_from(&other.moments);
        (self.powers, self.countdown) = (other.powers, other.countdown);
    }

    /// The logits for the features in row 0 of `x`: the dot product, then the bias.
    pub fn logits(&self, level: Level, x: &Rows, logits: &mut Rows) {
        let (panels, bias) = self.weights.split_at(self.cols * PANELS);
        mul_panels(level, panels, self.cols, x, logits);
        level.run(AddBias { bias, to: logits.row_mut(0) });
    }

    /// Whether the next [`Head::learn`] trains. If not, it ignores its error.
    pub fn learns_next(&self) -> bool {
        self.countdown == 0
    }

    /// Trains on a byte. `error` is target minus probability for each of the 256 outputs; `x` is the head's input when
    /// it predicted the byte. Only every stride-th call trains.
    pub fn learn(&mut self, level: Level, rule: &Rule, error: &[Vec16; PANELS], x: &[Vec16]) {
        if self.countdown > 0 {
            self.countdown -= 1;
            return;
        }
        self.countdown = rule.stride - 1;
        let x = &flat(x)[..self.cols];
        match rule.train {
            Train::None => {}
            Train::Sgd => level.run(Sgd { head: self, lr: rule.lr, least: rule.least, error, x }),
            Train::Adam => {
                let step = self.powers.next(rule.lr);
                level.run(Adam { head: self, step, least: rule.least, error, x });
            }
        }
    }

    /// Stores or loads the whole state: weights and moments, Adam's powers, the countdown.
    ///
    /// # Errors
    /// Those of `t`.
    pub fn transfer(&mut self, t: &mut impl Transfer) -> Result<()> {
        t.floats(&mut self.weights)?;
        self.moments.transfer(t)?;
        t.values(&mut self.powers.0)?;
        let mut countdown = self.countdown.into();
        t.number(&mut countdown, 0, u32::MAX.into(), "the countdown of a head")?;
        self.countdown = countdown as u32;
        Ok(())
    }
}

struct AddBias<'a> {
    bias: &'a [Vec16],
    to: &'a mut [Vec16],
}

impl Kernel for AddBias<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (to, bias) in self.to.iter_mut().zip(self.bias) {
            s.store(s.load(to) + s.load(bias), to);
        }
    }
}

/// Whether a panel is skipped. A panel with a NaN is not.
#[inline(always)]
fn is_small(error: &Vec16, least: f32) -> bool {
    error.0.iter().all(|e| e.abs() < least)
}

/// `w = w + (lr * error) * x`.
struct Sgd<'a> {
    head: &'a mut Head,
    lr: f32,
    least: f32,
    error: &'a [Vec16; PANELS],
    x: &'a [f32],
}

impl Kernel for Sgd<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (panels, bias) = self.head.weights.split_at_mut(self.head.cols * PANELS);
        for p in (0..PANELS).filter(|p| !is_small(&self.error[*p], self.least)) {
            let step = s.splat(self.lr) * s.load(&self.error[p]);
            for (w, x) in panels[p * self.head.cols..][..self.head.cols].iter_mut().zip(self.x) {
                s.store(s.load(w) + step * s.splat(*x), w);
            }
            s.store(s.load(&bias[p]) + step, &mut bias[p]);
        }
    }
}

/// Adam with the gradient `error * x`.
struct Adam<'a> {
    head: &'a mut Head,
    step: AdamStep,
    least: f32,
    error: &'a [Vec16; PANELS],
    x: &'a [f32],
}

impl Kernel for Adam<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Head { cols, weights: w, moments: Moments { first: m, second: v }, .. } = self.head;
        let (cols, n) = (*cols, *cols * PANELS);
        for p in (0..PANELS).filter(|p| !is_small(&self.error[*p], self.least)) {
            let error = s.load(&self.error[p]);
            let part = p * cols..(p + 1) * cols;
            let panel = w[part.clone()].iter_mut().zip(&mut m[part.clone()]).zip(&mut v[part]);
            for (((w, m), v), x) in panel.zip(self.x) {
                self.step.update(s, error * s.splat(*x), w, m, v);
            }
            self.step.update(s, error, &mut w[n + p], &mut m[n + p], &mut v[n + p]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::random::Random;
    use crate::numeric::testing::{KINDS, assert_same, rows, values};

    /// The same update, weight by weight.
    fn naive(w: &mut [f32], m: &mut [f32], v: &mut [f32], rule: &Rule, t: i32, error: &[f32], x: &[f32]) {
        let (mut b1, mut b2) = (1f32, 1f32);
        for _ in 0..t {
            (b1, b2) = (b1 * 0.9, b2 * 0.999);
        }
        let left = |o: usize| error[o / WIDTH * WIDTH..][..WIDTH].iter().all(|e| e.abs() < rule.least);
        for (o, error) in error.iter().enumerate().filter(|(o, _)| !left(*o)) {
            for (k, x) in x.iter().chain(&[1.0]).enumerate() {
                let i = o * (x_len(w) + 1) + k;
                match rule.train {
                    Train::Sgd => w[i] += (rule.lr * error) * x,
                    Train::Adam => {
                        let g = error * x;
                        m[i] = 0.9 * m[i] + (1.0 - 0.9f32) * g;
                        v[i] = 0.999 * v[i] + (1.0 - 0.999f32) * (g * g);
                        let step = rule.lr * (1.0 / (1.0 - b1));
                        w[i] += (step * m[i]) / ((v[i] * (1.0 / (1.0 - b2))).sqrt() + 1e-8);
                    }
                    Train::None => {}
                }
            }
        }
    }

    fn x_len(w: &[f32]) -> usize {
        w.len() / VOCAB - 1
    }

    /// Outputs by inputs and the bias, from the panels.
    fn unpacked(head: &Head) -> Vec<f32> {
        let mut out = Vec::new();
        for o in 0..VOCAB {
            let (panel, lane) = (o / 16, o % 16);
            out.extend(head.weights[panel * head.cols..][..head.cols].iter().map(|w| w.0[lane]));
            out.push(head.weights[head.cols * PANELS + panel].0[lane]);
        }
        out
    }

    #[test]
    fn every_level_learns_as_the_naive_loop_does() {
        for train in [Train::Sgd, Train::Adam] {
            // Sometimes all of sixteen values between -1 and 1 are below 0.9 in magnitude.
            for (cols, kind, least) in
                [(32, KINDS[0], 0.0), (7, KINDS[0], 0.9), (20, KINDS[1], 0.0), (16, KINDS[2], 0.0)]
            {
                for level in Level::available() {
                    let mut random = Random::new(3, "head");
                    let panels: Vec<Vec16> =
                        (0..cols * PANELS).map(|_| Vec16(std::array::from_fn(|_| random.symmetric()))).collect();
                    let mut head = Head::new(&panels, train).unwrap();
                    let rule = Rule { train, lr: 0.003, stride: 1, least };
                    let mut w = unpacked(&head);
                    let (mut m, mut v) = (vec![0.0; w.len()], vec![0.0; w.len()]);
                    for t in 1..=4 {
                        let x = values(&mut random, cols, kind);
                        let error = values(&mut random, VOCAB, kind);
                        let vectors: Vec<Vec16> = error.as_chunks::<16>().0.iter().map(|c| Vec16(*c)).collect();
                        let input = rows(1, &x);
                        head.learn(level, &rule, vectors[..].try_into().unwrap(), input.row(0));
                        naive(&mut w, &mut m, &mut v, &rule, t, &error, &x);
                        assert_same(&unpacked(&head), &w, &format!("{train:?} {cols} {kind:?} step {t} {level:?}"));
                    }
                }
            }
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_logarithm_of_the_probability() {
        // Against finite differences of ln softmax(W x + b)[target], in f64.
        let mut random = Random::new(5, "gradient");
        let cols = 9;
        let panels: Vec<Vec16> =
            (0..cols * PANELS).map(|_| Vec16(std::array::from_fn(|_| random.symmetric()))).collect();
        let mut head = Head::new(&panels, Train::Sgd).unwrap();
        let x = values(&mut random, cols, KINDS[0]);
        let target = 77;
        let before = unpacked(&head);
        let score = |w: &[f64]| {
            let logit = |o: usize| {
                let row = &w[o * (cols + 1)..][..cols + 1];
                row[cols] + row.iter().zip(&x).map(|(w, x)| w * f64::from(*x)).sum::<f64>()
            };
            logit(target) - (0..VOCAB).map(|o| logit(o).exp()).sum::<f64>().ln()
        };
        let w: Vec<f64> = before.iter().map(|w| f64::from(*w)).collect();
        let logit = |o: usize| {
            let row = &w[o * (cols + 1)..][..cols + 1];
            row[cols] + row.iter().zip(&x).map(|(w, x)| w * f64::from(*x)).sum::<f64>()
        };
        let sum: f64 = (0..VOCAB).map(|o| logit(o).exp()).sum();
        let error: [Vec16; PANELS] = std::array::from_fn(|p| {
            Vec16(std::array::from_fn(|l| {
                let o = p * 16 + l;
                (f64::from(u8::from(o == target)) - logit(o).exp() / sum) as f32
            }))
        });
        let rule = Rule { train: Train::Sgd, lr: 1.0, stride: 1, least: 0.0 };
        head.learn(Level::current(), &rule, &error, rows(1, &x).row(0));
        let after = unpacked(&head);
        for i in (0..before.len()).step_by(61) {
            let (mut up, mut down) = (w.clone(), w.clone());
            up[i] += 1e-4;
            down[i] -= 1e-4;
            let want = (score(&up) - score(&down)) / 2e-4;
            let found = f64::from(after[i] - before[i]);
            assert!((found - want).abs() < 1e-5, "weight {i}: {found}, finite difference {want}");
        }
    }

    #[test]
    fn stride_skips_bytes() {
        let panels = vec![Vec16::ZERO; 4 * PANELS];
        let mut head = Head::new(&panels, Train::Sgd).unwrap();
        let rule = Rule { train: Train::Sgd, lr: 1.0, stride: 3, least: 0.0 };
        let learned: Vec<bool> = (0..7)
            .map(|_| {
                let before = unpacked(&head);
                let next = head.learns_next();
                head.learn(Level::PORTABLE, &rule, &[Vec16([0.5; 16]); PANELS], &[Vec16([1.0; 16])]);
                assert_eq!(next, before != unpacked(&head));
                next
            })
            .collect();
        assert_eq!(learned, [true, false, false, true, false, false, true]);
    }
}
