//! Answers, pulled piece by piece.

use std::ffi::c_char;
use std::sync::Arc;

use super::argument::{list, text_of};
use super::cancel::{nest_cancel, token};
use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Exclusive, Handle, free, handle};
use super::messages::{self, nest_messages};
use super::options::{self, nest_options};
use super::out::{fill, first_version, out, put, struct_size};
use super::session::nest_session;
use crate::adapter::Adapter;
use crate::cancel::CancelToken;
use crate::error::Result;
use crate::generation::{EndReason, Generation, Piece};
use crate::options::GenerationOptions;
use crate::session::Prompt;

/// The answer goes on, or ended with an error.
pub const NEST_END_NONE: i32 = 0;
/// The model ended it.
pub const NEST_END_EOS: i32 = 1;
/// A stop text appeared.
pub const NEST_END_STOP_TEXT: i32 = 2;
/// A token of `stop_tokens` appeared.
pub const NEST_END_STOP_TOKEN: i32 = 3;
/// `max_tokens` were given.
pub const NEST_END_MAX_TOKENS: i32 = 4;

const _: () = {
    assert!(NEST_END_EOS == EndReason::Eos as i32);
    assert!(NEST_END_STOP_TEXT == EndReason::StopText as i32);
    assert!(NEST_END_STOP_TOKEN == EndReason::StopToken as i32);
    assert!(NEST_END_MAX_TOKENS == EndReason::MaxTokens as i32);
};

/// An answer that is being made; keeps its session alive.
pub struct nest_generation(Exclusive<State>);

struct State {
    generation: Generation,
    session: Arc<nest_session>,
    lent: Lent,
}

/// What the last piece points to.
#[derive(Default)]
struct Lent {
    text: Vec<u8>,
    top_tokens: Vec<i32>,
    top_logprobs: Vec<f32>,
}

impl Handle for nest_generation {
    const NAME: &'static str = "nest_generation";

    fn close(&self) {
        self.0.close();
    }
}

/// One step of an answer.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_piece {
    /// sizeof(nest_piece), set by the caller.
    pub struct_size: u32,
    /// The token's id; -1 for a last piece that only gives text held back before.
    pub token: i32,
    /// Text that is complete with this token, perhaps empty; lent by the generation until its next call.
    pub text: *const c_char,
    /// Bytes of the text; a NUL follows them.
    pub text_length: u64,
    /// ln p of the token under the model, before sampling options; NaN if not asked for.
    pub logprob: f32,
    /// The number of alternatives, as the option `top_logprobs` asked for.
    pub n_top: u32,
    /// The most likely tokens, best first; lent as the text; NULL if there are none.
    pub top_tokens: *const i32,
    /// ln p of each of them.
    pub top_logprobs: *const f32,
}
first_version!(nest_piece, top_logprobs: *const f32);

/// Records an answer to a text, continued as it is; `length` may be -1. The first nest_generation_next evaluates it.
/// `options` of the kind "generation".
///
/// Gives `generation`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, INVALID_OPTION, BUSY for
/// options that are being changed.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_generation_new_text(
    session: *mut nest_session,
    text: *const c_char,
    length: i64,
    options: *const nest_options,
    cancel: *const nest_cancel,
    generation: *mut *mut nest_generation,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(generation, "generation")?;
        let session = handle(session, "session")?;
        let prompt = text_of(text, length, "text")?.into();
        out.set(nest_generation::new(
            session,
            prompt,
            options::with_adapters::<GenerationOptions>(options)?,
            token(cancel),
        )?);
        Ok(())
    })
}

/// As nest_generation_new_text, for token ids.
///
/// Gives `generation`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT, INVALID_OPTION, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_generation_new_tokens(
    session: *mut nest_session,
    tokens: *const i32,
    n_tokens: u64,
    options: *const nest_options,
    cancel: *const nest_cancel,
    generation: *mut *mut nest_generation,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(generation, "generation")?;
        let session = handle(session, "session")?;
        let prompt = list(tokens, n_tokens, "tokens")?.into();
        out.set(nest_generation::new(
            session,
            prompt,
            options::with_adapters::<GenerationOptions>(options)?,
            token(cancel),
        )?);
        Ok(())
    })
}

/// As nest_generation_new_text, for a conversation, put into the model's chat format. The messages are copied.
///
/// Gives `generation`. Any thread. Errors: NULL_POINTER, INVALID_OPTION, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_generation_new_messages(
    session: *mut nest_session,
    messages: *const nest_messages,
    options: *const nest_options,
    cancel: *const nest_cancel,
    generation: *mut *mut nest_generation,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(generation, "generation")?;
        let session = handle(session, "session")?;
        let prompt = messages::read(messages)?.into();
        out.set(nest_generation::new(
            session,
            prompt,
            options::with_adapters::<GenerationOptions>(options)?,
            token(cancel),
        )?);
        Ok(())
    })
}

/// The next piece. `has_piece` becomes 1 when there is one; 0 when the answer has ended: `piece` is then as it was.
/// After an error the answer has ended; the session stays usable and holds what was evaluated.
///
/// Fills `piece`, with memory lent until the next call with the generation. Exclusive: `generation` and its session.
/// Errors: NULL_POINTER, STRUCT_SIZE, BUSY, CANCELLED, EMPTY_PROMPT, PROMPT_TOO_LONG, INVALID_TOKEN, CONTEXT_FULL,
/// NO_TEMPLATE, TEMPLATE_..., ADAPTER_MISMATCH, WRONG_STATE when the session has begun another generation or was reset.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_generation_next(
    generation: *mut nest_generation,
    piece: *mut nest_piece,
    has_piece: *mut i32,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        put(has_piece, 0, "has_piece")?;
        struct_size(piece, "piece")?;
        let generation = handle(generation, "generation")?;
        let mut state = generation.0.lock("generation")?;
        let Some(found) = state.next()? else { return Ok(()) };
        fill(piece, state.lent.piece(found), "piece")?;
        put(has_piece, 1, "has_piece")
    })
}

/// Why the answer ended: one of NEST_END_....
///
/// Exclusive: `generation`. Errors: NULL_POINTER, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_generation_end_reason(
    generation: *mut nest_generation,
    reason: *mut i32,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        put(reason, NEST_END_NONE, "reason")?;
        let generation = handle(generation, "generation")?;
        let found = generation.0.lock("generation")?.generation.end_reason();
        put(reason, found.map_or(NEST_END_NONE, |r| r as i32), "reason")
    })
}

/// Frees a generation; its session goes on, with what was evaluated. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_generation_free(generation: *mut nest_generation) {
    // SAFETY: NULL, or the caller's own generation, given back.
    guard_or((), || unsafe { free(generation) });
}

impl nest_generation {
    fn new(
        session: Arc<nest_session>,
        prompt: Prompt,
        (options, adapters): (GenerationOptions, Vec<(Adapter, f32)>),
        cancel: CancelToken,
    ) -> Result<Self> {
        // Its own token: freeing the generation must not stop what else the host's token is given to.
        let stop = CancelToken::new();
        cancel.link(&stop);
        let generation = Generation::new(prompt, &options, stop.clone())?.with_adapters(adapters);
        Ok(Self(Exclusive::stopped_by(State { generation, session, lent: Lent::default() }, stop)))
    }
}

impl State {
    fn next(&mut self) -> Result<Option<Piece>> {
        let session = Arc::clone(&self.session);
        let mut session = session.0.lock("session")?;
        self.generation.next(&mut session)
    }
}

impl Lent {
    fn piece(&mut self, piece: Piece) -> nest_piece {
        let length = piece.text.len() as u64;
        self.text = piece.text.into_bytes();
        self.text.push(0);
        self.top_tokens = piece.top.iter().map(|t| t.token).collect();
        self.top_logprobs = piece.top.iter().map(|t| t.logprob).collect();
        let lent = !piece.top.is_empty();
        nest_piece {
            struct_size: 0,
            token: piece.token,
            text: self.text.as_ptr().cast(),
            text_length: length,
            logprob: piece.logprob.unwrap_or(f32::NAN),
            n_top: piece.top.len() as u32,
            top_tokens: if lent { self.top_tokens.as_ptr() } else { std::ptr::null() },
            top_logprobs: if lent { self.top_logprobs.as_ptr() } else { std::ptr::null() },
        }
    }
}
