//! Typed metadata of tensor files.

use crate::error::{Result, fail, shortened};
use crate::numeric::buffer::{grow, reserved};

/// The most keys of a file. Files of language models have fewer than a hundred.
pub const MAX_KEYS: usize = 1 << 14;

/// What an allocation is for, in messages.
pub(super) const WHAT: &str = "the metadata of a tensor file";

/// Strings, end to end: an array of 262,144 tokens takes their bytes and four more for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    text: String,
    ends: Vec<u32>,
}

impl Texts {
    /// The number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string at an index below [`Texts::len`].
    pub fn get(&self, i: usize) -> &str {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.text[start as usize..self.ends[i] as usize]
    }

    /// All strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// Adds a string.
    ///
    /// # Errors
    /// `Memory`; `Model` if all strings together have 4 GiB.
    pub fn push(&mut self, text: &str) -> Result<()> {
        let Some(end) = self.text.len().checked_add(text.len()).and_then(|end| u32::try_from(end).ok()) else {
            fail!(Model, "an array of strings has 4 GiB or more");
        };
        push_text(&mut self.text, text)?;
        grow(&mut self.ends, 1, WHAT)?;
        self.ends.push(end);
        Ok(())
    }
}

/// Adds text to a string.
pub(super) fn push_text(to: &mut String, text: &str) -> Result<()> {
    if to.capacity() - to.len() < text.len()
        && crate::numeric::reserve::fallible(|| to.try_reserve(text.len())).is_err()
    {
        return Err(crate::error::out_of_memory(to.len().saturating_add(text.len()), WHAT));
    }
    to.push_str(text);
    Ok(())
}

/// A string with this text.
pub(super) fn owned(text: &str) -> Result<String> {
    let mut bytes = reserved(text.len(), WHAT)?;
    bytes.extend_from_slice(text.as_bytes());
    Ok(String::from_utf8(bytes).expect("the bytes of a str"))
}

/// Calls a macro with all types of numbers: the variant, the type, and its name in JSON.
macro_rules! for_numbers {
    ($macro:ident) => {
        $macro! {
            U8 u8 "u8", I8 i8 "i8", U16 u16 "u16", I16 i16 "i16", U32 u32 "u32", I32 i32 "i32",
            U64 u64 "u64", I64 i64 "i64", F32 f32 "f32", F64 f64 "f64"
        }
    };
}
pub(super) use for_numbers;

macro_rules! define {
    ($($variant:ident $type:ident $name:literal),+) => {
        /// The type of a value, or of the elements of an array.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = concat!("`", $name, "`.")] $variant,)+
            /// A truth value.
            Bool,
            /// A string.
            Text,
            /// JSON that no other type holds.
            Json,
        }

        impl Kind {
            /// Its name in JSON.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ Self::Bool => "bool", Self::Text => "string", Self::Json => "json" }
            }

            /// The type of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    "bool" => Some(Self::Bool),
                    "string" => Some(Self::Text),
                    "json" => Some(Self::Json),
                    _ => None,
                }
            }
        }

        /// An array. All elements have one type.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Array {
            $(#[doc = concat!("Of `", $name, "`.")] $variant(Vec<$type>),)+
            /// Of truth values.
            Bool(Vec<bool>),
            /// Of strings.
            Text(Texts),
        }

        impl Array {
            /// The type of the elements.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant,)+ Self::Bool(_) => Kind::Bool, Self::Text(_) => Kind::Text }
            }

            /// The number of elements.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(v) => v.len(),)+ Self::Bool(v) => v.len(), Self::Text(v) => v.len() }
            }
        }

        /// A value.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Value {
            $(#[doc = concat!("A number: `", $name, "`.")] $variant($type),)+
            /// A truth value.
            Bool(bool),
            /// A string.
            Text(String),
            /// An array.
            Array(Array),
            /// The text of a JSON value that no other type holds: null, an object, a list of mixed types. Only APR files
            /// have such values.
            Json(String),
        }

        impl Value {
            /// Its type, or that of its elements.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$variant(_) => Kind::$variant,)+
                    Self::Bool(_) => Kind::Bool,
                    Self::Text(_) => Kind::Text,
                    Self::Array(array) => array.kind(),
                    Self::Json(_) => Kind::Json,
                }
            }
        }
    };
}
for_numbers!(define);

impl Array {
    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An element of an array of integers. `None` if it is none, or not an i64.
    pub fn integer(&self, i: usize) -> Option<i64> {
        match self {
            Self::U8(v) => v.get(i).map(|x| i64::from(*x)),
            Self::I8(v) => v.get(i).map(|x| i64::from(*x)),
            Self::U16(v) => v.get(i).map(|x| i64::from(*x)),
            Self::I16(v) => v.get(i).map(|x| i64::from(*x)),
            Self::U32(v) => v.get(i).map(|x| i64::from(*x)),
            Self::I32(v) => v.get(i).map(|x| i64::from(*x)),
            Self::U64(v) => v.get(i).and_then(|x| i64::try_from(*x).ok()),
            Self::I64(v) => v.get(i).copied(),
            _ => None,
        }
    }
}

impl Value {
    /// The value of an integer of any width that is not negative.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::U8(x) => Some(u64::from(*x)),
            Self::U16(x) => Some(u64::from(*x)),
            Self::U32(x) => Some(u64::from(*x)),
            Self::U64(x) => Some(*x),
            Self::I8(x) => u64::try_from(*x).ok(),
            Self::I16(x) => u64::try_from(*x).ok(),
            Self::I32(x) => u64::try_from(*x).ok(),
            Self::I64(x) => u64::try_from(*x).ok(),
            _ => None,
        }
    }
}

/// Typed values by key, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
    /// Indexes of entries, sorted by key.
    order: Vec<u32>,
}

impl Metadata {
    /// The number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All keys with their values, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    fn search(&self, key: &str) -> std::result::Result<usize, usize> {
        self.order.binary_search_by(|i| self.entries[*i as usize].0.as_str().cmp(key))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.search(key).ok().map(|at| &self.entries[self.order[at] as usize].1)
    }

    /// The string of a key. `None` for a key that is missing or has another type, as in the next functions.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The integer of a key, of any width, if it is not negative.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(Value::number)
    }

    /// The truth value of a key.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key) {
            Some(Value::Bool(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// The array of a key.
    pub fn array(&self, key: &str) -> Option<&Array> {
        match self.get(key) {
            Some(Value::Array(array)) => Some(array),
            _ => None,
        }
    }

    /// Adds a key.
    ///
    /// # Errors
    /// `Model` if the key is there, or [`MAX_KEYS`] others are; `Memory`.
    pub fn push(&mut self, key: &str, value: Value) -> Result<()> {
        match self.search(key) {
            Ok(_) => fail!(Model, "the metadata have the key {} twice", shortened(key)),
            Err(at) => self.insert(at, key, value),
        }
    }

    /// Adds a key, or replaces its value.
    ///
    /// # Errors
    /// `Model` if [`MAX_KEYS`] others are there; `Memory`.
    pub fn set(&mut self, key: &str, value: Value) -> Result<()> {
        match self.search(key) {
            Ok(at) => self.entries[self.order[at] as usize].1 = value,
            Err(at) => self.insert(at, key, value)?,
        }
        Ok(())
    }

    /// Removes a key. Returns whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let Ok(at) = self.search(key) else { return false };
        let gone = self.order.remove(at);
        self.entries.remove(gone as usize);
        self.order.iter_mut().filter(|i| **i > gone).for_each(|i| *i -= 1);
        true
    }

    /// All keys with their values, in the order in which they were added.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (String, Value)> {
        self.entries.into_iter()
    }

    fn insert(&mut self, at: usize, key: &str, value: Value) -> Result<()> {
        if self.len() == MAX_KEYS {
            fail!(Model, "the metadata have more than {MAX_KEYS} keys");
        }
        let key = owned(key)?;
        grow(&mut self.entries, 1, WHAT)?;
        grow(&mut self.order, 1, WHAT)?;
        self.order.insert(at, self.entries.len() as u32);
        self.entries.push((key, value));
        Ok(())
    }
}
