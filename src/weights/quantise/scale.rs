//! Scales of blocks.

use half::f16;

/// A scale as f16.
///
/// # Errors
/// The scale, if it is too large.
pub(super) fn half(scale: f32) -> Result<[u8; 2], f32> {
    let half = f16::from_f32(scale);
    if half.is_finite() { Ok(half.to_le_bytes()) } else { Err(scale) }
}

/// As [`half()`]. Also returns the value that a reader finds.
///
/// # Errors
/// As [`half()`].
pub(super) fn rounded(scale: f32) -> Result<([u8; 2], f32), f32> {
    let bytes = half(scale)?;
    Ok((bytes, f16::from_le_bytes(bytes).to_f32()))
}

/// The factor that divides by a scale. 0 for 0.
pub(super) fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}
