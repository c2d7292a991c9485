//! What a reader of a format finds.

use std::fmt;

use crate::error::{Result, fail, shortened};
use crate::numeric::buffer::{copied, grow, made};
use crate::weights::dtype::DType;
use crate::weights::header::MAX_TENSORS;
use crate::weights::metadata::{Metadata, owned};

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its full name, without a zero byte.
    pub name: String,
    /// The type of its values.
    pub dtype: DType,
    /// Its dimensions, outermost first: the values of the last one are neighbours. None for a scalar.
    pub shape: Vec<u64>,
    /// The number of its bytes in the file.
    pub bytes: u64,
    /// The offset of its bytes in the file.
    pub(in crate::weights) offset: u64,
}

impl TensorInfo {
    /// The number of its values.
    pub fn values(&self) -> u64 {
        self.shape.iter().product()
    }
}

/// Why a tensor is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Inference does not need it.
    NotNeeded,
    /// Its values have a type that [`DType`] lacks.
    Type(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNeeded => f.write_str("inference does not need it"),
            Self::Type(name) => write!(f, "its type is {name}"),
        }
    }
}

/// A tensor that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its full name.
    pub name: String,
    /// Why it is left out.
    pub reason: Reason,
}

/// What an allocation is for, in messages.
pub(super) const WHAT: &str = "the list of tensors";

/// All that a file says before its data.
#[derive(Debug, Default)]
pub(in crate::weights) struct Contents {
    /// In the order of the file.
    pub(super) tensors: Vec<TensorInfo>,
    pub(super) metadata: Metadata,
    pub(super) skipped: Vec<Skipped>,
}

impl Contents {
    /// Adds a tensor. `offset` and `bytes`: what the file states, `bytes` where it states them.
    pub(super) fn add(
        &mut self,
        name: &str,
        dtype: DType,
        shape: &[u64],
        offset: u64,
        bytes: Option<u64>,
    ) -> Result<()> {
        check_name(name)?;
        let expected = match dtype.bytes(shape) {
            Ok(n) => n,
            Err(why) => fail!(Model, "{}: {why}; it is {shape:?} of {}", shortened(name), dtype.name()),
        };
        let found = bytes.unwrap_or(expected);
        if found != expected {
            let (name, dtype) = (shortened(name), dtype.name());
            fail!(Model, "{name}: {found} bytes do not fit shape {shape:?} of {dtype}, which has {expected}");
        }
        self.check_count()?;
        grow(&mut self.tensors, 1, WHAT)?;
        let (name, shape) = (owned(name)?, copied(shape, WHAT)?);
        self.tensors.push(TensorInfo { name, dtype, shape, bytes: expected, offset });
        Ok(())
    }

    /// Adds a tensor that is left out.
    pub(super) fn skip(&mut self, name: &str, reason: Reason) -> Result<()> {
        check_name(name)?;
        self.check_count()?;
        grow(&mut self.skipped, 1, WHAT)?;
        self.skipped.push(Skipped { name: owned(name)?, reason });
        Ok(())
    }

    fn check_count(&self) -> Result<()> {
        if self.tensors.len() + self.skipped.len() == MAX_TENSORS {
            fail!(Model, "more than {MAX_TENSORS} tensors");
        }
        Ok(())
    }

    /// Checks that the bytes of the tensors are between `start` and `end`, begin at multiples of `alignment` from `start`
    /// on, and do not overlap.
    pub(super) fn check_layout(&self, start: u64, end: u64, alignment: u64) -> Result<()> {
        for tensor in &self.tensors {
            let TensorInfo { name, offset, bytes, .. } = tensor;
            let last = offset.checked_add(*bytes);
            if *offset < start || last.is_none_or(|last| last > end) {
                let name = shortened(name);
                fail!(Model, "{name}: {bytes} bytes at {offset} are not within the tensors' bytes, {start}..{end}");
            }
            if !(offset - start).is_multiple_of(alignment) {
                fail!(Model, "{}: its offset {offset} is not aligned to {alignment} bytes", shortened(name));
            }
        }
        let mut order = made(self.tensors.len(), WHAT, |i| Ok(i as u32))?;
        let tensor = |i: &u32| &self.tensors[*i as usize];
        order.sort_unstable_by_key(|i| (tensor(i).offset, tensor(i).bytes, *i));
        for pair in order.windows(2) {
            let (a, b) = (tensor(&pair[0]), tensor(&pair[1]));
            if a.offset + a.bytes > b.offset {
                fail!(Model, "the bytes of {} and {} overlap", shortened(&a.name), shortened(&b.name));
            }
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.contains('\0') {
        fail!(Model, "{}: the name of a tensor has a zero byte", shortened(name));
    }
    Ok(())
}
