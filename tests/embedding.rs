//! Embeddings: the same as the reference implementations give, alone and in batches, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use nestling::cancel::CancelToken;
use nestling::embedding::Embeddings;
use nestling::format::Source;
use nestling::job::Monitor;
use nestling::model::Model;
use nestling::options::{Accel, Auto, EmbeddingOptions, FlashAttn, ModelOptions, PoolingType};
use nestling::{Code, Result};
use support::encoders::{cosine, floats, golden};
use support::{Family, Tiny, run};

fn options() -> EmbeddingOptions {
    EmbeddingOptions { n_threads: Auto::Value(1), ..Default::default() }
}

fn pooled(pooling: PoolingType) -> EmbeddingOptions {
    EmbeddingOptions { pooling, ..options() }
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> (Code, String) {
    let error = result.unwrap_err();
    (error.code(), error.message().to_owned())
}

/// The least cosine of each text's vectors in two lists.
fn least_cosine(a: &Embeddings, b: &Embeddings) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b.iter()).map(|(a, b)| cosine(a, b)).fold(1.0, f64::min)
}

#[test]
fn bert_gives_what_transformers_gives() {
    for name in ["bert-mean", "bert-cls"] {
        let golden = golden(name);
        for accel in [Accel::Auto, Accel::Off] {
            for flash_attn in [FlashAttn::On, FlashAttn::Off] {
                let model = golden.open(accel);
                let o = EmbeddingOptions { flash_attn, ..options() };
                let found = model.embed(&golden.texts(), &o).unwrap();
                assert_eq!(found.len(), golden.cases().len());
                for (vector, case) in found.iter().zip(golden.cases()) {
                    let likeness = cosine(vector, &floats(&case["embedding"]));
                    assert!(likeness > 0.9999, "{name} {accel:?} {flash_attn:?}: {likeness}");
                    let length: f32 = vector.iter().map(|x| x * x).sum();
                    assert!((length - 1.0).abs() < 1e-5, "{length}");
                }
                let last = model.embed(&golden.texts(), &pooled(PoolingType::Last)).unwrap();
                for (vector, case) in last.iter().zip(golden.cases()) {
                    if case["last"].is_array() {
                        assert!(cosine(vector, &floats(&case["last"])) > 0.9999);
                    }
                }
            }
        }
    }
}

#[test]
fn t5_encoder_gives_what_transformers_gives() {
    for name in ["t5", "t5-gated"] {
        let golden = golden(name);
        for accel in [Accel::Auto, Accel::Off] {
            let o = EmbeddingOptions { normalize: false, ..options() };
            let found = golden.open(accel).embed(&golden.texts(), &o).unwrap();
            for (vector, case) in found.iter().zip(golden.cases()) {
                let difference = run::max_difference(vector, &floats(&case["mean"]));
                assert!(difference < 1e-3, "{name} {accel:?}: {difference}");
            }
        }
    }
}

#[test]
fn texts_in_a_batch_are_as_alone() {
    for name in ["bert-mean", "bert-cls", "t5-gated"] {
        let golden = golden(name);
        let model = golden.open(Accel::Auto);
        let texts = golden.texts();
        for pooling in [PoolingType::Mean, PoolingType::Cls, PoolingType::Last, PoolingType::None] {
            let together = model.embed(&texts, &pooled(pooling)).unwrap();
            for (i, text) in texts.iter().enumerate() {
                let alone = model.embed(&[text], &pooled(pooling)).unwrap();
                let likeness = cosine(together.get(i), alone.get(0));
                assert!(likeness > 0.99999, "{name} {pooling:?} {i}: {likeness}");
                assert_eq!(together.n_vectors(i), alone.n_vectors(0));
            }
            // Batches of one or two texts, and a text longer than a batch.
            let o = EmbeddingOptions { n_ubatch: 1, ..pooled(pooling) };
            assert!(least_cosine(&model.embed(&texts, &o).unwrap(), &together) > 0.99999);
        }
    }
}

#[test]
fn many_texts_take_several_batches() {
    let model = golden("bert-mean").open(Accel::Auto);
    let texts: Vec<_> =
        (0..150).map(|i| format!("boat {} of {i}", "the ".repeat(i % 17))).collect();
    let all = model.embed(&texts, &options()).unwrap();
    assert_eq!(all.len(), 150);
    for i in [0, 31, 32, 77, 149] {
        let alone = model.embed(&texts[i..=i], &options()).unwrap();
        assert!(cosine(all.get(i), alone.get(0)) > 0.99999);
    }
}

#[test]
fn causal_models_embed_with_a_pooling_that_is_given() {
    for family in Family::ALL {
        let model = run::tiny(family);
        let (refused, message) = code(model.embed(&["a text"], &options()));
        assert_eq!(refused, Code::EmbeddingPooling, "{message}");
        let texts = ["a text", "another one, which is longer", "x"];
        for pooling in [PoolingType::Mean, PoolingType::Last, PoolingType::None] {
            let together = model.embed(&texts, &pooled(pooling)).unwrap();
            assert_eq!(together.dimensions(), model.info().n_embd as usize);
            for (i, text) in texts.iter().enumerate() {
                let alone = model.embed(&[text], &pooled(pooling)).unwrap();
                let likeness = cosine(together.get(i), alone.get(0));
                assert!(likeness > 0.9999, "{family:?} {pooling:?} {i}: {likeness}");
            }
        }
    }
}

#[test]
fn the_kernels_change_nothing() {
    // Wide enough for the kernels: heads of 32, and a batch of several texts.
    for family in [Family::Llama, Family::Qwen2, Family::Gemma3, Family::Gpt2] {
        let bytes = Tiny { n_embd: 128, n_head: 4, ..Tiny::new(family) }.bytes();
        let texts: Vec<_> = (1..20).map(|i| "some words ".repeat(i % 5 + 1)).collect();
        let embed = |accel| {
            let o = ModelOptions { accel, ..Default::default() };
            let model = Model::open(Source::memory(bytes.clone()), &o).unwrap();
            model.embed(&texts, &pooled(PoolingType::Mean)).unwrap()
        };
        let likeness = least_cosine(&embed(Accel::Auto), &embed(Accel::Off));
        assert!(likeness > 0.9999, "{family:?}: {likeness}");
    }
}

#[test]
fn fewer_dimensions_are_the_first_ones_normalized() {
    let model = golden("bert-mean").open(Accel::Auto);
    let texts = ["a bird sings", "why"];
    let raw = EmbeddingOptions { normalize: false, ..options() };
    let whole = model.embed(&texts, &raw).unwrap();
    let cut = EmbeddingOptions { dimensions: Auto::Value(8), ..options() };
    let cut = model.embed(&texts, &cut).unwrap();
    assert_eq!(cut.dimensions(), 8);
    for i in 0..2 {
        let length = whole.get(i)[..8].iter().map(|x| x * x).sum::<f32>().sqrt();
        for (a, b) in cut.get(i).iter().zip(whole.get(i)) {
            assert!((a - b / length).abs() < 1e-5);
        }
    }
    let wide = EmbeddingOptions { dimensions: Auto::Value(33), ..options() };
    let (refused, message) = code(model.embed(&texts, &wide));
    assert_eq!(refused, Code::EmbeddingDimensions);
    assert!(message.contains("33") && message.contains("32"), "{message}");
}

#[test]
fn long_texts_are_refused_or_cut() {
    let model = golden("bert-mean").open(Accel::Auto);
    assert_eq!(model.embedding_length(), 64);
    let long = "why ".repeat(100);
    let (refused, message) = code(model.embed(&["a", &long], &options()));
    assert_eq!(refused, Code::EmbeddingTooLong);
    assert!(message.contains("text 1 has 302 tokens") && message.contains("64"), "{message}");
    let o = EmbeddingOptions { truncate: true, ..options() };
    let cut = model.embed(&[&long], &o).unwrap();
    // What follows the cut does not matter, what stands before it does; [SEP] stays.
    let other = model.embed(&[&format!("{}house", "why ".repeat(90))], &o).unwrap();
    assert_eq!(cut, other);
    let tokens = EmbeddingOptions { pooling: PoolingType::None, ..o.clone() };
    assert_eq!(model.embed(&[&long], &tokens).unwrap().n_vectors(0), 64);
    let fits = "why ".repeat(20) + "a b";
    let same = model.embed(&[&fits], &o).unwrap();
    assert_eq!(same, model.embed(&[&fits], &options()).unwrap());
}

#[test]
fn what_cannot_be_embedded_is_refused() {
    let golden = golden("bert-mean");
    let model = golden.open(Accel::Auto);
    assert!(model.embed(&[] as &[&str], &options()).unwrap().is_empty());
    // An empty text has its two special tokens.
    assert_eq!(model.embed(&[""], &options()).unwrap().len(), 1);
    let bad = EmbeddingOptions { n_ubatch: 0, ..options() };
    assert_eq!(code(model.embed(&["a"], &bad)).0, Code::InvalidOption);

    let cancel = CancelToken::new();
    cancel.trigger();
    let stopped = model.embed_with(&["a"], &options(), &Monitor::new(cancel));
    assert_eq!(code(stopped).0, Code::Cancelled);
    assert!(model.embed(&["a"], &options()).is_ok());

    let o = ModelOptions { vocab_only: true, ..Default::default() };
    let empty = Model::open(golden.path.as_path(), &o).unwrap();
    assert_eq!(code(empty.embed(&["a"], &options())).0, Code::WrongState);
    let llama = run::tiny(Family::Llama);
    assert_eq!(code(llama.embed(&["a", ""], &pooled(PoolingType::Mean))).0, Code::EmptyPrompt);
    let huge = EmbeddingOptions { n_ubatch: 65_536, ..options() };
    // A batch of that size may fit or not; it never ends the process.
    let _ = model.embed(&["a"], &huge);
}

#[test]
fn many_threads_may_embed_with_one_model() {
    let model = golden("bert-mean").open(Accel::Auto);
    let once = model.embed(&["a bird sings"], &options()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(model.embed(&["a bird sings"], &options()).unwrap(), once);
                }
            });
        }
    });
}
