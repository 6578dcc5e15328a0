//! Several models on the same tokens, step by step: only the logits of one step are held at once.

use super::scorer::Scorer;
use crate::cancel::CancelToken;
use crate::error::{Result, bail};
use crate::model::Model;
use crate::sampling::LogProbabilities;

/// What a model says of one position.
pub(super) struct Position<'a, 'b> {
    /// Which of the models, from 0 on; the first is the reference.
    pub model: usize,
    /// The reference's log-probabilities.
    pub expected: &'a [f32],
    /// The model's; for the reference itself the same.
    pub found: &'a LogProbabilities<'b>,
    /// The token that came.
    pub next: i32,
}

/// Reads one window from an empty context with all models. The last token predicts nothing.
pub(super) fn read(
    scorers: &mut [Scorer],
    tokens: &[i32],
    cancel: &CancelToken,
    mut visit: impl FnMut(&Position<'_, '_>),
) -> Result<()> {
    scorers.iter_mut().for_each(Scorer::clear);
    // As many at a time as there are rows of logits, so that all take the same steps.
    let step = scorers.iter().map(Scorer::rows).min().unwrap_or(1);
    let mut rows: Vec<Vec<f32>> = Vec::new();
    for (from, now) in (0..).step_by(step).zip(tokens.chunks(step)) {
        rows.clear();
        for (model, scorer) in scorers.iter_mut().enumerate() {
            let look = |i: usize, found: &LogProbabilities<'_>| {
                if model == 0 {
                    rows.push(found.all().collect());
                }
                if let (Some(expected), Some(&next)) = (rows.get(i), tokens.get(from + i + 1)) {
                    visit(&Position { model, expected, found, next });
                }
            };
            scorer.feed(now, |_| true, cancel, look)?;
        }
    }
    Ok(())
}

/// KL(P || Q) of one position, and whether both think the same token most likely.
pub(super) fn divergence(expected: &[f32], found: &LogProbabilities<'_>) -> (f64, bool) {
    let (mut kl, mut best) = (0f64, (0, f32::NEG_INFINITY));
    for (token, (&p, q)) in expected.iter().zip(found.all()).enumerate() {
        if p > best.1 {
            best = (token, p);
        }
        // A token that the reference forbids adds nothing.
        if p > f32::NEG_INFINITY {
            kl += f64::from(p).exp() * (f64::from(p) - f64::from(q));
        }
    }
    (kl, found.of(best.0 as i32).1)
}

/// Refuses models whose tokens are not the same.
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn same_vocabulary(reference: &Model, model: &Model) -> Result<()> {
    let n_vocab = [reference, model].map(|m| m.info().tokenizer.n_vocab);
    if n_vocab[0] != n_vocab[1] {
        bail!(
            InvalidArgument,
            "the models know {} and {} tokens: only models with the same vocabulary can be compared",
            n_vocab[0],
            n_vocab[1]
        )
    }
    let key = "tokenizer.ggml.tokens";
    let tokens = [reference, model].map(|m| m.files().gguf().get(key));
    if tokens[0] != tokens[1] {
        bail!(
            InvalidArgument,
            "the models know as many tokens, but not the same: only models with the same vocabulary can be compared"
        )
    }
    Ok(())
}
