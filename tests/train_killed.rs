//! A training whose process is killed goes on from its last checkpoint, as if it had never been.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nestling::cancel::CancelToken;
use nestling::dataset::{Dataset, Example};
use nestling::options::{Auto, DatasetOptions, TrainerOptions};
use nestling::train::Trainer;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use support::Family;
use support::run::tiny;

const DIRECTORY: &str = "NESTLING_TEST_DIRECTORY";
/// A child tells these before and after each step and each checkpoint.
const MOMENTS: usize = 4;
const STEPS: usize = 4;

#[test]
#[ignore = "run by killed_trainings_end_as_if_they_had_not_been"]
fn child() {
    let directory = PathBuf::from(std::env::var_os(DIRECTORY).unwrap());
    let checkpoint = directory.join("training.checkpoint");
    let (model, never) = (tiny(Family::Llama), CancelToken::new());
    let examples = ["one two three", "four five", "six seven eight", "nine ten"].map(Example::from);
    let data = Dataset::from_examples(examples, &DatasetOptions::default()).unwrap();
    let o = TrainerOptions {
        batch_size: 2,
        epochs: 2,
        lora_dropout: 0.1,
        n_threads: Auto::Value(1),
        ..Default::default()
    };
    let mut trainer = match checkpoint.exists() {
        true => Trainer::resume(&model, &data, None, checkpoint.as_path()).unwrap(),
        false => Trainer::new(&model, &data, None, &o).unwrap(),
    };
    assert_eq!(trainer.total_steps(), STEPS as u64);
    while !trainer.is_finished() {
        println!("@ steps");
        trainer.step(&never).unwrap();
        println!("@ stepped");
        println!("@ saves");
        trainer.save(&checkpoint).unwrap();
        println!("@ saved");
    }
    trainer.save_adapter(directory.join("adapter.gguf"), "killed").unwrap();
}

fn start(directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The adapter of a training that runs to its end from what lies in the directory.
fn finish(directory: &Path) -> Vec<u8> {
    let output = start(directory).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    std::fs::read(directory.join("adapter.gguf")).unwrap()
}

#[test]
fn killed_trainings_end_as_if_they_had_not_been() {
    let whole = tempfile::tempdir().unwrap();
    let expected = finish(whole.path());
    for seed in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut below = |n: u64| rng.next_u64() % n;
        // Every moment is chosen, and within it a place by chance.
        let moment = (seed as usize % MOMENTS) + MOMENTS * below(STEPS as u64) as usize;
        let turns = below(400_000);
        let mut child = start(directory.path());
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = output.by_ref().map_while(Result::ok).filter(|l| l.starts_with('@'));
        assert!(told.nth(moment).is_some(), "seed {seed}: the child ended before moment {moment}");
        for turn in 0..turns {
            std::hint::black_box(turn);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!directory.path().join("adapter.gguf").exists() || moment + 1 == MOMENTS * STEPS);
        assert_eq!(finish(directory.path()), expected, "seed {seed}");
        let left = std::fs::read_dir(directory.path()).unwrap().count();
        assert!((2..=3).contains(&left), "at most one unfinished file stays: {left}");
    }
}
