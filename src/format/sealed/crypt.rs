//! Encryption of a file in chunks: XChaCha20-Poly1305, each chunk with a nonce of its own.
//!
//! A nonce is the file's random prefix, the chunk's number, and what the chunk is (the construction STREAM): a chunk that
//! was moved, left out or taken from another file does not decrypt, and only the last one can end the file.

use chacha20poly1305::aead::{AeadInPlace as _, KeyInit as _};
use chacha20poly1305::{Key, Tag, XChaCha20Poly1305, XNonce};

use crate::error::{Result, err};
use crate::options::Secret;

/// Bytes of a tag.
pub(super) const TAG: usize = 16;

/// What is encrypted: the last byte of its nonce.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Role {
    Chunk = 0,
    LastChunk = 1,
    Manifest = 2,
    KeyCheck = 3,
}

/// One file's cipher. Its key is wiped when it is dropped.
pub(super) struct Cipher {
    aead: XChaCha20Poly1305,
    prefix: [u8; 16],
}

impl Cipher {
    /// `None` without a key.
    pub(super) fn new(key: &Secret, prefix: [u8; 16]) -> Option<Self> {
        let aead = XChaCha20Poly1305::new(Key::from_slice(key.bytes()?));
        Some(Self { aead, prefix })
    }

    /// Encrypts in place, bound to `bound`, and gives the tag.
    pub(super) fn encrypt(
        &self,
        (role, index): (Role, u64),
        bound: &[u8],
        bytes: &mut [u8],
    ) -> Result<[u8; TAG]> {
        let nonce = self.nonce(role, index);
        let tag = self.aead.encrypt_in_place_detached(&nonce, bound, bytes);
        tag.map(Into::into).map_err(|_| {
            err!(Internal, "{} bytes could not be encrypted; please report it", bytes.len())
        })
    }

    /// Decrypts in place; `false` if anything is not as it was encrypted.
    #[must_use]
    pub(super) fn decrypt(
        &self,
        (role, index): (Role, u64),
        bound: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG],
    ) -> bool {
        let nonce = self.nonce(role, index);
        self.aead.decrypt_in_place_detached(&nonce, bound, bytes, Tag::from_slice(tag)).is_ok()
    }

    fn nonce(&self, role: Role, index: u64) -> XNonce {
        let mut nonce = XNonce::default();
        // Seven bytes of the index: more chunks than any disk has.
        let [_, number @ ..] = index.to_be_bytes();
        let parts = self.prefix.iter().chain(&number).copied().chain([role as u8]);
        nonce.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        nonce
    }
}

/// What a chunk is, by its number.
pub(super) fn role(index: u64, n_chunks: u64) -> (Role, u64) {
    (if index + 1 == n_chunks { Role::LastChunk } else { Role::Chunk }, index)
}
