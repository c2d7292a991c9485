//! The one loop that compresses, decompresses, measures and observes: only the port differs, so that no two
//! directions can drift apart.

use super::predictor::Predictor;
use crate::coder::{Decoder, Distribution, Encoder};
use crate::error::{Result, fail};
use crate::numeric::math::{Function, scalar};

/// How often, in bytes, the progress callback is asked.
const TICK: usize = 256;

/// Told the bytes done and the total; answers whether to go on.
pub type ProgressFn<'a> = dyn FnMut(u64, u64) -> bool + 'a;

/// Counts bytes of a call and asks its callback now and then.
pub struct Progress<'a> {
    callback: Option<&'a mut ProgressFn<'a>>,
    done: u64,
    total: u64,
    /// Whether bytes count.
    counts: bool,
}

impl<'a> Progress<'a> {
    /// For a call over `total` bytes; asks at once.
    ///
    /// # Errors
    /// `Cancelled`.
    pub fn start(callback: Option<&'a mut ProgressFn<'a>>, total: u64) -> Result<Self> {
        let mut progress = Self { callback, done: 0, total, counts: true };
        progress.advance(0)?;
        Ok(progress)
    }

    /// Runs what is only tried: it asks and does not count.
    pub fn trial<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        self.counts = false;
        let result = f(self);
        self.counts = true;
        result
    }

    /// Counts `bytes` more and asks.
    ///
    /// # Errors
    /// `Cancelled`.
    pub fn advance(&mut self, bytes: u64) -> Result<()> {
        if self.counts {
            self.done += bytes;
        }
        if let Some(callback) = &mut self.callback
            && !callback(self.done, self.total)
        {
            fail!(Cancelled, "cancelled by the progress callback after {} of {} bytes", self.done, self.total);
        }
        Ok(())
    }
}

/// Where bytes come from and go to: told or asked, the predictor sees the same.
pub trait Port {
    /// Whether symbols need their distributions: where not, they may be left unasked.
    const ASKS: bool;
    /// How many bytes are to go.
    fn left(&self) -> usize;
    /// Those to go that are known: all, or none.
    fn ahead(&self) -> &[u8];
    /// The next byte, where it is known; anything where it is asked for.
    fn known(&mut self) -> u8;
    /// One symbol, known or not: a byte, or one of its bits, highest first.
    fn symbol(&mut self, distribution: &impl Distribution, known: u32) -> u32;
    /// The byte that the symbols made.
    fn done(&mut self, byte: u8);
}

/// Runs a port to its end.
///
/// # Errors
/// `Cancelled`.
pub fn drive(predictor: &mut Predictor, port: &mut impl Port, progress: &mut Progress) -> Result<()> {
    while port.left() > 0 {
        let n = port.left().min(TICK);
        for _ in 0..n {
            predictor.exchange(port);
        }
        progress.advance(n as u64)?;
    }
    Ok(())
}

/// Tells an encoder the bytes of `src`.
pub struct Send<'a, E> {
    src: std::slice::Iter<'a, u8>,
    encoder: &'a mut E,
}

impl<'a, E: Encoder> Send<'a, E> {
    /// Sends `src`.
    pub fn new(src: &'a [u8], encoder: &'a mut E) -> Self {
        Self { src: src.iter(), encoder }
    }
}

impl<E: Encoder> Port for Send<'_, E> {
    const ASKS: bool = true;

    fn left(&self) -> usize {
        self.src.len()
    }

    fn ahead(&self) -> &[u8] {
        self.src.as_slice()
    }

    fn known(&mut self) -> u8 {
        self.src.next().copied().unwrap_or_default()
    }

    fn symbol(&mut self, distribution: &impl Distribution, known: u32) -> u32 {
        self.encoder.encode(distribution, known);
        known
    }

    fn done(&mut self, _byte: u8) {}
}

/// Asks a decoder for the bytes of `dst`.
pub struct Receive<'a, D> {
    dst: std::slice::IterMut<'a, u8>,
    decoder: D,
}

impl<'a, D: Decoder> Receive<'a, D> {
    /// Fills `dst`.
    pub fn new(dst: &'a mut [u8], decoder: D) -> Self {
        Self { dst: dst.iter_mut(), decoder }
    }

    /// Whether the block ended as it should; see [`Decoder::finish`].
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn finish(self) -> Result<()> {
        self.decoder.finish()
    }
}

impl<D: Decoder> Port for Receive<'_, D> {
    const ASKS: bool = true;

    fn left(&self) -> usize {
        self.dst.len()
    }

    fn ahead(&self) -> &[u8] {
        &[]
    }

    fn known(&mut self) -> u8 {
        0
    }

    fn symbol(&mut self, distribution: &impl Distribution, _known: u32) -> u32 {
        self.decoder.decode(distribution)
    }

    fn done(&mut self, byte: u8) {
        if let Some(to) = self.dst.next() {
            *to = byte;
        }
    }
}

/// A symbol's bits: log2(total / frequency) in f32, the same on every CPU.
fn cost(distribution: &impl Distribution, symbol: u32) -> f64 {
    let ratio = distribution.total() as f32 / distribution.interval(symbol).frequency as f32;
    f64::from(scalar(Function::Log2, ratio))
}

/// A port whose symbols are known, with what they cost so far.
pub struct Counted<P> {
    port: P,
    /// Bits.
    pub bits: f64,
}

impl<P> Counted<P> {
    /// Counts from none.
    pub fn new(port: P) -> Self {
        Self { port, bits: 0.0 }
    }
}

impl<P: Port> Port for Counted<P> {
    const ASKS: bool = P::ASKS;

    fn left(&self) -> usize {
        self.port.left()
    }

    fn ahead(&self) -> &[u8] {
        self.port.ahead()
    }

    fn known(&mut self) -> u8 {
        self.port.known()
    }

    fn symbol(&mut self, distribution: &impl Distribution, known: u32) -> u32 {
        self.bits += cost(distribution, known);
        self.port.symbol(distribution, known)
    }

    fn done(&mut self, byte: u8) {
        self.port.done(byte);
    }
}

/// Sums what the bytes of `src` would cost, and tells what each did.
pub struct Measure<'a> {
    src: std::slice::Iter<'a, u8>,
    costs: std::slice::IterMut<'a, f32>,
    /// Bits so far.
    pub bits: f64,
    /// What they were before this byte.
    before: f64,
}

impl<'a> Measure<'a> {
    /// Measures `src`; each byte's bits go to `costs`, as far as there is room.
    pub fn new(src: &'a [u8], costs: &'a mut [f32]) -> Self {
        Self { src: src.iter(), costs: costs.iter_mut(), bits: 0.0, before: 0.0 }
    }
}

impl Port for Measure<'_> {
    const ASKS: bool = true;

    fn left(&self) -> usize {
        self.src.len()
    }

    fn ahead(&self) -> &[u8] {
        self.src.as_slice()
    }

    fn known(&mut self) -> u8 {
        self.src.next().copied().unwrap_or_default()
    }

    fn symbol(&mut self, distribution: &impl Distribution, known: u32) -> u32 {
        self.bits += cost(distribution, known);
        known
    }

    fn done(&mut self, _byte: u8) {
        if let Some(cost) = self.costs.next() {
            *cost = (self.bits - self.before) as f32;
        }
        self.before = self.bits;
    }
}

/// Shows the predictor the bytes of `src`, and codes nothing.
pub struct Show<'a>(std::slice::Iter<'a, u8>);

impl<'a> Show<'a> {
    /// Shows `src`.
    pub fn new(src: &'a [u8]) -> Self {
        Self(src.iter())
    }
}

impl Port for Show<'_> {
    const ASKS: bool = false;

    fn left(&self) -> usize {
        self.0.len()
    }

    fn ahead(&self) -> &[u8] {
        self.0.as_slice()
    }

    fn known(&mut self) -> u8 {
        self.0.next().copied().unwrap_or_default()
    }

    fn symbol(&mut self, _distribution: &impl Distribution, known: u32) -> u32 {
        known
    }

    fn done(&mut self, _byte: u8) {}
}
