//! An output head that trains after each byte, by SGD or Adam. The loss is -ln p(byte).

use super::optimiser::{AdamStep, Moments, Powers, Train};
use crate::error::Result;
use crate::model::VOCAB;
use crate::numeric::buffer::{Rows, filled};
use crate::numeric::level::{Kernel, Level};
use crate::numeric::matmul::mul_rows;
use crate::numeric::simd::Simd;
use crate::numeric::transfer::Transfer;
use crate::numeric::vector::{Vec16, WIDTH};

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

    /// The logits for the features in the first `lanes` rows of `x`: the dot products, then the bias.
    pub fn logits(&self, level: Level, lanes: usize, x: &Rows, logits: &mut Rows) {
        let (panels, bias) = self.weights.split_at(self.cols * PANELS);
        mul_rows(level, panels, self.cols, lanes, x.span(0..lanes), logits.span_mut(0..lanes));
        (0..lanes).for_each(|lane| level.run(AddBias { bias, to: logits.row_mut(lane) }));
    }

    /// Whether the next [`Head::learn`], of `lanes` bytes, trains. If not, it ignores its errors.
    pub fn learns_next(&self, lanes: usize) -> bool {
        (self.countdown as usize) < lanes
    }

    /// Trains on a step: one byte in each of the first `lanes` lanes, by the mean of their gradients. A row of `errors` is
    /// target minus probability for each of the 256 outputs; a row of `x` is the head's input when it predicted the
    /// byte. Only steps with a stride-th byte train.
    pub fn learn(&mut self, level: Level, rule: &Rule, lanes: usize, errors: &Rows, x: &Rows) {
        let n = lanes as u32;
        if self.countdown >= n {
            self.countdown -= n;
            return;
        }
        // The first stride-th byte after this step.
        self.countdown = self.countdown + (n - self.countdown).div_ceil(rule.stride) * rule.stride - n;
        let share = 1.0 / lanes as f32;
        let batch = Batch { lanes, errors, x, share, least: rule.least };
        match rule.train {
            Train::None => {}
            Train::Sgd => level.run(Sgd { head: self, lr: rule.lr, batch }),
            Train::Adam => {
                let step = self.powers.next(rule.lr);
                level.run(Adam { head: self, step, batch });
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

/// The errors and inputs of a step.
struct Batch<'a> {
    lanes: usize,
    errors: &'a Rows,
    x: &'a Rows,
    /// One divided by the number of lanes.
    share: f32,
    /// See [`Rule::least`].
    least: f32,
}

/// The most lanes of a step.
const MOST_LANES: usize = 64;

impl Batch<'_> {
    /// The errors of a panel times `factor`, and the inputs, in those lanes in which the panel has an error that is not
    /// small. A panel with a NaN has one. The result is the number of these lanes.
    #[inline(always)]
    fn panel<'b, S: Simd>(
        &'b self,
        s: S,
        panel: usize,
        factor: f32,
        errors: &mut [Vec16; MOST_LANES],
        inputs: &mut [&'b [f32]; MOST_LANES],
    ) -> usize {
        let mut n = 0;
        for lane in 0..self.lanes {
            let error = &self.errors.row(lane)[panel];
            if !error.0.iter().all(|e| e.abs() < self.least) {
                s.store(s.splat(factor) * s.load(error), &mut errors[n]);
                inputs[n] = self.x.values(lane);
                n += 1;
            }
        }
        n
    }
}

/// The sum of the products of errors and the inputs `k`, lane by lane; `None`: the input 1 of the bias.
#[inline(always)]
fn gradient<S: Simd>(s: S, errors: &[Vec16], inputs: &[&[f32]], k: Option<usize>) -> S::F {
    let product = |(error, x): (&Vec16, &&[f32])| match k {
        Some(k) => s.load(error) * s.splat(x[k]),
        None => s.load(error),
    };
    let mut lanes = errors.iter().zip(inputs);
    let mut sum = lanes.next().map_or(s.splat(0.0), product);
    for lane in lanes {
        sum = sum + product(lane);
    }
    sum
}

/// `w = w + sum of ((lr * share) * error) * x`.
struct Sgd<'a> {
    head: &'a mut Head,
    lr: f32,
    batch: Batch<'a>,
}

impl Kernel for Sgd<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { head: Head { cols, weights, .. }, lr, batch } = self;
        let (panels, bias) = weights.split_at_mut(*cols * PANELS);
        let (mut errors, mut inputs) = ([Vec16::ZERO; MOST_LANES], [&[][..]; MOST_LANES]);
        for p in 0..PANELS {
            let n = batch.panel(s, p, lr * batch.share, &mut errors, &mut inputs);
            if n == 0 {
                continue;
            }
            let (errors, inputs) = (&errors[..n], &inputs[..n]);
            for (k, w) in panels[p * *cols..][..*cols].iter_mut().enumerate() {
                s.store(s.load(w) + gradient(s, errors, inputs, Some(k)), w);
            }
            s.store(s.load(&bias[p]) + gradient(s, errors, inputs, None), &mut bias[p]);
        }
    }
}

/// Adam with the gradient `sum of (share * error) * x`.
struct Adam<'a> {
    head: &'a mut Head,
    step: AdamStep,
    batch: Batch<'a>,
}

impl Kernel for Adam<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { head, step, batch } = self;
        let Head { cols, weights: w, moments: Moments { first: m, second: v }, .. } = head;
        let (cols, all) = (*cols, *cols * PANELS);
        let (mut errors, mut inputs) = ([Vec16::ZERO; MOST_LANES], [&[][..]; MOST_LANES]);
        for p in 0..PANELS {
            let n = batch.panel(s, p, batch.share, &mut errors, &mut inputs);
            if n == 0 {
                continue;
            }
            let (errors, inputs) = (&errors[..n], &inputs[..n]);
            let part = p * cols..(p + 1) * cols;
            let panel = w[part.clone()].iter_mut().zip(&mut m[part.clone()]).zip(&mut v[part]);
            for (k, ((w, m), v)) in panel.enumerate() {
                step.update(s, gradient(s, errors, inputs, Some(k)), w, m, v);
            }
            let g = gradient(s, errors, inputs, None);
            step.update(s, g, &mut w[all + p], &mut m[all + p], &mut v[all + p]);
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
                        head.learn(level, &rule, 1, &rows(1, &error), &rows(1, &x));
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
        let error = |o: usize| (f64::from(u8::from(o == target)) - logit(o).exp() / sum) as f32;
        let errors = rows(1, &(0..VOCAB).map(error).collect::<Vec<_>>());
        let rule = Rule { train: Train::Sgd, lr: 1.0, stride: 1, least: 0.0 };
        head.learn(Level::current(), &rule, 1, &errors, &rows(1, &x));
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
                let next = head.learns_next(1);
                head.learn(Level::PORTABLE, &rule, 1, &rows(1, &[0.5; VOCAB]), &rows(1, &[1.0; 4]));
                assert_eq!(next, before != unpacked(&head));
                next
            })
            .collect();
        assert_eq!(learned, [true, false, false, true, false, false, true]);
    }

    /// The same update of a step of several lanes, weight by weight, with groups that some lanes skip.
    #[test]
    fn lanes_learn_by_the_mean_of_their_gradients_as_the_naive_loop_does() {
        let (cols, lr, least) = (20, 0.003f32, 0.9f32);
        for (train, lanes) in [Train::Sgd, Train::Adam].into_iter().flat_map(|train| [2, 3, 8, 64].map(|n| (train, n)))
        {
            for level in Level::available() {
                let mut random = Random::new(9, "lanes");
                let panels: Vec<Vec16> =
                    (0..cols * PANELS).map(|_| Vec16(std::array::from_fn(|_| random.symmetric()))).collect();
                let mut head = Head::new(&panels, train).unwrap();
                let mut w = unpacked(&head);
                let errors = values(&mut random, lanes * VOCAB, KINDS[0]);
                let x = values(&mut random, lanes * cols, KINDS[0]);
                let rule = Rule { train, lr, stride: 1, least };
                head.learn(level, &rule, lanes, &rows(lanes, &errors), &rows(lanes, &x));
                let share = 1.0 / lanes as f32;
                for o in 0..VOCAB {
                    let group = |lane: usize| &errors[lane * VOCAB + o / WIDTH * WIDTH..][..WIDTH];
                    let used: Vec<usize> = (0..lanes).filter(|l| group(*l).iter().any(|e| e.abs() >= least)).collect();
                    for k in (0..=cols).filter(|_| !used.is_empty()) {
                        let factor = if train == Train::Sgd { lr * share } else { share };
                        let input = |lane: usize| if k < cols { x[lane * cols + k] } else { 1.0 };
                        let mut products = used.iter().map(|l| (factor * errors[l * VOCAB + o]) * input(*l));
                        let first = products.next().unwrap();
                        let g = products.fold(first, |sum, product| sum + product);
                        w[o * (cols + 1) + k] += match train {
                            Train::Sgd => g,
                            _ => {
                                let (m, v) = ((1.0 - 0.9f32) * g, (1.0 - 0.999f32) * (g * g));
                                let (step, c) = (lr * (1.0 / (1.0 - 0.9f32)), 1.0 / (1.0 - 0.999f32));
                                (step * m) / ((v * c).sqrt() + 1e-8)
                            }
                        };
                    }
                }
                assert_same(&unpacked(&head), &w, &format!("{train:?} {lanes} {level:?}"));
            }
        }
    }

    #[test]
    fn a_step_with_a_stride_th_byte_trains() {
        let mut head = Head::new(&vec![Vec16::ZERO; 4 * PANELS], Train::Sgd).unwrap();
        let rule = Rule { train: Train::Sgd, lr: 1.0, stride: 10, least: 0.0 };
        // Bytes 0, 10, 20 and so on, in steps of 4, 4, 4, 1, 4, 4, 64 and 3 bytes.
        let learned = [4, 4, 4, 1, 4, 4, 64, 3].map(|lanes| {
            let before = unpacked(&head);
            let next = head.learns_next(lanes);
            head.learn(
                Level::PORTABLE,
                &rule,
                lanes,
                &rows(lanes, &vec![0.5; lanes * VOCAB]),
                &rows(lanes, &vec![1.0; 4 * lanes]),
            );
            assert_eq!(next, before != unpacked(&head));
            next
        });
        assert_eq!(learned, [true, false, true, false, false, true, true, false]);
        assert_eq!(head.countdown, 2, "88 bytes");
    }
}
