//! Rotary position embeddings (Su et al. 2021) from integer phases.
//!
//! The angle of pair i at a position is `position * turn_i`, wrapping, where 2^64 is a whole turn. So every angle is
//! exact for every position. `turn_i = 2^64 * base^(-2 i / dim) / (2 pi)` is computed once, in integers. Sine and cosine
//! are those of S. Moshier's Cephes library (`sinf`, `cosf`) on an eighth of a turn to either side.

/// One in fixed point: numbers below 2^64 with 63 fractional bits.
const ONE: u128 = 1 << 63;

/// 2 pi in the same format, times 2^-3: 2 pi / 8.
const PI_QUARTER: u128 = 7_244_019_458_077_122_842; // round(pi / 4 * 2^63)

/// log2 of a number in 1..2 in fixed point with 63 fractional bits: squares give one bit each.
fn log2_fraction(mut x: u128) -> u128 {
    let mut log = 0;
    for bit in (0..63).rev() {
        x = (x * x) >> 63;
        if x >= 2 * ONE {
            x >>= 1;
            log |= 1 << bit;
        }
    }
    log
}

/// 2^x for x in 0..1: the product of the roots 2^(1/2), 2^(1/4), ... that the bits of x name.
fn exp2_fraction(x: u128) -> u128 {
    let (mut y, mut root) = (ONE, 2 * ONE);
    for bit in (0..63).rev() {
        root = (root << 63).isqrt();
        if x >> bit & 1 == 1 {
            y = (y * root) >> 63;
        }
    }
    y
}

/// log2 of a positive normal number, with 63 fractional bits.
fn log2(x: f32) -> i128 {
    let exponent = i128::from(x.to_bits() >> 23) - 127;
    let mantissa = u128::from(x.to_bits() & 0x7f_ffff | 0x80_0000) << (63 - 23);
    (exponent << 63) + log2_fraction(mantissa) as i128
}

/// The turns of the pairs of a head: how far a position rotates each, in units of 2^-64 turn.
///
/// `base` is a normal number above 1, `pairs` half the dimensions.
pub fn turns(base: f32, pairs: usize) -> Vec<u64> {
    // 2 pi = 8 * (pi / 4), and 2 * (pi / 4) is in 1..2.
    let log_tau = (2i128 << 63) + log2_fraction(2 * PI_QUARTER) as i128;
    let log_base = log2(base);
    let turn = |i: usize| {
        let exponent = (64i128 << 63) - log_tau - log_base * i as i128 / pairs as i128;
        let (whole, fraction) = (exponent >> 63, exponent as u128 & (ONE - 1));
        let y = exp2_fraction(fraction);
        // y * 2^(whole - 63), rounded down; 0 for angles below 2^-64.
        match whole - 63 {
            up @ 0.. => (y << up.min(64)) as u64,
            down => (y >> (-down).min(127)) as u64,
        }
    };
    (0..pairs).map(turn).collect()
}

/// `turn / divisor`, rounded down, for a positive normal divisor.
pub fn divided(turn: u64, divisor: f32) -> u64 {
    let exponent = (divisor.to_bits() >> 23) as i32 - 127 - 23;
    let mantissa = u128::from(divisor.to_bits() & 0x7f_ffff | 0x80_0000);
    let quotient = (u128::from(turn) << 40) / mantissa;
    match exponent + 40 {
        down @ 0.. => (quotient >> down.min(127)) as u64,
        up => u64::try_from(quotient << (-up).min(23)).unwrap_or(u64::MAX),
    }
}

/// Sine and cosine of a phase, of which 2^64 is a whole turn.
pub fn sin_cos(phase: u64) -> (f32, f32) {
    const TURN: f32 = 1.462_918_1e-9; // 2 pi / 2^32
    let quarter = phase.wrapping_add(1 << 61) >> 62;
    let x = (phase.wrapping_sub(quarter << 62) as i64 >> 32) as i32 as f32 * TURN;
    let z = x * x;
    #[expect(clippy::excessive_precision, reason = "as published")]
    let sin = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * x + x;
    #[expect(clippy::excessive_precision, reason = "as published")]
    let cos = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
    match quarter {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// Sines and cosines of all pairs at a position.
pub fn angles(turns: &[u64], position: u64, sin: &mut [f32], cos: &mut [f32]) {
    for ((turn, sin), cos) in turns.iter().zip(sin).zip(cos) {
        (*sin, *cos) = sin_cos(turn.wrapping_mul(position));
    }
}

/// Rotates the pairs (i, i + half) of a head: `a * cos - b * sin` and `b * cos + a * sin`.
pub fn rotate(head: &mut [f32], sin: &[f32], cos: &[f32]) {
    let (a, b) = head.split_at_mut(sin.len());
    for (((a, b), sin), cos) in a.iter_mut().zip(b).zip(sin).zip(cos) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_those_of_the_formula() {
        for (base, pairs) in [(1e4f32, 32), (1e6, 128), (5e5, 64), (1e5, 8), (1.5, 3)] {
            for (i, turn) in turns(base, pairs).into_iter().enumerate() {
                let want = f64::from(base).powf(-(i as f64) / pairs as f64) / std::f64::consts::TAU;
                let found = turn as f64 / 2f64.powi(64);
                assert!((found - want).abs() < want * 1e-14 + 2f64.powi(-64), "{base} {i}: {found} {want}");
            }
        }
        // A turn of 1 radian to all bits that a double does not have.
        let one = turns(1e4, 1)[0];
        assert!(one.abs_diff(2_935_890_503_282_001_226) < 256, "{one}");
    }

    #[test]
    fn turns_divide() {
        for divisor in [1.0f32, 2.0, 8.0, 32.0, 1.5, 3.3, 0.75, 1e6] {
            for turn in [0, 1, 12_345_678_901_234, 1 << 61] {
                let want = turn as f64 / f64::from(divisor);
                assert!((divided(turn, divisor) as f64 - want).abs() <= 1.0 + want * 1e-12, "{turn} / {divisor}");
            }
        }
        assert_eq!(divided(1 << 61, 8.0), 1 << 58);
    }

    #[test]
    fn sine_and_cosine_stay_within_their_bound() {
        let mut worst = 0f64;
        for i in 0..1_000_000u64 {
            let phase = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (sin, cos) = sin_cos(phase);
            let (s, c) = (phase as f64 / 2f64.powi(64) * std::f64::consts::TAU).sin_cos();
            worst = worst.max((f64::from(sin) - s).abs()).max((f64::from(cos) - c).abs());
        }
        assert!(worst < 1.2e-7, "{worst}");
        assert_eq!(sin_cos(0), (0.0, 1.0));
        assert_eq!(sin_cos(1 << 62).0, 1.0);
        assert_eq!(sin_cos(1 << 63).1, -1.0);
    }
}
