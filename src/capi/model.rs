//! Models: weights that any number of sessions share.

use std::ffi::c_char;

use super::argument::text;
use super::cancel::{nest_cancel, own_token, token};
use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Handle, free, handle, optional};
use super::job::{Work, nest_job};
use super::options::{self, nest_options};
use super::out::{fill, first_version, out, struct_size};
use super::source::nest_source;
use super::string::nest_string;
use crate::error::{Result, err};
use crate::job::Monitor;
use crate::model::Model;
use crate::options::{ModelOptions, SessionOptions};
use crate::plan::Plan;

/// A loaded model.
pub struct nest_model(pub(super) Model);

impl Handle for nest_model {
    const NAME: &'static str = "nest_model";
}

/// A model in numbers. Sizes in bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_model_info {
    /// sizeof(nest_model_info), set by the caller.
    pub struct_size: u32,
    /// The training context length in tokens.
    pub n_ctx_train: u32,
    /// The number of weights.
    pub n_params: u64,
    /// Size of all tensors.
    pub weight_bytes: u64,
    /// Size of all files.
    pub file_bytes: u64,
    /// Layers.
    pub n_layer: u32,
    /// The width of the residual stream.
    pub n_embd: u32,
    /// Query heads of the first layer.
    pub n_head: u32,
    /// Key and value heads of the first layer.
    pub n_head_kv: u32,
    /// The number of tokens of the vocabulary.
    pub n_vocab: u32,
    /// Sliding-window length in tokens; 0 if there is none.
    pub n_swa: u32,
    /// Layers on a GPU; more than the model has means all of them.
    pub n_gpu_layers: u32,
    /// The number of files.
    pub n_files: u32,
}
first_version!(nest_model_info, n_files: u32);

/// What a session would take. Sizes in bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_plan {
    /// sizeof(nest_plan), set by the caller.
    pub struct_size: u32,
    /// The context length in tokens that the session would have.
    pub n_ctx: u32,
    /// The model's weights, shared by its sessions.
    pub weights: u64,
    /// The part of the weights that is mapped from the file and shared with other processes.
    pub weights_mapped: u64,
    /// The KV cache, one per session.
    pub kv_cache: u64,
    /// Buffers to compute with, one set per session.
    pub compute: u64,
    /// All of it.
    pub total: u64,
    /// What the host can give without swapping.
    pub host_available: u64,
    /// What the host has.
    pub host_total: u64,
    /// Whether it fits: 0 or 1. nest_model_plan_json says what to change if not.
    pub fits: i32,
    /// Always 0.
    pub reserved: u32,
}
first_version!(nest_plan, reserved: u32);

/// Opens a model: checks every structure of the file, then maps or reads the weights. `options` of the kind "model". A
/// sealed file is verified whole with the options `key` and `public_key` and decrypted to private memory of the model's
/// size, never to a disk; the model does not keep the keys.
///
/// Gives `model`. Any thread. Errors: NULL_POINTER, GGUF_... for a bad file, SEAL_... for a sealed one, MODEL_LOAD if the engine refuses it,
/// DEVICE_NOT_FOUND, INVALID_OPTION, CANCELLED, BUSY for options that are being changed, and those of files.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_model_open(
    source: *const nest_source,
    options: *const nest_options,
    cancel: *const nest_cancel,
    model: *mut *mut nest_model,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(model, "model")?;
        let (source, options) = (handle(source, "source")?, options::of::<ModelOptions>(options)?);
        let monitor = Monitor::new(token(cancel));
        out.set(nest_model(Model::open_with(source.0.clone(), &options, &monitor)?));
        Ok(())
    })
}

/// As nest_model_open, on a worker thread: step the job, then take the model with nest_job_take_model.
///
/// Gives `job`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT, BUSY; all others are the job's.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_model_open_job(
    source: *const nest_source,
    options: *const nest_options,
    cancel: *const nest_cancel,
    job: *mut *mut nest_job,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(job, "job")?;
        let (source, options) = (handle(source, "source")?, options::of::<ModelOptions>(options)?);
        let cancelled = own_token(cancel);
        let work = Model::open_job(source.0.clone(), &options, cancelled.clone())?;
        out.set(nest_job::new(Work::Model(work), cancelled));
        Ok(())
    })
}

/// What a model file says about itself, after all checks, without loading weights: a JSON object.
///
/// Gives `json`. Any thread. Errors: NULL_POINTER, GGUF_... for a bad file, and those of files.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_model_inspect(
    source: *const nest_source,
    json: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(json, "json")?;
        let source = handle(source, "source")?;
        out.set(nest_string::json(&Model::inspect(source.0.clone())?)?);
        Ok(())
    })
}

/// The model in numbers.
///
/// Fills `info`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_model_get_info(
    model: *const nest_model,
    info: *mut nest_model_info,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe { fill(info, nest_model_info::from(&handle(model, "model")?.0), "info") })
}

/// What nest_model_inspect says, of an open model.
///
/// Gives `json`. Any thread. Errors: NULL_POINTER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_model_info_json(
    model: *const nest_model,
    json: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(json, "json")?;
        out.set(nest_string::json(handle(model, "model")?.0.info())?);
        Ok(())
    })
}

/// A metadata value as text: scalars as written, arrays as JSON, cut after 1,000 elements. `value` stays NULL if the
/// model has no such key; that is no error.
///
/// Gives `value`. Any thread. Errors: NULL_POINTER, INVALID_UTF8.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_model_metadata(
    model: *const nest_model,
    key: *const c_char,
    value: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(value, "value")?;
        let (model, key) = (handle(model, "model")?, text(key, "key")?);
        if let Some(found) = model.0.metadata(key) {
            out.set(nest_string::new(found));
        }
        Ok(())
    })
}

/// The number of metadata keys; 0 for NULL. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_model_metadata_count(model: *const nest_model) -> u64 {
    // SAFETY: NULL, or a model that is not freed.
    guard_or(0, || unsafe { optional(model) }.map_or(0, |m| m.0.metadata_keys().count() as u64))
}

/// A metadata key, in the file's order; the first is number 0.
///
/// Gives `key`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_model_metadata_key(
    model: *const nest_model,
    index: u64,
    key: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(key, "key")?;
        out.set(nest_string::new(key_at(&handle(model, "model")?.0, index)?));
        Ok(())
    })
}

/// The memory that a session with these options would take with the weights, and whether it fits. Nothing is allocated
/// for it, no weights are read: opened with `vocab_only`, a model can be planned before it is loaded. `options` of the
/// kind "session".
///
/// Fills `plan`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE, INVALID_OPTION, UNSUPPORTED, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_model_plan(
    model: *const nest_model,
    options: *const nest_options,
    plan: *mut nest_plan,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        struct_size(plan, "plan")?;
        let (model, options) = (handle(model, "model")?, options::of::<SessionOptions>(options)?);
        fill(plan, nest_plan::from(&model.0.plan(&options)?), "plan")
    })
}

/// As nest_model_plan, as a JSON object with each device's share, and advice if it does not fit.
///
/// Gives `json`. Any thread. Errors: as nest_model_plan.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_model_plan_json(
    model: *const nest_model,
    options: *const nest_options,
    json: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(json, "json")?;
        let (model, options) = (handle(model, "model")?, options::of::<SessionOptions>(options)?);
        out.set(nest_string::json(&model.0.plan(&options)?)?);
        Ok(())
    })
}

/// Frees the buffers that closed sessions left for the next one. NULL is fine. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_model_trim(model: *const nest_model) {
    // SAFETY: NULL, or a model that is not freed.
    guard_or((), || unsafe { optional(model) }.map_or((), |m| m.0.trim()));
}

/// Frees a model; sessions, tokenizers and adapters made from it go on. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_model_free(model: *mut nest_model) {
    // SAFETY: NULL, or the caller's own model, given back.
    guard_or((), || unsafe { free(model) });
}

fn key_at(model: &Model, index: u64) -> Result<&str> {
    let at = usize::try_from(index).unwrap_or(usize::MAX);
    model.metadata_keys().nth(at).ok_or_else(|| {
        let n = model.metadata_keys().count();
        err!(InvalidArgument, "the argument `index` is {index}; the model has {n} keys, from 0")
    })
}

impl From<&Model> for nest_model_info {
    fn from(model: &Model) -> Self {
        let info = model.info();
        Self {
            struct_size: 0,
            n_ctx_train: info.n_ctx_train,
            n_params: info.n_params,
            weight_bytes: info.weight_bytes,
            file_bytes: info.file_bytes,
            n_layer: info.n_layer,
            n_embd: info.n_embd,
            n_head: info.n_head,
            n_head_kv: info.n_head_kv,
            n_vocab: info.tokenizer.n_vocab,
            n_swa: info.n_swa.unwrap_or(0),
            n_gpu_layers: model.n_gpu_layers(),
            n_files: info.n_files,
        }
    }
}

impl From<&Plan> for nest_plan {
    fn from(plan: &Plan) -> Self {
        Self {
            struct_size: 0,
            n_ctx: plan.n_ctx,
            weights: plan.weights,
            weights_mapped: plan.weights_mapped,
            kv_cache: plan.kv_cache,
            compute: plan.compute,
            total: plan.total,
            host_available: plan.host.available,
            host_total: plan.host.total,
            fits: plan.fits.into(),
            reserved: 0,
        }
    }
}
