//! Text to tokens and back.

use std::ffi::c_char;

use super::argument::{flag, list, text_of};
use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Handle, free, handle};
use super::model::nest_model;
use super::out::{fill, first_version, out, put, struct_size};
use super::string::nest_string;
use super::tokens::nest_tokens;
use crate::error::Result;
use crate::tokenizer::{EncodeOptions, TokenInfo, TokenKind, Tokenizer};

/// Text.
pub const NEST_TOKEN_NORMAL: i32 = 1;
/// Stands for what the vocabulary does not have.
pub const NEST_TOKEN_UNKNOWN: i32 = 2;
/// Structure (BOS, end of turn, ...): not text.
pub const NEST_TOKEN_CONTROL: i32 = 3;
/// Added by the model's makers; read in any text.
pub const NEST_TOKEN_USER_DEFINED: i32 = 4;
/// Never used.
pub const NEST_TOKEN_UNUSED: i32 = 5;
/// One byte.
pub const NEST_TOKEN_BYTE: i32 = 6;

const _: () = {
    assert!(NEST_TOKEN_NORMAL == TokenKind::Normal as i32);
    assert!(NEST_TOKEN_UNKNOWN == TokenKind::Unknown as i32);
    assert!(NEST_TOKEN_CONTROL == TokenKind::Control as i32);
    assert!(NEST_TOKEN_USER_DEFINED == TokenKind::UserDefined as i32);
    assert!(NEST_TOKEN_UNUSED == TokenKind::Unused as i32);
    assert!(NEST_TOKEN_BYTE == TokenKind::Byte as i32);
};

/// A model's tokenizer; keeps the model alive.
pub struct nest_tokenizer(pub(super) Tokenizer);

impl Handle for nest_tokenizer {
    const NAME: &'static str = "nest_tokenizer";
}

/// Facts about a vocabulary. A token that the model does not have is -1.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_tokenizer_info {
    /// sizeof(nest_tokenizer_info), set by the caller.
    pub struct_size: u32,
    /// The number of tokens; ids go from 0 to one less.
    pub n_vocab: u32,
    /// The token that begins a text.
    pub bos: i32,
    /// The token that ends a text.
    pub eos: i32,
    /// The token that ends a turn.
    pub eot: i32,
}
first_version!(nest_tokenizer_info, eot: i32);

/// Facts about one token.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_token_info {
    /// sizeof(nest_token_info), set by the caller.
    pub struct_size: u32,
    /// The token's id.
    pub id: i32,
    /// One of NEST_TOKEN_....
    pub kind: i32,
    /// Its score, for SentencePiece vocabularies.
    pub score: f32,
    /// Whether it ends an answer: 0 or 1.
    pub ends_generation: i32,
}
first_version!(nest_token_info, ends_generation: i32);

/// The tokenizer of a model.
///
/// Gives `tokenizer`. Any thread. Errors: NULL_POINTER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_tokenizer_new(
    model: *const nest_model,
    tokenizer: *mut *mut nest_tokenizer,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(tokenizer, "tokenizer")?;
        out.set(nest_tokenizer(Tokenizer::new(&handle(model, "model")?.0)));
        Ok(())
    })
}

/// The tokens of a text; `length` may be -1. `add_special`: add what the model wants around a text (BOS, ...).
/// `parse_special`: read the texts of special tokens as these tokens, only for text that is trusted; with 0 no text
/// can become a control token.
///
/// Gives `tokens`. Any thread. Errors: NULL_POINTER, INVALID_UTF8, INVALID_ARGUMENT, NO_TOKENIZER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_tokenizer_encode(
    tokenizer: *const nest_tokenizer,
    text: *const c_char,
    length: i64,
    add_special: i32,
    parse_special: i32,
    tokens: *mut *mut nest_tokens,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(tokens, "tokens")?;
        let tokenizer = handle(tokenizer, "tokenizer")?;
        let (text, how) = (text_of(text, length, "text")?, how(add_special, parse_special)?);
        out.set(nest_tokens(tokenizer.0.encode(text, how)?));
        Ok(())
    })
}

/// The number of tokens of a text, as nest_tokenizer_encode would give.
///
/// Any thread. Errors: as nest_tokenizer_encode.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_tokenizer_count(
    tokenizer: *const nest_tokenizer,
    text: *const c_char,
    length: i64,
    add_special: i32,
    parse_special: i32,
    count: *mut u64,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        put(count, 0, "count")?;
        let tokenizer = handle(tokenizer, "tokenizer")?;
        let (text, how) = (text_of(text, length, "text")?, how(add_special, parse_special)?);
        put(count, tokenizer.0.count(text, how)? as u64, "count")
    })
}

/// The text of `n_tokens` tokens. `special`: 1 gives the text of control tokens, 0 leaves it out. Bytes that are not
/// UTF-8 become U+FFFD.
///
/// Gives `text`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT, INVALID_TOKEN, NO_TOKENIZER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_tokenizer_decode(
    tokenizer: *const nest_tokenizer,
    tokens: *const i32,
    n_tokens: u64,
    special: i32,
    text: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(text, "text")?;
        let tokenizer = handle(tokenizer, "tokenizer")?;
        let (tokens, special) = (list(tokens, n_tokens, "tokens")?, flag(special, "special")?);
        out.set(nest_string::new(tokenizer.0.decode(tokens, special)?));
        Ok(())
    })
}

/// Facts about the vocabulary.
///
/// Fills `info`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_tokenizer_get_info(
    tokenizer: *const nest_tokenizer,
    info: *mut nest_tokenizer_info,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe { fill(info, info_of(&handle(tokenizer, "tokenizer")?.0), "info") })
}

/// Facts about one token, and its text as the model file spells it (byte-level BPE: in its byte alphabet).
///
/// Fills `info`, gives `text`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE, INVALID_TOKEN, NO_TOKENIZER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_tokenizer_get_token(
    tokenizer: *const nest_tokenizer,
    token: i32,
    info: *mut nest_token_info,
    text: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(text, "text")?;
        struct_size(info, "info")?;
        let found = handle(tokenizer, "tokenizer")?.0.token(token)?;
        fill(info, nest_token_info::from(&found), "info")?;
        out.set(nest_string::new(found.text));
        Ok(())
    })
}

/// Frees a tokenizer. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_tokenizer_free(tokenizer: *mut nest_tokenizer) {
    // SAFETY: NULL, or the caller's own tokenizer, given back.
    guard_or((), || unsafe { free(tokenizer) });
}

fn how(add_special: i32, parse_special: i32) -> Result<EncodeOptions> {
    Ok(EncodeOptions {
        add_special: flag(add_special, "add_special")?,
        parse_special: flag(parse_special, "parse_special")?,
    })
}

fn info_of(tokenizer: &Tokenizer) -> nest_tokenizer_info {
    nest_tokenizer_info {
        struct_size: 0,
        n_vocab: tokenizer.n_vocab() as u32,
        bos: tokenizer.bos().unwrap_or(-1),
        eos: tokenizer.eos().unwrap_or(-1),
        eot: tokenizer.eot().unwrap_or(-1),
    }
}

impl From<&TokenInfo> for nest_token_info {
    fn from(info: &TokenInfo) -> Self {
        Self {
            struct_size: 0,
            id: info.id,
            kind: info.kind as i32,
            score: info.score,
            ends_generation: info.ends_generation.into(),
        }
    }
}
