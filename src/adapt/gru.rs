//! A GRU that learns all its weights from each byte, by truncated backpropagation through time.

use super::optimiser::{AdamStep, Moments, Powers, Train};
use crate::coder::Frequencies;
use crate::error::Result;
use crate::model::VOCAB;
use crate::model::gru::{Config, Gradients, Matrix, Moment, Scratch, Weights};
use crate::numeric::buffer::{Rows, filled, made};
use crate::numeric::level::{Kernel, Level};
use crate::numeric::random::Random;
use crate::numeric::simd::Simd;
use crate::numeric::vector::{Vec16, WIDTH};
use crate::numeric::visit::Visitor;

/// How and how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The optimiser.
    pub train: Train,
    /// Learning rate.
    pub lr: f32,
    /// Each weight's gradient is cut to this, up and down, before it serves.
    pub clip: f32,
    /// How many steps errors go back.
    pub bptt: u32,
    /// Learns after every stride-th byte, from the losses since then; at most `bptt`.
    pub stride: u32,
    /// How many earlier stretches of text it learns from again each time.
    pub replay: u32,
}

/// Weights, what the optimiser remembers, and the last steps: all that bytes have changed.
#[derive(Debug)]
pub struct Gru {
    weights: Weights,
    /// In the order of [`Weights::matrices`], panels before biases; then the embeddings'.
    moments: Vec<Moments>,
    powers: Powers,
    /// The last steps in a ring, which has room for one more.
    tape: Vec<Moment>,
    /// Where the latest one is, and how many count.
    latest: usize,
    held: usize,
    /// Bytes until it learns.
    wait: u32,
    /// The text so far, where stretches of it are learned from again: the last bytes, in a ring.
    past: Vec<u8>,
    /// How many bytes there were.
    count: u64,
    /// Chooses stretches.
    random: Random,
}

/// How much text is kept to be learned from again.
const PAST: usize = 1 << 18;

/// Memory to work in.
#[derive(Debug)]
pub struct Workspace {
    scratch: Scratch,
    gradients: Gradients,
    pairs: Pairs,
    embeddings: Sums,
    again: Option<Again>,
}

/// Earlier stretches of text, side by side in lanes.
#[derive(Debug)]
struct Again {
    tape: Vec<Moment>,
    gradients: Gradients,
    scratch: Scratch,
    logits: Rows,
    frequencies: Frequencies,
    starts: Vec<u64>,
    tokens: Vec<u8>,
}

impl Workspace {
    /// For one lane.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(config: &Config, rule: &Rule) -> Result<Self> {
        let steps = rule.bptt as usize;
        Ok(Self {
            scratch: Scratch::new(config, LANES)?,
            gradients: Gradients::new(config, steps, LANES)?,
            pairs: Pairs::new(config, steps * (LANES + rule.replay as usize))?,
            embeddings: Sums { bytes: filled(VOCAB, 0, "gradients")?, used: 0, sums: Rows::new(VOCAB, config.embed)? },
            again: if rule.replay == 0 { None } else { Some(Again::new(config, rule)?) },
        })
    }
}

impl Again {
    fn new(config: &Config, rule: &Rule) -> Result<Self> {
        let lanes = rule.replay as usize;
        Ok(Self {
            tape: made(rule.bptt as usize, "activations", |_| Moment::new(config, lanes))?,
            gradients: Gradients::new(config, rule.bptt as usize, lanes)?,
            scratch: Scratch::new(config, lanes)?,
            logits: Rows::new(lanes, VOCAB)?,
            frequencies: Frequencies::default(),
            starts: filled(lanes, 0, "stretches")?,
            tokens: filled(lanes, 0, "stretches")?,
        })
    }

    /// Steps through stretches that `random` chooses, from states of zero, and back.
    fn run(&mut self, level: Level, weights: &Weights, past: &[u8], count: u64, random: &mut Random) {
        let (steps, all) = (self.tape.len() as u64, count.min(past.len() as u64));
        let byte = |at: u64| past[(at % past.len() as u64) as usize];
        for start in &mut self.starts {
            *start = count - all + random.next_u64() % (all - steps);
        }
        for step in 0..self.tape.len() {
            for (token, start) in self.tokens.iter_mut().zip(&self.starts) {
                *token = byte(start + step as u64);
            }
            let (before, now) = self.tape.split_at_mut(step);
            let now = &mut now[0];
            weights.step(level, &self.tokens, before.last(), &mut self.scratch, now);
            // States know nothing at first.
            now.trains = 4 * step as u64 >= steps;
            if now.trains {
                weights.logits(level, &now.features, &mut self.logits);
                for (lane, start) in self.starts.iter().enumerate() {
                    self.frequencies.set(level, self.logits.row(lane));
                    let error = self.frequencies.error(byte(start + step as u64 + 1));
                    now.error.row_mut(lane).copy_from_slice(&error);
                }
            }
        }
        self.gradients.run(level, weights, self.tape.iter());
    }
}

/// A session codes one lane.
const LANES: usize = 1;

impl Gru {
    /// Before any byte.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(config: &Config, seed: u64, rule: &Rule) -> Result<Self> {
        let weights = Weights::new(config, seed)?;
        let mut moments = made(2 * config.layers + 2, "the optimiser's moments", |_| Moments::new(0, rule.train))?;
        let vectors = weights.matrices().map(|m| m.panels.len() + m.bias.len());
        for (moments, n) in moments.iter_mut().zip(vectors.chain([weights.embeddings.all().len()])) {
            *moments = Moments::new(n, rule.train)?;
        }
        Ok(Self {
            moments,
            powers: Powers::FIRST,
            tape: made(rule.bptt as usize + 1, "activations", |_| Moment::new(config, LANES))?,
            weights,
            latest: 0,
            held: 0,
            wait: rule.stride,
            past: if rule.replay > 0 { filled(PAST, 0, "the text so far")? } else { Vec::new() },
            count: 0,
            random: Random::new(seed, "gru.replay"),
        })
    }

    /// How many bytes one takes, and its workspace; saturates.
    pub fn bytes(config: &Config, rule: &Rule) -> u64 {
        let copies = if rule.train == Train::Adam { 3 } else { 1 };
        let (layers, hidden, steps) = (config.layers as u64, config.hidden as u64, u64::from(rule.bptt));
        // What a moment and a step's gradients hold, and the pairs that are made of them.
        let step = layers * (4 * config.embed as u64 + 18 * hidden) + 3 * VOCAB as u64;
        let lanes = 1 + u64::from(rule.replay);
        let stretches = lanes.saturating_mul(steps).saturating_add(1);
        let rest = VOCAB as u64 * (config.embed as u64 + lanes) + lanes * hidden * (6 + layers);
        let floats = config.parameters().saturating_mul(copies).saturating_add(step.saturating_mul(stretches));
        let past = if rule.replay > 0 { PAST as u64 } else { 0 };
        floats.saturating_add(rest).saturating_mul(4).saturating_add(past)
    }

    /// How many multiplications a byte takes, about; saturates.
    pub fn work(config: &Config, rule: &Rule) -> u64 {
        // Forward, and twice as much backward, over each stretch.
        let passes = 2 * u64::from(rule.bptt) + 3 * u64::from(rule.bptt) * u64::from(rule.replay);
        config.parameters().saturating_mul(2 + passes / u64::from(rule.stride))
    }

    /// Takes over another one of the same shape and rule, without taking memory.
    pub fn copy_from(&mut self, other: &Self) {
        self.weights.copy_from(&other.weights);
        for (to, from) in self.moments.iter_mut().zip(&other.moments) {
            to.copy_from(from);
        }
        for (to, from) in self.tape.iter_mut().zip(&other.tape) {
            to.copy_from(from);
        }
        (self.powers, self.latest, self.held, self.wait) = (other.powers, other.latest, other.held, other.wait);
        self.past.copy_from_slice(&other.past);
        (self.count, self.random) = (other.count, other.random.clone());
    }

    /// Shows all that it holds, in a fixed order.
    pub fn visit(&self, visitor: &mut impl Visitor) {
        visitor.floats(self.weights.embeddings.all());
        for matrix in self.weights.matrices() {
            visitor.floats(&matrix.panels);
            visitor.floats(&matrix.bias);
        }
        for moments in &self.moments {
            visitor.floats(&moments.first);
            visitor.floats(&moments.second);
        }
        for moment in self.steps() {
            visitor.bytes(moment.tokens());
            visitor.bytes(&[moment.trains.into()]);
            moment.parts().for_each(|part| visitor.floats(part));
        }
        visitor.bytes(self.powers.0.map(f32::to_le_bytes).as_flattened());
        visitor.bytes(&self.wait.to_le_bytes());
        if !self.past.is_empty() {
            visitor.bytes(&self.count.to_le_bytes());
            visitor.bytes(&self.random.state().to_le_bytes());
            // In the order of the text.
            let (newest, oldest) = self.past.split_at(self.count as usize % PAST);
            if self.count > PAST as u64 {
                visitor.bytes(oldest);
            }
            visitor.bytes(newest);
        }
    }

    /// The steps that count, the earliest first.
    fn steps(&self) -> impl DoubleEndedIterator<Item = &Moment> {
        let n = self.tape.len();
        (0..self.held).rev().map(move |back| &self.tape[(self.latest + n - back) % n])
    }

    /// Takes in a byte.
    pub fn step(&mut self, level: Level, byte: u8, work: &mut Workspace) {
        if !self.past.is_empty() {
            self.past[self.count as usize % PAST] = byte;
            self.count += 1;
        }
        let n = self.tape.len();
        let next = (self.latest + 1) % n;
        let [now, before] = self.tape.get_disjoint_mut([next, self.latest]).expect("a ring of two at least");
        let before = (self.held > 0).then_some(&*before);
        self.weights.step(level, &[byte], before, &mut work.scratch, now);
        (self.latest, self.held) = (next, (self.held + 1).min(n - 1));
    }

    /// The logits of the next byte.
    pub fn logits(&self, level: Level, logits: &mut Rows) {
        self.weights.logits(level, &self.tape[self.latest].features, logits);
    }

    /// Learns from a byte: `error` holds, for each of 256 outputs, target minus probability.
    pub fn learn(&mut self, level: Level, rule: &Rule, error: &[Vec16; VOCAB / WIDTH], work: &mut Workspace) {
        let latest = &mut self.tape[self.latest];
        latest.error.row_mut(0).copy_from_slice(error);
        latest.trains = true;
        self.wait -= 1;
        if self.wait == 0 {
            self.wait = rule.stride;
            self.train(level, rule, work);
        }
    }

    fn train(&mut self, level: Level, rule: &Rule, work: &mut Workspace) {
        let (tape, latest, held) = (&self.tape, self.latest, self.held);
        let live = |step: usize| &tape[(latest + tape.len() + 1 + step - held) % tape.len()];
        let Workspace { gradients, pairs, embeddings, again, .. } = work;
        gradients.run(level, &self.weights, (0..held).map(live));
        let again = again.as_mut().filter(|again| self.count > 2 * again.tape.len() as u64);
        let again = again.map(|again| {
            again.run(level, &self.weights, &self.past, self.count, &mut self.random);
            &*again
        });
        // Earlier stretches first, then the live one: moments, and which of whose gradients are theirs.
        let earlier = || again.into_iter().flat_map(|a| a.tape.iter().enumerate().map(|(i, m)| (m, &a.gradients, i)));
        let steps = || earlier().chain((0..held).map(|i| (live(i), &*gradients, i)));
        let adam = (rule.train == Train::Adam).then(|| self.powers.next(rule.lr));
        let how = How { lr: rule.lr, clip: rule.clip, adam };
        let mut remembered = self.moments.iter_mut();
        let mut learn = |matrix: &mut Matrix, pairs: &Pairs| {
            let moments = remembered.next().expect("as many as there are matrices");
            level.run(Descend { matrix, moments, pairs, how });
        };
        for (l, layer) in self.weights.layers.iter_mut().enumerate() {
            pairs.gather(steps().map(|(m, g, i)| (g.input(i, l), m.input(l))), layer.input.cols);
            learn(&mut layer.input, pairs);
            pairs.gather(steps().map(|(m, g, i)| (g.recurrent(i, l), m.before(l))), layer.recurrent.cols);
            learn(&mut layer.recurrent, pairs);
        }
        let trained = steps().filter(|(m, ..)| m.trains).map(|(m, ..)| (&m.error, &m.features));
        pairs.gather(trained, self.weights.head.cols);
        learn(&mut self.weights.head, pairs);
        embeddings.gather(steps().map(|(m, g, i)| (m.tokens(), g.embedding(i))));
        let moments = remembered.next().expect("the embeddings' come last");
        level.run(DescendRows { rows: &mut self.weights.embeddings, moments, sums: embeddings, how });
        self.tape.iter_mut().for_each(|moment| moment.trains = false);
    }
}

/// A step of the optimiser.
#[derive(Clone, Copy, Debug)]
struct How {
    lr: f32,
    clip: f32,
    adam: Option<AdamStep>,
}

impl How {
    /// Moves the weights at `i` along a gradient.
    #[inline(always)]
    fn update<S: Simd>(self, s: S, g: S::F, w: &mut Vec16, moments: &mut Moments, i: usize) {
        // A NaN becomes the lower bound.
        let g = s.min(s.max(g, s.splat(-self.clip)), s.splat(self.clip));
        match self.adam {
            Some(step) => step.update(s, g, w, &mut moments.first[i], &mut moments.second[i]),
            None => s.store(s.load(w) + s.splat(self.lr) * g, w),
        }
    }
}

/// What a matrix gave, and took in, over time and lanes: its gradient is the sum of their outer products in this order.
#[derive(Debug)]
struct Pairs {
    /// `[panel][pair]`.
    deltas: Vec<Vec16>,
    /// `[input][pair]`.
    inputs: Vec<f32>,
    pairs: usize,
}

impl Pairs {
    fn new(config: &Config, pairs: usize) -> Result<Self> {
        let outputs = (3 * config.hidden).max(VOCAB) / WIDTH;
        let inputs = (config.embed + config.hidden).max(config.features());
        Ok(Self {
            deltas: filled(outputs * pairs, Vec16::ZERO, "gradients")?,
            inputs: filled(inputs * pairs, 0.0, "gradients")?,
            pairs: 0,
        })
    }

    /// Takes in the steps, each with a row a lane.
    fn gather<'a>(&mut self, steps: impl Iterator<Item = (&'a Rows, &'a Rows)> + Clone, cols: usize) {
        self.pairs = steps.clone().map(|(deltas, _)| deltas.lanes()).sum();
        let rows = steps.flat_map(|(d, x)| (0..d.lanes()).map(move |lane| (d.row(lane), &x.values(lane)[..cols])));
        for (i, (deltas, inputs)) in rows.enumerate() {
            for (to, d) in self.deltas[i..].iter_mut().step_by(self.pairs).zip(deltas) {
                *to = *d;
            }
            for (to, x) in self.inputs[i..].iter_mut().step_by(self.pairs).zip(inputs) {
                *to = *x;
            }
        }
    }
}

/// A step of a matrix and its bias.
struct Descend<'a> {
    matrix: &'a mut Matrix,
    moments: &'a mut Moments,
    pairs: &'a Pairs,
    how: How,
}

impl Kernel for Descend<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const AT_ONCE: usize = 4;
        let Self { matrix, moments, pairs: Pairs { deltas, inputs, pairs }, how } = self;
        let (cols, n) = (matrix.cols, *pairs);
        if n == 0 {
            return;
        }
        let all = matrix.panels.len();
        for (p, deltas) in deltas.chunks_exact(n).take(matrix.bias.len()).enumerate() {
            for k in (0..cols).step_by(AT_ONCE) {
                let inputs: [&[f32]; AT_ONCE] = std::array::from_fn(|i| &inputs[(k + i) * n..][..n]);
                let mut g = [s.splat(0.0); AT_ONCE];
                for (t, d) in deltas.iter().enumerate() {
                    let d = s.load(d);
                    for (g, x) in g.iter_mut().zip(inputs) {
                        *g = *g + d * s.splat(x[t]);
                    }
                }
                let at = p * cols + k;
                for (i, g) in g.into_iter().enumerate() {
                    how.update(s, g, &mut matrix.panels[at + i], moments, at + i);
                }
            }
            let g = deltas.iter().fold(s.splat(0.0), |g, d| g + s.load(d));
            how.update(s, g, &mut matrix.bias[p], moments, all + p);
        }
    }
}

/// Gradients of the embeddings that were used, each byte once, in the order they first came.
#[derive(Debug)]
struct Sums {
    /// Room for all.
    bytes: Vec<u8>,
    /// How many there are.
    used: usize,
    sums: Rows,
}

impl Sums {
    fn gather<'a>(&mut self, steps: impl Iterator<Item = (&'a [u8], &'a Rows)>) {
        self.used = 0;
        for (byte, more) in steps.flat_map(|(bytes, rows)| bytes.iter().zip((0..rows.lanes()).map(|l| rows.row(l)))) {
            match self.bytes[..self.used].iter().position(|b| b == byte) {
                Some(at) => {
                    for (to, more) in self.sums.row_mut(at).iter_mut().zip(more) {
                        to.0.iter_mut().zip(more.0).for_each(|(to, more)| *to += more);
                    }
                }
                None => {
                    self.sums.row_mut(self.used).copy_from_slice(more);
                    self.bytes[self.used] = *byte;
                    self.used += 1;
                }
            }
        }
    }
}

/// A step of some rows.
struct DescendRows<'a> {
    rows: &'a mut Rows,
    moments: &'a mut Moments,
    sums: &'a Sums,
    how: How,
}

impl Kernel for DescendRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (i, byte) in self.sums.bytes[..self.sums.used].iter().enumerate() {
            let row = self.rows.row_mut((*byte).into());
            let first = usize::from(*byte) * row.len();
            for (j, (w, g)) in row.iter_mut().zip(self.sums.sums.row(i)).enumerate() {
                self.how.update(s, s.load(g), w, self.moments, first + j);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::testing::assert_same;
    use crate::numeric::vector::flat;

    /// All of a state, as numbers.
    #[derive(Default)]
    struct Collected(Vec<u32>);

    impl Visitor for Collected {
        fn floats(&mut self, vectors: &[Vec16]) {
            self.0.extend(flat(vectors).iter().map(|x| x.to_bits()));
        }

        fn bytes(&mut self, bytes: &[u8]) {
            self.0.extend(bytes.iter().map(|b| u32::from(*b)));
        }
    }

    const CONFIG: Config = Config { embed: 16, hidden: 32, layers: 2 };
    const RULE: Rule = Rule { train: Train::Adam, lr: 0.01, clip: 0.02, bptt: 6, stride: 2, replay: 3 };

    fn probability(gru: &Gru, byte: u8) -> f32 {
        let mut logits = Rows::new(1, VOCAB).unwrap();
        gru.logits(Level::current(), &mut logits);
        let mut frequencies = Frequencies::default();
        frequencies.set(Level::current(), logits.row(0));
        flat(&frequencies.probabilities())[usize::from(byte)]
    }

    fn observe(level: Level, gru: &mut Gru, rule: &Rule, work: &mut Workspace, byte: u8) {
        let mut logits = Rows::new(1, VOCAB).unwrap();
        gru.logits(level, &mut logits);
        let mut frequencies = Frequencies::default();
        frequencies.set(level, logits.row(0));
        gru.learn(level, rule, &frequencies.error(byte), work);
        gru.step(level, byte, work);
    }

    fn all(gru: &Gru) -> Vec<u32> {
        let mut all = Collected::default();
        gru.visit(&mut all);
        all.0
    }

    #[test]
    fn a_stream_of_ab_is_learned() {
        let plain = Rule { train: Train::Sgd, lr: 0.01, clip: 5.0, bptt: 10, stride: 1, replay: 0 };
        for (config, rule) in [(Config::default(), plain), (CONFIG, RULE)] {
            let level = Level::current();
            let (mut gru, mut work) = (Gru::new(&config, 0, &rule).unwrap(), Workspace::new(&config, &rule).unwrap());
            gru.step(level, 0, &mut work);
            for i in 0..1001 {
                observe(level, &mut gru, &rule, &mut work, b"ab"[i % 2]);
            }
            assert!(probability(&gru, b'b') > 0.9, "{rule:?}: {}", probability(&gru, b'b'));
        }
    }

    #[test]
    fn every_level_learns_the_same_bits_and_a_copy_goes_on_alike() {
        let text: Vec<u8> = (0..60u32).map(|i| b"the cat sat on "[(i * i % 15) as usize]).collect();
        let run = |level| {
            let mut gru = Gru::new(&CONFIG, 1, &RULE).unwrap();
            let mut work = Workspace::new(&CONFIG, &RULE).unwrap();
            gru.step(level, 0, &mut work);
            text[..40].iter().for_each(|byte| observe(level, &mut gru, &RULE, &mut work, *byte));
            let mut copy = Gru::new(&CONFIG, 1, &RULE).unwrap();
            copy.copy_from(&gru);
            for one in [&mut gru, &mut copy] {
                text[40..].iter().for_each(|byte| observe(level, one, &RULE, &mut work, *byte));
            }
            assert_eq!(all(&gru), all(&copy));
            all(&gru)
        };
        let want = run(Level::PORTABLE);
        assert!(Level::available().into_iter().all(|level| run(level) == want));
        assert_ne!(want, all(&Gru::new(&CONFIG, 1, &RULE).unwrap()));
    }

    #[test]
    fn a_step_is_the_naive_one() {
        // Two steps of two lanes: gradients are sums over (time, lane), cut, then a step.
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
            let mut pairs = Pairs::new(&CONFIG, 4).unwrap();
            let mut steps: Vec<(Rows, Rows)> =
                (0..2).map(|_| (Rows::new(2, rows).unwrap(), Rows::new(2, cols).unwrap())).collect();
            steps.iter_mut().for_each(|(d, x)| (fill(d), fill(x)).0);
            pairs.gather(steps.iter().map(|(d, x)| (d, x)), cols);
            let mut matrix = Matrix::new(rows, cols).unwrap();
            let mut moments = Moments::new(matrix.panels.len() + matrix.bias.len(), train).unwrap();
            let adam = (train == Train::Adam).then(|| Powers::FIRST.clone().next(0.1));
            let how = How { lr: 0.1, clip: 0.6, adam };
            level.run(Descend { matrix: &mut matrix, moments: &mut moments, pairs: &pairs, how });
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
}
