//! Tiny tokenizers of every kind: the metadata of the reference converter, and tokens of their own libraries
//! (`tests/golden/vocab.py`).

use std::path::Path;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::vocabulary;
use crate::error::{Code, Result};
use crate::format::gguf::{Array, Value, Writer};
use crate::model::Model;
use crate::options::ModelOptions;
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// A case of the goldens, with its files in a directory.
struct Case {
    name: String,
    json: Json,
    dir: tempfile::TempDir,
}

fn cases() -> Vec<Case> {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/vocab");
    let mut paths: Vec<_> =
        std::fs::read_dir(goldens).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| case(path)).collect()
}

fn case(path: &Path) -> Case {
    let json: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in json["files"].as_object().unwrap() {
        let bytes = match content {
            // A letter per byte.
            Json::String(text) if name.ends_with(".model") => {
                text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
            }
            Json::String(text) => text.clone().into_bytes(),
            json => serde_json::to_vec(json).unwrap(),
        };
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    Case { name, json, dir }
}

impl Case {
    fn n_rows(&self) -> u64 {
        self.json["config"]["vocab_size"].as_u64().unwrap()
    }

    fn vocabulary(&self) -> Result<Vec<(String, Value)>> {
        vocabulary(self.dir.path(), &self.json["config"], self.n_rows(), None)
    }

    /// Changes tokenizer.json.
    fn edit(&self, change: impl FnOnce(&mut Json)) {
        let mut tokenizer = self.json["files"]["tokenizer.json"].clone();
        change(&mut tokenizer);
        let path = self.dir.path().join("tokenizer.json");
        std::fs::write(path, serde_json::to_vec(&tokenizer).unwrap()).unwrap();
    }

    fn refused(&self, code: Code, words: &str) {
        let error = self.vocabulary().unwrap_err();
        assert_eq!(error.code(), code, "{}: {error}", self.name);
        assert!(error.message().contains(words), "{}: {error}", self.name);
    }
}

fn golden(name: &str) -> Case {
    case(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/vocab/{name}.json")))
}

/// A value as the goldens write it: its type, and itself or its length and hash.
fn digest(value: &Value) -> Json {
    let kind = |value_type: crate::format::gguf::ValueType| match value_type.name() {
        "u8" => "UINT8".to_owned(),
        "u32" => "UINT32".to_owned(),
        "i32" => "INT32".to_owned(),
        "f32" => "FLOAT32".to_owned(),
        other => other.to_uppercase(),
    };
    match value {
        Value::Array(array) => {
            let hash = Sha256::digest(array.bytes());
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            let kind = format!("ARRAY/{}", kind(array.element()));
            serde_json::json!([kind, { "length": array.len(), "sha256": hash }])
        }
        Value::Bool(value) => serde_json::json!(["BOOL", value]),
        Value::String(value) => serde_json::json!(["STRING", value]),
        other => serde_json::json!([kind(other.value_type()), other.as_u64()]),
    }
}

#[test]
fn the_metadata_is_that_of_the_reference() {
    for case in cases().into_iter().filter(|case| case.json["metadata"] != serde_json::json!({})) {
        let ours = case.vocabulary().unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let mut expected = case.json["metadata"].as_object().unwrap().clone();
        let differs: Json = case.json.get("differs").cloned().unwrap_or_default();
        for (key, value) in &ours {
            let expected = expected.remove(key).unwrap_or_default();
            if differs.get(key).is_none() {
                assert_eq!(digest(value), expected, "{}: {key}", case.name);
            }
        }
        expected.retain(|key, _| differs.get(key).is_none());
        assert!(expected.is_empty(), "{}: these are missing: {expected:?}", case.name);
    }
}

/// A model file that has nothing but a vocabulary.
fn write(case: &Case, path: &Path) {
    let mut writer = Writer::new();
    writer.set("general.architecture", "llama").set("llama.vocab_size", case.n_rows() as u32);
    writer.set("llama.context_length", 64u32).set("llama.embedding_length", 32u32);
    writer.set("llama.block_count", 1u32).set("llama.attention.head_count", 1u32);
    writer
        .set("llama.feed_forward_length", 32u32)
        .set("llama.attention.layer_norm_rms_epsilon", 1e-5f32);
    for (key, value) in case.vocabulary().unwrap() {
        writer.set(key, value);
    }
    writer.write_file(path).unwrap();
}

#[test]
fn texts_become_the_same_tokens() {
    let lines = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/text.txt"),
    )
    .unwrap();
    let mut lines: Vec<&str> = lines.split('\n').step_by(12).collect();
    lines.extend(["", " two  spaces\n\n\tand a tab", "Hello <|user|>there<|end|> you"]);
    let mut wrong = Vec::new();
    for case in cases() {
        let path = case.dir.path().join("vocab.gguf");
        write(&case, &path);
        let options = ModelOptions { vocab_only: true, ..ModelOptions::default() };
        let model = Model::open(&path, &options).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let tokenizer = Tokenizer::new(&model);
        let plain = EncodeOptions { add_special: false, parse_special: true };
        let expected = case.json["ids"].as_array().unwrap();
        // SentencePiece knows no added tokens, so its cases are without the last line.
        assert!(lines.len() - expected.len() <= 1, "{}", case.name);
        for (line, expected) in lines.iter().zip(expected) {
            let ours = tokenizer.encode(line, plain).unwrap();
            if serde_json::json!(ours) != *expected && !(line.is_empty() && ours.len() <= 1) {
                wrong.push(format!("{} {line:?}:\n{ours:?}, not\n{expected}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn unknown_steps_are_an_error_that_says_how_to_go_on() {
    let case = golden("qwen2");
    let regex = "/pre_tokenizer/pretokenizers/0/pattern/Regex";
    case.edit(|t| *t.pointer_mut(regex).unwrap() = "\\w+".into());
    case.refused(Code::PreTokenizer, "\\\\w+");
    case.refused(Code::PreTokenizer, "--pre-tokenizer NAME");
    case.refused(Code::PreTokenizer, "deepseek-coder");
    let forced = |pre| vocabulary(case.dir.path(), &case.json["config"], case.n_rows(), Some(pre));
    let kv = forced("smollm").unwrap();
    assert!(kv.contains(&("tokenizer.ggml.pre".to_owned(), "smollm".into())));
    assert_eq!(forced("smolm").unwrap_err().code(), Code::PreTokenizer);
    for (part, value) in [
        ("normalizer", serde_json::json!({ "type": "Lowercase" })),
        ("pre_tokenizer", serde_json::json!({ "type": "ByteLevel", "add_prefix_space": true })),
        ("pre_tokenizer", Json::Null),
    ] {
        case.edit(|t| t[part] = value);
        case.refused(Code::PreTokenizer, "--pre-tokenizer NAME");
    }
    case.edit(|t| t["model"]["ignore_merges"] = true.into());
    case.refused(Code::PreTokenizer, "ignore_merges");
}

#[test]
fn a_tokenizer_that_does_not_fit_is_refused() {
    let case = golden("gpt-2");
    let n_rows = case.n_rows();
    let error = vocabulary(case.dir.path(), &case.json["config"], n_rows - 1, None).unwrap_err();
    assert_eq!(error.code(), Code::TokenizerFiles);
    for n_rows in [0, u64::MAX] {
        let error = vocabulary(case.dir.path(), &case.json["config"], n_rows, None).unwrap_err();
        assert_eq!(error.code(), Code::TokenizerFiles);
    }
    let bad = |change: &dyn Fn(&mut Json), words: &str| {
        case.edit(change);
        case.refused(Code::TokenizerFiles, words);
    };
    bad(&|t| t["model"]["vocab"]["new"] = 5.into(), "two tokens have the id 5");
    bad(&|t| t["model"]["vocab"]["!"] = (-1).into(), "has the id -1");
    bad(&|t| t["model"]["vocab"]["!"] = 1e9.into(), "has the id 1000000000");
    bad(&|t| t["model"]["vocab"]["!"] = n_rows.into(), "rows");
    bad(&|t| t["model"]["vocab"] = Json::Null, "no `vocab`");
    bad(&|t| t["model"]["merges"] = Json::Null, "no merges");
    bad(&|t| t["model"]["merges"][3] = "abc".into(), "merge 3 is not a pair");
    bad(&|t| t["model"]["merges"][3] = serde_json::json!(["a", 1]), "merge 3 is not a pair");
    bad(&|t| t["model"]["merges"][3] = "zz q".into(), "names `zz`");
    bad(&|t| t["added_tokens"][0]["id"] = Json::Null, "no id");
    bad(&|t| t["added_tokens"][0]["id"] = 7.into(), "two tokens have the id 7");
    bad(&|t| t["added_tokens"][0]["id"] = n_rows.into(), "rows");
}

#[test]
fn files_that_are_not_there_or_not_whole_are_named() {
    let case = golden("gpt-2");
    let file = case.dir.path().join("tokenizer.json");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    case.refused(Code::TokenizerFiles, "tokenizer.json is not JSON");
    for text in ["[]", "{}", "7", "{\"model\":[]}"] {
        std::fs::write(&file, text).unwrap();
        case.refused(Code::NoTokenizer, "tokenizer.model");
    }
    std::fs::remove_file(&file).unwrap();
    case.refused(Code::NoTokenizer, "tokenizer.model");
    std::fs::create_dir(&file).unwrap();
    assert_eq!(case.vocabulary().unwrap_err().code(), Code::NotAFile);
}

#[test]
fn templates_come_from_every_place() {
    let case = golden("gpt-2");
    let template = |case: &Case| {
        let kv = case.vocabulary().unwrap();
        let get =
            |key: &str| kv.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        (get("tokenizer.chat_template"), get("tokenizer.chat_templates"))
    };
    assert_eq!(template(&case), (None, None));
    let dir = case.dir.path();
    std::fs::write(dir.join("chat_template.json"), "{\"chat_template\":\"json\"}").unwrap();
    assert_eq!(template(&case), (Some("json".into()), None));
    std::fs::write(dir.join("chat_template.jinja"), "jinja").unwrap();
    assert_eq!(template(&case), (Some("jinja".into()), None));
    std::fs::create_dir(dir.join("additional_chat_templates")).unwrap();
    std::fs::write(dir.join("additional_chat_templates/tool_use.jinja"), "tools").unwrap();
    assert_eq!(template(&case), (Some("jinja".into()), Some(Array::strings(["tool_use"]).into())));
    let settings = serde_json::json!({ "chat_template": "settings" });
    std::fs::write(dir.join("tokenizer_config.json"), settings.to_string()).unwrap();
    assert_eq!(template(&case), (Some("settings".into()), None));
}
