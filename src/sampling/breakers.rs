//! Sequence breakers of the DRY sampler, as tokens.
//!
//! A breaker is text and tokens do not end where it does. So, as llama.cpp does, each breaker becomes a table of
//! token sequences: a head token whose text contains the breaker, or ends in the beginning of it, and the tail of
//! tokens that spell the rest.

use std::collections::HashMap;

use super::VocabularyView;
use crate::error::{Context, Result, bail};

/// Longest breaker, in bytes.
const MAX_BYTES: usize = 40;
/// Longest tail that is compared, in tokens: bounds the cost of a search.
const MAX_TAIL: usize = 20;

/// For each head token, the tails that complete a breaker. An empty tail: the token alone contains one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Breakers {
    tails: HashMap<i32, Vec<Vec<i32>>>,
}

impl Breakers {
    /// Reads the text of every token once.
    ///
    /// # Errors
    /// `InvalidOption` if a breaker is empty or longer than 40 bytes; what the tokenizer reports.
    pub fn new(texts: &[String], vocabulary: &dyn VocabularyView) -> Result<Self> {
        for text in texts {
            if text.is_empty() || text.len() > MAX_BYTES {
                bail!(
                    InvalidOption,
                    "dry_sequence_breakers: {text:?} has {} bytes; give 1 to {MAX_BYTES}",
                    text.len()
                );
            }
        }
        let mut tails = TailCache { texts, vocabulary, known: HashMap::new() };
        let mut breakers = Self::default();
        for id in (0..).take(vocabulary.n_vocab()) {
            let token = vocabulary.token_bytes(id);
            for (index, text) in texts.iter().enumerate() {
                for split in overlaps(&token, text.as_bytes()) {
                    if let Some(tail) = tails.get(index, split)? {
                        breakers.add(id, tail);
                    }
                }
            }
        }
        Ok(breakers)
    }

    fn add(&mut self, head: i32, tail: Vec<i32>) {
        let tails = self.tails.entry(head).or_default();
        if !tails.contains(&tail) {
            tails.push(tail);
        }
    }

    /// True if the token alone contains a breaker.
    pub fn is_single(&self, token: i32) -> bool {
        self.tails.get(&token).is_some_and(|tails| tails.iter().any(Vec::is_empty))
    }

    /// How many tokens at the end of `window` come after its last breaker; all of them if it has none.
    pub fn tokens_since_last(&self, window: &[i32]) -> usize {
        if self.tails.is_empty() {
            return window.len();
        }
        for (head, token) in window.iter().enumerate().rev() {
            let Some(tails) = self.tails.get(token) else { continue };
            let after = window.get(head + 1..).unwrap_or_default();
            let longest = tails.iter().filter(|tail| after.starts_with(tail)).map(Vec::len).max();
            if let Some(longest) = longest {
                return after.len() - longest;
            }
        }
        window.len()
    }
}

/// The ways in which a token's text can be the head of `breaker`, each as the number of the breaker's bytes that the
/// token covers: all of them if it contains the breaker, else every proper prefix of the breaker that it ends in.
fn overlaps(token: &[u8], breaker: &[u8]) -> Vec<usize> {
    if token.windows(breaker.len()).any(|part| part == breaker) {
        return vec![breaker.len()];
    }
    (1..breaker.len())
        .filter(|&n| breaker.get(..n).is_some_and(|prefix| token.ends_with(prefix)))
        .collect()
}

/// The tokens of each breaker's rest: the same few for the whole vocabulary.
struct TailCache<'a> {
    texts: &'a [String],
    vocabulary: &'a dyn VocabularyView,
    known: HashMap<(usize, usize), Option<Vec<i32>>>,
}

impl TailCache<'_> {
    /// The tokens of breaker `index` from byte `split` on. `None` if that is inside a character: such a rest is not
    /// text, so it has no tokens.
    fn get(&mut self, index: usize, split: usize) -> Result<Option<Vec<i32>>> {
        if let Some(tail) = self.known.get(&(index, split)) {
            return Ok(tail.clone());
        }
        let tail = match self.texts.get(index).and_then(|text| text.get(split..)) {
            None => None,
            Some("") => Some(Vec::new()),
            Some(rest) => {
                let mut tokens = self.vocabulary.encode(rest).context("dry_sequence_breakers")?;
                tokens.truncate(MAX_TAIL);
                Some(tokens)
            }
        };
        self.known.insert((index, split), tail.clone());
        Ok(tail)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Words;
    use super::*;

    #[test]
    fn overlaps_are_whole_or_proper_prefixes_at_the_end() {
        assert_eq!(overlaps(b"a\nb", b"\n"), [1]);
        assert_eq!(overlaps(b"xab", b"abab"), [2]);
        assert_eq!(overlaps(b"aa", b"aaa"), [1, 2]);
        assert_eq!(overlaps(b"ba", b"b"), [1]);
        assert_eq!(overlaps(b"ab", b"ba"), [1]);
        assert!(overlaps(b"ba", b"ac").len() == 1 && overlaps(b"ab", b"ac").is_empty());
        assert!(overlaps(b"", b"a").is_empty());
    }

    #[test]
    fn heads_and_tails_find_the_last_breaker() {
        // 0 "x", 1 "a", 2 "b", 3 "c", 4 "xa", 5 "abc"
        let words = Words(&["x", "a", "b", "c", "xa", "abc"]);
        let breakers = Breakers::new(&["abc".to_owned()], &words).unwrap();
        assert!(breakers.is_single(5) && !breakers.is_single(1) && !breakers.is_single(4));
        assert_eq!(breakers.tokens_since_last(&[0, 5, 0, 0]), 2);
        assert_eq!(breakers.tokens_since_last(&[0, 1, 2, 3, 0]), 1);
        assert_eq!(breakers.tokens_since_last(&[4, 2, 3]), 0);
        assert_eq!(breakers.tokens_since_last(&[1, 2, 0, 3]), 4);
        assert_eq!(breakers.tokens_since_last(&[]), 0);
    }

    #[test]
    fn odd_breakers_are_refused() {
        let words = Words(&["x"]);
        for text in [String::new(), "y".repeat(41)] {
            let error = Breakers::new(&[text], &words).unwrap_err();
            assert_eq!(error.code(), crate::error::Code::InvalidOption);
        }
        assert!(Breakers::new(&["y".repeat(40)], &words).is_ok());
    }
}
