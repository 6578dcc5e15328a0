//! What a sealed file holds: the SHA-256 of every part of the model.

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result, bail, err};
use crate::format::gguf::Gguf;
use crate::format::source::Opened;
use crate::job::Monitor;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// Digests are hexadecimal text, offsets count from the model's start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Bytes of the model.
    pub length: u64,
    /// Of the whole model: for people, to compare files with. Opening checks the parts.
    pub sha256: String,
    /// Everything before the first tensor.
    pub metadata: Part,
    pub tensors: Vec<Part>,
    /// Of all bytes between and after the tensors, one after the other.
    pub padding: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub offset: u64,
    pub length: u64,
    pub sha256: String,
}

impl Manifest {
    /// Reads the whole model.
    pub(super) fn of(gguf: &Gguf, monitor: &Monitor) -> Result<Self> {
        let length = gguf.length();
        let mut tensors: Vec<_> = gguf.tensors().iter().collect();
        tensors.sort_by_key(|t| t.offset);
        let end = tensors.first().map_or(length, |t| t.offset);
        let part = |name: &str, offset, length| -> Result<Part> {
            let sha256 = digest(gguf.opened(), std::iter::once(offset..offset + length), monitor)?;
            Ok(Part { name: name.to_owned(), offset, length, sha256 })
        };
        let parts = || {
            let all = tensors.par_iter().map(|t| part(&t.name, t.offset, t.n_bytes));
            all.collect::<Result<Vec<_>>>()
        };
        let whole = || digest(gguf.opened(), std::iter::once(0..length), monitor);
        let (sha256, tensors) = rayon::join(whole, parts);
        let mut manifest = Self {
            length,
            sha256: sha256?,
            metadata: part("", 0, end)?,
            tensors: tensors?,
            padding: String::new(),
        };
        manifest.padding = digest(gguf.opened(), manifest.gaps()?, monitor)?;
        Ok(manifest)
    }

    pub(super) fn parse(bytes: &[u8], length: u64) -> Result<Self> {
        let parsed = serde_json::from_slice::<Self>(bytes);
        let manifest = parsed.map_err(|_| damaged("it is no manifest"))?;
        if manifest.length != length {
            return Err(damaged("it is of a model of another length"));
        }
        Ok(manifest)
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|e| err!(Internal, "writing the manifest: {e}; please report it"))
    }

    /// Compares every byte of the model with the digests.
    ///
    /// # Errors
    /// `SealDigest` names the part; `SealManifest`, `Cancelled`.
    pub(super) fn verify(&self, model: &[u8], monitor: &Monitor) -> Result<()> {
        let gaps = self.gaps()?;
        let all = std::iter::once(&self.metadata).chain(&self.tensors).collect::<Vec<_>>();
        all.par_iter().try_for_each(|part| {
            let range = part.offset..part.offset.saturating_add(part.length);
            check(model, [range], &part.sha256, &part.called(), monitor)
        })?;
        check(model, gaps, &self.padding, "the padding between the tensors", monitor)
    }

    /// What lies between and after the parts.
    fn gaps(&self) -> Result<Vec<Range<u64>>> {
        let (mut gaps, mut at) = (Vec::new(), 0);
        for part in std::iter::once(&self.metadata).chain(&self.tensors) {
            if part.offset < at {
                return Err(damaged("its parts are not in order"));
            }
            gaps.push(at..part.offset);
            let end = part.offset.checked_add(part.length).filter(|end| *end <= self.length);
            at = end.ok_or_else(|| damaged("a part lies outside the model"))?;
        }
        gaps.push(at..self.length);
        Ok(gaps)
    }
}

impl Part {
    fn called(&self) -> String {
        if self.name.is_empty() { "the metadata".into() } else { format!("tensor {}", self.name) }
    }
}

fn damaged(why: &str) -> Error {
    err!(SealManifest, "the manifest of the sealed file is damaged: {why}; fetch or seal it again")
}

fn check(
    model: &[u8],
    ranges: impl IntoIterator<Item = Range<u64>>,
    expected: &str,
    what: &str,
    monitor: &Monitor,
) -> Result<()> {
    let mut hash = Sha256::new();
    for range in ranges {
        let found = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let bytes = found.and_then(|(start, end)| model.get(start..end));
        for piece in bytes.ok_or_else(|| damaged("a part lies outside the model"))?.chunks(PIECE) {
            monitor.cancel().check("opening the sealed file")?;
            hash.update(piece);
        }
    }
    if hex(&hash.finalize()) != expected {
        bail!(
            SealDigest,
            "{what} of the sealed file is not what its manifest says: it was changed; fetch the file again"
        )
    }
    Ok(())
}

fn digest(
    opened: &Opened,
    ranges: impl IntoIterator<Item = Range<u64>>,
    monitor: &Monitor,
) -> Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; PIECE];
    for Range { start: mut at, end } in ranges {
        while at < end {
            monitor.cancel().check("sealing the model")?;
            let n = (end - at).min(PIECE as u64);
            let piece = buffer.get_mut(..n as usize).unwrap_or_default();
            opened.read_exact_at(piece, at)?;
            hash.update(&*piece);
            at += n;
        }
    }
    Ok(hex(&hash.finalize()))
}

/// Bytes as hexadecimal text.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
