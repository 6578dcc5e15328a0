//! A checkpoint's tokenizer as the metadata by which the engine makes the same tokens.
//!
//! What a tokenizer is, its files say: tokenizer.json lists texts with ids and merges, or texts with scores;
//! tokenizer.model is SentencePiece's own file; vocab.txt is WordPiece's.

mod files;
mod listed;
mod lookup;
mod pre;
mod special;
#[cfg(test)]
mod tests;
mod tokens;

use std::path::Path;

use serde_json::Value as Json;

use self::lookup::{list, text};
use self::special::Special;
use self::tokens::{Token, model_type};
use crate::error::{Context, Result, bail};
use crate::format::gguf::{Array, Value};

type Metadata = Vec<(String, Value)>;

/// The `tokenizer.*` metadata of the checkpoint in `dir`, for token embeddings of `n_rows` rows. `pre` forces the
/// name of the pre-tokenizer.
///
/// # Errors
/// `NoTokenizer`, `TokenizerFiles` and `PreTokenizer`; those of files.
pub(super) fn vocabulary(
    dir: &Path,
    config: &Json,
    n_rows: u64,
    pre: Option<&str>,
) -> Result<Metadata> {
    let checkpoint = Checkpoint {
        dir,
        config,
        tokenizer: files::json(dir, "tokenizer.json")?.unwrap_or(Json::Null),
        settings: files::json(dir, "tokenizer_config.json")?.unwrap_or(Json::Null),
        n_rows,
        pre,
    };
    checkpoint.vocabulary().with_path(dir)
}

/// A checkpoint's files, as far as they are about its tokenizer.
struct Checkpoint<'a> {
    dir: &'a Path,
    config: &'a Json,
    tokenizer: Json,
    settings: Json,
    n_rows: u64,
    pre: Option<&'a str>,
}

impl Checkpoint<'_> {
    /// The architecture's name in small letters (`llamaforcausallm`), with the type of model.
    fn family(&self) -> String {
        let architecture = text(list(self.config.get("architectures")).first()).unwrap_or_default();
        let model = text(self.config.get("model_type")).unwrap_or_default();
        format!("{model} {architecture}").to_lowercase()
    }

    fn vocabulary(&self) -> Result<Metadata> {
        match model_type(&self.tokenizer) {
            "BPE" if listed::is_byte_level(&self.tokenizer) => self.byte_level(),
            _ => bail!(
                NoTokenizer,
                "there is no tokenizer that can be read (tokenizer.json, tokenizer.model, spiece.model or vocab.txt)"
            ),
        }
    }

    fn special(&self) -> Result<Special> {
        Special::read(self.dir, &self.tokenizer, &self.settings, self.config, self.n_rows)
    }

    /// Byte-level BPE, as GPT-2's.
    fn byte_level(&self) -> Result<Metadata> {
        let family = self.family();
        let tokens = listed::tokens(&self.tokenizer, &self.settings, self.n_rows)?.finish(0.0);
        let merges = listed::merges(&self.tokenizer)?;
        let pre = pre::name(&self.tokenizer, &self.settings, &family, self.pre)?;
        let mut special = self.special()?;
        if family.contains("glm") {
            let id = |name: &str| self.added_id(name);
            special.set("eos", id("<|endoftext|>"));
            special.set("eot", id("<|user|>"));
            special.set("unk", id("<|endoftext|>"));
        }
        let mut kv = head("gpt2", pre, &tokens, false);
        kv.push(("tokenizer.ggml.merges".to_owned(), Array::strings(&merges).into()));
        // With these names the engine puts a first token where the file does not say it.
        if matches!(pre, "llama-bpe" | "tekken") {
            special.default_around("bos", false);
        }
        kv.extend(special.finish());
        self.family_keys(&family, &mut kv);
        Ok(kv)
    }

    fn added_id(&self, name: &str) -> Option<u64> {
        let mut added = list(self.tokenizer.get("added_tokens")).iter();
        added.find(|token| text(token.get("content")) == Some(name))?.get("id")?.as_u64()
    }

    /// What the reference writes for one family alone.
    fn family_keys(&self, family: &str, kv: &mut Metadata) {
        if family.contains("glm") || (is_llama(family) && self.n_rows == 49152) {
            set(kv, "tokenizer.ggml.add_bos_token", false);
        }
        if is_llama(family)
            && let Some(add) = lookup::flag(self.settings.get("add_prefix_space"))
        {
            set(kv, "tokenizer.ggml.add_space_prefix", add);
        }
    }
}

/// Families that are converted as Llama is.
fn is_llama(family: &str) -> bool {
    ["llamaforcausallm", "mistralforcausallm", "smollm3forcausallm"]
        .iter()
        .any(|name| family.contains(name))
}

/// Sets a key, there or not.
fn set(kv: &mut Metadata, key: &str, value: impl Into<Value>) {
    kv.retain(|(name, _)| name != key);
    kv.push((key.to_owned(), value.into()));
}

/// What every vocabulary has.
fn head(model: &str, pre: &str, tokens: &[Token], scores: bool) -> Metadata {
    let mut kv = vec![
        ("tokenizer.ggml.model".to_owned(), model.into()),
        ("tokenizer.ggml.pre".to_owned(), pre.into()),
        ("tokenizer.ggml.tokens".to_owned(), Array::strings(tokens.iter().map(|t| &t.text)).into()),
    ];
    if scores {
        let scores: Vec<f32> = tokens.iter().map(|t| t.score).collect();
        kv.push(("tokenizer.ggml.scores".to_owned(), Array::from(&scores[..]).into()));
    }
    let types: Vec<i32> = tokens.iter().map(|t| t.kind as i32).collect();
    kv.push(("tokenizer.ggml.token_type".to_owned(), Array::from(&types[..]).into()));
    kv
}
