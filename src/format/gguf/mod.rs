//! GGUF files: read, checked and written.

mod cursor;
mod file;
mod read;
mod table;
mod tensor;
mod value;
mod write;

pub use file::Gguf;
pub(crate) use tensor::Shape;
pub use tensor::{GgmlType, TensorInfo};
pub use value::{Array, Strings, Value, ValueType};
pub use write::Writer;

/// The first four bytes of every file.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";
/// Names the alignment of tensor data.
pub(crate) const ALIGNMENT_KEY: &str = "general.alignment";
/// The alignment of a file that names none.
pub(crate) const DEFAULT_ALIGNMENT: u64 = 32;
/// The longest metadata key that the format allows.
pub(crate) const MAX_KEY: usize = 65535;
/// The longest tensor name that the engine keeps whole.
pub(crate) const MAX_TENSOR_NAME: usize = 63;
/// The most dimensions of a tensor.
pub(crate) const MAX_DIMS: usize = 4;

/// The largest alignment that is allowed.
pub(crate) const MAX_ALIGNMENT: u32 = 1 << 20;
/// The most metadata entries.
pub(crate) const MAX_KV: u64 = 1 << 16;
/// The most tensors.
pub(crate) const MAX_TENSORS: u64 = 1 << 17;
/// The most elements of a metadata array: the largest vocabularies have a few hundred thousand.
pub(crate) const MAX_ARRAY: u64 = 1 << 24;
/// The most bytes of a string.
pub(crate) const MAX_STRING: u64 = 1 << 28;

/// Whether tensor data may be aligned so.
pub(crate) fn alignment_is_valid(alignment: u32) -> bool {
    alignment.is_power_of_two() && (8..=MAX_ALIGNMENT).contains(&alignment)
}
