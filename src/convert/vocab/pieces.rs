//! Tokenizers whose tokens have scores: SentencePiece's own file, and what tokenizer.json makes of one.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::listed::pairs;
use super::lookup::{content, list};
use super::proto::Model;
use super::tokens::{Kind, Token, Tokens, added, ids, looks_special};
use crate::error::{Result, bail, err};
use crate::log::{self, Level};

/// The score of a token that was added.
pub(super) const ADDED: f32 = -1000.0;

/// The pieces of a SentencePiece file.
pub(super) fn of_model(model: &Model, n_rows: u64) -> Result<Tokens> {
    let mut tokens = Tokens::new(n_rows)?;
    for (id, piece) in model.pieces.iter().enumerate() {
        let kind = match piece.kind.unwrap_or(1) {
            1 => Kind::Normal,
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            5 => Kind::Unused,
            6 => Kind::Byte,
            other => bail!(
                TokenizerFiles,
                "the piece {id} is of the type {other}, which SentencePiece has not"
            ),
        };
        // The reference takes user-defined pieces for normal ones, and so does the engine.
        let kind = if kind == Kind::UserDefined { Kind::Normal } else { kind };
        let text = piece.piece.clone().unwrap_or_default();
        tokens.add(id as u64, Token { text, kind, score: piece.score.unwrap_or(0.0) })?;
    }
    Ok(tokens)
}

/// Puts a token on its row. Some checkpoints add tokens for images that the text's embeddings have no row for.
fn put(tokens: &mut Tokens, id: u64, text: String, kind: Kind) {
    match tokens.row(id) {
        Some(row) => *row = Some(Token { text, kind, score: ADDED }),
        None => log::push(
            Level::Warning,
            &format!(
                "the added token `{text}` has the id {id}, which has no embedding: it is left out"
            ),
        ),
    }
}

/// Tokens of added_tokens.json: `{"text": id}`.
pub(super) fn add_listed(tokens: &mut Tokens, added: &Json) -> Result<()> {
    for (text, id) in added.as_object().into_iter().flatten() {
        let Some(id) = id.as_u64() else {
            bail!(TokenizerFiles, "added_tokens.json: `{text}` has the id {id}, which is none");
        };
        put(tokens, id, text.clone(), Kind::UserDefined);
    }
    Ok(())
}

/// Tokens of tokenizer_config.json's `added_tokens_decoder`. As Phi 3 takes them, `plain` are those only that are marked.
pub(super) fn add_decoder(tokens: &mut Tokens, settings: &Json, plain: bool) -> Result<()> {
    for (id, token) in
        settings.get("added_tokens_decoder").and_then(Json::as_object).into_iter().flatten()
    {
        add(tokens, id.parse().ok(), token, "tokenizer_config.json", plain)?;
    }
    Ok(())
}

/// Tokens of tokenizer.json's `added_tokens`.
pub(super) fn add_tokenizer(tokens: &mut Tokens, tokenizer: &Json, plain: bool) -> Result<()> {
    for token in list(tokenizer.get("added_tokens")) {
        add(tokens, token.get("id").and_then(Json::as_u64), token, "tokenizer.json", plain)?;
    }
    Ok(())
}

fn add(tokens: &mut Tokens, id: Option<u64>, token: &Json, file: &str, plain: bool) -> Result<()> {
    let (Some(id), Some(text)) = (id, content(Some(token))) else {
        return Err(err!(
            TokenizerFiles,
            "{file}: an added token has no id or no content: {token}"
        ));
    };
    let special = super::lookup::flag(token.get("special")).unwrap_or(false);
    let control = special || (!plain && looks_special(text));
    let text = if control || plain { text.to_owned() } else { text.replace('▁', " ") };
    put(tokens, id, text, if control { Kind::Control } else { Kind::UserDefined });
    Ok(())
}

/// Unigram of tokenizer.json: texts with scores, in the order of their ids.
pub(super) fn unigram(tokenizer: &Json, settings: &Json, n_rows: u64) -> Result<Tokens> {
    let model = tokenizer.get("model").unwrap_or(&Json::Null);
    let unknown = model.get("unk_id").and_then(Json::as_u64);
    let mut tokens = Tokens::new(n_rows)?;
    for (id, entry) in list(model.get("vocab")).iter().enumerate() {
        let (Some(text), Some(score)) =
            (entry.get(0).and_then(Json::as_str), entry.get(1).and_then(Json::as_f64))
        else {
            bail!(TokenizerFiles, "tokenizer.json: token {id} is not a text with a score: {entry}");
        };
        let kind = match unknown == Some(id as u64) {
            true => Kind::Unknown,
            false if is_byte(text) && super::listed::falls_back_to_bytes(tokenizer) => Kind::Byte,
            false => Kind::Normal,
        };
        tokens.add(id as u64, Token { text: text.to_owned(), kind, score: score as f32 })?;
    }
    for added in added(tokenizer, settings, &HashMap::new())? {
        let Some(row) = tokens.row(added.id) else {
            put(&mut tokens, added.id, added.text, Kind::UserDefined);
            continue;
        };
        let kind = if added.special { Kind::Control } else { Kind::UserDefined };
        match row {
            Some(token) if token.kind == Kind::Unknown => {}
            Some(token) => token.kind = kind,
            None => *row = Some(Token { text: added.text, kind, score: ADDED }),
        }
    }
    Ok(tokens)
}

fn is_byte(text: &str) -> bool {
    let digits = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}

/// SentencePiece BPE that was exported as merges. A token's score is minus the rank of the first merge that makes it, so
/// that the engine, which joins any two neighbours that are a token together, joins in the same order.
pub(super) fn merged(tokenizer: &Json, settings: &Json, n_rows: u64) -> Result<Tokens> {
    let model = tokenizer.get("model").unwrap_or(&Json::Null);
    let ids = ids(model)?;
    let mut ranks: HashMap<String, usize> = HashMap::new();
    for (rank, (left, right)) in pairs(model)?.into_iter().enumerate() {
        let whole = format!("{left}{right}");
        if let Some(part) = [left, right, &whole].into_iter().find(|part| !ids.contains_key(part)) {
            bail!(
                TokenizerFiles,
                "tokenizer.json: merge {rank} (`{left}` `{right}`) names `{part}`, which is no token"
            );
        }
        ranks.entry(whole).or_insert(rank);
    }
    let unknown = model.get("unk_token").and_then(Json::as_str);
    let mut tokens = Tokens::new(n_rows)?;
    for (text, id) in &ids {
        let kind = match is_byte(text) {
            true => Kind::Byte,
            false if Some(*text) == unknown => Kind::Unknown,
            false => Kind::Normal,
        };
        let score = ranks.get(*text).map_or(ADDED * 1000.0, |rank| -(*rank as f32));
        tokens.add(*id, Token { text: (*text).to_owned(), kind, score })?;
    }
    for added in added(tokenizer, settings, &ids)? {
        if tokens
            .row(added.id)
            .is_some_and(|row| row.as_ref().is_some_and(|t| t.kind == Kind::Unknown))
        {
            continue;
        }
        let control = added.special || looks_special(&added.text);
        let text = if control { added.text } else { added.text.replace('▁', " ") };
        put(&mut tokens, added.id, text, if control { Kind::Control } else { Kind::UserDefined });
    }
    Ok(tokens)
}
