//! C programs: wrong calls get errors, and nothing is lost, also under valgrind.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::Path;
use std::process::Command;

use support::{Family, Tiny, c};

fn tiny(directory: &Path) -> std::path::PathBuf {
    Tiny::new(Family::Llama).write(directory)
}

/// Wrong calls of every kind, and handles in every order.
const PROGRAMS: [&str; 6] =
    ["nulls", "misuse", "lifetimes", "training", "training_lifetimes", "evaluation"];

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
