//! Files of a model side by side, and leaving parts of a model out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use nestling::Code;
use nestling::cancel::CancelToken;
use nestling::eval::{compare_models, divergence};
use nestling::format::Source;
use nestling::format::gguf::GgmlType;
use nestling::job::Monitor;
use nestling::model::Model;
use nestling::options::{
    Auto, CompareOptions, EvaluationOptions, ModelOptions, PruneOptions, PruneTask, QuantizeOptions,
};
use nestling::prune::prune;
use nestling::quantize::quantize;
use support::run::{greedy, open, session, text, tiny};
use support::{Family, Tiny};

const TEXT: &str = "hello world, the cat sat on the old stone wall and the sun is in the sky";

fn options() -> CompareOptions {
    CompareOptions { n_threads: Auto::Value(1), ..CompareOptions::default() }
}

fn model(made: &Tiny) -> Model {
    Model::open(Source::memory(made.bytes()), &ModelOptions::default()).unwrap()
}

#[test]
fn a_model_is_itself_and_another_is_not() {
    let (a, b) = (tiny(Family::Gpt2), model(&Tiny::new(Family::Gpt2).seed(9)));
    let models = [a.clone(), a.clone(), b.clone()];
    let found = compare_models(&models, TEXT, &options(), &Monitor::default()).unwrap();
    let [reference, same, other] = &found.models[..] else { panic!("{found:?}") };
    assert_eq!((reference.kl.max, reference.same_top), (0.0, 1.0));
    assert!(same.kl.max.abs() < 1e-9 && same.same_top == 1.0 && same.loss == reference.loss);
    assert!(other.kl.mean > 1e-3 && other.same_top < 1.0 && other.perplexity > 1.0);
    assert!(other.kl.median <= other.kl.p90 && other.kl.p90 <= other.kl.p99);
    assert!(other.kl.p99 <= other.kl.max && other.kl.error > 0.0);
    // The same numbers as two models alone give, where a text begins with no token of its own.
    let how = EvaluationOptions { n_threads: Auto::Value(1), ..EvaluationOptions::default() };
    let pair = divergence(&a, &b, TEXT, &how, &Monitor::default()).unwrap();
    assert_eq!(pair.tokens, other.tokens);
    assert!((pair.kl - other.kl.mean).abs() < 1e-5 && (pair.loss - other.loss).abs() < 1e-9);
    assert!(found.to_string().contains("reference") && found.to_string().contains("same top"));
}

#[test]
fn a_long_text_is_read_in_windows_and_only_as_far_as_wanted() {
    let models = [tiny(Family::Llama)];
    let read = |n_ctx, windows| {
        let options = CompareOptions { n_ctx: Auto::Value(n_ctx), windows, ..options() };
        compare_models(&models, TEXT, &options, &Monitor::default()).unwrap()
    };
    let (whole, parts, two) = (read(200, 0), read(8, 0), read(8, 2));
    assert_eq!((whole.windows, two.windows), (1, 2));
    assert!(parts.windows > 2 && parts.models[0].tokens < whole.models[0].tokens + parts.windows);
    assert!(two.models[0].tokens <= 16);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let llama = tiny(Family::Llama);
    let refused = |models: &[Model], text: &str, monitor: &Monitor| {
        compare_models(models, text, &options(), monitor).unwrap_err()
    };
    let default = Monitor::default();
    assert_eq!(refused(&[], TEXT, &default).code(), Code::InvalidArgument);
    assert_eq!(refused(std::slice::from_ref(&llama), "", &default).code(), Code::TextTooShort);
    let strange = refused(&[llama.clone(), tiny(Family::Gemma3)], TEXT, &default);
    assert_eq!(strange.code(), Code::InvalidArgument);
    assert!(strange.message().contains("vocabulary"), "{strange}");
    let cancelled = CancelToken::new();
    cancelled.trigger();
    assert_eq!(refused(&[llama], TEXT, &Monitor::new(cancelled)).code(), Code::Cancelled);
}

#[test]
fn a_noisier_quantization_of_the_real_model_is_further_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::path(support::smollm2());
    let with = |ftype: &str| {
        let path = folder.path().join(format!("{ftype}.gguf"));
        let options =
            QuantizeOptions { ftype: ftype.into(), requantize: true, ..QuantizeOptions::default() };
        quantize(&source, &path, &options, &Monitor::default()).unwrap();
        path
    };
    let models = [support::smollm2(), support::smollm2(), with("q8_0"), with("q3_k_s")].map(open);
    let text = "The lighthouse keeper wrote a letter to his sister every winter, and in it he told her about the \
        weather, the birds on the rocks, and the ships that passed in the night. She kept all of them in a box.";
    let found = compare_models(&models, text, &options(), &Monitor::default()).unwrap();
    let [_, same, fine, coarse] = &found.models[..] else { panic!("{found:?}") };
    assert!(same.kl.max < 1e-9 && same.same_top == 1.0, "{same:?}");
    assert!(coarse.kl.mean > 2.0 * fine.kl.mean && fine.kl.mean > 0.0, "{found}");
    assert!(coarse.file_bytes < fine.file_bytes && coarse.bits_per_weight < fine.bits_per_weight);
    assert!(coarse.perplexity > same.perplexity, "{found}");
}

#[test]
fn the_output_matrix_can_go_and_what_the_model_needs_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::path(Tiny::new(Family::Llama).write(folder.path()));
    let path = |name: &str| folder.path().join(name);
    let monitor = Monitor::default();
    let embedding = PruneOptions { task: PruneTask::Embedding, ..PruneOptions::default() };
    let drop =
        |pattern: &str| PruneOptions { drop: vec![pattern.into()], ..PruneOptions::default() };

    let report = prune(&source, path("small.gguf"), &embedding, &monitor).unwrap();
    assert_eq!(report.tensors, ["output.weight"]);
    assert!(report.bytes + 60_000 < report.bytes_before, "{report:?}");
    let small = open(path("small.gguf"));
    assert!(small.info().parts.iter().all(|part| part.part != "output"));
    assert!(!text(&mut session(&small, 64), "hello", &greedy(4)).0.is_empty());

    let keys = PruneOptions {
        drop_metadata: vec!["^tokenizer\\.chat_template$".into()],
        ..PruneOptions::default()
    };
    let report = prune(&source, path("plain.gguf"), &keys, &monitor).unwrap();
    assert_eq!(report.metadata, ["tokenizer.chat_template"]);
    assert!(report.tensors.is_empty() && open(path("plain.gguf")).info().chat_template.is_none());

    let none = path("none.gguf");
    let refused = |options: &PruneOptions, monitor: &Monitor| {
        let error = prune(&source, &none, options, monitor).unwrap_err();
        assert!(!none.exists(), "{error}");
        (error.code(), error.message().to_owned())
    };
    for pattern in ["^output_norm", "^blk\\.1\\.ffn_up", "^token_embd", "."] {
        let (code, message) = refused(&drop(pattern), &monitor);
        assert_eq!(code, Code::TensorNeeded, "{message}");
    }
    let needed =
        PruneOptions { drop_metadata: vec!["block_count".into()], ..PruneOptions::default() };
    let (code, message) = refused(&needed, &monitor);
    assert!(code == Code::TensorNeeded && message.contains("llama.block_count"), "{message}");
    assert_eq!(refused(&drop("^nothing$"), &monitor).0, Code::InvalidArgument);
    assert_eq!(refused(&drop("("), &monitor).0, Code::InvalidOption);
    let cancelled = CancelToken::new();
    cancelled.trigger();
    assert_eq!(refused(&embedding, &Monitor::new(cancelled)).0, Code::Cancelled);
    let error = prune(&source, path("small.gguf"), &embedding, &monitor).unwrap_err();
    assert_eq!(error.code(), Code::OutputExists);
}

#[test]
fn inspecting_says_what_each_part_takes() {
    let made = Tiny::new(Family::Llama).weights(GgmlType::Q8_0);
    let info = Model::inspect(Source::memory(made.bytes())).unwrap();
    let parts: Vec<_> = info.parts.iter().map(|part| part.part).collect();
    assert_eq!(parts, ["embeddings", "attention", "feed-forward", "norms", "output"]);
    assert_eq!(info.parts.iter().map(|part| part.bytes).sum::<u64>(), info.weight_bytes);
    assert_eq!(info.parts[1].bits_per_weight, 8.5);
    assert_eq!(info.parts[3].types[0].r#type, "F32");
    assert!(info.bits_per_weight > 8.5 && info.bits_per_weight < 9.0);
}
