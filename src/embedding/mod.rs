//! Texts as vectors: near in meaning, near in direction.
//!
//! ```text
//! texts -> tokens with what the model wants around them -> batches of whole texts -> pooled vectors -> Embeddings
//! ```

mod batches;
mod text;
mod vectors;

use crate::error::{Result, bail};
use crate::format::NO_POOLING;
use crate::format::gguf::Value;
use crate::ggml::{Pooling, Work};
use crate::job::Monitor;
use crate::model::{Lease, Model};
use crate::options::{Auto, EmbeddingOptions, Options, PoolingType, SessionOptions};
use crate::plan;

pub use vectors::Embeddings;

use vectors::Finish;

/// Texts that share a batch at most.
const TEXTS: u32 = 32;
/// Contexts are made for a multiple of this, so that the next call finds one that fits.
const STEP: u32 = 256;

impl Model {
    /// The vectors of texts, in their order: one for each, or with `pooling=none` one for each token.
    ///
    /// # Errors
    /// `EmbeddingTooLong` names a text that is longer than the model reads at once; `EmbeddingPooling` if the file does
    /// not say how to pool; `EmbeddingDimensions`; `EmptyPrompt` names a text without tokens; `InvalidOption`;
    /// `NoTokenizer`; `WrongState` for `vocab_only` models; `DoesNotFit`, `OutOfMemory`; `Engine` where the model gives
    /// numbers that are not finite.
    pub fn embed(
        &self,
        texts: &[impl AsRef<str>],
        options: &EmbeddingOptions,
    ) -> Result<Embeddings> {
        self.embed_with(texts, options, &Monitor::default())
    }

    /// As [`embed`](Self::embed), reporting progress to `monitor`, and `Cancelled` when its token is triggered.
    pub fn embed_with(
        &self,
        texts: &[impl AsRef<str>],
        options: &EmbeddingOptions,
        monitor: &Monitor,
    ) -> Result<Embeddings> {
        options.validate()?;
        self.check_weights()?;
        let pooling = pooling(self, options.pooling)?;
        let width = self.raw().n_embd_out();
        let finish = Finish::new(width, options)?;
        let mut found = Embeddings::new(finish.width(), texts.len());
        let texts = text::encode(self, texts, options.truncate, monitor.cancel())?;
        let Some(longest) = texts.iter().map(Vec::len).max() else { return Ok(found) };
        let mut lease = lease(self, pooling, longest, options)?;
        let (n_texts, n_tokens) = (lease.n_texts(), lease.n_ubatch() as usize);
        let mut done = 0;
        for batch in batches::of(&texts, n_texts, n_tokens) {
            let batch: Vec<&[i32]> = batch.iter().map(Vec::as_slice).collect();
            lease.embed(&batch, monitor.cancel())?;
            let mut token = 0;
            for (i, text) in batch.iter().enumerate() {
                if pooling == Pooling::None {
                    for at in token..token + text.len() {
                        found.push(&finish, lease.token_vector(at)?)?;
                    }
                } else {
                    found.push(&finish, lease.pooled(i)?)?;
                }
                token += text.len();
                found.end_text();
            }
            done += batch.len();
            monitor.report(done as f32 / texts.len() as f32);
        }
        // No text of this call stays for the next one.
        lease.clear(true);
        Ok(found)
    }

    /// Tokens of a text that the model reads at once, with those that it wants around it.
    pub fn embedding_length(&self) -> usize {
        let positions = self.files().tensor("position_embd.weight");
        let positions = positions.and_then(|(_, table)| table.dims.get(1).copied());
        let trained = u64::from(self.info().n_ctx_train);
        usize::try_from(positions.map_or(trained, |n| n.min(trained))).unwrap_or(usize::MAX)
    }
}

/// How to pool: as the option says, else as the file does.
fn pooling(model: &Model, option: PoolingType) -> Result<Pooling> {
    let said = match option {
        PoolingType::Mean => return Ok(Pooling::Mean),
        PoolingType::Cls => return Ok(Pooling::Cls),
        PoolingType::Last => return Ok(Pooling::Last),
        PoolingType::None => return Ok(Pooling::None),
        PoolingType::Auto => {
            let arch = &model.info().architecture;
            let said = model.files().gguf().get(&format!("{arch}.pooling_type"));
            said.and_then(Value::as_u64).filter(|said| *said != u64::from(NO_POOLING))
        }
    };
    // The numbers of model files, which are the engine's.
    match said {
        Some(0) => Ok(Pooling::None),
        Some(1) => Ok(Pooling::Mean),
        Some(2) => Ok(Pooling::Cls),
        Some(3) => Ok(Pooling::Last),
        Some(_) => bail!(
            EmbeddingPooling,
            "the model was made to rank a text against a query, not to embed it; set pooling to use its vectors all \
             the same"
        ),
        None if model.raw().has_encoder() || !model.is_causal() => Ok(Pooling::Mean),
        None => bail!(
            EmbeddingPooling,
            "the model's file does not say how a text's vectors become one: it was not made for embeddings; set \
             pooling=last or pooling=mean to use it all the same"
        ),
    }
}

/// A context that holds the longest text, and several shorter ones.
fn lease(
    model: &Model,
    pooling: Pooling,
    longest: usize,
    options: &EmbeddingOptions,
) -> Result<Lease> {
    let longest = u32::try_from(longest).unwrap_or(u32::MAX);
    let wanted = (options.n_ubatch as u32).max(longest.saturating_add(STEP - 1) / STEP * STEP);
    // A recurrent state is that of one text.
    let n_texts = if model.raw().is_recurrent() { 1 } else { TEXTS };
    let params = plan::embedding_params(pooling, n_texts, wanted, options.flash_attn);
    let session = SessionOptions {
        n_ctx: Auto::Value(wanted.into()),
        n_ubatch: wanted.into(),
        n_threads: options.n_threads,
        flash_attn: options.flash_attn,
        ..SessionOptions::default()
    };
    debug_assert!(matches!(params.work, Work::Embed { .. }));
    let mut lease = model.lease(&params, || plan::ensure_fits(model, &session, &params))?;
    lease.set_threads(plan::n_threads(options.n_threads))?;
    Ok(lease)
}
