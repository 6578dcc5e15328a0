//! Sealed files: a model that is encrypted, signed, or both.
//!
//! A sealed file is a header of 128 bytes, a manifest with the SHA-256 of every part of the model, a signature (ed25519)
//! over both, and the model's file in chunks, each encrypted (XChaCha20-Poly1305). Everything is checked before anything is
//! used, and decrypted to memory only. [`Source::with_keys`](super::Source::with_keys) and the options `key` and
//! `public_key` of a model open it; [`seal`] and [`unseal`] make it and undo it.

mod crypt;
mod header;
mod key;
mod manifest;
mod read;
mod write;

pub use key::{public_key, random_key, read_key, write_key};
pub(super) use read::is_sealed;
pub(crate) use read::open;
pub use write::{SealReport, UnsealReport, seal, unseal};

use crate::error::{Error, Result};
use crate::options::Secret;

/// What is signed begins with this, so that no other signature of the same key can stand for it.
const SIGNED_TEXT: &[u8] = b"nestling sealed file v1\n";

/// What a sealed file is opened with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    pub key: Secret,
    pub public_key: Secret,
}

/// Threads for one file.
fn pool() -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .thread_name(|_| "nestling-seal".into())
        .build()
        .map_err(|e| Error::io(&std::io::Error::other(e), "starting worker threads"))
}
