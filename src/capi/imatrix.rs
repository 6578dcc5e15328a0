//! Importance matrices: which columns of a model's weights matter on a text.

use std::ffi::c_char;

use super::argument::path;
use super::cancel::nest_cancel;
use super::error::nest_error;
use super::guard::guard;
use super::handle::handle;
use super::job::nest_job;
use super::model::nest_model;
use super::options::{self, nest_options};
use super::out::out;
use crate::eval;
use crate::options::ImatrixOptions;

/// Has a model read a text file, and writes which columns of its weights mattered, in llama.cpp's format: quantizing can
/// then keep these columns more exact. `options` of the kind "imatrix". The report of nest_job_take_report has `path`,
/// `weights`, `chunks`, `tokens`, `unseen_experts` and `seconds`.
///
/// Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT for options of another kind, BUSY; all
/// others are the job's: OUTPUT_EXISTS, OUTPUT_IS_INPUT, TEXT_TOO_SHORT, UNSUPPORTED, DOES_NOT_FIT, ENGINE where the model
/// computes numbers that are not finite, CANCELLED, those of files. Then nothing was written.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_imatrix_job(
    model: *const nest_model,
    text_path: *const c_char,
    output_path: *const c_char,
    options: *const nest_options,
    cancel: *const nest_cancel,
    job: *mut *mut nest_job,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(job, "job")?;
        let (model, options) = (handle(model, "model")?, options::of::<ImatrixOptions>(options)?);
        let from = path(text_path, "text_path")?;
        let to = path(output_path, "output_path")?;
        out.set(nest_job::report("computing the importance matrix", cancel, move |monitor| {
            eval::imatrix(&model.0, &from, &to, &options, monitor)
        })?);
        Ok(())
    })
}
