//! Qwen 2 and 2.5 (biases on queries, keys and values) and Qwen 3 (norms of queries and keys).

use super::Arch;
use crate::error::Result;
use crate::format::ModelFiles;

pub(super) fn describe(files: &ModelFiles) -> Result<Arch> {
    Arch::base(files, true)
}
