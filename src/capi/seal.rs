//! Sealed files: encrypted, signed, or both. nest_model_open opens them with the options `key` and `public_key`.

use std::ffi::c_char;

use super::argument::{flag, path};
use super::cancel::nest_cancel;
use super::error::nest_error;
use super::guard::guard;
use super::handle::handle;
use super::job::nest_job;
use super::options::{self, nest_options};
use super::out::out;
use super::source::nest_source;
use crate::format::{Source, sealed};
use crate::options::{ModelOptions, SealOptions};

/// Seals a model's or an adapter's file, on a worker thread: encrypts it with the option `key`, signs it with `sign_key`,
/// or both; set them with nest_options_set_bytes. `options` of the kind "seal". The report of nest_job_take_report has
/// `model_bytes`, `bytes`, `encrypted`, `signed`, `public_key` (hexadecimal text, or null), `n_chunks`, `n_tensors` and
/// `sha256`, of the model.
///
/// Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY; all others are the job's:
/// INVALID_OPTION without a key, GGUF_... for a bad file, SEAL_AGAIN, SOURCE_CHANGED, OUTPUT_EXISTS, OUTPUT_IS_INPUT,
/// CANCELLED, and those of files. Until it has succeeded, the output is as it was.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_seal_job(
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
        let options = options::of::<SealOptions>(options)?;
        out.set(nest_job::report("sealing the model", cancel, move |monitor| {
            sealed::seal(&input, &output, &options, monitor)
        })?);
        Ok(())
    })
}

/// Writes the model or adapter that a sealed file holds, on a worker thread: from then on nothing protects it. Everything is
/// verified before the file is written. `options` of the kind "model": its `key` and `public_key`. `force` is 1 where the
/// output may be replaced, else 0. The report of nest_job_take_report has `bytes`, the length of the new file.
///
/// Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY; all others are the job's:
/// INVALID_ARGUMENT for a file that is not sealed, SEAL_..., OUTPUT_EXISTS, OUTPUT_IS_INPUT, CANCELLED, and those of files.
/// Until it has succeeded, the output is as it was.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_unseal_job(
    input: *const c_char,
    output: *const c_char,
    options: *const nest_options,
    force: i32,
    cancel: *const nest_cancel,
    job: *mut *mut nest_job,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(job, "job")?;
        let (input, output) = (path(input, "input")?, path(output, "output")?);
        let (options, force) = (options::of::<ModelOptions>(options)?, flag(force, "force")?);
        let source = Source::path(input).with_keys(&options.key, &options.public_key);
        out.set(nest_job::report("unsealing the model", cancel, move |monitor| {
            sealed::unseal(&source, &output, force, monitor)
        })?);
        Ok(())
    })
}

/// The same source with the `key` and `public_key` of options of the kind "model", for sealed files where a function takes
/// no such options: adapters, and nest_model_inspect. The source keeps the keys until it is freed.
///
/// Gives `keyed`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT for options of another kind, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_source_new_with_keys(
    source: *const nest_source,
    options: *const nest_options,
    keyed: *mut *mut nest_source,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(keyed, "keyed")?;
        let (source, options) = (handle(source, "source")?, options::of::<ModelOptions>(options)?);
        out.set(nest_source(source.0.clone().with_keys(&options.key, &options.public_key)));
        Ok(())
    })
}
