//! Metadata values. Arrays stay in the form of the file: a vocabulary of 260,000 strings is one slice.

use std::ops::Range;
use std::sync::Arc;

use crate::format::source::Bytes;

macro_rules! value_types {
    ($($name:ident = $id:literal, $label:literal, bytes $bytes:expr;)*) => {
        /// The type of a metadata value or of an array's elements.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the names say it")]
        #[repr(u32)]
        pub enum ValueType { $($name = $id,)* }

        impl ValueType {
            /// The type with this id, if there is one.
            pub const fn from_u32(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$name),)* _ => None }
            }

            /// The id in a file.
            pub const fn id(self) -> u32 { self as u32 }

            /// The name used in messages, `u32`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// Bytes of one value; `None` for strings and arrays.
            pub const fn size(self) -> Option<usize> {
                match self { $(Self::$name => $bytes,)* }
            }
        }
    };
}

value_types! {
    U8 = 0, "u8", bytes Some(1);
    I8 = 1, "i8", bytes Some(1);
    U16 = 2, "u16", bytes Some(2);
    I16 = 3, "i16", bytes Some(2);
    U32 = 4, "u32", bytes Some(4);
    I32 = 5, "i32", bytes Some(4);
    F32 = 6, "f32", bytes Some(4);
    Bool = 7, "bool", bytes Some(1);
    String = 8, "string", bytes None;
    Array = 9, "array", bytes None;
    U64 = 10, "u64", bytes Some(8);
    I64 = 11, "i64", bytes Some(8);
    F64 = 12, "f64", bytes Some(8);
}

/// One metadata value.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl Value {
    /// The value's type.
    pub fn value_type(&self) -> ValueType {
        match self {
            Value::U8(_) => ValueType::U8,
            Value::I8(_) => ValueType::I8,
            Value::U16(_) => ValueType::U16,
            Value::I16(_) => ValueType::I16,
            Value::U32(_) => ValueType::U32,
            Value::I32(_) => ValueType::I32,
            Value::F32(_) => ValueType::F32,
            Value::Bool(_) => ValueType::Bool,
            Value::String(_) => ValueType::String,
            Value::Array(_) => ValueType::Array,
            Value::U64(_) => ValueType::U64,
            Value::I64(_) => ValueType::I64,
            Value::F64(_) => ValueType::F64,
        }
    }

    /// Any integer that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Value::U8(v) => Some(v.into()),
            Value::U16(v) => Some(v.into()),
            Value::U32(v) => Some(v.into()),
            Value::U64(v) => Some(v),
            Value::I8(v) => v.try_into().ok(),
            Value::I16(v) => v.try_into().ok(),
            Value::I32(v) => v.try_into().ok(),
            Value::I64(v) => v.try_into().ok(),
            _ => None,
        }
    }

    /// Either float.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Value::F32(v) => Some(v.into()),
            Value::F64(v) => Some(v),
            _ => None,
        }
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(v) = *self { Some(v) } else { None }
    }

    /// A string.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(v) = self { Some(v) } else { None }
    }

    /// An array.
    pub fn as_array(&self) -> Option<&Array> {
        if let Value::Array(v) = self { Some(v) } else { None }
    }
}

macro_rules! from_scalar {
    ($($t:ty => $v:ident,)*) => {
        $(impl From<$t> for Value { fn from(v: $t) -> Self { Value::$v(v.into()) } })*
    };
}
from_scalar! {
    u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, f32 => F32, bool => Bool,
    &str => String, String => String, u64 => U64, i64 => I64, f64 => F64, Array => Array,
}

macro_rules! from_slice {
    ($($t:ty => $v:ident,)*) => {
        $(impl From<&[$t]> for Array {
            fn from(values: &[$t]) -> Self {
                let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
                Array::owned(ValueType::$v, values.len(), bytes)
            }
        })*
    };
}
from_slice! {
    u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, f32 => F32,
    u64 => U64, i64 => I64, f64 => F64,
}

impl From<&[bool]> for Array {
    fn from(values: &[bool]) -> Self {
        let bytes = values.iter().map(|v| u8::from(*v)).collect();
        Array::owned(ValueType::Bool, values.len(), bytes)
    }
}

/// An array of scalars or strings, in the file's encoding: little-endian numbers, or strings each
/// after its 64-bit length. Cheap to clone.
#[derive(Clone)]
pub struct Array {
    element: ValueType,
    len: usize,
    bytes: Arc<Bytes>,
    range: Range<usize>,
}

impl Array {
    /// An array over bytes that were checked to hold exactly `len` elements.
    pub(super) fn view(
        element: ValueType,
        len: usize,
        bytes: Arc<Bytes>,
        range: Range<usize>,
    ) -> Self {
        Self { element, len, bytes, range }
    }

    fn owned(element: ValueType, len: usize, bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { element, len, bytes: Arc::new(Bytes::from(bytes)), range }
    }

    /// An array of strings; they need not be UTF-8, as tokens need not.
    pub fn strings<S: AsRef<[u8]>>(values: impl IntoIterator<Item = S>) -> Self {
        let mut bytes = Vec::new();
        let mut len = 0;
        for value in values {
            let value = value.as_ref();
            bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
            bytes.extend_from_slice(value);
            len += 1;
        }
        Self::owned(ValueType::String, len, bytes)
    }

    /// The type of the elements.
    pub fn element(&self) -> ValueType {
        self.element
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements as they are in a file.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.range.clone()).unwrap_or_default()
    }

    /// The strings, in order; `None` when the elements are of another type.
    pub fn iter_strings(&self) -> Option<Strings<'_>> {
        (self.element == ValueType::String).then(|| Strings { rest: self.bytes(), left: self.len })
    }

    /// The numbers or booleans as values, in order; `None` for strings.
    pub fn iter_scalars(&self) -> Option<impl Iterator<Item = Value> + '_> {
        let (element, size) = (self.element, self.element.size()?);
        Some(self.bytes().chunks_exact(size).filter_map(move |c| scalar(element, c)))
    }

    /// All elements as `u32`; `None` when one is not an integer from 0 to 2^32-1.
    pub fn to_u32s(&self) -> Option<Vec<u32>> {
        self.iter_scalars()?.map(|v| v.as_u64().and_then(|v| v.try_into().ok())).collect()
    }
}

impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        self.element == other.element && self.len == other.len && self.bytes() == other.bytes()
    }
}

impl std::fmt::Debug for Array {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}; {}]", self.element.name(), self.len)
    }
}

/// Reads one number or boolean; `None` when `bytes` has another length than the type.
pub(super) fn scalar(value_type: ValueType, bytes: &[u8]) -> Option<Value> {
    macro_rules! read {
        ($t:ty) => {
            <$t>::from_le_bytes(bytes.try_into().ok()?).into()
        };
    }
    Some(match value_type {
        ValueType::U8 => read!(u8),
        ValueType::I8 => read!(i8),
        ValueType::U16 => read!(u16),
        ValueType::I16 => read!(i16),
        ValueType::U32 => read!(u32),
        ValueType::I32 => read!(i32),
        ValueType::F32 => read!(f32),
        ValueType::U64 => read!(u64),
        ValueType::I64 => read!(i64),
        ValueType::F64 => read!(f64),
        ValueType::Bool => Value::Bool(u8::from_le_bytes(bytes.try_into().ok()?) != 0),
        ValueType::String | ValueType::Array => return None,
    })
}

/// The strings of an array: slices of the file, nothing is copied.
#[derive(Debug, Clone)]
pub struct Strings<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (string, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        self.left = self.left.saturating_sub(1);
        Some(string)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Strings<'_> {}
