//! The multiplications that a method costs per byte. A frame names its method, so this bounds the time that a small frame can
//! take.

use super::{Base, Method, Network};
use crate::adapt::{Gru, Train};
use crate::model::VOCAB;
use crate::model::rwkv7::Config;

impl Method {
    /// The multiplications that the method's networks need per byte, about; saturates. The contexts of a mix are not counted:
    /// their work is bounded for every method.
    ///
    /// `shape`: the shape of built-in weights or of those of a file. Such a network counts nothing without it.
    pub fn work(&self, shape: Option<&Config>) -> u64 {
        self.networks.iter().fold(0, |sum, network| sum.saturating_add(network.work(shape)))
    }
}

impl Network {
    /// The multiplications that the network needs per byte, about; saturates. `shape`: see [`Method::work`].
    pub fn work(&self, shape: Option<&Config>) -> u64 {
        match &self.base {
            Base::Gru { config, rule, .. } => Gru::work(config, rule),
            Base::Config { config, .. } => self.rwkv7_work(config),
            Base::Builtin(_) | Base::File(_) => shape.map_or(0, |config| self.rwkv7_work(config)),
        }
    }

    /// The forward step with all heads, and the training of one of them.
    fn rwkv7_work(&self, config: &Config) -> u64 {
        let head = (VOCAB as u64).saturating_mul(config.hidden as u64);
        let heads = head.saturating_mul(1 + u64::from(self.head.is_some()));
        let rule = self.rule();
        let update = match rule.train {
            Train::None => 0,
            // For each weight the product of error and input; Adam has two moments and a division in addition.
            Train::Sgd => head,
            Train::Adam => head.saturating_mul(8),
        };
        config.multiplications().saturating_add(heads).saturating_add(update.div_ceil(u64::from(rule.stride)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(method: &str) -> u64 {
        Method::parse(method).unwrap().work(None)
    }

    #[test]
    fn work_is_the_sum_of_the_matrix_products() {
        // A layer of hidden 64: 4 projections, 4 low-rank pairs, 2 feed-forward matrices, 5 products for each value of the
        // state, 40 for each channel.
        let layer = 4 * 64 * 64 + 2 * 64 * (4 + 4 + 4 + 4) + 2 * 64 * 100 + 5 * 64 * 32 + 40 * 64;
        let head = 256 * 64;
        let shape = "cfg:hidden=64,head_size=32,intermediate=100,decay_rank=4,a_rank=4,v_rank=4,g_rank=4";
        for layers in [1, 3] {
            let forward = layers * layer + head;
            assert_eq!(work(&format!("{shape},layers={layers}")), forward);
            assert_eq!(work(&format!("{shape},layers={layers},train=sgd")), forward + head);
            assert_eq!(work(&format!("{shape},layers={layers},train=adam,stride=4")), forward + 2 * head);
            let with_head = format!("mix:neural=({shape},layers={layers};head:)");
            assert_eq!(work(&with_head), forward + 2 * head);
            let with_gru = format!("mix:neural=({shape},layers={layers};head:)+(gru:)");
            assert_eq!(work(&with_gru), forward + 2 * head + work("gru:"));
        }
        assert_eq!(work("mix:"), 0);
    }

    #[test]
    fn weights_of_a_known_shape_count_as_random_ones_do() {
        let config = Config { hidden: 64, layers: 2, ..Config::default() };
        let cfg = work("cfg:hidden=64,layers=2");
        for method in ["builtin:1", "file:x", "mix:neural=(file:x)"] {
            let method = Method::parse(method).unwrap();
            assert_eq!(method.work(Some(&config)), cfg);
            assert_eq!(method.work(None), 0);
        }
    }

    #[test]
    fn work_grows_with_what_a_frame_may_ask_for() {
        // The GRU of the report that this bounds: some ten milliseconds a byte.
        assert!(work("gru:hidden=1024,bptt=16") > 100_000_000);
        assert!(work("gru:bptt=8,stride=8,replay=64") > 10 * work("gru:bptt=8,stride=8"));
        // As large as it gets, without overflow.
        let largest = "cfg:hidden=65536,layers=1024,intermediate=65536,decay_rank=65536,a_rank=65536,v_rank=65536,\
                       g_rank=65536,train=adam";
        assert!(work(largest) > 1 << 44);
        for level in 1..=9 {
            let method = super::super::level_method(level).unwrap();
            let config = Config { hidden: 192, layers: 3, intermediate: 768, ..Config::default() };
            assert!(Method::parse(method).unwrap().work(Some(&config)) < 1 << 24, "{method}");
        }
    }
}
