//! Converting: a Hugging Face checkpoint to a model file.

use std::ffi::c_char;

use super::argument;
use super::cancel::nest_cancel;
use super::error::nest_error;
use super::guard::guard;
use super::job::nest_job;
use super::options::{self, nest_options};
use super::out::out;
use crate::convert::convert;
use crate::options::ConvertOptions;

/// Makes a checkpoint of Hugging Face, a directory with config.json, model.safetensors (or shards with their index) and a
/// tokenizer, one model file at `path`, on a worker thread: step the job, then take its report with nest_job_take_report.
/// `options` of the kind "convert": with its ftype the model is quantized in the same pass. Whatever happens, `path` holds
/// what it did, or the whole new file.
///
/// The report has the keys "path", "architecture", "name", "ftype", "dry_run", "ignored" (tensors that a model file does not
/// need), "n_tensors", "n_parameters", "bytes_before", "bytes" and "types" (how many tensors of each type).
///
/// Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY for options that are being changed; the
/// job's: CHECKPOINT_... and SAFETENSORS for a checkpoint that is damaged, incomplete or of an unknown architecture,
/// QUANTIZE_TYPE, TENSOR_VALUE, OUTPUT_EXISTS, OUTPUT_IS_INPUT, SOURCE_CHANGED, CANCELLED, and those of files.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_convert_job(
    directory: *const c_char,
    path: *const c_char,
    options: *const nest_options,
    cancel: *const nest_cancel,
    job: *mut *mut nest_job,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(job, "job")?;
        let (from, to) = (argument::path(directory, "directory")?, argument::path(path, "path")?);
        let options = options::of::<ConvertOptions>(options)?;
        out.set(nest_job::report("converting the checkpoint", cancel, move |monitor| {
            convert(from, to, &options, monitor)
        })?);
        Ok(())
    })
}
