//! What a frame's header states.

use super::create::memory_of_stored;
use crate::container::{Frame, Header, HeaderV3, MethodRef, frames};
use crate::error::{Error, Result, Status, fail};
use crate::method::resolve;

/// A value of a frame, by its number in the C ABI, which never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum FrameValue {
    /// The content's length in bytes.
    ContentLength = 1,
    /// The most bytes that a handle of the frame's method takes.
    Memory = 2,
    /// The bytes up to the end of the header, skippable frames before it included.
    HeaderLength = 3,
    /// The version of the arithmetic. 0 in version 2.
    Numerics = 4,
    /// The number of lanes.
    Lanes = 5,
    /// Binary logarithm of the block size.
    BlockLog = 6,
    /// Binary logarithm of the segment size; 0 for one segment.
    SegmentLog = 7,
    /// Whether the method needs a weights file.
    NeedsModel = 8,
    /// Whether the frame needs a base.
    NeedsBase = 9,
    /// Whether the frame has checksums.
    Checksum = 10,
    /// The bytes up to the end of the frame, skippable frames before it included.
    CodedLength = 11,
    /// The base's identifier, its 8 bytes as a little-endian number; 0 for none.
    BaseId = 12,
    /// The first 8 bytes of the weights' fingerprint, likewise.
    ModelId = 13,
}

impl FrameValue {
    const ALL: [Self; 13] = [
        Self::ContentLength,
        Self::Memory,
        Self::HeaderLength,
        Self::Numerics,
        Self::Lanes,
        Self::BlockLog,
        Self::SegmentLog,
        Self::NeedsModel,
        Self::NeedsBase,
        Self::Checksum,
        Self::CodedLength,
        Self::BaseId,
        Self::ModelId,
    ];

    /// The value of this number.
    ///
    /// # Errors
    /// `Argument`.
    pub fn from_number(n: i32) -> Result<Self> {
        match Self::ALL.into_iter().find(|value| *value as i32 == n) {
            Some(value) => Ok(value),
            None => fail!(Argument, "frame value {n} does not exist; 1 to 13 do"),
        }
    }
}

/// A value of the first frame of `src` that is not skippable. All but the coded length need only its header.
///
/// # Errors
/// `SizeUnknown` for a content length that only the trailer has, `Model` for the memory of a method with a weights
/// file, `Method` for the memory of a version 2 frame, and the errors of reading a frame.
pub fn frame_info(src: &[u8], what: FrameValue) -> Result<i64> {
    if what == FrameValue::CodedLength {
        return match frames(src).next() {
            Some(frame) => as_value(frame?.end as u64),
            // An input of skippable frames alone ends where a frame should start.
            None => fail!(Truncated, "the input has no frame with content"),
        };
    }
    let (header, header_len) = Frame::first_header(src)?;
    match (what, &header) {
        (FrameValue::HeaderLength, _) => as_value(header_len as u64),
        (FrameValue::ContentLength, header) => match header.length() {
            Some(length) => as_value(length),
            None => fail!(SizeUnknown, "only the frame's trailer has the length of its content"),
        },
        (_, Header::V2(_)) => value_of_v2(what),
        (_, Header::V3(header)) => value_of_v3(header, what),
    }
}

fn value_of_v2(what: FrameValue) -> Result<i64> {
    match what {
        FrameValue::Memory => Err(names_no_method()),
        FrameValue::Lanes | FrameValue::Checksum => Ok(1),
        _ => Ok(0),
    }
}

fn value_of_v3(header: &HeaderV3, what: FrameValue) -> Result<i64> {
    let id = |bytes: Option<[u8; 8]>| bytes.map_or(0, i64::from_le_bytes);
    let shape = header.shape;
    Ok(match what {
        FrameValue::Memory => {
            if header.fingerprint.is_some() {
                fail!(Model, "the memory of the frame's method depends on its weights file");
            }
            return as_value(memory_of_stored(resolve(&header.method)?, shape.lanes())?);
        }
        FrameValue::Numerics => header.numerics.into(),
        FrameValue::Lanes => shape.lanes() as i64,
        FrameValue::BlockLog => shape.block_log.into(),
        FrameValue::SegmentLog => shape.segment_log.into(),
        FrameValue::NeedsModel => header.fingerprint.is_some().into(),
        FrameValue::NeedsBase => header.base.is_some().into(),
        FrameValue::Checksum => header.checksums.into(),
        FrameValue::BaseId => id(header.base),
        FrameValue::ModelId => id(header.fingerprint),
        FrameValue::ContentLength | FrameValue::HeaderLength | FrameValue::CodedLength => {
            unreachable!("the caller has these")
        }
    })
}

/// The canonical method of the first frame of `src` that is not skippable.
///
/// # Errors
/// `Method` for a version 2 frame, and the errors of reading a header.
pub fn frame_method(src: &[u8]) -> Result<String> {
    match Frame::first_header(src)?.0 {
        Header::V3(HeaderV3 { method: MethodRef::Text(text), .. }) => Ok(text),
        Header::V3(HeaderV3 { method, .. }) => Ok(resolve(&method)?.to_owned()),
        Header::V2(_) => Err(names_no_method()),
    }
}

fn names_no_method() -> Error {
    Error::new(Status::Method, "the frame is of version 2, which names no method")
}

fn as_value(n: u64) -> Result<i64> {
    match i64::try_from(n) {
        Ok(n) => Ok(n),
        Err(_) => fail!(Corrupt, "the frame states {n} bytes, more than 2^63 - 1"),
    }
}
