//! `nestling quantize` as a user meets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "cli/child.rs"]
mod child;
mod support;

use child::{failure, json, run, stdout, text};
use support::{Family, Tiny};

#[test]
fn a_smaller_file_runs_and_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let model = Tiny::new(Family::Llama).write(folder.path());
    let small = folder.path().join("small.gguf");
    let call =
        |more: &[&str]| run(&[&["quantize", text(&model), "-o", text(&small)][..], more].concat());
    let dry = json(&call(&["--type", "q8_0", "--dry-run", "--json"]));
    assert!(!small.exists());
    let out = call(&["--type", "q8_0"]);
    assert!(out.stderr.is_empty(), "{out:?}");
    let said = stdout(&out);
    assert!(said.contains("16 Q8_0") && said.contains("bits per weight  "), "{said}");
    let written = std::fs::metadata(&small).unwrap().len();
    assert!(dry["bytes"].as_u64().unwrap() < written && dry["dry_run"] == true, "{dry}");
    let answer = ["generate", "-m", text(&small), "-p", "a", "--max-tokens", "4", "--ignore-eos"];
    stdout(&run(&[&answer[..], &["--n-threads", "1"]].concat()));

    assert!(failure(&call(&["--type", "q8_0"])).contains("[OutputExists]"));
    stdout(&call(&["--ftype", "q4_0", "--force", "--tensor-types", "ffn_down=q5_1"]));
    let failed = failure(&call(&["--type", "q4_9", "--force"]));
    assert!(failed.contains("q4_k_m") && failed.contains("[QuantizeType]"), "{failed}");
    let failed = failure(&run(&["quantize", text(&small), "-o", text(&small), "--force"]));
    assert!(failed.contains("[OutputIsInput]"), "{failed}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
