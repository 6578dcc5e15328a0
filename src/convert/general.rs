//! What a model file says about itself: name, size, licence and the like, as llama.cpp's converter finds them.

use std::path::Path;

use serde_json::{Map, Value as Json};

use super::card::Card;
use super::config::{Config, object};
use super::model_id::{ModelId, parse, title};
use crate::error::Result;
use crate::format::gguf::{Array, Value};

/// Sampling that the checkpoint recommends: our key, the keys of generation_config.json, whether it is an integer.
const SAMPLING: &[(&str, &[&str], bool)] = &[
    ("top_k", &["top_k"], true),
    ("top_p", &["top_p"], false),
    ("min_p", &["min_p"], false),
    ("xtc_probability", &["xtc_probability"], false),
    ("xtc_threshold", &["xtc_threshold"], false),
    ("temp", &["temperature"], false),
    ("penalty_last_n", &["penalty_last_n"], true),
    ("penalty_repeat", &["penalty_repeat", "repetition_penalty"], false),
    ("mirostat", &["mirostat"], true),
    ("mirostat_tau", &["mirostat_tau"], false),
    ("mirostat_eta", &["mirostat_eta"], false),
];

/// Texts of a card that go into the file as they are: our key and the card's.
const TEXTS: &[(&str, &[&str])] = &[
    ("author", &["author", "model_author", "model_creator"]),
    ("description", &["description", "model_description"]),
    ("license.name", &["license_name"]),
    ("license.link", &["license_link"]),
    ("source.url", &["url", "model_url"]),
    ("source.doi", &["doi", "model_doi"]),
    ("source.uuid", &["uuid", "model_uuid"]),
    ("source.repo_url", &["repo_url", "model_repo_url"]),
];

/// The metadata `general.*` but for the types of the tensors.
///
/// # Errors
/// None that a damaged card could cause: what it does not say is left out.
pub(super) fn metadata(
    dir: &Path,
    architecture: &str,
    config: &Config,
    n_parameters: u64,
) -> Result<Vec<(String, Value)>> {
    let card = Card::open(dir);
    let mut kv: Vec<(String, Value)> = vec![
        ("general.architecture".into(), architecture.into()),
        ("general.type".into(), "model".into()),
    ];
    sampling(dir, &mut kv);
    let id = identity(dir, &card, config, n_parameters)?;
    let mut text = |key: &str, value: Option<&str>| {
        if let Some(value) = value {
            kv.push((format!("general.{key}"), value.into()));
        }
    };
    text("name", id.name.as_deref());
    text("version", id.version.as_deref());
    text("organization", id.organization.as_deref());
    text("finetune", id.finetune.as_deref());
    text("basename", id.basename.as_deref());
    text("size_label", Some(&id.size_label.unwrap_or_else(|| size_label(n_parameters))));
    text("license", card.get("license").map(|l| l.texts().join(",")).as_deref());
    for (key, keys) in TEXTS {
        text(key, card.text(keys));
    }
    let parents = ["base_model", "base_models", "base_model_sources"];
    sources("base_model", &card, &parents, n_parameters, &mut kv)?;
    sources("dataset", &card, &["datasets", "dataset", "dataset_sources"], n_parameters, &mut kv)?;
    for (key, keys) in
        [("tags", ["tags", "pipeline_tag"]), ("languages", ["languages", "language"])]
    {
        if let Some(texts) = card.list(&keys) {
            kv.push((format!("general.{key}"), Array::strings(texts).into()));
        }
    }
    Ok(kv)
}

/// The name and its parts: the card's, those of the name that config.json gives, or of the directory.
fn identity(dir: &Path, card: &Card, config: &Config, n_parameters: u64) -> Result<ModelId> {
    let own = |key: &str, more: &[&str]| {
        let model_key = format!("model_{key}");
        let keys: Vec<_> =
            [key, model_key.as_str()].into_iter().chain(more.iter().copied()).collect();
        card.text(&keys).map(str::to_owned)
    };
    let mut id = ModelId {
        name: own("name", &[]),
        organization: own("organization", &[]),
        basename: own("basename", &["model_type"]),
        finetune: own("finetune", &[]),
        version: own("version", &[]),
        size_label: own("size_label", &[]),
    };
    let named = config.str(&["_name_or_path"]).ok().flatten();
    // One slash at most: with more it is a path on somebody's disk.
    let named = named.filter(|name| !name.is_empty() && name.matches('/').count() <= 1);
    let full = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let folder = full.file_name().map(|name| name.to_string_lossy().into_owned());
    for found in named.map(str::to_owned).into_iter().chain(folder) {
        let found = parse(&found, n_parameters)?;
        let or = |mine: &mut Option<String>, theirs: Option<String>| {
            if mine.is_none() {
                *mine = theirs;
            }
        };
        or(&mut id.name, found.name.as_deref().map(title));
        or(&mut id.organization, found.organization.as_deref().map(title));
        or(&mut id.basename, found.basename);
        or(&mut id.finetune, found.finetune);
        or(&mut id.version, found.version);
        or(&mut id.size_label, found.size_label);
    }
    Ok(id)
}

/// Models or data that the model was made from.
fn sources(
    kind: &str,
    card: &Card,
    keys: &[&str],
    n_parameters: u64,
    kv: &mut Vec<(String, Value)>,
) -> Result<()> {
    let Some(entry) = keys.iter().find_map(|key| card.get(key)) else { return Ok(()) };
    let texts = entry.texts();
    kv.push((format!("general.{kind}.count"), (texts.len() as u32).into()));
    for (i, text) in texts.iter().enumerate() {
        let is_url = ["http://", "https://", "ssh://"].iter().any(|s| text.starts_with(s));
        let hub = text.split_once("huggingface.co/").map(|(_, rest)| rest);
        let hub = hub.filter(|rest| rest.matches('/').count() == 1 && !rest.ends_with('/'));
        let id = if is_url { hub } else { Some(text.as_str()) };
        let id = id.map(|id| parse(id, n_parameters)).transpose()?.unwrap_or_default();
        let url = match (&id.organization, &id.name) {
            _ if is_url => Some(text.clone()),
            (Some(organization), Some(name)) => {
                Some(format!("https://huggingface.co/{organization}/{name}"))
            }
            _ => None,
        };
        for (key, value) in [
            ("name", id.name.as_deref().map(title)),
            ("organization", id.organization.as_deref().map(title)),
            ("version", id.version),
            ("repo_url", url),
        ] {
            if let Some(value) = value {
                kv.push((format!("general.{kind}.{i}.{key}"), value.into()));
            }
        }
    }
    Ok(())
}

fn sampling(dir: &Path, kv: &mut Vec<(String, Value)>) {
    // Some published files are no JSON: a recommendation that cannot be read is none.
    let Ok(found) = object(&dir.join("generation_config.json")) else { return };
    let number = |keys: &[&str]| first(&found, keys).and_then(Json::as_f64);
    if let Some(Json::String(sequence)) = found.get("sequence") {
        kv.push(("general.sampling.sequence".into(), sequence.as_str().into()));
    }
    for (key, keys, whole) in SAMPLING {
        if let Some(value) = number(keys) {
            let value = if *whole { Value::I32(value as i32) } else { Value::F32(value as f32) };
            kv.push((format!("general.sampling.{key}"), value));
        }
    }
}

fn first<'a>(map: &'a Map<String, Json>, keys: &[&str]) -> Option<&'a Json> {
    keys.iter().find_map(|key| map.get(*key).filter(|value| !value.is_null()))
}

/// The number of parameters in two digits or more: `135M`, `1.5B`.
fn size_label(n_parameters: u64) -> String {
    let n = n_parameters as f64;
    let (scaled, unit) = match n {
        n if n > 1e12 => (n * 1e-12, "T"),
        n if n > 1e9 => (n * 1e-9, "B"),
        n if n > 1e6 => (n * 1e-6, "M"),
        n => (n * 1e-3, "K"),
    };
    let whole = format!("{}", scaled.round_ties_even());
    let digits = 2usize.saturating_sub(whole.trim_start_matches('0').len());
    format!("{scaled:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_digits() {
        for (n, label) in [
            (134_515_008, "135M"),
            (1_543_714_304, "1.5B"),
            (7_241_732_096, "7.2B"),
            (70_000_000_000, "70B"),
            (22_713_216, "23M"),
            (512, "0.5K"),
            (312, "0.31K"),
            (41_000, "41K"),
        ] {
            assert_eq!(size_label(n), label);
        }
    }

    #[test]
    fn a_directory_says_what_it_is() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("tiny-135M-Instruct");
        std::fs::create_dir(&dir).unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        write("config.json", r#"{"architectures":["A"]}"#);
        write("generation_config.json", r#"{"top_k":20,"temperature":0.5,"top_p":null}"#);
        write(
            "README.md",
            "---\nlicense: mit\nlanguage: [en]\nbase_model: a-b/c-2B\ntags: x\n---\n",
        );
        let config = Config::open(&dir).unwrap();
        let kv = metadata(&dir, "llama", &config, 130_000_000).unwrap();
        let text = |key: &str| {
            let found = kv.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
            found.map(|v| match v {
                Value::String(s) => s,
                Value::Array(a) => format!("{:?}", a.iter_strings().unwrap().collect::<Vec<_>>()),
                v => format!("{v:?}"),
            })
        };
        for (key, value) in [
            ("general.name", "Tiny 135M Instruct"),
            ("general.basename", "tiny"),
            ("general.finetune", "Instruct"),
            ("general.size_label", "135M"),
            ("general.license", "mit"),
            ("general.base_model.count", "U32(1)"),
            ("general.base_model.0.name", "C 2B"),
            ("general.base_model.0.organization", "A B"),
            ("general.base_model.0.repo_url", "https://huggingface.co/a-b/c-2B"),
            ("general.sampling.top_k", "I32(20)"),
            ("general.sampling.temp", "F32(0.5)"),
        ] {
            assert_eq!(text(key).as_deref(), Some(value), "{key}");
        }
        assert_eq!(text("general.sampling.top_p"), None);
        assert_eq!(text("general.languages"), Some(format!("{:?}", [b"en"])));
    }
}
