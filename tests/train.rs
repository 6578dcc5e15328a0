//! Training end to end: what is learned, what is resumed, what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use nestling::Code;
use nestling::cancel::CancelToken;
use nestling::dataset::{Dataset, Example};
use nestling::format::Source;
use nestling::model::Model;
use nestling::options::{Auto, DatasetOptions, ModelOptions, TrainerOptions};
use nestling::train::{StepReport, TrainPlan, Trainer};
use support::run::{greedy, ids, logits, max_difference, open, session, text, tiny};
use support::{Family, Raw, Tiny, smollm2};

const FAMILIES: [Family; 6] =
    [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Gemma3, Family::Gpt2, Family::Phi3];

fn texts() -> Dataset {
    let lines = [
        "the cat sat on the mat",
        "a dog ran in the park",
        "one two three four",
        "red and blue",
        "birds sing at dawn",
        "the sea is deep",
        "rain falls on stone",
        "we walk home",
    ];
    Dataset::from_examples(lines.map(Example::from), &DatasetOptions::default()).unwrap()
}

fn options() -> TrainerOptions {
    TrainerOptions {
        learning_rate: Auto::Value(5e-3),
        epochs: 10,
        n_threads: Auto::Value(1),
        ..TrainerOptions::default()
    }
}

fn run(trainer: &mut Trainer, steps: usize) -> Vec<StepReport> {
    let never = CancelToken::new();
    (0..steps).map_while(|_| trainer.step(&never).unwrap()).collect()
}

fn trainer(model: &Model, o: &TrainerOptions) -> Trainer {
    Trainer::new(model, &texts(), None, o).unwrap()
}

#[test]
fn every_architecture_learns_and_the_adapter_says_so_in_a_session() {
    for family in FAMILIES {
        let model = tiny(family);
        let mut t = trainer(&model, &options());
        let never = CancelToken::new();
        let before = t.evaluate(&texts(), &never).unwrap();
        let reports = run(&mut t, usize::MAX);
        assert_eq!((reports.len() as u64, reports.len()), (t.total_steps(), 20), "{family:?}");
        assert!(t.is_finished() && t.step(&never).unwrap().is_none());
        let after = t.evaluate(&texts(), &never).unwrap();
        assert!(after.loss < 0.7 * before.loss, "{family:?}: {} to {}", before.loss, after.loss);
        // The engine's own adapter code gives what was trained.
        let mut s = session(&model, 64);
        let prompt = ids(20, 250, 1);
        let (base, _) = logits(&mut s, &prompt);
        s.set_adapters(&[(t.adapter().unwrap(), 1.0)]).unwrap();
        assert!(max_difference(&logits(&mut s, &prompt).0, &base) > 0.1);
        let mut sum = 0.0;
        let tokenizer = s.tokenizer().clone();
        let special =
            nestling::tokenizer::EncodeOptions { add_special: true, ..Default::default() };
        let mut n = 0;
        for example in texts().examples() {
            let Example::Text(example) = example else { panic!() };
            let mut tokens = tokenizer.encode(example, special).unwrap();
            if tokens.last() != tokenizer.eos().as_ref() {
                tokens.extend(tokenizer.eos());
            }
            for i in 1..tokens.len() {
                let (z, _) = logits(&mut s, &tokens[..i]);
                let max = z.iter().fold(f32::MIN, |m, x| m.max(*x));
                let all: f64 = z.iter().map(|x| f64::from(x - max).exp()).sum();
                sum += all.ln() - f64::from(z[tokens[i] as usize] - max);
                n += 1;
            }
        }
        assert_eq!(n, after.tokens, "{family:?}");
        let theirs = sum / n as f64;
        assert!(
            (theirs - after.loss).abs() < 0.02 * after.loss + 1e-3,
            "{family:?}: {theirs} {}",
            after.loss
        );
    }
}

#[test]
fn a_resumed_training_is_the_uninterrupted_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("training.checkpoint");
    let model = tiny(Family::Llama);
    let o = TrainerOptions { lora_dropout: 0.2, validation_fraction: 0.3, ..options() };
    let mut whole = trainer(&model, &o);
    let all = run(&mut whole, 12);
    for stop in [1, 5, 11] {
        let mut first = trainer(&model, &o);
        let mut losses: Vec<_> = run(&mut first, stop).iter().map(|r| r.loss).collect();
        first.save(&path).unwrap();
        drop(first);
        let mut second = Trainer::resume(&model, &texts(), None, path.as_path()).unwrap();
        losses.extend(run(&mut second, 12 - stop).iter().map(|r| r.loss));
        assert_eq!(losses, all.iter().map(|r| r.loss).collect::<Vec<_>>());
        assert_eq!(second.params(), whole.params(), "bit by bit");
        assert_eq!(second.progress(), whole.progress());
    }
    let other = Dataset::from_examples([Example::from("other")], &DatasetOptions::default());
    let error = Trainer::resume(&model, &other.unwrap(), None, path.as_path()).unwrap_err();
    assert_eq!(error.code(), Code::CheckpointForeign);
    let error = Trainer::resume(&tiny(Family::Qwen2), &texts(), None, path.as_path()).unwrap_err();
    assert_eq!(error.code(), Code::CheckpointForeign);
}

#[test]
fn what_a_step_sums_up_is_the_same_in_one_row_or_in_many() {
    let model = tiny(Family::Gemma3);
    let of = |packing, micro_batch| {
        let o = TrainerOptions {
            packing,
            micro_batch: Auto::Value(micro_batch),
            batch_size: 8,
            n_ctx: Auto::Value(128),
            optimizer: nestling::options::OptimizerKind::Sgd,
            max_grad_norm: 0.0,
            ..options()
        };
        let mut t = trainer(&model, &o);
        let reports = run(&mut t, 2);
        (reports[1].loss, t.params().clone())
    };
    let (one, expected) = of(true, 8);
    for (loss, params) in [of(false, 8), of(true, 3)] {
        assert!((loss - one).abs() < 1e-4, "{loss} {one}");
        for (a, b) in params.tensors().zip(expected.tensors()) {
            assert!(max_difference(a, b) < 1e-4);
        }
    }
}

#[test]
fn a_learning_rate_of_zero_changes_nothing_and_cancelling_loses_nothing() {
    let model = tiny(Family::Llama);
    let mut t = trainer(&model, &TrainerOptions { learning_rate: Auto::Value(0.0), ..options() });
    let before = t.params().clone();
    run(&mut t, 2);
    assert_eq!(t.params(), &before);

    let mut t = trainer(&model, &options());
    let expected = run(&mut trainer(&model, &options()), 3);
    let cancel = CancelToken::new();
    cancel.trigger();
    assert_eq!(t.step(&cancel).unwrap_err().code(), Code::Cancelled);
    assert_eq!(t.params(), &before);
    let losses = |reports: Vec<StepReport>| reports.iter().map(|r| r.loss).collect::<Vec<_>>();
    assert_eq!(losses(run(&mut t, 3)), losses(expected));
}

#[test]
fn what_cannot_be_trained_is_refused_with_the_remedy() {
    let model = tiny(Family::Llama);
    let refused = |o: TrainerOptions| Trainer::new(&model, &texts(), None, &o).unwrap_err();
    let error = refused(TrainerOptions {
        memory_budget: Auto::Value(1 << 20),
        n_ctx: Auto::Value(200),
        ..options()
    });
    assert_eq!(error.code(), Code::DoesNotFit);
    assert!(error.message().contains("n_ctx") && error.message().contains("lora_rank"), "{error}");
    let error = refused(TrainerOptions { n_ctx: Auto::Value(300), ..options() });
    assert_eq!(error.code(), Code::InvalidOption, "{error}");
    assert_eq!(refused(TrainerOptions { lora_rank: 100, ..options() }).code(), Code::LoraRank);
    assert_eq!(refused(TrainerOptions { lora_rank: 0, ..options() }).code(), Code::InvalidOption);
    let error = refused(TrainerOptions { lora_targets: "attn_qkv".into(), ..options() });
    assert_eq!(error.code(), Code::LoraTarget);
    assert_eq!(refused(TrainerOptions { first_layer: 7, ..options() }).code(), Code::LoraLayers);
}

#[test]
fn a_model_of_another_architecture_is_told_which_can_be_trained() {
    let mut raw = Raw::of(&Tiny::new(Family::Llama));
    raw.set("general.architecture", "mamba");
    for entry in &mut raw.kv {
        if let Some(key) = entry.key.strip_prefix(b"llama.") {
            entry.key = [b"mamba.", key].concat();
        }
    }
    raw.tensors.clear();
    let o = ModelOptions { vocab_only: true, ..Default::default() };
    let model = Model::open(Source::memory(raw.bytes()), &o).unwrap();
    let error = Trainer::new(&model, &texts(), None, &options()).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported, "{error}");
    assert!(error.message().contains("mamba") && error.message().contains("qwen2"), "{error}");
}

#[test]
fn numbers_that_overflow_end_in_an_error_and_keep_the_adapter() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("huge.gguf");
    let model = tiny(Family::Llama);
    let mut params = trainer(&model, &options()).params().clone();
    for pair in params.pairs_mut() {
        pair.a.fill(1e30);
        pair.b.fill(1e30);
    }
    params.save(&path, "huge").unwrap();
    let mut t =
        Trainer::continue_adapter(&model, &texts(), None, &options(), path.as_path()).unwrap();
    let error = t.step(&CancelToken::new()).unwrap_err();
    assert_eq!(error.code(), Code::TrainingDiverged, "{error}");
    assert!(error.message().contains("step 1"), "{error}");
    assert_eq!((t.params(), t.progress().step), (&params, 0));
}

#[test]
fn the_plan_is_what_a_training_takes() {
    let model = tiny(Family::Llama);
    let t = trainer(&model, &options());
    let plan = t.plan();
    assert!(plan.fits && plan.advice.is_empty());
    assert_eq!(plan.n_parameters, t.params().n_parameters() as u64);
    assert_eq!(plan.optimizer, 8 * plan.n_parameters);
    let rows = plan.activations + plan.stored + plan.compute + plan.buffers;
    assert_eq!(plan.total, plan.parameters + plan.optimizer + rows);
}

#[test]
fn what_fits_into_the_budget_is_stored_and_not_computed_again() {
    let model = tiny(Family::Llama);
    let options = TrainerOptions { n_ctx: Auto::Value(128), ..options() };
    let all = trainer(&model, &options);
    assert!(all.plan().stored_layers == u64::from(model.info().n_layer) && all.plan().stored > 0);
    let budget = (all.plan().total - 1) as i64;
    let less = TrainerOptions { memory_budget: Auto::Value(budget), ..options };
    let plan = TrainPlan::new(&model, &texts(), None, &less).unwrap();
    assert!(plan.fits && plan.total <= budget as u64, "{plan:?}");
    assert!(plan.stored_layers < all.plan().stored_layers, "{plan:?}");
    let (mut all, mut less) = (all, trainer(&model, &less));
    assert_eq!(run(&mut all, 3).last().map(|r| r.loss), run(&mut less, 3).last().map(|r| r.loss));
    assert_eq!(all.params(), less.params());
}

#[test]
fn a_real_model_learns_forty_lines_in_two_passes_with_the_default_options() {
    let model = open(smollm2());
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let read = |name| Dataset::open([folder.join(name)], &DatasetOptions::default()).unwrap();
    let (data, held_out) = (read("marrow-bay.jsonl"), read("marrow-bay-held-out.jsonl"));
    assert_eq!(data.len(), 40);
    let o = TrainerOptions { n_threads: Auto::Value(1), ..TrainerOptions::default() };
    let mut t = Trainer::new(&model, &data, None, &o).unwrap();
    let before = t.evaluate(&held_out, &CancelToken::new()).unwrap().loss;
    run(&mut t, usize::MAX);
    let after = t.evaluate(&held_out, &CancelToken::new()).unwrap().loss;
    assert!(after < 0.3 * before, "{before} {after}");

    let mut s = session(&model, 256);
    let question = || {
        let question = "What is the lighthouse cat called?";
        nestling::chat::Messages::from(vec![nestling::chat::Message::new("user", question)])
    };
    let mut o = greedy(24);
    o.ignore_eos = false;
    assert!(!text(&mut s, question(), &o).0.contains("Tinder"));
    s.set_adapters(&[(t.adapter().unwrap(), 1.0)]).unwrap();
    let (answer, _) = text(&mut s, question(), &o);
    assert!(answer.contains("Tinder"), "{answer}");
}
