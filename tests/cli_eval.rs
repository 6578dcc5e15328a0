//! `nestling eval` as a user meets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "cli/child.rs"]
mod child;
mod support;

use std::path::PathBuf;

use child::{Running, failure, json, run, run_with, stdout, text};
use support::{Family, Tiny};

const REVIEWS: &str =
    "text,label\nsunny and warm,good\nrain all day,bad\na fine walk,good\nlost my hat,bad\n";

/// A model, labelled examples and an adapter that learned them, in a folder of their own.
struct Files {
    folder: tempfile::TempDir,
    model: PathBuf,
    data: PathBuf,
    adapter: PathBuf,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = Tiny::new(Family::Llama).write(folder.path());
        let path = |name: &str| folder.path().join(name);
        let (data, adapter) = (path("reviews.csv"), path("a=b.gguf"));
        std::fs::write(&data, REVIEWS).unwrap();
        Self { model, data, adapter, folder }
    }

    fn train(&self) {
        let of = ["finetune", "-m", text(&self.model), "--data", text(&self.data)];
        let how = ["--n-threads", "1", "--learning-rate", "0.01", "--epochs", "20"];
        stdout(&run(&[&of[..], &how, &["-o", text(&self.adapter), "--no-loss-curve"]].concat()));
    }

    fn eval<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let of = ["eval", "-m", text(&self.model), "--data", text(&self.data), "--n-threads", "1"];
        [&of[..], more].concat()
    }
}

#[test]
fn an_adapter_is_measured_beside_its_base() {
    let files = Files::new();
    files.train();
    let adapter = text(&files.adapter);
    let pair = json(&run(&files.eval(&["--adapter", adapter, "--json"])));
    assert!(pair["difference"]["loss"].as_f64() < Some(-0.5), "{pair}");
    assert_eq!(pair["adapter"]["classification"]["accuracy"], 1.0, "{pair}");
    assert_eq!(pair["adapter"]["classification"]["confusion"], serde_json::json!([[2, 0], [0, 2]]));
    let alone = json(&run(&files.eval(&["--json"])));
    assert_eq!(alone["loss"], pair["base"]["loss"]);
    assert_eq!(alone["classification"]["classes"][0]["label"], "bad");

    let table = stdout(&run(&files.eval(&["--adapter", adapter])));
    for part in ["base", "difference", "perplexity", "macro F1", "true \\ chosen", "4 examples"] {
        assert!(table.contains(part), "{table}");
    }
    let none = format!("{adapter}=0");
    let same = json(&run(&files.eval(&["--adapter", &none, "--json"])));
    assert_eq!(same["difference"]["loss"], 0.0, "{same}");
    let twice = json(&run(&files.eval(&["--adapter", adapter, "--adapter", adapter, "--json"])));
    assert_ne!(twice["adapter"]["loss"], pair["adapter"]["loss"]);
}

#[test]
fn a_conversation_uses_the_adapter_too() {
    let files = Files::new();
    files.train();
    let answer = |more: &[&str]| {
        let of = ["chat", "-m", text(&files.model), "--temperature", "0", "--max-tokens", "12"];
        let how = ["--ignore-eos", "--n-threads", "1"];
        stdout(&run_with(&[&of[..], &how, more].concat(), b"sunny and warm\n"))
    };
    let adapter = text(&files.adapter);
    assert_ne!(answer(&["--adapter", adapter]), answer(&[]));
    assert_eq!(answer(&["--adapter", &format!("{adapter}=0")]), answer(&[]));
    let missing = ["chat", "-m", text(&files.model), "--adapter", "/nonexistent/a.gguf"];
    assert!(failure(&run_with(&missing, b"")).contains("/nonexistent/a.gguf"));
}

#[test]
fn labels_are_those_given_in_their_order() {
    let files = Files::new();
    let found = json(&run(&files.eval(&["--labels", "good,bad,other", "--json"])));
    let classes = found["classification"]["classes"].as_array().unwrap();
    let labels: Vec<_> = classes.iter().map(|c| c["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["good", "bad", "other"]);
}

#[test]
fn bad_input_ends_with_status_1_and_says_what_to_do() {
    let files = Files::new();
    let missing = |path: &'static str| ["eval", "-m", path, "--data", path];
    for (arguments, words) in [
        (files.eval(&["--labels", "good,meh"]), ["reviews.csv, line 3", "\"bad\""]),
        (files.eval(&["--labels", "good"]), ["labels", "two or more"]),
        (files.eval(&["--adapter", text(&files.data)]), ["GGUF", "Gguf"]),
        (files.eval(&["--n-ctx", "4"]), ["n_ctx", "from 8"]),
        (missing("/nonexistent").to_vec(), ["/nonexistent", "NotFound"]),
        (vec!["eval", "-m", text(&files.model)], ["--data", "required"]),
    ] {
        let message = failure(&run(&arguments));
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_it_with_an_error() {
    let files = Files::new();
    let many = "{\"text\": \"one two three four five six seven eight nine ten\"}\n".repeat(200_000);
    let data = files.folder.path().join("many.jsonl");
    std::fs::write(&data, many).unwrap();
    let list = ["eval", "-m", text(&files.model), "--data", text(&data), "--n-threads", "1"];
    let running = Running::start(&list);
    while !running.catches_interrupts() {
        std::thread::yield_now();
    }
    running.interrupt();
    assert!(failure(&running.finish()).contains("cancelled"));
}
