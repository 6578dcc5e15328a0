//! Embeddings: texts as vectors.

use std::ffi::c_char;

use super::argument::{list, text};
use super::cancel::{nest_cancel, token};
use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Handle, free, handle, optional};
use super::model::nest_model;
use super::options::{self, nest_options};
use super::out::out;
use crate::embedding::Embeddings;
use crate::error::Result;
use crate::job::Monitor;

/// The vectors of several texts.
pub struct nest_embeddings(Embeddings);

impl Handle for nest_embeddings {
    const NAME: &'static str = "nest_embeddings";
}

/// The vectors of `n_texts` texts, each ending with NUL, in their order: one for each text, or with `pooling=none` one for
/// each of its tokens. `options` of the kind "embedding".
///
/// Gives `embeddings`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, INVALID_OPTION, BUSY for options
/// that are being changed, EMBEDDING_TOO_LONG names a text that is longer than the model reads at once, EMBEDDING_POOLING
/// if the file does not say how to pool, EMBEDDING_DIMENSIONS, EMPTY_PROMPT names a text without tokens, NO_TOKENIZER,
/// WRONG_STATE for a model opened with `vocab_only`, DOES_NOT_FIT, ENGINE where the model gives numbers that are not
/// finite, CANCELLED.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_model_embed(
    model: *const nest_model,
    texts: *const *const c_char,
    n_texts: u64,
    options: *const nest_options,
    cancel: *const nest_cancel,
    embeddings: *mut *mut nest_embeddings,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(embeddings, "embeddings")?;
        let model = handle(model, "model")?;
        let texts = list(texts, n_texts, "texts")?.iter().map(|t| text(*t, "texts"));
        let texts = texts.collect::<Result<Vec<_>>>()?;
        let monitor = Monitor::new(token(cancel));
        let found = model.0.embed_with(&texts, &options::of(options)?, &monitor)?;
        out.set(nest_embeddings(found));
        Ok(())
    })
}

/// The number of texts; 0 for NULL. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_embeddings_count(embeddings: *const nest_embeddings) -> u64 {
    // SAFETY: NULL, or embeddings that are not freed.
    guard_or(0, || unsafe { optional(embeddings) }.map_or(0, |e| e.0.len() as u64))
}

/// How many numbers a vector has; 0 for NULL. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_embeddings_dimensions(embeddings: *const nest_embeddings) -> u64 {
    // SAFETY: NULL, or embeddings that are not freed.
    guard_or(0, || unsafe { optional(embeddings) }.map_or(0, |e| e.0.dimensions() as u64))
}

/// How many vectors the text at `index` has: 1, or with `pooling=none` as many as tokens; 0 for NULL, and for a text that
/// there is not. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_embeddings_vectors(
    embeddings: *const nest_embeddings,
    index: u64,
) -> u64 {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    // SAFETY: NULL, or embeddings that are not freed.
    guard_or(0, || unsafe { optional(embeddings) }.map_or(0, |e| e.0.n_vectors(index) as u64))
}

/// The vectors of the text at `index`, one after the other, lent by the embeddings; NULL for NULL, and for a text that
/// there is not. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_embeddings_data(
    embeddings: *const nest_embeddings,
    index: u64,
) -> *const f32 {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    guard_or(std::ptr::null(), || {
        // SAFETY: NULL, or embeddings that are not freed.
        let embeddings = unsafe { optional(embeddings) };
        let found = embeddings.as_ref().map(|e| e.0.get(index)).unwrap_or_default();
        if found.is_empty() { std::ptr::null() } else { found.as_ptr() }
    })
}

/// Frees embeddings. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_embeddings_free(embeddings: *mut nest_embeddings) {
    // SAFETY: NULL, or the caller's own embeddings, given back.
    guard_or((), || unsafe { free(embeddings) });
}
