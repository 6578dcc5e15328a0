//! WordPiece as BERT has it: the engine's own drops more marks than those that are accents, and takes no Korean
//! syllable apart.

use unicode_general_category::{GeneralCategory, get_general_category};
use unicode_normalization::UnicodeNormalization;

use crate::error::{Result, err};
use crate::model::{SpecialPiece, WordPieces};

/// Longer words are unknown, whatever the vocabulary has.
const MAX_CHARS: usize = 100;

/// The tokens of a text. Special tokens are read only if `parse_special`.
///
/// # Errors
/// `GgufSpecialToken` for a word that cannot be spelled, by a vocabulary without a token for that.
pub(super) fn encode(pieces: &WordPieces, text: &str, parse_special: bool) -> Result<Vec<i32>> {
    let mut parts = vec![Part::Text(text)];
    for special in pieces.special.iter().filter(|s| s.user_defined || parse_special) {
        if text.contains(&special.text) {
            parts = parts.into_iter().flat_map(|part| part.split(special)).collect();
        }
    }
    let mut tokens = Vec::new();
    for part in parts {
        match part {
            Part::Token(id) => tokens.push(id),
            Part::Text(text) => {
                for word in words(&normalized(text, pieces)) {
                    spell(pieces, word, &mut tokens)?;
                }
            }
        }
    }
    Ok(tokens)
}

/// A part of a text.
enum Part<'a> {
    Text(&'a str),
    Token(i32),
}

impl<'a> Part<'a> {
    /// The part with the token wherever its text stands.
    fn split(self, special: &SpecialPiece) -> Vec<Self> {
        let Part::Text(text) = self else { return vec![self] };
        let mut parts = Vec::new();
        for (i, between) in text.split(special.text.as_str()).enumerate() {
            if i > 0 {
                parts.push(Part::Token(special.id));
            }
            if !between.is_empty() {
                parts.push(Part::Text(between));
            }
        }
        parts
    }
}

/// The text as the vocabulary spells it: without control characters, with spaces around Chinese ones, and for most
/// vocabularies in small letters without accents.
fn normalized(text: &str, pieces: &WordPieces) -> String {
    let mut spaced = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars().filter(|c| !is_dropped(*c)) {
        if is_chinese(c) {
            spaced.extend([' ', c, ' ']);
        } else {
            spaced.push(c);
        }
    }
    if pieces.strip_accents && !spaced.is_ascii() {
        spaced = spaced.nfd().filter(|c| category(*c) != GeneralCategory::NonspacingMark).collect();
    }
    if pieces.lowercase {
        // Letter by letter: no sigma is final.
        spaced = spaced.chars().flat_map(char::to_lowercase).collect();
    }
    spaced
}

/// Words between white space, each sign of punctuation a word of its own.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().flat_map(|word| {
        word.split_inclusive(is_punctuation).flat_map(|part| {
            let last = part.chars().next_back().filter(|c| is_punctuation(*c));
            let (before, sign) = part.split_at(part.len() - last.map_or(0, char::len_utf8));
            [before, sign].into_iter().filter(|word| !word.is_empty())
        })
    })
}

/// Adds the longest tokens that spell a word one after the other, or the one for unknown words.
fn spell(pieces: &WordPieces, word: &str, tokens: &mut Vec<i32>) -> Result<()> {
    let before = tokens.len();
    let mut rest = word;
    while !rest.is_empty() && word.chars().nth(MAX_CHARS).is_none() {
        let found = pieces.longest(rest, rest.len() == word.len());
        let Some((id, n)) = found else { break };
        tokens.push(id);
        rest = rest.get(n..).unwrap_or_default();
    }
    if !rest.is_empty() {
        tokens.truncate(before);
        tokens.push(pieces.unknown.ok_or_else(|| {
            err!(
                GgufSpecialToken,
                "the vocabulary has no token for a word that it cannot spell; set tokenizer.ggml.unknown_token_id"
            )
        })?);
    }
    Ok(())
}

fn category(c: char) -> GeneralCategory {
    get_general_category(c)
}

fn is_dropped(c: char) -> bool {
    let is_control = || {
        matches!(
            category(c),
            GeneralCategory::Control | GeneralCategory::Format | GeneralCategory::PrivateUse
        )
    };
    matches!(c, '\0' | char::REPLACEMENT_CHARACTER)
        || (!matches!(c, '\t' | '\n' | '\r' | ' '..='~') && is_control())
}

fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_punctuation();
    }
    matches!(
        category(c),
        GeneralCategory::ConnectorPunctuation
            | GeneralCategory::DashPunctuation
            | GeneralCategory::OpenPunctuation
            | GeneralCategory::ClosePunctuation
            | GeneralCategory::InitialPunctuation
            | GeneralCategory::FinalPunctuation
            | GeneralCategory::OtherPunctuation
    )
}

/// The blocks of ideographs that become words of one character. The sixth block begins later than Unicode's does: this
/// is how the reference has it.
fn is_chinese(c: char) -> bool {
    matches!(
        c,
        '\u{4e00}'..='\u{9fff}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{20000}'..='\u{2a6df}'
            | '\u{2a700}'..='\u{2b73f}'
            | '\u{2b740}'..='\u{2b81f}'
            | '\u{2b920}'..='\u{2ceaf}'
            | '\u{f900}'..='\u{faff}'
            | '\u{2f800}'..='\u{2fa1f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, lowercase: bool) -> String {
        let pieces = WordPieces { lowercase, strip_accents: lowercase, ..Default::default() };
        words(&normalized(text, &pieces)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn text_becomes_words() {
        assert_eq!(read("Don't—stop, NAÏVE ΣΊΣΥΦΟΣ!", true), "don ' t — stop , naive σισυφοσ !");
        assert_eq!(read("Naïve  café", false), "Naïve café");
        // Marks that take room are no accents; ideographs are words.
        assert_eq!(read("बिल्ली 各自yes", true), "बिलली 各 自 yes");
        assert_eq!(read("각", true), "\u{1100}\u{1161}\u{11a8}");
        assert_eq!(read("a\u{200d}b\u{7}\u{fffd}\0c\td\u{a0}e\u{e000}", true), "abc d e");
        assert_eq!(read("", true), "");
    }

    #[test]
    fn special_texts_are_cut_out() {
        let special =
            |text: &str, id, user_defined| SpecialPiece { text: text.to_owned(), id, user_defined };
        let pieces = WordPieces {
            special: vec![special("[MASK]", 7, false), special("<a>", 8, true)],
            unknown: Some(1),
            ..Default::default()
        };
        let encode = |text, parse| encode(&pieces, text, parse).unwrap();
        assert_eq!(encode("[MASK]x<a>[MASK]", true), [7, 1, 8, 7]);
        assert_eq!(encode("x <a><a>", false), [1, 8, 8]);
        assert_eq!(encode("[MASK]", false), [1, 1, 1]);
        assert!(super::encode(&WordPieces::default(), "x", false).is_err());
    }
}
