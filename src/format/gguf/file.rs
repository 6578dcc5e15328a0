//! One parsed file.

use std::collections::HashMap;
use std::sync::Arc;

use super::cursor::Stop;
use super::read::{self, Header, Item};
use super::tensor::TensorInfo;
use super::value::{Array, Value, ValueType};
use super::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAX_ALIGNMENT, alignment_is_valid, table};
use crate::error::{Result, bail, err};
use crate::format::source::{Access, Bytes, Opened, Source};

/// A GGUF file that was read and whose structure was checked: every length, type, offset and name is
/// safe to use. What the metadata *means* is checked by [`ModelFiles`](crate::format::ModelFiles) and
/// [`AdapterFile`](crate::format::AdapterFile). Cheap to clone.
#[derive(Clone)]
pub struct Gguf(Arc<Inner>);

struct Inner {
    opened: Opened,
    /// The whole file, or only its header when it is not mapped.
    bytes: Arc<Bytes>,
    version: u32,
    alignment: u64,
    data_start: u64,
    kv: Vec<(String, Value)>,
    keys: HashMap<String, usize>,
    tensors: Vec<TensorInfo>,
    names: HashMap<String, usize>,
}

impl Gguf {
    /// Reads and checks a file's header. Errors: the `Gguf...` codes below 223 for a bad file, those
    /// of files for one that cannot be read.
    pub fn open(source: &Source, access: Access) -> Result<Self> {
        Self::from_opened(source.open()?, access)
    }

    pub(crate) fn from_opened(opened: Opened, access: Access) -> Result<Self> {
        let total = opened.length();
        let (bytes, header) = match (access, &opened) {
            (Access::Map, _) | (_, Opened::Memory(_)) => {
                let bytes = opened.map()?;
                let header = match read::header(bytes.as_slice(), total) {
                    Ok(header) => header,
                    Err(Stop::Bad(e)) => return Err(e),
                    Err(Stop::More(n)) => bail!(Internal, "{n} bytes wanted of {total}"),
                };
                (bytes, header)
            }
            (Access::Read, _) => read_header(&opened, total)?,
        };
        Self::check(opened, bytes, header)
    }

    fn check(opened: Opened, bytes: Bytes, header: Header) -> Result<Self> {
        let bytes = Arc::new(bytes);
        let kv = header.kv.into_iter().map(|(key, item)| match item {
            Item::Scalar(value) => (key, value),
            Item::Array { element, len, range } => {
                (key, Value::Array(Array::view(element, len, Arc::clone(&bytes), range)))
            }
        });
        let kv = kv.collect::<Vec<_>>();
        let alignment = alignment(&kv)?;
        let tensors = table::place(header.tensors, header.end, alignment, opened.length())?;
        let keys = kv.iter().enumerate().map(|(i, (k, _))| (k.clone(), i)).collect();
        let names = tensors.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
        Ok(Self(Arc::new(Inner {
            opened,
            bytes,
            version: header.version,
            alignment,
            data_start: (header.end as u64).next_multiple_of(alignment),
            kv,
            keys,
            tensors,
            names,
        })))
    }

    /// The format's version, 2 or 3.
    pub fn version(&self) -> u32 {
        self.0.version
    }

    /// The alignment of tensor data in bytes.
    pub fn alignment(&self) -> u64 {
        self.0.alignment
    }

    /// The file's length in bytes.
    pub fn length(&self) -> u64 {
        self.0.opened.length()
    }

    /// All metadata in the file's order.
    pub fn kv(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.kv.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// A metadata value.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.keys.get(key).and_then(|i| self.0.kv.get(*i)).map(|(_, v)| v)
    }

    /// All tensors in the file's order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.0.tensors
    }

    /// A tensor's description.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.0.names.get(name).and_then(|i| self.0.tensors.get(*i))
    }

    /// A tensor's data. Errors: `WrongState` when the file was opened with [`Access::Read`]: use
    /// [`read_data`](Self::read_data).
    pub fn data(&self, tensor: &TensorInfo) -> Result<&[u8]> {
        let start = usize::try_from(tensor.offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(tensor.n_bytes).unwrap_or(usize::MAX));
        self.0.bytes.get(start..end).ok_or_else(|| {
            err!(
                WrongState,
                "the data of tensor {} is not in memory; open the file mapped, or read the data",
                tensor.name
            )
        })
    }

    /// A copy of a tensor's data, read from the source.
    pub fn read_data(&self, tensor: &TensorInfo) -> Result<Vec<u8>> {
        if tensor.offset.saturating_add(tensor.n_bytes) > self.length() {
            bail!(InvalidArgument, "tensor {} is not of this file", tensor.name);
        }
        let mut data = vec![0; tensor.n_bytes as usize];
        self.0.opened.read_exact_at(&mut data, tensor.offset)?;
        Ok(data)
    }

    /// Where tensor data begins.
    pub(crate) fn data_start(&self) -> u64 {
        self.0.data_start
    }

    pub(crate) fn opened(&self) -> &Opened {
        &self.0.opened
    }

    /// A value that must have one certain type if it is there.
    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: ValueType,
        pick: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match pick(value) {
            Some(v) => Ok(Some(v)),
            None => bail!(
                GgufKeyType,
                "the metadata key {key} is of type {} but must be {}; convert the model again",
                value.value_type().name(),
                expected.name()
            ),
        }
    }

    /// A string; `None` when the key is missing. Errors: `GgufKeyType`.
    pub fn str(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, ValueType::String, Value::as_str)
    }

    /// An array; `None` when the key is missing. Errors: `GgufKeyType`.
    pub fn array(&self, key: &str) -> Result<Option<&Array>> {
        self.typed(key, ValueType::Array, Value::as_array)
    }
}

macro_rules! typed_getters {
    ($($name:ident: $t:ty = $variant:ident;)*) => {
        impl Gguf {$(
            #[doc = concat!("A `", stringify!($t), "`, and of exactly that type, as the engine \
                wants it; `None` when the key is missing. Errors: `GgufKeyType`.")]
            pub fn $name(&self, key: &str) -> Result<Option<$t>> {
                self.typed(key, ValueType::$variant, |v| match v {
                    Value::$variant(v) => Some(*v),
                    _ => None,
                })
            }
        )*}
    };
}
typed_getters! {
    u8: u8 = U8; u16: u16 = U16; u32: u32 = U32; u64: u64 = U64;
    i8: i8 = I8; i16: i16 = I16; i32: i32 = I32; i64: i64 = I64;
    f32: f32 = F32; f64: f64 = F64; bool: bool = Bool;
}

impl std::fmt::Debug for Gguf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gguf")
            .field("version", &self.0.version)
            .field("kv", &self.0.kv)
            .field("tensors", &self.0.tensors.len())
            .finish()
    }
}

/// Reads as much of the file as its header takes, in growing steps.
fn read_header(opened: &Opened, total: u64) -> Result<(Bytes, Header)> {
    let mut buffer = Vec::new();
    let mut wanted = 1 << 20;
    loop {
        let size = usize::try_from(wanted.min(total)).unwrap_or(usize::MAX);
        let have = buffer.len();
        buffer.resize(size, 0);
        if let Some(rest) = buffer.get_mut(have..) {
            opened.read_exact_at(rest, have as u64)?;
        }
        match read::header(&buffer, total) {
            Ok(header) => {
                buffer.truncate(header.end);
                return Ok((Bytes::from(buffer), header));
            }
            Err(Stop::Bad(e)) => return Err(e),
            Err(Stop::More(n)) => wanted = n.max(2 * size as u64),
        }
    }
}

fn alignment(kv: &[(String, Value)]) -> Result<u64> {
    match kv.iter().find(|(key, _)| key == ALIGNMENT_KEY).map(|(_, v)| v) {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::U32(v)) if alignment_is_valid(*v) => Ok((*v).into()),
        Some(Value::U32(v)) => bail!(
            GgufAlignment,
            "{ALIGNMENT_KEY} is {v}; it must be a power of two from 8 to {MAX_ALIGNMENT}"
        ),
        Some(v) => bail!(
            GgufKeyType,
            "{ALIGNMENT_KEY} is of type {} but must be u32; write the file again",
            v.value_type().name()
        ),
    }
}
