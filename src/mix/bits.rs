//! Probabilities of the bits of a byte, from a distribution over bytes.

use super::logistic::ONE;
use crate::coder::Frequencies;

/// Prefix sums over the frequencies of 256 bytes. The conditional probability of a bit takes two differences and a
/// division.
#[derive(Clone, Debug)]
pub struct BitView {
    sums: [u32; 257],
}

impl BitView {
    /// The view of a distribution in the form that the coders use.
    pub fn new(frequencies: &Frequencies) -> Self {
        let mut view = Self { sums: [0; 257] };
        view.set(frequencies);
        view
    }

    /// Replaces the distribution.
    pub fn set(&mut self, frequencies: &Frequencies) {
        let mut sum = 0;
        for byte in 0..=255u8 {
            sum += frequencies.weight(byte);
            self.sums[usize::from(byte) + 1] = sum;
        }
    }

    /// The probability, in 1/65536, that the next bit is 1, never 0 and never 65536. `partial`: the bits so far, up to
    /// seven, after a leading 1.
    #[inline]
    pub fn p(&self, partial: u32) -> u32 {
        let bits = partial.ilog2();
        let width = 256usize >> bits;
        let low = (partial as usize - (1 << bits)) * width;
        let [below, middle, above] = [low, low + width / 2, low + width].map(|i| u64::from(self.sums[i]));
        (((above - middle) << 16) / (above - below)).clamp(1, ONE as u64 - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::buffer::Rows;
    use crate::numeric::level::Level;
    use crate::numeric::random::Random;
    use crate::numeric::vector::flat_mut;

    #[test]
    fn a_bits_probability_is_its_share_of_what_is_left() {
        let mut random = Random::new(3, "bits");
        let mut logits = Rows::new(1, 256).unwrap();
        flat_mut(logits.row_mut(0)).iter_mut().for_each(|x| *x = random.symmetric() * 4.0);
        let mut frequencies = Frequencies::default();
        frequencies.set(Level::PORTABLE, logits.row(0));
        let view = BitView::new(&frequencies);
        let total: u64 = (0..=255u8).map(|b| u64::from(frequencies.weight(b))).sum();
        for byte in 0..=255u8 {
            let (mut partial, mut range, mut share) = (1, 0..256usize, total);
            for i in (0..8).rev() {
                let bit = u32::from(byte >> i & 1);
                let middle = (range.start + range.end) / 2;
                let ones: u64 = (middle..range.end).map(|b| u64::from(frequencies.weight(b as u8))).sum();
                let (p, want) = (view.p(partial), ones as f64 / share as f64 * 65536.0);
                assert!(0 < p && p < 65536 && (f64::from(p) - want).abs() <= 1.0, "{byte}: {p} {want}");
                range = if bit == 1 { middle..range.end } else { range.start..middle };
                share = if bit == 1 { ones } else { share - ones };
                partial = partial << 1 | bit;
            }
            assert_eq!((range.start, share), (byte.into(), frequencies.weight(byte).into()));
        }
    }
}
