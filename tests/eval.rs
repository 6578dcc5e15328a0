//! Evaluation: the numbers, the labels, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::time::Duration;

use nestling::Code;
use nestling::adapter::Adapter;
use nestling::cancel::CancelToken;
use nestling::chat::Message;
use nestling::dataset::{Dataset, Encoder, Example};
use nestling::eval::{Evaluation, compare, evaluate};
use nestling::format::Source;
use nestling::job::{Job, Monitor};
use nestling::model::Model;
use nestling::options::{
    Auto, DatasetOptions, EvaluationOptions, LossOn, ModelOptions, TooLong, TrainerOptions,
};
use nestling::tokenizer::Tokenizer;
use nestling::train::Trainer;
use support::run::{logits, session, tiny};
use support::{Family, Raw, Tiny};

fn dataset(examples: impl IntoIterator<Item = Example>) -> Dataset {
    Dataset::from_examples(examples, &DatasetOptions::default()).unwrap()
}

/// One of each kind.
fn mixed() -> Vec<Example> {
    let turns =
        [("user", "hello"), ("assistant", "the world"), ("user", "or"), ("assistant", "the")];
    vec![
        "the cat sat on the mat".into(),
        Example::completion("one two three", " four five"),
        Example::messages(turns.map(|(role, text)| Message::new(role, text)).to_vec()),
        Example::labelled("the birds sing at dawn", "good"),
    ]
}

/// Texts longer than the sliding window, in three classes.
fn labelled() -> Vec<Example> {
    [
        ("hello world, the sun is in the sky", "good"),
        ("rain falls on the old stone wall", "bad"),
        ("nothing happened on that day at all", "so so"),
        ("a dog ran in the park and was happy", "good"),
        ("the sea is cold and deep and dark", "bad"),
    ]
    .map(|(text, label)| Example::labelled(text, label))
    .to_vec()
}

fn options() -> EvaluationOptions {
    EvaluationOptions { n_threads: Auto::Value(1), ..EvaluationOptions::default() }
}

fn measure(model: &Model, data: &Dataset, o: &EvaluationOptions) -> Evaluation {
    evaluate(model, &[], data, o, &Monitor::default()).unwrap()
}

fn refused(model: &Model, data: &Dataset, o: &EvaluationOptions) -> nestling::Error {
    evaluate(model, &[], data, o, &Monitor::default()).unwrap_err()
}

fn close(a: f64, b: f64, share: f64) -> bool {
    (a - b).abs() <= share * b.abs() + 1e-4
}

/// A trained adapter, and the trainer that made it.
fn trained(model: &Model, data: &Dataset, loss_on: LossOn) -> (Trainer, Adapter) {
    let mut o = TrainerOptions {
        learning_rate: Auto::Value(1e-2),
        epochs: 6,
        n_threads: Auto::Value(1),
        ..TrainerOptions::default()
    };
    o.encoding.loss_on = loss_on;
    let mut trainer = Trainer::new(model, data, None, &o).unwrap();
    while trainer.step(&CancelToken::new()).unwrap().is_some() {}
    let adapter = trainer.adapter().unwrap();
    (trainer, adapter)
}

#[test]
fn every_architecture_gives_the_trainer_s_numbers_with_and_without_its_adapter() {
    for family in Family::ALL {
        for loss_on in [LossOn::Completion, LossOn::All] {
            let model = tiny(family);
            let data = dataset(mixed().into_iter().chain(labelled()));
            let mut o = options();
            o.encoding.loss_on = loss_on;
            let (mut trainer, adapter) = trained(&model, &data, loss_on);
            let adapters = [(adapter, 1.0)];
            let ours = evaluate(&model, &adapters, &data, &o, &Monitor::default()).unwrap();
            let theirs = trainer.evaluate(&data, &CancelToken::new()).unwrap();
            assert_eq!((ours.tokens, ours.examples), (theirs.tokens, 9), "{family:?}");
            assert!(close(ours.loss, theirs.loss, 0.02), "{family:?}: {ours:?} {theirs:?}");
            assert!(close(ours.token_accuracy, theirs.accuracy, 0.05), "{family:?}");
            assert!(close(ours.perplexity, ours.loss.exp(), 1e-12));

            let pair = compare(&model, &adapters, &data, &o, &Monitor::default()).unwrap();
            let base = measure(&model, &data, &o);
            assert!(close(pair.base.loss, base.loss, 1e-6), "{family:?}");
            assert!(close(pair.adapter.loss, ours.loss, 1e-6), "{family:?}");
            assert!(pair.difference.loss < -0.3, "{family:?}: {:?}", pair.difference);
            assert_eq!(pair.difference.loss, pair.adapter.loss - pair.base.loss);
        }
    }
}

#[test]
fn the_size_of_a_batch_changes_nothing() {
    for family in [Family::Llama, Family::Gemma3, Family::Gpt2] {
        let model = tiny(family);
        let data = dataset(mixed().into_iter().chain(labelled()));
        let whole = measure(&model, &data, &options());
        for n_ubatch in [1, 3, 16] {
            let parts = measure(&model, &data, &EvaluationOptions { n_ubatch, ..options() });
            assert!(close(parts.loss, whole.loss, 1e-3), "{family:?} {n_ubatch}");
            assert_eq!(parts.tokens, whole.tokens);
            assert_eq!(parts.encoding, whole.encoding);
        }
    }
}

/// ln p of the tokens behind the first `n_prompt`, one evaluation for each.
fn score(session: &mut nestling::session::Session, tokens: &[i32], n_prompt: usize) -> f64 {
    let ln_p = |i: usize, session: &mut nestling::session::Session| {
        let (row, _) = logits(session, &tokens[..i]);
        let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
        f64::from(row[tokens[i] as usize]) - sum.ln()
    };
    (n_prompt..tokens.len()).map(|i| ln_p(i, session)).sum()
}

#[test]
fn a_label_is_chosen_by_the_probability_of_all_its_tokens() {
    for family in Family::ALL {
        let model = tiny(family);
        let data = dataset(labelled());
        let labels = ["good", "bad", "so so"];
        let o = EvaluationOptions { labels: labels.map(str::to_owned).to_vec(), ..options() };
        let found = measure(&model, &data, &o).classification.unwrap();
        assert_eq!(found.classes.iter().map(|c| c.label.as_str()).collect::<Vec<_>>(), labels);
        assert_eq!((found.examples, found.skipped), (5, 0));

        let encoder = Encoder::new(&Tokenizer::new(&model), 256, &o.encoding).unwrap();
        let mut session = session(&model, 256);
        let mut confusion = vec![vec![0; 3]; 3];
        for example in data.examples() {
            let Example::Labelled { text, label } = example else { panic!() };
            let scores = labels.map(|label| {
                let sequence = encoder.encode(&Example::labelled(text, label)).unwrap();
                let n_prompt = sequence.loss.iter().position(|&learned| learned).unwrap();
                assert_eq!(sequence.tokens[n_prompt..], encoder.label_tokens(label).unwrap());
                score(&mut session, &sequence.tokens, n_prompt)
            });
            let best = (0..3).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
            confusion[labels.iter().position(|l| l == label).unwrap()][best] += 1;
        }
        assert_eq!(found.confusion, confusion, "{family:?}");
    }
}

#[test]
fn an_adapter_that_learned_the_labels_finds_them() {
    let model = tiny(Family::Llama);
    let data = dataset(labelled());
    let (_, adapter) =
        trained(&model, &dataset((0..8).flat_map(|_| labelled())), LossOn::Completion);
    let pair = compare(&model, &[(adapter, 1.0)], &data, &options(), &Monitor::default()).unwrap();
    let (base, after) = (pair.base.classification.clone(), pair.adapter.classification.clone());
    let (base, after) = (base.unwrap(), after.unwrap());
    assert_eq!(after.accuracy, 1.0, "{pair}");
    assert!(base.accuracy < 1.0, "{pair}");
    assert_eq!(after.confusion, [[2, 0, 0], [0, 2, 0], [0, 0, 1]]);
    let text = pair.to_string();
    for part in ["base", "adapter", "difference", "macro F1", "true \\ chosen", "so so", "support"]
    {
        assert!(text.contains(part), "{text}");
    }
    let json = serde_json::to_value(&pair).unwrap();
    assert_eq!(json["adapter"]["classification"]["accuracy"], 1.0);
    assert_eq!(json["difference"]["classification"]["macro_f1"], 1.0 - base.macro_f1);
    assert_eq!(json["base"]["encoding"]["encoded"], 5);
}

#[test]
fn a_model_that_cannot_be_trained_can_be_measured() {
    let mut raw = Raw::of(&Tiny::new(Family::Llama));
    for entry in &mut raw.kv {
        if let Some(rest) = entry.key.strip_prefix(b"llama.") {
            entry.key = [b"xverse.", rest].concat();
        }
    }
    raw.set("general.architecture", "xverse");
    let model = Model::open(Source::memory(raw.bytes()), &ModelOptions::default()).unwrap();
    let data = dataset(labelled());
    let untrained = Trainer::new(&model, &data, None, &TrainerOptions::default()).unwrap_err();
    assert_eq!(untrained.code(), Code::Unsupported);
    let found = measure(&model, &data, &options());
    assert!(found.loss > 1.0 && found.classification.unwrap().examples == 5);
}

/// A tiny model whose state cannot go back: random weights, decays below 0.
fn mamba() -> Model {
    let (embd, inner, state, rank) = (64u64, 128u64, 16u64, 4u64);
    let mut raw = Raw::of(&Tiny::new(Family::Llama));
    raw.kv.retain(|entry| !entry.key.starts_with(b"llama."));
    raw.tensors.retain(|tensor| !tensor.name.starts_with(b"blk."));
    raw.set("general.architecture", "mamba").set("mamba.context_length", 256u32);
    raw.set("mamba.embedding_length", embd as u32).set("mamba.block_count", 2u32);
    raw.set("mamba.feed_forward_length", 0u32).set("mamba.attention.head_count", 0u32);
    raw.set("mamba.attention.layer_norm_rms_epsilon", 1e-5f32);
    raw.set("mamba.ssm.conv_kernel", 4u32).set("mamba.ssm.inner_size", inner as u32);
    raw.set("mamba.ssm.state_size", state as u32).set("mamba.ssm.time_step_rank", rank as u32);
    let mut seed = 1u32;
    let mut add = |name: String, dims: &[u64], middle: f32| {
        let n = dims.iter().product::<u64>();
        let mut next = || {
            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
            middle + (seed >> 8) as f32 / (1u32 << 23) as f32 * 0.2 - 0.2
        };
        let data = (0..n).flat_map(|_| next().to_le_bytes()).collect();
        raw.add_tensor(&name, dims, 0, data);
    };
    for layer in 0..2 {
        let name = |part: &str| format!("blk.{layer}.{part}");
        add(name("attn_norm.weight"), &[embd], 1.0);
        add(name("ssm_in.weight"), &[embd, 2 * inner], 0.1);
        add(name("ssm_conv1d.weight"), &[4, inner], 0.3);
        add(name("ssm_conv1d.bias"), &[inner], 0.1);
        add(name("ssm_x.weight"), &[inner, rank + 2 * state], 0.1);
        add(name("ssm_dt.weight"), &[rank, inner], 0.1);
        add(name("ssm_dt.bias"), &[inner], 0.1);
        add(name("ssm_a"), &[state, inner], -1.0);
        add(name("ssm_d"), &[inner], 1.0);
        add(name("ssm_out.weight"), &[inner, embd], 0.1);
    }
    Model::open(Source::memory(raw.bytes()), &ModelOptions::default()).unwrap()
}

#[test]
fn a_model_that_cannot_go_back_reads_the_prompt_for_each_label() {
    let model = mamba();
    let data = dataset(labelled());
    let found = measure(&model, &data, &options());
    // The tokens of the right labels alone, without a choice.
    let one = |example: Example| measure(&model, &dataset([example]), &options());
    let alone: Vec<_> = labelled().into_iter().map(one).collect();
    let sum: f64 = alone.iter().map(|e| e.loss * e.tokens as f64).sum();
    assert!(close(found.loss * found.tokens as f64, sum, 1e-4), "{found:?}");
    assert!(found.classification.unwrap().examples == 5 && alone[0].classification.is_none());
}

#[test]
fn what_does_not_fit_is_cut_or_left_out_and_counted() {
    let model = tiny(Family::Llama);
    let data = dataset(mixed().into_iter().chain(labelled()));
    let with = |n_ctx, too_long| {
        let mut o = EvaluationOptions { n_ctx: Auto::Value(n_ctx), ..options() };
        o.encoding.too_long = too_long;
        o
    };
    let all = measure(&model, &data, &with(256, TooLong::Truncate));
    assert_eq!((all.encoding.truncated, all.encoding.dropped(), all.examples), (0, 0, 9));
    let cut = measure(&model, &data, &with(30, TooLong::Truncate));
    let classes = cut.classification.clone().unwrap();
    assert!(cut.encoding.truncated + cut.encoding.nothing_to_learn > 0, "{cut:?}");
    assert!(classes.skipped > 0 && classes.examples + classes.skipped == 6, "{cut:?}");
    assert!(cut.to_string().contains("not classified"), "{cut}");
    let dropped = measure(&model, &data, &with(30, TooLong::Drop));
    assert!(dropped.encoding.too_long > 0 && dropped.to_string().contains("left out"), "{dropped}");
    let error = refused(&model, &data, &with(30, TooLong::Error));
    assert_eq!(error.code(), Code::DatasetTooLong, "{error}");
    assert!(error.message().contains("example ") && error.message().contains("n_ctx"), "{error}");
}

#[test]
fn labels_that_cannot_be_chosen_are_refused_with_the_remedy() {
    let model = tiny(Family::Llama);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("reviews.csv");
    std::fs::write(&path, "text,label\nnice,good\npoor,bad\nfine,meh\n").unwrap();
    let file = Dataset::open([path.as_path()], &DatasetOptions::default()).unwrap();
    let with = |labels: &[&str]| EvaluationOptions {
        labels: labels.iter().map(|&label| label.to_owned()).collect(),
        ..options()
    };
    let error = refused(&model, &file, &with(&["good", "bad"]));
    assert_eq!(error.code(), Code::DatasetLabel);
    for part in ["reviews.csv, line 4", "\"meh\"", "good, bad", "add it"] {
        assert!(error.message().contains(part), "{error}");
    }
    for (labels, word) in
        [(&["good", "good"][..], "twice"), (&["good"], "two"), (&["a", " "], "empty")]
    {
        let error = refused(&model, &file, &with(labels));
        assert_eq!(error.code(), Code::InvalidOption);
        assert!(error.message().contains(word), "{error}");
    }
    let texts = dataset(["only a text".into()]);
    assert_eq!(refused(&model, &texts, &with(&["a", "b"])).code(), Code::InvalidArgument);
    // One class alone is nothing to choose from.
    let one = dataset([Example::labelled("a", "b"), Example::labelled("c", "b")]);
    assert!(measure(&model, &one, &options()).classification.is_none());
    // A candidate that no example has counts as a class of its own.
    let more =
        measure(&model, &file, &with(&["good", "bad", "meh", "never"])).classification.unwrap();
    assert_eq!((more.classes[3].support, more.classes[3].recall), (0, 0.0));
}

#[test]
fn it_can_be_cancelled_and_says_how_far_it_is() {
    let model = tiny(Family::Llama);
    let data = dataset(mixed());
    let cancel = CancelToken::new();
    cancel.trigger();
    let error = evaluate(&model, &[], &data, &options(), &Monitor::new(cancel)).unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    let (theirs, texts) = (model.clone(), data.clone());
    let mut job = Job::spawn("evaluating", CancelToken::new(), move |monitor| {
        evaluate(&theirs, &[], &texts, &options(), monitor)
    })
    .unwrap();
    let mut last = job.step(Duration::from_secs(60));
    while !last.done {
        last = job.step(Duration::from_secs(60));
    }
    assert!(last.fraction > 0.999, "{last:?}");
    assert_eq!(job.take().unwrap().tokens, measure(&model, &data, &options()).tokens);
}

#[test]
fn adapters_and_comparisons_that_make_no_sense_are_refused() {
    let model = tiny(Family::Llama);
    let data = dataset(mixed());
    let monitor = Monitor::default();
    let error = compare(&model, &[], &data, &options(), &monitor).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let (_, adapter) = trained(&model, &data, LossOn::Completion);
    let error =
        evaluate(&model, &[(adapter.clone(), f32::NAN)], &data, &options(), &monitor).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let other = tiny(Family::Llama);
    let error = evaluate(&other, &[(adapter, 1.0)], &data, &options(), &monitor).unwrap_err();
    assert_eq!(error.code(), Code::AdapterMismatch);
    let (one, two) = (measure(&model, &data, &options()), dataset(labelled()));
    let error = nestling::eval::Comparison::new(one, measure(&model, &two, &options()));
    assert_eq!(error.unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn numbers_that_overflow_name_the_example() {
    let mut raw = Raw::of(&Tiny::new(Family::Llama));
    let weight = &mut raw.tensor("output.weight").data;
    weight.chunks_exact_mut(4).for_each(|bytes| bytes.copy_from_slice(&f32::MAX.to_le_bytes()));
    let model = Model::open(Source::memory(raw.bytes()), &ModelOptions::default()).unwrap();
    let error = refused(&model, &dataset(mixed()), &options());
    assert_eq!(error.code(), Code::Engine, "{error}");
    assert!(error.message().contains("example 1") && error.message().contains("NaN"), "{error}");
}
