//! Text to tokens and back.

mod chat;
mod decoder;
mod word_piece;

pub(crate) use chat::ChatFormat;
pub use decoder::StreamDecoder;

use std::borrow::Cow;

use serde::Serialize;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::chat::Segment;
use crate::error::Result;
use crate::ggml::RawVocab;
use crate::model::Model;

/// Pre-tokenizers whose vocabularies are for composed text.
const COMPOSED: &[&str] = &["qwen2", "command-r", "olmo"];

/// A model's tokenizer. Cheap to clone; may be used from several threads at once.
#[derive(Debug, Clone)]
pub struct Tokenizer(Model);

/// How text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodeOptions {
    /// Add the tokens that the model wants around a text (BOS, EOS, ...).
    pub add_special: bool,
    /// Read the texts of special tokens as these tokens. Only for text that is trusted: off, no text can
    /// become a control token.
    pub parse_special: bool,
}

/// What kind of token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
#[non_exhaustive]
pub enum TokenKind {
    /// Text.
    Normal = 1,
    /// Stands for what the vocabulary does not have.
    Unknown = 2,
    /// Structure (BOS, end of turn, ...): not text.
    Control = 3,
    /// Added by the model's makers; read in any text.
    UserDefined = 4,
    /// Never used.
    Unused = 5,
    /// One byte.
    Byte = 6,
}

/// One token of the vocabulary.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenInfo {
    /// Its id.
    pub id: i32,
    /// As the model file spells it (byte-level BPE: in its byte alphabet).
    pub text: String,
    /// Its score, for SentencePiece vocabularies.
    pub score: f32,
    /// Its kind.
    pub kind: TokenKind,
    /// Whether it ends an answer.
    pub ends_generation: bool,
}

impl Tokenizer {
    /// The tokenizer of `model`, which it keeps alive.
    pub fn new(model: &Model) -> Self {
        Self(model.clone())
    }

    /// The number of tokens; ids go from 0 to one less.
    pub fn n_vocab(&self) -> usize {
        self.vocab().len()
    }

    /// The tokens of `text`.
    ///
    /// # Errors
    /// `NoTokenizer`; `InvalidArgument` for more than 2 GiB of text.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<i32>> {
        self.tokenize(text, options.add_special, options.parse_special)
    }

    /// The number of tokens of `text`.
    pub fn count(&self, text: &str, options: EncodeOptions) -> Result<usize> {
        Ok(self.encode(text, options)?.len())
    }

    /// The tokens of a rendered conversation: special tokens only where the template put them, and the
    /// token that begins a text in front if the model wants one and the template did not write it.
    pub fn encode_segments(&self, segments: &[Segment<'_>]) -> Result<Vec<i32>> {
        let vocab = self.vocab();
        let mut tokens = Vec::new();
        for segment in segments {
            let (text, parse) = match segment {
                Segment::Template(text) => (text, true),
                Segment::Literal(text) => (text, false),
            };
            tokens.extend(self.tokenize(text, false, parse)?);
        }
        if let Some(bos) = vocab.bos().filter(|_| vocab.add_bos())
            && tokens.first() != Some(&bos)
        {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    /// The bytes of tokens, one after the other. Control tokens give their text only if `special`.
    ///
    /// # Errors
    /// `InvalidToken` for an id outside the vocabulary; `NoTokenizer`.
    pub fn decode_bytes(&self, tokens: &[i32], special: bool) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(tokens.len() * 4);
        for &token in tokens {
            self.vocab().piece(token, special, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// The text of tokens: the inverse of [`encode`](Self::encode). Bytes that are not UTF-8 become
    /// U+FFFD.
    pub fn decode(&self, tokens: &[i32], special: bool) -> Result<String> {
        let bytes = self.decode_bytes(tokens, special)?;
        let text = String::from_utf8_lossy(&bytes);
        // SentencePiece puts a space in front of a text, which is not part of it.
        let text = if self.adds_space() { text.strip_prefix(' ').unwrap_or(&text) } else { &text };
        Ok(text.to_owned())
    }

    /// A decoder for tokens that arrive one by one.
    pub fn decoder(&self) -> StreamDecoder {
        StreamDecoder::default()
    }

    /// Facts about one token.
    pub fn token(&self, id: i32) -> Result<TokenInfo> {
        let vocab = self.vocab();
        let attributes = vocab.attributes(id)?;
        let kind = if attributes.control {
            TokenKind::Control
        } else if attributes.unknown {
            TokenKind::Unknown
        } else if attributes.unused {
            TokenKind::Unused
        } else if attributes.byte {
            TokenKind::Byte
        } else if attributes.user_defined {
            TokenKind::UserDefined
        } else {
            TokenKind::Normal
        };
        Ok(TokenInfo {
            id,
            text: vocab.text(id)?,
            score: vocab.score(id)?,
            kind,
            ends_generation: vocab.is_end(id),
        })
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<i32> {
        self.vocab().bos()
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<i32> {
        self.vocab().eos()
    }

    /// The token that ends a turn.
    pub fn eot(&self) -> Option<i32> {
        self.vocab().eot()
    }

    /// Whether the token ends an answer.
    pub fn ends_generation(&self, token: i32) -> bool {
        self.vocab().is_end(token)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.0
    }

    /// Appends a token's bytes to `out`.
    pub(crate) fn piece(&self, token: i32, special: bool, out: &mut Vec<u8>) -> Result<()> {
        self.vocab().piece(token, special, out)
    }

    pub(crate) fn exists(&self) -> bool {
        self.vocab().exists()
    }

    /// Whether the model wants its end-of-text token behind every text.
    pub(crate) fn adds_eos(&self) -> bool {
        self.vocab().add_eos()
    }

    /// By the engine, but for WordPiece, which it has not as BERT does.
    fn tokenize(&self, text: &str, special: bool, parse: bool) -> Result<Vec<i32>> {
        let Some(pieces) = self.0.word_pieces() else {
            return self.vocab().tokenize(&self.composed(text), special, parse);
        };
        // What stands around a text: as many tokens before it as behind it.
        let mut tokens = self.vocab().tokenize("", special, false)?;
        let end = tokens.split_off(tokens.len() / 2);
        tokens.extend(word_piece::encode(pieces, text, parse)?);
        tokens.extend(end);
        Ok(tokens)
    }

    /// The text as the model's makers gave it to their vocabulary: some compose characters and put their marks in order
    /// first (NFC), which the engine leaves out.
    fn composed<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let pre = self.0.info().tokenizer.pre.as_deref();
        let wanted = pre.is_some_and(|pre| COMPOSED.contains(&pre));
        if !wanted || is_nfc_quick(text.chars()) == IsNormalized::Yes {
            return Cow::Borrowed(text);
        }
        Cow::Owned(text.nfc().collect())
    }

    fn vocab(&self) -> RawVocab<'_> {
        self.0.raw().vocab()
    }

    /// Whether the vocabulary puts a space in front of every text.
    pub(crate) fn adds_space(&self) -> bool {
        let metadata = |key| self.0.metadata(key);
        metadata("tokenizer.ggml.model").as_deref() == Some("llama")
            && metadata("tokenizer.ggml.add_space_prefix").as_deref() != Some("false")
    }
}
