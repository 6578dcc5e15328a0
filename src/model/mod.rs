//! A model: weights shared by every session that uses it.

mod fingerprint;
mod info;
mod open;
mod parts;
mod placement;
mod pool;
mod word_pieces;

use std::sync::{Arc, OnceLock};

pub use info::{ModelInfo, QuantInfo, TokenizerInfo};
pub use parts::{PartInfo, PartType};
pub(crate) use pool::Lease;
pub(crate) use word_pieces::{SpecialPiece, WordPieces};

use crate::error::{Result, bail};
use crate::format::gguf::Value;
use crate::format::{Access, ModelFiles, Source};
use crate::ggml::{ContextParams, RawModel, Work};
use crate::options::{Accel, ModelOptions};

/// A loaded model. Cheap to clone; all clones share the weights, which are freed with the last of the
/// clones, sessions, tokenizers and adapters made from it. May be used from several threads at once.
#[derive(Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    /// Before `raw`: idle contexts are freed first.
    pool: pool::Pool,
    raw: Arc<RawModel>,
    files: ModelFiles,
    info: ModelInfo,
    options: ModelOptions,
    placement: placement::Placement,
    fingerprint: OnceLock<String>,
    special: OnceLock<Vec<String>>,
    word_pieces: OnceLock<Option<WordPieces>>,
}

impl Model {
    /// What a model file says about itself, after all checks, without loading weights.
    ///
    /// # Errors
    /// The `Gguf...` codes for a bad model; those of files for one that cannot be read.
    pub fn inspect(source: impl Into<Source>) -> Result<ModelInfo> {
        Ok(ModelInfo::read(&ModelFiles::open(&source.into(), Access::Read)?))
    }

    /// What the model's files say about it.
    pub fn info(&self) -> &ModelInfo {
        &self.0.info
    }

    /// The options it was opened with.
    pub fn options(&self) -> &ModelOptions {
        &self.0.options
    }

    /// How many layers run on a GPU; more than the model has means all of them.
    pub fn n_gpu_layers(&self) -> u32 {
        self.0.placement.n_gpu_layers.unsigned_abs()
    }

    /// A metadata value as text: scalars as written, arrays as JSON cut after 1,000 elements.
    pub fn metadata(&self, key: &str) -> Option<String> {
        self.0.files.gguf().get(key).map(info::show)
    }

    /// All metadata keys, in the file's order.
    pub fn metadata_keys(&self) -> impl Iterator<Item = &str> {
        self.0.files.gguf().kv().map(|(key, _)| key)
    }

    /// Frees the buffers that closed sessions left for the next one.
    pub fn trim(&self) {
        self.0.pool.trim();
    }

    /// A SHA-256 over metadata, tensor table and samples of every tensor's bytes, as hexadecimal text:
    /// it ties a state file to its model.
    pub(crate) fn fingerprint(&self) -> Result<&str> {
        if let Some(known) = self.0.fingerprint.get() {
            return Ok(known);
        }
        let computed = fingerprint::fingerprint(&self.0.files)?;
        Ok(self.0.fingerprint.get_or_init(|| computed))
    }

    /// The texts of control tokens, which user text must not inject.
    pub(crate) fn special_texts(&self) -> &[String] {
        self.0.special.get_or_init(|| {
            let vocab = self.0.raw.vocab();
            if !vocab.exists() {
                return Vec::new();
            }
            (0..vocab.len() as i32)
                .filter(|&id| vocab.attributes(id).is_ok_and(|a| a.control || a.unknown))
                .filter_map(|id| vocab.text(id).ok())
                .filter(|text| !text.is_empty())
                .collect()
        })
    }

    pub(crate) fn raw(&self) -> &Arc<RawModel> {
        &self.0.raw
    }

    /// Whether the library's own kernels may be used.
    pub(crate) fn wants_kernels(&self) -> bool {
        self.0.options.accel == Accel::Auto
    }

    /// The vocabulary, if it is WordPiece's.
    pub(crate) fn word_pieces(&self) -> Option<&WordPieces> {
        self.0.word_pieces.get_or_init(|| WordPieces::of(self)).as_ref()
    }

    pub(crate) fn files(&self) -> &ModelFiles {
        &self.0.files
    }

    /// Whether a token sees only those before it: by the file, or by the architecture's default.
    pub(crate) fn is_causal(&self) -> bool {
        let arch = &self.info().architecture;
        let said = self.files().gguf().get(&format!("{arch}.attention.causal"));
        said.and_then(Value::as_bool) != Some(false)
    }

    /// The error `WrongState` for a model without weights.
    pub(crate) fn check_weights(&self) -> Result<()> {
        if self.0.options.vocab_only {
            bail!(
                WrongState,
                "the model was opened with vocab_only=true: it has no weights; open it without"
            )
        }
        Ok(())
    }

    /// A context of the pool, or a new one if `fits` agrees; it goes to the pool when the lease is dropped.
    pub(crate) fn lease(
        &self,
        params: &ContextParams,
        fits: impl FnOnce() -> Result<()>,
    ) -> Result<Lease> {
        self.check_weights()?;
        self.check_work(params.work)?;
        pool::lease(self, params, fits)
    }

    /// The error `Unsupported` for what the architecture cannot do.
    pub(crate) fn check_work(&self, work: Work) -> Result<()> {
        let able = match work {
            Work::Decode => self.0.raw.is_generative(),
            Work::EncodeDecode => self.0.raw.is_encoder_decoder(),
            Work::Embed { .. } => true,
        };
        if !able {
            bail!(
                Unsupported,
                "the architecture {:?} does not continue a text token by token; use a decoder-only model",
                self.0.info.architecture
            )
        }
        Ok(())
    }

    fn pool(&self) -> &pool::Pool {
        &self.0.pool
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("info", &self.0.info).finish_non_exhaustive()
    }
}
