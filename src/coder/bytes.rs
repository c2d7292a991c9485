//! Stored byte strings, coded by the frequencies of their bytes: the parts of portable snapshots.
//!
//! A string is its length as a varint (LEB128), a mode byte, and the body. Mode 0: the bytes. Mode 1: a set of 32 bytes
//! with a bit for each byte value that occurs, lowest bit first; the frequency of each of these as a varint, with a sum
//! of 4096; the length of the payload as a varint; the payload of the rANS coder. An empty string has no mode.

use super::{Decoder, Distribution, Encoder, Interval, RansDecoder, RansEncoder, varint};
use crate::error::{Result, fail};
use crate::numeric::buffer::{filled, grow};

/// log2 of the sum of the frequencies.
const TOTAL_LOG: u32 = 12;
const TOTAL: u32 = 1 << TOTAL_LOG;
/// The greatest length of a string. A payload bounds the length of its string by nothing else: a string of one value has
/// an empty payload.
const MOST: usize = 1 << 27;

/// Frequencies with a fixed total.
struct Fixed {
    cumulative: [u16; 257],
    /// The byte by slot.
    bytes: Vec<u8>,
}

impl Fixed {
    /// `frequencies` have the sum [`TOTAL`].
    fn new(frequencies: &[u16; 256]) -> Result<Self> {
        let (mut cumulative, mut bytes) = ([0; 257], filled(TOTAL as usize, 0, "a coded string")?);
        for (byte, n) in frequencies.iter().enumerate() {
            cumulative[byte + 1] = cumulative[byte] + n;
            bytes[cumulative[byte].into()..cumulative[byte + 1].into()].fill(byte as u8);
        }
        Ok(Self { cumulative, bytes })
    }
}

impl Distribution for Fixed {
    #[inline(always)]
    fn total(&self) -> u32 {
        TOTAL
    }

    #[inline(always)]
    fn interval(&self, symbol: u32) -> Interval {
        let symbol = symbol as usize & 0xff;
        let [from, to] = [self.cumulative[symbol], self.cumulative[symbol + 1]].map(u32::from);
        Interval { cumulative: from, frequency: to - from }
    }

    #[inline(always)]
    fn find(&self, target: u32) -> (u32, Interval) {
        let symbol = self.bytes[target as usize & (TOTAL as usize - 1)].into();
        (symbol, self.interval(symbol))
    }
}

/// The frequencies of the bytes, scaled to the sum [`TOTAL`]; none that occurs is 0. `bytes` is not empty.
fn scaled(bytes: &[u8]) -> [u16; 256] {
    let mut counts = [0u64; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let mut out = counts.map(|n| if n == 0 { 0 } else { (n * u64::from(TOTAL) / bytes.len() as u64).max(1) as u16 });
    loop {
        let sum: u32 = out.iter().map(|n| u32::from(*n)).sum();
        let most = (0..256).max_by_key(|i| out[*i]).unwrap_or(0);
        match TOTAL as i32 - sum as i32 {
            0 => return out,
            // A frequency of 4096 is possible; it needs no payload.
            missing @ 1.. => out[most] += missing as u16,
            over => out[most] -= (-over as u16).min(out[most] / 2),
        }
    }
}

/// Appends a number as a varint.
///
/// # Errors
/// `Memory`.
pub fn put_varint(out: &mut Vec<u8>, n: u64) -> Result<()> {
    grow(out, varint::MAX_LEN, "a stored string")?;
    varint::put(out, n);
    Ok(())
}

/// Removes and returns a varint. `None` if it is cut or not valid.
pub fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let (n, len) = varint::get(from, 64).ok()?;
    *from = &from[len..];
    Some(n)
}

/// Appends a string.
///
/// # Errors
/// `Memory`; `Argument` for more than 128 MiB.
pub fn put(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    if bytes.len() > MOST {
        fail!(Argument, "a stored string has {} bytes, {MOST} are the most", bytes.len());
    }
    put_varint(out, bytes.len() as u64)?;
    if bytes.is_empty() {
        return Ok(());
    }
    let frequencies = scaled(bytes);
    let (fixed, mut payload) = (Fixed::new(&frequencies)?, Vec::new());
    let mut encoder = RansEncoder::default();
    bytes.iter().for_each(|byte| encoder.encode(&fixed, (*byte).into()));
    encoder.finish(&mut payload)?;
    let mut table = [0u8; 32];
    (0..256).filter(|byte| frequencies[*byte] > 0).for_each(|byte| table[byte / 8] |= 1 << (byte % 8));
    let used = frequencies.iter().filter(|n| **n > 0).count();
    if payload.len() + 32 + 2 * used >= bytes.len() {
        grow(out, 1 + bytes.len(), "a stored string")?;
        out.push(0);
        out.extend_from_slice(bytes);
        return Ok(());
    }
    grow(out, 33, "a stored string")?;
    out.push(1);
    out.extend_from_slice(&table);
    for n in frequencies.into_iter().filter(|n| *n > 0) {
        put_varint(out, n.into())?;
    }
    put_varint(out, payload.len() as u64)?;
    grow(out, payload.len(), "a stored string")?;
    out.extend_from_slice(&payload);
    Ok(())
}

/// Removes `n` bytes.
fn take_bytes<'a>(from: &mut &'a [u8], n: u64) -> Result<&'a [u8]> {
    match usize::try_from(n).ok().and_then(|n| from.split_at_checked(n)) {
        Some((bytes, rest)) => {
            *from = rest;
            Ok(bytes)
        }
        None => fail!(Corrupt, "a stored string needs {n} bytes, {} are left", from.len()),
    }
}

/// Removes a string and returns its bytes. `most`: the greatest length that the caller accepts.
///
/// # Errors
/// `Corrupt`, `Memory`.
pub fn take(from: &mut &[u8], most: usize) -> Result<Vec<u8>> {
    let cut = || crate::error::Error::new(crate::error::Status::Corrupt, "a stored string is cut".to_owned());
    let len = take_varint(from).ok_or_else(cut)?;
    let Some(len) = usize::try_from(len).ok().filter(|len| *len <= most.min(MOST)) else {
        fail!(Corrupt, "a stored string has {len} bytes, at most {} are expected", most.min(MOST));
    };
    let mut out = Vec::new();
    if len == 0 {
        return Ok(out);
    }
    match take_bytes(from, 1)?[0] {
        0 => {
            let bytes = take_bytes(from, len as u64)?;
            grow(&mut out, len, "a stored string")?;
            out.extend_from_slice(bytes);
        }
        1 => {
            let set = take_bytes(from, 32)?;
            let (mut frequencies, mut sum) = ([0u16; 256], 0);
            for byte in (0..256).filter(|byte| set[byte / 8] >> (byte % 8) & 1 != 0) {
                let n = take_varint(from).ok_or_else(cut)?;
                if n == 0 || n > u64::from(TOTAL) {
                    fail!(Corrupt, "a frequency of a stored string is {n}, not 1 to {TOTAL}");
                }
                frequencies[byte] = n as u16;
                sum += n as u32;
            }
            if sum != TOTAL {
                fail!(Corrupt, "the frequencies of a stored string have the sum {sum}, not {TOTAL}");
            }
            let n = take_varint(from).ok_or_else(cut)?;
            let mut decoder = RansDecoder::new(take_bytes(from, n)?);
            let fixed = Fixed::new(&frequencies)?;
            grow(&mut out, len, "a stored string")?;
            for _ in 0..len {
                out.push(decoder.decode(&fixed) as u8);
            }
            decoder.finish()?;
        }
        mode => fail!(Corrupt, "a stored string has mode {mode}"),
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(bytes: &[u8]) -> usize {
        let mut stored = vec![7];
        put(&mut stored, bytes).unwrap();
        let mut from = &stored[1..];
        assert!(take(&mut from, bytes.len()).unwrap() == bytes && from.is_empty());
        assert!(bytes.is_empty() || take(&mut &stored[1..], bytes.len() - 1).is_err());
        // Every cut is told, and no flipped bit does harm.
        for cut in (1..stored.len()).take(600) {
            assert!(take(&mut &stored[1..cut], bytes.len()).is_err(), "{cut}");
            stored[cut] ^= 1 << (cut % 8);
            let _ = take(&mut &stored[1..], bytes.len());
            stored[cut] ^= 1 << (cut % 8);
        }
        stored.len() - 1
    }

    #[test]
    fn strings_are_short_if_their_bytes_are_skewed() {
        assert_eq!(there_and_back(&[]), 1);
        assert!(there_and_back(&[5; 300_000]) < 64);
        let skewed: Vec<u8> = (0..300_000u32).map(|i| if i % 16 == 0 { i as u8 } else { 0 }).collect();
        assert!(there_and_back(&skewed) < 80_000);
        let noise: Vec<u8> = (0..1000u32).map(|i| (i.wrapping_mul(0x9E37_79B1) >> 24) as u8).collect();
        assert!(there_and_back(&noise) <= noise.len() + 3);
    }

    proptest! {
        #[test]
        fn any_string_goes_there_and_back(bytes in prop::collection::vec(any::<u8>(), 0..500), mask in any::<u8>()) {
            there_and_back(&bytes.iter().map(|byte| byte & mask).collect::<Vec<u8>>());
        }

        #[test]
        fn any_number_goes_there_and_back(n in any::<u64>(), shift in 0..64u32) {
            let mut out = Vec::new();
            put_varint(&mut out, n >> shift).unwrap();
            let mut from = &out[..];
            prop_assert_eq!(take_varint(&mut from), Some(n >> shift));
            prop_assert!(from.is_empty() && take_varint(&mut &out[..out.len() - 1]).is_none());
        }
    }
}
