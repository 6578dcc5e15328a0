//! `nestling imatrix`, `compare` and `prune` as a user meets them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "cli/child.rs"]
mod child;
mod support;

use child::{failure, json, run, stdout, text};
use support::{Family, Tiny};

const WORDS: &str =
    "the ferry leaves the harbour at six in the morning, two teachers share a flask of coffee\n";

#[test]
fn a_matrix_is_computed_and_files_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let a = Tiny::new(Family::Llama).write(folder.path());
    let b = Tiny::new(Family::Llama).seed(5).write(folder.path());
    let (words, matrix, chart) = (path("words.txt"), path("imatrix.gguf"), path("sizes.svg"));
    std::fs::write(&words, WORDS).unwrap();
    let one = ["--n-threads", "1"];
    let of = ["imatrix", "-m", text(&a), "--file", text(&words), "-o", text(&matrix)];
    let of = [&of[..], &one, &["--n-ctx", "16"]].concat();
    let made = json(&run(&[&of[..], &["--chunks", "1", "--json"]].concat()));
    assert!(made["chunks"] == 1 && made["weights"] == 14, "{made}");
    assert!(failure(&run(&of)).contains("OutputExists"));

    let of = ["compare", text(&a), text(&a), text(&b), "--text", text(&words)];
    let of = [&of[..], &one].concat();
    let found = json(&run(&[&of[..], &["--json", "--chart", text(&chart)]].concat()));
    let models = found["models"].as_array().unwrap();
    assert!(models[1]["kl"]["mean"] == 0.0 && models[1]["same_top"] == 1.0, "{found}");
    assert!(models[2]["kl"]["mean"].as_f64() > Some(1e-3), "{found}");
    assert!(std::fs::read_to_string(&chart).unwrap().contains("tiny-llama-5"));
    let table = stdout(&run(&of));
    assert!(table.contains("tiny-llama-5") && table.contains("perplexity"), "{table}");
    let with = ["compare", text(&b), "--reference", text(&a), "--text", text(&words)];
    let found = json(&run(&[&with[..], &one, &["--json"]].concat()));
    assert_eq!(found["models"][0]["path"], text(&a));
    let bad = [&of[..], &["--chart", "sizes.png"]].concat();
    assert!(failure(&run(&bad)).contains(".svg"));
}

#[test]
fn a_part_is_left_out_and_the_sizes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let model = Tiny::new(Family::Llama).write(folder.path());
    let small = folder.path().join("small.gguf");
    let of = ["prune", text(&model), "-o", text(&small), "--task", "embedding", "--json"];
    let report = json(&run(&of));
    assert_eq!(report["tensors"], serde_json::json!(["output.weight"]));
    let before = stdout(&run(&["inspect", text(&model)]));
    for part in ["embeddings", "attention", "feed-forward", "norms", "output", "bits per weight"] {
        assert!(before.contains(part), "{before}");
    }
    let bad = ["prune", text(&model), "-o", text(&small), "--drop", "attn_norm", "--force"];
    assert!(failure(&run(&bad)).contains("TensorNeeded"));
}
