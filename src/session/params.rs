//! The options of a handle and their ranges.

use crate::container::{Coder, MAX_BLOCK_LOG, MAX_SEGMENT_LOG, MIN_BLOCK_LOG, MIN_SEGMENT_LOG, Shape};
use crate::error::{Result, fail};

/// The default of [`Param::MemoryLimit`]: 1 GiB.
pub const DEFAULT_MEMORY_LIMIT: u64 = 1 << 30;

/// The default of [`Param::WorkLimit`]: some ten milliseconds a byte. If the handle's own method takes more, its work
/// is the default.
pub const DEFAULT_WORK_LIMIT: u64 = 1 << 27;

/// Options by their numbers in the C ABI, which never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Param {
    /// The entropy coder: 0 range coder, 1 rANS.
    Coder = 1,
    /// Frame version: 2 or 3.
    Format = 2,
    /// Whether version 3 frames carry CRC-32s: 0 or 1.
    Checksum = 3,
    /// The most threads that a call may use; 0 for one per core.
    Threads = 4,
    /// The number of lanes, which share a pass over the weights.
    Lanes = 5,
    /// Binary logarithm of the block size.
    BlockLog = 6,
    /// Binary logarithm of the segment size; 0 for one segment.
    SegmentLog = 7,
    /// The bytes that the weights and all states may take.
    MemoryLimit = 8,
    /// The length of the content of the next stream; -1 if it is not known.
    ContentLength = 9,
    /// The length of the check of a record: 0, 1, 2 or 4 bytes.
    RecordCheck = 10,
    /// The multiplications that the method of frames and records may take for a byte.
    WorkLimit = 11,
}

impl Param {
    const ALL: [Self; 11] = [
        Self::Coder,
        Self::Format,
        Self::Checksum,
        Self::Threads,
        Self::Lanes,
        Self::BlockLog,
        Self::SegmentLog,
        Self::MemoryLimit,
        Self::ContentLength,
        Self::RecordCheck,
        Self::WorkLimit,
    ];

    /// The option of this number.
    ///
    /// # Errors
    /// `Argument`.
    pub fn from_number(n: i32) -> Result<Self> {
        match Self::ALL.into_iter().find(|p| *p as i32 == n) {
            Some(param) => Ok(param),
            None => fail!(Argument, "parameter {n} does not exist; 1 to 11 do"),
        }
    }

    /// The allowed values, both ends included.
    fn range(self) -> (i64, i64) {
        match self {
            Self::Coder => (0, 1),
            Self::Format => (2, 3),
            Self::Checksum => (0, 1),
            Self::Threads => (0, 1024),
            Self::Lanes => (1, 1),
            Self::BlockLog => (i64::from(MIN_BLOCK_LOG), i64::from(MAX_BLOCK_LOG)),
            Self::SegmentLog => (0, i64::from(MAX_SEGMENT_LOG)),
            Self::MemoryLimit | Self::WorkLimit => (1, i64::MAX),
            Self::ContentLength => (-1, i64::MAX),
            Self::RecordCheck => (0, 4),
        }
    }
}

/// The largest number of an option.
const LAST: usize = Param::WorkLimit as usize;

/// The options of a handle. Each keeps its value until it is set again.
#[derive(Clone, Debug)]
pub struct Params([i64; LAST]);

impl Default for Params {
    fn default() -> Self {
        Self([0, 3, 1, 1, 1, 17, 0, DEFAULT_MEMORY_LIMIT as i64, -1, 0, DEFAULT_WORK_LIMIT as i64])
    }
}

impl Params {
    /// Sets an option.
    ///
    /// # Errors
    /// `Argument` if the value is not allowed.
    pub fn set(&mut self, param: Param, value: i64) -> Result<()> {
        let (low, high) = param.range();
        if param == Param::RecordCheck && value == 3 {
            fail!(Argument, "{param:?} = 3: 0, 1, 2 and 4 are allowed");
        }
        if param == Param::SegmentLog && (1..i64::from(MIN_SEGMENT_LOG)).contains(&value) {
            fail!(Argument, "{param:?} = {value}: 0 and {MIN_SEGMENT_LOG} to {high} are allowed");
        }
        if !(low..=high).contains(&value) {
            fail!(Argument, "{param:?} = {value}: {low} to {high} are allowed");
        }
        self.0[param as usize - 1] = value;
        Ok(())
    }

    /// The value of an option.
    pub fn get(&self, param: Param) -> i64 {
        self.0[param as usize - 1]
    }

    /// Lanes, blocks and segments.
    pub(super) fn shape(&self) -> Shape {
        let lanes_log = self.get(Param::Lanes).trailing_zeros() as u8;
        let [block_log, segment_log] = [Param::BlockLog, Param::SegmentLog].map(|param| self.get(param) as u8);
        Shape { lanes_log, block_log, segment_log }
    }

    /// The coder.
    pub(super) fn coder(&self) -> Coder {
        if self.get(Param::Coder) == 0 { Coder::Range } else { Coder::Rans }
    }
}
