//! A vocabulary for unit tests.

use super::VocabularyView;
use crate::error::Result;

/// A list of words; `encode` takes the longest word that fits, as often as it can.
pub(super) struct Words(pub &'static [&'static str]);

impl VocabularyView for Words {
    fn n_vocab(&self) -> usize {
        self.0.len()
    }

    fn token_bytes(&self, token: i32) -> Vec<u8> {
        self.0.get(token as usize).map_or(Vec::new(), |word| word.as_bytes().to_vec())
    }

    fn encode(&self, text: &str) -> Result<Vec<i32>> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some((id, word)) = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, word)| !word.is_empty() && rest.starts_with(**word))
            .max_by_key(|(_, word)| word.len())
        {
            tokens.push(id as i32);
            rest = &rest[word.len()..];
        }
        Ok(tokens)
    }
}
