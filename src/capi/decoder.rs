//! Tokens that arrive one by one, as whole characters.

use super::argument::flag;
use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Exclusive, Handle, free, handle};
use super::out::out;
use super::string::nest_string;
use super::tokenizer::nest_tokenizer;
use crate::tokenizer::{StreamDecoder, Tokenizer};

/// Turns tokens into text one by one; keeps its tokenizer alive.
pub struct nest_decoder(Exclusive<State>);

struct State {
    tokenizer: Tokenizer,
    special: bool,
    stream: StreamDecoder,
}

impl Handle for nest_decoder {
    const NAME: &'static str = "nest_decoder";
}

/// A decoder. `special`: 1 gives the text of control tokens, 0 leaves it out.
///
/// Gives `decoder`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_decoder_new(
    tokenizer: *const nest_tokenizer,
    special: i32,
    decoder: *mut *mut nest_decoder,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(decoder, "decoder")?;
        let tokenizer = handle(tokenizer, "tokenizer")?.0.clone();
        let special = flag(special, "special")?;
        let stream = tokenizer.decoder();
        out.set(nest_decoder(Exclusive::new(State { tokenizer, special, stream })));
        Ok(())
    })
}

/// Adds a token. `text` is what is complete with it: whole characters, perhaps empty.
///
/// Gives `text`. Exclusive: `decoder`. Errors: NULL_POINTER, BUSY, INVALID_TOKEN, NO_TOKENIZER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_decoder_push(
    decoder: *mut nest_decoder,
    token: i32,
    text: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(text, "text")?;
        let decoder = handle(decoder, "decoder")?;
        let state = &mut *decoder.0.lock("decoder")?;
        let bytes = state.tokenizer.decode_bytes(&[token], state.special)?;
        out.set(nest_string::new(state.stream.push(&bytes)));
        Ok(())
    })
}

/// Ends the stream: an unfinished character becomes U+FFFD. The decoder can be used for the next one.
///
/// Gives `text`. Exclusive: `decoder`. Errors: NULL_POINTER, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_decoder_finish(
    decoder: *mut nest_decoder,
    text: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(text, "text")?;
        let decoder = handle(decoder, "decoder")?;
        let rest = decoder.0.lock("decoder")?.stream.finish();
        out.set(nest_string::new(rest));
        Ok(())
    })
}

/// Frees a decoder. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_decoder_free(decoder: *mut nest_decoder) {
    // SAFETY: NULL, or the caller's own decoder, given back.
    guard_or((), || unsafe { free(decoder) });
}
