//! C programs against the shared library that the tests were built with.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The shared library that was built with the running test.
pub fn library() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let library = program.with_file_name("libnestling.so");
    assert!(library.is_file(), "{} is missing: cargo build", library.display());
    library
}

/// Where the engine was built and installed: `lib`, `include`.
pub fn engine() -> PathBuf {
    let builds = library().ancestors().nth(2).unwrap().join("build");
    let found = std::fs::read_dir(&builds).unwrap().filter_map(|entry| {
        let out = entry.unwrap().path().join("out");
        out.join("include/llama.h").is_file().then_some(out)
    });
    found.max().unwrap_or_else(|| panic!("no build of the engine in {}", builds.display()))
}

/// Compiles `source` with the headers in `include` ("A -IB" for two folders), linked to the library; returns the program.
pub fn compile(source: &str, include: &str, directory: &Path) -> PathBuf {
    // The library's own name, under which a linked program looks for it.
    let soname = directory.join("libnestling.so.0");
    if !soname.exists() {
        std::os::unix::fs::symlink(library(), &soname).unwrap();
    }
    let program = directory.join(Path::new(source).file_stem().unwrap());
    let mut command = Command::new("cc");
    command.current_dir(root()).args([
        "-std=c11",
        "-D_DEFAULT_SOURCE",
        "-g",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]);
    // What ci/sanitize.sh built the library with, its programs need too.
    let flags = std::env::var("NESTLING_C_FLAGS").unwrap_or_default();
    command.args(flags.split_whitespace());
    command
        .arg(source)
        .args(include.split(" -I").map(|folder| format!("-I{folder}")))
        .arg("-o")
        .arg(&program);
    // Only what a program calls is loaded with it.
    command.arg("-Wl,--as-needed").arg(&soname);
    command.arg(format!("-Wl,-rpath,{}", directory.display())).args(["-lpthread", "-lm", "-ldl"]);
    let output = command.output().expect("cc runs");
    assert!(output.status.success(), "{source}:\n{}", text(&output));
    program
}

/// Runs a program, which must end well; returns its standard output.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn text(output: &Output) -> String {
    let read = String::from_utf8_lossy;
    format!("{}{}", read(&output.stdout), read(&output.stderr))
}
