//! Every level that a processor may have, as far as this one has it: each in a process of its own, since a process finds
//! out once.

use std::process::Command;

use nestling::format::gguf::GgmlType;

use super::common::{divergence, pair};
use super::support::run::{ids, logits, session};
use super::support::{Family, Tiny};

const VARIABLE: &str = "NESTLING_CPU_LEVEL";
const LEVELS: [&str; 6] = ["none", "avx2", "avx512", "avx512-vnni", "avx512-bf16", "amx"];

/// The level that a process uses, as it says itself.
fn level() -> String {
    let info: serde_json::Value =
        serde_json::from_str(&nestling::build_info::build_info()).unwrap();
    info["kernels"].as_str().unwrap().to_owned()
}

/// A session at the level that the environment asks for; the engine's logits go to the output, to compare.
#[test]
fn a_session_at_the_level_of_this_process() {
    for weights in [GgmlType::Q8_0, GgmlType::F16] {
        let [ours, engines] = pair(&Tiny::new(Family::Llama).weights(weights));
        let (mut a, mut b) = (session(&ours, 128), session(&engines, 128));
        for n in [1, 5, 99] {
            let prompt = ids(n, 250, 9);
            let (ours, engines) = (logits(&mut a, &prompt).0, logits(&mut b, &prompt).0);
            let d = divergence(&engines, &ours);
            assert!(d < 2e-2, "{weights:?}, {n} tokens: {d}");
            if level() == "none" {
                assert_eq!(ours, engines, "nothing but the engine");
            }
            println!("engine {weights:?} {n}: {:?}", &engines[..8]);
        }
    }
    println!("level {}", level());
}

#[test]
fn every_level_gives_sessions_and_leaves_the_engine_as_it_is() {
    let mut engines = Vec::new();
    for name in LEVELS {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["levels::a_session_at_the_level_of_this_process", "--exact", "--nocapture"])
            .env(VARIABLE, name)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {}\n{text}\n{error}", output.status);
        if !text.contains(&format!("level {name}\n")) {
            println!("NOT RUN: {name}, which this processor does not have");
            continue;
        }
        engines.push(text.lines().filter(|l| l.contains("engine ")).collect::<Vec<_>>().join("\n"));
    }
    // Models with accel=off compute as in a process that has no kernels, bit by bit.
    assert!(engines.iter().all(|lines| *lines == engines[0]), "{engines:#?}");
}
