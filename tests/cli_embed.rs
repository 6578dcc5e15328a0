//! `nestling convert` and `nestling embed` as a user meets them: a checkpoint becomes a file, which embeds texts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "cli/child.rs"]
mod child;
mod support;

use child::{failure, json, run, stdout, text};
use serde_json::Value as Json;
use support::encoders::{checkpoint, cosine, floats, golden};

#[test]
fn a_checkpoint_becomes_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bert.gguf");
    let from = checkpoint("bert-mean");
    let call =
        |more: &[&str]| run(&[&["convert", text(&from), "-o", text(&file)][..], more].concat());
    let dry = json(&call(&["--type", "f32", "--dry-run", "--json"]));
    assert!(!file.exists());
    assert_eq!((&dry["dry_run"], &dry["architecture"]), (&Json::Bool(true), &"bert".into()));
    let out = call(&["--type", "f32"]);
    assert!(out.stderr.is_empty(), "{out:?}");
    assert!(stdout(&out).contains("(bert)"), "{out:?}");
    assert!(failure(&call(&["--type", "f32"])).contains("[OutputExists]"));
    stdout(&call(&["--type", "f16", "--force"]));
    let nowhere = folder.path().join("nothing");
    let failed = failure(&run(&["convert", text(&nowhere), "-o", text(&file), "--force"]));
    assert!(failed.contains("[NotFound]"), "{failed}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn texts_become_vectors() {
    let golden = golden("bert-cls");
    let (texts, model) = (golden.texts(), text(&golden.path));
    let lines = golden.path.with_extension("txt");
    std::fs::write(&lines, format!("{}\n\n{}\n", texts[1], texts[2])).unwrap();
    let call = |more: &[&str]| {
        let given = ["embed", "-m", model, "-p", texts[0], "--file", text(&lines)];
        run(&[&given[..], &["--n-threads", "1"], more].concat())
    };
    let found = json(&call(&["--json"]));
    let rows = found["embeddings"].as_array().unwrap();
    assert_eq!((rows.len(), found["dimensions"].as_u64()), (3, Some(16)));
    for (row, case) in rows.iter().zip(golden.cases()) {
        assert_eq!(row["text"], case["text"]);
        let vector = floats(&row["vectors"][0]);
        assert!(cosine(&vector, &floats(&case["embedding"])) > 0.9999);
    }
    let out = stdout(&call(&[]));
    assert_eq!(out.lines().map(|line| line.split(' ').count()).collect::<Vec<_>>(), [16; 3]);
    let alike = json(&call(&["--similarity", "--json"]));
    assert!((alike["similarity"][1][1].as_f64().unwrap() - 1.0).abs() < 1e-5, "{alike}");
    let every = json(&call(&["--pooling", "none", "--json"]));
    assert!(every["embeddings"][0]["vectors"].as_array().unwrap().len() > 2);

    assert!(failure(&run(&["embed", "-m", model])).contains("[EmptyPrompt]"));
    let long = "why ".repeat(200);
    let failed = failure(&run(&["embed", "-m", model, "-p", &long, "--n-threads", "1"]));
    assert!(failed.contains("[EmbeddingTooLong]"), "{failed}");
    stdout(&run(&["embed", "-m", model, "-p", &long, "--truncate", "--n-threads", "1"]));
}
