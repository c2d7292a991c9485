//! The types of tensors, and how many bytes a tensor takes.

/// The type of a tensor's values. The numbers are part of the C ABI.
///
/// Multi-byte values are little-endian. A block type packs a fixed number of neighbouring values with scales of their
/// own. The types of GGML are those of llama.cpp; [`DType::Q8`] and [`DType::Q4`] are those of aprender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum DType {
    /// IEEE binary32.
    F32 = 0,
    /// IEEE binary16.
    F16 = 1,
    /// The upper half of a binary32.
    BF16 = 2,
    /// An f32 scale, then one signed byte for each value of the tensor.
    Q8 = 3,
    /// Blocks of 32 values of the whole tensor, whatever its rows: an f16 scale and 16 bytes of nibbles, the first value
    /// in the low nibble. The last block may be partly used.
    Q4 = 4,
    /// GGML's Q4_K: blocks of 256.
    Q4K = 5,
    /// GGML's Q8_0: blocks of 32, an f16 scale.
    Q8_0 = 6,
    /// GGML's Q4_0: blocks of 32, an f16 scale.
    Q4_0 = 7,
    /// GGML's Q4_1: blocks of 32, an f16 scale and an f16 minimum.
    Q4_1 = 8,
    /// GGML's Q5_0: blocks of 32, an f16 scale.
    Q5_0 = 9,
    /// GGML's Q5_1: blocks of 32, an f16 scale and an f16 minimum.
    Q5_1 = 10,
    /// GGML's Q5_K: blocks of 256.
    Q5K = 11,
    /// GGML's Q6_K: blocks of 256.
    Q6K = 12,
    /// Signed bytes. The F32 tensor `NAME.scale` has one factor for each row, where the first dimension counts rows.
    I8 = 13,
}

/// What the name of the scales of a tensor of [`DType::I8`] has behind the tensor's name.
pub const SCALES: &str = ".scale";

/// The most dimensions of a tensor.
pub const MAX_DIMENSIONS: usize = 8;

impl DType {
    /// All types, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q8,
        Self::Q4,
        Self::Q4K,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q5K,
        Self::Q6K,
        Self::I8,
    ];

    /// The type of this number.
    pub fn from_number(number: i32) -> Option<Self> {
        usize::try_from(number).ok().and_then(|i| Self::ALL.get(i).copied())
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 14] =
            ["F32", "F16", "BF16", "Q8", "Q4", "Q4_K", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q5_K", "Q6_K", "I8"];
        NAMES[self as usize]
    }

    /// The number of values and of bytes of a block. Types without blocks have blocks of one value. The scale of
    /// [`DType::Q8`] is not counted.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q8 | Self::I8 => (1, 1),
            Self::Q4 | Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
        }
    }

    /// The number of bytes of a tensor of this shape (outermost dimension first).
    ///
    /// # Errors
    /// Why there is no such tensor, for a message: too many values, or a last dimension that is not a whole number of
    /// blocks.
    pub fn bytes(self, shape: &[u64]) -> Result<u64, &'static str> {
        const TOO_MANY: &str = "its shape has too many values";
        if shape.len() > MAX_DIMENSIONS {
            return Err("it has more than 8 dimensions");
        }
        let n = values(shape).ok_or(TOO_MANY)?;
        let (values, bytes) = self.block();
        let last = shape.last().copied().unwrap_or(1);
        if values > 1 && self != Self::Q4 && !last.is_multiple_of(values as u64) {
            return Err("its last dimension is not a whole number of blocks");
        }
        let head = if self == Self::Q8 && n > 0 { 4 } else { 0 };
        n.div_ceil(values as u64).checked_mul(bytes as u64).and_then(|n| n.checked_add(head)).ok_or(TOO_MANY)
    }
}

/// The number of values of a shape; `None` for 2^64 or more. A shape with a dimension of 0 may overflow as well, because
/// no order of multiplication is better than another.
pub fn values(shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d))
}
