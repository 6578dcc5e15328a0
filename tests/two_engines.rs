//! Our library beside another copy of the engine in one process: neither takes the other's functions.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Family, Tiny, c};

/// Another libllama: the whole engine, with all its symbols in the open.
fn other_engine(directory: &Path) -> PathBuf {
    let shared = directory.join("libllama.so");
    let mut command = Command::new("c++");
    command.args(["-shared", "-o"]).arg(&shared).arg("-Wl,--whole-archive");
    for name in ["llama", "ggml", "ggml-cpu", "ggml-base"] {
        command.arg(c::engine().join(format!("lib/lib{name}.a")));
    }
    c::run(command.args(["-Wl,--no-whole-archive", "-lpthread", "-lm", "-ldl"]));
    shared
}

#[test]
fn two_copies_of_the_engine_live_in_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let headers = format!("include -I{}", c::engine().join("include").display());
    let program = c::compile("tests/c/two_engines.c", &headers, directory.path());
    let (model, theirs) =
        (Tiny::new(Family::Llama).write(directory.path()), other_engine(directory.path()));
    let run = |first: &str| {
        let mut command = Command::new(&program);
        c::run(command.arg(c::library()).arg(&theirs).arg(&model).arg(first))
    };
    let said = run("ours");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert_eq!((lines[0], lines[1]), (lines[2], lines[3]));
    assert_eq!(run("theirs"), said);
}
