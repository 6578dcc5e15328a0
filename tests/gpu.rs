//! The Vulkan back end against the CPU: `make test-gpu` builds this file with the feature `vulkan`.
//!
//! A Vulkan device must be there; a software one (Mesa's lavapipe) counts. The engine hides devices of the
//! type CPU unless they are named: `GGML_VK_VISIBLE_DEVICES=0` makes lavapipe visible.
#![cfg(feature = "vulkan")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::Path;
use std::sync::Barrier;

use nestling::cancel::CancelToken;
use nestling::device::{self, Device, DeviceKind};
use nestling::error::Code;
use nestling::format::Source;
use nestling::format::gguf::GgmlType;
use nestling::model::Model;
use nestling::options::{
    Auto, ContextFull, FlashAttn, GenerationOptions, ModelOptions, SessionOptions,
};
use nestling::session::Session;
use support::{Family, Tiny};

/// The largest difference between a logit on the device and on the CPU, for F32 weights; the cache is F16 on both.
/// The logits of the tiny models have about unit variance. Measured with lavapipe: up to 0.006.
const BOUND: f32 = 0.02;

/// The same for quantized weights, where both sides round activations to 8 bits, in blocks of their own. Measured
/// with lavapipe: up to 0.06.
const BOUND_QUANTIZED: f32 = 0.15;

fn bound(weights: GgmlType) -> f32 {
    if weights == GgmlType::F32 { BOUND } else { BOUND_QUANTIZED }
}

/// More layers than any tiny model has: all of them.
const ALL: i64 = 99;

/// The first Vulkan device.
fn gpu() -> Device {
    let is_gpu = |d: &Device| matches!(d.kind, DeviceKind::Gpu | DeviceKind::IntegratedGpu);
    device::devices().into_iter().find(is_gpu).expect(
        "a Vulkan device: run `make test-gpu`, which installs a software one and makes it visible with \
         GGML_VK_VISIBLE_DEVICES=0",
    )
}

fn on(device: &str, n_gpu_layers: Auto) -> ModelOptions {
    ModelOptions { device: device.to_owned(), n_gpu_layers, ..ModelOptions::default() }
}

fn layers(n: i64) -> Auto {
    Auto::Value(n)
}

fn cpu() -> ModelOptions {
    on("cpu", Auto::Auto)
}

/// `n` tokens of the byte range, the same for every model.
fn tokens(n: usize) -> Vec<i32> {
    (0..n).map(|i| ((i * 37 + 11) % 200 + 10) as i32).collect()
}

/// Micro-batches of 16 tokens are products of matrices, those of 8 are products with vectors. A software device took
/// minutes to compile its program for the first kind with F16 weights, so there all but F32 see the second only.
fn session(model: &Model) -> Session {
    let is_f32 = model.info().quantization.iter().all(|q| q.r#type == "F32");
    let slow = !is_f32 && gpu().description.contains("llvmpipe");
    let n_ubatch = if slow { 8 } else { 16 };
    let options = SessionOptions { n_ctx: layers(128), n_ubatch, ..SessionOptions::default() };
    Session::new(model, &options).unwrap()
}

/// The logits after 24 tokens, more than one micro-batch.
fn logits(source: impl Into<Source>, options: &ModelOptions) -> Vec<f32> {
    let model = Model::open(source, options).unwrap();
    let mut session = session(&model);
    session.evaluate(&tokens(24), &CancelToken::new()).unwrap();
    session.logits().unwrap().to_vec()
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().chain(b).all(|v| v.is_finite()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn argmax(values: &[f32]) -> i32 {
    let best = values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.unwrap().0 as i32
}

/// How far the best logit is above the second.
fn lead(values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted[0] - sorted[1]
}

#[test]
fn the_device_is_listed_beside_the_cpu() {
    let gpu = gpu();
    assert!(gpu.name.starts_with("Vulkan"), "{gpu:?}");
    assert!(!gpu.description.is_empty() && gpu.memory_total > 0, "{gpu:?}");
    assert!(device::devices().iter().any(|d| d.kind == DeviceKind::Cpu));
    println!("device: {} ({}), {} MiB", gpu.name, gpu.description, gpu.memory_total >> 20);
}

#[test]
fn logits_equal_the_cpus() {
    let dir = tempfile::tempdir().unwrap();
    let gpu = gpu();
    let mut cases: Vec<_> = Family::ALL.map(|family| (family, GgmlType::F32)).to_vec();
    for family in [Family::Llama, Family::Gemma3] {
        cases.extend([GgmlType::Q4_0, GgmlType::Q8_0].map(|t| (family, t)));
    }
    for (family, ggml_type) in cases {
        let path = Tiny::new(family).weights(ggml_type).write(dir.path());
        let expected = logits(&path, &cpu());
        let found = logits(&path, &on(&gpu.name, layers(ALL)));
        let difference = difference(&expected, &found);
        println!("{family:?} {ggml_type:?}: largest difference {difference:.1e}");
        assert!(difference <= bound(ggml_type), "{family:?} {ggml_type:?}: {difference}");
    }
}

#[test]
fn greedy_tokens_equal_the_cpus() {
    let dir = tempfile::tempdir().unwrap();
    let gpu = gpu();
    for family in [Family::Llama, Family::Gemma3] {
        for ggml_type in [GgmlType::F32, GgmlType::Q4_0, GgmlType::Q8_0] {
            let path = Tiny::new(family).weights(ggml_type).write(dir.path());
            let models =
                [cpu(), on(&gpu.name, layers(ALL))].map(|o| Model::open(&path, &o).unwrap());
            let mut sessions = models.each_ref().map(session);
            let mut sequence = tokens(8);
            let mut decided = 0;
            for _ in 0..24 {
                let [expected, found] = sessions.each_mut().map(|s| {
                    s.evaluate(&sequence, &CancelToken::new()).unwrap();
                    s.logits().unwrap().to_vec()
                });
                // Two logits nearer to each other than this may change places within the bound.
                if lead(&expected) > 2.0 * bound(ggml_type) {
                    assert_eq!(argmax(&expected), argmax(&found), "{family:?} {ggml_type:?}");
                    decided += 1;
                }
                sequence.push(argmax(&expected));
            }
            println!("{family:?} {ggml_type:?}: {decided} of 24 greedy tokens decided, all equal");
            assert!(decided >= 8, "{family:?} {ggml_type:?}: only {decided} tokens were decided");
        }
    }
}

#[test]
fn any_number_of_layers_and_any_spelling_give_the_same_logits() {
    let dir = tempfile::tempdir().unwrap();
    let path = Tiny::new(Family::Llama).write(dir.path());
    let expected = logits(&path, &cpu());
    let name = gpu().name;

    for (device, n, resolved) in [
        (name.as_str(), layers(0), 0),
        (name.as_str(), layers(1), 1),
        (name.as_str(), layers(2), 2),
        // Two layers, and the output matrix counts as one.
        (name.as_str(), layers(ALL), 3),
        (name.as_str(), Auto::Auto, 3),
        (&name.to_lowercase(), Auto::Auto, 3),
        ("auto", Auto::Auto, 3),
    ] {
        let options = on(device, n);
        let model = Model::open(&path, &options).unwrap();
        assert_eq!(model.n_gpu_layers(), resolved, "{options:?}");
        assert!(difference(&expected, &logits(&path, &options)) <= BOUND, "{options:?}");
    }
    let read = ModelOptions { use_mmap: false, ..on(&name, layers(ALL)) };
    assert!(difference(&expected, &logits(&path, &read)) <= BOUND);
}

#[test]
fn a_model_in_memory_runs_on_the_device() {
    let tiny = Tiny::new(Family::Llama);
    let on_cpu = logits(Source::memory(tiny.bytes()), &cpu());
    let on_device = logits(Source::memory(tiny.bytes()), &on(&gpu().name, layers(ALL)));
    assert!(difference(&on_cpu, &on_device) <= BOUND);
}

#[test]
fn the_plan_puts_weights_and_cache_on_the_device() {
    let dir = tempfile::tempdir().unwrap();
    let path = Tiny::new(Family::Llama).write(dir.path());
    let name = gpu().name;
    let share = |n: i64, offload_kqv: bool| {
        let model = Model::open(&path, &on(&name, layers(n))).unwrap();
        let options =
            SessionOptions { n_ctx: layers(256), offload_kqv, ..SessionOptions::default() };
        let plan = model.plan(&options).unwrap();
        assert!(plan.fits, "{plan:?}");
        let on_device = plan.devices.iter().find(|d| d.device == name).map_or(0, |d| d.needed);
        (on_device, plan)
    };
    let (none, _) = share(0, true);
    let (one, _) = share(1, true);
    let (all, plan) = share(ALL, true);
    let (without_cache, _) = share(ALL, false);
    println!("on the device: {none} bytes with 0 layers, {one} with 1, {all} with all");
    assert!(none < one && one < all, "{none} {one} {all}");
    assert!(all - without_cache >= plan.kv_cache / 2, "{without_cache} {plan:?}");
    // All but the token embedding, which stays in the mapped file.
    let embedding = 64 * 4 * 276;
    assert!(all >= plan.weights - embedding + plan.kv_cache, "{plan:?}");
}

#[test]
fn a_session_on_the_device_reuses_shifts_forks_and_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let path = Tiny::new(Family::Llama).write(dir.path());
    let token = CancelToken::new();
    let options = SessionOptions {
        n_ctx: layers(32),
        n_ubatch: 16,
        context_full: ContextFull::Shift,
        ..SessionOptions::default()
    };
    let mut all = Vec::new();
    for model_options in [cpu(), on(&gpu().name, layers(ALL))] {
        let model = Model::open(&path, &model_options).unwrap();
        let mut session = Session::new(&model, &options).unwrap();
        session.evaluate(&tokens(20), &token).unwrap();
        // The same beginning, another end.
        let mut other = tokens(20);
        other[15..].fill(50);
        let done = session.evaluate(&other, &token).unwrap();
        assert_eq!((done.reused, done.evaluated), (15, 5));
        let reused = session.logits().unwrap().to_vec();

        let state = dir.path().join("state");
        session.save(&state).unwrap();
        let mut restored = Session::load(&model, &state, &options).unwrap();
        let mut fork = session.fork().unwrap();
        other.push(51);
        let continued = [&mut session, &mut restored, &mut fork].map(|s| {
            s.evaluate(&other, &token).unwrap();
            s.logits().unwrap().to_vec()
        });
        assert!(difference(&continued[0], &continued[1]) <= BOUND);
        assert!(difference(&continued[0], &continued[2]) <= BOUND);

        // 20 more tokens do not fit in 32: the cache is shifted on the device.
        let mut answer = GenerationOptions {
            max_tokens: layers(20),
            ignore_eos: true,
            ..GenerationOptions::default()
        };
        answer.sampling.temperature = 0.0;
        let given = session.generate(other.as_slice(), &answer).unwrap();
        assert_eq!(given.filter(|piece| piece.is_ok()).count(), 20);
        assert!(session.position() <= 32);
        all.push([reused, continued[0].clone()].concat());
    }
    assert!(difference(&all[0], &all[1]) <= BOUND);
}

#[test]
fn what_the_device_cannot_do_is_an_error_that_names_what_exists() {
    let dir = tempfile::tempdir().unwrap();
    let path = Tiny::new(Family::Llama).write(dir.path());
    let name = gpu().name;

    let error = Model::open(&path, &on("Vulkan77", Auto::Auto)).unwrap_err();
    assert_eq!(error.code(), Code::DeviceNotFound);
    for word in ["Vulkan77", "CPU", &name] {
        assert!(error.message().contains(word), "{error}");
    }
    let error = Model::open(&path, &on("cpu", layers(1))).unwrap_err();
    assert_eq!(error.code(), Code::InvalidOption);
    for word in ["n_gpu_layers=1", "device=cpu", "nestling devices"] {
        assert!(error.message().contains(word), "{error}");
    }
}

#[test]
fn a_prompt_on_the_device_is_cancelled_between_micro_batches() {
    let dir = tempfile::tempdir().unwrap();
    let path = Tiny::new(Family::Llama).write(dir.path());
    let model = Model::open(&path, &on(&gpu().name, layers(ALL))).unwrap();
    let options = SessionOptions { n_ctx: layers(256), n_ubatch: 2, ..SessionOptions::default() };
    let mut session = Session::new(&model, &options).unwrap();
    let prompt = tokens(250);
    let cancel = CancelToken::new();
    let begin = Barrier::new(2);
    // 125 micro-batches, each of which waits for the device: the other thread comes long before the last.
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            begin.wait();
            cancel.trigger();
        });
        begin.wait();
        session.evaluate(&prompt, &cancel).unwrap_err()
    });
    assert_eq!(error.code(), Code::Cancelled);
    let position = session.position();
    assert!(position < 250 && position % 2 == 0, "{position}");

    // The session goes on from there, and ends where an undisturbed one does.
    let done = session.evaluate(&prompt, &CancelToken::new()).unwrap();
    assert_eq!((done.reused, done.evaluated), (position, 250 - position));
    let mut undisturbed = Session::new(&model, &options).unwrap();
    undisturbed.evaluate(&prompt, &CancelToken::new()).unwrap();
    let expected = undisturbed.logits().unwrap().to_vec();
    assert!(difference(&expected, session.logits().unwrap()) <= BOUND);
}

/// The environment variable that makes `worker` work: device, layers and model, separated by `|`.
const WORKER: &str = "NESTLING_GPU_WORKER";

/// Evaluates five tokens at once and three one by one, then prints the log. It runs in a process of its own,
/// started by the test below; in the test run itself it has nothing to do.
#[test]
fn worker() {
    let Ok(order) = std::env::var(WORKER) else { return };
    let [device, n, path] = order.splitn(3, '|').collect::<Vec<_>>()[..] else { panic!("{order}") };
    let model = Model::open(path, &on(device, layers(n.parse().unwrap()))).unwrap();
    let options = SessionOptions {
        n_ctx: layers(64),
        flash_attn: FlashAttn::Off,
        ..SessionOptions::default()
    };
    let mut session = Session::new(&model, &options).unwrap();
    for n in 5..=8 {
        session.evaluate(&tokens(n), &CancelToken::new()).unwrap();
    }
    assert!(difference(session.logits().unwrap(), &[0.0; 276]) > 0.0);
    while let Some(line) = nestling::log::poll() {
        println!("log: {}", line.text);
    }
}

/// What a worker wrote: its log, and how many nodes of each kind the device itself timed.
struct Trace {
    log: String,
    nodes: Vec<(String, u64)>,
}

impl Trace {
    /// The Vulkan back end writes a time stamp of the device after every node, and reports lines like
    /// `MUL_MAT_VEC f32 m=64 n=1 k=64: 4 x 12.3 us = 49.2 us`.
    fn of(device: &str, n_gpu_layers: i64, path: &Path) -> Self {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker", "--nocapture"])
            .env(WORKER, format!("{device}|{n_gpu_layers}|{}", path.display()))
            .env("GGML_VK_PERF_LOGGER", "1")
            .env("GGML_VK_DISABLE_FUSION", "1")
            .output()
            .unwrap();
        let (log, report) =
            [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap()).into();
        assert!(output.status.success(), "{log}{report}");
        let node = |line: &str| {
            let (name, times) = line.split_once(": ")?;
            let (count, _) = times.split_once(" x ")?;
            Some((name.to_owned(), count.parse().ok()?))
        };
        Self { log, nodes: report.lines().filter_map(node).collect() }
    }

    fn count(&self, operation: &str) -> u64 {
        self.nodes.iter().filter(|(name, _)| name.starts_with(operation)).map(|(_, n)| n).sum()
    }
}

#[test]
fn the_nodes_run_on_the_device() {
    let dir = tempfile::tempdir().unwrap();
    let path = Tiny::new(Family::Llama).write(dir.path());
    let name = gpu().name;
    // Four graphs were evaluated. A layer multiplies with seven weights and twice in attention, the output
    // matrix is one more; two norms a layer, and the last one.
    for (n_gpu_layers, offloaded, products, norms) in
        [(ALL, 3, 4 * (2 * 9 + 1), 4 * 5), (2, 2, 4 * (9 + 1), 4 * 3), (1, 1, 4, 4)]
    {
        let trace = Trace::of(&name, n_gpu_layers, &path);
        println!("{n_gpu_layers} layers: {:?}", trace.nodes);
        assert_eq!(trace.count("MUL_MAT"), products, "{:?}", trace.nodes);
        assert_eq!(trace.count("RMS_NORM"), norms, "{:?}", trace.nodes);
        let line = format!("offloaded {offloaded}/3 layers to GPU");
        assert!(trace.log.contains(&line), "{}", trace.log);
        assert!(trace.log.contains(&format!("{name} model buffer size")), "{}", trace.log);
    }
    // The same program without the device: it times nothing.
    let trace = Trace::of("cpu", 0, &path);
    assert!(trace.nodes.is_empty(), "{:?}", trace.nodes);
}
