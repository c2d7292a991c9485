//! From f32 to GGML's blocks of 256 values: Q4_K, Q5_K and Q6_K.
//!
//! The bytes are those of the functions `quantize_row_q4_K_ref`, `quantize_row_q5_K_ref` and `quantize_row_q6_K_ref` of
//! llama.cpp (ggml/src/ggml-quants.c), built without fused multiply-add. Each group of a block has a scale (Q4_K and Q5_K:
//! and a minimum) that is found by a search: a candidate scale rounds the values to integers, least squares gives the best
//! scale and minimum for these integers, and the candidate with the least weighted square error is kept. All sums are
//! in the order of the values.

use super::scale::rounded;

/// The values of a block.
const BLOCK: usize = 256;
/// The values of a group of Q4_K and Q5_K.
const GROUP: usize = 32;
/// The values of a group of Q6_K.
const SMALL_GROUP: usize = 16;
/// The largest scale and minimum of a group of Q4_K and Q5_K.
const MOST_SCALE: f32 = 63.0;
/// Groups of Q6_K whose magnitudes are all below this are zeros.
const SMALLEST: f32 = 1e-15;

/// Rounds to an integer in `low..=high`, halves to even. Both bounds are integers below 2^22. NaN becomes `low`.
#[inline]
fn nearest(x: f32, low: f32, high: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    let x = if x > low { x } else { low };
    let x = if x < high { x } else { high };
    (x + ROUND) - ROUND
}

/// The scales that [`with_minimum`] tries: those for which the values span `most + first + i / 10` integers.
#[derive(Clone, Copy)]
struct Candidates {
    /// The largest integer.
    most: f32,
    first: f32,
    count: u8,
}

const Q4: Candidates = Candidates { most: 15.0, first: -1.0, count: 21 };
const Q5: Candidates = Candidates { most: 31.0, first: -0.5, count: 16 };

/// Finds a scale and a minimum of a group, such that `scale * number - minimum` is near to the values. Returns them and the
/// numbers. The minimum is not negative: 0 can always be represented.
fn with_minimum(x: &[f32; GROUP], candidates: Candidates) -> (f32, f32, [f32; GROUP]) {
    let Candidates { most, first, count } = candidates;
    let typical = (x.iter().fold(0.0, |sum, x| sum + x * x) / GROUP as f32).sqrt();
    let weights = x.map(|x| typical + x.abs());
    let (mut low, mut high) = (x[0], x[0]);
    let (mut sum_w, mut sum_x) = (weights[0], weights[0] * x[0]);
    for (x, w) in x.iter().zip(&weights).skip(1) {
        low = if *x < low { *x } else { low };
        high = if *x > high { *x } else { high };
        sum_w += w;
        sum_x += w * x;
    }
    low = if low > 0.0 { 0.0 } else { low };
    if high == low {
        return (0.0, -low, [0.0; GROUP]);
    }
    let error = |scale: f32, low: f32, numbers: &[f32; GROUP]| {
        x.iter().zip(numbers).zip(&weights).fold(0.0, |sum, ((x, q), w)| {
            let difference = scale * q + low - x;
            sum + w * (difference * difference)
        })
    };
    let factor = most / (high - low);
    let mut numbers = x.map(|x| nearest(factor * (x - low), 0.0, most));
    let mut scale = 1.0 / factor;
    let mut least = error(scale, low, &numbers);
    for i in 0..count {
        // `low` is the best one so far.
        let factor = (first + 0.1 * f32::from(i) + most) / (high - low);
        let found = x.map(|x| nearest(factor * (x - low), 0.0, most));
        let (mut sum_q, mut sum_qq, mut sum_qx) = (0.0, 0.0, 0.0);
        for ((x, q), w) in x.iter().zip(&found).zip(&weights) {
            let wq = w * q;
            sum_q += wq;
            sum_qq += wq * q;
            sum_qx += wq * x;
        }
        let determinant = sum_w * sum_qq - sum_q * sum_q;
        if determinant > 0.0 {
            let mut this_scale = (sum_w * sum_qx - sum_x * sum_q) / determinant;
            let mut this_low = (sum_qq * sum_x - sum_q * sum_qx) / determinant;
            if this_low > 0.0 {
                (this_scale, this_low) = (sum_qx / sum_qq, 0.0);
            }
            let this_error = error(this_scale, this_low, &found);
            if this_error < least {
                (least, scale, low, numbers) = (this_error, this_scale, this_low, found);
            }
        }
    }
    (scale, -low, numbers)
}

/// Writes the scales and minima of a block of Q4_K or Q5_K, its first 16 bytes. Returns the numbers of the values.
fn block_with_minima(x: &[f32; BLOCK], candidates: Candidates, out: &mut [u8]) -> Result<[u8; BLOCK], f32> {
    let (mut scales, mut minima) = ([0f32; 8], [0f32; 8]);
    let mut numbers = [0u8; BLOCK];
    let groups = x.as_chunks::<GROUP>().0;
    for (i, (x, to)) in groups.iter().zip(numbers.as_chunks_mut::<GROUP>().0).enumerate() {
        let found;
        (scales[i], minima[i], found) = with_minimum(x, candidates);
        *to = found.map(|q| q as u8);
    }
    let most = |all: &[f32; 8]| all.iter().fold(0f32, |most, x| if *x > most { *x } else { most });
    let (most_scale, most_minimum) = (most(&scales), most(&minima));
    let factor = |most: f32| if most > 0.0 { MOST_SCALE / most } else { 0.0 };
    let (scale_factor, minimum_factor) = (factor(most_scale), factor(most_minimum));
    let (bytes, d) = rounded(most_scale / MOST_SCALE)?;
    out[..2].copy_from_slice(&bytes);
    let (bytes, dmin) = rounded(most_minimum / MOST_SCALE)?;
    out[2..4].copy_from_slice(&bytes);
    let packed = &mut out[4..16];
    for (i, (x, to)) in groups.iter().zip(numbers.as_chunks_mut::<GROUP>().0).enumerate() {
        let scale = nearest(scale_factor * scales[i], 0.0, MOST_SCALE);
        let minimum = nearest(minimum_factor * minima[i], 0.0, MOST_SCALE);
        pack(i, scale as u8, minimum as u8, packed);
        // The numbers for the scale and the minimum as they were rounded.
        let (scale, minimum) = (d * scale, dmin * minimum);
        if scale != 0.0 {
            *to = x.map(|x| nearest((x + minimum) / scale, 0.0, candidates.most) as u8);
        }
    }
    Ok(numbers)
}

/// Packs the 6-bit scale and minimum of a group in 12 bytes. Lower groups come first.
fn pack(group: usize, scale: u8, minimum: u8, packed: &mut [u8]) {
    match group {
        0..4 => (packed[group], packed[group + 4]) = (scale, minimum),
        _ => {
            packed[group + 4] = scale & 15 | minimum << 4;
            packed[group - 4] |= scale >> 4 << 6;
            packed[group] |= minimum >> 4 << 6;
        }
    }
}

/// Packs the low four bits of numbers: a byte has those of two neighbouring groups.
fn pack_nibbles(numbers: &[u8; BLOCK], out: &mut [u8]) {
    for (numbers, out) in numbers.as_chunks::<{ 2 * GROUP }>().0.iter().zip(out.as_chunks_mut::<GROUP>().0) {
        let (low, high) = numbers.split_at(GROUP);
        for ((to, low), high) in out.iter_mut().zip(low).zip(high) {
            *to = low & 15 | high << 4;
        }
    }
}

/// A block of Q4_K.
///
/// # Errors
/// A scale that is too large, here and below.
pub(super) fn q4_k(x: &[f32; BLOCK], out: &mut [u8]) -> Result<(), f32> {
    let numbers = block_with_minima(x, Q4, out)?;
    pack_nibbles(&numbers, &mut out[16..]);
    Ok(())
}

/// A block of Q5_K.
pub(super) fn q5_k(x: &[f32; BLOCK], out: &mut [u8]) -> Result<(), f32> {
    let numbers = block_with_minima(x, Q5, out)?;
    let (fifth, nibbles) = out[16..].split_at_mut(GROUP);
    fifth.fill(0);
    for (group, numbers) in numbers.as_chunks::<GROUP>().0.iter().enumerate() {
        fifth.iter_mut().zip(numbers).for_each(|(to, q)| *to |= q >> 4 << group);
    }
    pack_nibbles(&numbers, nibbles);
    Ok(())
}

/// Finds a scale of a group, such that `scale * number` with numbers in -32..=31 is near to the values. Large values
/// weigh more. Returns it and the numbers.
fn without_minimum(x: &[f32; SMALL_GROUP]) -> (f32, [f32; SMALL_GROUP]) {
    const MOST: f32 = 32.0;
    let extreme = x.iter().fold(0f32, |most, x| if x.abs() > most.abs() { *x } else { most });
    if extreme.abs() < SMALLEST {
        // This number is 0 in the file, as the scale is.
        return (0.0, [-MOST; SMALL_GROUP]);
    }
    let fit = |factor: f32| {
        let numbers = x.map(|x| nearest(factor * x, -MOST, MOST - 1.0));
        let sums = x.iter().zip(&numbers).fold((0f32, 0f32), |(qx, qq), (x, q)| {
            let w = x * x;
            (qx + w * x * q, qq + w * q * q)
        });
        (numbers, sums)
    };
    let (mut numbers, (sum_qx, sum_qq)) = fit(-MOST / extreme);
    let mut scale = if sum_qq != 0.0 { sum_qx / sum_qq } else { 0.0 };
    let mut best = scale * sum_qx;
    for i in (-9i8..=9).filter(|i| *i != 0) {
        let (found, (sum_qx, sum_qq)) = fit(-(MOST + 0.1 * f32::from(i)) / extreme);
        if sum_qq > 0.0 && sum_qx * sum_qx > best * sum_qq {
            (scale, numbers) = (sum_qx / sum_qq, found);
            best = scale * sum_qx;
        }
    }
    (scale, numbers)
}

/// A block of Q6_K.
pub(super) fn q6_k(x: &[f32; BLOCK], out: &mut [u8]) -> Result<(), f32> {
    let mut scales = [0f32; BLOCK / SMALL_GROUP];
    let mut numbers = [0u8; BLOCK];
    let groups = x.as_chunks::<SMALL_GROUP>().0;
    let as_bytes = |numbers: [f32; SMALL_GROUP]| numbers.map(|q| (q + 32.0) as u8);
    for (i, (x, to)) in groups.iter().zip(numbers.as_chunks_mut::<SMALL_GROUP>().0).enumerate() {
        let found;
        (scales[i], found) = without_minimum(x);
        if !scales[i].is_finite() {
            // The squares of the values are.
            return Err(x.iter().fold(0.0, |most, x| if x.abs() > most { x.abs() } else { most }));
        }
        *to = as_bytes(found);
    }
    let extreme = scales.iter().fold(0f32, |most, x| if x.abs() > most.abs() { *x } else { most });
    out.fill(0);
    if extreme.abs() < SMALLEST {
        return Ok(());
    }
    let factor = -128.0 / extreme;
    let (bytes, d) = rounded(1.0 / factor)?;
    out[208..].copy_from_slice(&bytes);
    for (i, (x, to)) in groups.iter().zip(numbers.as_chunks_mut::<SMALL_GROUP>().0).enumerate() {
        let scale = nearest(factor * scales[i], -128.0, 127.0);
        out[192 + i] = (scale as i8).cast_unsigned();
        let scale = d * scale;
        if scale != 0.0 {
            *to = as_bytes(x.map(|x| nearest(x / scale, -32.0, 31.0)));
        }
    }
    // Two halves of 128 values. In each: four groups of 32, whose low bits are in 64 bytes and high bits in 32.
    let (low, high) = out[..192].split_at_mut(128);
    for (half, numbers) in numbers.as_chunks::<128>().0.iter().enumerate() {
        for (i, q) in numbers.iter().enumerate() {
            let (group, at) = (i / 32, i % 32);
            low[half * 64 + group % 2 * 32 + at] |= (q & 15) << (group / 2 * 4);
            high[half * 32 + at] |= q >> 4 << (group * 2);
        }
    }
    Ok(())
}
