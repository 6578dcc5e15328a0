//! Sealing a model, and undoing it.

use std::io::{self, Write};
use std::path::Path;

use ed25519_dalek::Signer as _;
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::crypt::{Cipher, Role, TAG, role};
use super::header::{Header, Layout};
use super::manifest::{Manifest, hex};
use super::{SIGNED_TEXT, key, pool, read};
use crate::error::{Context, Error, Result, bail, err};
use crate::format::gguf::Gguf;
use crate::format::source::{Access, Opened, Source};
use crate::format::{check_output, replace_file, replace_model};
use crate::job::Monitor;
use crate::options::{Options as _, SealOptions};

/// Chunks that are encrypted at a time take about so many bytes.
const BATCH: usize = 8 << 20;

/// What was sealed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SealReport {
    /// Bytes of the model.
    pub model_bytes: u64,
    /// Bytes of the sealed file.
    pub bytes: u64,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Whether it is signed.
    pub signed: bool,
    /// The signer's public key, as hexadecimal text, which opens it.
    pub public_key: Option<String>,
    /// Its chunks.
    pub n_chunks: u64,
    /// The tensors whose SHA-256 is in the manifest.
    pub n_tensors: u64,
    /// SHA-256 of the model, as hexadecimal text.
    pub sha256: String,
}

/// Seals a GGUF file, a model or an adapter: encrypts it with the key of the options, signs it with the sign key, or both.
///
/// # Errors
/// `InvalidOption` without a key; `Gguf...` for a bad file, `GgufSplit` for a part of one; `SealAgain`, `SourceChanged`,
/// `OutputExists`, `OutputIsInput`, `Cancelled`, and those of files: the output is as it was then.
pub fn seal(
    input: &Path,
    output: &Path,
    options: &SealOptions,
    monitor: &Monitor,
) -> Result<SealReport> {
    options.validate()?;
    if !options.key.is_set() && !options.sign_key.is_set() {
        bail!(
            InvalidOption,
            "seal options key and sign_key: neither is set; give a key to encrypt with (--key-file), one to sign with \
             (--sign-key-file), or both"
        )
    }
    check_output(output, options.force, &[input])?;
    let opened = Source::path(input).open_as_it_is()?;
    let pool = pool()?;
    let work = || {
        if read::is_sealed(&opened)? {
            bail!(SealAgain, "the file is sealed already; give the model's own file")
        }
        let gguf = Gguf::from_opened(opened.clone(), Access::Read)?;
        if gguf.u16("split.count")?.is_some_and(|count| count > 1) {
            bail!(GgufSplit, "the file is a part of a split model; merge the parts into one file")
        }
        pool.install(|| Manifest::of(&gguf, monitor))
    };
    let manifest = work().with_path(input)?;
    let sealing = Sealing::new(options, &manifest)?;
    monitor.report(0.3);
    replace_model(output, "writing the sealed file", |out| {
        let io = |e: io::Error| Error::io(&e, "writing the sealed file");
        for part in [&sealing.header.bytes()[..], &sealing.manifest, &sealing.signature] {
            out.write_all(part).map_err(io)?;
        }
        pool.install(|| sealing.chunks(&opened, &manifest.sha256, out, monitor))
    })?;
    Ok(SealReport {
        model_bytes: manifest.length,
        bytes: sealing.layout.total,
        encrypted: sealing.header.encrypted,
        signed: sealing.header.signed,
        public_key: match options.sign_key.is_set() {
            true => Some(hex(&key::public_key(&options.sign_key)?)),
            false => None,
        },
        n_chunks: sealing.layout.n_chunks,
        n_tensors: manifest.tensors.len() as u64,
        sha256: manifest.sha256,
    })
}

/// What [`unseal`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnsealReport {
    /// The length of the new file.
    pub bytes: u64,
}

/// Writes the file that a sealed one holds, after all checks: from then on nothing protects it. The source has the keys.
///
/// # Errors
/// `InvalidArgument` for a file that is not sealed; the `Seal...` codes; `OutputExists`, `OutputIsInput`, `Cancelled`, and those of files: the output is as it was then.
pub fn unseal(
    source: &Source,
    output: &Path,
    force: bool,
    monitor: &Monitor,
) -> Result<UnsealReport> {
    if !source.is_sealed()? {
        let error = err!(InvalidArgument, "this file is not sealed; use it as it is");
        return Err(match source.as_path() {
            Some(path) => error.with_path(path),
            None => error,
        });
    }
    check_output(output, force, source.as_path().as_slice())?;
    let opened = source.unseal(monitor, |_| Ok(()))?.open()?;
    let length = opened.length();
    replace_file(output, "writing the model", |out| {
        let (mut buffer, mut at) = (Zeroizing::new(vec![0; 1 << 20]), 0);
        while at < length {
            monitor.cancel().check("writing the model")?;
            let n = (length - at).min(buffer.len() as u64);
            let piece = buffer.get_mut(..n as usize).unwrap_or_default();
            opened.read_exact_at(piece, at)?;
            out.write_all(piece).map_err(|e| Error::io(&e, "writing the model"))?;
            at += n;
            monitor.report(0.5 + 0.5 * at as f32 / length as f32);
        }
        Ok(())
    })?;
    Ok(UnsealReport { bytes: length })
}

/// Everything that comes before the chunks, and what they are encrypted with.
struct Sealing {
    header: Header,
    layout: Layout,
    /// As it is stored.
    manifest: Vec<u8>,
    /// The public key and the signature, or nothing.
    signature: Vec<u8>,
    cipher: Option<Cipher>,
}

impl Sealing {
    fn new(options: &SealOptions, manifest: &Manifest) -> Result<Self> {
        let mut stored = manifest.bytes()?;
        let encrypted = options.key.is_set();
        let mut header = Header {
            encrypted,
            signed: options.sign_key.is_set(),
            chunk_size: u32::try_from(options.chunk_size).unwrap_or(u32::MAX),
            payload: manifest.length,
            manifest: (stored.len() + if encrypted { TAG } else { 0 }) as u64,
            ..Header::default()
        };
        key::random(&mut header.prefix)?;
        let cipher = Cipher::new(&options.key, header.prefix);
        if let Some(cipher) = &cipher {
            let bound = header.fixed();
            let tag = cipher.encrypt((Role::Manifest, 0), &bound, &mut stored)?;
            stored.extend(tag);
            header.key_check = cipher.encrypt((Role::KeyCheck, 0), &bound, &mut [])?;
        }
        header.manifest_digest = Sha256::digest(&stored).into();
        let mut signature = Vec::new();
        if header.signed {
            let signing = key::signing(&options.sign_key)?;
            signature.extend(signing.verifying_key().to_bytes());
            let signed = [SIGNED_TEXT, &header.bytes(), &stored].concat();
            signature.extend(signing.sign(&signed).to_bytes());
        }
        let layout = header.layout().ok_or_else(|| err!(Internal, "the model is too long"))?;
        Ok(Self { header, layout, manifest: stored, signature, cipher })
    }

    /// Reads the model once more and writes its chunks.
    fn chunks(
        &self,
        input: &Opened,
        expected: &str,
        out: &mut impl Write,
        monitor: &Monitor,
    ) -> Result<()> {
        let size = self.header.chunk_size as usize;
        let stored_size = self.header.stored_chunk() as usize;
        let batch = (BATCH / size).max(1) * size;
        let (mut plain, mut stored, mut hash) = (Vec::new(), Vec::new(), Sha256::new());
        let bound = self.header.bytes();
        let mut at = 0;
        while at < self.header.payload {
            monitor.cancel().check("sealing the model")?;
            let n = (self.header.payload - at).min(batch as u64) as usize;
            plain.resize(n, 0);
            input.read_exact_at(&mut plain, at)?;
            stored.resize(n + n.div_ceil(size) * self.header.tag() as usize, 0);
            let first = at / size as u64;
            let encrypt = || {
                let pairs = plain.par_chunks(size).zip(stored.par_chunks_mut(stored_size));
                pairs
                    .enumerate()
                    .try_for_each(|(i, (from, to))| self.chunk(first + i as u64, &bound, from, to))
            };
            let (_, encrypted) = rayon::join(|| hash.update(&plain), encrypt);
            encrypted?;
            out.write_all(&stored).map_err(|e| Error::io(&e, "writing the sealed file"))?;
            at += n as u64;
            monitor.report(0.3 + 0.7 * at as f32 / self.header.payload as f32);
        }
        if hex(&hash.finalize()) != expected {
            bail!(
                SourceChanged,
                "the model's file changed while it was sealed; seal it again when nobody writes to it"
            )
        }
        Ok(())
    }

    fn chunk(&self, index: u64, bound: &[u8], from: &[u8], to: &mut [u8]) -> Result<()> {
        let (body, tag) = to.split_at_mut_checked(from.len()).ok_or_else(|| {
            err!(Internal, "chunk {index} has no room for its tag; please report it")
        })?;
        body.copy_from_slice(from);
        if let Some(cipher) = &self.cipher {
            let made = cipher.encrypt(role(index, self.layout.n_chunks), bound, body)?;
            tag.iter_mut().zip(made).for_each(|(to, from)| *to = from);
        }
        Ok(())
    }
}
