//! MiniLM as Hugging Face has it becomes the file that llama.cpp's own converter writes: `tests/golden/minilm_converted.json`
//! holds that file's metadata and the SHA-256 of each tensor.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::Path;

use nestling::cancel::CancelToken;
use nestling::convert::convert;
use nestling::format::gguf::{Gguf, Value, ValueType};
use nestling::format::{Access, Source};
use nestling::job::Monitor;
use nestling::options::ConvertOptions;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

/// Keys that differ on purpose, and why.
const DIFFERENT: &[(&str, &str)] = &[];

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value as the golden writes it.
fn written(value: &Value) -> Json {
    match value {
        Value::Array(array) => {
            let element = match array.element() {
                ValueType::String => "string",
                ValueType::I32 => "int32",
                ValueType::F32 => "float32",
                other => other.name(),
            };
            json!(["array", format!("{element} {} {}", array.len(), sha256(array.bytes()))])
        }
        Value::String(text) => json!(["string", text]),
        Value::Bool(value) => json!(["bool", value]),
        Value::F32(value) => json!(["f32", f64::from(*value)]),
        other => json!([other.value_type().name(), other.as_u64()]),
    }
}

#[test]
fn the_file_is_that_of_the_reference() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/minilm_converted.json");
    let golden: Json = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    let directory = support::fetched("minilm/model.safetensors");
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("minilm.gguf");
    let options = ConvertOptions { ftype: "f16".into(), ..ConvertOptions::default() };
    let monitor = Monitor::new(CancelToken::new());
    convert(directory.parent().unwrap(), &path, &options, &monitor).unwrap();

    let file = Gguf::open(&Source::path(&path), Access::Map).unwrap();
    let mut expected = golden["metadata"].as_object().unwrap().clone();
    let mut wrong = Vec::new();
    for (key, value) in file.kv() {
        let (ours, expected) = (written(value), expected.remove(key).unwrap_or_default());
        if ours != expected && !DIFFERENT.iter().any(|(name, _)| *name == key) {
            wrong.push(format!("{key} is {ours}, not {expected}"));
        }
    }
    wrong.extend(expected.keys().map(|key| format!("{key} is missing")));
    let mut expected = golden["tensors"].as_object().unwrap().clone();
    for tensor in file.tensors() {
        let data = sha256(file.data(tensor).unwrap());
        let ours = json!([tensor.ggml_type.name().to_lowercase(), tensor.dims, data]);
        if Some(&ours) != expected.remove(&tensor.name).as_ref() {
            wrong.push(format!("{} differs: {ours}", tensor.name));
        }
    }
    wrong.extend(expected.keys().map(|key| format!("{key} is missing")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
