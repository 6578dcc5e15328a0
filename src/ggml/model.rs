//! The owner of a loaded model.

use std::ptr::NonNull;
use std::sync::RwLock;

use llama_cpp_sys_2 as sys;

use super::accel;
use super::load::{self, Input, LoadParams};
use super::vocab::RawVocab;
use crate::error::Result;
use crate::kernels::Level;

/// A loaded model: immutable, shared between threads.
pub(crate) struct RawModel {
    pointer: NonNull<sys::llama_model>,
    /// The engine's list of adapters has no lock of its own: loading or freeing one writes (exclusive),
    /// building a graph reads (shared).
    pub(super) adapters: RwLock<()>,
    /// Of the kernels that its contexts compute with.
    pub(super) level: Level,
    /// Of a model loaded to count memory: where the engine counts twice what is computed with.
    pub(super) counted_twice: Option<sys::ggml_backend_buffer_type_t>,
}

// SAFETY: after loading, the engine only reads the model; the one part that changes later, the list of
// adapters, is behind `adapters`.
unsafe impl Send for RawModel {}
// SAFETY: as above.
unsafe impl Sync for RawModel {}

impl RawModel {
    /// Loads a model. The caller must have validated the bytes.
    pub(crate) fn load(input: &Input<'_>, params: &LoadParams<'_>) -> Result<Self> {
        let level = if params.accel { Level::current() } else { Level::None };
        let pointer = load::load(input, params)?;
        let counted_twice =
            if params.no_alloc { accel::counted_twice(params.devices) } else { None };
        Ok(Self { pointer, adapters: RwLock::new(()), level, counted_twice })
    }

    /// Whether contexts compute with our kernels, whose results do not depend on the number of threads.
    pub(crate) fn has_kernels(&self) -> bool {
        self.level > Level::None
    }

    pub(super) fn as_ptr(&self) -> *mut sys::llama_model {
        self.pointer.as_ptr()
    }

    pub(crate) fn vocab(&self) -> RawVocab<'_> {
        // SAFETY: the vocabulary belongs to the model and lives as long.
        RawVocab::new(unsafe { sys::llama_model_get_vocab(self.as_ptr()) })
    }

    /// Sliding-window length in tokens; 0 for models without one.
    pub(crate) fn n_swa(&self) -> u32 {
        // SAFETY: the model is valid (type invariant); the call reads a field.
        unsafe { sys::llama_model_n_swa(self.as_ptr()) }.max(0) as u32
    }

    /// Whether positions are rotary, so that a cache can be shifted.
    pub(crate) fn has_rope(&self) -> bool {
        // SAFETY: as in `n_swa`.
        unsafe { sys::llama_model_rope_type(self.as_ptr()) != sys::LLAMA_ROPE_TYPE_NONE }
    }

    /// Whether the state is recurrent, wholly or partly: it cannot be cut, only cleared.
    pub(crate) fn is_recurrent(&self) -> bool {
        // SAFETY: as in `n_swa`.
        unsafe {
            sys::llama_model_is_recurrent(self.as_ptr())
                || sys::llama_model_is_hybrid(self.as_ptr())
        }
    }

    /// Whether it has an encoder, which reads a text as a whole.
    pub(crate) fn has_encoder(&self) -> bool {
        // SAFETY: as in `n_swa`.
        unsafe { sys::llama_model_has_encoder(self.as_ptr()) }
    }

    /// Whether a decoder answers what an encoder read.
    pub(crate) fn is_encoder_decoder(&self) -> bool {
        // SAFETY: as in `n_swa`.
        self.has_encoder() && unsafe { sys::llama_model_has_decoder(self.as_ptr()) }
    }

    /// The token that a decoder behind an encoder begins with.
    pub(crate) fn decoder_start(&self) -> Option<i32> {
        // SAFETY: as in `n_swa`.
        let token = unsafe { sys::llama_model_decoder_start_token(self.as_ptr()) };
        (token >= 0).then_some(token)
    }

    /// The width of an embedding.
    pub(crate) fn n_embd_out(&self) -> usize {
        // SAFETY: as in `n_swa`.
        unsafe { sys::llama_model_n_embd_out(self.as_ptr()) }.max(0) as usize
    }

    /// Whether the model decodes token by token: has a decoder, no encoder, and is not a diffusion model.
    pub(crate) fn is_generative(&self) -> bool {
        // SAFETY: as in `n_swa`.
        unsafe {
            sys::llama_model_has_decoder(self.as_ptr())
                && !sys::llama_model_has_encoder(self.as_ptr())
                && !sys::llama_model_is_diffusion(self.as_ptr())
        }
    }
}

impl Drop for RawModel {
    fn drop(&mut self) {
        // SAFETY: the pointer is owned by this object alone; contexts and adapters hold an Arc of it,
        // so none is left. Freeing does not throw.
        unsafe { sys::llama_model_free(self.as_ptr()) };
    }
}
