//! The tokens of a WordPiece vocabulary by their texts, and how text is made ready for them.

use std::collections::HashMap;

use super::Model;
use crate::ggml::RawVocab;

/// What begins a word in a model file.
const START: char = '▁';
/// The token for words that cannot be spelled, where the file names none: the usual vocabulary's, as the engine has it.
const UNKNOWN: i32 = 100;

/// A WordPiece vocabulary.
#[derive(Debug, Default)]
pub(crate) struct WordPieces {
    pub starts: HashMap<String, i32>,
    pub continuations: HashMap<String, i32>,
    /// The longest text, in bytes.
    pub longest: usize,
    /// Tokens that are not spelled, longest text first.
    pub special: Vec<SpecialPiece>,
    pub lowercase: bool,
    pub strip_accents: bool,
    /// The token for words that cannot be spelled.
    pub unknown: Option<i32>,
}

/// A token that stands for its text as a whole.
#[derive(Debug)]
pub(crate) struct SpecialPiece {
    pub text: String,
    pub id: i32,
    /// Read in any text, trusted or not.
    pub user_defined: bool,
}

impl WordPieces {
    /// The vocabulary of a model, if it is one of this kind.
    pub(super) fn of(model: &Model) -> Option<Self> {
        let metadata = |key: &str| model.metadata(&format!("tokenizer.ggml.{key}"));
        if metadata("model").as_deref() != Some("bert") {
            return None;
        }
        let vocab = model.raw().vocab();
        let mut pieces = Self::default();
        for id in 0..vocab.len() as i32 {
            pieces.add(vocab, id);
        }
        pieces.special.sort_by_key(|special| std::cmp::Reverse(special.text.len()));
        let said = |key| metadata(key).map(|value| value == "true");
        pieces.lowercase = said("normalizer.lowercase").unwrap_or_else(|| !pieces.has_capitals());
        pieces.strip_accents = said("normalizer.strip_accents").unwrap_or(pieces.lowercase);
        let named = metadata("unknown_token_id").and_then(|id| id.parse().ok()).unwrap_or(UNKNOWN);
        pieces.unknown = Some(named).filter(|id| (*id as usize) < vocab.len());
        Some(pieces)
    }

    fn add(&mut self, vocab: RawVocab<'_>, id: i32) {
        let (Ok(text), Ok(is)) = (vocab.text(id), vocab.attributes(id)) else { return };
        if text.is_empty() || is.unused {
            return;
        }
        if is.control || is.unknown || is.user_defined {
            self.special.push(SpecialPiece { text, id, user_defined: is.user_defined });
            return;
        }
        self.longest = self.longest.max(text.len());
        match text.strip_prefix(START).filter(|rest| !rest.is_empty()) {
            Some(rest) => self.starts.insert(rest.to_owned(), id),
            None => self.continuations.insert(text, id),
        };
    }

    /// Whether the tokens tell capital letters from small ones. A few may have been added to a vocabulary that does not.
    fn has_capitals(&self) -> bool {
        let texts = || self.starts.keys().chain(self.continuations.keys());
        let is_capital = |c: char| !c.to_lowercase().eq([c]);
        texts().filter(|text| text.contains(is_capital)).count() * 100 > texts().count()
    }

    /// The longest token that `text` begins with, and its length: one that begins a word, or one that goes on with it.
    pub(crate) fn longest(&self, text: &str, is_start: bool) -> Option<(i32, usize)> {
        let table = if is_start { &self.starts } else { &self.continuations };
        let most = text.len().min(self.longest);
        (1..=most).rev().find_map(|n| Some((*table.get(text.get(..n)?)?, n)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(texts: &[&str]) -> WordPieces {
        let mut pieces = WordPieces::default();
        for (id, text) in texts.iter().enumerate() {
            pieces.longest = pieces.longest.max(text.len());
            pieces.starts.insert((*text).to_owned(), id as i32);
        }
        pieces
    }

    #[test]
    fn capitals_tell_whether_a_vocabulary_has_them() {
        // A letter that has no small form is none.
        assert!(!pieces(&["the", "ß", "ℝ", "[unused1]"]).has_capitals());
        assert!(pieces(&["the", "The", "Ä"]).has_capitals());
        let mut many: Vec<_> = (0..200).map(|i| i.to_string()).collect();
        many.push("URL".to_owned());
        assert!(!pieces(&many.iter().map(String::as_str).collect::<Vec<_>>()).has_capitals());
    }

    #[test]
    fn the_longest_token_is_found() {
        let pieces = pieces(&["a", "äb", "äbc"]);
        assert_eq!(pieces.longest("äbcd", true), Some((2, 4)));
        assert_eq!(pieces.longest("äb", true), Some((1, 3)));
        assert_eq!(pieces.longest("ä", true), None);
        assert_eq!(pieces.longest("a", false), None);
        assert_eq!(pieces.longest("", true), None);
    }
}
