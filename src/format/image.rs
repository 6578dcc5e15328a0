//! Bytes in memory, and how decrypted ones are wiped.

use std::fs::File;
use std::ops::Deref;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::mmap;

/// A whole file in memory. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Image {
    Shared(Arc<[u8]>),
    /// Wiped with its last owner.
    Secret(Arc<Zeroizing<Vec<u8>>>),
}

impl Deref for Image {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Secret(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({} bytes)", self.len())
    }
}

/// Wipes a file in memory when it is dropped. Maps of the file may still be there: they then hold zeros.
pub(crate) struct Wipe {
    pub(super) file: Arc<File>,
    pub(super) length: usize,
}

impl Drop for Wipe {
    fn drop(&mut self) {
        if let Ok(mut map) = mmap::map_mut(&self.file, self.length) {
            map.fill(0);
        }
    }
}

impl std::fmt::Debug for Wipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wipe({} bytes)", self.length)
    }
}
