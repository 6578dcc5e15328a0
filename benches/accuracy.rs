//! How far the engine's own kernels and ours are from the dequantized model: `cargo bench --bench accuracy -- REFERENCE
//! MODEL TEXT THREADS` prints one JSON line. REFERENCE holds the weights of MODEL as F32.
#![allow(missing_docs, reason = "a program, not a library")]

use nestling::Result;
use nestling::eval::compare_models;
use nestling::job::Monitor;
use nestling::model::Model;
use nestling::options::{Auto, CompareOptions, Input, ModelOptions, Options};

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let given: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [reference, model, text, threads] = given.as_slice() else {
        eprintln!("accuracy: run by benches/run.sh accuracy");
        return Ok(());
    };
    let text = std::fs::read_to_string(text).unwrap_or_default();
    let n_threads = Auto::Value(threads.parse().unwrap_or(1));
    let options = CompareOptions { n_threads, ..CompareOptions::default() };
    // The engine's own kernels compute the reference, once for both.
    let models = [open(reference, "off")?, open(model, "off")?, open(model, "auto")?];
    let found = compare_models(&models, &text, &options, &Monitor::default())?;
    let found = ["reference", "off", "auto"].into_iter().map(str::to_owned).zip(found.models);
    let found = found.map(|(name, part)| (name, serde_json::json!(part)));
    println!("{}", serde_json::to_string(&serde_json::Map::from_iter(found)).unwrap_or_default());
    Ok(())
}

fn open(path: &str, accel: &str) -> Result<Model> {
    let mut options = ModelOptions::default();
    options.set("accel", Input::Str(accel))?;
    Model::open(path, &options)
}
