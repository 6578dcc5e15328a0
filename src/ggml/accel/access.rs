//! What memory nodes read and write, which says whether one of them may be computed before another.

use std::ops::Range;

use llama_cpp_sys_2 as sys;

use super::nodes::memory;
use crate::kernels::is_apart;

/// The memory that something reads, and that it writes.
pub(super) struct Access {
    pub reads: Vec<Range<usize>>,
    pub writes: Vec<Range<usize>>,
}

impl Access {
    /// That of a node.
    ///
    /// # Safety
    /// It is valid, and so are its sources.
    pub(super) unsafe fn of(node: &sys::ggml_tensor) -> Self {
        // SAFETY: by the contract of this function.
        let reads = given(node).map(|source| unsafe { memory(&*source) }).collect();
        // SAFETY: as above.
        Self { reads, writes: vec![unsafe { memory(node) }] }
    }

    /// Whether it makes no difference which of them is computed first.
    pub(super) fn commutes(&self, other: &Self) -> bool {
        are_apart(&self.writes, &other.reads)
            && are_apart(&self.writes, &other.writes)
            && are_apart(&self.reads, &other.writes)
    }

    /// Whether nothing that it writes is also written or read.
    pub(super) fn is_apart(&self) -> bool {
        are_apart(&self.writes, &self.reads)
            && (1..self.writes.len()).all(|i| {
                let (before, from) = self.writes.split_at(i);
                are_apart(before, &from[..1])
            })
    }
}

fn are_apart(some: &[Range<usize>], others: &[Range<usize>]) -> bool {
    some.iter().all(|some| others.iter().all(|other| is_apart(some, other)))
}

/// What a node reads: not the table that rows are put into.
pub(super) fn given(node: &sys::ggml_tensor) -> impl Iterator<Item = *mut sys::ggml_tensor> {
    let count = if node.op == sys::GGML_OP_SET_ROWS { 2 } else { node.src.len() };
    node.src.into_iter().take(count).filter(|source| !source.is_null())
}
