//! Reads a file's header: counts, metadata, tensor table. Nothing is allocated before its size was
//! compared with the file's.

use std::collections::HashSet;
use std::ops::Range;

use super::cursor::{Cursor, Stop, text};
use super::table::{self, RawTensor};
use super::value::{self, Value, ValueType};
use super::{MAGIC, MAX_ARRAY, MAX_KEY, MAX_KV, MAX_TENSORS};
use crate::error::{Result, bail, err};

/// A metadata value whose array, if it is one, still lies in the file.
pub(super) enum Item {
    Scalar(Value),
    Array { element: ValueType, len: usize, range: Range<usize> },
}

/// A header as it was read.
pub(super) struct Header {
    pub version: u32,
    pub kv: Vec<(String, Item)>,
    pub tensors: Vec<RawTensor>,
    /// Bytes up to the end of the tensor table.
    pub end: usize,
}

/// The fewest bytes of a metadata entry: key length, type, one byte of value. (An empty key is refused
/// by its own rule.)
const SMALLEST_KV: u64 = 8 + 4 + 1;
/// The fewest bytes of a tensor: name length, n_dims, type, offset.
const SMALLEST_TENSOR: u64 = 8 + 4 + 4 + 8;

/// Reads the header from `data`, the beginning of a file of `total` bytes.
pub(super) fn header(data: &[u8], total: u64) -> Result<Header, Stop> {
    let mut c = Cursor::new(data, total);
    let version = opening(&mut c)?;
    let n_tensors = c.u64("the header")?;
    let n_kv = c.u64("the header")?;
    let room = c.remaining();
    if n_kv > (room / SMALLEST_KV).min(MAX_KV) {
        return Err(Stop::Bad(err!(
            GgufKvCount,
            "the file claims {n_kv} metadata entries, but it has room for {} (and {MAX_KV} are \
             allowed); it is damaged or cut short: fetch it again",
            room / SMALLEST_KV
        )));
    }
    if n_tensors > (room / SMALLEST_TENSOR).min(MAX_TENSORS) {
        return Err(Stop::Bad(err!(
            GgufTensorCount,
            "the file claims {n_tensors} tensors, but it has room for {} (and {MAX_TENSORS} are \
             allowed); it is damaged or cut short: fetch it again",
            room / SMALLEST_TENSOR
        )));
    }
    let mut seen = HashSet::new();
    let mut kv = Vec::new();
    for index in 0..n_kv {
        let key = key(&mut c, index)?;
        if !seen.insert(key) {
            return Err(Stop::Bad(err!(
                GgufDuplicateKey,
                "the metadata key {key} occurs twice; remove one and write the file again"
            )));
        }
        kv.push((key.to_owned(), item(&mut c, key)?));
    }
    let mut tensors = Vec::new();
    for index in 0..n_tensors {
        tensors.push(table::entry(&mut c, index)?);
    }
    Ok(Header { version, kv, tensors, end: c.position() })
}

fn opening(c: &mut Cursor) -> Result<u32, Stop> {
    let magic = c.take(4, "the header")?;
    if magic != MAGIC {
        return Err(Stop::Bad(err!(
            GgufMagic,
            "the file begins with {:?}, not \"GGUF\"; it is not a GGUF file",
            String::from_utf8_lossy(magic)
        )));
    }
    let version = c.u32("the header")?;
    match version {
        2 | 3 => Ok(version),
        v if matches!(v.swap_bytes(), 1..=3) => Err(Stop::Bad(err!(
            GgufVersion,
            "the file has big-endian byte order; convert it to little-endian"
        ))),
        v => Err(Stop::Bad(err!(
            GgufVersion,
            "the file has GGUF version {v}; versions 2 and 3 are supported: convert the model again"
        ))),
    }
}

fn key<'a>(c: &mut Cursor<'a>, index: u64) -> Result<&'a str, Stop> {
    let what = format!("metadata key {index}");
    let bytes = c.string(&what)?;
    // A NUL would let C code see a shorter key than the one that was checked.
    if bytes.is_empty() || bytes.len() > MAX_KEY || bytes.contains(&0) {
        return Err(Stop::Bad(err!(
            GgufKey,
            "{what} has {} bytes; a key has 1 to {MAX_KEY} bytes and no NUL: write the file again",
            bytes.len()
        )));
    }
    Ok(text(bytes, &what)?)
}

fn item(c: &mut Cursor, key: &str) -> Result<Item, Stop> {
    match value_type(c, key)? {
        ValueType::Array => array(c, key),
        ValueType::String => {
            let what = format!("the value of {key}");
            let string = text(c.string(&what)?, &what)?;
            Ok(Item::Scalar(Value::String(string.to_owned())))
        }
        scalar => Ok(Item::Scalar(number(c, scalar, key)?)),
    }
}

fn value_type(c: &mut Cursor, key: &str) -> Result<ValueType, Stop> {
    let id = c.u32(key)?;
    ValueType::from_u32(id).ok_or_else(|| {
        Stop::Bad(err!(
            GgufValueType,
            "the metadata key {key} has a value of unknown type {id}; the file is damaged or newer \
             than this build"
        ))
    })
}

fn number(c: &mut Cursor, value_type: ValueType, key: &str) -> Result<Value, Stop> {
    let size = value_type.size().unwrap_or(0);
    let bytes = c.take(size as u64, key)?;
    if value_type == ValueType::Bool {
        check_bools(bytes, key)?;
    }
    value::scalar(value_type, bytes)
        .ok_or_else(|| Stop::Bad(err!(Internal, "a scalar type without a size: {value_type:?}")))
}

fn check_bools(bytes: &[u8], key: &str) -> Result<()> {
    match bytes.iter().find(|b| **b > 1) {
        Some(b) => bail!(GgufBool, "{key} holds a boolean of value {b}; only 0 and 1 are allowed"),
        None => Ok(()),
    }
}

fn array(c: &mut Cursor, key: &str) -> Result<Item, Stop> {
    let element = value_type(c, key)?;
    let len = c.u64(key)?;
    // The least that an element takes: a string takes its length field.
    let size = element.size().unwrap_or(8) as u64;
    if element == ValueType::Array {
        return Err(Stop::Bad(err!(
            GgufNestedArray,
            "{key} is an array of arrays, which the engine cannot read; flatten it"
        )));
    }
    if len > (c.remaining() / size).min(MAX_ARRAY) {
        return Err(Stop::Bad(err!(
            GgufArrayLength,
            "{key} claims {len} elements of type {}, but {} bytes are left of the file (and \
             {MAX_ARRAY} elements are allowed); the file is damaged or cut short: fetch it again",
            element.name(),
            c.remaining()
        )));
    }
    let start = c.position();
    match element {
        ValueType::String => strings(c, key, len)?,
        ValueType::Bool => check_bools(c.take(len, key)?, key)?,
        // Cannot overflow: `len * size` is at most what is left of the file.
        _ => drop(c.take(len * size, key)?),
    }
    Ok(Item::Array { element, len: len as usize, range: start..c.position() })
}

/// Steps over `len` strings without looking at them.
fn strings(c: &mut Cursor, key: &str, len: u64) -> Result<(), Stop> {
    for _ in 0..len {
        c.string(key)?;
    }
    Ok(())
}
