//! A file that ends with the SHA-256 of everything before: no changed byte goes unseen.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result, bail};
use crate::format::gguf::Gguf;

/// Bytes of the digest.
pub(super) const DIGEST: usize = 32;

/// Writes what `write` writes, its last 32 bytes replaced by the SHA-256 of those before.
pub(super) fn seal<W: Write>(
    out: &mut W,
    write: impl FnOnce(&mut Sealing<'_, W>) -> Result<()>,
) -> Result<()> {
    let mut sealing = Sealing { out, hash: Sha256::new(), held: Vec::new() };
    write(&mut sealing)?;
    let digest = sealing.hash.finalize();
    sealing.out.write_all(&digest).map_err(|e| Error::io(&e, "writing the checksum"))
}

/// Passes on and hashes all but the last 32 bytes that it was given.
pub(super) struct Sealing<'w, W> {
    out: &'w mut W,
    hash: Sha256,
    held: Vec<u8>,
}

impl<W: Write> Write for Sealing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        let ready = self.held.len().saturating_sub(DIGEST);
        let passed = self.held.get(..ready).unwrap_or_default();
        self.hash.update(passed);
        self.out.write_all(passed)?;
        self.held.drain(..ready);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Checks a whole file against its digest, in pieces.
///
/// # Errors
/// `CheckpointFormat`; those of files.
pub(super) fn verify(gguf: &Gguf) -> Result<()> {
    let body = gguf.length().saturating_sub(DIGEST as u64);
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    let mut at = 0;
    while at < body {
        let n = (body - at).min(buffer.len() as u64) as usize;
        let chunk = buffer.get_mut(..n).unwrap_or_default();
        gguf.opened().read_exact_at(chunk, at)?;
        hash.update(chunk);
        at += n as u64;
    }
    let mut digest = [0u8; DIGEST];
    gguf.opened().read_exact_at(&mut digest, body)?;
    if hash.finalize().as_slice() != digest {
        bail!(
            CheckpointFormat,
            "the checkpoint's checksum is wrong: it was changed or cut short; resume from another one"
        )
    }
    Ok(())
}
