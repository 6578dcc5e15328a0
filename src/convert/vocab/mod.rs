//! A checkpoint's tokenizer as the metadata by which the engine makes the same tokens.
//!
//! What a tokenizer is, its files say: tokenizer.json lists texts with ids and merges, or texts with scores;
//! tokenizer.model is SentencePiece's own file; vocab.txt is WordPiece's.

mod base64;
mod files;
mod listed;
mod lookup;
mod pieces;
mod pre;
mod proto;
mod special;
#[cfg(test)]
mod tests;
mod tokens;

use std::path::Path;

use serde_json::Value as Json;

use self::lookup::{list, text};
use self::special::Special;
use self::tokens::{Kind, Token, Tokens, model_type};
use crate::error::{Context, Result, bail, err};
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
        let family = self.family();
        if let Some(model) = self.sentencepiece(&family)? {
            return self.of_model(&model, &family);
        }
        match model_type(&self.tokenizer) {
            "BPE" if listed::is_byte_level(&self.tokenizer) => self.byte_level(&family),
            "BPE" if listed::falls_back_to_bytes(&self.tokenizer) => {
                let tokens = pieces::merged(&self.tokenizer, &self.settings, self.n_rows)?;
                let prefix = is_added_before(&self.tokenizer);
                self.scored("llama", tokens, &family, prefix)
            }
            "Unigram" => self.unigram(&family),
            "WordPiece" => self.word_pieces(&self.tokenizer, &family),
            "" if family.contains("bert") => match self.word_list()? {
                Some(tokenizer) => self.word_pieces(&tokenizer, &family),
                None => self.none(),
            },
            "" => self.none(),
            other => bail!(
                Unsupported,
                "tokenizer.json: a tokenizer of the kind {other} whose tokens are neither bytes nor SentencePiece's \
                 cannot be converted; the engine has none like it"
            ),
        }
    }

    fn none<T>(&self) -> Result<T> {
        bail!(
            NoTokenizer,
            "there is no tokenizer that can be read (tokenizer.json, tokenizer.model, spiece.model or vocab.txt); copy \
             these files from where the checkpoint comes from"
        )
    }

    /// SentencePiece's own file, where it is the one that counts.
    fn sentencepiece(&self, family: &str) -> Result<Option<proto::Model>> {
        let class = text(self.settings.get("tokenizer_class"));
        if family.contains("phi3") && class == Some("GPT2Tokenizer") {
            return Ok(None);
        }
        for name in ["tokenizer.model", "spiece.model"] {
            if let Some(bytes) = files::bytes(self.dir, name)? {
                return Ok(Some(proto::Model::read(&bytes).with_path(name)?));
            }
        }
        Ok(None)
    }

    fn of_model(&self, model: &proto::Model, family: &str) -> Result<Metadata> {
        let mut tokens = pieces::of_model(model, self.n_rows)?;
        if let Some(added) = files::json(self.dir, "added_tokens.json")? {
            pieces::add_listed(&mut tokens, &added)?;
        }
        if model.algorithm()? == proto::Algorithm::Unigram {
            let (prefix, remove) = (model.adds_prefix(), model.removes_spaces());
            return self.unigram_keys(tokens, family, prefix, remove, model.charsmap());
        }
        let phi = family.contains("phi3");
        pieces::add_decoder(&mut tokens, &self.settings, phi)?;
        if phi {
            pieces::add_tokenizer(&mut tokens, &self.tokenizer, phi)?;
        }
        self.scored("llama", tokens, family, model.adds_prefix())
    }

    /// Tokens with scores that are joined two by two, as SentencePiece does BPE.
    fn scored(&self, model: &str, tokens: Tokens, family: &str, prefix: bool) -> Result<Metadata> {
        let mut kv = head(model, "default", &tokens.finish(-10000.0), true);
        kv.extend(self.special()?.finish());
        self.family_keys(family, &mut kv);
        if !prefix || family.contains("gemma") {
            set(&mut kv, "tokenizer.ggml.add_space_prefix", false);
        }
        Ok(kv)
    }

    /// Unigram as tokenizer.json describes it.
    fn unigram(&self, family: &str) -> Result<Metadata> {
        let tokens = pieces::unigram(&self.tokenizer, &self.settings, self.n_rows)?;
        let normalizer = self.tokenizer.get("normalizer").unwrap_or(&Json::Null);
        let each = match text(normalizer.get("type")) {
            Some("Sequence") => list(normalizer.get("normalizers")),
            _ => std::slice::from_ref(normalizer),
        };
        let mut charsmap = Vec::new();
        let mut removes = false;
        for step in each {
            if let Some(table) = text(step.get("precompiled_charsmap")) {
                charsmap = base64::decode(table).ok_or_else(|| {
                    err!(
                        TokenizerFiles,
                        "tokenizer.json: `precompiled_charsmap` is not base64; get it again"
                    )
                })?;
            }
            removes |= text(step.pointer("/pattern/Regex")) == Some(" {2,}");
        }
        self.unigram_keys(tokens, family, is_added_before(&self.tokenizer), removes, &charsmap)
    }

    fn unigram_keys(
        &self,
        tokens: Tokens,
        family: &str,
        prefix: bool,
        remove: bool,
        charsmap: &[u8],
    ) -> Result<Metadata> {
        let mut kv = head("t5", "default", &tokens.finish(-10000.0), true);
        kv.push(("tokenizer.ggml.add_space_prefix".to_owned(), prefix.into()));
        kv.push(("tokenizer.ggml.remove_extra_whitespaces".to_owned(), remove.into()));
        if !charsmap.is_empty() {
            kv.push((
                "tokenizer.ggml.precompiled_charsmap".to_owned(),
                Array::from(charsmap).into(),
            ));
        }
        kv.extend(self.special()?.finish());
        self.family_keys(family, &mut kv);
        Ok(kv)
    }

    /// WordPiece: what begins a word gets a mark, what goes on loses its own.
    fn word_pieces(&self, tokenizer: &Json, family: &str) -> Result<Metadata> {
        let continues = text(tokenizer.pointer("/model/continuing_subword_prefix")).unwrap_or("##");
        let mut tokens = listed::tokens(tokenizer, &self.settings, self.n_rows)?;
        for token in tokens.iter_mut().filter(|token| token.kind != Kind::Control) {
            token.text = match token.text.strip_prefix(continues) {
                Some(rest) => rest.to_owned(),
                None => format!("▁{}", token.text),
            };
        }
        let mut tokens = tokens.finish(0.0);
        for token in tokens.iter_mut().filter(|token| token.kind == Kind::Unused) {
            token.text.insert(0, '▁');
        }
        // The engine takes no notice of the name. The reference finds this one for the usual vocabulary.
        let mut kv = head("bert", "jina-v2-en", &tokens, false);
        kv.extend(self.special()?.finish());
        self.family_keys(family, &mut kv);
        Ok(kv)
    }

    /// vocab.txt as tokenizer.json would describe it: a token on each line.
    fn word_list(&self) -> Result<Option<Json>> {
        let Some(words) = files::text(self.dir, "vocab.txt")? else { return Ok(None) };
        let mut vocab = serde_json::Map::new();
        let mut added = Vec::new();
        for (id, word) in words.lines().enumerate() {
            if vocab.insert(word.to_owned(), id.into()).is_some() {
                bail!(TokenizerFiles, "vocab.txt: `{word}` is there twice; get it again");
            }
            if matches!(word, "[PAD]" | "[UNK]" | "[CLS]" | "[SEP]" | "[MASK]") {
                added.push(serde_json::json!({ "id": id, "content": word, "special": true }));
            }
        }
        let lowercase = lookup::flag(self.settings.get("do_lower_case")).unwrap_or(true);
        Ok(Some(serde_json::json!({
            "added_tokens": added,
            "normalizer": { "type": "BertNormalizer", "lowercase": lowercase },
            "model": { "type": "WordPiece", "vocab": vocab },
        })))
    }

    fn special(&self) -> Result<Special> {
        Special::read(self.dir, &self.tokenizer, &self.settings, self.config, self.n_rows)
    }

    /// Byte-level BPE, as GPT-2's.
    fn byte_level(&self, family: &str) -> Result<Metadata> {
        let tokens = listed::tokens(&self.tokenizer, &self.settings, self.n_rows)?.finish(0.0);
        let merges = listed::merges(&self.tokenizer)?;
        let pre = pre::name(&self.tokenizer, &self.settings, family, self.pre)?;
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
        self.family_keys(family, &mut kv);
        Ok(kv)
    }

    fn added_id(&self, name: &str) -> Option<u64> {
        let mut added = list(self.tokenizer.get("added_tokens")).iter();
        added.find(|token| text(token.get("content")) == Some(name))?.get("id")?.as_u64()
    }

    /// What the reference writes for one family alone.
    fn family_keys(&self, family: &str, kv: &mut Metadata) {
        if family.contains("bert") {
            let n = self.config.get("type_vocab_size").and_then(Json::as_u64).unwrap_or(1);
            set(kv, "tokenizer.ggml.token_type_count", u32::try_from(n).unwrap_or(u32::MAX));
        }
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

/// Whether tokenizer.json puts a space before a text.
fn is_added_before(tokenizer: &Json) -> bool {
    let has =
        |part: &str, what: &str| tokenizer.get(part).is_some_and(|p| p.to_string().contains(what));
    has("normalizer", "\"Prepend\"")
        || (has("pre_tokenizer", "\"Metaspace\"")
            && !has("pre_tokenizer", "\"prepend_scheme\":\"never\"")
            && !has("pre_tokenizer", "\"add_prefix_space\":false"))
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
