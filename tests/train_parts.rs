//! The parts of training that need no engine: optimizers, schedules and clipping against PyTorch and transformers,
//! adapters against the engine that reads them, checkpoints.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use nestling::Code;
use nestling::adapter::Adapter;
use nestling::format::gguf::{GgmlType, Writer};
use nestling::format::{Access, ModelFiles, Source};
use nestling::model::Model;
use nestling::options::{Input, ModelOptions, Options, TrainerOptions};
use nestling::train::{
    Checkpoint, CheckpointView, LoraParams, LoraSpec, Optimizer, OptimizerOptions, Progress,
    Schedule, clip_grad_norm,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::Value;
use support::run::{ids, logits, max_difference, session};
use support::{Family, Tiny};

const STEPS: usize = 12;
const SIZE: usize = 6;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/optimizers.json")).unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

/// As tests/golden/optimizers.py makes them.
fn gradient(step: usize) -> Vec<f32> {
    let at = |i: usize| {
        let wave = (1.7 * step as f64 + i as f64).sin() * 10f64.powi(i as i32 - 3);
        if (step + i).is_multiple_of(5) { 0.0 } else { wave as f32 }
    };
    (0..SIZE).map(at).collect()
}

fn assert_close(ours: &[f32], theirs: &[f32], what: &str) {
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() <= 2e-6 * b.abs().max(0.01), "{what}: {ours:?} {theirs:?}");
    }
}

#[test]
fn every_optimizer_stays_with_pytorch() {
    let golden = golden();
    let cases = golden["optimizers"].as_array().unwrap();
    assert_eq!(cases.len(), 11);
    for case in cases {
        let mut options = TrainerOptions::default();
        options.set("optimizer", Input::Str(case["optimizer"].as_str().unwrap())).unwrap();
        for (key, value) in case["options"].as_object().unwrap() {
            options.set(key, Input::Float(value.as_f64().unwrap())).unwrap();
        }
        let rate = case["learning_rate"].as_f64().unwrap();
        let mut optimizer = Optimizer::new(OptimizerOptions::from(&options), &[SIZE]);
        let mut parameter = floats(&golden["start"]);
        for step in 0..STEPS {
            let rate = rate * (1.0 - step as f64 / STEPS as f64);
            let gradient = gradient(step);
            optimizer.step(rate, [(&mut parameter[..], &gradient[..])]).unwrap();
            let what = format!("{} {} step {step}", case["optimizer"], case["options"]);
            assert_close(&parameter, &floats(&case["after"][step]), &what);
        }
    }
}

#[test]
fn every_schedule_is_that_of_transformers() {
    for case in golden()["schedules"].as_array().unwrap() {
        let mut options = TrainerOptions::default();
        options.set("lr_schedule", Input::Str(case["schedule"].as_str().unwrap())).unwrap();
        options.set("warmup_steps", Input::Int(case["warmup"].as_i64().unwrap())).unwrap();
        options.learning_rate = case["learning_rate"].as_f64().unwrap().into();
        let schedule = Schedule::from(&options);
        let total = case["total"].as_u64().unwrap();
        for (step, theirs) in (0..).zip(case["rates"].as_array().unwrap()) {
            let (ours, theirs) = (schedule.learning_rate(step, total), theirs.as_f64().unwrap());
            // After its end transformers lets the cosine rise again; a training never gets there.
            if step <= total.max(case["warmup"].as_u64().unwrap()) {
                assert!((ours - theirs).abs() < 1e-15, "{case} step {step}: {ours} {theirs}");
            }
        }
    }
}

#[test]
fn clipping_is_that_of_pytorch() {
    for case in golden()["clipping"].as_array().unwrap() {
        let mut gradients: Vec<_> = (1..=3).map(gradient).collect();
        let mut slices: Vec<_> = gradients.iter_mut().map(|g| &mut g[..]).collect();
        let norm = clip_grad_norm(&mut slices, case["max_norm"].as_f64().unwrap()).unwrap();
        assert!((norm / case["norm"].as_f64().unwrap() - 1.0).abs() < 1e-6);
        for (ours, theirs) in gradients.iter().zip(case["after"].as_array().unwrap()) {
            assert_close(ours, &floats(theirs), &format!("max_norm {}", case["max_norm"]));
        }
    }
}

fn files(tiny: &Tiny) -> ModelFiles {
    ModelFiles::open(&Source::memory(tiny.bytes()), Access::Read).unwrap()
}

fn options(targets: &str) -> TrainerOptions {
    TrainerOptions { lora_targets: targets.into(), lora_rank: 4, ..Default::default() }
}

/// New parameters for a tiny model, B not zero.
fn params(tiny: &Tiny, options: &TrainerOptions) -> LoraParams {
    let spec = LoraSpec::new(options).unwrap();
    let mut params = LoraParams::init(&spec, tiny.family.arch(), files(tiny).tensors(), 5).unwrap();
    for pair in params.pairs_mut() {
        (0..).zip(&mut pair.b).for_each(|(i, b)| *b = ((i * 7 % 13) as f32 - 6.0) / 100.0);
    }
    params
}

#[test]
fn the_engine_reads_what_is_saved_for_every_family() {
    let directory = tempfile::tempdir().unwrap();
    for family in Family::ALL {
        let tiny = Tiny::new(family);
        let model = Model::open(Source::memory(tiny.bytes()), &ModelOptions::default()).unwrap();
        let (prompt, mut session) = (ids(20, 250, 1), session(&model, 64));
        let (base, _) = logits(&mut session, &prompt);
        let mut with = |params: &LoraParams| {
            let path = directory.path().join("adapter.gguf");
            params.save(&path, "a test").unwrap();
            let back = LoraParams::from_file(&path, family.arch(), files(&tiny).tensors()).unwrap();
            assert_eq!(back, *params);
            let adapter = Adapter::open(&model, path).unwrap();
            session.set_adapters(&[(adapter, 1.0)]).unwrap();
            logits(&mut session, &prompt).0
        };
        let mut trained = params(&tiny, &options("all"));
        let once = with(&trained);
        assert!(max_difference(&once, &base) > 1e-3, "{family:?}");
        // Twice B is twice alpha: the engine's scale is ours.
        let double = TrainerOptions { lora_alpha: 32.0, ..options("all") };
        let twice_alpha = with(&params(&tiny, &double));
        trained.pairs_mut().iter_mut().flat_map(|p| &mut p.b).for_each(|b| *b *= 2.0);
        let twice_b = with(&trained);
        assert!(max_difference(&twice_b, &twice_alpha) < 1e-4, "{family:?}");
        assert!(max_difference(&twice_b, &once) > 1e-3, "{family:?}");
        // rsLoRA: 16 / sqrt(4) = 32 / 4.
        let rs = TrainerOptions { rs_lora: true, ..options("all") };
        assert_eq!(with(&params(&tiny, &rs)), twice_alpha, "{family:?}");
        // Before the first step the adapter changes nothing.
        trained.pairs_mut().iter_mut().flat_map(|p| &mut p.b).for_each(|b| *b = 0.0);
        assert_eq!(with(&trained), base, "{family:?}");
    }
}

#[test]
fn an_adapter_that_cannot_be_continued_is_refused() {
    let tiny = Tiny::new(Family::Llama);
    let continued = |bytes: Vec<u8>, tiny: &Tiny| {
        let found =
            LoraParams::from_file(Source::memory(bytes), tiny.family.arch(), files(tiny).tensors());
        found.map_err(|e| (e.code(), e.message().to_owned())).unwrap_err()
    };
    let good = params(&tiny, &options("attn_q")).to_bytes("x").unwrap();
    let (code, message) = continued(good.clone(), &Tiny::new(Family::Qwen2));
    assert_eq!(code, Code::AdapterMismatch);
    assert!(message.contains("\"llama\", the model is \"qwen2\""), "{message}");
    let mut wide = Tiny::new(Family::Llama);
    wide.n_embd = 128;
    assert_eq!(continued(good, &wide).0, Code::AdapterMismatch);

    let file = |pairs: &[(&str, u64, u64, u64)], value: f32| {
        let mut w = Writer::new();
        w.set("general.type", "adapter").set("general.architecture", "llama");
        w.set("adapter.type", "lora").set("adapter.lora.alpha", 8f32);
        for &(name, n_in, rank, n_out) in pairs {
            let data = |n: u64| value.to_le_bytes().repeat(n as usize);
            w.tensor(format!("{name}.lora_a"), &[n_in, rank], GgmlType::F32, data(n_in * rank));
            w.tensor(format!("{name}.lora_b"), &[rank, n_out], GgmlType::F32, data(rank * n_out));
        }
        w.to_bytes().unwrap()
    };
    let (q, down) = ("blk.0.attn_q.weight", "blk.1.ffn_down.weight");
    let (code, message) = continued(file(&[(q, 64, 4, 64), (down, 128, 8, 64)], 0.5), &tiny);
    assert_eq!(code, Code::LoraRank);
    assert!(message.contains("ranks from 4 to 8"), "{message}");
    let vocabulary = files(&tiny).hparams().n_vocab;
    let output = [("output.weight", 64, 4, u64::from(vocabulary))];
    let (code, message) = continued(file(&output, 0.5), &tiny);
    assert_eq!(code, Code::LoraTarget);
    assert!(message.contains("output.weight, which cannot be trained"), "{message}");
    assert_eq!(continued(file(&[(q, 64, 4, 64)], f32::NAN), &tiny).0, Code::AdapterTensor);
    assert_eq!(continued(tiny.bytes(), &tiny).0, Code::AdapterFormat);
    // A foreign file that fits: rank and alpha are the file's, the rest has no say.
    let tensors = files(&tiny);
    let foreign = Source::memory(file(&[(down, 128, 2, 64), (q, 64, 2, 64)], 0.25));
    let foreign = LoraParams::from_file(foreign, "llama", tensors.tensors()).unwrap();
    assert_eq!((foreign.rank(), foreign.scale(), foreign.rs_lora()), (2, 4.0, false));
    assert_eq!(foreign.pairs()[0].weight(), q);
}

#[test]
fn a_failed_save_leaves_the_old_adapter() {
    let directory = tempfile::tempdir().unwrap();
    let tiny = Tiny::new(Family::Llama);
    let trained = params(&tiny, &options("attn_v"));
    let path = directory.path().join("adapter.gguf");
    trained.save(&path, "first").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert_eq!(before, trained.to_bytes("first").unwrap());
    let mut broken = trained.clone();
    broken.pairs_mut()[0].b[0] = f32::INFINITY;
    assert_eq!(broken.save(&path, "second").unwrap_err().code(), Code::TrainingDiverged);
    // A name that is a directory: the rename fails after everything was written.
    let taken = directory.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    assert!(trained.save(&taken, "third").is_err());
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
}

fn progress() -> impl Strategy<Value = Progress> {
    let loss = prop_oneof![0f64..1e3, Just(f64::MIN_POSITIVE), Just(0.1 + 0.2)];
    let counts = any::<(u64, u64, u64, u64, u64)>();
    let (losses, best) = (vec(loss.clone(), 0..40), proptest::option::of(loss.clone()));
    let rng = btree_map("[a-z_]{1,12}", ".{0,60}", 0..4);
    (counts, losses, vec((any::<u64>(), loss), 0..9), best, rng).prop_map(
        |((step, epoch, cursor, tokens, without), losses, validation, best, rng)| Progress {
            step,
            epoch,
            cursor,
            tokens,
            losses,
            validation,
            best_validation_loss: best,
            without_improvement: without,
            rng,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_progress_and_options_come_back(
        progress in progress(),
        learning_rate in 0f64..1.0,
        seed in 0..i64::MAX,
        values in vec(-1e30f32..1e30, 4),
        model in "[0-9a-f]{64}",
    ) {
        let mut options = TrainerOptions { learning_rate: learning_rate.into(), seed, ..options("ffn_gate") };
        options.max_steps = (seed % 1000 + 1).into();
        let tiny = Tiny::new(Family::Llama);
        let mut params = params(&tiny, &options);
        params.pairs_mut()[0].a[..4].copy_from_slice(&values);
        let optimizer = Optimizer::new(OptimizerOptions::from(&options), &params.sizes());
        let view = CheckpointView {
            options: &options,
            params: &params,
            optimizer: &optimizer,
            progress: &progress,
            model: &model,
            dataset: "",
        };
        let loaded = Checkpoint::load(Source::memory(view.to_bytes().unwrap())).unwrap();
        prop_assert_eq!(loaded.view(), view);
    }
}
