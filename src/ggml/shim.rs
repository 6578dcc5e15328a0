//! The declarations of shim.cpp, and the turning of its status into an [`Error`].

use std::ffi::{CStr, c_char, c_void};

use llama_cpp_sys_2 as sys;

use crate::error::{Result, bail};

/// Memory of one buffer type, in bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Memory {
    pub buft: sys::ggml_backend_buffer_type_t,
    pub model: usize,
    pub context: usize,
    pub compute: usize,
}

type Why = *mut c_char;

#[allow(unsafe_code, reason = "declarations of shim.cpp; each call site states its invariant")]
unsafe extern "C" {
    pub fn nestling_shim_load_file(
        file: *mut c_void,
        params: *const sys::llama_model_params,
        out: *mut *mut sys::llama_model,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_load_splits(
        paths: *mut *const c_char,
        n: usize,
        params: *const sys::llama_model_params,
        out: *mut *mut sys::llama_model,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_context_new(
        model: *mut sys::llama_model,
        params: *const sys::llama_context_params,
        out: *mut *mut sys::llama_context,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_graph_compute(
        backend: sys::ggml_backend_t,
        graph: *mut sys::ggml_cgraph,
        out: *mut sys::ggml_status,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_decode(
        ctx: *mut sys::llama_context,
        batch: *const sys::llama_batch,
        out: *mut i32,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_encode(
        ctx: *mut sys::llama_context,
        batch: *const sys::llama_batch,
        out: *mut i32,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_pooled(
        ctx: *mut sys::llama_context,
        seq: i32,
        out: *mut *mut f32,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_token_vector(
        ctx: *mut sys::llama_context,
        i: i32,
        out: *mut *mut f32,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_logits(
        ctx: *mut sys::llama_context,
        i: i32,
        out: *mut *mut f32,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_state_size(
        ctx: *mut sys::llama_context,
        seq: i32,
        out: *mut usize,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_state_get(
        ctx: *mut sys::llama_context,
        seq: i32,
        data: *mut u8,
        size: usize,
        out: *mut usize,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_state_set(
        ctx: *mut sys::llama_context,
        seq: i32,
        data: *const u8,
        size: usize,
        out: *mut usize,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_seq_rm(
        ctx: *mut sys::llama_context,
        seq: i32,
        from: i32,
        to: i32,
        out: *mut bool,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_adapter_load(
        model: *mut sys::llama_model,
        file: *mut c_void,
        out: *mut *mut sys::llama_adapter_lora,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_adapters_set(
        ctx: *mut sys::llama_context,
        adapters: *mut *mut sys::llama_adapter_lora,
        n: usize,
        scales: *mut f32,
        out: *mut i32,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_tokenize(
        vocab: *const sys::llama_vocab,
        text: *const c_char,
        len: i32,
        tokens: *mut i32,
        capacity: i32,
        add_special: bool,
        parse_special: bool,
        out: *mut i32,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_token_to_piece(
        vocab: *const sys::llama_vocab,
        token: i32,
        piece: *mut c_char,
        size: i32,
        special: bool,
        out: *mut i32,
        why: Why,
    ) -> i32;
    pub fn nestling_shim_memory_breakdown(
        ctx: *const sys::llama_context,
        parts: *mut Memory,
        capacity: usize,
        out: *mut usize,
        why: Why,
    ) -> i32;
}

/// Calls a shim function with a buffer for the exception's text; `doing` names the call in the error.
pub(super) fn call(doing: &str, function: impl FnOnce(Why) -> i32) -> Result<()> {
    let mut why = [0u8; 512];
    match function(why.as_mut_ptr().cast()) {
        0 => Ok(()),
        1 => bail!(
            OutOfMemory,
            "{doing}: the engine ran out of memory; use a smaller model or n_ctx"
        ),
        _ => {
            let text = CStr::from_bytes_until_nul(&why).unwrap_or_default().to_string_lossy();
            bail!(Engine, "{doing}: the engine failed: {text}")
        }
    }
}
