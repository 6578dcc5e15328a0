//! LoRA adapters: small weights that change what a model says.

use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Handle, free, handle};
use super::model::nest_model;
use super::out::{fill, first_version, out};
use super::source::nest_source;
use super::string::nest_string;
use crate::adapter::{Adapter, AdapterInfo};

/// An adapter, loaded for one model, which it keeps alive.
pub struct nest_adapter(pub(super) Adapter);

impl Handle for nest_adapter {
    const NAME: &'static str = "nest_adapter";
}

/// An adapter in numbers.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_adapter_info {
    /// sizeof(nest_adapter_info), set by the caller.
    pub struct_size: u32,
    /// The inner width of its pairs; the largest, where they differ.
    pub rank: u32,
    /// The scale before division by the rank; 0 stands for the scale 1.
    pub alpha: f32,
    /// What its products are multiplied by, before the scale with which it is attached.
    pub scale: f32,
    /// How many weights it changes.
    pub n_pairs: u64,
    /// The numbers in its pairs.
    pub n_parameters: u64,
    /// Bytes of its pairs.
    pub bytes: u64,
}
first_version!(nest_adapter_info, bytes: u64);

/// Checks and loads an adapter (GGUF LoRA) for a model. Attach it with nest_options_add_adapter.
///
/// Gives `adapter`. Any thread. Errors: NULL_POINTER, ADAPTER_... and GGUF_... for a bad file, ADAPTER_MISMATCH for one
/// of another model, WRONG_STATE for a vocab_only model, UNSUPPORTED on Windows, and those of
/// files.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_adapter_open(
    model: *const nest_model,
    source: *const nest_source,
    adapter: *mut *mut nest_adapter,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(adapter, "adapter")?;
        let (model, source) = (handle(model, "model")?, handle(source, "source")?);
        out.set(nest_adapter(Adapter::open(&model.0, source.0.clone())?));
        Ok(())
    })
}

/// The adapter in numbers.
///
/// Fills `info`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_adapter_get_info(
    adapter: *const nest_adapter,
    info: *mut nest_adapter_info,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe { fill(info, handle(adapter, "adapter")?.0.info().into(), "info") })
}

/// As nest_adapter_get_info, as a JSON object with the name, the architecture that it is for, the kinds of weights that it
/// changes (`targets`), and the digest.
///
/// Gives `json`. Any thread. Errors: NULL_POINTER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_adapter_info_json(
    adapter: *const nest_adapter,
    json: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(json, "json")?;
        out.set(nest_string::json(handle(adapter, "adapter")?.0.info())?);
        Ok(())
    })
}

/// The SHA-256 of the adapter's file, as hexadecimal text.
///
/// Gives `digest`. Any thread. Errors: NULL_POINTER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_adapter_digest(
    adapter: *const nest_adapter,
    digest: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(digest, "digest")?;
        out.set(nest_string::new(handle(adapter, "adapter")?.0.digest()));
        Ok(())
    })
}

/// Frees an adapter; sessions that use it go on. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_adapter_free(adapter: *mut nest_adapter) {
    // SAFETY: NULL, or the caller's own adapter, given back.
    guard_or((), || unsafe { free(adapter) });
}

impl From<&AdapterInfo> for nest_adapter_info {
    fn from(info: &AdapterInfo) -> Self {
        Self {
            struct_size: 0,
            rank: u32::try_from(info.rank).unwrap_or(u32::MAX),
            alpha: info.alpha,
            scale: info.scale,
            n_pairs: info.n_pairs,
            n_parameters: info.n_parameters,
            bytes: info.bytes,
        }
    }
}
