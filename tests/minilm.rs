//! Real weights: all-MiniLM-L6-v2, converted, beside sentence-transformers and Hugging Face's tokenizer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::{Path, PathBuf};

use nestling::model::Model;
use nestling::options::{Accel, Auto, EmbeddingOptions, ModelOptions};
use nestling::tokenizer::{EncodeOptions, Tokenizer};
use serde_json::Value as Json;
use support::encoders::{converted, cosine, floats, ids};

fn golden(name: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::fs::read_to_string(directory.join(name)).unwrap()
}

fn minilm(folder: &Path, ftype: &str) -> PathBuf {
    let weights = support::fetched("minilm/model.safetensors");
    let path = folder.join(format!("{ftype}.gguf"));
    converted(weights.parent().unwrap(), &path, ftype).unwrap();
    path
}

/// All sentences of `tests/golden/minilm.json` at once, against the vectors there.
fn compare(path: &Path, accel: Accel) {
    let golden: Vec<Json> = serde_json::from_str(&golden("minilm.json")).unwrap();
    let texts: Vec<_> = golden.iter().map(|row| row["text"].as_str().unwrap()).collect();
    let model = Model::open(path, &ModelOptions { accel, ..Default::default() }).unwrap();
    let options = EmbeddingOptions { n_threads: Auto::Value(1), ..Default::default() };
    let found = model.embed(&texts, &options).unwrap();
    assert_eq!((found.len(), found.dimensions()), (golden.len(), 384));
    let mut least: f64 = 1.0;
    for (vector, row) in found.iter().zip(&golden) {
        let likeness = cosine(vector, &floats(&row["vector"]));
        assert!(likeness > 0.9999, "{accel:?} {}: {likeness}", row["text"]);
        least = least.min(likeness);
    }
    println!("{} {accel:?}: least cosine {least}", path.display());
    // A cat is like a kitten, and not like stocks.
    assert!(found.similarity(0, 1) > 0.5 && found.similarity(0, 2) < 0.2);
}

#[test]
fn the_vectors_are_those_of_sentence_transformers() {
    let folder = tempfile::tempdir().unwrap();
    for ftype in ["f32", "f16"] {
        let path = minilm(folder.path(), ftype);
        for accel in [Accel::Auto, Accel::Off] {
            compare(&path, accel);
        }
    }
}

#[test]
fn the_tokens_are_those_of_hugging_faces_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let path = minilm(folder.path(), "f16");
    let options = ModelOptions { vocab_only: true, ..Default::default() };
    let tokenizer = Tokenizer::new(&Model::open(path.as_path(), &options).unwrap());
    let plain = EncodeOptions { add_special: false, ..Default::default() };
    let golden_ids: Vec<Json> = serde_json::from_str(&golden("minilm_tokens.json")).unwrap();
    let text = golden("text.txt");
    let lines: Vec<_> = text.split('\n').chain([text.as_str()]).collect();
    assert_eq!(golden_ids.len(), lines.len());
    for (line, expected) in lines.iter().zip(&golden_ids) {
        let expected = ids(expected);
        assert_eq!(tokenizer.encode(line, plain).unwrap(), expected, "{line:?}");
        let whole = tokenizer.encode(line, EncodeOptions { add_special: true, ..plain }).unwrap();
        assert_eq!(whole, [&[101], &expected[..], &[102]].concat(), "{line:?}");
    }
}

#[test]
fn special_texts_are_read_only_where_they_are_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let path = minilm(folder.path(), "f16");
    let options = ModelOptions { vocab_only: true, ..Default::default() };
    let tokenizer = Tokenizer::new(&Model::open(path.as_path(), &options).unwrap());
    let encode = |text: &str, parse_special| {
        tokenizer.encode(text, EncodeOptions { add_special: false, parse_special }).unwrap()
    };
    assert_eq!(encode("a [MASK]b", true), [1037, 103, 1038]);
    assert_eq!(encode("[SEP]", true), [102]);
    let literal = encode("a [MASK]b", false);
    assert!(!literal.contains(&103) && literal.len() > 3, "{literal:?}");
    // Words of more than 100 characters are unknown, those of 100 are spelled.
    assert_eq!(encode(&"a".repeat(101), false), [100]);
    assert!(encode(&"a".repeat(100), false).len() > 1);
    // What a word goes on with begins none, and the mark of a beginning is a character like any other.
    assert_eq!(encode("x▁the", false), [100]);
}
