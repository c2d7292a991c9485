//! How the files spell bytes.

/// The character that stands for a space in vocabularies of SentencePiece.
pub(super) const SPACE: char = '\u{2581}';

/// Whether a byte stands for itself in the alphabet of GPT-2.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}

/// The byte that a character of the alphabet of GPT-2 (`bytes_to_unicode`) stands for. The 188 printable characters of
/// Latin-1 stand for themselves. The other 68 bytes are, in ascending order, the characters from U+0100 on.
pub(super) fn byte_of(c: char) -> Option<u8> {
    const OTHERS: [u8; 68] = {
        let (mut others, mut n, mut byte) = ([0; 68], 0, 0);
        while byte < 256 {
            if !is_plain(byte as u8) {
                others[n] = byte as u8;
                n += 1;
            }
            byte += 1;
        }
        others
    };
    match u8::try_from(c) {
        Ok(byte) => is_plain(byte).then_some(byte),
        Err(_) => OTHERS.get(c as usize - 0x100).copied(),
    }
}

/// The byte of a token that is spelt `<0x0A>`.
pub(super) fn fallback_byte(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_hex = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
    if is_hex { u8::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character_of_the_alphabet() {
        let mut found: Vec<u8> = ('\0'..='\u{200}').filter_map(byte_of).collect();
        assert_eq!(byte_of('Ġ'), Some(b' '));
        assert_eq!(byte_of('Ċ'), Some(b'\n'));
        assert_eq!(byte_of('Ń'), Some(0xad));
        assert_eq!((byte_of('ń'), byte_of(' '), byte_of('漢')), (None, None, None));
        found.sort_unstable();
        assert!(found.into_iter().eq(0..=255));
    }

    #[test]
    fn fallback_bytes_are_two_upper_case_digits() {
        assert_eq!((fallback_byte("<0x0A>"), fallback_byte("<0xFF>")), (Some(10), Some(255)));
        for name in ["<0x0a>", "<0x+1>", "<0x1>", "<0x100>", "0x00", "<0x00", ""] {
            assert_eq!(fallback_byte(name), None, "{name}");
        }
    }
}
