//! From the bytes of a tensor to f32.
//!
//! Each value is the one that the reference implementations compute, the Python package `gguf` and the crate `aprender`:
//! products of a scale and an integer in binary32, in their order. The results are the same on every machine.

use half::{bf16, f16};

use super::dtype::DType;

/// A block has a scale or a minimum that is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite;

fn half_at(block: &[u8], at: usize) -> Result<f32, NotFinite> {
    let value = f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
    if value.is_finite() { Ok(value) } else { Err(NotFinite) }
}

/// The 6-bit scale and minimum of each of the eight groups of a block of Q4_K or Q5_K, packed in 12 bytes.
fn scales_and_minima(packed: &[u8]) -> [(f32, f32); 8] {
    std::array::from_fn(|i| {
        let (scale, minimum) = match i {
            0..4 => (packed[i] & 63, packed[i + 4] & 63),
            _ => (
                packed[i + 4] & 15 | packed[i - 4] >> 2 & 48, //
                packed[i + 4] >> 4 | packed[i] >> 2 & 48,
            ),
        };
        (f32::from(scale), f32::from(minimum))
    })
}

/// Decodes Q4_0, Q4_1, Q5_0 and Q5_1. The low nibbles are the first 16 values. The fifth bits, if any, are a word of 32
/// bits before the nibbles.
fn legacy(block: &[u8], has_minimum: bool, has_fifth: bool, out: &mut [f32]) -> Result<(), NotFinite> {
    let scale = half_at(block, 0)?;
    let minimum = if has_minimum { Some(half_at(block, 2)?) } else { None };
    let mut rest = &block[if has_minimum { 4 } else { 2 }..];
    let mut fifth = 0;
    if has_fifth {
        fifth = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]);
        rest = &rest[4..];
    }
    let offset = if has_fifth { 16.0 } else { 8.0 };
    for (i, to) in out.iter_mut().enumerate() {
        let nibble = if i < 16 { rest[i] & 15 } else { rest[i - 16] >> 4 };
        let q = f32::from(nibble | ((fifth >> i & 1) as u8) << 4);
        *to = match minimum {
            Some(minimum) => scale * q + minimum,
            None => scale * (q - offset),
        };
    }
    Ok(())
}

fn q4_k(block: &[u8], out: &mut [f32]) -> Result<(), NotFinite> {
    let (d, dmin) = (half_at(block, 0)?, half_at(block, 2)?);
    let groups = scales_and_minima(&block[4..16]);
    for (group, to) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = (d * groups[group].0, dmin * groups[group].1);
        let bytes = &block[16 + group / 2 * 32..][..32];
        for (to, byte) in to.iter_mut().zip(bytes) {
            *to = scale * f32::from(byte >> (group % 2 * 4) & 15) - minimum;
        }
    }
    Ok(())
}

fn q5_k(block: &[u8], out: &mut [f32]) -> Result<(), NotFinite> {
    let (d, dmin) = (half_at(block, 0)?, half_at(block, 2)?);
    let groups = scales_and_minima(&block[4..16]);
    let fifth = &block[16..48];
    for (group, to) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = (d * groups[group].0, dmin * groups[group].1);
        let bytes = &block[48 + group / 2 * 32..][..32];
        for ((to, byte), fifth) in to.iter_mut().zip(bytes).zip(fifth) {
            let q = byte >> (group % 2 * 4) & 15 | (fifth >> group & 1) << 4;
            *to = scale * f32::from(q) - minimum;
        }
    }
    Ok(())
}

fn q6_k(block: &[u8], out: &mut [f32]) -> Result<(), NotFinite> {
    let d = half_at(block, 208)?;
    let scales = &block[192..208];
    for (i, to) in out.iter_mut().enumerate() {
        // Two halves of 128 values. In each: four groups of 32, whose low bits are in 64 bytes and high bits in 32.
        let (half, group, at) = (i / 128, i / 32 % 4, i % 32);
        let low = block[half * 64 + group % 2 * 32 + at] >> (group / 2 * 4) & 15;
        let high = block[128 + half * 32 + at] >> (group * 2) & 3;
        let q = f32::from((low | high << 4).cast_signed() - 32);
        *to = d * f32::from(scales[i / 16].cast_signed()) * q;
    }
    Ok(())
}

/// Decodes one block of a block type. `out` has room for its values.
fn block(dtype: DType, block: &[u8], out: &mut [f32]) -> Result<(), NotFinite> {
    match dtype {
        DType::Q4_0 => legacy(block, false, false, out),
        DType::Q4_1 => legacy(block, true, false, out),
        DType::Q5_0 => legacy(block, false, true, out),
        DType::Q5_1 => legacy(block, true, true, out),
        DType::Q4K => q4_k(block, out),
        DType::Q5K => q5_k(block, out),
        DType::Q6K => q6_k(block, out),
        DType::Q8_0 => {
            let scale = half_at(block, 0)?;
            out.iter_mut().zip(&block[2..]).for_each(|(to, q)| *to = f32::from(q.cast_signed()) * scale);
            Ok(())
        }
        _ => {
            // Q4, the only one that is left. aprender reads a subnormal scale as 0.
            let scale = half_at(block, 0)?;
            let scale = if scale.abs() < f16::MIN_POSITIVE.to_f32() { 0.0 } else { scale };
            for (pair, byte) in out.chunks_mut(2).zip(&block[2..]) {
                for (to, q) in pair.iter_mut().zip([byte & 15, byte >> 4]) {
                    *to = (f32::from(q) - 8.0) * scale;
                }
            }
            Ok(())
        }
    }
}

/// Decodes whole blocks. `out` receives the values from number `skip` of the first block on; the blocks hold at least
/// `skip + out.len()` values. The bytes of [`DType::Q8`] and [`DType::I8`] are decoded without their scale.
///
/// # Errors
/// The index of the block whose scale or minimum is not finite.
pub(super) fn decode(dtype: DType, bytes: &[u8], skip: usize, out: &mut [f32]) -> Result<(), usize> {
    match dtype {
        DType::F32 => {
            let values = &bytes.as_chunks::<4>().0[skip..];
            out.iter_mut().zip(values).for_each(|(to, b)| *to = f32::from_le_bytes(*b));
        }
        DType::F16 => {
            let values = &bytes.as_chunks::<2>().0[skip..];
            out.iter_mut().zip(values).for_each(|(to, b)| *to = f16::from_le_bytes(*b).to_f32());
        }
        DType::BF16 => {
            let values = &bytes.as_chunks::<2>().0[skip..];
            out.iter_mut().zip(values).for_each(|(to, b)| *to = bf16::from_le_bytes(*b).to_f32());
        }
        DType::Q8 | DType::I8 => {
            out.iter_mut().zip(&bytes[skip..]).for_each(|(to, b)| *to = f32::from(b.cast_signed()));
        }
        _ => return decode_blocks(dtype, bytes, skip, out),
    }
    Ok(())
}

fn decode_blocks(dtype: DType, bytes: &[u8], skip: usize, out: &mut [f32]) -> Result<(), usize> {
    let (values, size) = dtype.block();
    let (mut skip, mut rest) = (skip, out);
    for (i, from) in bytes.chunks_exact(size).enumerate() {
        if rest.is_empty() {
            break;
        }
        let n = (values - skip).min(rest.len());
        let (to, behind) = rest.split_at_mut(n);
        if n == values {
            block(dtype, from, to).map_err(|NotFinite| i)?;
        } else {
            let mut whole = [0f32; 256];
            block(dtype, from, &mut whole[..values]).map_err(|NotFinite| i)?;
            to.copy_from_slice(&whole[skip..skip + n]);
        }
        (skip, rest) = (0, behind);
    }
    Ok(())
}
