//! Runs the built program.
#![allow(dead_code, reason = "each test program uses its own part of this module")]

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use serde_json::Value as Json;

/// The program with these arguments; colours, width and terminal do not depend on who runs the tests.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nestling"));
    command.args(args).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

pub fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// Runs with a text on standard input.
pub fn run_with(args: &[&str], input: &[u8]) -> Output {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// Standard output of a run that must end well.
pub fn stdout(output: &Output) -> String {
    let (out, err) = texts(output);
    assert_eq!(output.status.code(), Some(0), "stdout: {out}\nstderr: {err}");
    out
}

/// Standard error of a run that must end with status 1.
pub fn failure(output: &Output) -> String {
    let (out, err) = texts(output);
    assert_eq!(output.status.code(), Some(1), "stdout: {out}\nstderr: {err}");
    assert!(err.starts_with("nestling: error: "), "{err}");
    err
}

pub fn json(output: &Output) -> Json {
    serde_json::from_str(&stdout(output)).unwrap()
}

fn texts(output: &Output) -> (String, String) {
    (
        String::from_utf8(output.stdout.clone()).unwrap(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A program that is running: written to, read from, interrupted.
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Running {
    pub fn start(args: &[&str]) -> Self {
        let mut child = command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        Self { child, input, output }
    }

    pub fn write(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Reads until `n` bytes of an answer are there: then it is being generated.
    pub fn read(&mut self, n: usize) {
        self.output.read_exact(&mut vec![0; n]).unwrap();
    }

    /// Reads until the text appears.
    pub fn read_until(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(text.as_bytes()) {
            let n = self.output.read(&mut byte).unwrap();
            let seen_text = String::from_utf8_lossy(&seen);
            assert_ne!(n, 0, "the program ended before it wrote {text:?}; it wrote {seen_text:?}");
            seen.push(byte[0]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// Whether the program has installed its handler for Ctrl-C.
    #[cfg(target_os = "linux")]
    pub fn catches_interrupts(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        // SIGINT is signal 2, so the second bit.
        u64::from_str_radix(caught.trim(), 16).unwrap() & 2 != 0
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }

    /// Ends the input, reads the rest and waits.
    pub fn finish(mut self) -> Output {
        drop(self.input.take());
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).unwrap();
        let mut output = self.child.wait_with_output().unwrap();
        output.stdout = rest;
        output
    }

    /// Closes the reading end of standard output, and waits.
    pub fn hang_up(self) -> Output {
        drop(self.output);
        drop(self.input);
        self.child.wait_with_output().unwrap()
    }
}
