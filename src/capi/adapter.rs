//! LoRA adapters: small weights that change what a model says.

use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Handle, free, handle};
use super::model::nest_model;
use super::out::out;
use super::source::nest_source;
use super::string::nest_string;
use crate::adapter::Adapter;

/// An adapter, loaded for one model, which it keeps alive.
pub struct nest_adapter(pub(super) Adapter);

impl Handle for nest_adapter {
    const NAME: &'static str = "nest_adapter";
}

/// Checks and loads an adapter (GGUF LoRA) for a model. Attach it with nest_options_add_adapter.
///
/// Gives `adapter`. Any thread. Errors: NULL_POINTER, ADAPTER_... and GGUF_... for a bad file, ADAPTER_MISMATCH for one
/// of another model, UNSUPPORTED for a memory source, and those of files.
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
