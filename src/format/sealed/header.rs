//! The first bytes of a sealed file, and where its parts lie.

use sha2::{Digest, Sha256};

use super::crypt::TAG;
use crate::error::{Error, Result, bail, err};

/// What a sealed file begins with.
pub(super) const MAGIC: &[u8; 8] = b"NESTSEAL";
pub(super) const VERSION: u32 = 1;
/// Bytes of the header.
pub(super) const LENGTH: usize = 128;
/// Bytes of the header that everything encrypted is bound to: all but what is computed last.
const FIXED: usize = 56;
/// Bytes before the checksum.
const CHECKED: usize = 104;
/// Bytes of the signature and the public key before it.
pub(super) const SIGNATURE: usize = 32 + 64;
pub(super) const MIN_CHUNK: u32 = 4_096;
pub(super) const MAX_CHUNK: u32 = 16 << 20;

const ENCRYPTED: u32 = 1;
const SIGNED: u32 = 2;

/// A header that was read or will be written.
#[derive(Debug, Clone, Default)]
pub(super) struct Header {
    pub encrypted: bool,
    pub signed: bool,
    pub chunk_size: u32,
    /// Bytes of the model.
    pub payload: u64,
    /// Bytes of the manifest as it is stored.
    pub manifest: u64,
    /// Random for each file: no nonce is ever used twice with a key.
    pub prefix: [u8; 16],
    /// What only the right key gives.
    pub key_check: [u8; TAG],
    /// SHA-256 of the manifest as it is stored.
    pub manifest_digest: [u8; 32],
}

/// Where the parts of a sealed file lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Layout {
    pub signature: u64,
    pub payload: u64,
    pub n_chunks: u64,
    pub total: u64,
}

impl Header {
    /// Reads a header that begins with the magic.
    ///
    /// # Errors
    /// `SealTruncated`, `SealVersion`, `SealHeader`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let version = u32::from_le_bytes(take(bytes, 8)?);
        if version != VERSION {
            bail!(
                SealVersion,
                "the file is sealed in version {version} of the format, this build reads version {VERSION}; use a \
                 newer build, or seal the model again"
            )
        }
        let checked = bytes.get(..CHECKED).ok_or_else(short)?;
        if checksum(checked) != take::<24>(bytes, CHECKED)? {
            return Err(damaged("its checksum is wrong"));
        }
        let flags = u32::from_le_bytes(take(bytes, 12)?);
        let header = Self {
            encrypted: flags & ENCRYPTED != 0,
            signed: flags & SIGNED != 0,
            chunk_size: u32::from_le_bytes(take(bytes, 16)?),
            payload: u64::from_le_bytes(take(bytes, 24)?),
            manifest: u64::from_le_bytes(take(bytes, 32)?),
            prefix: take(bytes, 40)?,
            key_check: take(bytes, FIXED)?,
            manifest_digest: take(bytes, 72)?,
        };
        if flags == 0 || flags & !(ENCRYPTED | SIGNED) != 0 || take::<4>(bytes, 20)? != [0; 4] {
            return Err(damaged("it has unknown parts"));
        }
        if !(MIN_CHUNK..=MAX_CHUNK).contains(&header.chunk_size) {
            return Err(damaged(&format!(
                "its chunks have {} bytes, which is not from {MIN_CHUNK} to {MAX_CHUNK}",
                header.chunk_size
            )));
        }
        if header.payload == 0 || header.manifest == 0 {
            return Err(damaged("it holds nothing"));
        }
        Ok(header)
    }

    pub(super) fn bytes(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let flags =
            if self.encrypted { ENCRYPTED } else { 0 } | if self.signed { SIGNED } else { 0 };
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 12, &flags.to_le_bytes());
        put(&mut bytes, 16, &self.chunk_size.to_le_bytes());
        put(&mut bytes, 24, &self.payload.to_le_bytes());
        put(&mut bytes, 32, &self.manifest.to_le_bytes());
        put(&mut bytes, 40, &self.prefix);
        put(&mut bytes, FIXED, &self.key_check);
        put(&mut bytes, 72, &self.manifest_digest);
        let sum = checksum(bytes.get(..CHECKED).unwrap_or_default());
        put(&mut bytes, CHECKED, &sum);
        bytes
    }

    /// What the manifest and the key check are bound to.
    pub(super) fn fixed(&self) -> Vec<u8> {
        self.bytes().get(..FIXED).unwrap_or_default().to_vec()
    }

    /// Bytes of every whole chunk as it is stored.
    pub(super) fn stored_chunk(&self) -> u64 {
        u64::from(self.chunk_size) + self.tag()
    }

    /// Bytes of each chunk's tag.
    pub(super) fn tag(&self) -> u64 {
        if self.encrypted { TAG as u64 } else { 0 }
    }

    /// `None` for lengths that no file can have.
    pub(super) fn layout(&self) -> Option<Layout> {
        let n_chunks = self.payload.div_ceil(u64::from(self.chunk_size));
        let signature = (LENGTH as u64).checked_add(self.manifest)?;
        let payload = signature.checked_add(if self.signed { SIGNATURE as u64 } else { 0 })?;
        let stored = n_chunks.checked_mul(self.tag())?.checked_add(self.payload)?;
        Some(Layout { signature, payload, n_chunks, total: payload.checked_add(stored)? })
    }
}

/// The checksum finds damage, so that a wrong key is told apart from it; it stops no attacker.
fn checksum(bytes: &[u8]) -> [u8; 24] {
    let mut sum = [0; 24];
    sum.iter_mut().zip(Sha256::digest(bytes)).for_each(|(to, from)| *to = from);
    sum
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or_else(short)
}

fn put(bytes: &mut [u8; LENGTH], at: usize, value: &[u8]) {
    bytes.iter_mut().skip(at).zip(value).for_each(|(to, from)| *to = *from);
}

fn damaged(why: &str) -> Error {
    err!(SealHeader, "the header of the sealed file is damaged: {why}; fetch or seal it again")
}

pub(super) fn short() -> Error {
    err!(SealTruncated, "the sealed file ends inside its header; fetch it again")
}
