//! A sealed tiny model, and where its parts lie.
#![allow(dead_code, reason = "each test program uses its own part of this module")]

use std::ops::Range;
use std::path::PathBuf;

use nestling::error::Error;
use nestling::format::gguf::{GgmlType, Writer};
use nestling::format::sealed::{public_key, seal};
use nestling::format::{Access, ModelFiles, Source};
use nestling::job::Monitor;
use nestling::model::Model;
use nestling::options::{ModelOptions, SealOptions, Secret};
use sha2::{Digest as _, Sha256};

use super::support::{Family, Tiny};

pub fn key() -> Secret {
    Secret::new(&[3; 32]).unwrap()
}

pub fn sign_key() -> Secret {
    Secret::new(&[5; 32]).unwrap()
}

pub fn public(sign_key: &Secret) -> Secret {
    Secret::new(&public_key(sign_key).unwrap()).unwrap()
}

pub struct Made {
    pub folder: tempfile::TempDir,
    pub model: PathBuf,
    pub sealed: PathBuf,
    pub bytes: Vec<u8>,
    pub seal: SealOptions,
}

impl Made {
    pub fn new(encrypted: bool, signed: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = Tiny::new(Family::Llama).write(folder.path());
        let sealed = folder.path().join("model.nest");
        let size = std::fs::metadata(&model).unwrap().len() as i64;
        let mut o = SealOptions { chunk_size: (size / 6).max(4096), ..SealOptions::default() };
        if encrypted {
            o.key = key();
        }
        if signed {
            o.sign_key = sign_key();
        }
        let report = seal(&model, &sealed, &o, &Monitor::default()).unwrap();
        let bytes = std::fs::read(&sealed).unwrap();
        assert_eq!(report.bytes, bytes.len() as u64);
        assert_eq!((report.encrypted, report.signed), (encrypted, signed));
        Self { folder, model, sealed, bytes, seal: o }
    }

    /// The keys that open it, and nothing else.
    pub fn options(&self) -> ModelOptions {
        let public_key = match self.seal.sign_key.is_set() {
            true => public(&self.seal.sign_key),
            false => Secret::none(),
        };
        ModelOptions { key: self.seal.key.clone(), public_key, ..ModelOptions::default() }
    }

    /// The error of opening these bytes with the right keys.
    pub fn open(&self, bytes: &[u8]) -> Error {
        let o = self.options();
        self.refused(bytes, &o.key, &o.public_key)
    }

    pub fn refused(&self, bytes: &[u8], key: &Secret, public_key: &Secret) -> Error {
        let source = Source::memory(bytes).with_keys(key, public_key);
        ModelFiles::open(&source, Access::Map).map(|_| ()).unwrap_err()
    }

    /// The error of one flipped bit.
    pub fn flipped(&self, at: usize) -> Error {
        let mut bytes = self.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        self.open(&bytes)
    }
}

/// Where the parts of a sealed file lie, read independently of the library.
pub struct Layout {
    pub manifest: Range<usize>,
    pub signature: Range<usize>,
    pub payload: usize,
    pub chunks: Vec<Range<usize>>,
}

impl Layout {
    pub fn of(bytes: &[u8]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        let (encrypted, signed) = (bytes[12] & 1 == 1, bytes[12] & 2 == 2);
        let manifest = 128..128 + u64_at(32);
        let payload = manifest.end + if signed { 96 } else { 0 };
        let stored = u32_at(16) + if encrypted { 16 } else { 0 };
        let starts = (payload..bytes.len()).step_by(stored);
        let chunks = starts.map(|start| start..(start + stored).min(bytes.len())).collect();
        Self { signature: manifest.end..payload, manifest, payload, chunks }
    }
}

/// Makes the header's checksum right again.
pub fn sum(bytes: &mut [u8]) {
    let sum = Sha256::digest(&bytes[..104]);
    bytes[104..128].copy_from_slice(&sum[..24]);
}

/// Lets the header say that the model is shorter.
pub fn shorten(bytes: &mut [u8], by: u64) {
    let length = u64::from_le_bytes(bytes[24..32].try_into().unwrap()) - by;
    bytes[24..32].copy_from_slice(&length.to_le_bytes());
    sum(bytes);
}

/// A small adapter for the model.
pub fn adapter(model: &Model) -> Vec<u8> {
    let n = u64::from(model.info().n_embd);
    let mut w = Writer::new();
    w.set("general.type", "adapter".to_owned());
    w.set("adapter.type", "lora".to_owned());
    w.set("general.architecture", model.info().architecture.clone());
    w.set("adapter.lora.alpha", 4f32);
    let zeros = vec![0u8; n as usize * 2 * 4];
    w.tensor("blk.0.attn_output.weight.lora_a", &[n, 2], GgmlType::F32, zeros.clone());
    w.tensor("blk.0.attn_output.weight.lora_b", &[2, n], GgmlType::F32, zeros);
    w.to_bytes().unwrap()
}
