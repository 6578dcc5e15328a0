//! Tokenizers whose tokenizer.json lists texts with ids: byte-level BPE and WordPiece.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::lookup::{flag, list, text};
use super::tokens::{Kind, Token, Tokens, added, ids, looks_special};
use crate::error::{Result, bail, err};

/// The tokens of the model and those added to it.
pub(super) fn tokens(tokenizer: &Json, settings: &Json, n_rows: u64) -> Result<Tokens> {
    let model = tokenizer.get("model").unwrap_or(&Json::Null);
    let ids = ids(model)?;
    let mut tokens = Tokens::new(n_rows)?;
    for (text, id) in &ids {
        tokens.add(*id, Token { text: (*text).to_owned(), kind: Kind::Normal, score: 0.0 })?;
    }
    let decoder = tokenizer.get("decoder").unwrap_or(&Json::Null).to_string();
    for added in added(tokenizer, settings, &ids)? {
        let text =
            if added.normalized { added.text.clone() } else { decoded(&added.text, &decoder) };
        let control = added.special || looks_special(&text);
        let (text, kind) = if control {
            (text, Kind::Control)
        } else {
            (text.replace('▁', " "), Kind::UserDefined)
        };
        let token = Token { text, kind, score: 0.0 };
        match tokens.row(added.id) {
            Some(Some(old)) if old.text != added.text && old.text != token.text => bail!(
                TokenizerFiles,
                "tokenizer.json: two tokens have the id {}: `{}` and `{}`",
                added.id,
                old.text,
                added.text
            ),
            Some(row) => *row = Some(token),
            None => tokens.add(added.id, token)?,
        }
    }
    Ok(tokens)
}

/// An added token as it reads in text. Special tokens are taken out of text before it is normalized, so the
/// engine must know them as they are written there.
fn decoded(token: &str, decoder: &str) -> String {
    if decoder.contains("\"ByteLevel\"") {
        let bytes: Option<Vec<u8>> = token.chars().map(letter_byte).collect();
        return bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_else(|| token.to_owned());
    }
    if decoder.contains('▁') { token.replace('▁', " ") } else { token.to_owned() }
}

/// The byte for which a letter of a byte-level vocabulary stands.
pub(super) fn letter_byte(letter: char) -> Option<u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u8::try_from(u32::from(letter)) {
        Ok(byte) => printable(byte).then_some(byte),
        Err(_) => {
            let rank = u32::from(letter).checked_sub(256)?;
            (0..=255u8).filter(|byte| !printable(*byte)).nth(usize::try_from(rank).ok()?)
        }
    }
}

/// The merges, each as two texts with a space between, checked against the vocabulary.
pub(super) fn merges(tokenizer: &Json) -> Result<Vec<String>> {
    let model = tokenizer.get("model").unwrap_or(&Json::Null);
    for affix in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if let Some(affix) = text(model.get(affix)).filter(|affix| !affix.is_empty()) {
            bail!(
                Unsupported,
                "tokenizer.json: its tokens have the affix `{affix}`, which the engine does not know"
            );
        }
    }
    let ids = ids(model)?;
    pairs(model)?.iter().enumerate().map(|(rank, pair)| merge(rank, *pair, &ids)).collect()
}

/// The merges as pairs of texts.
pub(super) fn pairs(model: &Json) -> Result<Vec<(&str, &str)>> {
    let merges = list(model.get("merges"));
    if merges.is_empty() {
        bail!(TokenizerFiles, "tokenizer.json: its model has no merges");
    }
    merges
        .iter()
        .enumerate()
        .map(|(rank, merge)| {
            pair(merge).ok_or_else(|| {
                err!(TokenizerFiles, "tokenizer.json: merge {rank} is not a pair of texts: {merge}")
            })
        })
        .collect()
}

fn pair(merge: &Json) -> Option<(&str, &str)> {
    match merge {
        Json::String(merge) => merge.split_once(' '),
        Json::Array(pair) => match pair.as_slice() {
            [Json::String(left), Json::String(right)] => Some((left, right)),
            _ => None,
        },
        _ => None,
    }
}

fn merge(rank: usize, (left, right): (&str, &str), ids: &HashMap<&str, u64>) -> Result<String> {
    let whole = format!("{left}{right}");
    for part in [left, right, &whole] {
        if !ids.contains_key(part) {
            bail!(
                TokenizerFiles,
                "tokenizer.json: merge {rank} (`{left}` `{right}`) names `{part}`, which is no token"
            );
        }
    }
    // A space stands between the two, so one within is written as byte-level vocabularies write it.
    Ok(format!("{} {}", left.replace(' ', "Ġ"), right.replace(' ', "Ġ")))
}

/// Whether this is a vocabulary of bytes as letters.
pub(super) fn is_byte_level(tokenizer: &Json) -> bool {
    let has = |part: &str| {
        tokenizer.get(part).is_some_and(|part| part.to_string().contains("\"ByteLevel\""))
    };
    has("pre_tokenizer") || has("decoder")
}

/// Whether the tokenizer takes bytes for what it has no token.
pub(super) fn falls_back_to_bytes(tokenizer: &Json) -> bool {
    flag(tokenizer.pointer("/model/byte_fallback")) == Some(true)
}
