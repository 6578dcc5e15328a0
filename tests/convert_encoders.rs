//! BERT and T5 checkpoints become model files that compute what transformers computes (tests/golden/encoders.py). What
//! these files give in every other way is in `tests/embedding.rs` and `tests/encoder_decoder.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::Path;

use nestling::format::gguf::Gguf;
use nestling::format::{Access, Source};
use nestling::model::Model;
use nestling::options::{Accel, Auto, EmbeddingOptions, FlashAttn, KvType, SessionOptions};
use nestling::session::Session;
use nestling::tokenizer::{EncodeOptions, Tokenizer};
use support::encoders::{Golden, checkpoint, converted, cosine, floats, golden, ids};
use support::run;

fn tokens(model: &Model, text: &str) -> Vec<i32> {
    let with = EncodeOptions { add_special: true, parse_special: false };
    Tokenizer::new(model).encode(text, with).unwrap()
}

fn vectors(golden: &Golden) -> Vec<Vec<f32>> {
    let options = EmbeddingOptions { n_threads: Auto::Value(1), ..Default::default() };
    let found = golden.open(Accel::Off).embed(&golden.texts(), &options).unwrap();
    found.iter().map(<[f32]>::to_vec).collect()
}

#[test]
fn bert_embeds_as_in_transformers() {
    for name in ["bert-mean", "bert-cls"] {
        let golden = golden(name);
        let model = golden.open(Accel::Off);
        for (vector, case) in vectors(&golden).iter().zip(golden.cases()) {
            assert_eq!(tokens(&model, case["text"].as_str().unwrap()), ids(&case["tokens"]));
            let likeness = cosine(vector, &floats(&case["embedding"]));
            assert!(likeness > 0.9999, "{name}: {likeness}");
        }
    }
}

#[test]
fn t5_answers_as_in_transformers() {
    // One matrix for embedding and output, scaled, and two; relu, and GELU with a gate.
    for name in ["t5", "t5-gated", "t5-gated-tied", "t5-untied"] {
        let golden = golden(name);
        let model = golden.open(Accel::Off);
        let exact =
            SessionOptions { kv_type: KvType::F32, flash_attn: FlashAttn::Off, ..run::options(64) };
        let mut session = Session::new(&model, &exact).unwrap();
        for case in golden.cases() {
            let prompt = tokens(&model, case["text"].as_str().unwrap());
            assert_eq!(prompt, ids(&case["tokens"]));
            let (logits, _) = run::logits(&mut session, &prompt);
            let difference = run::max_difference(&logits, &floats(&case["logits"][0]));
            assert!(difference < 1e-3, "{name}: {difference}");
        }
    }
}

/// Copies a checkpoint, with other bytes in place of some of `file`.
fn changed(name: &str, to: &Path, file: &str, swaps: &[(&str, &str)]) {
    for entry in std::fs::read_dir(checkpoint(name)).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    let mut bytes = std::fs::read(to.join(file)).unwrap();
    for (from, new) in swaps {
        assert_eq!(from.len(), new.len());
        let at = |bytes: &[u8]| bytes.windows(from.len()).position(|w| w == from.as_bytes());
        assert!(at(&bytes).is_some(), "{from}");
        while let Some(at) = at(&bytes) {
            bytes[at..at + from.len()].copy_from_slice(new.as_bytes());
        }
    }
    std::fs::write(to.join(file), bytes).unwrap();
}

#[test]
fn norms_of_old_checkpoints_have_other_names() {
    let folder = tempfile::tempdir().unwrap();
    let old =
        [("LayerNorm.weight\":", "LayerNorm.gamma\" :"), ("LayerNorm.bias", "LayerNorm.beta")];
    changed("bert-mean", folder.path(), "model.safetensors", &old);
    let [path, plain] = ["old.gguf", "new.gguf"].map(|name| folder.path().join(name));
    converted(folder.path(), &path, "f32").unwrap();
    converted(&checkpoint("bert-mean"), &plain, "f32").unwrap();
    let open = |path: &Path| Gguf::open(&Source::path(path), Access::Read).unwrap();
    let (old, new) = (open(&path), open(&plain));
    assert_eq!(old.tensors().len(), new.tensors().len());
    for tensor in new.tensors() {
        let same = old.tensor(&tensor.name).expect(&tensor.name);
        assert_eq!(old.read_data(same).unwrap(), new.read_data(tensor).unwrap(), "{}", tensor.name);
    }
}

#[test]
fn a_tied_t5_has_an_output_matrix_that_is_scaled() {
    let open = |path: &Path| Gguf::open(&Source::path(path), Access::Read).unwrap();
    let numbers = |gguf: &Gguf, name: &str| -> Vec<f32> {
        let bytes = gguf.read_data(gguf.tensor(name).expect(name)).unwrap();
        bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let tied = open(&golden("t5").path);
    let scaled: Vec<_> = numbers(&tied, "token_embd.weight").iter().map(|x| x * 0.25).collect();
    assert_eq!(numbers(&tied, "output.weight"), scaled);
    // Tied, but not scaled: the embedding itself.
    let folder = tempfile::tempdir().unwrap();
    let swap = [("\"scale_decoder_outputs\": true,", "\"scale_decoder_outputs\":false,")];
    changed("t5", folder.path(), "config.json", &swap);
    let path = folder.path().join("model.gguf");
    converted(folder.path(), &path, "f32").unwrap();
    assert!(open(&path).tensor("output.weight").is_none());
}
