//! Sampling: from a row of logits to the next token.
//!
//! The samplers run in llama.cpp's default order: logit bias, penalties, DRY, top-k, typical, top-p, min-p, XTC,
//! temperature, then one draw. Temperature 0 is greedy: the largest logit after bias, penalties and DRY, the lowest id
//! among equals. Mirostat replaces everything between DRY and the draw but the temperature. At boundaries, llama.cpp's
//! conventions hold (top-p: sum >= p; typical: sum > p; min-p: logit >= max + ln p; XTC: p >= threshold); where it
//! leaves ties open, the lower id ranks first. A logit of -inf forbids its token.
//!
//! It is our own code, not the engine's samplers, because a session's state file must continue it bit by bit, because
//! the same seed must give the same tokens everywhere, and because nothing in it can throw, abort or panic.

mod breakers;
mod candidates;
mod chain;
mod dry;
mod logprobs;
mod math;
mod mirostat;
mod parameters;
mod penalties;
mod truncate;
mod xtc;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod testing;

pub use chain::{Sampler, SamplerState};
pub(crate) use logprobs::LogProbabilities;
pub use logprobs::{Probabilities, TokenLogprob};

use crate::error::Result;

/// What a sampler needs to know of a tokenizer. Only `dry_sequence_breakers` look at texts.
pub trait VocabularyView {
    /// The number of tokens: the length of a row of logits.
    fn n_vocab(&self) -> usize;

    /// The bytes that a token stands for, special tokens as their text; empty for an id outside the vocabulary.
    fn token_bytes(&self, token: i32) -> Vec<u8>;

    /// The tokens of a text, without special tokens added or recognised.
    ///
    /// # Errors
    /// Whatever keeps the tokenizer from encoding.
    fn encode(&self, text: &str) -> Result<Vec<i32>>;
}
