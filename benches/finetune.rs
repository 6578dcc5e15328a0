//! LoRA training through the Rust API: seconds a step, loss, and the memory that it took beside what was planned.
//!
//! ```text
//! finetune rows MODEL TOKENS ROWS STEPS            one JSON line: the token ids of every row, in the order of the steps
//! finetune train MODEL TOKENS ROWS STEPS THREADS [BUDGET]   one JSON line: what each step took
//! ```
//!
//! Every step learns ROWS rows of exactly TOKENS tokens. The first one warms up and is not counted. Under `BENCH_TURNS`
//! each step waits for a line on standard input, after a sign on standard error. BUDGET is the option memory_budget in
//! MiB; 0 is the least with which it works, so that every layer is computed twice.
#![allow(missing_docs, reason = "a program, not a library")]

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nestling::cancel::CancelToken;
use nestling::dataset::{Dataset, Encoder, Example, order};
use nestling::error::{Code, Error, Result};
use nestling::model::Model;
use nestling::options::{Auto, DatasetOptions, LrSchedule, ModelOptions, TrainerOptions};
use nestling::tokenizer::Tokenizer;
use nestling::train::{TrainPlan, Trainer};
use serde_json::json;

const TEXT: &str = include_str!("text.txt");

struct Setting {
    tokens: usize,
    rows: usize,
    steps: usize,
    threads: i64,
    /// MiB.
    budget: Option<i64>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, path, numbers @ ..] = arguments.as_slice() else {
        // `cargo bench` runs every bench, with nothing but a flag.
        eprintln!("finetune: run by benches/run.sh finetune");
        return Ok(());
    };
    let number = |i: usize| numbers.get(i).and_then(|n| n.parse().ok()).unwrap_or(1usize);
    let setting = Setting {
        tokens: number(0),
        rows: number(1),
        steps: number(2),
        threads: number(3) as i64,
        budget: numbers.get(4).and_then(|n| n.parse().ok()),
    };
    // As `nestling finetune` does: the trainer maps the weights itself.
    let options = ModelOptions { vocab_only: true, ..ModelOptions::default() };
    let model = Model::open(path.as_str(), &options)?;
    let data = data(&setting)?;
    if mode == "rows" { rows(&model, &data, &setting) } else { train(&model, &data, &setting) }
}

/// As many texts as all steps learn, each longer than a row: the words of the text, from another one on each time.
fn data(setting: &Setting) -> Result<Dataset> {
    let words: Vec<&str> = TEXT.split_whitespace().collect();
    let examples = (0..setting.rows * (setting.steps + 1)).map(|i| {
        // A word is at least a token, and the stride keeps texts apart.
        let from = words.iter().cycle().skip(i * 41 % words.len());
        Example::Text(from.take(setting.tokens).copied().collect::<Vec<_>>().join(" "))
    });
    Dataset::from_examples(examples, &DatasetOptions::default())
}

fn options(setting: &Setting) -> TrainerOptions {
    TrainerOptions {
        lora_rank: 8,
        lora_alpha: 16.0,
        lora_targets: "all".into(),
        epochs: 1,
        batch_size: setting.rows as i64,
        n_ctx: (setting.tokens as i64).into(),
        learning_rate: Auto::Value(1e-4),
        lr_schedule: LrSchedule::Constant,
        max_grad_norm: 0.0,
        n_threads: setting.threads.into(),
        memory_budget: setting.budget.map_or(Auto::Auto, |mib| Auto::Value(mib << 20)),
        ..TrainerOptions::default()
    }
}

/// The options with the least budget, where that is asked for.
fn within_budget(model: &Model, data: &Dataset, setting: &Setting) -> Result<TrainerOptions> {
    let mut options = options(setting);
    if setting.budget == Some(0) {
        options.memory_budget = Auto::Value(1 << 20);
        let least = TrainPlan::new(model, data, None, &options)?.total;
        options.memory_budget = Auto::Value(least as i64);
    }
    Ok(options)
}

/// What the trainer will learn, so that others can learn the same.
fn rows(model: &Model, data: &Dataset, setting: &Setting) -> Result<()> {
    let options = options(setting);
    let encoder = Encoder::new(&Tokenizer::new(model), setting.tokens, &options.encoding)?;
    let sequences = encoder.encode_all(data, Some(0), &CancelToken::new())?.sequences;
    let order = order(sequences.len(), options.seed.unsigned_abs(), 0);
    let rows: Vec<&[i32]> =
        order.iter().filter_map(|i| sequences.get(*i)).map(|s| s.tokens.as_slice()).collect();
    println!("{}", json!({ "rows": rows }));
    Ok(())
}

fn train(model: &Model, data: &Dataset, setting: &Setting) -> Result<()> {
    let before = memory("RssAnon");
    let anonymous = HighWater::start();
    let mut trainer = Trainer::new(model, data, None, &within_budget(model, data, setting)?)?;
    let never = CancelToken::new();
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    for step in 0..=setting.steps {
        turn()?;
        let Some(report) = trainer.step(&never)? else { break };
        let expected = (setting.rows * setting.tokens) as u64;
        if report.tokens != expected {
            let message = format!("a step learned {} tokens, not {expected}", report.tokens);
            return Err(Error::new(Code::Internal, message));
        }
        if step > 0 {
            seconds.push(report.seconds);
        }
        losses.push(report.loss);
    }
    let result = json!({
        "seconds": seconds,
        "losses": losses,
        "plan": trainer.plan(),
        "anonymous_growth": anonymous.stop().saturating_sub(before) * 1024,
        "VmHWM": memory("VmHWM"),
        "RssAnon": memory("RssAnon"),
        "RssFile": memory("RssFile"),
    });
    println!("{result}");
    Ok(())
}

/// Tells that the next step may begin, and waits until it shall.
fn turn() -> Result<()> {
    if std::env::var_os("BENCH_TURNS").is_none() {
        return Ok(());
    }
    // The engine's threads spin for a while after their work: the next program shall not be slowed by it.
    std::thread::sleep(Duration::from_millis(300));
    let io = |e: std::io::Error| Error::new(Code::Io, format!("waiting for a turn: {e}"));
    std::io::stderr().write_all(b".").map_err(io)?;
    std::io::stdin().read_exact(&mut [0]).map_err(io)
}

/// KiB of one kind in this process, as the kernel counts it; 0 where it does not.
fn memory(kind: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(kind)?.strip_prefix(':'));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The most anonymous memory since it began, in KiB: the kernel keeps no such mark itself.
struct HighWater {
    most: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl HighWater {
    fn start() -> Self {
        let (most, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (of_thread, end) = (most.clone(), ends.clone());
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                of_thread.fetch_max(memory("RssAnon"), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { most, ends, thread }
    }

    fn stop(self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        // It cannot have panicked; if it had, there would be nothing better to return.
        let _ = self.thread.join();
        self.most.load(Ordering::Relaxed)
    }
}
