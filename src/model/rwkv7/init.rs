//! Random initial weights. Each tensor has its own stream of the documented generator, so that a seed and a shape give
//! the same network on every machine.

use super::Config;
use crate::error::{Result, fail};
use crate::numeric::buffer::grow;
use crate::numeric::math::{Function, scalar};
use crate::numeric::random::Random;
use crate::weights::TensorSource;

/// A source of initial weights.
///
/// Vectors follow the reference initialisation of RWKV-7, which spreads time constants over channels and layers.
/// Matrices are uniform, with a variance that preserves the variance of their input. Only the head of such a network
/// may learn, so the other matrices keep their initial values (a reservoir). The usual initial value of output
/// matrices, zero, would pass no signal to the next layer.
#[derive(Clone, Debug)]
pub struct Init {
    config: Config,
    seed: u64,
}

impl Init {
    /// The initial weights of this shape and seed.
    pub fn new(config: Config, seed: u64) -> Self {
        Self { config, seed }
    }
}

/// x^p for x from 0 to 1, computed with the library's own exp and ln.
fn power(x: f32, p: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { scalar(Function::Exp, p * scalar(Function::Ln, x)) }
}

impl TensorSource for Init {
    fn tensor(&mut self, name: &str, shape: &[usize], out: &mut Vec<f32>) -> Result<()> {
        let n = shape.iter().product();
        out.clear();
        grow(out, n, name)?;
        let mut random = Random::new(self.seed, name);
        let parts: Vec<&str> = name.split('.').collect();
        let layer = parts.get(2).and_then(|l| l.parse::<usize>().ok()).unwrap_or(0);
        let depth = 1.0 - layer as f32 / self.config.layers as f32;
        let hidden = self.config.hidden as f32;
        // With inputs of variance 1, the outputs have `gain` as their standard deviation.
        let mut uniform = |gain: f32| {
            let bound = gain * (3.0 / shape[shape.len() - 1] as f32).sqrt();
            out.extend((0..n).map(|_| random.symmetric() * bound));
        };
        let part = if parts[0] == "model" && parts[1] == "layers" { parts[3..].join(".") } else { name.to_owned() };
        match &*part {
            "model.embeddings.weight" => uniform((hidden / 3.0).sqrt()),
            "lm_head.weight" => uniform(0.2),
            "attn.r_proj.weight" | "attn.k_proj.weight" | "attn.v_proj.weight" | "attn.o_proj.weight" => uniform(1.0),
            "ffn.key.weight" | "ffn.value.weight" => uniform(1.0),
            "attn.g_lora.lora.0.weight" | "attn.g_lora.lora.2.weight" => uniform(1.0),
            p if p.ends_with("_lora.lora.0.weight") || p.ends_with("_lora.lora.2.weight") => uniform(0.3),
            p => {
                let Some(value) = vector(p, depth, self.config.head_size) else {
                    fail!(Internal, "{name}: a tensor without an initialisation");
                };
                out.extend((0..n).map(|i| value(i as f32 / hidden, i)));
            }
        }
        Ok(())
    }
}

/// The initial values of a vector: a function of i / hidden and i.
fn vector(part: &str, depth: f32, head_size: usize) -> Option<Box<dyn Fn(f32, usize) -> f32>> {
    let shift = |p: f32| -> Box<dyn Fn(f32, usize) -> f32> { Box::new(move |x, _| 1.0 - power(x, p * depth)) };
    // From -1 to 1 within each head, with a small slope in the middle, so that each head has several time scales.
    let zigzag = move |i: usize| {
        let half = (head_size - 1) as f32 * 0.5;
        let z = ((i % head_size) as f32 - half) / half;
        z * z.abs()
    };
    Some(match part {
        "attn.x_r" | "attn.x_g" => shift(0.2),
        "attn.x_w" | "attn.x_a" => shift(0.9),
        "attn.x_k" | "attn.x_v" => shift(0.7),
        "ffn.x_k" => shift(depth * depth * depth),
        "attn.k_k" => Box::new(|x, _| 0.71 - 0.1 * (x - 0.5)),
        "attn.k_a" => Box::new(|_, _| 1.02),
        "attn.r_k" => Box::new(|_, _| -0.04),
        "attn.w_lora.lora.2.bias" => Box::new(move |x, i| -5.5 + 6.0 * power(x, 2.0 - depth) + 2.5 * zigzag(i)),
        "attn.a_lora.lora.2.bias" => Box::new(move |x, i| -0.19 + 0.3 * zigzag(i) + 0.4 * (x - 0.5)),
        "attn.v_lora.lora.2.bias" => Box::new(|x, _| 0.73 - 0.4 * (x - 0.5)),
        p if p.ends_with("norm.weight") => Box::new(|_, _| 1.0),
        p if p.ends_with("norm.bias") => Box::new(|_, _| 0.0),
        _ => return None,
    })
}
