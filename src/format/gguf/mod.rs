//! GGUF files: read, checked and written.

pub mod tensor;
pub mod value;
pub mod write;

pub use tensor::{GgmlType, TensorInfo};
pub use value::{Array, Value, ValueType};
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

/// Whether tensor data may be aligned so.
pub(crate) fn alignment_is_valid(alignment: u32) -> bool {
    alignment.is_power_of_two() && (8..=65536).contains(&alignment)
}
