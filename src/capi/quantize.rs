//! Quantizing: a model in smaller types.

use std::ffi::c_char;

use super::argument;
use super::cancel::nest_cancel;
use super::error::nest_error;
use super::guard::guard;
use super::handle::handle;
use super::job::nest_job;
use super::options::{self, nest_options};
use super::out::out;
use super::source::nest_source;
use crate::options::QuantizeOptions;
use crate::quantize::quantize;

/// Writes a model in another mix of types to `path`, on a worker thread: step the job, then take its report with
/// nest_job_take_report. `options` of the kind "quantize". `source` may be the first part of a split model; the output is one
/// file. Whatever happens, `path` holds what it did, or the whole new file.
///
/// The report has the keys "path", "ftype", "dry_run", "n_tensors", "n_parameters", "bytes_before", "bytes" and "types" (how
/// many tensors of each type).
///
/// Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY for options that are being changed; the
/// job's: QUANTIZE_TYPE for an unknown type or one that the model does not allow, TENSOR_VALUE, OUTPUT_EXISTS, OUTPUT_IS_INPUT,
/// SOURCE_CHANGED, CANCELLED, GGUF_... for a bad model, and those of files.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_quantize_job(
    source: *const nest_source,
    path: *const c_char,
    options: *const nest_options,
    cancel: *const nest_cancel,
    job: *mut *mut nest_job,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(job, "job")?;
        let (source, path) = (handle(source, "source")?.0.clone(), argument::path(path, "path")?);
        let options = options::of::<QuantizeOptions>(options)?;
        out.set(nest_job::report("quantizing the model", cancel, move |monitor| {
            quantize(&source, path, &options, monitor)
        })?);
        Ok(())
    })
}
