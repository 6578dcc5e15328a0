//! Checkpoints that cannot be converted: a clear error each, and no file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::{Path, PathBuf};

use nestling::cancel::CancelToken;
use nestling::convert::convert;
use nestling::job::Monitor;
use nestling::options::ConvertOptions;
use nestling::{Code, Error};
use serde_json::{Value as Json, json};

/// A copy of a small checkpoint.
fn copy(name: &str) -> tempfile::TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/convert").join(name);
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            continue;
        }
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

fn refused(dir: &Path, code: Code, says: &str) -> Error {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("model.gguf");
    let options = ConvertOptions { pre_tokenizer: "smollm".into(), ..Default::default() };
    let error = convert(dir, path, &options, &Monitor::new(CancelToken::new())).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains(says), "{error} does not say {says:?}");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
    error
}

fn edit(path: PathBuf, change: impl FnOnce(&mut Json)) {
    let mut value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

fn with_config(change: impl FnOnce(&mut Json), code: Code, says: &str) {
    let folder = copy("smollm2");
    edit(folder.path().join("config.json"), change);
    refused(folder.path(), code, says);
}

#[test]
fn files_that_are_not_there() {
    refused(Path::new("/no/such/directory"), Code::NotFound, "looking for a checkpoint");
    let folder = copy("smollm2");
    refused(&folder.path().join("config.json"), Code::CheckpointFiles, "this is no directory");
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    refused(folder.path(), Code::CheckpointFiles, "there is no model.safetensors");
    std::fs::write(folder.path().join("pytorch_model.bin"), "x").unwrap();
    refused(folder.path(), Code::CheckpointFiles, "save the model as safetensors");
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    refused(folder.path(), Code::NotFound, "config.json");
}

#[test]
fn configurations_that_lack_what_they_must_say() {
    for key in ["hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size"] {
        let remove = |c: &mut Json| drop(c.as_object_mut().unwrap().remove(key));
        with_config(remove, Code::CheckpointConfig, key);
    }
    with_config(|c| c["hidden_size"] = json!("32"), Code::CheckpointConfig, "must be an integer");
    with_config(
        |c| c["num_hidden_layers"] = json!(1u64 << 40),
        Code::CheckpointConfig,
        "no model has so many",
    );
    with_config(
        |c| c["architectures"] = json!(["XForCausalLM"]),
        Code::CheckpointArchitecture,
        "LlamaForCausalLM",
    );
    with_config(|c| c["hidden_size"] = json!(64), Code::CheckpointShape, "config.json says");
    with_config(|c| c["num_hidden_layers"] = json!(3), Code::CheckpointTensor, "layers.2.");
    with_config(|c| c["num_hidden_layers"] = json!(1), Code::CheckpointTensor, "layers.1.");
    let folder = copy("smollm2");
    std::fs::write(folder.path().join("config.json"), b"{\"architectures\":[\"\xff\"]}").unwrap();
    refused(folder.path(), Code::CheckpointConfig, "not UTF-8");
}

#[test]
fn what_sentence_transformers_computes_and_the_engine_does_not() {
    let module =
        |kind: &str| json!({ "path": "", "type": format!("sentence_transformers.models.{kind}") });
    let folder = copy("bert-cls");
    std::fs::create_dir_all(folder.path().join("1_Pooling")).unwrap();
    let modules = |list: Json| std::fs::write(folder.path().join("modules.json"), list.to_string());
    modules(json!([module("Transformer"), module("Pooling"), module("Dense")])).unwrap();
    refused(folder.path(), Code::CheckpointArchitecture, "models.Dense");
    let pooling = json!({ "path": "1_Pooling", "type": "sentence_transformers.models.Pooling" });
    modules(json!([module("Transformer"), pooling])).unwrap();
    let both = json!({ "pooling_mode_cls_token": true, "pooling_mode_max_tokens": true });
    std::fs::write(folder.path().join("1_Pooling/config.json"), both.to_string()).unwrap();
    refused(folder.path(), Code::CheckpointArchitecture, "cls_token and max_tokens");
}

#[test]
fn variants_of_chatglm_that_the_engine_does_not_compute() {
    let folder = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/convert/chatglm");
    support::chatglm::old_layout(&from, folder.path());
    edit(folder.path().join("config.json"), |c| c["rmsnorm"] = json!(false));
    refused(folder.path(), Code::CheckpointArchitecture, "rmsnorm is false");
}

#[test]
fn shards_that_do_not_fit_their_index() {
    let index = |folder: &Path| folder.join("model.safetensors.index.json");
    let folder = copy("mistral");
    edit(index(folder.path()), |i| {
        i["weight_map"]["more.weight"] = json!("model-00001-of-00004.safetensors")
    });
    refused(folder.path(), Code::CheckpointTensor, "more.weight");
    edit(index(folder.path()), |i| i["weight_map"]["more.weight"] = json!("../x.safetensors"));
    refused(folder.path(), Code::CheckpointConfig, "beside the index");
    edit(index(folder.path()), |i| i["weight_map"] = json!([]));
    refused(folder.path(), Code::CheckpointConfig, "weight_map");

    let folder = copy("mistral");
    let shard = |n: u32| folder.path().join(format!("model-0000{n}-of-00004.safetensors"));
    std::fs::copy(shard(1), shard(2)).unwrap();
    refused(folder.path(), Code::CheckpointTensor, "is in another file, too");
    std::fs::remove_file(shard(2)).unwrap();
    refused(folder.path(), Code::CheckpointFiles, "model-00002-of-00004.safetensors");
    std::fs::remove_file(index(folder.path())).unwrap();
    refused(folder.path(), Code::CheckpointFiles, "download the index");
}

#[test]
fn weights_that_cannot_be_read() {
    let folder = copy("smollm2");
    let path = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let put = |bytes: &[u8]| std::fs::write(&path, bytes).unwrap();
    put(&bytes[..bytes.len() - 1]);
    refused(folder.path(), Code::Safetensors, "not a whole safetensors file");
    put(&[u64::MAX.to_le_bytes().to_vec(), vec![0; 64]].concat());
    refused(folder.path(), Code::Safetensors, "model.safetensors");
    let header = |from: &str, to: &str| {
        let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let text = std::str::from_utf8(&bytes[8..8 + n]).unwrap().replacen(from, to, 1);
        [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &bytes[8 + n..]].concat()
    };
    put(&header("\"BF16\"", "\"F99\""));
    refused(folder.path(), Code::Safetensors, "F99");
    put(&header("\"BF16\"", "\"I16\""));
    refused(folder.path(), Code::Safetensors, "I16");
    put(&header("model.norm.weight", "model.norm.extra"));
    refused(folder.path(), Code::CheckpointTensor, "model.norm.extra");
}

#[test]
fn the_output_is_no_file_of_the_checkpoint() {
    let folder = copy("smollm2");
    let path = folder.path().join("model.safetensors");
    let before = std::fs::read(&path).unwrap();
    let options =
        ConvertOptions { force: true, pre_tokenizer: "smollm".into(), ..Default::default() };
    let error = convert(folder.path(), &path, &options, &Monitor::new(CancelToken::new()));
    assert_eq!(error.unwrap_err().code(), Code::OutputIsInput);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
