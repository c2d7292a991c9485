//! The generator of initial weights: SplitMix64 (Steele, Lea, Flood 2014).

/// A stream of numbers, determined by a seed and a name.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of this seed and name. The name is hashed by 64-bit FNV-1a, so that every tensor has a stream of its
    /// own and the order in which tensors are created does not matter.
    pub fn new(seed: u64, name: &str) -> Self {
        let hash =
            name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
        let mut mixed = Self(seed);
        Self(mixed.next_u64() ^ hash)
    }

    /// The stream that continues at a state.
    pub fn at(state: u64) -> Self {
        Self(state)
    }

    /// The whole state.
    pub fn state(&self) -> u64 {
        self.0
    }

    /// Skips `n` outputs.
    pub fn skip(&mut self, n: u64) {
        self.0 = self.0.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [-1, 1), from the upper 24 bits: `(n * 2^-23) - 1`, exact.
    pub fn symmetric(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 * (1.0 / 8_388_608.0) - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // The first outputs of the reference implementation from state 1234567.
        let mut r = Random(1_234_567);
        assert_eq!(r.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(r.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn values_are_symmetric_and_streams_differ() {
        let mut r = Random::new(0, "a");
        let v: Vec<f32> = (0..10_000).map(|_| r.symmetric()).collect();
        assert!(v.iter().all(|x| (-1.0..1.0).contains(x)));
        assert!(v.iter().sum::<f32>().abs() < 200.0);
        assert_ne!(Random::new(0, "b").next_u64(), Random::new(0, "a").next_u64());
        assert_ne!(Random::new(1, "a").next_u64(), Random::new(0, "a").next_u64());
    }
}
