//! The keys and values of the tokens so far, of one layer.
//!
//! Slots are in blocks of sixteen. A block has, for each head, a panel of sixteen keys (as the panels of a matrix, with
//! slots as rows) and sixteen rows of values. The memory grows by doubling.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::super::level::{Kernel, Level};
use super::super::simd::Simd;
use super::super::vector::{Bytes64, Vec16, WIDTH, flat};
use super::super::{buffer::grow, math};
use crate::error::Result;

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvFormat {
    /// int8 with one scale for each vector of a head: as activations are quantised, q = round(x * (127 / m)), scale
    /// m / 127, with m the largest magnitude.
    I8,
    /// binary16: rounded to nearest even, after clamping to -65504..=65504.
    F16,
    /// As computed.
    F32,
}

impl KvFormat {
    /// The bytes of a key and a value of one head.
    pub fn bytes(self, dim: usize) -> usize {
        match self {
            Self::I8 => 2 * (dim + 4),
            Self::F16 => 4 * dim,
            Self::F32 => 8 * dim,
        }
    }
}

/// The largest binary16 number.
const F16_LIMIT: f32 = 65504.0;

#[derive(Debug)]
pub(super) enum Store {
    I8 { keys: Vec<Bytes64>, key_scales: Vec<Vec16>, values: Vec<[i8; WIDTH]>, value_scales: Vec<Vec16> },
    F16 { keys: Vec<[u16; WIDTH]>, values: Vec<[u16; WIDTH]> },
    F32 { keys: Vec<Vec16>, values: Vec<Vec16> },
}

/// Keys and values by slot.
#[derive(Debug)]
pub struct KvCache {
    pub(super) store: Store,
    pub(super) heads: usize,
    /// Vectors in a head.
    pub(super) vectors: usize,
    blocks: usize,
}

impl KvCache {
    /// An empty cache for heads of `dim` numbers, a multiple of 16.
    pub fn new(format: KvFormat, heads: usize, dim: usize) -> Self {
        assert!(dim.is_multiple_of(WIDTH));
        let store = match format {
            KvFormat::I8 => Store::I8 { keys: vec![], key_scales: vec![], values: vec![], value_scales: vec![] },
            KvFormat::F16 => Store::F16 { keys: vec![], values: vec![] },
            KvFormat::F32 => Store::F32 { keys: vec![], values: vec![] },
        };
        Self { store, heads, vectors: dim / WIDTH, blocks: 0 }
    }

    /// The slots that memory is there for.
    pub fn slots(&self) -> usize {
        self.blocks * WIDTH
    }

    /// Makes room for `slots` slots. The slots so far keep their content.
    ///
    /// # Errors
    /// `Memory`. The cache stays usable.
    pub fn reserve(&mut self, slots: usize) -> Result<()> {
        const WHAT: &str = "a cache of keys and values";
        fn extend<T: Clone>(v: &mut Vec<T>, n: usize, zero: T) -> Result<()> {
            grow(v, n.saturating_sub(v.len()), WHAT)?;
            v.resize(n.max(v.len()), zero);
            Ok(())
        }
        let blocks = slots.div_ceil(WIDTH);
        if blocks <= self.blocks {
            return Ok(());
        }
        let heads = blocks * self.heads;
        let rows = heads * self.vectors * WIDTH;
        match &mut self.store {
            Store::I8 { keys, key_scales, values, value_scales } => {
                extend(keys, rows / 4, Bytes64([0; 64]))?;
                extend(values, rows, [0; WIDTH])?;
                extend(key_scales, heads, Vec16::ZERO)?;
                extend(value_scales, heads, Vec16::ZERO)?;
            }
            Store::F16 { keys, values } => {
                extend(keys, rows, [0; WIDTH])?;
                extend(values, rows, [0; WIDTH])?;
            }
            Store::F32 { keys, values } => {
                extend(keys, rows, Vec16::ZERO)?;
                extend(values, rows, Vec16::ZERO)?;
            }
        }
        self.blocks = blocks;
        Ok(())
    }

    /// Stores the key and the value of one head in a slot.
    ///
    /// # Panics
    /// If there is no such slot or head.
    pub fn set(&mut self, level: Level, slot: usize, head: usize, key: &[Vec16], value: &[Vec16]) {
        assert!(slot < self.slots() && head < self.heads);
        let (n, lane) = (self.vectors, slot % WIDTH);
        let at = slot / WIDTH * self.heads + head;
        let row = (at * WIDTH + lane) * n;
        match &mut self.store {
            Store::I8 { keys, key_scales, values, value_scales } => {
                let panel = &mut keys[at * n * 4..][..n * 4];
                key_scales[at].0[lane] = level.run(Quantise {
                    x: &key[..n],
                    store: |i: usize, q: &[i32; WIDTH]| {
                        for (k, q) in q.iter().enumerate() {
                            panel[i * 4 + k / 4].0[lane * 4 + k % 4] = *q as i8;
                        }
                    },
                });
                let rows = &mut values[row..][..n];
                value_scales[at].0[lane] = level
                    .run(Quantise { x: &value[..n], store: |i: usize, q: &[i32; WIDTH]| rows[i] = q.map(|q| q as i8) });
            }
            Store::F16 { keys, values } => {
                let round = |x: f32| {
                    let x = if x > -F16_LIMIT { x } else { -F16_LIMIT };
                    f16::from_f32(if x < F16_LIMIT { x } else { F16_LIMIT }).to_bits()
                };
                let panel = &mut keys[at * n * WIDTH..][..n * WIDTH];
                panel.iter_mut().zip(flat(key)).for_each(|(to, x)| to[lane] = round(*x));
                values[row..][..n].iter_mut().zip(value).for_each(|(to, x)| *to = x.0.map(round));
            }
            Store::F32 { keys, values } => {
                let panel = &mut keys[at * n * WIDTH..][..n * WIDTH];
                panel.iter_mut().zip(flat(key)).for_each(|(to, x)| to.0[lane] = *x);
                values[row..][..n].copy_from_slice(&value[..n]);
            }
        }
    }
}

/// Sixteen binary16 numbers as f32, which is exact.
pub(super) fn widen_f16(x: &[u16; WIDTH]) -> Vec16 {
    let mut out = Vec16::ZERO;
    x.map(f16::from_bits).convert_to_f32_slice(&mut out.0);
    out
}

/// Quantises a vector to int8 with one scale and passes sixteen numbers at a time to `store`.
pub(super) struct Quantise<'a, F: FnMut(usize, &[i32; WIDTH])> {
    pub(super) x: &'a [Vec16],
    pub(super) store: F,
}

impl<F: FnMut(usize, &[i32; WIDTH])> Kernel for Quantise<'_, F> {
    /// The scale.
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) -> f32 {
        let mut lanes = [0; WIDTH];
        math::quantise(s, self.x, |i, q| {
            s.store_i(q, &mut lanes);
            (self.store)(i, &lanes);
        })
    }
}
