//! SentencePiece's file: the few of its messages that a vocabulary is made of.

use prost::Message;

use crate::error::{Result, bail, err};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Model {
    #[prost(message, repeated, tag = "1")]
    pub pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<Trainer>,
    #[prost(message, optional, tag = "3")]
    normalizer: Option<Normalizer>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Piece {
    #[prost(string, optional, tag = "1")]
    pub piece: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub score: Option<f32>,
    #[prost(int32, optional, tag = "3")]
    pub kind: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Trainer {
    #[prost(int32, optional, tag = "3")]
    model_type: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Normalizer {
    #[prost(bytes = "vec", optional, tag = "2")]
    precompiled_charsmap: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3")]
    add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    remove_extra_whitespaces: Option<bool>,
}

/// How SentencePiece finds the pieces of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Unigram,
    Bpe,
}

impl Model {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// `TokenizerFiles` for bytes that are no such file, and for one without pieces.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let model = Self::decode(bytes).map_err(|e| {
            err!(TokenizerFiles, "this is not a whole SentencePiece file: {e}; get it again")
        })?;
        if model.pieces.is_empty() {
            bail!(TokenizerFiles, "this SentencePiece file has no pieces; get it again");
        }
        Ok(model)
    }

    /// Missing numbers have the defaults of SentencePiece's own description.
    pub(super) fn algorithm(&self) -> Result<Algorithm> {
        match self.trainer.as_ref().and_then(|trainer| trainer.model_type).unwrap_or(1) {
            1 => Ok(Algorithm::Unigram),
            2 => Ok(Algorithm::Bpe),
            other => bail!(
                Unsupported,
                "this SentencePiece model is of type {other} (words or characters); the engine knows unigram and BPE"
            ),
        }
    }

    pub(super) fn adds_prefix(&self) -> bool {
        self.normalizer.as_ref().and_then(|n| n.add_dummy_prefix).unwrap_or(true)
    }

    pub(super) fn removes_spaces(&self) -> bool {
        self.normalizer.as_ref().and_then(|n| n.remove_extra_whitespaces).unwrap_or(true)
    }

    pub(super) fn charsmap(&self) -> &[u8] {
        self.normalizer.as_ref().and_then(|n| n.precompiled_charsmap.as_deref()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Code;

    fn model() -> Model {
        let piece = |text: &str, kind| Piece { piece: Some(text.into()), score: Some(-1.5), kind };
        Model {
            pieces: vec![piece("<unk>", Some(2)), piece("▁a", None)],
            trainer: Some(Trainer { model_type: Some(2) }),
            normalizer: None,
        }
    }

    #[test]
    fn a_model_is_read_with_its_defaults() {
        let read = Model::read(&model().encode_to_vec()).unwrap();
        assert_eq!(read, model());
        assert_eq!(read.algorithm().unwrap(), Algorithm::Bpe);
        assert!(read.adds_prefix() && read.removes_spaces() && read.charsmap().is_empty());
        let words = Model { trainer: Some(Trainer { model_type: Some(3) }), ..model() };
        assert_eq!(words.algorithm().unwrap_err().code(), Code::Unsupported);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_model_or_an_error(bytes: Vec<u8>) {
            if let Err(e) = Model::read(&bytes) {
                prop_assert_eq!(e.code(), Code::TokenizerFiles);
            }
        }

        #[test]
        fn a_damaged_model_is_a_model_or_an_error(at in 0usize..40, byte: u8, cut in 0usize..40) {
            let mut bytes = model().encode_to_vec();
            let n = bytes.len();
            bytes[at % n] = byte;
            bytes.truncate(n - cut % n);
            if let Err(e) = Model::read(&bytes) {
                prop_assert_eq!(e.code(), Code::TokenizerFiles);
            }
        }
    }
}
