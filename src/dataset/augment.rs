//! Random changes to what is read, anew each epoch.

use crate::chat::Messages;
use crate::error::Result;
use crate::options::EncodingOptions;
use crate::rng::Rng;
use crate::tokenizer::{EncodeOptions, TokenKind, Tokenizer};

/// How often a random token is drawn again because it is no ordinary one.
const DRAWS: usize = 64;

/// The changes to one example in one epoch.
pub(super) struct Augment<'a> {
    tokenizer: &'a Tokenizer,
    options: &'a EncodingOptions,
    rng: Rng,
}

impl<'a> Augment<'a> {
    /// `key` is the seed, the epoch and the example's index: the same key gives the same changes.
    pub fn new(tokenizer: &'a Tokenizer, options: &'a EncodingOptions, key: &[u64]) -> Self {
        Self { tokenizer, options, rng: Rng::keyed(key) }
    }

    /// Lets words change places with the next; the white space between them stays where it is.
    pub fn words(&mut self, text: &str) -> String {
        let chance = self.options.word_swap;
        if chance == 0.0 {
            return text.to_owned();
        }
        let mut words: Vec<&str> = text.split_whitespace().collect();
        let mut at = 0;
        while at + 1 < words.len() {
            let swap = self.rng.unit() < chance;
            if swap {
                words.swap(at, at + 1);
            }
            at += if swap { 2 } else { 1 };
        }
        let mut out = String::with_capacity(text.len());
        let mut words = words.into_iter();
        let mut in_word = false;
        for c in text.chars() {
            if c.is_whitespace() {
                out.push(c);
            } else if !in_word {
                out.push_str(words.next().unwrap_or_default());
            }
            in_word = !c.is_whitespace();
        }
        out
    }

    /// Leaves tokens out and replaces others by random ones; says of each whether it is such a one. Only ordinary tokens
    /// are touched, and something always stays.
    pub fn tokens(&mut self, tokens: &[i32]) -> Result<Vec<(i32, bool)>> {
        let (deletion, noise) = (self.options.token_deletion, self.options.token_noise);
        let unchanged = || tokens.iter().map(|&token| (token, false)).collect();
        if deletion == 0.0 && noise == 0.0 {
            return Ok(unchanged());
        }
        let mut out = Vec::with_capacity(tokens.len());
        for &token in tokens {
            if !self.is_ordinary(token)? {
                out.push((token, false));
                continue;
            }
            if self.rng.unit() < deletion {
                continue;
            }
            let replaced = self.rng.unit() < noise;
            out.push(if replaced { self.random_token(token)? } else { (token, false) });
        }
        Ok(if out.is_empty() { unchanged() } else { out })
    }

    /// All changes, to a text that stays text.
    pub fn text(&mut self, text: &str) -> Result<String> {
        let text = self.words(text);
        let tokens = self.tokenizer.encode(&text, EncodeOptions::default())?;
        let changed: Vec<i32> = self.tokens(&tokens)?.into_iter().map(|(token, _)| token).collect();
        if changed == tokens {
            return Ok(text);
        }
        self.tokenizer.decode(&changed, false)
    }

    /// All changes, to what the user says.
    pub fn messages(&mut self, messages: &mut Messages) -> Result<()> {
        for message in messages.as_mut_slice().iter_mut().filter(|m| m.role() == "user") {
            let mut result = Ok(());
            message.map_text(|text| match self.text(text) {
                Ok(changed) => changed,
                Err(error) => {
                    result = Err(error);
                    text.to_owned()
                }
            });
            result?;
        }
        Ok(())
    }

    /// An ordinary token drawn at random; `token` itself if the vocabulary hardly has any.
    fn random_token(&mut self, token: i32) -> Result<(i32, bool)> {
        for _ in 0..DRAWS {
            let drawn = self.rng.below(self.tokenizer.n_vocab()) as i32;
            if self.is_ordinary(drawn)? {
                return Ok((drawn, true));
            }
        }
        Ok((token, false))
    }

    fn is_ordinary(&self, token: i32) -> Result<bool> {
        Ok(self.tokenizer.token(token)?.kind == TokenKind::Normal)
    }
}
