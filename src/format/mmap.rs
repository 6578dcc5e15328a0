//! The one place that maps files.

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

/// Maps `length` bytes of `file` from `offset`, for reading.
pub(super) fn map(file: &File, offset: u64, length: usize) -> io::Result<Mmap> {
    // SAFETY: the mapping is private to this process's reads and never written. The invariant that
    // the file keeps its length while it is mapped is the caller's, stated where `Access::Map` is
    // documented: whoever cannot promise it chooses `Access::Read`.
    #[allow(unsafe_code, reason = "mapping a file is unsafe by nature; see SAFETY")]
    unsafe {
        MmapOptions::new().offset(offset).len(length).map(file)
    }
}
