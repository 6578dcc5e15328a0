//! Mutations of tiny valid models, opened in child processes and run for four tokens where the gate
//! accepts them: no case may end its process.
//!
//! `NESTLING_FUZZ_CASES` (400) and `NESTLING_FUZZ_SEED` (1) choose others; `ci/fuzz-smoke.sh` runs
//! 20,000. A case that ends its child is written to `target/fuzz-smoke/case-N.gguf`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "fuzz_smoke/child.rs"]
mod child;
#[path = "fuzz_smoke/mutate.rs"]
mod mutate;
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Longer than any case takes by far: only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(120);

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")),
        Err(_) => default,
    }
}

fn main() -> ExitCode {
    let seed = setting("NESTLING_FUZZ_SEED", 1);
    let arguments = std::env::args().collect::<Vec<_>>();
    if let [_, flag, first, end, step] = &arguments[..]
        && flag == "--child"
    {
        let number = |text: &String| text.parse::<u64>().unwrap();
        child::run(seed, number(first), number(end), number(step));
        return ExitCode::SUCCESS;
    }
    let cases = setting("NESTLING_FUZZ_CASES", 400);
    let lanes = std::thread::available_parallelism().map_or(1, |n| n.get() as u64).min(8);
    let results = std::thread::scope(|scope| {
        let lane = |first| scope.spawn(move || run_lane(seed, first, cases, lanes));
        let running = (0..lanes).map(lane).collect::<Vec<_>>();
        running.into_iter().map(|lane| lane.join().unwrap()).collect::<Vec<_>>()
    });
    report(seed, cases, &results)
}

/// What one lane of cases came to.
#[derive(Default)]
struct Lane {
    counts: BTreeMap<String, u64>,
    lost: Vec<(u64, String)>,
}

/// Runs every `step`-th case; a child that ends early is replaced behind the case that ended it.
fn run_lane(seed: u64, first: u64, end: u64, step: u64) -> Lane {
    let mut lane = Lane::default();
    let mut next = first;
    while next < end {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--child", &next.to_string(), &end.to_string(), &step.to_string()]);
        command.env("NESTLING_FUZZ_SEED", seed.to_string());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut current = None;
        let hung = loop {
            match lines.recv_timeout(LIMIT) {
                Ok(line) => match line.strip_prefix("? ") {
                    Some(index) => current = index.parse::<u64>().ok(),
                    None => {
                        *lane.counts.entry(line).or_default() += 1;
                        next = current.take().map_or(next, |i| i + step);
                    }
                },
                Err(RecvTimeoutError::Disconnected) => break false,
                Err(RecvTimeoutError::Timeout) => break true,
            }
        };
        if hung {
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        drop(reader.join());
        if let Some(index) = current {
            lane.lost.push((index, if hung { "hung".to_owned() } else { status.to_string() }));
            next = index + step;
        } else if !status.success() {
            lane.lost.push((next, format!("outside any case: {status}")));
            break;
        }
    }
    lane
}

fn report(seed: u64, cases: u64, lanes: &[Lane]) -> ExitCode {
    let count = |name: &str| lanes.iter().filter_map(|l| l.counts.get(name)).sum::<u64>();
    let (ran, errors, engine) = (count("ran"), count("error"), count("engine"));
    let accepted = ran + errors + engine;
    println!(
        "fuzz-smoke: {cases} cases (seed {seed}): the gate accepted {accepted} ({:.1} %), of which {ran} ran \
         four tokens, {errors} gave an error in use, {engine} were refused by the engine",
        100.0 * accepted as f64 / cases.max(1) as f64
    );
    let lost = lanes.iter().flat_map(|l| &l.lost).collect::<Vec<_>>();
    if lost.is_empty() {
        println!("fuzz-smoke: no case ended its process");
        return ExitCode::SUCCESS;
    }
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/fuzz-smoke");
    std::fs::create_dir_all(&directory).unwrap();
    let models = mutate::models();
    for (index, how) in lost {
        let path = directory.join(format!("case-{index}.gguf"));
        std::fs::write(&path, mutate::case(seed, *index, &models)).unwrap();
        println!("fuzz-smoke: case {index} ended its process ({how}): {}", path.display());
    }
    ExitCode::FAILURE
}
