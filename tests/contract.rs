//! Contract cases (`tests/contract/*.json`): the same calls give the same through every door. Each case is a call, its
//! arguments, and what it gives; here they go through the Rust API and through C.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "contract/learning.rs"]
mod learning;
mod support;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nestling::Result;
use nestling::chat::Messages;
use nestling::dataset::Dataset;
use nestling::model::Model;
use nestling::options::{GenerationOptions, Input, ModelOptions, Options, SessionOptions};
use nestling::session::Session;
use nestling::tokenizer::EncodeOptions;
use serde_json::Value;
use support::{Family, Tiny, c};

fn files() -> Vec<PathBuf> {
    let folder = c::root().join("tests/contract");
    let paths = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<_> = paths.filter(|p| p.extension().is_some_and(|e| e == "json")).collect();
    files.sort();
    assert!(files.len() >= 6);
    files
}

fn cases(file: &Path) -> Vec<Value> {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// The files that the cases name.
fn prepare(directory: &Path) {
    let bytes = Tiny::new(Family::Llama).bytes();
    fs::write(directory.join("cut.gguf"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(directory.join("tiny.gguf"), bytes).unwrap();
    fs::write(directory.join("empty.gguf"), "").unwrap();
    fs::write(directory.join("text.gguf"), "this is a text and no model at all, as it seems")
        .unwrap();
    learning::prepare(directory);
}

fn text(case: &Value, key: &str) -> String {
    case[key].as_str().unwrap_or_else(|| panic!("{case} has no {key}")).to_owned()
}

fn options_of(case: &Value) -> Vec<(String, String)> {
    let map = case["options"].as_object().unwrap();
    map.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect()
}

/// A case as the line that tests/c/replay.c reads.
fn line(case: &Value) -> String {
    let call = text(case, "call");
    let mut fields = match call.as_str() {
        "open_path" => vec![text(case, "path")],
        "inspect" => vec![text(case, "path"), text(case, "contains")],
        "metadata" => vec![text(case, "key")],
        "encode" => {
            let flag = |key: &str| case[key].to_string();
            vec![text(case, "text"), flag("add_special"), flag("parse_special")]
        }
        "decode" => {
            let tokens = case["tokens"].as_array().unwrap().iter().map(Value::to_string);
            [case["special"].to_string()].into_iter().chain(tokens).collect()
        }
        "render" => vec![case["messages"].to_string()],
        "generate" => vec![text(case, "text")],
        other => learning::fields(other, case),
    };
    if case.get("options").is_some() {
        fields.extend(options_of(case).into_iter().flat_map(|(key, value)| [key, value]));
    }
    fields.insert(0, call);
    fields.iter().map(|field| escaped(field)).collect::<Vec<_>>().join("\t")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t")
}

/// What the cases work on, through the Rust API.
struct Rust<'a> {
    directory: &'a Path,
    session: Option<Session>,
    data: Option<Dataset>,
}

impl Rust<'_> {
    fn replay(&mut self, case: &Value) -> String {
        self.call(case).unwrap_or_else(|error| format!("error {}", error.code().number()))
    }

    fn call(&mut self, case: &Value) -> Result<String> {
        let flag = |key: &str| case[key] == 1;
        let given = |text: &str| format!("text {}", text.replace('\n', "\\n").replace('\t', "\\t"));
        let path = case["path"].as_str().map(|path| self.directory.join(path));
        match text(case, "call").as_str() {
            "open_path" => {
                let model = Model::open(path.unwrap(), &ModelOptions::default())?;
                if self.session.is_none() {
                    self.session = Some(Session::new(&model, &SessionOptions::default())?);
                }
                Ok("ok".into())
            }
            "inspect" => {
                let json = serde_json::to_string(&Model::inspect(path.unwrap())?).unwrap();
                Ok(if json.contains(&text(case, "contains")) { "ok" } else { "none" }.into())
            }
            "metadata" => {
                let value = self.session().model().metadata(&text(case, "key"));
                Ok(value.map_or("none".into(), |v| given(&v)))
            }
            "encode" => {
                let how = EncodeOptions {
                    add_special: flag("add_special"),
                    parse_special: flag("parse_special"),
                };
                let tokens = self.session().tokenizer().encode(&text(case, "text"), how)?;
                Ok(format!("tokens{}", numbers(&tokens)))
            }
            "decode" => {
                let tokens: Vec<i32> = serde_json::from_value(case["tokens"].clone()).unwrap();
                Ok(given(&self.session().tokenizer().decode(&tokens, flag("special"))?))
            }
            "render" => {
                let options: GenerationOptions = options(case)?;
                let messages = Messages::from_json(&case["messages"].to_string())?;
                Ok(given(&self.session().render(&messages, &options)?))
            }
            "generate" => self.generate(case),
            call => learning::call(self, call, case),
        }
    }

    fn generate(&mut self, case: &Value) -> Result<String> {
        let options: GenerationOptions = options(case)?;
        let session = self.session();
        session.reset();
        let mut stream = session.generate(text(case, "text"), &options)?;
        let mut tokens = Vec::new();
        for piece in &mut stream {
            tokens.push(piece?.token);
        }
        let reason = stream.end_reason().map_or(0, |reason| reason as i32);
        Ok(format!("end {reason} tokens{}", numbers(&tokens)))
    }

    fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("the first case opens the model")
    }
}

fn options<O: Options>(case: &Value) -> Result<O> {
    let mut options = O::default();
    for (key, value) in options_of(case) {
        options.set(&key, Input::Str(&value))?;
    }
    Ok(options)
}

fn numbers(tokens: &[i32]) -> String {
    tokens.iter().map(|token| format!(" {token}")).collect()
}

#[test]
fn through_rust() {
    let directory = tempfile::tempdir().unwrap();
    prepare(directory.path());
    for file in files() {
        let mut rust = Rust { directory: directory.path(), session: None, data: None };
        for case in cases(&file) {
            assert_eq!(rust.replay(&case), text(&case, "gives"), "{}: {case}", file.display());
        }
    }
}

#[test]
fn through_c() {
    let directory = tempfile::tempdir().unwrap();
    prepare(directory.path());
    let program = c::compile("tests/c/replay.c", "include", directory.path());
    for file in files() {
        let cases = cases(&file);
        let mut child = Command::new(&program)
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let script: String = cases.iter().map(|case| line(case) + "\n").collect();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", file.display());
        let output = String::from_utf8(output.stdout).unwrap();
        let given: Vec<_> = output.lines().collect();
        for (case, given) in cases.iter().zip(&given) {
            assert_eq!(**given, text(case, "gives"), "{}: {case}", file.display());
        }
        assert_eq!(given.len(), cases.len(), "{}", file.display());
    }
}

#[test]
#[ignore = "writes what the Rust API gives into tests/contract/*.json; read the difference before you commit it"]
fn rewrite() {
    let directory = tempfile::tempdir().unwrap();
    prepare(directory.path());
    for file in files() {
        let mut rust = Rust { directory: directory.path(), session: None, data: None };
        let mut rows = Vec::new();
        for mut case in cases(&file) {
            case["gives"] = rust.replay(&case).into();
            rows.push(format!("  {case}"));
        }
        let mut out = tempfile::NamedTempFile::new_in(file.parent().unwrap()).unwrap();
        out.write_all(format!("[\n{}\n]\n", rows.join(",\n")).as_bytes()).unwrap();
        out.persist(&file).unwrap();
    }
}
