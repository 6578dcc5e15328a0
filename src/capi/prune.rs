//! Leaving out of a model file what a task does not need.

use std::ffi::c_char;

use super::argument::path;
use super::cancel::nest_cancel;
use super::error::nest_error;
use super::guard::guard;
use super::handle::handle;
use super::job::nest_job;
use super::options::{self, nest_options};
use super::out::out;
use super::source::nest_source;
use crate::options::PruneOptions;
use crate::prune;

/// Writes a model file without the tensors and metadata that the options, of the kind "prune", name. The new file is opened
/// before it takes its name. The report of nest_job_take_report has `path`, `tensors` and `metadata`, the lists of what was
/// left out, `bytes_before` and `bytes`.
///
/// Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT for options of another kind, BUSY; all
/// others are the job's: INVALID_OPTION for a malformed pattern, INVALID_ARGUMENT for one that nothing matches,
/// TENSOR_NEEDED, OUTPUT_EXISTS, OUTPUT_IS_INPUT, SOURCE_CHANGED, CANCELLED, those of reading a model and of files. Then
/// nothing was written.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_prune_job(
    source: *const nest_source,
    output_path: *const c_char,
    options: *const nest_options,
    cancel: *const nest_cancel,
    job: *mut *mut nest_job,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(job, "job")?;
        let (source, options) = (handle(source, "source")?, options::of::<PruneOptions>(options)?);
        let to = path(output_path, "output_path")?;
        out.set(nest_job::report("pruning the model", cancel, move |monitor| {
            prune::prune(&source.0, &to, &options, monitor)
        })?);
        Ok(())
    })
}
