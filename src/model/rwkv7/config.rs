//! The shape of an RWKV-7 network.

use crate::error::{Error, Result, Status, fail};
use crate::model::VOCAB;
use crate::numeric::matmul::{Matrix, Precision};

/// The sizes of a network, in values. [`Config::check`] states the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Width of the residual stream; a multiple of the head size.
    pub hidden: usize,
    /// The number of layers.
    pub layers: usize,
    /// Width of the feed-forward network.
    pub intermediate: usize,
    /// Width of a head: 32 or 64.
    pub head_size: usize,
    /// Rank of the decay's low-rank pair.
    pub decay_rank: usize,
    /// Rank of the in-context learning rate's low-rank pair.
    pub a_rank: usize,
    /// Rank of the value mix's low-rank pair.
    pub v_rank: usize,
    /// Rank of the gate's low-rank pair.
    pub g_rank: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hidden: 256,
            layers: 6,
            intermediate: 1024,
            head_size: 64,
            decay_rank: 32,
            a_rank: 32,
            v_rank: 32,
            g_rank: 64,
        }
    }
}

impl Config {
    /// The largest width, rank or intermediate size: a sum of this many int8 products fits an i32.
    pub const MAX_WIDTH: usize = 65_536;
    /// The largest number of layers.
    pub const MAX_LAYERS: usize = 1024;

    /// Layer norm's epsilon.
    pub const LAYER_NORM_EPS: f32 = 1e-5;

    /// The number of heads.
    pub fn heads(&self) -> usize {
        self.hidden / self.head_size
    }

    /// Group norm's epsilon: the head size times 1e-5.
    pub fn group_norm_eps(&self) -> f32 {
        self.head_size as f32 * 1e-5
    }

    /// All widths and ranks, with their keys in method strings.
    fn widths(&self) -> [(&'static str, usize); 6] {
        [
            ("hidden", self.hidden),
            ("intermediate", self.intermediate),
            ("decay_rank", self.decay_rank),
            ("a_rank", self.a_rank),
            ("v_rank", self.v_rank),
            ("g_rank", self.g_rank),
        ]
    }

    /// The sizes that differ from those of another shape, as `hidden=64 and 128`; empty if none does.
    pub fn differences(&self, other: &Self) -> String {
        let all = |c: &Self| {
            let rest = [("layers", c.layers), ("head_size", c.head_size)];
            c.widths().into_iter().chain(rest).collect::<Vec<_>>()
        };
        let pairs = all(self).into_iter().zip(all(other)).filter(|(own, other)| own != other);
        let pairs: Vec<String> = pairs.map(|((name, own), (_, other))| format!("{name}={own} and {other}")).collect();
        pairs.join(", ")
    }

    /// Checks the limits.
    ///
    /// # Errors
    /// `Method`, naming the value that is not allowed.
    pub fn check(&self) -> Result<()> {
        if !matches!(self.head_size, 32 | 64) {
            fail!(Method, "head_size={}: 32 and 64 are allowed", self.head_size);
        }
        if !(1..=Self::MAX_LAYERS).contains(&self.layers) {
            fail!(Method, "layers={}: 1 to {} are allowed", self.layers, Self::MAX_LAYERS);
        }
        for (name, width) in self.widths() {
            if !(1..=Self::MAX_WIDTH).contains(&width) {
                fail!(Method, "{name}={width}: 1 to {} are allowed", Self::MAX_WIDTH);
            }
        }
        if !self.hidden.is_multiple_of(self.head_size) {
            fail!(Method, "hidden={}: a multiple of head_size={} is needed", self.hidden, self.head_size);
        }
        Ok(())
    }

    /// The shape of the network in a file, from the shapes of some of its tensors.
    ///
    /// # Errors
    /// `Model`, naming the tensor that is missing or has the wrong shape.
    pub fn infer(shape_of: impl Fn(&str) -> Option<Vec<usize>>) -> Result<Self> {
        let matrix = |name: &str| match shape_of(name).as_deref() {
            Some(&[rows, cols]) => Ok((rows, cols)),
            Some(other) => fail!(Model, "{name}: its shape is {other:?}, a matrix is needed"),
            None => fail!(Model, "{name}: missing; RWKV-7 weights under flash-linear-attention's names are needed"),
        };
        let (vocab, hidden) = matrix("model.embeddings.weight")?;
        if vocab != VOCAB {
            fail!(Model, "model.embeddings.weight: its shape is [{vocab}, {hidden}], [{VOCAB}, hidden] is needed");
        }
        let layers = (0..=Self::MAX_LAYERS)
            .take_while(|i| shape_of(&format!("model.layers.{i}.attn.r_proj.weight")).is_some())
            .count();
        let first = |part: &str| matrix(&format!("model.layers.0.{part}"));
        let (_, head_size) = first("attn.r_k")?;
        let config = Self {
            hidden,
            layers: layers.max(1),
            intermediate: first("ffn.key.weight")?.0,
            head_size,
            decay_rank: first("attn.w_lora.lora.0.weight")?.0,
            a_rank: first("attn.a_lora.lora.0.weight")?.0,
            // Layer 0 has no such pair, so a network of one layer has none.
            v_rank: if layers > 1 { matrix("model.layers.1.attn.v_lora.lora.0.weight")?.0 } else { 1 },
            g_rank: first("attn.g_lora.lora.0.weight")?.0,
        };
        config.check().map_err(|e| Error::new(Status::Model, format!("the weights' shapes: {}", e.message())))?;
        Ok(config)
    }

    /// The size of the packed weights in bytes. Saturates.
    pub fn weight_bytes(&self, packing: super::Packing) -> u64 {
        let [hidden, inter, w, a, v, g] = self.widths().map(|(_, n)| n as u64);
        let m = |rows, cols| Matrix::bytes(rows, cols, packing.body);
        let pair = |rank| m(rank, hidden).saturating_add(m(hidden, rank));
        let vectors = hidden.saturating_mul(4 * 19);
        let head = |precision| Matrix::bytes(VOCAB as u64, hidden, precision);
        let start = packing.start.then_some(Precision::F32);
        [m(hidden, hidden).saturating_mul(4), pair(w), pair(a), pair(v), pair(g), m(inter, hidden), m(hidden, inter)]
            .into_iter()
            .fold(vectors, u64::saturating_add)
            .saturating_mul(self.layers as u64)
            .saturating_add(packing.head.map_or(0, head))
            .saturating_add(start.map_or(0, head))
            .saturating_add(hidden.saturating_mul(4 * (VOCAB as u64 + 4)))
    }

    /// The memory that loading weights takes in addition, in bytes: the largest tensor as f32. Saturates.
    pub fn loading_bytes(&self) -> u64 {
        let widest = self.widths().map(|(_, n)| n as u64).into_iter().max().unwrap_or(0);
        (self.hidden as u64).saturating_mul(widest.max(VOCAB as u64)).saturating_mul(4)
    }

    /// The multiplications of a forward step without the head, per byte. Saturates.
    pub fn multiplications(&self) -> u64 {
        let [hidden, inter, w, a, v, g] = self.widths().map(|(_, n)| n as u64);
        // The four projections, the two matrices of each low-rank pair and of the feed-forward network; five products
        // for each value of the state matrices; and the elementwise operations, some forty for each channel.
        let columns = 4 * hidden + 2 * (w + a + v + g) + 2 * inter + 5 * self.head_size as u64 + 40;
        columns.saturating_mul(hidden).saturating_mul(self.layers as u64)
    }

    /// The size of one lane's state in bytes. Saturates.
    pub fn state_bytes(&self) -> u64 {
        let per_layer = (self.hidden as u64).saturating_mul(self.head_size as u64 + 2).saturating_mul(4);
        per_layer.saturating_mul(self.layers as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_the_sum_of_the_products() {
        let rank = 4;
        let config = Config {
            hidden: 64,
            layers: 3,
            intermediate: 100,
            head_size: 32,
            decay_rank: rank,
            a_rank: rank,
            v_rank: rank,
            g_rank: rank,
        };
        // Four projections, four low-rank pairs, two feed-forward matrices, the state, the channels.
        let layer = 4 * 64 * 64 + 4 * 2 * 64 * 4 + 2 * 64 * 100 + 5 * 64 * 32 + 40 * 64;
        assert_eq!(config.multiplications(), 3 * layer);
        let most = Config::MAX_WIDTH;
        let largest = Config { hidden: most, layers: Config::MAX_LAYERS, intermediate: most, ..config };
        assert!(largest.multiplications() > 1 << 44);
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_name() {
        let good = Config::default();
        good.check().unwrap();
        let bad = [
            ("head_size", Config { head_size: 48, ..good }),
            ("hidden", Config { hidden: 100, ..good }),
            ("hidden", Config { hidden: 0, ..good }),
            ("layers", Config { layers: 0, ..good }),
            ("layers", Config { layers: 1025, ..good }),
            ("intermediate", Config { intermediate: 65_537, ..good }),
            ("g_rank", Config { g_rank: 0, ..good }),
        ];
        for (name, config) in bad {
            let e = config.check().unwrap_err();
            assert_eq!(e.status(), Status::Method);
            assert!(e.message().starts_with(name), "{e}");
        }
    }
}
