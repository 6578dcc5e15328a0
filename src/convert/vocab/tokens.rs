//! A vocabulary on its way: one text, type and score per row of the embeddings.

use std::collections::HashMap;

use super::lookup::{content, list, text};
use crate::error::{Result, bail, err};
use serde_json::Value as Json;

/// What a token is, by the format's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub text: String,
    pub kind: Kind,
    pub score: f32,
}

/// The tokens by id; rows that have none are padded in the end.
pub(super) struct Tokens {
    rows: Vec<Option<Token>>,
}

impl Tokens {
    /// Room for a token per row.
    pub(super) fn new(n_rows: u64) -> Result<Self> {
        // More than any vocabulary has, and little enough to allocate.
        if n_rows == 0 || n_rows > crate::format::gguf::MAX_ARRAY {
            bail!(TokenizerFiles, "the token embeddings have {n_rows} rows: no vocabulary has");
        }
        Ok(Self { rows: vec![None; usize::try_from(n_rows).unwrap_or_default()] })
    }

    /// Adds a token of the vocabulary proper.
    pub(super) fn add(&mut self, id: u64, token: Token) -> Result<()> {
        let n_rows = self.rows.len();
        let Some(row) = usize::try_from(id).ok().and_then(|id| self.rows.get_mut(id)) else {
            bail!(
                TokenizerFiles,
                "the tokenizer has a token `{}` with the id {id}, but the token embeddings have {n_rows} rows: \
                 this tokenizer is not the model's",
                token.text
            );
        };
        if let Some(other) = row {
            bail!(
                TokenizerFiles,
                "two tokens have the id {id}: `{}` and `{}`",
                other.text,
                token.text
            );
        }
        *row = Some(token);
        Ok(())
    }

    /// The token with an id that has a row, there or not yet.
    pub(super) fn row(&mut self, id: u64) -> Option<&mut Option<Token>> {
        self.rows.get_mut(usize::try_from(id).ok()?)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Token> {
        self.rows.iter_mut().flatten()
    }

    /// Every row's token: those that are missing are unused.
    pub(super) fn finish(self, padding_score: f32) -> Vec<Token> {
        let padding =
            |id| Token { text: format!("[PAD{id}]"), kind: Kind::Unused, score: padding_score };
        self.rows
            .into_iter()
            .enumerate()
            .map(|(id, row)| row.unwrap_or_else(|| padding(id)))
            .collect()
    }
}

/// A token that a tokenizer has beside its model's.
pub(super) struct Added {
    pub id: u64,
    pub text: String,
    pub special: bool,
    pub normalized: bool,
}

/// The added tokens of tokenizer.json and tokenizer_config.json, and the tokens with a role, which are special.
pub(super) fn added(
    tokenizer: &Json,
    settings: &Json,
    ids: &HashMap<&str, u64>,
) -> Result<Vec<Added>> {
    let mut all: Vec<Added> = Vec::new();
    for token in list(tokenizer.get("added_tokens")) {
        let id = token.get("id").and_then(Json::as_u64);
        let added = read_added(token, id, "tokenizer.json")?;
        if let Some(other) =
            all.iter().find(|other| other.id == added.id && other.text != added.text)
        {
            bail!(
                TokenizerFiles,
                "tokenizer.json: two added tokens have the id {}: `{}` and `{}`",
                added.id,
                other.text,
                added.text
            );
        }
        all.push(added);
    }
    for (id, token) in
        settings.get("added_tokens_decoder").and_then(Json::as_object).into_iter().flatten()
    {
        let added = read_added(token, id.parse().ok(), "tokenizer_config.json")?;
        if !all.iter().any(|other| other.id == added.id) {
            all.push(added);
        }
    }
    for role in roles(settings) {
        match all.iter_mut().find(|added| added.text == role) {
            Some(added) => added.special = true,
            None => {
                if let Some(&id) = ids.get(role) {
                    all.push(Added { id, text: role.to_owned(), special: true, normalized: false });
                }
            }
        }
    }
    Ok(all)
}

fn read_added(token: &Json, id: Option<u64>, file: &str) -> Result<Added> {
    let (Some(id), Some(text)) = (id, content(Some(token))) else {
        return Err(err!(
            TokenizerFiles,
            "{file}: an added token has no id or no content: {token}"
        ));
    };
    let flag = |name| super::lookup::flag(token.get(name));
    let special = flag("special").unwrap_or(false);
    Ok(Added {
        id,
        text: text.to_owned(),
        special,
        normalized: flag("normalized").unwrap_or(!special),
    })
}

/// The texts of the tokens to which tokenizer_config.json gives a role.
fn roles(settings: &Json) -> impl Iterator<Item = &str> {
    const NAMES: [&str; 7] = [
        "bos_token",
        "eos_token",
        "unk_token",
        "sep_token",
        "pad_token",
        "cls_token",
        "mask_token",
    ];
    let named = NAMES.iter().filter_map(|name| content(settings.get(*name)));
    let listed = ["additional_special_tokens", "extra_special_tokens"]
        .into_iter()
        .flat_map(|name| list(settings.get(name)))
        .filter_map(|token| content(Some(token)));
    named.chain(listed)
}

/// Whether a token's text says that it is a control token, as some are that are not marked so.
pub(super) fn looks_special(token: &str) -> bool {
    let between = |from, to| token.len() >= 4 && token.starts_with(from) && token.ends_with(to);
    matches!(token, "<pad>" | "<mask>" | "<2mass>" | "[@BOS@]")
        || between("<|", "|>")
        || between("<｜", "｜>")
        || (token.starts_with("<unused") && token.ends_with('>'))
}

/// The texts with ids of a model that lists them: `{"text": id}`.
pub(super) fn ids(model: &Json) -> Result<HashMap<&str, u64>> {
    let Some(vocab) = model.get("vocab").and_then(Json::as_object) else {
        bail!(TokenizerFiles, "tokenizer.json: its model has no `vocab` of texts and ids");
    };
    vocab
        .iter()
        .map(|(text, id)| match id.as_u64() {
            Some(id) => Ok((text.as_str(), id)),
            None => Err(err!(
                TokenizerFiles,
                "tokenizer.json: the token `{text}` has the id {id}, which is none"
            )),
        })
        .collect()
}

/// The type of tokenizer.json's model: `BPE`, `Unigram`, `WordPiece`. Old files do not say it of BPE.
pub(super) fn model_type(tokenizer: &Json) -> &str {
    let model = tokenizer.get("model").unwrap_or(&Json::Null);
    text(model.get("type")).unwrap_or(if model.get("merges").is_some() { "BPE" } else { "" })
}
