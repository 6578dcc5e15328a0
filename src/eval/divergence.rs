//! How far one model's predictions are from another's on a text: what a quantization, or another way to compute the same
//! weights, changes.
//!
//! KL(P || Q) = sum over tokens of p (ln p - ln q), at every position of the text, where P is the reference
//! (Kullback and Leibler, 1951), from logits to sum in 64-bit floats.

use serde::Serialize;

use super::scorer::Scorer;
use crate::cancel::CancelToken;
use crate::error::{Result, bail};
use crate::job::Monitor;
use crate::model::Model;
use crate::options::{EvaluationOptions, Options};
use crate::sampling::LogProbabilities;
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
/// `InvalidOption`; `InvalidArgument` for a text of less than two tokens, and for models with vocabularies of different
/// sizes; `DoesNotFit`, `OutOfMemory`; `Unsupported` for a model that does not generate text; `Engine` where a model
/// gives numbers that are not finite; `Cancelled`.
pub fn divergence(
    reference: &Model,
    model: &Model,
    text: &str,
    options: &EvaluationOptions,
    monitor: &Monitor,
) -> Result<Divergence> {
    options.validate()?;
    let n_vocab = [reference, model].map(|m| m.info().tokenizer.n_vocab);
    if n_vocab[0] != n_vocab[1] {
        bail!(
            InvalidArgument,
            "the models know {} and {} tokens: only models with the same vocabulary can be compared",
            n_vocab[0],
            n_vocab[1]
        )
    }
    let encoding = EncodeOptions { add_special: true, ..EncodeOptions::default() };
    let tokens = Tokenizer::new(reference).encode(text, encoding)?;
    if tokens.len() < 2 {
        bail!(InvalidArgument, "the text has {} tokens; at least 2 are needed", tokens.len())
    }
    let trained = [reference, model].map(|m| m.info().n_ctx_train.max(2) as usize);
    let most = trained.into_iter().fold(WINDOW.min(tokens.len()), usize::min);
    let window = options.n_ctx.value().map_or(most, |n| usize::try_from(n).unwrap_or(most));
    let mut scorers =
        [Scorer::new(reference, options, window)?, Scorer::new(model, options, window)?];
    let mut sums = Divergence::default();
    let mut done = 0;
    for part in tokens.chunks(window.max(2)) {
        read(&mut scorers, part, monitor.cancel(), &mut sums)?;
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

/// Adds what is predicted in one window.
fn read(
    [reference, model]: &mut [Scorer; 2],
    tokens: &[i32],
    cancel: &CancelToken,
    sums: &mut Divergence,
) -> Result<()> {
    reference.clear();
    model.clear();
    // As many at a time as there are rows of logits, so that both take the same steps.
    let step = reference.rows().min(model.rows());
    let mut expected: Vec<Vec<f32>> = Vec::new();
    for (from, now) in (0..).step_by(step).zip(tokens.chunks(step)) {
        expected.clear();
        let next = |i: usize| tokens.get(from + i + 1).copied();
        reference.feed(
            now,
            |_| true,
            cancel,
            |i, p| {
                expected.push(p.all().collect());
                sums.reference_loss -= next(i).map_or(0.0, |token| p.of(token).0);
            },
        )?;
        model.feed(
            now,
            |_| true,
            cancel,
            |i, q| {
                let (Some(p), Some(token)) = (expected.get(i), next(i)) else { return };
                sums.add(p, q);
                sums.loss -= q.of(token).0;
            },
        )?;
    }
    Ok(())
}

impl Divergence {
    /// Adds one position: the reference's log-probabilities beside the model's.
    fn add(&mut self, p: &[f32], q: &LogProbabilities<'_>) {
        let (mut kl, mut best) = (0f64, (0, f32::NEG_INFINITY));
        for (token, (&p, q)) in p.iter().zip(q.all()).enumerate() {
            if p > best.1 {
                best = (token, p);
            }
            // A token that the reference forbids adds nothing.
            if p > f32::NEG_INFINITY {
                kl += f64::from(p).exp() * (f64::from(p) - f64::from(q));
            }
        }
        self.tokens += 1;
        self.kl += kl;
        self.kl_max = self.kl_max.max(kl);
        self.same_top += f64::from(u8::from(q.of(best.0 as i32).1));
    }
}
