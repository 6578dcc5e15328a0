//! Where the engine wants a file's tensors: one after the other, and aligned for mapping.

use super::files::Part;
use crate::error::{Result, bail};
use crate::format::source::Access;

/// The CPU kernels' alignment: a mapped tensor may not begin elsewhere.
const MAPPED_ALIGNMENT: u64 = 32;

pub(super) fn check(part: &Part, access: Access) -> Result<()> {
    let gguf = part.gguf();
    let mut expected = None;
    for t in gguf.tensors() {
        if expected.is_some_and(|at| at != t.offset)
            || (expected.is_none() && !is_first(part, t.offset))
        {
            bail!(
                GgufTensorLayout,
                "tensor {} begins at byte {}, but the engine needs all tensors one after the other, in \
                 the order of their table, only padded to the alignment; write the file again",
                t.name,
                t.offset
            );
        }
        expected = Some((t.offset + t.n_bytes).next_multiple_of(gguf.alignment()));
        let at = part.offset() + t.offset;
        if access == Access::Map && part.file().is_some() && !at.is_multiple_of(MAPPED_ALIGNMENT) {
            bail!(
                GgufTensorLayout,
                "tensor {} begins at byte {at}, which is not a multiple of {MAPPED_ALIGNMENT}, so the \
                 file cannot be mapped; load it with use_mmap=false or write it with that alignment",
                t.name
            );
        }
    }
    Ok(())
}

/// Whether the first tensor lies at the start of the data section: no other tensor may come before.
fn is_first(part: &Part, offset: u64) -> bool {
    offset == part.gguf().data_start()
}
