//! What a context is made for: to continue a text, to answer one, or to turn texts into vectors.

use std::ptr::null_mut;

use llama_cpp_sys_2 as sys;

use super::context::{Call, RawContext};
use super::shim;
use crate::cancel::CancelToken;
use crate::error::{Result, bail};

/// What a context is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Tokens one after the other.
    Decode,
    /// A text is encoded as a whole; tokens that answer it follow one after the other.
    EncodeDecode,
    /// Vectors of so many texts at a time.
    Embed { pooling: Pooling, n_texts: u32 },
}

/// How the vectors of a text's tokens become one. The numbers are the engine's, and those of model files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// Not at all: one vector for each token.
    None = 0,
    Mean = 1,
    /// That of the first token.
    Cls = 2,
    /// That of the last token.
    Last = 3,
}

impl Work {
    pub(super) fn n_sequences(self) -> u32 {
        match self {
            Work::Embed { n_texts, .. } => n_texts.clamp(1, Self::MAX_TEXTS),
            Work::Decode | Work::EncodeDecode => 1,
        }
    }

    /// A model's own pooling must not touch what its encoder hands to its decoder.
    pub(super) fn pooling_type(self) -> sys::llama_pooling_type {
        match self {
            Work::Embed { pooling, .. } => pooling as sys::llama_pooling_type,
            Work::Decode | Work::EncodeDecode => Pooling::None as sys::llama_pooling_type,
        }
    }

    /// The engine's bound on sequences.
    const MAX_TEXTS: u32 = 256;
}

impl RawContext {
    /// Some models keep no cache: they read a text as a whole and cannot continue it.
    pub(super) fn check_work(&self, work: Work) -> Result<()> {
        // SAFETY: the context is valid; the call only reads.
        let cached = unsafe { !sys::llama_get_memory(self.as_ptr()).is_null() };
        if !cached && !matches!(work, Work::Embed { .. }) {
            bail!(
                Unsupported,
                "this model reads a text as a whole and cannot continue one; use it for embeddings"
            )
        }
        Ok(())
    }

    /// Lets the encoder read a text, for the decoding that follows.
    pub(crate) fn encode(&mut self, tokens: &[i32], cancel: &CancelToken) -> Result<()> {
        if !self.model().has_encoder() {
            bail!(Internal, "encoding with a model that has no encoder")
        }
        self.check_texts(&[tokens])?;
        cancel.check("encoding the prompt")?;
        self.batch.fill_texts(&[tokens]);
        self.submit(Call::Encode, cancel)
    }

    /// Evaluates whole texts, each on its own, so that their vectors can be read: at most as many texts as the context
    /// was made for, and `n_ubatch` tokens in all.
    pub(crate) fn embed(&mut self, texts: &[&[i32]], cancel: &CancelToken) -> Result<()> {
        self.check_texts(texts)?;
        cancel.check("embedding texts")?;
        self.clear(false);
        self.batch.fill_texts(texts);
        let call = if self.model().has_encoder() { Call::Encode } else { Call::Decode };
        self.submit(call, cancel)
    }

    fn check_texts(&self, texts: &[&[i32]]) -> Result<()> {
        let n_tokens: usize = texts.iter().map(|t| t.len()).sum();
        if texts.is_empty() || texts.iter().any(|t| t.is_empty()) {
            bail!(Internal, "a batch of texts without tokens")
        }
        if texts.len() > self.n_texts() || n_tokens > self.n_ubatch() as usize {
            bail!(
                Internal,
                "a batch of {} texts with {n_tokens} tokens, of at most {} with {}",
                texts.len(),
                self.n_sequences,
                self.n_ubatch()
            )
        }
        texts.iter().try_for_each(|tokens| self.check_ids(tokens))
    }

    /// Texts per batch at most.
    pub(crate) fn n_texts(&self) -> usize {
        self.n_sequences as usize
    }

    /// The pooled vector of a text of the last batch.
    pub(crate) fn pooled(&mut self, text: usize) -> Result<&[f32]> {
        let mut data = null_mut();
        shim::call("reading embeddings", |why| {
            // SAFETY: the context is valid; for a sequence without a vector it gives null.
            unsafe { shim::nestling_shim_pooled(self.as_ptr(), text as i32, &mut data, why) }
        })?;
        self.vector(data)
    }

    /// The vector of a token of the last batch, counted over its texts.
    pub(crate) fn token_vector(&mut self, index: usize) -> Result<&[f32]> {
        if !self.batch.has_output(index) {
            bail!(Internal, "the vector of token {index}, which was not evaluated")
        }
        let mut data = null_mut();
        shim::call("reading embeddings", |why| {
            // SAFETY: the context is valid; without vectors it gives null.
            unsafe { shim::nestling_shim_token_vector(self.as_ptr(), index as i32, &mut data, why) }
        })?;
        self.vector(data)
    }

    fn vector(&self, data: *mut f32) -> Result<&[f32]> {
        if data.is_null() {
            bail!(Engine, "the engine gave no vector for a text; the model gives no embeddings")
        }
        // SAFETY: not null, so the engine holds a vector of the model's output width there until the next batch, which
        // needs `&mut self`.
        Ok(unsafe { std::slice::from_raw_parts(data, self.model().n_embd_out()) })
    }
}
