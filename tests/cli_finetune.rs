//! `nestling finetune` as a user meets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "cli/child.rs"]
mod child;
mod support;

use std::path::{Path, PathBuf};

use child::{Running, failure, json, run, stdout, text};
use nestling::dataset::Dataset;
use nestling::model::Model;
use nestling::options::{DatasetOptions, ModelOptions, TrainerOptions};
use nestling::train::Trainer;
use serde_json::Value as Json;
use support::{Family, Tiny};

const LINES: &str = "{\"prompt\": \"red\", \"completion\": \" green\"}\n{\"text\": \"one two three\"}\n\
    {\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", \"content\": \"Ho\"}]}\n\
    {\"text\": \"good\", \"label\": \"yes\"}\n";

/// A model and a dataset in a folder of their own.
fn files() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let model = Tiny::new(Family::Llama).write(folder.path());
    let data = folder.path().join("data.jsonl");
    std::fs::write(&data, LINES).unwrap();
    (folder, model, data)
}

fn finetune<'a>(
    model: &'a Path,
    data: &'a Path,
    output: &'a Path,
    more: &[&'a str],
) -> Vec<&'a str> {
    let fixed = ["--n-threads", "1", "--batch-size", "2", "--learning-rate", "0.01"];
    let of = ["finetune", "-m", text(model), "--data", text(data), "-o", text(output)];
    [&of[..], &fixed[..], more].concat()
}

#[test]
fn an_adapter_is_trained_written_and_used() {
    let (folder, model, data) = files();
    let output = folder.path().join("adapter.gguf");
    let out = stdout(&run(&finetune(&model, &data, &output, &["--epochs", "3", "--json"])));
    let events: Vec<Json> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (done, steps) = events.split_last().unwrap();
    assert_eq!((steps.len(), &done["event"], &done["steps"]), (6, &"done".into(), &6.into()));
    assert!(done["last_loss"].as_f64() < done["first_loss"].as_f64(), "{done}");
    assert!(steps.iter().all(|s| s["event"] == "step" && s["loss"].is_f64()));

    let answer = |more: &[&str]| {
        let of = ["generate", "-m", text(&model), "-p", "red", "--temperature", "0"];
        let short = ["--max-tokens", "8", "--ignore-eos", "--n-threads", "1"];
        stdout(&run(&[&of[..], &short[..], more].concat()))
    };
    assert_ne!(answer(&["--adapter", text(&output)]), answer(&[]));
    let none = format!("{}=0", text(&output));
    assert_eq!(answer(&["--adapter", &none]), answer(&[]), "the scale 0 changes nothing");
}

#[test]
fn what_ctrl_c_stopped_is_resumed_to_the_same_adapter() {
    let (folder, model, data) = files();
    let (whole, halves) = (folder.path().join("whole.gguf"), folder.path().join("halves.gguf"));
    let epochs = ["--epochs", "100", "--json", "--validation-fraction", "0.25"];
    stdout(&run(&finetune(&model, &data, &whole, &epochs)));
    let mut running = Running::start(&finetune(&model, &data, &halves, &epochs));
    running.read_until("\"event\":\"step\"");
    running.interrupt();
    let message = failure(&running.finish());
    assert!(
        message.contains("--resume") && message.contains("halves.gguf.checkpoint"),
        "{message}"
    );
    stdout(&run(&finetune(&model, &data, &halves, &["--resume", "--json"])));
    // The name is the only difference.
    let read = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        bytes[bytes.len() - 4096..].to_vec()
    };
    assert_eq!(read(&whole), read(&halves));
    for output in ["whole.gguf", "halves.gguf"] {
        let best = folder.path().join(format!("{output}.checkpoint.best"));
        assert!(best.exists(), "{output}");
    }
}

/// The numbers of points of the lines of a picture.
fn points(path: &Path) -> Vec<usize> {
    let picture = std::fs::read_to_string(path).unwrap();
    let document = roxmltree::Document::parse(&picture).unwrap();
    let lines = document.descendants().filter_map(|node| node.attribute("points"));
    lines.map(|points| points.split_whitespace().count()).collect()
}

#[test]
fn the_losses_are_drawn_beside_the_adapter_also_of_a_training_that_went_on() {
    let (folder, model, data) = files();
    let output = folder.path().join("adapter.gguf");
    let validated = ["--epochs", "3", "--validation-fraction", "0.25", "--json"];
    let done = stdout(&run(&finetune(&model, &data, &output, &validated)));
    let curve = folder.path().join("adapter.svg");
    let done: Json = serde_json::from_str(done.lines().last().unwrap()).unwrap();
    assert_eq!(done["loss_curve"], text(&curve));
    let steps = done["steps"].as_u64().unwrap() as usize;
    assert!(points(&curve).contains(&steps) && points(&curve).contains(&3), "{:?}", points(&curve));

    let (one, two) = (folder.path().join("one.svg"), folder.path().join("two.gguf"));
    let named = ["--epochs", "100", "--json", "--loss-curve", text(&one)];
    let mut running = Running::start(&finetune(&model, &data, &two, &named));
    running.read_until("\"event\":\"step\"");
    running.interrupt();
    failure(&running.finish());
    let half = points(&one).into_iter().max().unwrap();
    assert!((1..200).contains(&half), "{half}");
    let more = ["--resume", "--json", "--loss-curve", text(&one)];
    stdout(&run(&finetune(&model, &data, &two, &more)));
    assert!(points(&one).contains(&200), "{:?}", points(&one));

    let none = folder.path().join("none.gguf");
    stdout(&run(&finetune(&model, &data, &none, &["--epochs", "1", "--no-loss-curve"])));
    assert!(none.exists() && !none.with_extension("svg").exists());
}

#[test]
fn a_plan_says_what_training_takes_and_writes_nothing() {
    let (folder, model, data) = files();
    let output = folder.path().join("adapter.gguf");
    let plan = json(&run(&finetune(&model, &data, &output, &["--plan", "--json"])));
    assert!(plan["fits"] == true && plan["total"].as_u64() > Some(100_000), "{plan}");
    let estimate = &plan["estimate"];
    assert_eq!((&estimate["steps"], plan["n_parameters"].is_u64()), (&4.into(), true), "{plan}");
    let seconds = |key: &str| estimate[key].as_f64().unwrap();
    let rate = seconds("tokens_per_second");
    let of_epoch = estimate["tokens_per_epoch"].as_f64().unwrap() / rate;
    assert!((seconds("seconds_per_epoch") - of_epoch).abs() < 1e-9 * of_epoch, "{plan}");
    assert!((seconds("seconds_in_all") - 2.0 * of_epoch).abs() < 1e-9 * of_epoch, "{plan}");
    let out = stdout(&run(&finetune(&model, &data, &output, &["--plan"])));
    assert!(out.contains("optimizer") && out.contains("one epoch"), "{out}");
    let small = ["--plan", "--json", "--n-ctx", "200", "--memory-budget", "1048576"];
    let plan = json(&run(&finetune(&model, &data, &output, &small)));
    let advice = plan["advice"].as_str().unwrap();
    assert!(plan["estimate"].is_null(), "{plan}");
    assert!(plan["fits"] == false && advice.contains("n_ctx"), "{plan}");
    assert!(!output.exists());
}

/// A limit on the size of files stands for a full disk: the checkpoint's write fails half way.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full_costs_neither_the_old_checkpoint_nor_the_old_adapter() {
    let (folder, model, data) = files();
    let output = folder.path().join("adapter.gguf");
    stdout(&run(&finetune(&model, &data, &output, &["--epochs", "1", "--json"])));
    let listing = || {
        let read = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
        let mut all: Vec<_> = read.map(|path| (std::fs::read(&path).unwrap(), path)).collect();
        all.sort();
        all
    };
    let before = listing();
    let mut limited = std::process::Command::new("bash");
    limited.args(["-c", "ulimit -f 40; trap '' XFSZ; exec \"$0\" \"$@\""]);
    limited.arg(env!("CARGO_BIN_EXE_nestling"));
    limited.args(finetune(&model, &data, &output, &["--epochs", "2"])).env("NO_COLOR", "1");
    let message = failure(&limited.output().unwrap());
    assert!(message.contains("adapter.gguf.checkpoint"), "{message}");
    assert!(listing() == before, "files have changed");
}

#[test]
fn what_was_left_out_and_cut_is_told() {
    let (folder, model, data) = files();
    let output = folder.path().join("adapter.gguf");
    std::fs::write(&data, format!("{LINES}{LINES}no JSON\n")).unwrap();
    let how = ["--bad-lines", "skip", "--drop-duplicates", "--n-ctx", "8", "--epochs", "1"];
    let trained = run(&finetune(&model, &data, &output, &how));
    stdout(&trained);
    let said = String::from_utf8(trained.stderr).unwrap();
    for part in ["4 examples of 9 rows", "bad lines 1", "drop_duplicates 4", "line 9: ", "cut"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let quiet = stdout(&run(&finetune(&model, &data, &output, &[&how[..], &["--json"]].concat())));
    let done: Json = serde_json::from_str(quiet.lines().last().unwrap()).unwrap();
    assert_eq!(done["dataset"]["cleaning"]["drop_duplicates"], 4, "{done}");
    assert_eq!(done["dataset"]["first_bad"][0]["line"], 9, "{done}");
}

#[test]
fn a_training_that_diverges_keeps_the_last_good_adapter() {
    let (folder, model, data) = files();
    let path = |name: &str| folder.path().join(name);
    let (huge, output) = (path("huge.gguf"), path("adapter.gguf"));
    let opened = Model::open(&model, &ModelOptions::default()).unwrap();
    let dataset = Dataset::open([&data], &DatasetOptions::default()).unwrap();
    let trainer = Trainer::new(&opened, &dataset, None, &TrainerOptions::default()).unwrap();
    let mut params = trainer.params().clone();
    for pair in params.pairs_mut() {
        pair.a.fill(1e30);
        pair.b.fill(1e30);
    }
    params.save(&huge, "adapter").unwrap();
    let message =
        failure(&run(&finetune(&model, &data, &output, &["--init-adapter", text(&huge)])));
    assert!(message.contains("step 1") && message.contains("--init-adapter"), "{message}");
    assert_eq!(std::fs::read(&output).unwrap(), std::fs::read(&huge).unwrap());
}

#[cfg(unix)]
#[test]
fn only_files_are_written_and_that_is_known_before_the_training() {
    let (folder, model, data) = files();
    let path = |name: &str| folder.path().join(name);
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    for name in ["socket", "folder", "none/adapter.gguf"] {
        let (output, good) = (path(name), path("adapter.gguf"));
        for arguments in [
            finetune(&model, &data, &output, &["--json"]),
            finetune(&model, &data, &good, &["--json", "--checkpoint", text(&output)]),
        ] {
            let ended = run(&arguments);
            let message = failure(&ended);
            assert!(message.contains(name) && ended.stdout.is_empty(), "{message}");
            assert!(!output.is_file() && !good.exists(), "{name}");
        }
    }
}

#[test]
fn bad_input_ends_with_status_1_and_says_what_to_do() {
    let (folder, model, data) = files();
    let output = folder.path().join("adapter.gguf");
    let bad = folder.path().join("bad.jsonl");
    std::fs::write(&bad, "{\"text\": \"fine\"}\n{\"txt\": \"typo\"}\n").unwrap();
    for (arguments, words) in [
        (finetune(&model, &bad, &output, &[]), ["bad.jsonl", "line 2"]),
        (finetune(&model, &data, &output, &["--lora-rank", "5000"]), ["lora_rank", "4096"]),
        (finetune(&model, &data, &output, &["--lora-targets", "attn_x"]), ["attn_x", "attn_q"]),
        (finetune(&model, &data, &output, &["--resume"]), ["adapter.gguf.checkpoint", "NotFound"]),
        (finetune(&model, &data, &output, &["--loss-curve", "a.png"]), ["a.png", ".svg"]),
        (
            finetune(&model, &data, &output, &["--n-ctx", "200", "--memory-budget", "1048576"]),
            ["MiB", "lora_rank"],
        ),
    ] {
        let message = failure(&run(&arguments));
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert!(!output.exists());
    }
}
