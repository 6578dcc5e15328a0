//! Tokens with a role, what is put around a text, and the chat template.

use std::path::Path;

use serde_json::Value as Json;

use super::files;
use super::lookup::{content, flag, list, text};
use crate::error::{Result, err};
use crate::format::gguf::{Array, Value};
use crate::log::{self, Level};

/// The roles in the order in which they are read, and their keys.
const ROLES: [(&str, &str); 9] = [
    ("bos", "tokenizer.ggml.bos_token_id"),
    ("eos", "tokenizer.ggml.eos_token_id"),
    ("unk", "tokenizer.ggml.unknown_token_id"),
    ("sep", "tokenizer.ggml.seperator_token_id"),
    ("pad", "tokenizer.ggml.padding_token_id"),
    ("cls", ""),
    ("mask", "tokenizer.ggml.mask_token_id"),
    ("eot", "tokenizer.ggml.eot_token_id"),
    ("eom", "tokenizer.ggml.eom_token_id"),
];
/// Those that are put around a text.
const AROUND: [(&str, &str); 3] = [
    ("bos", "tokenizer.ggml.add_bos_token"),
    ("eos", "tokenizer.ggml.add_eos_token"),
    ("sep", "tokenizer.ggml.add_sep_token"),
];

/// What a tokenizer's files say beside its tokens.
#[derive(Default)]
pub(super) struct Special {
    n_rows: u64,
    ids: Vec<(&'static str, u64)>,
    around: Vec<(&'static str, bool)>,
    /// Roles that only the template of this tokenizer has.
    more: Vec<&'static str>,
    lowercase: Option<bool>,
    strip_accents: Option<bool>,
    templates: Vec<(String, Value)>,
}

impl Special {
    /// Reads what the files say: tokenizer.json first, then tokenizer_config.json, then config.json.
    pub(super) fn read(
        dir: &Path,
        tokenizer: &Json,
        settings: &Json,
        config: &Json,
        n_rows: u64,
    ) -> Result<Self> {
        let mut special = Self { n_rows, ..Self::default() };
        let mut settings = settings.clone();
        if !tokenizer.is_null() {
            special.normalizer(tokenizer.get("normalizer").unwrap_or(&Json::Null));
            special.post_processor(tokenizer, &mut settings);
        }
        if settings.is_object() {
            special.templates = templates(dir, &settings)?;
            special.settings(tokenizer, &settings);
        }
        for role in special.roles() {
            let key = format!("{role}_token_id");
            let nested = || config.get("text_config").and_then(|text| text.get(&key));
            let id = config.get(&key).filter(|id| !id.is_null()).or_else(nested);
            special.set(role, id.and_then(Json::as_u64));
        }
        Ok(special)
    }

    fn roles(&self) -> Vec<&'static str> {
        ROLES.iter().take(7).map(|(role, _)| *role).chain(self.more.iter().copied()).collect()
    }

    /// Gives a token a role that has none yet.
    pub(super) fn set(&mut self, role: &'static str, id: Option<u64>) {
        let Some(id) = id else { return };
        if id >= self.n_rows {
            let text =
                format!("the {role} token has the id {id}, which has no embedding: it is left out");
            log::push(Level::Warning, &text);
        } else if !self.ids.iter().any(|(name, _)| *name == role) {
            self.ids.push((role, id));
        }
    }

    /// Says whether a role's token is put around a text, where nothing said it.
    pub(super) fn default_around(&mut self, role: &'static str, value: bool) {
        if self.around(role).is_none() {
            self.around.push((role, value));
        }
    }

    fn around(&self, role: &str) -> Option<bool> {
        self.around.iter().find(|(name, _)| *name == role).map(|(_, value)| *value)
    }

    fn set_around(&mut self, role: &'static str, value: bool) {
        self.around.retain(|(name, _)| *name != role);
        self.around.push((role, value));
    }

    fn normalizer(&mut self, normalizer: &Json) {
        match text(normalizer.get("type")) {
            Some("Lowercase") => self.lowercase = Some(true),
            Some("StripAccents") => self.strip_accents = Some(true),
            Some("BertNormalizer") => {
                self.lowercase = flag(normalizer.get("lowercase")).or(self.lowercase);
                self.strip_accents = flag(normalizer.get("strip_accents")).or(self.strip_accents);
            }
            Some("Sequence") => {
                for normalizer in list(normalizer.get("normalizers")) {
                    self.normalizer(normalizer);
                }
            }
            _ => {}
        }
    }

    /// What tokenizer.json puts around a text, from its template.
    fn post_processor(&mut self, tokenizer: &Json, settings: &mut Json) {
        let has_settings = settings.is_object();
        let role = |settings: &Json, name: &str| content(settings.get(name)).map(str::to_owned);
        let mut bos = role(settings, "bos_token");
        let mut eos = role(settings, "eos_token");
        let (cls, sep) = (role(settings, "cls_token"), role(settings, "sep_token"));
        for (own, other, name) in [(&mut bos, &cls, "bos_token"), (&mut eos, &sep, "eos_token")] {
            if own.is_none() && other.is_some() {
                own.clone_from(other);
                put(settings, name, other.as_deref());
            }
        }
        let mut around = Around { bos, eos, cls, sep, has_settings };
        let first = tokenizer.get("post_processor").unwrap_or(&Json::Null);
        let each = match first.get("processors") {
            Some(each) => list(Some(each)),
            None => std::slice::from_ref(first),
        };
        for processor in each {
            match text(processor.get("type")) {
                Some("ByteLevel") => {
                    self.default_around("bos", false);
                    self.default_around("eos", false);
                }
                Some("RobertaProcessing") => {
                    for role in ["bos", "eos", "sep"] {
                        self.set_around(role, true);
                    }
                    for (name, own, other) in [
                        ("cls", &mut around.cls, &around.bos),
                        ("sep", &mut around.sep, &around.eos),
                    ] {
                        if own.is_none() && has_settings {
                            let first = list(processor.get(name)).first();
                            *own = text(first).map(str::to_owned).or_else(|| other.clone());
                            put(settings, &format!("{name}_token"), own.as_deref());
                        }
                    }
                }
                Some("TemplateProcessing") => self.template(processor, settings, &mut around),
                _ => {}
            }
        }
    }

    fn template(&mut self, processor: &Json, settings: &mut Json, around: &mut Around) {
        let token = |entry: Option<&Json>| {
            text(entry.and_then(|e| e.pointer("/SpecialToken/id"))).map(str::to_owned)
        };
        let single = list(processor.get("single"));
        let (mut first, mut last) = (None, None);
        if single.len() > 1 {
            first = token(single.first());
            last = token(single.last());
            if let Some(first) = &first {
                around.begin(first, settings);
                let known =
                    [&around.bos, &around.cls].iter().any(|token| token.as_ref() == Some(first));
                self.set_around("bos", known);
            }
            if let Some(last) = &last {
                if !around.has_settings {
                    around.eos = Some(last.clone());
                } else if around.eos.as_ref() != Some(last) {
                    // The turn's end is not the text's: both are kept.
                    if let Some(more) =
                        ["eot", "eom"].into_iter().find(|role| !self.more.contains(role))
                    {
                        self.more.push(more);
                        put(settings, &format!("{more}_token"), around.eos.as_deref());
                    }
                    put(settings, "eos_token", Some(last));
                    around.eos = Some(last.clone());
                }
                self.set_around("eos", true);
            }
        }
        let mut pair = list(processor.get("pair"));
        if pair.is_empty() {
            return;
        }
        if first.is_some() && token(pair.first()) == first {
            pair = pair.get(1..).unwrap_or_default();
        }
        if last.is_some() && token(pair.last()) == last {
            pair = pair.split_last().map_or(&[], |(_, rest)| rest);
        }
        let sequence = |entry: Option<&Json>| {
            text(entry.and_then(|e| e.pointer("/Sequence/id"))).map(str::to_owned)
        };
        let ends = sequence(pair.first()).as_deref() == Some("A")
            && sequence(pair.last()).as_deref() == Some("B");
        let between = pair.get(1..pair.len().saturating_sub(1)).unwrap_or_default();
        if !ends || between.is_empty() {
            return;
        }
        let separates = |entry: Option<&Json>| {
            token(entry)
                .is_some_and(|t| [&around.sep, &around.eos].iter().any(|s| s.as_ref() == Some(&t)))
        };
        let add = (separates(between.first()) && last.is_none())
            || (between.len() == 2 && separates(between.get(1)));
        self.set_around("sep", add);
        if add && around.sep.is_none() && around.has_settings {
            put(settings, "sep_token", around.eos.as_deref());
        }
    }

    /// What tokenizer_config.json says: flags, and tokens that are among the added ones.
    fn settings(&mut self, tokenizer: &Json, settings: &Json) {
        let added = list(tokenizer.get("added_tokens"));
        for role in self.roles() {
            if let Some(add) = flag(settings.get(format!("add_{role}_token"))) {
                self.default_around(role, add);
            }
            let Some(token) = content(settings.get(format!("{role}_token"))) else { continue };
            let found = added.iter().find(|added| text(added.get("content")) == Some(token));
            self.set(role, found.and_then(|added| added.get("id")).and_then(Json::as_u64));
        }
    }

    /// The metadata.
    pub(super) fn finish(self) -> Vec<(String, Value)> {
        let id = |(role, id): &(&str, u64)| {
            let key = ROLES.iter().find(|(name, _)| name == role).map(|(_, key)| *key)?;
            let id = u32::try_from(*id).ok()?;
            (!key.is_empty()).then(|| (key.to_owned(), Value::U32(id)))
        };
        let around = |(role, add): &(&str, bool)| {
            let key = AROUND.iter().find(|(name, _)| name == role).map(|(_, key)| *key)?;
            Some((key.to_owned(), Value::Bool(*add)))
        };
        let mut kv: Vec<_> = self.ids.iter().filter_map(id).collect();
        kv.extend(self.around.iter().filter_map(around));
        kv.extend(self.templates);
        let flags = [("lowercase", self.lowercase), ("strip_accents", self.strip_accents)];
        for (name, value) in flags {
            kv.extend(
                value
                    .map(|value| (format!("tokenizer.ggml.normalizer.{name}"), Value::Bool(value))),
            );
        }
        kv
    }
}

/// The tokens that the template of tokenizer.json is compared with.
struct Around {
    bos: Option<String>,
    eos: Option<String>,
    cls: Option<String>,
    sep: Option<String>,
    has_settings: bool,
}

impl Around {
    /// Takes the token before a text for a role that nothing else has.
    fn begin(&mut self, first: &str, settings: &mut Json) {
        if !self.has_settings {
            self.bos = Some(first.to_owned());
            return;
        }
        if self.bos.as_deref() == Some(first) || self.cls.as_deref() == Some(first) {
            return;
        }
        for (own, name) in [(&mut self.bos, "bos_token"), (&mut self.cls, "cls_token")] {
            if own.is_none() {
                *own = Some(first.to_owned());
                put(settings, name, Some(first));
            }
        }
    }
}

fn put(settings: &mut Json, name: &str, value: Option<&str>) {
    if let Some(settings) = settings.as_object_mut() {
        settings.insert(name.to_owned(), value.into());
    }
}

/// The chat template: of tokenizer_config.json, else of a file of its own.
fn templates(dir: &Path, settings: &Json) -> Result<Vec<(String, Value)>> {
    const KEY: &str = "tokenizer.chat_template";
    let template = match settings.get("chat_template") {
        Some(template) => template.clone(),
        None => template_file(dir)?,
    };
    let named = match &template {
        Json::String(template) => return Ok(vec![(KEY.to_owned(), template.as_str().into())]),
        Json::Array(named) => named,
        _ => return Ok(Vec::new()),
    };
    let (mut kv, mut names, mut default) = (Vec::new(), Vec::new(), None);
    for choice in named {
        let (Some(name), Some(template)) = (text(choice.get("name")), text(choice.get("template")))
        else {
            continue;
        };
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if name == "default" {
            default = Some((KEY.to_owned(), Value::from(template)));
        } else if !name.is_empty() && !names.contains(&name) {
            kv.push((format!("{KEY}.{name}"), template.into()));
            names.push(name);
        }
    }
    if !names.is_empty() {
        kv.push(("tokenizer.chat_templates".to_owned(), Array::strings(&names).into()));
    }
    kv.extend(default);
    Ok(kv)
}

fn template_file(dir: &Path) -> Result<Json> {
    if let Some(default) = files::text(dir, "chat_template.jinja")? {
        let mut named = vec![serde_json::json!({ "name": "default", "template": default })];
        let more = dir.join("additional_chat_templates");
        let mut names: Vec<String> = match std::fs::read_dir(&more) {
            Ok(entries) => {
                entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect()
            }
            Err(_) => Vec::new(),
        };
        names.sort();
        for name in names.iter().filter_map(|name| name.strip_suffix(".jinja")) {
            let template = files::text(&more, &format!("{name}.jinja"))?;
            named.push(serde_json::json!({ "name": name, "template": template }));
        }
        return Ok(if named.len() == 1 { default.into() } else { named.into() });
    }
    let json = files::json(dir, "chat_template.json")?;
    json.map_or(Ok(Json::Null), |json| {
        json.get("chat_template").cloned().ok_or_else(|| {
            err!(
                TokenizerFiles,
                "chat_template.json has no `chat_template`; get it again, or remove it"
            )
        })
    })
}
