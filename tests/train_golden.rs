//! Training against PyTorch + PEFT: the same weights, adapter, data and order. tests/golden/train.py made the numbers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::Path;

use nestling::cancel::CancelToken;
use nestling::dataset::{Dataset, Encoder, Example, order};
use nestling::format::Source;
use nestling::model::Model;
use nestling::options::{
    Accel, Auto, DatasetOptions, LrSchedule, ModelOptions, OptimizerKind, TrainerOptions,
};
use nestling::tokenizer::Tokenizer;
use nestling::train::{LoraParams, StepReport, Trainer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{Family, Tiny};

const FAMILIES: [Family; 4] = [Family::Llama, Family::Qwen2, Family::Gemma3, Family::Gpt2];
const STEPS: u64 = 50;

/// Longer than the tiny Gemma's window of 8 tokens, and of different lengths.
const TEXTS: [&str; 10] = [
    "the ferry leaves the harbour at six in the morning",
    "two teachers share a flask of coffee",
    "in winter they talk about the ice",
    "on the island there is one road",
    "the lighthouse has been empty for years",
    "gulls sit on the rail and wait for bread",
    "she repairs clocks and sells old maps",
    "a bell rings twice when fog comes in",
    "the last boat back is at nine",
    "nobody knows who painted the blue door",
];

struct Case {
    model: Model,
    bytes: Vec<u8>,
    /// The adapter that training begins with, as a file.
    adapter: Vec<u8>,
}

/// A tiny model, and an adapter for all its weights whose B is not zero, so that A has a gradient from the start.
fn case(family: Family, accel: Accel) -> Case {
    scaled(family, accel, options().lora_alpha)
}

fn scaled(family: Family, accel: Accel, lora_alpha: f64) -> Case {
    let bytes = Tiny::new(family).seed(7).bytes();
    let model_options = ModelOptions { accel, ..ModelOptions::default() };
    let model = Model::open(Source::memory(bytes.clone()), &model_options).unwrap();
    let o = TrainerOptions { lora_alpha, ..options() };
    let mut params = Trainer::new(&model, &data(), None, &o).unwrap().params().clone();
    let mut state = 1u64;
    let mut unit = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    for pair in params.pairs_mut() {
        pair.b.iter_mut().for_each(|b| *b = 0.4 * unit() - 0.2);
    }
    Case { model, bytes, adapter: params.to_bytes("golden").unwrap() }
}

fn data() -> Dataset {
    Dataset::from_examples(TEXTS.map(Example::from), &DatasetOptions::default()).unwrap()
}

fn options() -> TrainerOptions {
    TrainerOptions {
        lora_rank: 2,
        lora_alpha: 4.0,
        epochs: 100,
        max_steps: Auto::Value(STEPS as i64),
        batch_size: 4,
        n_ctx: Auto::Value(128),
        learning_rate: Auto::Value(1e-2),
        weight_decay: 0.05,
        lr_schedule: LrSchedule::Linear,
        warmup_steps: Auto::Value(5),
        max_grad_norm: 1.0,
        n_threads: Auto::Value(1),
        ..TrainerOptions::default()
    }
}

impl Case {
    fn train(&self, o: &TrainerOptions) -> (Vec<StepReport>, LoraParams) {
        let adapter = Source::memory(self.adapter.clone());
        let mut t = Trainer::continue_adapter(&self.model, &data(), None, o, adapter).unwrap();
        let never = CancelToken::new();
        let reports = std::iter::from_fn(|| t.step(&never).unwrap()).collect();
        (reports, t.params().clone())
    }

    /// The gradient of every A and B in the first step: what plain descent at the rate 1 takes away.
    fn gradients(&self) -> Vec<(String, Vec<f32>)> {
        let o = TrainerOptions {
            optimizer: OptimizerKind::Sgd,
            momentum: 0.0,
            weight_decay: 0.0,
            learning_rate: Auto::Value(1.0),
            lr_schedule: LrSchedule::Constant,
            warmup_steps: Auto::Value(0),
            max_grad_norm: 0.0,
            max_steps: Auto::Value(1),
            ..options()
        };
        let still = TrainerOptions { learning_rate: Auto::Value(0.0), ..o.clone() };
        let (before, after) = (self.train(&still).1, self.train(&o).1);
        let names = before
            .pairs()
            .iter()
            .flat_map(|p| ["lora_a", "lora_b"].map(|kind| format!("{}.{kind}", p.weight())));
        let difference = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| a - b).collect();
        names.zip(before.tensors().zip(after.tensors()).map(difference)).collect()
    }

    /// The token ids that each step learns, by sequences, with whether each is learned.
    fn batches(&self) -> Vec<Value> {
        let o = options();
        let encoder = Encoder::new(&Tokenizer::new(&self.model), 128, &o.encoding).unwrap();
        let sequences =
            encoder.encode_all(&data(), Some(0), &CancelToken::new()).unwrap().sequences;
        let seed = o.seed.unsigned_abs();
        let epochs = (0..).flat_map(|epoch| {
            let order = order(TEXTS.len(), seed, epoch);
            order.chunks(o.batch_size as usize).map(<[usize]>::to_vec).collect::<Vec<_>>()
        });
        let one = |i: &usize| json!({ "tokens": sequences[*i].tokens, "loss": sequences[*i].loss });
        epochs.take(STEPS as usize).map(|batch| batch.iter().map(one).collect()).collect()
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// What PyTorch computed for a family, from these very files.
fn golden(family: Family, case: &Case) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/train.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let golden = all[family.arch()].clone();
    for (name, bytes) in [("model", &case.bytes), ("adapter", &case.adapter)] {
        assert_eq!(golden[name], hash(bytes), "{family:?}: make tests/golden/train.json again");
    }
    golden
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// The largest relative difference.
fn apart(ours: impl Iterator<Item = f64>, theirs: &[f64]) -> f64 {
    let ours: Vec<f64> = ours.collect();
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs() / b.abs().max(1e-12)).fold(0.0, f64::max)
}

fn cosine(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let ab: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * b).sum();
    let aa: f64 = a.iter().map(|a| f64::from(*a).powi(2)).sum();
    let bb: f64 = b.iter().map(|b| b * b).sum();
    ab / (aa * bb).sqrt()
}

/// With the engine's f32 products, and with our kernels: on processors that have them, those of brain floats.
fn cases() -> impl Iterator<Item = (Family, Accel)> {
    FAMILIES.into_iter().flat_map(|family| [(family, Accel::Off), (family, Accel::Auto)])
}

#[test]
fn fifty_steps_stay_with_pytorch() {
    for (family, accel) in cases() {
        let case = case(family, accel);
        let golden = golden(family, &case);
        let (reports, _) = case.train(&options());
        let losses = floats(&golden["losses"]);
        assert!(losses[STEPS as usize - 1] < 0.7 * losses[0], "{family:?}: something was learned");
        let loss = apart(reports.iter().map(|r| r.loss), &losses);
        let norm = apart(reports.iter().map(|r| r.grad_norm), &floats(&golden["grad_norms"]));
        let rate =
            apart(reports.iter().map(|r| r.learning_rate), &floats(&golden["learning_rates"]));
        eprintln!(
            "{family:?}, accel {accel:?}: loss {loss:.2e}, gradient norm {norm:.2e}, learning rate {rate:.2e} apart"
        );
        let most = if accel == Accel::Off { (1e-3, 5e-3) } else { (3e-3, 2e-2) };
        let near = loss < most.0 && norm < most.1 && rate < 1e-6;
        assert!(near, "{family:?}, accel {accel:?}: {loss} {norm} {rate}");
    }
}

#[test]
fn the_first_gradient_of_every_a_and_b_is_pytorchs() {
    for (family, accel) in cases() {
        let case = case(family, accel);
        let golden = golden(family, &case);
        let theirs = golden["gradients"].as_object().unwrap();
        let ours = case.gradients();
        assert_eq!(ours.len(), theirs.len());
        let mut worst = (1.0f64, 0.0f64);
        for (name, gradient) in ours {
            let golden = &theirs[&name];
            let unit = golden["unit"].as_f64().unwrap();
            let theirs: Vec<f64> = floats(&golden["values"]).iter().map(|v| v * unit).collect();
            let norm = |squares: f64| squares.sqrt();
            let a = norm(gradient.iter().map(|g| f64::from(*g).powi(2)).sum());
            let b = norm(theirs.iter().map(|g| g * g).sum());
            let cosine = cosine(&gradient, &theirs);
            worst = (worst.0.min(cosine), worst.1.max((a - b).abs() / b));
            let most = if accel == Accel::Off { 5e-3 } else { 2e-2 };
            assert!(cosine > 0.999, "{family:?}, accel {accel:?}, {name}: cosine {cosine}");
            assert!((a - b).abs() < most * b, "{family:?}, accel {accel:?}, {name}: norms {a} {b}");
        }
        let (cosine, norm) = worst;
        eprintln!(
            "{family:?}, accel {accel:?}: cosine >= {cosine:.7}, norm {norm:.1e} apart at most"
        );
    }
}

/// Small mistakes must not hide behind the tolerance of fifty steps.
#[test]
fn another_training_is_told_apart() {
    let case = case(Family::Llama, Accel::Off);
    let losses = floats(&golden(Family::Llama, &case)["losses"]);
    let losses_apart = |case: &Case, o: &TrainerOptions| {
        let (reports, _) = case.train(o);
        apart(reports.iter().map(|r| r.loss), &losses)
    };
    let base = options();
    let mut others = vec![("alpha", losses_apart(&scaled(Family::Llama, Accel::Off, 4.1), &base))];
    for (what, o) in [
        ("rate", TrainerOptions { learning_rate: Auto::Value(1.05e-2), ..base.clone() }),
        ("epsilon", TrainerOptions { adam_epsilon: 1e-4, ..base.clone() }),
        ("decay", TrainerOptions { weight_decay: 0.1, ..base.clone() }),
        ("clipping", TrainerOptions { max_grad_norm: 0.0, ..base.clone() }),
        ("order", TrainerOptions { seed: 43, ..base.clone() }),
        ("schedule", TrainerOptions { lr_schedule: LrSchedule::Cosine, ..base }),
    ] {
        others.push((what, losses_apart(&case, &o)));
    }
    eprintln!("others are apart by {others:?}");
    assert!(others.iter().all(|(_, loss)| *loss > 1e-3), "not noticed: {others:?}");
}

/// Writes what tests/golden/train.py reads, into target/tmp/golden.
#[test]
#[ignore = "not a check: it writes the input of tests/golden/train.py"]
fn write_golden_input() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden");
    std::fs::create_dir_all(&folder).unwrap();
    let o = options();
    let options = json!({
        "learning_rate": o.learning_rate.value(),
        "weight_decay": o.weight_decay,
        "betas": [o.adam_beta1, o.adam_beta2],
        "epsilon": o.adam_epsilon,
        "warmup_steps": o.warmup_steps.value(),
        "max_grad_norm": o.max_grad_norm,
        "alpha": o.lora_alpha,
        "rank": o.lora_rank,
    });
    for family in FAMILIES {
        let (name, case) = (family.arch(), case(family, Accel::Off));
        let file = |end| folder.join(format!("{name}{end}"));
        std::fs::write(file(".gguf"), &case.bytes).unwrap();
        std::fs::write(file("-adapter.gguf"), &case.adapter).unwrap();
        let input = json!({ "options": options, "batches": case.batches() });
        std::fs::write(file(".json"), input.to_string()).unwrap();
    }
}
