//! How well a model predicts a dataset, alone and with adapters, for every architecture that the engine runs.
//!
//! ```text
//! Dataset -> Encoder -> prepared examples -> a context's logits -> tally, guesses -> Evaluation -> Comparison
//! ```
//!
//! Of every example the loss is measured: the mean of -ln p over the tokens that training would learn, from logits to
//! sum in 64-bit floats. Labelled examples are classified, too: each candidate label is scored by the log-probability of
//! all its tokens behind the prompt, with the end of the text; the prompt is evaluated once.

mod divergence;
mod importance;
mod measure;
mod metrics;
mod model_report;
mod models;
mod prepare;
mod report;
mod scorer;
mod show;
mod side_by_side;

use std::time::Instant;

use crate::adapter::Adapter;
use crate::dataset::Dataset;
use crate::error::{Result, bail};
use crate::job::Monitor;
use crate::model::Model;
use crate::options::{EvaluationOptions, Options};

pub use divergence::{Divergence, divergence};
pub use importance::{ImatrixReport, imatrix, importance};
pub use metrics::{ClassMetrics, Classification};
pub use model_report::{ComparedModel, Distribution, ModelComparison};
pub use models::compare_models;
pub use report::{ClassificationDifference, Comparison, Difference, Evaluation};

use prepare::Prepared;
use scorer::Scorer;

/// Measures how well a model with these adapters, each with its scale, predicts a dataset. The monitor reports the part
/// that is done, and cancels; see [`crate::job::Job::spawn`] for a thread of its own.
///
/// # Errors
/// `InvalidOption`; `InvalidArgument` for labels that nothing has; `DatasetLabel` names a label that is not among those
/// to choose from; those of encoding the dataset; `AdapterMismatch`; `DoesNotFit`, `OutOfMemory`; `Unsupported` for a
/// model that does not generate text; `Engine` where the model gives numbers that are not finite; `Cancelled`.
pub fn evaluate(
    model: &Model,
    adapters: &[(Adapter, f32)],
    data: &Dataset,
    options: &EvaluationOptions,
    monitor: &Monitor,
) -> Result<Evaluation> {
    options.validate()?;
    let prepared = Prepared::new(model, data, options, monitor.cancel())?;
    let mut scorer = Scorer::new(model, options, prepared.n_ctx)?;
    run(&mut scorer, &prepared, data, adapters, monitor, (0.0, 1.0))
}

/// Measures a model without and with adapters, on the same examples.
///
/// # Errors
/// As [`evaluate`]; `InvalidArgument` without an adapter.
pub fn compare(
    model: &Model,
    adapters: &[(Adapter, f32)],
    data: &Dataset,
    options: &EvaluationOptions,
    monitor: &Monitor,
) -> Result<Comparison> {
    options.validate()?;
    if adapters.is_empty() {
        bail!(InvalidArgument, "there is nothing to compare the model with; give an adapter")
    }
    let prepared = Prepared::new(model, data, options, monitor.cancel())?;
    let mut scorer = Scorer::new(model, options, prepared.n_ctx)?;
    // The adapters first: should they not fit, no time is lost.
    let adapted = run(&mut scorer, &prepared, data, adapters, monitor, (0.0, 0.5))?;
    let base = run(&mut scorer, &prepared, data, &[], monitor, (0.5, 1.0))?;
    Comparison::new(base, adapted)
}

/// One pass over the examples; it is the part `from..to` of what the monitor watches.
fn run(
    scorer: &mut Scorer,
    prepared: &Prepared,
    data: &Dataset,
    adapters: &[(Adapter, f32)],
    monitor: &Monitor,
    (from, to): (f32, f32),
) -> Result<Evaluation> {
    let begin = Instant::now();
    scorer.set_adapters(adapters)?;
    let measured = measure::measure(scorer, prepared, data, monitor.cancel(), |part| {
        monitor.report(from + (to - from) * part);
    })?;
    let tally = measured.tally;
    let loss = tally.mean();
    Ok(Evaluation {
        loss,
        perplexity: loss.exp(),
        token_accuracy: tally.accuracy(),
        tokens: tally.tokens,
        examples: prepared.examples.len() as u64,
        encoding: prepared.encoding.clone(),
        classification: prepared.labels.as_ref().map(|labels| {
            Classification::new(labels.names(), &measured.guesses, prepared.unscored)
        }),
        seconds: begin.elapsed().as_secs_f64(),
    })
}
