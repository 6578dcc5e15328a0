//! A model's identity: metadata, tensor table and samples of the weights, hashed.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::format::ModelFiles;

/// Bytes taken from the start, the middle and the end of every tensor.
const SAMPLE: usize = 64;

/// SHA-256, as hexadecimal text.
pub(super) fn fingerprint(files: &ModelFiles) -> Result<String> {
    let mut hash = Sha256::new();
    for (key, value) in files.gguf().kv() {
        field(&mut hash, key.as_bytes());
        field(&mut hash, &(value.value_type() as u32).to_le_bytes());
        match value.as_array() {
            Some(array) => field(&mut hash, array.bytes()),
            None => field(&mut hash, super::info::show(value).as_bytes()),
        }
    }
    for part in files.parts() {
        for tensor in part.gguf().tensors() {
            field(&mut hash, tensor.name.as_bytes());
            for dim in &tensor.dims {
                hash.update(dim.to_le_bytes());
            }
            hash.update((tensor.ggml_type as u32).to_le_bytes());
            let take = tensor.n_bytes.min(SAMPLE as u64);
            let last = tensor.n_bytes - take;
            for at in [0, last / 2, last] {
                let mut sample = [0u8; SAMPLE];
                let sample = sample.get_mut(..take as usize).unwrap_or_default();
                part.gguf().opened().read_exact_at(sample, tensor.offset + at)?;
                hash.update(sample);
            }
        }
    }
    Ok(hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    }))
}

/// A field with its length, so that two different lists never hash alike.
fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}
