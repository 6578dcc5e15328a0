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
const PROGRAMS: &[&str] = &[
    "embedding",
    "nulls",
    "misuse",
    "misuse_jobs",
    "lifetimes",
    "tour",
    "training",
    "training_lifetimes",
    "evaluation",
    "measure",
    "quantize",
    "convert",
    "adapter_files",
    "seal",
];

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

/// `nulls.c` only sees what each function refuses.
#[test]
fn every_function_of_the_header_is_called_well_by_a_program_in_c() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let programs: String = ["tests/c", "examples"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "c" || e == "h"))
        .filter(|path| !path.ends_with("nulls.c"))
        .map(|path| read(&path))
        .collect();
    let header = read(&root.join("include/nestling.h"));
    let declared: Vec<_> = header
        .lines()
        .filter(|line| line.starts_with("NEST_API"))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("nest_"))
        .collect();
    assert!(declared.len() > 100, "{declared:?}");
    let missing: Vec<_> =
        declared.iter().filter(|name| !programs.contains(&format!("{name}("))).collect();
    assert!(missing.is_empty(), "no program calls {missing:?}");
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
