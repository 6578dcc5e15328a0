//! C programs: wrong calls get errors, also under valgrind; our library lives beside another copy of the engine.
#![cfg(target_os = "linux")]

mod support;

use std::path::Path;
use std::process::Command;

use support::{Family, Tiny, c};

fn tiny(directory: &Path) -> std::path::PathBuf {
    Tiny::new(Family::Llama).write(directory)
}

/// Wrong calls of every kind, and handles in every order.
const PROGRAMS: [&str; 3] = ["nulls", "misuse", "lifetimes"];

fn run_all(runner: impl Fn(&Path) -> Command) {
    let directory = tempfile::tempdir().unwrap();
    let model = tiny(directory.path());
    for program in PROGRAMS {
        let program = c::compile(&format!("tests/c/{program}.c"), "include", directory.path());
        let said = c::run(runner(&program).arg(&model).arg(directory.path()));
        assert!(said.contains("as it should be"), "{said}");
    }
}

#[test]
fn misuse_gets_errors() {
    run_all(|program| Command::new(program));
}

/// Neither a wrong access nor a lost byte; no suppressions.
fn valgrind(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--error-exitcode=9", "--leak-check=full"]);
    command.args(["--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"]);
    // The engine's threads wait for each other in loops; valgrind runs one thread at a time.
    command.arg("--fair-sched=yes").arg(program);
    command
}

#[test]
#[ignore = "takes minutes: ci/test.d/80-valgrind.sh"]
fn misuse_under_valgrind() {
    run_all(valgrind);
}

#[test]
#[ignore = "takes minutes: ci/test.d/80-valgrind.sh"]
fn hello_under_valgrind() {
    let directory = tempfile::tempdir().unwrap();
    let program = c::compile("examples/hello.c", "include", directory.path());
    c::run(valgrind(&program).arg(tiny(directory.path())));
}

/// Another libllama: the whole engine, with all its symbols in the open.
fn other_engine(directory: &Path) -> std::path::PathBuf {
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
    let (model, theirs) = (tiny(directory.path()), other_engine(directory.path()));
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
