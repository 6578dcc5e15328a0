//! Writes GGUF version 3: metadata, tensor table, aligned tensor data.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use super::tensor::{GgmlType, Shape};
use super::value::Value;
use super::{
    ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAGIC, MAX_ALIGNMENT, MAX_DIMS, MAX_KEY, MAX_TENSOR_NAME,
};
use crate::error::{Error, Result, bail, err};
use crate::format::replace_file;

struct Tensor<'a> {
    name: String,
    dims: Vec<u64>,
    ggml_type: GgmlType,
    data: Data<'a>,
}

enum Data<'a> {
    Bytes(Cow<'a, [u8]>),
    /// Encoded while it is written: parameters and optimizer states need no second copy in memory.
    F32(&'a [f32]),
    /// Made while it is written: the number of bytes, and what writes them.
    Made(u64, Box<Make<'a>>),
}

/// Writes a tensor's data, all of it, when its turn comes.
type Make<'a> = dyn Fn(&mut dyn Write) -> Result<()> + Send + Sync + 'a;

/// Collects metadata and tensors and writes them as one GGUF file. Tensors are written in the order
/// in which they were added, each aligned, as the engine requires.
#[derive(Default)]
pub struct Writer<'a> {
    kv: Vec<(String, Value)>,
    tensors: Vec<Tensor<'a>>,
}

impl<'a> Writer<'a> {
    /// A file without metadata and tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a metadata value; a key that is there keeps its place and gets the new value.
    /// `general.alignment` (u32) also sets the alignment of the data.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) -> &mut Self {
        let (key, value) = (key.into(), value.into());
        match self.kv.iter_mut().find(|(k, _)| *k == key) {
            Some((_, v)) => *v = value,
            None => self.kv.push((key, value)),
        }
        self
    }

    /// Adds a tensor: `dims` with the row length first, `data` in the layout of `ggml_type`.
    pub fn tensor(
        &mut self,
        name: impl Into<String>,
        dims: &[u64],
        ggml_type: GgmlType,
        data: impl Into<Cow<'a, [u8]>>,
    ) -> &mut Self {
        let data = Data::Bytes(data.into());
        self.tensors.push(Tensor { name: name.into(), dims: dims.to_vec(), ggml_type, data });
        self
    }

    /// Adds a tensor of 32-bit floats: `dims` with the row length first.
    pub fn tensor_f32(
        &mut self,
        name: impl Into<String>,
        dims: &[u64],
        values: &'a [f32],
    ) -> &mut Self {
        let (ggml_type, data) = (GgmlType::F32, Data::F32(values));
        self.tensors.push(Tensor { name: name.into(), dims: dims.to_vec(), ggml_type, data });
        self
    }

    /// Adds a tensor whose data `make` writes when its turn comes, in the layout of `ggml_type`: so a file may be larger
    /// than the memory. `make` runs once for each time that the file is written; its errors end the writing.
    pub fn tensor_made(
        &mut self,
        name: impl Into<String>,
        dims: &[u64],
        ggml_type: GgmlType,
        make: impl Fn(&mut dyn Write) -> Result<()> + Send + Sync + 'a,
    ) -> &mut Self {
        // A shape that no file may have is refused when the file is written.
        let data = Data::Made(n_bytes(dims, ggml_type).unwrap_or(0), Box::new(make));
        self.tensors.push(Tensor { name: name.into(), dims: dims.to_vec(), ggml_type, data });
        self
    }

    /// The whole file in memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.write_to(&mut out)?;
        Ok(out)
    }

    /// Writes the file beside `path`, then renames it: `path` is never half written.
    pub fn write_file(&self, path: impl AsRef<Path>) -> Result<()> {
        replace_file(path.as_ref(), "writing the GGUF file", |out| self.write_to(out))
    }

    /// Writes the file to `out`. Errors: `InvalidArgument` when a key, name, shape or data length
    /// could not be read back.
    pub fn write_to(&self, out: &mut impl Write) -> Result<()> {
        let alignment = self.alignment()?;
        self.check()?;
        let header = self.header(alignment);
        let padding = vec![0; alignment as usize];
        let mut at = header.len() as u64;
        let io = |e: io::Error| Error::io(&e, "writing GGUF data");
        out.write_all(&header).map_err(io)?;
        for tensor in &self.tensors {
            let pad = at.next_multiple_of(alignment) - at;
            out.write_all(padding.get(..pad as usize).unwrap_or_default()).map_err(io)?;
            tensor.write_to(out)?;
            at += pad + tensor.data.len();
        }
        // The engine counts the last tensor's padding as part of the data.
        let pad = at.next_multiple_of(alignment) - at;
        if !self.tensors.is_empty() {
            out.write_all(padding.get(..pad as usize).unwrap_or_default()).map_err(io)?;
        }
        Ok(())
    }

    fn alignment(&self) -> Result<u64> {
        match self.kv.iter().find(|(k, _)| k == ALIGNMENT_KEY) {
            None => Ok(DEFAULT_ALIGNMENT),
            Some((_, Value::U32(v))) if super::alignment_is_valid(*v) => Ok((*v).into()),
            Some((_, v)) => bail!(
                InvalidArgument,
                "{ALIGNMENT_KEY} is {v:?}; set a u32 power of two from 8 to {MAX_ALIGNMENT}"
            ),
        }
    }

    fn check(&self) -> Result<()> {
        for (key, _) in &self.kv {
            if key.is_empty() || key.len() > MAX_KEY || key.contains('\0') {
                bail!(
                    InvalidArgument,
                    "metadata key {key:?} must have 1 to {MAX_KEY} bytes, no NUL"
                );
            }
        }
        let mut names = std::collections::HashSet::new();
        for t in &self.tensors {
            if t.name.is_empty() || t.name.len() > MAX_TENSOR_NAME || t.name.contains('\0') {
                bail!(
                    InvalidArgument,
                    "tensor name {:?} must have 1 to {MAX_TENSOR_NAME} bytes, no NUL",
                    t.name
                );
            }
            if !names.insert(&t.name) {
                bail!(InvalidArgument, "tensor {} was added twice; add it once", t.name);
            }
            let expected = n_bytes(&t.dims, t.ggml_type).ok_or_else(|| {
                err!(
                    InvalidArgument,
                    "tensor {} of type {} cannot have the shape {}; give 1 to {MAX_DIMS} dimensions \
                     above zero, the first a multiple of {}",
                    t.name,
                    t.ggml_type,
                    Shape(&t.dims),
                    t.ggml_type.block_size()
                )
            })?;
            if expected != t.data.len() {
                bail!(
                    InvalidArgument,
                    "tensor {} {} of type {} needs {expected} bytes of data, not {}",
                    t.name,
                    Shape(&t.dims),
                    t.ggml_type,
                    t.data.len()
                );
            }
        }
        Ok(())
    }

    fn header(&self, alignment: u64) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&3u32.to_le_bytes());
        out.extend_from_slice(&(self.tensors.len() as u64).to_le_bytes());
        out.extend_from_slice(&(self.kv.len() as u64).to_le_bytes());
        for (key, value) in &self.kv {
            put_string(&mut out, key.as_bytes());
            out.extend_from_slice(&value.value_type().id().to_le_bytes());
            put_value(&mut out, value);
        }
        let mut offset = 0u64;
        for t in &self.tensors {
            put_string(&mut out, t.name.as_bytes());
            out.extend_from_slice(&(t.dims.len() as u32).to_le_bytes());
            for d in &t.dims {
                out.extend_from_slice(&d.to_le_bytes());
            }
            out.extend_from_slice(&t.ggml_type.id().to_le_bytes());
            out.extend_from_slice(&offset.to_le_bytes());
            offset = (offset + t.data.len()).next_multiple_of(alignment);
        }
        out
    }
}

impl Data<'_> {
    fn len(&self) -> u64 {
        match self {
            Data::Bytes(bytes) => bytes.len() as u64,
            Data::F32(values) => size_of_val(*values) as u64,
            Data::Made(n_bytes, _) => *n_bytes,
        }
    }
}

impl Tensor<'_> {
    fn write_to(&self, out: &mut impl Write) -> Result<()> {
        let io = |e: io::Error| Error::io(&e, "writing GGUF data");
        match &self.data {
            Data::Bytes(bytes) => out.write_all(bytes).map_err(io),
            Data::F32(values) => {
                let mut buffer = Vec::with_capacity(4 * F32_CHUNK.min(values.len()));
                for chunk in values.chunks(F32_CHUNK) {
                    buffer.clear();
                    buffer.extend(chunk.iter().flat_map(|v| v.to_le_bytes()));
                    out.write_all(&buffer).map_err(io)?;
                }
                Ok(())
            }
            Data::Made(n_bytes, make) => {
                let mut counted = Counted { out, n_bytes: 0 };
                make(&mut counted)?;
                if counted.n_bytes != *n_bytes {
                    let found = counted.n_bytes;
                    bail!(
                        Internal,
                        "tensor {} was made with {found} bytes, not {n_bytes}",
                        self.name
                    )
                }
                Ok(())
            }
        }
    }
}

/// Passes bytes on and counts them: data of another length would shift all that follows.
struct Counted<'a, W> {
    out: &'a mut W,
    n_bytes: u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.n_bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Floats that are encoded at a time.
const F32_CHUNK: usize = 16 << 10;

/// Bytes of a tensor's data; `None` for a shape that no file may have.
pub(super) fn n_bytes(dims: &[u64], ggml_type: GgmlType) -> Option<u64> {
    let (row, rest) = dims.split_first()?;
    if dims.len() > MAX_DIMS || dims.contains(&0) {
        return None;
    }
    let rows = rest.iter().try_fold(1u64, |n, d| n.checked_mul(*d))?;
    ggml_type.row_bytes(*row)?.checked_mul(rows)
}

fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    out.extend_from_slice(&(string.len() as u64).to_le_bytes());
    out.extend_from_slice(string);
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::I8(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::U16(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::I16(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::U32(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::I32(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::F32(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::Bool(v) => out.push(u8::from(*v)),
        Value::String(v) => put_string(out, v.as_bytes()),
        Value::U64(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::I64(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::F64(v) => out.extend_from_slice(&v.to_le_bytes()),
        Value::Array(a) => {
            out.extend_from_slice(&a.element().id().to_le_bytes());
            out.extend_from_slice(&(a.len() as u64).to_le_bytes());
            out.extend_from_slice(a.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_encoded_as_their_bytes_would_be() {
        for n in [1, F32_CHUNK - 1, F32_CHUNK, 2 * F32_CHUNK + 7] {
            let values: Vec<f32> = (0..n).map(|i| (i as f32).sin()).collect();
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let (mut floats, mut encoded) = (Writer::new(), Writer::new());
            floats.tensor_f32("t", &[n as u64], &values);
            encoded.tensor("t", &[n as u64], GgmlType::F32, bytes);
            assert_eq!(floats.to_bytes().unwrap(), encoded.to_bytes().unwrap(), "{n}");
        }
        let mut made = Writer::new();
        made.tensor_made("t", &[2], GgmlType::F32, |out| {
            out.write_all(&[0; 8]).map_err(|e| Error::io(&e, "writing"))
        });
        let mut given = Writer::new();
        given.tensor_f32("t", &[2], &[0.0; 2]);
        assert_eq!(made.to_bytes().unwrap(), given.to_bytes().unwrap());
        let mut short = Writer::new();
        short.tensor_made("t", &[2], GgmlType::F32, |_| Ok(()));
        assert_eq!(short.to_bytes().unwrap_err().code(), crate::error::Code::Internal);
        let mut wrong = Writer::new();
        wrong.tensor_f32("t", &[3], &[1.0, 2.0]);
        assert_eq!(wrong.to_bytes().unwrap_err().code(), crate::error::Code::InvalidArgument);
    }
}
