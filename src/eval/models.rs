//! Several files of the same model, such as quantizations, by numbers: how large each is, and how far its predictions are
//! from a reference's.

use std::time::Instant;

use super::model_report::{ModelComparison, Tally};
use super::scorer::Scorer;
use super::side_by_side::{Position, read, same_vocabulary};
use crate::error::{Context, Result, bail};
use crate::job::Monitor;
use crate::model::Model;
use crate::options::{Auto, CompareOptions, EvaluationOptions, Options};
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// Tokens of a window at most, where the options do not say.
const WINDOW: usize = 2048;

/// Measures models with the same vocabulary on a text; the first is the reference. The text is read in windows, each of
/// which begins as a text of its own, with all models side by side.
///
/// # Errors
/// `InvalidOption`; `InvalidArgument` without a model and for models with other vocabularies; `TextTooShort`; `DoesNotFit`,
/// `OutOfMemory`; `Unsupported` for a model that does not generate text; `Engine` where a model gives numbers that are not
/// finite; `Cancelled`.
pub fn compare_models(
    models: &[Model],
    text: &str,
    options: &CompareOptions,
    monitor: &Monitor,
) -> Result<ModelComparison> {
    let begin = Instant::now();
    options.validate()?;
    let Some(reference) = models.first() else {
        bail!(InvalidArgument, "there is no model to measure; give one or more")
    };
    for model in models {
        same_vocabulary(reference, model).context(name(model))?;
    }
    let n_ctx = window(models, options);
    let windows = windows(reference, text, n_ctx, options)?;
    let how = EvaluationOptions {
        n_ubatch: options.n_ubatch,
        n_threads: options.n_threads,
        kv_type: options.kv_type,
        flash_attn: options.flash_attn,
        ..EvaluationOptions::default()
    };
    let scorer = |model| Scorer::new(model, &how, n_ctx).context(name(model));
    let mut scorers = models.iter().map(scorer).collect::<Result<Vec<_>>>()?;
    let mut tallies = vec![Tally::default(); models.len()];
    for (i, tokens) in windows.iter().enumerate() {
        read(&mut scorers, tokens, monitor.cancel(), |at: &Position<'_, '_>| {
            tallies.get_mut(at.model).into_iter().for_each(|tally| tally.add(at));
        })?;
        monitor.report((i + 1) as f32 / windows.len() as f32);
    }
    let compared = models.iter().zip(&mut tallies).map(|(model, tally)| tally.compared(model));
    Ok(ModelComparison {
        models: compared.collect(),
        n_ctx: n_ctx as u64,
        windows: windows.len() as u64,
        seconds: begin.elapsed().as_secs_f64(),
    })
}

/// A model's file, for messages.
fn name(model: &Model) -> String {
    let path = model.files().parts().first().and_then(|part| part.path());
    path.map_or_else(|| "a model from memory".to_owned(), |path| path.display().to_string())
}

fn window(models: &[Model], options: &CompareOptions) -> usize {
    let trained = models.iter().map(|m| m.info().n_ctx_train.max(8) as usize);
    match options.n_ctx {
        Auto::Auto => trained.fold(WINDOW, usize::min),
        Auto::Value(n) => usize::try_from(n).unwrap_or(usize::MAX),
    }
}

/// The text's tokens, window by window.
fn windows(
    model: &Model,
    text: &str,
    n_ctx: usize,
    options: &CompareOptions,
) -> Result<Vec<Vec<i32>>> {
    let encoding = EncodeOptions { add_special: false, parse_special: options.parse_special };
    let tokens = Tokenizer::new(model).encode(text, encoding)?;
    let vocab = model.raw().vocab();
    let bos = vocab.bos().filter(|_| vocab.add_bos());
    let n = n_ctx.saturating_sub(bos.iter().len()).max(1);
    let begin = |part: &[i32]| bos.into_iter().chain(part.iter().copied()).collect::<Vec<_>>();
    let mut windows: Vec<_> = tokens.chunks(n).map(begin).filter(|w| w.len() > 1).collect();
    if options.windows > 0 {
        windows.truncate(options.windows as usize);
    }
    if windows.is_empty() {
        bail!(
            TextTooShort,
            "the text has {} tokens, of which none can be predicted from one before; give a longer text",
            tokens.len()
        )
    }
    Ok(windows)
}
