//! The vocabulary of a model: text to tokens and back.

use std::marker::PhantomData;

use llama_cpp_sys_2 as sys;

use super::shim;
use crate::error::{Result, bail};

/// A view of a model's vocabulary.
#[derive(Clone, Copy)]
pub(crate) struct RawVocab<'a> {
    pointer: *const sys::llama_vocab,
    model: PhantomData<&'a super::RawModel>,
}

/// What kind of token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub control: bool,
    pub unknown: bool,
    pub unused: bool,
    pub byte: bool,
    pub user_defined: bool,
}

impl<'a> RawVocab<'a> {
    pub(super) fn new(pointer: *const sys::llama_vocab) -> Self {
        Self { pointer, model: PhantomData }
    }

    /// Whether there is a tokenizer at all.
    pub(crate) fn exists(self) -> bool {
        // SAFETY: the vocabulary is valid while the model is borrowed; the call reads a field.
        unsafe { sys::llama_vocab_type(self.pointer) != sys::LLAMA_VOCAB_TYPE_NONE }
    }

    /// The number of tokens, which is the number of logits.
    pub(crate) fn len(self) -> usize {
        // SAFETY: as in `exists`.
        unsafe { sys::llama_vocab_n_tokens(self.pointer) }.max(0) as usize
    }

    /// The tokens of `text`. `text` is at most `i32::MAX` bytes and a tokenizer exists (both checked).
    pub(crate) fn tokenize(self, text: &str, special: bool, parse: bool) -> Result<Vec<i32>> {
        if !self.exists() {
            bail!(NoTokenizer, "the model has no tokenizer; give token ids instead of text")
        }
        let Ok(len) = i32::try_from(text.len()) else {
            bail!(InvalidArgument, "the text has {} bytes; give at most 2 GiB at once", text.len())
        };
        let mut tokens = vec![0i32; text.len() / 3 + 8];
        loop {
            let capacity = i32::try_from(tokens.len()).unwrap_or(i32::MAX);
            let mut n = 0;
            shim::call("tokenizing", |why| {
                // SAFETY: `text` and `tokens` are live for their given lengths.
                unsafe {
                    shim::nestling_shim_tokenize(
                        self.pointer,
                        text.as_ptr().cast(),
                        len,
                        tokens.as_mut_ptr(),
                        capacity,
                        special,
                        parse,
                        &mut n,
                        why,
                    )
                }
            })?;
            if n == i32::MIN {
                bail!(InvalidArgument, "the text has more tokens than can be counted; split it")
            }
            if n >= 0 {
                tokens.truncate(n as usize);
                return Ok(tokens);
            }
            tokens.resize(n.unsigned_abs() as usize, 0);
        }
    }

    /// Appends the bytes of `token`; special tokens give text only when asked. The id is checked.
    pub(crate) fn piece(self, token: i32, special: bool, out: &mut Vec<u8>) -> Result<()> {
        self.check(token)?;
        let start = out.len();
        let mut room = 64usize;
        loop {
            out.resize(start + room, 0);
            let mut n = 0;
            shim::call("reading a token", |why| {
                // SAFETY: the id is in range, the buffer has `room` bytes from `start`.
                unsafe {
                    shim::nestling_shim_token_to_piece(
                        self.pointer,
                        token,
                        out.as_mut_ptr().add(start).cast(),
                        room as i32,
                        special,
                        &mut n,
                        why,
                    )
                }
            })?;
            if n >= 0 {
                out.truncate(start + n as usize);
                return Ok(());
            }
            room = n.unsigned_abs() as usize;
        }
    }

    /// The token as the file spells it (for BPE: in the byte-to-unicode alphabet).
    pub(crate) fn text(self, token: i32) -> Result<String> {
        self.check(token)?;
        // SAFETY: the id is in range; the engine returns a string that lives as long as the model.
        Ok(super::device::text(unsafe { sys::llama_vocab_get_text(self.pointer, token) }))
    }

    /// The token's score (SentencePiece), 0 for other vocabularies.
    pub(crate) fn score(self, token: i32) -> Result<f32> {
        self.check(token)?;
        // SAFETY: the id is in range.
        Ok(unsafe { sys::llama_vocab_get_score(self.pointer, token) })
    }

    pub(crate) fn attributes(self, token: i32) -> Result<Attributes> {
        self.check(token)?;
        // SAFETY: the id is in range.
        let bits = unsafe { sys::llama_vocab_get_attr(self.pointer, token) };
        let has = |bit: sys::llama_token_attr| bits & bit != 0;
        Ok(Attributes {
            control: has(sys::LLAMA_TOKEN_ATTR_CONTROL),
            unknown: has(sys::LLAMA_TOKEN_ATTR_UNKNOWN),
            unused: has(sys::LLAMA_TOKEN_ATTR_UNUSED),
            byte: has(sys::LLAMA_TOKEN_ATTR_BYTE),
            user_defined: has(sys::LLAMA_TOKEN_ATTR_USER_DEFINED),
        })
    }

    /// Whether the token ends an answer.
    pub(crate) fn is_end(self, token: i32) -> bool {
        // SAFETY: the call looks the id up in a set; any id is valid.
        unsafe { sys::llama_vocab_is_eog(self.pointer, token) }
    }

    pub(crate) fn bos(self) -> Option<i32> {
        // SAFETY: as in `exists`.
        self.token(unsafe { sys::llama_vocab_bos(self.pointer) })
    }

    pub(crate) fn eos(self) -> Option<i32> {
        // SAFETY: as in `exists`.
        self.token(unsafe { sys::llama_vocab_eos(self.pointer) })
    }

    pub(crate) fn eot(self) -> Option<i32> {
        // SAFETY: as in `exists`.
        self.token(unsafe { sys::llama_vocab_eot(self.pointer) })
    }

    pub(crate) fn add_bos(self) -> bool {
        // SAFETY: as in `exists`.
        unsafe { sys::llama_vocab_get_add_bos(self.pointer) }
    }

    pub(crate) fn add_eos(self) -> bool {
        // SAFETY: as in `exists`.
        unsafe { sys::llama_vocab_get_add_eos(self.pointer) }
    }

    fn token(self, id: i32) -> Option<i32> {
        (0..self.len() as i64).contains(&i64::from(id)).then_some(id)
    }

    pub(crate) fn check(self, token: i32) -> Result<()> {
        if !self.exists() {
            bail!(NoTokenizer, "the model has no tokenizer; token ids cannot be turned into text")
        }
        if self.token(token).is_none() {
            bail!(
                InvalidToken,
                "token id {token} is outside the vocabulary; ids go from 0 to {}",
                self.len().saturating_sub(1)
            )
        }
        Ok(())
    }
}
