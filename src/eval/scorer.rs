//! A context that gives the probabilities behind every token asked for.

use crate::adapter::Adapter;
use crate::cancel::CancelToken;
use crate::error::{Result, bail};
use crate::ggml::Work;
use crate::model::{Lease, Model};
use crate::options::{Auto, EvaluationOptions, SessionOptions};
use crate::plan;
use crate::sampling::LogProbabilities;

/// Bytes of logits at a time; the engine holds them twice. Vocabularies are large: this is 64 rows of Gemma's.
const LOGITS_BYTES: u32 = 64 << 20;

/// One sequence of tokens in an engine's context.
pub(super) struct Scorer {
    lease: Lease,
    /// Tokens that the cache holds.
    held: usize,
}

impl Scorer {
    pub(super) fn new(model: &Model, options: &EvaluationOptions, n_ctx: usize) -> Result<Self> {
        let session = SessionOptions {
            n_ctx: Auto::Value(n_ctx as i64),
            n_ubatch: options.n_ubatch,
            n_threads: options.n_threads,
            kv_type: options.kv_type,
            flash_attn: options.flash_attn,
            ..SessionOptions::default()
        };
        let mut params = plan::context_params(model, &session)?;
        // An answer is not a text's continuation where an encoder reads the text.
        params.work = Work::Decode;
        let row = 4 * model.info().tokenizer.n_vocab.max(1);
        params.n_outputs = (LOGITS_BYTES / row).clamp(1, params.n_ubatch.max(1));
        let mut lease = model.lease(&params, || plan::ensure_fits(model, &session, &params))?;
        lease.set_threads(plan::n_threads(options.n_threads))?;
        Ok(Self { lease, held: 0 })
    }

    /// Uses these adapters from now on, and forgets all tokens.
    pub(super) fn set_adapters(&mut self, adapters: &[(Adapter, f32)]) -> Result<()> {
        if let Some((_, scale)) = adapters.iter().find(|(_, s)| !s.is_finite()) {
            bail!(InvalidArgument, "an adapter's scale is {scale}; give a finite number, usually 1")
        }
        let raw: Vec<_> = adapters.iter().map(|(a, s)| (a.raw().clone(), *s)).collect();
        self.lease.set_adapters(&raw)?;
        self.clear();
        Ok(())
    }

    /// Forgets all tokens.
    pub(super) fn clear(&mut self) {
        self.lease.clear(false);
        self.held = 0;
    }

    /// Forgets the tokens behind the first `len`. False where the model cannot go back: then it has forgotten all.
    pub(super) fn rewind(&mut self, len: usize) -> Result<bool> {
        if len == self.held {
            return Ok(true);
        }
        let can = !self.lease.model().raw().is_recurrent();
        if !(can && self.lease.truncate(len as i32)?) {
            self.clear();
            return Ok(false);
        }
        self.held = len;
        Ok(true)
    }

    /// Evaluates tokens behind those that are held. `visit` gets the probabilities of what follows each token that
    /// `wanted` names by its index.
    ///
    /// # Errors
    /// `Engine` for logits that are not finite; `ContextFull`; `Cancelled`.
    pub(super) fn feed(
        &mut self,
        tokens: &[i32],
        wanted: impl Fn(usize) -> bool,
        cancel: &CancelToken,
        mut visit: impl FnMut(usize, &LogProbabilities<'_>),
    ) -> Result<()> {
        let mut done = 0;
        while let Some(rest) = tokens.get(done..).filter(|rest| !rest.is_empty()) {
            let n = self.batch(rest.len(), |i| wanted(done + i));
            let now = rest.get(..n).unwrap_or(rest);
            let start = i32::try_from(self.held).unwrap_or(i32::MAX);
            self.lease.decode_for(now, start, |i| wanted(done + i), cancel)?;
            self.held += n;
            for i in (0..n).filter(|i| wanted(done + i)) {
                visit(done + i, &LogProbabilities::new(self.lease.logits_at(i)?)?);
            }
            done += n;
        }
        Ok(())
    }

    /// After how many tokens at a time all probabilities can be had in one batch.
    pub(super) fn rows(&self) -> usize {
        self.lease.n_outputs().min(self.lease.n_ubatch()).max(1) as usize
    }

    /// How many of the next tokens go into one batch: as many as it may have tokens and rows of logits.
    fn batch(&self, len: usize, wanted: impl Fn(usize) -> bool) -> usize {
        let most = len.min(self.lease.n_ubatch().max(1) as usize);
        let rows = self.lease.n_outputs().max(1) as usize;
        let beyond = (0..most).filter(|&i| wanted(i)).nth(rows);
        beyond.unwrap_or(most)
    }
}
