//! Opening a sealed file: verified whole, decrypted to memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ed25519_dalek::{Signature, VerifyingKey};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::crypt::{Cipher, Role, TAG, role};
use super::header::{self, Header, Layout};
use super::manifest::Manifest;
use super::{Keys, SIGNED_TEXT, pool};
use crate::error::{Result, bail, err};
use crate::format::image::{Image, Wipe};
use crate::format::mmap;
use crate::format::source::Opened;
use crate::job::Monitor;
use crate::log;

/// Whether the bytes begin as a sealed file does.
pub(in crate::format) fn is_sealed(opened: &Opened) -> Result<bool> {
    let mut magic = [0; header::MAGIC.len()];
    if opened.length() < magic.len() as u64 {
        return Ok(false);
    }
    opened.read_exact_at(&mut magic, 0)?;
    Ok(magic == *header::MAGIC)
}

/// What a sealed file holds, verified and in memory only; another file is given back as it is. `fits` is asked whether
/// there is memory for that many bytes.
///
/// # Errors
/// The `Seal...` codes; those of `fits` and of files; `OutOfMemory`, `Cancelled`.
pub(crate) fn open(
    opened: Opened,
    keys: &Keys,
    monitor: &Monitor,
    fits: impl FnOnce(u64) -> Result<()>,
) -> Result<Opened> {
    if !is_sealed(&opened)? {
        // Without this, a sealed model could be replaced by any other one.
        check_kind(keys, false, false)?;
        return Ok(opened);
    }
    let sealed = Sealed::read(opened, keys)?;
    fits(sealed.header.payload)?;
    sealed.decrypt(monitor)
}

/// Refuses a file that has less protection than the caller asks for.
fn check_kind(keys: &Keys, encrypted: bool, signed: bool) -> Result<()> {
    if keys.key.is_set() && !encrypted {
        bail!(
            SealNotEncrypted,
            "a key was given, but the file is not encrypted; give the sealed file, or no key if this one can be trusted"
        )
    }
    if keys.public_key.is_set() && !signed {
        bail!(
            SealNotSigned,
            "a public key was given, but the file is not signed; give the signed file, or no public key if this one can \
             be trusted"
        )
    }
    Ok(())
}

/// A sealed file whose header, signature, key and manifest are right.
struct Sealed {
    opened: Opened,
    header: Header,
    layout: Layout,
    manifest: Manifest,
    cipher: Option<Cipher>,
}

impl Sealed {
    fn read(opened: Opened, keys: &Keys) -> Result<Self> {
        let mut head = [0; header::LENGTH];
        let there = usize::try_from(opened.length()).unwrap_or(usize::MAX).min(head.len());
        opened.read_exact_at(head.get_mut(..there).unwrap_or_default(), 0)?;
        if there < 12 {
            return Err(header::short());
        }
        // The version comes first: another one may have a shorter header.
        let header = match Header::read(&head) {
            Err(e) if there == head.len() || e.code() == crate::error::Code::SealVersion => {
                return Err(e);
            }
            _ if there < head.len() => return Err(header::short()),
            header => header?,
        };
        let layout = check_length(&header, opened.length())?;
        check_kind(keys, header.encrypted, header.signed)?;
        if header.encrypted && !keys.key.is_set() {
            bail!(
                SealKeyMissing,
                "the file is encrypted and no key was given; set the option `key` (--key-file)"
            )
        }
        // Not longer than the file, which was checked.
        let mut stored = Zeroizing::new(vec![0; header.manifest as usize]);
        opened.read_exact_at(&mut stored, header::LENGTH as u64)?;
        if Sha256::digest(&*stored).as_slice() != header.manifest_digest {
            bail!(
                SealManifest,
                "the manifest of the sealed file is damaged: its checksum is wrong; fetch the file again"
            )
        }
        if header.signed {
            check_signature(&opened, &layout, &head, &stored, keys)?;
        }
        let cipher = Cipher::new(&keys.key, header.prefix).filter(|_| header.encrypted);
        if let Some(cipher) = &cipher {
            check_key(cipher, &header)?;
            decrypt_manifest(cipher, &header, &mut stored)?;
        }
        let manifest = Manifest::parse(&stored, header.payload)?;
        Ok(Self { opened, header, layout, manifest, cipher })
    }

    fn decrypt(&self, monitor: &Monitor) -> Result<Opened> {
        let Ok(length) = usize::try_from(self.header.payload) else {
            bail!(OutOfMemory, "{} bytes do not fit in memory", self.header.payload)
        };
        // One copy that can be mapped, where the system has such; otherwise the engine makes a second one.
        if let Some(file) = mmap::anonymous(length) {
            let wipe = Wipe { file: Arc::new(file), length };
            if let Ok(mut map) = mmap::map_mut(&wipe.file, length) {
                self.fill(&mut map, monitor)?;
                let (file, length) = (Arc::clone(&wipe.file), self.header.payload);
                let private = Some(Arc::new(wipe));
                return Ok(Opened::File { path: None, file, offset: 0, length, private });
            }
        }
        let mut bytes = Zeroizing::new(Vec::new());
        if bytes.try_reserve_exact(length).is_err() {
            bail!(OutOfMemory, "there is no memory for {length} bytes; use a smaller model")
        }
        bytes.resize(length, 0);
        self.fill(&mut bytes, monitor)?;
        Ok(Opened::Memory(Image::Secret(Arc::new(bytes))))
    }

    /// Reads, decrypts and verifies the whole model.
    fn fill(&self, model: &mut [u8], monitor: &Monitor) -> Result<()> {
        let pool = pool()?;
        let bound = self.header.bytes();
        let done = AtomicU64::new(0);
        pool.install(|| {
            let chunks = model.par_chunks_mut(self.header.chunk_size as usize);
            chunks.enumerate().try_for_each(|(index, chunk)| {
                monitor.cancel().check("opening the sealed file")?;
                self.chunk(index as u64, &bound, chunk)?;
                let now = done.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                monitor.report(0.4 * now as f32 / self.header.payload as f32);
                Ok(())
            })
        })?;
        // Each chunk's tag says who encrypted it; a signature is of the manifest's digests.
        if self.cipher.is_none() || self.header.signed {
            pool.install(|| self.manifest.verify(model, monitor))?;
        }
        Ok(())
    }

    fn chunk(&self, index: u64, bound: &[u8], chunk: &mut [u8]) -> Result<()> {
        let at = self.layout.payload + index * self.header.stored_chunk();
        self.opened.read_exact_at(chunk, at)?;
        let Some(cipher) = &self.cipher else { return Ok(()) };
        let mut tag = [0; TAG];
        self.opened.read_exact_at(&mut tag, at + chunk.len() as u64)?;
        if !cipher.decrypt(role(index, self.layout.n_chunks), bound, chunk, &tag) {
            bail!(
                SealChunk,
                "chunk {} of {} of the sealed file was changed, moved or comes from another file; fetch the file again",
                index + 1,
                self.layout.n_chunks
            )
        }
        Ok(())
    }
}

/// The file is as long as its header says: after this, no length is too large to allocate.
fn check_length(header: &Header, length: u64) -> Result<Layout> {
    let layout = header.layout();
    let total = layout.map_or(u64::MAX, |l| l.total);
    if length < total {
        bail!(
            SealTruncated,
            "the sealed file has {length} of {total} bytes: it was cut short; fetch it again"
        )
    }
    if length > total {
        bail!(
            SealTrailing,
            "the sealed file has {} bytes after its end; fetch it again",
            length - total
        )
    }
    layout.ok_or_else(header::short)
}

fn check_signature(
    opened: &Opened,
    layout: &Layout,
    head: &[u8],
    manifest: &[u8],
    keys: &Keys,
) -> Result<()> {
    let (mut signer, mut signature) = ([0; 32], [0; 64]);
    opened.read_exact_at(&mut signer, layout.signature)?;
    opened.read_exact_at(&mut signature, layout.signature + signer.len() as u64)?;
    match keys.public_key.bytes() {
        Some(wanted) if *wanted != signer => bail!(
            SealSigner,
            "the file is signed, but not by the owner of the public key; give the file of the right publisher, or the \
             publisher's public key"
        ),
        Some(_) => {}
        None => log::push(
            log::Level::Warning,
            "the sealed file is signed, but no public key was given: its signature says nothing about who signed it",
        ),
    }
    let signed = [SIGNED_TEXT, head, manifest].concat();
    let verified = VerifyingKey::from_bytes(&signer)
        .and_then(|key| key.verify_strict(&signed, &Signature::from_bytes(&signature)));
    verified.map_err(|_| {
        err!(
            SealSignature,
            "the signature of the sealed file is wrong: the file was changed; fetch it again"
        )
    })
}

fn check_key(cipher: &Cipher, header: &Header) -> Result<()> {
    if !cipher.decrypt((Role::KeyCheck, 0), &header.fixed(), &mut [], &header.key_check) {
        bail!(
            SealKeyWrong,
            "the file was encrypted with another key; give the key that it was sealed with"
        )
    }
    Ok(())
}

/// Leaves the manifest without its tag.
fn decrypt_manifest(cipher: &Cipher, header: &Header, stored: &mut Vec<u8>) -> Result<()> {
    let damaged =
        || err!(SealManifest, "the manifest of the sealed file was changed; fetch it again");
    let tag = stored.last_chunk::<TAG>().copied().ok_or_else(damaged)?;
    stored.truncate(stored.len() - TAG);
    match cipher.decrypt((Role::Manifest, 0), &header.fixed(), stored, &tag) {
        true => Ok(()),
        false => Err(damaged()),
    }
}
