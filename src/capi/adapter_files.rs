//! Files of adapters: converted from PEFT and to it, several made one, and merged into a model.

use std::ffi::c_char;
use std::path::PathBuf;

use super::argument::{list, path, text};
use super::cancel::nest_cancel;
use super::error::nest_error;
use super::guard::guard;
use super::handle::handle;
use super::job::nest_job;
use super::options::{self, nest_options};
use super::out::out;
use super::source::nest_source;
use super::string::nest_string;
use crate::adapter;
use crate::error::Result;
use crate::options::{AdapterOptions, MergeOptions};

/// What an adapter, a GGUF file or a PEFT directory, is: a JSON object with `format`, `name`, `architecture`,
/// `base_model`, `rank`, `scale`, `alpha`, `rs_lora`, `n_pairs`, `n_parameters`, `bytes`, `layers`, `types`, `norm`, and
/// `targets` with `target`, `n_layers`, `n_in`, `n_out`, `rank`, `norm`.
///
/// Gives `json`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, PEFT_..., ADAPTER_..., GGUF_..., SAFETENSORS and
/// TENSOR_VALUE for a bad adapter, and those of files.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_adapter_inspect(
    path: *const c_char,
    json: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(json, "json")?;
        out.set(nest_string::json(&adapter::inspect(text(path, "path")?)?)?);
        Ok(())
    })
}

/// Converts an adapter on a worker thread: a PEFT directory to a GGUF file, or a GGUF file to a PEFT directory. Options of
/// the kind "adapter": `base` names the base model, whose heads and layers the files depend on. Tensors are carried bit
/// for bit, but for the order of rows.
///
/// Step the job, then take its report with nest_job_take_report: `format`, `architecture`, `n_pairs`, `n_parameters`,
/// `rank`, `n_folded`. On an error or a cancel the output is as it was.
///
/// Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY. The job's: PEFT_..., ADAPTER_...,
/// GGUF_..., SAFETENSORS, TENSOR_VALUE, OUTPUT_EXISTS, OUTPUT_IS_INPUT, CANCELLED, and those of files.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_adapter_convert_job(
    input: *const c_char,
    output: *const c_char,
    options: *const nest_options,
    cancel: *const nest_cancel,
    job: *mut *mut nest_job,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(job, "job")?;
        let (input, output) = (path(input, "input")?, path(output, "output")?);
        let options = options::of::<AdapterOptions>(options)?;
        out.set(nest_job::report("converting the adapter", cancel, move |monitor| {
            adapter::convert(input, output, &options, monitor)
        })?);
        Ok(())
    })
}

/// Makes one adapter of `length` on a worker thread: their weighted sum. `inputs` are GGUF files or PEFT directories,
/// `weights` has a number for each. Options of the kind "adapter": `method` says how, `normalize` whether the weights
/// are divided by their sum.
///
/// Step the job, then take its report with nest_job_take_report: that of nest_adapter_convert_job. On an error or a
/// cancel the output is as it was.
///
/// Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY. The job's: ADAPTER_AVERAGE for
/// adapters or weights that do not go together, and those of nest_adapter_convert_job.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_adapter_average_job(
    inputs: *const *const c_char,
    weights: *const f32,
    length: u64,
    output: *const c_char,
    options: *const nest_options,
    cancel: *const nest_cancel,
    job: *mut *mut nest_job,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(job, "job")?;
        let inputs = weighted(inputs, weights, length, ["inputs", "weights"])?;
        let (output, options) = (path(output, "output")?, options::of::<AdapterOptions>(options)?);
        out.set(nest_job::report("averaging the adapters", cancel, move |monitor| {
            adapter::average(&inputs, output, &options, monitor)
        })?);
        Ok(())
    })
}

/// Writes a model with `length` adapters merged into it, on a worker thread. `adapters` are GGUF files or PEFT
/// directories, `scales` has a number for each, usually 1. Options of the kind "merge": `ftype` is the mix of types that
/// is written. Tensors that no adapter changes are copied as they are, where their type stays.
///
/// Step the job, then take its report with nest_job_take_report: `n_merged` and what that of nest_quantize_job has. On an error or a cancel the output is as it was.
///
/// Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY. The job's: ADAPTER_MISMATCH for an
/// adapter of another model, QUANTIZE_TYPE, and those of nest_adapter_convert_job.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_merge_job(
    base: *const nest_source,
    adapters: *const *const c_char,
    scales: *const f32,
    length: u64,
    output: *const c_char,
    options: *const nest_options,
    cancel: *const nest_cancel,
    job: *mut *mut nest_job,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(job, "job")?;
        let base = handle(base, "base")?.0.clone();
        let adapters = weighted(adapters, scales, length, ["adapters", "scales"])?;
        let (output, options) = (path(output, "output")?, options::of::<MergeOptions>(options)?);
        out.set(nest_job::report("merging the adapters", cancel, move |monitor| {
            adapter::merge(base, &adapters, output, &options, monitor)
        })?);
        Ok(())
    })
}

/// Paths, each with its number.
///
/// # Safety
/// As [`list`], and each path as [`text`].
unsafe fn weighted(
    paths: *const *const c_char,
    numbers: *const f32,
    length: u64,
    [of_paths, of_numbers]: [&str; 2],
) -> Result<Vec<(PathBuf, f32)>> {
    // SAFETY: passed on.
    let (paths, numbers) =
        unsafe { (list(paths, length, of_paths)?, list(numbers, length, of_numbers)?) };
    let pairs = paths.iter().zip(numbers).map(|(one, number)| {
        // SAFETY: passed on.
        Ok((unsafe { path(*one, of_paths) }?, *number))
    });
    pairs.collect()
}
