//! The owner of a loaded LoRA adapter.

use std::ptr::{NonNull, null_mut};
use std::sync::{Arc, PoisonError};

use llama_cpp_sys_2 as sys;

use super::load::Input;
#[cfg(unix)]
use super::load::Stream;
use super::model::RawModel;
use super::shim;
use crate::error::{Result, bail};
use crate::log;

/// A LoRA adapter, loaded for one model, which it keeps alive.
pub(crate) struct RawAdapter {
    pointer: NonNull<sys::llama_adapter_lora>,
    model: Arc<RawModel>,
}

// SAFETY: an adapter is immutable after loading; the model's list of adapters is locked on load and free.
unsafe impl Send for RawAdapter {}
// SAFETY: as above.
unsafe impl Sync for RawAdapter {}

impl RawAdapter {
    /// Loads an adapter whose bytes the gate has validated.
    #[cfg(unix)]
    pub(crate) fn load(model: &Arc<RawModel>, input: &Input<'_>) -> Result<Self> {
        let stream = match input {
            Input::File { file, offset } => Stream::open(file, *offset)?,
            Input::Memory(bytes) => Stream::over(bytes)?,
            Input::Paths(_) => bail!(Unsupported, "an adapter is one file, not several"),
        };
        let mut pointer = null_mut();
        let _writing = model.adapters.write().unwrap_or_else(PoisonError::into_inner);
        let (loaded, lines) = log::capture(|| {
            shim::call("loading the adapter", |why| {
                // SAFETY: model and stream are valid for the call, and no other thread reads or
                // changes the model's adapters meanwhile.
                unsafe {
                    shim::nestling_shim_adapter_load(model.as_ptr(), stream.0, &mut pointer, why)
                }
            })
        });
        loaded?;
        match NonNull::new(pointer) {
            Some(pointer) => Ok(Self { pointer, model: model.clone() }),
            None => {
                let reason = lines.last().map_or("no reason given", String::as_str);
                bail!(
                    AdapterMismatch,
                    "the engine refused the adapter: {reason}; use one made for this model"
                )
            }
        }
    }

    /// Loads an adapter whose bytes the gate has validated.
    #[cfg(not(unix))]
    pub(crate) fn load(_: &Arc<RawModel>, _: &Input<'_>) -> Result<Self> {
        bail!(Unsupported, "adapters need a Unix system in this version")
    }

    pub(super) fn as_ptr(&self) -> *mut sys::llama_adapter_lora {
        self.pointer.as_ptr()
    }

    /// Whether it was loaded for that model.
    pub(crate) fn belongs_to(&self, model: &Arc<RawModel>) -> bool {
        Arc::ptr_eq(&self.model, model)
    }
}

impl Drop for RawAdapter {
    fn drop(&mut self) {
        let _writing = self.model.adapters.write().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: owned by this object alone; contexts that use it hold an Arc of it.
        unsafe { sys::llama_adapter_lora_free(self.as_ptr()) };
    }
}
