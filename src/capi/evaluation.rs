//! Evaluations: how well a model predicts a dataset, alone or with adapters.

use super::cancel::{nest_cancel, own_token, token};
use super::dataset::nest_dataset;
use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Handle, free, handle};
use super::job::{Work, nest_job};
use super::model::nest_model;
use super::options::{self, nest_options};
use super::out::{fill, first_version, out};
use super::string::nest_string;
use crate::eval::{self, Comparison, Evaluation};
use crate::job::{Job, Monitor};
use crate::options::EvaluationOptions;

/// What an evaluation found.
pub struct nest_evaluation(Evaluation);

impl Handle for nest_evaluation {
    const NAME: &'static str = "nest_evaluation";
}

/// An evaluation in numbers.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_evaluation_report {
    /// sizeof(nest_evaluation_report), set by the caller.
    pub struct_size: u32,
    /// Whether labelled examples were classified: 0 or 1.
    pub classified: i32,
    /// Mean of -ln p over the tokens to predict, in nats.
    pub loss: f64,
    /// e to the power of the loss.
    pub perplexity: f64,
    /// Share of the tokens to predict that were the most likely ones, 0 to 1.
    pub token_accuracy: f64,
    /// The number of tokens to predict.
    pub tokens: u64,
    /// Examples measured.
    pub examples: u64,
    /// Of these: examples whose end was cut off.
    pub truncated: u64,
    /// Examples left out; nest_evaluation_report_json says why.
    pub dropped: u64,
    /// Share of the labels that were found, 0 to 1; NaN if nothing was classified, as for the next three.
    pub label_accuracy: f64,
    /// Mean of the classes' precisions.
    pub macro_precision: f64,
    /// Mean of the classes' recalls.
    pub macro_recall: f64,
    /// Mean of the classes' F1.
    pub macro_f1: f64,
    /// Seconds that it took.
    pub seconds: f64,
}
first_version!(nest_evaluation_report, seconds: f64);

/// Measures how well a model predicts a dataset, with the adapters of the options. `options` of the kind "evaluation".
/// Labelled examples are classified: of the option `labels`, or of the dataset's own labels, the most likely is chosen.
///
/// Gives `evaluation`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT, INVALID_OPTION, BUSY for options that are being
/// changed, DATASET_LABEL names an example whose label cannot be chosen, those of making examples tokens (DATASET_...),
/// ADAPTER_MISMATCH, DOES_NOT_FIT, ENGINE where the model gives numbers that are not finite, CANCELLED.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_evaluation_new(
    model: *const nest_model,
    data: *const nest_dataset,
    options: *const nest_options,
    cancel: *const nest_cancel,
    evaluation: *mut *mut nest_evaluation,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(evaluation, "evaluation")?;
        let (model, data) = (handle(model, "model")?, handle(data, "data")?);
        let (options, adapters) = options::with_adapters::<EvaluationOptions>(options)?;
        let monitor = Monitor::new(token(cancel));
        let found = eval::evaluate(&model.0, &adapters, &data.data, &options, &monitor)?;
        out.set(nest_evaluation(found));
        Ok(())
    })
}

/// As nest_evaluation_new, on a worker thread: step the job, then take the evaluation with nest_job_take_evaluation.
///
/// Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT, BUSY; all others are the job's.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_evaluation_new_job(
    model: *const nest_model,
    data: *const nest_dataset,
    options: *const nest_options,
    cancel: *const nest_cancel,
    job: *mut *mut nest_job,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(job, "job")?;
        let (model, data) = (handle(model, "model")?, handle(data, "data")?);
        let (options, adapters) = options::with_adapters::<EvaluationOptions>(options)?;
        let cancelled = own_token(cancel);
        let work = Job::spawn("evaluating the dataset", cancelled.clone(), move |monitor| {
            eval::evaluate(&model.0, &adapters, &data.data, &options, monitor)
        })?;
        out.set(nest_job::new(Work::Evaluation(work), cancelled));
        Ok(())
    })
}

/// What nest_evaluation_new_job measured; waits for the end when it has not been reached.
///
/// Gives `evaluation`. Exclusive: `job`. Errors: NULL_POINTER, BUSY, WRONG_STATE when it was taken before or for a job of
/// another kind, and those of nest_evaluation_new.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_job_take_evaluation(
    job: *mut nest_job,
    evaluation: *mut *mut nest_evaluation,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(evaluation, "evaluation")?;
        out.set(nest_evaluation(handle(job, "job")?.take_evaluation()?));
        Ok(())
    })
}

/// The evaluation in numbers.
///
/// Fills `report`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_evaluation_get_report(
    evaluation: *const nest_evaluation,
    report: *mut nest_evaluation_report,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe { fill(report, (&handle(evaluation, "evaluation")?.0).into(), "report") })
}

/// The whole evaluation as a JSON object: the numbers, what became of the examples, and for labelled examples the
/// precision, recall and F1 of each class and the confusion matrix, whose rows are the right labels.
///
/// Gives `json`. Any thread. Errors: NULL_POINTER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_evaluation_report_json(
    evaluation: *const nest_evaluation,
    json: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(json, "json")?;
        out.set(nest_string::json(&handle(evaluation, "evaluation")?.0)?);
        Ok(())
    })
}

/// Two evaluations of the same examples side by side, as a JSON object of `base`, `adapter` and `difference`.
///
/// Gives `json`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT if they are not of the same examples and labels.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_evaluation_comparison_json(
    base: *const nest_evaluation,
    adapter: *const nest_evaluation,
    json: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(json, "json")?;
        let (base, adapter) = (handle(base, "base")?, handle(adapter, "adapter")?);
        out.set(nest_string::json(&Comparison::new(base.0.clone(), adapter.0.clone())?)?);
        Ok(())
    })
}

/// Frees an evaluation. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_evaluation_free(evaluation: *mut nest_evaluation) {
    // SAFETY: NULL, or the caller's own evaluation, given back.
    guard_or((), || unsafe { free(evaluation) });
}

impl From<&Evaluation> for nest_evaluation_report {
    fn from(found: &Evaluation) -> Self {
        let classes = found.classification.as_ref();
        Self {
            struct_size: 0,
            classified: classes.is_some().into(),
            loss: found.loss,
            perplexity: found.perplexity,
            token_accuracy: found.token_accuracy,
            tokens: found.tokens,
            examples: found.examples,
            truncated: found.encoding.truncated,
            dropped: found.encoding.dropped(),
            label_accuracy: classes.map_or(f64::NAN, |c| c.accuracy),
            macro_precision: classes.map_or(f64::NAN, |c| c.macro_precision),
            macro_recall: classes.map_or(f64::NAN, |c| c.macro_recall),
            macro_f1: classes.map_or(f64::NAN, |c| c.macro_f1),
            seconds: found.seconds,
        }
    }
}
