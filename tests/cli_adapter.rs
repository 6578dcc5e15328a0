//! `nestling adapter` and `nestling merge` as a user meets them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "cli/child.rs"]
mod child;
mod support;

use child::{failure, json, run, stdout, text};
use support::peft::Lora;
use support::{Family, Tiny};

#[test]
fn an_adapter_goes_round_and_into_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = Tiny::new(Family::Llama);
    let model = tiny.write(folder.path());
    let path = |name: &str| folder.path().join(name);
    let peft = Lora::new(2, 4.0, 1).write(&path("peft"), &tiny);
    let (file, back, both, merged) = (path("a.gguf"), path("back"), path("b.gguf"), path("m.gguf"));
    let convert = ["adapter", "to-gguf", text(&peft), "-o", text(&file), "--base", text(&model)];
    let made = json(&run(&[&convert[..], &["--json"]].concat()));
    assert_eq!((&made["format"], &made["n_pairs"]), (&"gguf".into(), &14.into()));
    let said = failure(&run(&convert));
    assert!(said.contains("OutputExists") && said.contains("force"), "{said}");
    let to_peft = ["adapter", "to-peft", text(&file), "-o", text(&back)];
    let said = failure(&run(&to_peft));
    assert!(said.contains("AdapterBase") && said.contains("config.json"), "{said}");
    let named = ["--base", text(&model), "--base-model-name", "me/model"];
    stdout(&run(&[&to_peft[..], &named].concat()));
    let said = stdout(&run(&["adapter", "inspect", text(&back), text(&file)]));
    assert!(said.contains("me/model") && said.contains("self_attn.q_proj"), "{said}");
    assert!(said.contains("attn_q") && said.contains("2.0000 (alpha 4)"), "{said}");

    let weighted = format!("{}=3", text(&file));
    let average =
        ["adapter", "average", &weighted, text(&back), "-o", text(&both), "--method", "svd"];
    stdout(&run(&[&average[..], &["--rank", "2", "--base", text(&model)]].concat()));
    let list = json(&run(&["adapter", "inspect", text(&file), text(&both), "--json"]));
    let norm = |i: usize| list[i]["norm"].as_f64().unwrap();
    assert!((norm(0) / norm(1) - 1.0).abs() < 1e-4, "the average of two alike is the same: {list}");

    let half = format!("{}=0.5", text(&file));
    let merge = ["merge", "-m", text(&model), "--adapter", &half, "-o", text(&merged)];
    let done = json(&run(&[&merge[..], &["--type", "q8_0", "--json"]].concat()));
    assert_eq!(done["n_merged"], 14);
    assert!(done["types"]["Q8_0"].as_u64() > Some(10), "{done}");
    let said = failure(&run(&["merge", "-m", text(&model), "--adapter", text(&merged), "-o", "x"]));
    assert!(said.contains("AdapterFormat"), "{said}");
}
