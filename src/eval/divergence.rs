//! How far one model's predictions are from another's on a text: what a quantization, or another way to compute the same
//! weights, changes.
//!
//! KL(P || Q) = sum over tokens of p (ln p - ln q), at every position of the text, where P is the reference
//! (Kullback and Leibler, 1951), from logits to sum in 64-bit floats.

use serde::Serialize;

use super::scorer::Scorer;
use super::side_by_side::{Position, divergence as position, read, same_vocabulary};
use crate::error::{Result, bail};
use crate::job::Monitor;
use crate::model::Model;
use crate::options::{EvaluationOptions, Options};
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// Tokens that are read in one context at most, where the options do not say.
const WINDOW: usize = 2048;

/// What two models make of the same text.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Divergence {
    /// Positions at which the next token was predicted.
    pub tokens: u64,
    /// Mean of KL(reference || model), in nats.
    pub kl: f64,
    /// The largest KL of one position.
    pub kl_max: f64,
    /// Share of the positions at which both think the same token most likely.
    pub same_top: f64,
    /// Mean of -ln p of the tokens that came, by the reference.
    pub reference_loss: f64,
    /// The same by the model.
    pub loss: f64,
}

/// Compares what two models with the same vocabulary predict after each token of a text. The text is read in windows of
/// `n_ctx` tokens: 2048 or what both models allow where the options do not say.
///
/// # Errors
/// `InvalidOption`; `TextTooShort`; `InvalidArgument` for models with different vocabularies; `DoesNotFit`, `OutOfMemory`; `Unsupported` for a model that does not generate text; `Engine` where a model
/// gives numbers that are not finite; `Cancelled`.
pub fn divergence(
    reference: &Model,
    model: &Model,
    text: &str,
    options: &EvaluationOptions,
    monitor: &Monitor,
) -> Result<Divergence> {
    options.validate()?;
    same_vocabulary(reference, model)?;
    let encoding = EncodeOptions { add_special: true, ..EncodeOptions::default() };
    let tokens = Tokenizer::new(reference).encode(text, encoding)?;
    if tokens.len() < 2 {
        bail!(TextTooShort, "the text has {} tokens; give a text of 2 or more", tokens.len())
    }
    let trained = [reference, model].map(|m| m.info().n_ctx_train.max(2) as usize);
    let most = trained.into_iter().fold(WINDOW.min(tokens.len()), usize::min);
    let window = options.n_ctx.value().map_or(most, |n| usize::try_from(n).unwrap_or(most));
    let mut scorers =
        [Scorer::new(reference, options, window)?, Scorer::new(model, options, window)?];
    let mut sums = Divergence::default();
    let mut done = 0;
    for part in tokens.chunks(window.max(2)) {
        read(&mut scorers, part, monitor.cancel(), |at| sums.add(at))?;
        done += part.len();
        monitor.report(done as f32 / tokens.len() as f32);
    }
    let n = sums.tokens.max(1) as f64;
    Ok(Divergence {
        kl: sums.kl / n,
        same_top: sums.same_top / n,
        reference_loss: sums.reference_loss / n,
        loss: sums.loss / n,
        ..sums
    })
}

impl Divergence {
    fn add(&mut self, at: &Position<'_, '_>) {
        let loss = -at.found.of(at.next).0;
        if at.model == 0 {
            self.reference_loss += loss;
            return;
        }
        let (kl, same) = position(at.expected, at.found);
        self.tokens += 1;
        self.loss += loss;
        self.kl += kl;
        self.kl_max = self.kl_max.max(kl);
        self.same_top += f64::from(u8::from(same));
    }
}
