//! Optimisers: SGD and Adam (Kingma, Ba 2015: "Adam: A Method for Stochastic Optimization").

use crate::error::Result;
use crate::numeric::buffer::filled;
use crate::numeric::simd::Simd;
use crate::numeric::transfer::Transfer;
use crate::numeric::vector::Vec16;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// The optimiser of some weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Train {
    /// The weights are frozen.
    None,
    /// Stochastic gradient descent.
    Sgd,
    /// Adam with beta 0.9 and 0.999, epsilon 1e-8.
    Adam,
}

/// First and second moments of the gradients of some weights. Empty unless the optimiser is Adam.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) first: Vec<Vec16>,
    pub(crate) second: Vec<Vec16>,
}

impl Moments {
    /// Zero moments of this many vectors of weights.
    pub(crate) fn new(vectors: usize, train: Train) -> Result<Self> {
        let n = if train == Train::Adam { vectors } else { 0 };
        let zeros = || filled(n, Vec16::ZERO, "the optimiser's moments");
        Ok(Self { first: zeros()?, second: zeros()? })
    }

    /// Stores or loads the moments.
    pub(crate) fn transfer(&mut self, t: &mut impl Transfer) -> Result<()> {
        t.floats(&mut self.first)?;
        t.floats(&mut self.second)
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.first.copy_from_slice(&other.first);
        self.second.copy_from_slice(&other.second);
    }
}

/// The factors of one step of Adam: `lr / (1 - beta1^t)` and `1 / (1 - beta2^t)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamStep {
    step: f32,
    correction: f32,
}

/// beta1^t and beta2^t.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Powers(pub(crate) [f32; 2]);

impl Powers {
    /// Before the first step.
    pub(crate) const FIRST: Self = Self([1.0; 2]);

    /// Counts a step and returns its factors.
    pub(crate) fn next(&mut self, lr: f32) -> AdamStep {
        self.0 = [self.0[0] * BETA1, self.0[1] * BETA2];
        AdamStep { step: lr * (1.0 / (1.0 - self.0[0])), correction: 1.0 / (1.0 - self.0[1]) }
    }
}

impl AdamStep {
    /// `m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w = w + (step * m) / (sqrt(v * correction) +
    /// epsilon)`.
    #[inline(always)]
    pub(crate) fn update<S: Simd>(self, s: S, g: S::F, w: &mut Vec16, m: &mut Vec16, v: &mut Vec16) {
        let c = |x: f32| s.splat(x);
        let first = c(BETA1) * s.load(m) + c(1.0 - BETA1) * g;
        let second = c(BETA2) * s.load(v) + c(1.0 - BETA2) * (g * g);
        s.store(first, m);
        s.store(second, v);
        let change = (c(self.step) * first) / (s.sqrt(second * c(self.correction)) + c(EPSILON));
        s.store(s.load(w) + change, w);
    }
}
