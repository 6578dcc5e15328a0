//! The gate for BERT and T5: broken files are refused, and no file ends the process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use nestling::format::Source;
use nestling::generation::Generation;
use nestling::model::Model;
use nestling::options::{Auto, EmbeddingOptions, ModelOptions, PoolingType};
use nestling::session::Session;
use nestling::{Code, Result};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use support::encoders::golden;
use support::run;

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(&golden(name).path).unwrap()
}

fn open(bytes: Vec<u8>) -> Result<Model> {
    Model::open(Source::memory(bytes), &ModelOptions::default())
}

fn find(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|w| w == text.as_bytes()).expect("the text is there")
}

/// The code with which a file is refused whose first `from` is `to`.
fn renamed(name: &str, from: &str, to: &str) -> Code {
    let mut bytes = bytes(name);
    let at = find(&bytes, from);
    bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
    open(bytes).unwrap_err().code()
}

/// The code with which a file is refused that has another number under a key, and its message.
fn with_number(name: &str, key: &str, value: u32) -> (Code, String) {
    let mut bytes = bytes(name);
    let at = find(&bytes, key) + key.len() + 4;
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let error = open(bytes).unwrap_err();
    (error.code(), error.message().to_owned())
}

#[test]
fn valid_files_pass() {
    for name in ["t5", "t5-gated", "bert-mean", "bert-cls"] {
        open(bytes(name)).unwrap();
    }
}

#[test]
fn missing_tensors_are_named() {
    for (name, tensor) in [
        ("t5", "enc.blk.0.attn_rel_b.weight"),
        ("t5", "dec.blk.0.attn_rel_b.weight"),
        ("t5", "dec.output_norm.weight"),
        ("t5", "enc.output_norm.weight"),
        ("bert-mean", "position_embd.weight"),
        ("bert-mean", "token_embd_norm.bias"),
    ] {
        let other = format!("x{}", &tensor[1..]);
        assert_eq!(renamed(name, tensor, &other), Code::GgufTensorMissing, "{tensor}");
    }
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    let buckets = "t5.attention.relative_buckets_count";
    for bad in [0, 1, 3, 256, u32::MAX] {
        let (code, message) = with_number("t5", buckets, bad);
        assert_eq!(code, Code::GgufHyperParameter, "{message}");
        assert!(message.contains(buckets) && message.contains(&bad.to_string()), "{message}");
    }
    assert_eq!(with_number("t5", buckets, 16).0, Code::GgufTensorMismatch);
    assert_eq!(with_number("t5", "t5.decoder_block_count", 3).0, Code::GgufHyperParameter);
    assert_eq!(with_number("t5", "t5.decoder_block_count", 0).0, Code::GgufHyperParameter);
    assert_eq!(with_number("t5", "t5.decoder_start_token_id", 5000).0, Code::GgufSpecialToken);
    assert_eq!(with_number("t5", "t5.attention.value_length", 16).0, Code::GgufHeadCount);
    assert_eq!(with_number("t5", "t5.attention.head_count", 0).0, Code::GgufHeadCount);
    assert_eq!(with_number("bert-mean", "bert.attention.head_count", 3).0, Code::GgufHeadCount);
    assert_eq!(with_number("bert-mean", "bert.context_length", 65).0, Code::GgufTensorMismatch);
    assert_eq!(with_number("bert-mean", "bert.pooling_type", 9).0, Code::GgufHyperParameter);
}

/// Everything that a model can do: errors are fine.
fn use_it(model: &Model) {
    for pooling in [PoolingType::Auto, PoolingType::Mean, PoolingType::Last, PoolingType::None] {
        let o = EmbeddingOptions { pooling, n_threads: Auto::Value(1), ..Default::default() };
        model.embed(&["a bird sings", "why"], &o).ok();
    }
    if let Ok(mut session) = Session::new(model, &run::options(32)) {
        let generation = Generation::new("why", &run::greedy(3), Default::default());
        if let Ok(mut generation) = generation {
            while let Ok(Some(_)) = generation.next(&mut session) {}
        }
    }
}

#[test]
fn a_model_that_ranks_is_not_pooled_by_itself() {
    let mut bytes = bytes("bert-mean");
    let key = "bert.pooling_type";
    let at = find(&bytes, key) + key.len() + 4;
    bytes[at..at + 4].copy_from_slice(&4u32.to_le_bytes());
    let model = open(bytes).unwrap();
    let refused = model.embed(&["why"], &EmbeddingOptions::default()).unwrap_err();
    assert_eq!(refused.code(), Code::EmbeddingPooling);
    use_it(&model);
}

#[test]
fn damaged_files_never_end_the_process() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    for name in ["t5", "t5-gated", "bert-mean"] {
        let whole = bytes(name);
        // Metadata and the tensor table are at the front.
        let front = find(&whole, "tokenizer.ggml.tokens");
        for _ in 0..120 {
            let mut bytes = whole.clone();
            for _ in 0..1 + rng.next_u32() % 2 {
                let at = 24 + rng.next_u64() as usize % (front - 24);
                bytes[at] = match rng.next_u32() % 3 {
                    0 => rng.next_u32() as u8,
                    1 => bytes[at].wrapping_add(1),
                    _ => bytes[at] ^ (1 << (rng.next_u32() % 8)),
                };
            }
            if let Ok(model) = open(bytes) {
                use_it(&model);
            }
        }
    }
}
