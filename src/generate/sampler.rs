//! The choice of a token from logits.

use super::options::{each, number};
use crate::error::{Result, fail, shortened};
use crate::numeric::buffer::{copied, filled};
use crate::numeric::level::Level;
use crate::numeric::math::{Function, map};
use crate::numeric::random::Random;
use crate::numeric::vector::{Vec16, flat, flat_mut, vectors};

/// How a token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampler {
    /// The largest logit; of equal ones the smallest token.
    Greedy,
    /// At random, with the probabilities of softmax(logits / temperature).
    Temperature {
        /// A positive number.
        temperature: f32,
        /// Determines the random numbers.
        seed: u64,
    },
}

impl Sampler {
    /// From a string: `temperature=0.8,seed=1`. A temperature of 0, or none, is greedy.
    ///
    /// # Errors
    /// `Argument`.
    pub fn parse(text: &str) -> Result<Self> {
        let (mut temperature, mut seed) = (0f32, 0);
        each(text, "sampler", |key, value| {
            match key {
                "temperature" => match value.parse::<f32>() {
                    Ok(t) if t == 0.0 || (1e-3..=1e3).contains(&t) => temperature = t,
                    _ => fail!(Argument, "temperature={} is not 0 or a number from 0.001 to 1000", shortened(value)),
                },
                "seed" => seed = number(key, value, 0, u64::MAX)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(if temperature == 0.0 { Self::Greedy } else { Self::Temperature { temperature, seed } })
    }

    /// Chooses the token at a position. A logit that is not finite counts as the lowest finite one.
    ///
    /// At random: with m the largest logit, token i has the integer weight floor(exp((x_i - m) / temperature) * 2^24).
    /// The number r = floor(u * sum / 2^64) chooses the first token at which the sum of weights exceeds r; u is output
    /// number `position`, from 0, of the seed's stream "gptz.sample".
    ///
    /// # Errors
    /// `Memory`.
    pub fn choose(&self, level: Level, logits: &[f32], position: u64) -> Result<u32> {
        let lowest = logits.iter().copied().filter(|x| x.is_finite()).reduce(|m, x| if x < m { x } else { m });
        let lowest = lowest.unwrap_or(0.0);
        let finite = |x: f32| if x.is_finite() { x } else { lowest };
        let mut best = (0, finite(logits[0]));
        for (i, x) in logits.iter().enumerate().skip(1) {
            if finite(*x) > best.1 {
                best = (i, finite(*x));
            }
        }
        let Self::Temperature { temperature, seed } = *self else { return Ok(best.0 as u32) };
        let mut e = filled(vectors(logits.len()), Vec16::ZERO, "probabilities")?;
        flat_mut(&mut e).iter_mut().zip(logits).for_each(|(e, x)| *e = (finite(*x) - best.1) / temperature);
        map(level, Function::Exp, &mut e);
        let weight = |e: &f32| (*e * 16_777_216.0) as u64;
        let weights = &flat(&e)[..logits.len()];
        let sum: u64 = weights.iter().map(weight).sum();
        let mut random = Random::new(seed, "gptz.sample");
        random.skip(position);
        let u = random.next_u64();
        let mut r = ((u128::from(u) * u128::from(sum)) >> 64) as u64;
        for (i, w) in weights.iter().map(weight).enumerate() {
            if r < w {
                return Ok(i as u32);
            }
            r -= w;
        }
        unreachable!("r is less than the sum, to which the largest logit adds 2^24")
    }
}

/// A copy of tokens.
pub(super) fn owned(tokens: &[u32]) -> Result<Vec<u32>> {
    copied(tokens, "a history")
}
