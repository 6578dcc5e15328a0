//! Models side by side on a text.

use std::ffi::c_char;

use super::argument::{list, text_of};
use super::cancel::nest_cancel;
use super::error::nest_error;
use super::guard::guard;
use super::handle::handle;
use super::job::nest_job;
use super::model::nest_model;
use super::options::{self, nest_options};
use super::out::out;
use crate::error::Result;
use crate::eval;
use crate::model::Model;
use crate::options::CompareOptions;

/// Measures `n_models` models with the same vocabulary on a text, such as quantizations of one model; the first is the
/// reference. `length` may be -1. `options` of the kind "compare". The report of nest_job_take_report has `models`, a list
/// in their order of `path`, `name`, `type`, `file_bytes`, `bits_per_weight`, `tokens`, `loss`, `perplexity`, `kl` (the
/// divergence from the reference: `mean`, `error`, `median`, `p90`, `p99`, `max`) and `same_top`; and `n_ctx`, `windows`,
/// `seconds`.
///
/// Gives `job`, which keeps the models alive. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY; all
/// others are the job's: INVALID_ARGUMENT for other vocabularies, TEXT_TOO_SHORT, UNSUPPORTED, DOES_NOT_FIT, ENGINE where a
/// model gives numbers that are not finite, CANCELLED.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_compare_job(
    models: *const *const nest_model,
    n_models: u64,
    text: *const c_char,
    length: i64,
    options: *const nest_options,
    cancel: *const nest_cancel,
    job: *mut *mut nest_job,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(job, "job")?;
        let (models, options) = (all(models, n_models)?, options::of::<CompareOptions>(options)?);
        let text = text_of(text, length, "text")?.to_owned();
        out.set(nest_job::report("comparing the models", cancel, move |monitor| {
            eval::compare_models(&models, &text, &options, monitor)
        })?);
        Ok(())
    })
}

/// # Safety
/// As [`list`], and each as [`handle`].
unsafe fn all(models: *const *const nest_model, n: u64) -> Result<Vec<Model>> {
    // SAFETY: passed on.
    let models = unsafe { list(models, n, "models") }?;
    let one = |(i, &model): (usize, &*const nest_model)| {
        // SAFETY: passed on.
        Ok(unsafe { handle(model, &format!("models[{i}]")) }?.0.clone())
    };
    models.iter().enumerate().map(one).collect()
}
