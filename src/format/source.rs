//! Where a file's bytes come from.

use std::ops::Range;
use std::sync::Arc;

/// Bytes that stay where they are while somebody looks at them.
pub(crate) enum Bytes {
    /// The caller's or our own memory.
    Memory(Arc<[u8]>),
}

impl Bytes {
    /// A part of the bytes; `None` outside them.
    pub(crate) fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        match self {
            Bytes::Memory(m) => m.get(range),
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::Memory(bytes.into())
    }
}
