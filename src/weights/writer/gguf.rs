//! The head of a GGUF v3 file: counts, typed metadata, the list of tensors, padding.

use crate::error::{Result, fail};
use crate::numeric::buffer::{copied, grow};
use crate::weights::dtype::DType;
use crate::weights::metadata::{Array, Metadata, Value};
use crate::weights::tensors::TensorInfo;
use crate::weights::tensors::gguf::{MAGIC, alignment, number_of};

const WHAT: &str = "the head of a GGUF file";

pub(super) fn has(dtype: DType) -> bool {
    number_of(dtype).is_some()
}

fn push(to: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    grow(to, bytes.len(), WHAT)?;
    to.extend_from_slice(bytes);
    Ok(())
}

fn text(to: &mut Vec<u8>, text: &str) -> Result<()> {
    push(to, &(text.len() as u64).to_le_bytes())?;
    push(to, text.as_bytes())
}

/// The type of elements, their number, and the elements.
fn list<T: Copy, const N: usize>(to: &mut Vec<u8>, kind: u32, list: &[T], bytes: impl Fn(T) -> [u8; N]) -> Result<()> {
    push(to, &kind.to_le_bytes())?;
    push(to, &(list.len() as u64).to_le_bytes())?;
    grow(to, list.len() * N, WHAT)?;
    list.iter().for_each(|x| to.extend_from_slice(&bytes(*x)));
    Ok(())
}

fn array(to: &mut Vec<u8>, array: &Array) -> Result<()> {
    match array {
        Array::U8(v) => list(to, 0, v, u8::to_le_bytes),
        Array::I8(v) => list(to, 1, v, i8::to_le_bytes),
        Array::U16(v) => list(to, 2, v, u16::to_le_bytes),
        Array::I16(v) => list(to, 3, v, i16::to_le_bytes),
        Array::U32(v) => list(to, 4, v, u32::to_le_bytes),
        Array::I32(v) => list(to, 5, v, i32::to_le_bytes),
        Array::F32(v) => list(to, 6, v, f32::to_le_bytes),
        Array::Bool(v) => list(to, 7, v, |x| [u8::from(x)]),
        Array::U64(v) => list(to, 10, v, u64::to_le_bytes),
        Array::I64(v) => list(to, 11, v, i64::to_le_bytes),
        Array::F64(v) => list(to, 12, v, f64::to_le_bytes),
        Array::Text(v) => {
            push(to, &8u32.to_le_bytes())?;
            push(to, &(v.len() as u64).to_le_bytes())?;
            v.iter().try_for_each(|x| text(to, x))
        }
    }
}

/// A value after its type.
fn value(to: &mut Vec<u8>, value: &Value) -> Result<()> {
    let mut typed = |kind: u32, bytes: &[u8]| {
        push(to, &kind.to_le_bytes())?;
        push(to, bytes)
    };
    match value {
        Value::U8(x) => typed(0, &x.to_le_bytes()),
        Value::I8(x) => typed(1, &x.to_le_bytes()),
        Value::U16(x) => typed(2, &x.to_le_bytes()),
        Value::I16(x) => typed(3, &x.to_le_bytes()),
        Value::U32(x) => typed(4, &x.to_le_bytes()),
        Value::I32(x) => typed(5, &x.to_le_bytes()),
        Value::F32(x) => typed(6, &x.to_le_bytes()),
        Value::Bool(x) => typed(7, &[u8::from(*x)]),
        Value::U64(x) => typed(10, &x.to_le_bytes()),
        Value::I64(x) => typed(11, &x.to_le_bytes()),
        Value::F64(x) => typed(12, &x.to_le_bytes()),
        // GGUF has no type for JSON.
        Value::Text(x) | Value::Json(x) => {
            typed(8, &[])?;
            text(to, x)
        }
        Value::Array(x) => {
            typed(9, &[])?;
            array(to, x)
        }
    }
}

/// The metadata as they are in a file.
#[derive(Debug)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    count: u64,
    pub(super) alignment: u64,
}

impl Keys {
    pub(super) fn new(metadata: &Metadata) -> Result<Self> {
        let Some(alignment) = alignment(metadata).ok().filter(|n| *n <= 1 << 20) else {
            fail!(Argument, "general.alignment must be a u32 that is a power of two, at most 1048576");
        };
        let mut bytes = Vec::new();
        for (key, x) in metadata.iter() {
            if key.len() > 65_535 {
                fail!(Argument, "a key of {} bytes, GGUF files have at most 65,535", key.len());
            }
            text(&mut bytes, key)?;
            value(&mut bytes, x)?;
        }
        Ok(Self { bytes, count: metadata.len() as u64, alignment })
    }

    /// All that precedes the tensors' bytes.
    pub(super) fn head(&self, tensors: &[TensorInfo]) -> Result<Vec<u8>> {
        let mut head = copied(MAGIC, WHAT)?;
        push(&mut head, &3u32.to_le_bytes())?;
        push(&mut head, &(tensors.len() as u64).to_le_bytes())?;
        push(&mut head, &self.count.to_le_bytes())?;
        push(&mut head, &self.bytes)?;
        for tensor in tensors {
            text(&mut head, &tensor.name)?;
            push(&mut head, &(tensor.shape.len() as u32).to_le_bytes())?;
            for n in tensor.shape.iter().rev() {
                push(&mut head, &n.to_le_bytes())?;
            }
            let number = number_of(tensor.dtype).expect("types that GGUF lacks are refused when they are added");
            push(&mut head, &number.to_le_bytes())?;
            push(&mut head, &tensor.offset.to_le_bytes())?;
        }
        let padding = head.len().next_multiple_of(self.alignment as usize) - head.len();
        grow(&mut head, padding, WHAT)?;
        head.resize(head.len() + padding, 0);
        Ok(head)
    }
}
