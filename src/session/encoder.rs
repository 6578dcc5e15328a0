//! Models with an encoder and a decoder: the encoder reads the prompt as a whole, the decoder answers it.

use super::Session;
use super::cache::Evaluated;
use crate::cancel::CancelToken;
use crate::error::{Result, err};

impl Session {
    /// Whether an encoder reads the prompt, and the cache holds the answer alone.
    pub(super) fn has_encoder(&self) -> bool {
        self.model().raw().has_encoder()
    }

    /// Reads a prompt that fits the context, and begins its answer. A prompt that was read last is not read again.
    pub(super) fn answer(&mut self, prompt: &[i32], cancel: &CancelToken) -> Result<Evaluated> {
        let start = self.model().raw().decoder_start().or_else(|| self.tokenizer.bos());
        let start = start.ok_or_else(|| {
            err!(
                NoDecoderStart,
                "the model's file does not say with which token its decoder begins; convert it again with a current \
                 converter"
            )
        })?;
        self.forget();
        let known = self.source == prompt;
        if !known {
            self.read(prompt, cancel)?;
        }
        self.feed(&[start], cancel)?;
        let (reused, evaluated) = if known { (prompt.len(), 0) } else { (0, prompt.len()) };
        Ok(Evaluated { reused, evaluated })
    }

    /// Lets the encoder read again what another session's has read.
    pub(super) fn read_source(&mut self, source: &[i32]) -> Result<()> {
        if source.is_empty() { Ok(()) } else { self.read(source, &CancelToken::new()) }
    }

    fn read(&mut self, source: &[i32], cancel: &CancelToken) -> Result<()> {
        self.source.clear();
        self.use_threads(source.len())?;
        self.lease.encode(source, cancel)?;
        self.source.extend_from_slice(source);
        Ok(())
    }
}
