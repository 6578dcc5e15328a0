//! The owner of a context: one sequence's KV cache and the buffers to compute with.

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, AtomicPtr};
use std::sync::{Arc, PoisonError};

use llama_cpp_sys_2 as sys;

use super::accel::Link;
use super::adapter::RawAdapter;
use super::batch::Batch;
use super::model::RawModel;
use super::running::{Running, on_check};
use super::shim;
use super::threads::Threads;
use super::work::Work;
use crate::cancel::CancelToken;
use crate::error::{Result, bail};
use crate::log;

/// How to make a context. The types are the engine's numbers (`GGML_TYPE_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContextParams {
    pub n_ctx: u32,
    pub n_ubatch: u32,
    /// For how many tokens of one decode logits may be wanted. Each costs two rows of `n_vocab` floats.
    pub n_outputs: u32,
    pub kv_type: u32,
    /// `None`: the engine decides.
    pub flash_attn: Option<bool>,
    pub swa_full: bool,
    pub offload_kqv: bool,
    pub work: Work,
}

/// Which of the engine's two ways to evaluate a batch.
#[derive(Clone, Copy)]
pub(super) enum Call {
    Decode,
    /// As a whole, by the encoder, or by a model that keeps no cache.
    Encode,
}

/// A context with one sequence, or for embeddings with several.
pub(crate) struct RawContext {
    pointer: NonNull<sys::llama_context>,
    threads: Threads,
    n_threads: i32,
    /// To the back end that computes with our kernels.
    link: Arc<Link>,
    /// What the abort callback reads: the flag of the running call's cancel token, or null.
    cancel: Box<AtomicPtr<AtomicBool>>,
    pub(super) batch: Batch,
    n_vocab: usize,
    n_ctx: u32,
    n_ubatch: u32,
    n_outputs: u32,
    pub(super) n_sequences: u32,
    adapters: Vec<(Arc<RawAdapter>, f32)>,
    model: Arc<RawModel>,
}

// SAFETY: the engine's context has no thread affinity; every method that changes it takes `&mut self`.
unsafe impl Send for RawContext {}
// SAFETY: `&self` methods only read plain fields.
unsafe impl Sync for RawContext {}

impl RawContext {
    pub(crate) fn new(model: &Arc<RawModel>, p: &ContextParams) -> Result<Self> {
        // SAFETY: nothing is called.
        unsafe { Self::watched(model, p, None, null_mut()) }
    }

    /// As [`new`](Self::new), and calls `watch` with `data` around each node of a graph that it computes.
    ///
    /// # Safety
    /// `watch` does not unwind, and may be called with `data` as long as the context lives.
    pub(super) unsafe fn watched(
        model: &Arc<RawModel>,
        p: &ContextParams,
        watch: sys::ggml_backend_sched_eval_callback,
        data: *mut c_void,
    ) -> Result<Self> {
        let cancel = Box::new(AtomicPtr::new(null_mut()));
        // SAFETY: fills a plain struct.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_ctx = p.n_ctx;
        params.n_batch = p.n_ubatch;
        params.n_ubatch = p.n_ubatch;
        params.n_seq_max = p.work.n_sequences();
        // One cache for all: what is evaluated together stays in one micro-batch.
        params.kv_unified = params.n_seq_max > 1;
        params.embeddings = matches!(p.work, Work::Embed { .. });
        params.pooling_type = p.work.pooling_type();
        params.n_outputs_max = p.n_outputs.clamp(1, p.n_ubatch.max(1));
        params.type_k = p.kv_type as sys::ggml_type;
        params.type_v = p.kv_type as sys::ggml_type;
        params.flash_attn_type = match p.flash_attn {
            None => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
            Some(true) => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
            Some(false) => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
        };
        params.swa_full = p.swa_full;
        params.offload_kqv = p.offload_kqv;
        params.no_perf = true;
        params.cb_eval = watch;
        params.cb_eval_user_data = data;
        params.abort_callback = Some(on_check);
        params.abort_callback_data = (&raw const *cancel).cast_mut().cast();

        let mut pointer = null_mut();
        let link = Link::new(model.level);
        let (made, lines) = log::capture(|| {
            let _reading = model.adapters.read().unwrap_or_else(PoisonError::into_inner);
            let made = |why| {
                // SAFETY: the model is valid and kept alive by the Arc stored below; `cancel` is boxed
                // and outlives the context.
                unsafe {
                    shim::nestling_shim_context_new(model.as_ptr(), &params, &mut pointer, why)
                }
            };
            link.making(|| shim::call("making a context", made))
        });
        made?;
        let Some(pointer) = NonNull::new(pointer) else {
            let reason = lines.last().map_or("no reason given", String::as_str);
            bail!(
                OutOfMemory,
                "the engine could not make a context of {} tokens: {reason}; use a smaller n_ctx, \
                 another kv_type or flash_attn=auto",
                p.n_ctx
            )
        };
        let context = Self {
            pointer,
            threads: Threads::default(),
            n_threads: 0,
            link,
            cancel,
            batch: Batch::default(),
            n_vocab: model.vocab().len(),
            // SAFETY: the context was just made.
            n_ctx: unsafe { sys::llama_n_ctx(pointer.as_ptr()) }.min(p.n_ctx),
            // SAFETY: as above.
            n_ubatch: unsafe { sys::llama_n_ubatch(pointer.as_ptr()) },
            n_outputs: params.n_outputs_max,
            adapters: Vec::new(),
            n_sequences: params.n_seq_max,
            model: model.clone(),
        };
        context.check_work(p.work)?;
        Ok(context)
    }

    pub(super) fn as_ptr(&self) -> *mut sys::llama_context {
        self.pointer.as_ptr()
    }

    pub(super) fn model(&self) -> &RawModel {
        &self.model
    }

    /// Tokens that the context holds at most.
    pub(crate) fn n_ctx(&self) -> u32 {
        self.n_ctx
    }

    /// Tokens per decode at most.
    pub(crate) fn n_ubatch(&self) -> u32 {
        self.n_ubatch
    }

    /// Tokens per decode at most whose logits can be wanted.
    pub(crate) fn n_outputs(&self) -> u32 {
        self.n_outputs
    }

    /// Sets the number of threads, with a pool of their own that sleeps between calls.
    pub(crate) fn set_threads(&mut self, n: i32) -> Result<()> {
        if n == self.n_threads {
            return Ok(());
        }
        let pool = self.threads.pool(n)?;
        if !self.link.set_threads(pool, n.unsigned_abs() as usize) {
            bail!(OutOfMemory, "no memory for {n} threads to work in; use a smaller n_threads")
        }
        // SAFETY: the context is valid; the pool lives until the context is dropped.
        unsafe {
            sys::llama_set_n_threads(self.as_ptr(), n, n);
            sys::llama_attach_threadpool(self.as_ptr(), pool, pool);
        }
        self.n_threads = n;
        Ok(())
    }

    /// Whether the engine counts twice what is computed with in this memory.
    pub(super) fn counts_twice(&self, buft: sys::ggml_backend_buffer_type_t) -> bool {
        self.model.counted_twice == Some(buft)
    }

    /// The bytes that our kernels work in, with so many threads.
    pub(super) fn scratch_bytes(&self, n_threads: i32) -> u64 {
        self.link.scratch_bytes(n_threads.unsigned_abs() as usize)
    }

    /// Evaluates `tokens` after the positions the cache holds, and keeps the logits of the last one.
    ///
    /// Checked: not empty, at most `n_ubatch`, ids in the vocabulary, contiguous, inside the context.
    /// After an error or a cancel the cache holds what it held before.
    pub(crate) fn decode(
        &mut self,
        tokens: &[i32],
        start: i32,
        cancel: &CancelToken,
    ) -> Result<()> {
        let last = tokens.len().saturating_sub(1);
        self.decode_for(tokens, start, |i| i == last, cancel)
    }

    /// As [`decode`](Self::decode), and keeps the logits of the tokens that `wanted` names by their index: at most
    /// [`n_outputs`](Self::n_outputs), or none.
    pub(crate) fn decode_for(
        &mut self,
        tokens: &[i32],
        start: i32,
        wanted: impl Fn(usize) -> bool,
        cancel: &CancelToken,
    ) -> Result<()> {
        self.check_batch(tokens, start)?;
        cancel.check("evaluating tokens")?;
        self.batch.fill(tokens, start, wanted);
        let n_outputs = self.batch.n_outputs();
        if n_outputs > self.n_outputs as usize {
            bail!(Internal, "{n_outputs} rows of logits, of at most {}", self.n_outputs)
        }
        self.submit(Call::Decode, cancel)
    }

    /// Gives the batch to the engine. What the engine would assert of it was checked before.
    pub(super) fn submit(&mut self, call: Call, cancel: &CancelToken) -> Result<()> {
        let batch = self.batch.view();
        let mut status = 0;
        let _running = Running::new(&self.cancel, cancel);
        let _reading = self.model.adapters.read().unwrap_or_else(PoisonError::into_inner);
        let (called, lines) = log::capture(|| {
            shim::call("evaluating tokens", |why| {
                let context = self.pointer.as_ptr();
                // SAFETY: `batch` points into `self.batch`, which is not changed meanwhile; every
                // precondition that the engine asserts was checked by the caller.
                unsafe {
                    match call {
                        Call::Decode => {
                            shim::nestling_shim_decode(context, &batch, &mut status, why)
                        }
                        Call::Encode => {
                            shim::nestling_shim_encode(context, &batch, &mut status, why)
                        }
                    }
                }
            })
        });
        called?;
        match status {
            0 => Ok(()),
            1 => bail!(ContextFull, "the context has no room for {} more tokens", batch.n_tokens),
            2 => bail!(Cancelled, "evaluating tokens was cancelled; the session is usable"),
            other => {
                let reason = lines.last().map_or("no reason given", String::as_str);
                bail!(Engine, "the engine failed to evaluate tokens (status {other}): {reason}")
            }
        }
    }

    fn check_batch(&self, tokens: &[i32], start: i32) -> Result<()> {
        let end = i64::from(start) + tokens.len() as i64;
        if tokens.is_empty() || tokens.len() > self.n_ubatch as usize {
            bail!(Internal, "a batch of {} tokens, of 1 to {}", tokens.len(), self.n_ubatch)
        }
        if start < 0 || end > i64::from(self.n_ctx) {
            bail!(ContextFull, "the context holds {} tokens; {end} were asked for", self.n_ctx)
        }
        self.check_ids(tokens)?;
        let held = self.position_max() + 1;
        if held != start {
            bail!(Internal, "tokens for position {start}, but the cache ends at {held}")
        }
        Ok(())
    }

    pub(super) fn check_ids(&self, tokens: &[i32]) -> Result<()> {
        if let Some(bad) = tokens.iter().find(|&&t| t < 0 || t as usize >= self.n_vocab) {
            bail!(
                InvalidToken,
                "token id {bad} is outside the vocabulary; ids go from 0 to {}",
                self.n_vocab.saturating_sub(1)
            )
        }
        Ok(())
    }

    /// The logits of the last evaluated token: one for each token of the vocabulary.
    pub(crate) fn logits(&mut self) -> Result<&[f32]> {
        self.row_of_logits(-1)
    }

    /// The logits of the token at this index of the last decode, for which they were wanted.
    pub(crate) fn logits_at(&mut self, index: usize) -> Result<&[f32]> {
        if !self.batch.has_output(index) {
            bail!(Internal, "logits of token {index}, for which none were wanted")
        }
        self.row_of_logits(index as i32)
    }

    fn row_of_logits(&mut self, index: i32) -> Result<&[f32]> {
        let mut data = null_mut();
        shim::call("reading logits", |why| {
            // SAFETY: the context is valid; without logits it gives null.
            unsafe { shim::nestling_shim_logits(self.as_ptr(), index, &mut data, why) }
        })?;
        if data.is_null() {
            bail!(WrongState, "there are no logits: evaluate a prompt first")
        }
        // SAFETY: not null, so the engine holds `n_vocab` logits there until the next decode, which
        // needs `&mut self`.
        Ok(unsafe { std::slice::from_raw_parts(data, self.n_vocab) })
    }

    /// Uses these adapters with these scales from the next decode on.
    pub(crate) fn set_adapters(&mut self, adapters: &[(Arc<RawAdapter>, f32)]) -> Result<()> {
        if let Some(i) = adapters.iter().position(|(a, _)| !a.belongs_to(&self.model)) {
            bail!(AdapterMismatch, "adapter {i} was loaded for another model; load it for this one")
        }
        let mut pointers: Vec<_> = adapters.iter().map(|(a, _)| a.as_ptr()).collect();
        let mut scales: Vec<_> = adapters.iter().map(|(_, s)| *s).collect();
        let mut status = 0;
        shim::call("attaching adapters", |why| {
            // SAFETY: the adapters belong to this context's model and are kept alive below, for as
            // long as the context uses them.
            unsafe {
                shim::nestling_shim_adapters_set(
                    self.as_ptr(),
                    pointers.as_mut_ptr(),
                    pointers.len(),
                    scales.as_mut_ptr(),
                    &mut status,
                    why,
                )
            }
        })?;
        if status != 0 {
            bail!(AdapterMismatch, "the engine refused the adapters (status {status})")
        }
        self.adapters = adapters.to_vec();
        Ok(())
    }
}

impl Drop for RawContext {
    fn drop(&mut self) {
        // SAFETY: owned by this object alone; the threads end after the context that uses them.
        unsafe {
            sys::llama_free(self.as_ptr());
            self.threads.free();
        }
    }
}
