//! LoRA adapters: small weights that change what a model says, attached to sessions. Their files are converted from and
//! to those of PEFT, averaged, and merged into models.

mod average;
mod base;
mod convert;
mod fit;
mod gguf;
mod inspect;
mod lora;
mod low_rank;
mod merge;
mod names;
mod peft;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{Result, bail};
use crate::format::{AdapterFile, Part, Source};
use crate::ggml::{Input, RawAdapter};
use crate::model::Model;

pub use average::average;
pub use convert::{Converted, convert};
pub(crate) use fit::check_fit;
use fit::target;
pub use inspect::{Summary, TargetSummary, inspect};
pub use merge::{Merged, merge};

/// A LoRA adapter, loaded for one model. Cheap to clone; may be used by several sessions at once.
#[derive(Clone)]
pub struct Adapter {
    raw: Arc<RawAdapter>,
    info: Arc<AdapterInfo>,
}

/// What an adapter is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterInfo {
    /// Its name (`general.name`), perhaps empty.
    pub name: String,
    /// The architecture of the models that it is for.
    pub architecture: String,
    /// The inner width of its pairs; the largest, where they differ.
    pub rank: u64,
    /// The scale before division by the rank; 0 stands for the scale 1.
    pub alpha: f32,
    /// What B (A x) is multiplied by, before the scale with which it is attached.
    pub scale: f32,
    /// The weights that it changes, without their layers: `attn_q`, `ffn_up`, ...
    pub targets: Vec<String>,
    /// How many weights it changes.
    pub n_pairs: u64,
    /// The numbers in its pairs.
    pub n_parameters: u64,
    /// The bytes of its pairs.
    pub bytes: u64,
    /// The SHA-256 of its file, as hexadecimal text: what a cached prefix and a state file were made with.
    pub digest: String,
}

impl Adapter {
    /// Loads an adapter (GGUF LoRA) for `model`, after checking its file.
    ///
    /// # Errors
    /// `AdapterFormat` and `Gguf...` for a bad file, `AdapterMismatch` for one made for another
    /// architecture or shape, `WrongState` for a `vocab_only` model.
    pub fn open(model: &Model, source: impl Into<Source>) -> Result<Self> {
        model.check_weights()?;
        let file = AdapterFile::open(&source.into())?;
        let weight = |name: &str| model.files().tensor(name).map(|(_, tensor)| tensor);
        check_fit(&file, &model.info().architecture, weight)?;
        let part = file.part();
        let memory = part.memory();
        let input = match (memory, part.file()) {
            (Some(bytes), _) => Input::Memory(bytes),
            (None, Some(file)) => Input::File { file, offset: part.offset() },
            (None, None) => bail!(Internal, "an adapter is neither a file nor in memory"),
        };
        let raw = RawAdapter::load(model.raw(), &input)?;
        Ok(Self { raw: Arc::new(raw), info: Arc::new(AdapterInfo::read(&file)?) })
    }

    /// The SHA-256 of the adapter's file, as hexadecimal text.
    pub fn digest(&self) -> &str {
        &self.info.digest
    }

    /// What it is.
    pub fn info(&self) -> &AdapterInfo {
        &self.info
    }

    pub(crate) fn raw(&self) -> &Arc<RawAdapter> {
        &self.raw
    }
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter").field("digest", &self.info.digest).finish_non_exhaustive()
    }
}

impl AdapterInfo {
    fn read(file: &AdapterFile) -> Result<Self> {
        let mut targets = BTreeSet::new();
        let (mut rank, mut n_pairs, mut n_parameters, mut bytes) = (0, 0, 0, 0);
        for (weight, a, b) in file.pairs() {
            targets.insert(target(weight));
            rank = rank.max(b.dims.first().copied().unwrap_or(0));
            n_pairs += 1;
            n_parameters += a.n_elements() + b.n_elements();
            bytes += a.n_bytes + b.n_bytes;
        }
        let alpha = file.alpha();
        Ok(Self {
            // A name that is no text is no reason to refuse the adapter.
            name: file.gguf().str("general.name").ok().flatten().unwrap_or_default().to_owned(),
            architecture: file.arch().to_owned(),
            rank,
            alpha,
            scale: if alpha == 0.0 { 1.0 } else { alpha / rank as f32 },
            targets: targets.into_iter().map(str::to_owned).collect(),
            n_pairs,
            n_parameters,
            bytes,
            digest: digest(file.part())?,
        })
    }
}

/// SHA-256 of the file's bytes, as hexadecimal text.
fn digest(part: &Part) -> Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    let mut at = 0;
    while at < part.length() {
        let n = (part.length() - at).min(buffer.len() as u64);
        let chunk = buffer.get_mut(..n as usize).unwrap_or_default();
        part.gguf().opened().read_exact_at(chunk, at)?;
        hash.update(chunk);
        at += n;
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
