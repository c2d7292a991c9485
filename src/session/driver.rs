//! The loop that compresses, decompresses, measures and observes. Only the port differs, so that compression and
//! decompression cannot differ.

use super::progress::Progress;
use crate::coder::{Decoder, Distribution, Encoder};
use crate::error::Result;
use crate::numeric::math::{Function, scalar};
use crate::predict::{Port, Predictor};

/// The progress callback is invoked at least once in this many bytes.
const TICK: usize = 256;

/// The progress callback is invoked after about this many multiplications: 2 milliseconds on a fast CPU, 10 on a slow
/// one. If a byte takes more, it is invoked after every byte.
const TICK_WORK: u64 = 1 << 24;

/// Codes all bytes of a port.
///
/// # Errors
/// `Cancelled`, `Memory`.
pub fn drive(predictor: &mut Predictor, port: &mut impl Port, progress: &mut Progress) -> Result<()> {
    let tick = (TICK_WORK / predictor.work().max(1)).clamp(1, TICK as u64) as usize;
    while port.remaining() > 0 {
        let n = port.remaining().min(tick);
        predictor.reserve(n)?;
        for _ in 0..n {
            predictor.code_byte(port);
        }
        progress.advance(n as u64)?;
    }
    Ok(())
}

/// Encodes the bytes of `src`.
pub struct Encode<'a, E> {
    src: std::slice::Iter<'a, u8>,
    encoder: &'a mut E,
}

impl<'a, E: Encoder> Encode<'a, E> {
    /// Encodes `src`.
    pub fn new(src: &'a [u8], encoder: &'a mut E) -> Self {
        Self { src: src.iter(), encoder }
    }
}

impl<E: Encoder> Port for Encode<'_, E> {
    const NEEDS_DISTRIBUTION: bool = true;

    fn remaining(&self) -> usize {
        self.src.len()
    }

    fn lookahead(&self) -> &[u8] {
        self.src.as_slice()
    }

    fn next_known(&mut self) -> u8 {
        self.src.next().copied().unwrap_or_default()
    }

    fn code(&mut self, distribution: &impl Distribution, known: u32) -> u32 {
        self.encoder.encode(distribution, known);
        known
    }

    fn finish_byte(&mut self, _byte: u8) {}
}

/// Decodes the bytes of `dst`.
pub struct Decode<'a, D> {
    dst: std::slice::IterMut<'a, u8>,
    decoder: D,
}

impl<'a, D: Decoder> Decode<'a, D> {
    /// Fills `dst`.
    pub fn new(dst: &'a mut [u8], decoder: D) -> Self {
        Self { dst: dst.iter_mut(), decoder }
    }

    /// Checks that the payload ended where the content did; see [`Decoder::finish`].
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn finish(self) -> Result<()> {
        self.decoder.finish()
    }
}

impl<D: Decoder> Port for Decode<'_, D> {
    const NEEDS_DISTRIBUTION: bool = true;

    fn remaining(&self) -> usize {
        self.dst.len()
    }

    fn lookahead(&self) -> &[u8] {
        &[]
    }

    fn next_known(&mut self) -> u8 {
        0
    }

    fn code(&mut self, distribution: &impl Distribution, _known: u32) -> u32 {
        self.decoder.decode(distribution)
    }

    fn finish_byte(&mut self, byte: u8) {
        if let Some(to) = self.dst.next() {
            *to = byte;
        }
    }
}

/// The cost of a symbol in bits: log2(total / frequency) in f32, the same on every CPU.
fn cost(distribution: &impl Distribution, symbol: u32) -> f64 {
    let ratio = distribution.total() as f32 / distribution.interval(symbol).frequency as f32;
    f64::from(scalar(Function::Log2, ratio))
}

/// A port whose bytes are known in advance, with the sum of their costs.
pub struct Counted<P> {
    port: P,
    /// Bits.
    pub bits: f64,
}

impl<P> Counted<P> {
    /// Starts at 0 bits.
    pub fn new(port: P) -> Self {
        Self { port, bits: 0.0 }
    }
}

impl<P: Port> Port for Counted<P> {
    const NEEDS_DISTRIBUTION: bool = P::NEEDS_DISTRIBUTION;

    fn remaining(&self) -> usize {
        self.port.remaining()
    }

    fn lookahead(&self) -> &[u8] {
        self.port.lookahead()
    }

    fn next_known(&mut self) -> u8 {
        self.port.next_known()
    }

    fn code(&mut self, distribution: &impl Distribution, known: u32) -> u32 {
        self.bits += cost(distribution, known);
        self.port.code(distribution, known)
    }

    fn finish_byte(&mut self, byte: u8) {
        self.port.finish_byte(byte);
    }
}

/// Measures the cost of the bytes of `src`.
pub struct Measure<'a> {
    src: std::slice::Iter<'a, u8>,
    costs: std::slice::IterMut<'a, f32>,
    /// Bits so far.
    pub bits: f64,
    /// Bits before this byte.
    before: f64,
}

impl<'a> Measure<'a> {
    /// Measures `src`. The bits of each byte are written to `costs`, which may be shorter.
    pub fn new(src: &'a [u8], costs: &'a mut [f32]) -> Self {
        Self { src: src.iter(), costs: costs.iter_mut(), bits: 0.0, before: 0.0 }
    }
}

impl Port for Measure<'_> {
    const NEEDS_DISTRIBUTION: bool = true;

    fn remaining(&self) -> usize {
        self.src.len()
    }

    fn lookahead(&self) -> &[u8] {
        self.src.as_slice()
    }

    fn next_known(&mut self) -> u8 {
        self.src.next().copied().unwrap_or_default()
    }

    fn code(&mut self, distribution: &impl Distribution, known: u32) -> u32 {
        self.bits += cost(distribution, known);
        known
    }

    fn finish_byte(&mut self, _byte: u8) {
        if let Some(cost) = self.costs.next() {
            *cost = (self.bits - self.before) as f32;
        }
        self.before = self.bits;
    }
}

/// Lets the predictor observe the bytes of `src`. Nothing is coded.
pub struct Observe<'a>(std::slice::Iter<'a, u8>);

impl<'a> Observe<'a> {
    /// Observes `src`.
    pub fn new(src: &'a [u8]) -> Self {
        Self(src.iter())
    }
}

impl Port for Observe<'_> {
    const NEEDS_DISTRIBUTION: bool = false;

    fn remaining(&self) -> usize {
        self.0.len()
    }

    fn lookahead(&self) -> &[u8] {
        self.0.as_slice()
    }

    fn next_known(&mut self) -> u8 {
        self.0.next().copied().unwrap_or_default()
    }

    fn code(&mut self, _distribution: &impl Distribution, known: u32) -> u32 {
        known
    }

    fn finish_byte(&mut self, _byte: u8) {}
}
