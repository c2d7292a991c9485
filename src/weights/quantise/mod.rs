//! From f32 to the bytes of a tensor.
//!
//! The bytes are those of the reference implementations: the writer of the crate `aprender` for Q8 and Q4, the Python
//! package `gguf` for GGML's types of blocks of 32 values, and llama.cpp for its types of blocks of 256 (`search`). The
//! first two round halves away from zero. I8 is what this library makes of a matrix that it freezes.

mod scale;
mod search;

use half::bf16;

use super::dtype::DType;
use crate::numeric::matmul::quantise;
use scale::{half, inverse};

/// The largest absolute value. NaN counts as nothing.
pub(super) fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, x| if x.abs() > most { x.abs() } else { most })
}

/// The scale of a tensor of [`DType::Q8`].
pub(super) fn q8_scale(largest: f32) -> f32 {
    if largest == 0.0 { 1.0 } else { largest / 127.0 }
}

/// A block of [`DType::Q4`]: `(value / scale)` rounded, plus 8. `values` may be fewer than 32; the rest is zero bits.
fn q4(values: &[f32], out: &mut [u8]) -> Result<(), f32> {
    let most = largest(values);
    let scale = if most == 0.0 { 1.0 } else { most / 7.0 };
    out.fill(0);
    out[..2].copy_from_slice(&half(scale)?);
    for (i, value) in values.iter().enumerate() {
        let q = (value / scale).round().clamp(-8.0, 7.0) as i8 + 8;
        out[2 + i / 2] |= q.cast_unsigned() << (i % 2 * 4);
    }
    Ok(())
}

fn q8_0(values: &[f32], out: &mut [u8]) -> Result<(), f32> {
    let scale = largest(values) / 127.0;
    let inverse = inverse(scale);
    out[..2].copy_from_slice(&half(scale)?);
    for (to, value) in out[2..].iter_mut().zip(values) {
        *to = ((value * inverse).round() as i8).cast_unsigned();
    }
    Ok(())
}

/// Packs 32 numbers below 32: the fifth bits, if any, and then the nibbles.
fn pack(numbers: impl Iterator<Item = u8>, has_fifth: bool, out: &mut [u8]) {
    let (mut fifth, start) = (0u32, if has_fifth { 4 } else { 0 });
    out.fill(0);
    for (i, q) in numbers.enumerate() {
        fifth |= u32::from(q >> 4) << i;
        out[start + i % 16] |= (q & 15) << (i / 16 * 4);
    }
    if has_fifth {
        out[..4].copy_from_slice(&fifth.to_le_bytes());
    }
}

/// Q4_0 and Q5_0: the value of the largest magnitude becomes the lowest number.
fn symmetric(values: &[f32], levels: u8, out: &mut [u8]) -> Result<(), f32> {
    let extreme = values.iter().fold(0f32, |most, x| if x.abs() > most.abs() { *x } else { most });
    let middle = f32::from(levels / 2);
    let scale = extreme / -middle;
    let inverse = inverse(scale);
    out[..2].copy_from_slice(&half(scale)?);
    let number = |x: &f32| ((x * inverse + (middle + 0.5)) as u8).min(levels - 1);
    pack(values.iter().map(number), levels == 32, &mut out[2..]);
    Ok(())
}

/// Q4_1 and Q5_1: the lowest value becomes 0, the highest one the highest number.
fn asymmetric(values: &[f32], levels: u8, out: &mut [u8]) -> Result<(), f32> {
    let (low, high) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| {
        (if *x < low { *x } else { low }, if *x > high { *x } else { high })
    });
    let scale = (high - low) / f32::from(levels - 1);
    let inverse = inverse(scale);
    out[..2].copy_from_slice(&half(scale)?);
    out[2..4].copy_from_slice(&half(low)?);
    let number = |x: &f32| (((x - low) * inverse + 0.5) as u8).min(levels - 1);
    pack(values.iter().map(number), levels == 32, &mut out[4..]);
    Ok(())
}

/// The values of a block of 256. Only [`DType::Q4`] has blocks that are partly used.
fn whole(values: &[f32]) -> &[f32; 256] {
    values.try_into().expect("a whole number of blocks")
}

/// Converts values to bytes. `out` has room for whole blocks of them. The values are finite. `scale`: that of the tensor,
/// for [`DType::Q8`].
///
/// # Errors
/// A value or a scale that is too large for its type.
pub(super) fn encode(dtype: DType, values: &[f32], scale: f32, out: &mut [u8]) -> Result<(), f32> {
    let (n, size) = dtype.block();
    let blocks = || values.chunks(n);
    for (values, to) in blocks().zip(out.chunks_exact_mut(size)) {
        let value = values[0];
        match dtype {
            DType::F32 => to.copy_from_slice(&value.to_le_bytes()),
            DType::F16 => to.copy_from_slice(&half(value)?),
            DType::BF16 => {
                let short = bf16::from_f32(value);
                if !short.is_finite() {
                    return Err(value);
                }
                to.copy_from_slice(&short.to_le_bytes());
            }
            DType::Q8 => to[0] = ((value / scale).round().clamp(-127.0, 127.0) as i8).cast_unsigned(),
            DType::Q4 => q4(values, to)?,
            DType::Q8_0 => q8_0(values, to)?,
            DType::Q4_0 => symmetric(values, 16, to)?,
            DType::Q5_0 => symmetric(values, 32, to)?,
            DType::Q4_1 => asymmetric(values, 16, to)?,
            DType::Q5_1 => asymmetric(values, 32, to)?,
            DType::Q4K => search::q4_k(whole(values), to)?,
            DType::Q5K => search::q5_k(whole(values), to)?,
            DType::Q6K => search::q6_k(whole(values), to)?,
            DType::I8 => unreachable!("see `encode_row`"),
        }
    }
    Ok(())
}

/// Converts values of a row of [`DType::I8`], whose scale this is, to bytes.
pub(super) fn encode_row(values: &[f32], scale: f32, out: &mut [u8]) {
    out.iter_mut().zip(values).for_each(|(to, x)| *to = quantise(*x, scale).cast_unsigned());
}
