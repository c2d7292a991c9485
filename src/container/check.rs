//! The check of a frame header, and the tag that names a frame in its segments and its index.

/// The length of a header's check in bytes.
pub(super) const HEADER_CHECK_LEN: usize = 1;

/// A frame header's check: CRC-8 with the polynomial x^8 + x^2 + x + 1 (CRC-8/SMBUS).
///
/// One byte, because small frames pay for it. It finds every error of up to 8 consecutive bits, and every 3 wrong bits
/// in a header of up to 14 bytes. The CRC-32 of the content finds the rest.
pub(super) fn header_check(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 })
    })
}

/// Identifies a frame in its segments and its index: the CRC-32 of the whole header.
pub fn frame_tag(header: &[u8]) -> u32 {
    crc32fast::hash(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_crc_8_smbus() {
        // The check value of the catalogue of parametrised CRC algorithms.
        assert_eq!(header_check(b"123456789"), 0xf4);
    }
}
