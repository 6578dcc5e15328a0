//! C programs: wrong calls get errors, also under valgrind; our library lives beside another copy of the engine.
#![cfg(target_os = "linux")]

mod support;

use std::path::Path;
use std::process::Command;

use support::{Family, Tiny, c};

fn tiny(directory: &Path) -> std::path::PathBuf {
    Tiny::new(Family::Llama).write(directory)
}

#[test]
fn misuse_gets_errors() {
    let directory = tempfile::tempdir().unwrap();
    let program = c::compile("tests/c/misuse.c", "include", directory.path());
    let model = tiny(directory.path());
    let said = c::run(Command::new(program).arg(model).arg(directory.path()));
    assert!(said.contains("all refused"), "{said}");
}

/// Neither a wrong access nor a lost byte; no suppressions.
fn valgrind(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--error-exitcode=9", "--leak-check=full"]);
    command.args(["--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"]);
    // One thread waits for the other in a loop; valgrind runs one at a time.
    command.arg("--fair-sched=yes").arg(program);
    command
}

#[test]
#[ignore = "takes a minute: ci/test.d/80-valgrind.sh"]
fn misuse_under_valgrind() {
    let directory = tempfile::tempdir().unwrap();
    let program = c::compile("tests/c/misuse.c", "include", directory.path());
    let model = tiny(directory.path());
    c::run(valgrind(&program).arg(model).arg(directory.path()));
}

#[test]
#[ignore = "takes a minute: ci/test.d/80-valgrind.sh"]
fn hello_under_valgrind() {
    let directory = tempfile::tempdir().unwrap();
    let program = c::compile("examples/hello.c", "include", directory.path());
    c::run(valgrind(&program).arg(tiny(directory.path())));
}
