//! Numbers in LEB128: seven bits a byte, the lowest first; the upper bit of all bytes but the last is 1. A number has one
//! form, the shortest.

/// The most bytes of a number.
pub const MAX_LEN: usize = 10;

/// Why bytes are no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// They end within it.
    Cut,
    /// They are not its shortest form, or it is too large.
    Form,
}

/// Appends a number, which takes at most [`MAX_LEN`] bytes.
pub fn put(out: &mut Vec<u8>, value: impl Into<u64>) {
    let mut value: u64 = value.into();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The number below 2^`bits` at the start of `from`, and its length. `bits`: at most 64.
///
/// # Errors
/// [`Bad`].
pub fn get(from: &[u8], bits: u32) -> Result<(u64, usize), Bad> {
    let (mut value, most) = (0u128, bits.div_ceil(7) as usize);
    for (i, byte) in from.iter().take(most).enumerate() {
        value |= u128::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            let valid = value >> bits == 0 && (*byte != 0 || i == 0);
            return if valid { Ok((value as u64, i + 1)) } else { Err(Bad::Form) };
        }
    }
    Err(if from.len() < most { Bad::Cut } else { Bad::Form })
}
