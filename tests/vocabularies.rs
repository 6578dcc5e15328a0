//! Tokenizers of many published models: the ids that llama.cpp's own test data expects of each text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::fs;
use std::path::Path;

use nestling::model::Model;
use nestling::options::ModelOptions;
use nestling::tokenizer::{EncodeOptions, Tokenizer};
use serde_json::Value as Json;

const BETWEEN: &str = "\n__ggml_vocab_test__\n";

/// How many texts the file has, and those whose tokens are others.
fn differences(vocabulary: &Path) -> (usize, Vec<String>) {
    let beside =
        |ending: &str| fs::read_to_string(format!("{}.{ending}", vocabulary.display())).unwrap();
    let options = ModelOptions { vocab_only: true, ..ModelOptions::default() };
    let tokenizer = Tokenizer::new(&Model::open(vocabulary, &options).unwrap());
    let plain = EncodeOptions { add_special: false, ..EncodeOptions::default() };
    let (texts, expected) = (beside("inp"), beside("out"));
    let texts: Vec<_> = texts.split(BETWEEN).collect();
    let pairs = texts.iter().zip(expected.lines());
    let wrong = pairs.filter_map(|(text, ids)| {
        let ids: Vec<i32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
        let ours = tokenizer.encode(text, plain).unwrap();
        (ours != ids).then(|| format!("{vocabulary:?} {text:?}: {ours:?}, not {ids:?}"))
    });
    (texts.len(), wrong.collect())
}

#[test]
fn every_tokenizer_gives_the_ids_of_the_reference() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/assets/vocabularies.json");
    let assets: Json = serde_json::from_str(&fs::read_to_string(assets).unwrap()).unwrap();
    let targets =
        assets["members"].as_array().unwrap().iter().map(|m| m["target"].as_str().unwrap());
    let (mut texts, mut wrong) = (0, Vec::new());
    for target in targets.filter(|target| target.ends_with(".gguf")) {
        let (n, differences) = differences(&support::fetched(target));
        texts += n;
        wrong.extend(differences);
    }
    assert!(texts >= 600, "{texts} texts");
    assert!(wrong.is_empty(), "{} of {texts}:\n{}", wrong.len(), wrong.join("\n"));
}
