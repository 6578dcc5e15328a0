//! Chat templates: the same text as Hugging Face's own machinery, safe against text that reads like control tokens,
//! bounded whatever the template does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::fs;
use std::path::{Path, PathBuf};

use nestling::Code;
use nestling::chat::{Builtin, Messages, RenderRequest, SpecialTexts, Template};
use serde_json::Value as Json;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chat")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap_or_else(|e| panic!("{}: {e}; run `make test`, which fetches it", path.display()))
}

fn read_json(path: &Path) -> Json {
    serde_json::from_str(&read(path)).unwrap()
}

/// The request of a golden case: what `cases.json` says, with the template's own special tokens.
fn request(inputs: &Json, case: &Json) -> RenderRequest {
    let input = &inputs["cases"][case["case"].as_str().unwrap()];
    let text = |name: &str| case[name].as_str().map(str::to_owned);
    RenderRequest {
        messages: Messages::from_value(input["messages"].clone()).unwrap(),
        tools: input.get("tools").cloned(),
        documents: input.get("documents").cloned(),
        variables: input["variables"].as_object().cloned().unwrap_or_default(),
        add_generation_prompt: input["add_generation_prompt"] == true,
        bos_token: text("bos_token"),
        eos_token: text("eos_token"),
        now: inputs["now"].as_i64(),
    }
}

/// Renders every case of one golden file; returns what differs.
fn compare(name: &str, source: String, golden_file: &Json, inputs: &Json) -> Vec<String> {
    let template = Template::new(source).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut differences = Vec::new();
    for case in golden_file["cases"].as_array().unwrap() {
        let case_name = case["case"].as_str().unwrap();
        let request = request(inputs, case);
        let outcome = template.render(&request);
        let problem = match (&outcome, case["text"].as_str(), case["message"].as_str()) {
            (Ok(text), Some(expected), _) if text == expected => {
                generated_spans_differ(&template, &request, case)
            }
            (Ok(text), Some(expected), _) => Some(format!("\n  {text:?}\n  {expected:?}")),
            (Err(error), Some(expected), _) => Some(format!("\n  {error}\n  {expected:?}")),
            // What fails in Python without being a refusal (a loop over None) may work here.
            (Ok(_), None, _) if case["error"] != "TemplateError" => None,
            (Ok(text), None, message) => Some(format!("\n  {text:?}\n  refuses: {message:?}")),
            (Err(error), None, Some(message)) if case["error"] == "TemplateError" => {
                let same = error.code() == Code::TemplateRender
                    && error.message().contains(message)
                    && error.message().contains("line");
                (!same).then(|| format!("\n  {error}\n  {message}"))
            }
            (Err(error), None, _) => {
                (error.code() != Code::TemplateRender).then(|| error.to_string())
            }
        };
        differences.extend(problem.map(|problem| format!("{name}, {case_name}: {problem}")));
    }
    differences
}

/// The reference counts characters and lists the blocks in the order of their starts.
fn generated_spans_differ(
    template: &Template,
    request: &RenderRequest,
    case: &Json,
) -> Option<String> {
    let expected = case.get("generated")?;
    let rendered = template.render_guarded(request, &SpecialTexts::default()).unwrap();
    let chars = |at: usize| rendered.text()[..at].chars().count();
    let spans = rendered.generated().iter();
    let spans: Json =
        spans.map(|range| Json::from(vec![chars(range.start), chars(range.end)])).collect();
    (spans != *expected).then(|| format!("generated {spans}, not {expected}"))
}

fn golden_files(kind: &str) -> Vec<(String, Json)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(golden()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with(kind) {
            let json = read_json(&path);
            files.push((json["template"].as_str().unwrap().to_owned(), json));
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

fn check(kind: &str, at_least: usize, source: impl Fn(&str) -> String) {
    let inputs = read_json(&golden().join("cases.json"));
    let files = golden_files(kind);
    assert!(files.len() >= at_least, "{} golden files of the kind {kind}", files.len());
    let differences: Vec<String> =
        files.iter().flat_map(|(name, file)| compare(name, source(name), file, &inputs)).collect();
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn builtin_templates_render_as_the_reference_does() {
    check("builtin", Builtin::all().len(), |name| {
        Builtin::by_name(name).unwrap().source().to_owned()
    });
}

fn cache() -> PathBuf {
    let home = std::env::var_os("HOME").expect("HOME is set");
    PathBuf::from(home).join(".cache/nestling")
}

#[test]
fn real_templates_render_as_the_reference_does() {
    check("real", 20, |name| read(&cache().join("templates").join(format!("{name}.jinja"))));
}
