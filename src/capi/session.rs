//! Sessions: one sequence of tokens each, with its cache, sampler and adapters.

use std::ffi::c_char;

use super::argument::{list, text, text_of};
use super::cancel::{nest_cancel, token};
use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Exclusive, Handle, free, handle};
use super::messages::{self, nest_messages};
use super::model::nest_model;
use super::options::{self, generation, nest_options};
use super::out::{fill, first_version, out, put, struct_size};
use super::string::nest_string;
use super::tokens::nest_tokens;
use crate::session::Session;

/// One conversation with a model, which it keeps alive.
pub struct nest_session(pub(super) Exclusive<Session>);

impl Handle for nest_session {
    const NAME: &'static str = "nest_session";

    fn close(&self) {
        self.0.close();
    }
}

/// A session's state, its memory in bytes, and the numbers of its last generation.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_session_stats {
    /// sizeof(nest_session_stats), set by the caller.
    pub struct_size: u32,
    /// The context length in tokens.
    pub n_ctx: u32,
    /// Tokens that the cache holds: the position of the next one.
    pub position: u64,
    /// CPU threads.
    pub n_threads: u32,
    /// Always 0.
    pub reserved: u32,
    /// Bytes of the KV cache.
    pub kv_cache_bytes: u64,
    /// Bytes of the buffers to compute with.
    pub compute_bytes: u64,
    /// Tokens of the last prompt.
    pub prompt_tokens: u64,
    /// Of these: reused from the cache.
    pub reused_tokens: u64,
    /// Tokens of the last answer.
    pub generated_tokens: u64,
    /// Seconds spent on the prompt.
    pub prompt_seconds: f64,
    /// Seconds from the first call of nest_generation_next to the first token.
    pub first_token_seconds: f64,
    /// Seconds spent on the answer after its first token.
    pub generation_seconds: f64,
    /// Evaluated prompt tokens per second; 0 if nothing was evaluated.
    pub prompt_rate: f64,
    /// Generated tokens per second after the first; 0 for fewer than two.
    pub generation_rate: f64,
}
first_version!(nest_session_stats, generation_rate: f64);

/// An empty session. `options` of the kind "session"; adapters added to them are attached.
///
/// Gives `session`. Any thread. Errors: NULL_POINTER, INVALID_OPTION, CANNOT_SHIFT, OUT_OF_MEMORY, UNSUPPORTED for
/// models that do not generate text, WRONG_STATE for a vocab_only model, ADAPTER_MISMATCH, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_session_new(
    model: *const nest_model,
    options: *const nest_options,
    session: *mut *mut nest_session,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(session, "session")?;
        let (model, (options, adapters)) =
            (handle(model, "model")?, options::with_adapters(options)?);
        let mut new = Session::new(&model.0, &options)?;
        new.set_adapters(&adapters)?;
        out.set(nest_session(Exclusive::new(new)));
        Ok(())
    })
}

/// A session that continues from a file of nest_session_save. `options` as for nest_session_new: threads, policies
/// and a longer context may differ; the adapters and their scales must be the same.
///
/// Gives `session`. Any thread. Errors: as nest_session_new, STATE_FORMAT for another kind of file, STATE_DAMAGED,
/// STATE_FOREIGN for the state of another model, adapter set or cache layout, and those of files.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_session_load(
    model: *const nest_model,
    path: *const c_char,
    options: *const nest_options,
    session: *mut *mut nest_session,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(session, "session")?;
        let (model, path) = (handle(model, "model")?, text(path, "path")?);
        let (options, adapters) = options::with_adapters(options)?;
        let mut new = Session::new(&model.0, &options)?;
        new.set_adapters(&adapters)?;
        new.restore(path)?;
        out.set(nest_session(Exclusive::new(new)));
        Ok(())
    })
}

/// Writes the session to a file that only the user can read, whole or not at all. The file holds the conversation.
///
/// Exclusive: `session`. Errors: NULL_POINTER, INVALID_UTF8, BUSY, and those of files.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_session_save(
    session: *mut nest_session,
    path: *const c_char,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let (session, path) = (handle(session, "session")?, text(path, "path")?);
        session.0.lock("session")?.save(path)
    })
}

/// A copy that continues on its own: the same tokens, cache, sampler and adapters.
///
/// Gives `copy`. Exclusive: `session`. Errors: NULL_POINTER, BUSY, OUT_OF_MEMORY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_session_fork(
    session: *mut nest_session,
    copy: *mut *mut nest_session,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(copy, "copy")?;
        let forked = handle(session, "session")?.0.lock("session")?.fork()?;
        out.set(nest_session(Exclusive::new(forked)));
        Ok(())
    })
}

/// Forgets all tokens; options and adapters stay.
///
/// Exclusive: `session`. Errors: NULL_POINTER, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_session_reset(session: *mut nest_session) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        handle(session, "session")?.0.lock("session")?.reset();
        Ok(())
    })
}

/// Uses the adapters of these options from now on, none for NULL; other options are not looked at. Called between two
/// generations, it gives each of them its own adapters: nothing is loaded for it. A change forgets the cached tokens,
/// which were computed with the old ones, and ends a generation that has begun.
///
/// Exclusive: `session`. Errors: NULL_POINTER, BUSY, INVALID_ARGUMENT, ADAPTER_MISMATCH.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_session_set_adapters(
    session: *mut nest_session,
    options: *const nest_options,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let (session, adapters) = (handle(session, "session")?, options::adapters(options)?);
        session.0.lock("session")?.set_adapters(&adapters)
    })
}

/// The tokens of the sequence: those of the cache, then the newest one if it is not evaluated yet.
///
/// Gives `tokens`. Exclusive: `session`. Errors: NULL_POINTER, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_session_tokens(
    session: *mut nest_session,
    tokens: *mut *mut nest_tokens,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(tokens, "tokens")?;
        let found = handle(session, "session")?.0.lock("session")?.tokens().collect();
        out.set(nest_tokens(found));
        Ok(())
    })
}

/// The session's state, its memory, and the numbers of its last generation.
///
/// Fills `stats`. Exclusive: `session`. Errors: NULL_POINTER, STRUCT_SIZE, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_session_get_stats(
    session: *mut nest_session,
    stats: *mut nest_session_stats,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        struct_size(stats, "stats")?;
        let session = handle(session, "session")?;
        let found = nest_session_stats::from(&*session.0.lock("session")?);
        fill(stats, found, "stats")
    })
}

/// The text that messages become in the model's chat format. `options` of the kind "generation".
///
/// Gives `text`. Exclusive: `session`. Errors: NULL_POINTER, BUSY, NO_TEMPLATE, UNKNOWN_TEMPLATE, TEMPLATE_SYNTAX,
/// TEMPLATE_RENDER, INVALID_OPTION.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_session_render_messages(
    session: *mut nest_session,
    messages: *const nest_messages,
    options: *const nest_options,
    text: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(text, "text")?;
        let session = handle(session, "session")?;
        let (messages, options) = (messages::read(messages)?, generation(options)?);
        out.set(nest_string::new(session.0.lock("session")?.render(&messages, &options)?));
        Ok(())
    })
}

/// The tokens that messages become, as a generation would evaluate them. `options` of the kind "generation".
///
/// Gives `tokens`. Exclusive: `session`. Errors: as nest_session_render_messages, and EMPTY_PROMPT, NO_TOKENIZER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_session_encode_messages(
    session: *mut nest_session,
    messages: *const nest_messages,
    options: *const nest_options,
    tokens: *mut *mut nest_tokens,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(tokens, "tokens")?;
        let session = handle(session, "session")?;
        let (prompt, options) = (messages::read(messages)?.into(), generation(options)?);
        out.set(nest_tokens(session.0.lock("session")?.encode_prompt(&prompt, &options)?));
        Ok(())
    })
}

/// The tokens that a text prompt becomes, as a generation would evaluate them. `length` may be -1; `options` of the
/// kind "generation".
///
/// Gives `tokens`. Exclusive: `session`. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, BUSY, NO_TOKENIZER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_session_encode_text(
    session: *mut nest_session,
    text: *const c_char,
    length: i64,
    options: *const nest_options,
    tokens: *mut *mut nest_tokens,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(tokens, "tokens")?;
        let session = handle(session, "session")?;
        let (prompt, options) = (text_of(text, length, "text")?.into(), generation(options)?);
        out.set(nest_tokens(session.0.lock("session")?.encode_prompt(&prompt, &options)?));
        Ok(())
    })
}

/// Makes the session hold exactly these tokens, evaluating only what the cache does not hold; `n_reused` becomes how
/// many it held. After an error the session holds what was evaluated.
///
/// Exclusive: `session`. Errors: NULL_POINTER, INVALID_ARGUMENT, BUSY, EMPTY_PROMPT, PROMPT_TOO_LONG, INVALID_TOKEN,
/// CANCELLED.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_session_evaluate(
    session: *mut nest_session,
    tokens: *const i32,
    n_tokens: u64,
    cancel: *const nest_cancel,
    n_reused: *mut u64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        put(n_reused, 0, "n_reused")?;
        let session = handle(session, "session")?;
        let tokens = list(tokens, n_tokens, "tokens")?;
        let cancel = session.0.token(&token(cancel));
        let done = session.0.lock("session")?.evaluate(tokens, &cancel)?;
        put(n_reused, done.reused as u64, "n_reused")
    })
}

/// The logits of the last evaluated token, one for each token of the vocabulary; lent by the session until the next
/// call with it or with a generation of it.
///
/// Exclusive: `session`. Errors: NULL_POINTER, BUSY, WRONG_STATE if nothing was evaluated yet.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_session_logits(
    session: *mut nest_session,
    logits: *mut *const f32,
    n_logits: *mut u64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        put(logits, std::ptr::null(), "logits")?;
        put(n_logits, 0, "n_logits")?;
        let session = handle(session, "session")?;
        let mut session = session.0.lock("session")?;
        let found = session.logits()?;
        put(logits, found.as_ptr(), "logits")?;
        put(n_logits, found.len() as u64, "n_logits")
    })
}

/// Frees a session; generations of it go on. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_session_free(session: *mut nest_session) {
    // SAFETY: NULL, or the caller's own session, given back.
    guard_or((), || unsafe { free(session) });
}

impl From<&Session> for nest_session_stats {
    fn from(session: &Session) -> Self {
        let stats = session.stats();
        Self {
            struct_size: 0,
            n_ctx: stats.n_ctx,
            position: session.position() as u64,
            n_threads: stats.n_threads,
            reserved: 0,
            kv_cache_bytes: stats.kv_cache_bytes,
            compute_bytes: stats.compute_bytes,
            prompt_tokens: stats.prompt_tokens,
            reused_tokens: stats.reused_tokens,
            generated_tokens: stats.generated_tokens,
            prompt_seconds: stats.prompt_seconds,
            first_token_seconds: stats.first_token_seconds,
            generation_seconds: stats.generation_seconds,
            prompt_rate: stats.prompt_rate(),
            generation_rate: stats.generation_rate(),
        }
    }
}
