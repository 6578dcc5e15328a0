//! The child process: opens one case after the other and says on standard output how far each came.

use std::io::Write;

use nestling::format::{Access, ModelFiles, Source};
use nestling::model::Model;
use nestling::options::{Auto, GenerationOptions, ModelOptions, SessionOptions};
use nestling::session::Session;

use crate::mutate;

/// Runs cases from `first`, `step` apart, below `end`. Before each it prints `? N`, after it the result.
pub fn run(seed: u64, first: u64, end: u64, step: u64) {
    let models = mutate::models();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("case.gguf");
    let mut out = std::io::stdout();
    for index in (first..end).step_by(step as usize) {
        writeln!(out, "? {index}").unwrap();
        out.flush().unwrap();
        let bytes = mutate::case(seed, index, &models);
        let source = if index % 4 == 0 {
            Source::memory(bytes)
        } else {
            std::fs::write(&path, bytes).unwrap();
            Source::path(&path)
        };
        writeln!(out, "{}", verdict(&source, index % 2 == 0)).unwrap();
    }
}

fn verdict(source: &Source, use_mmap: bool) -> &'static str {
    let access = if use_mmap { Access::Map } else { Access::Read };
    if ModelFiles::open(source, access).is_err() {
        return "refused";
    }
    let options = ModelOptions { use_mmap, ..ModelOptions::default() };
    let Ok(model) = Model::open(source.clone(), &options) else { return "engine" };
    match answer(&model) {
        Ok(()) => "ran",
        Err(_) => "error",
    }
}

fn answer(model: &Model) -> nestling::Result<()> {
    let options = SessionOptions {
        n_ctx: Auto::Value(64),
        n_threads: Auto::Value(1),
        ..SessionOptions::default()
    };
    let mut session = Session::new(model, &options)?;
    let generation =
        GenerationOptions { max_tokens: Auto::Value(4), ..GenerationOptions::default() };
    let named = model.metadata("tokenizer.ggml.model").unwrap_or_default();
    let prompt = if named.contains("none") || named.contains("no_vocab") {
        nestling::session::Prompt::Tokens(vec![1, 2, 3])
    } else {
        "hello, é 😀\n".into()
    };
    for piece in session.generate(prompt, &generation)? {
        piece?;
    }
    Ok(())
}
