//! How far the engine's own kernels and ours are from the dequantized model: `cargo bench --bench accuracy -- REFERENCE
//! MODEL TEXT THREADS` prints one JSON line. REFERENCE holds the weights of MODEL as F32.
#![allow(missing_docs, reason = "a program, not a library")]

use nestling::Result;
use nestling::eval::{Divergence, divergence};
use nestling::job::Monitor;
use nestling::model::Model;
use nestling::options::{Auto, EvaluationOptions, Input, ModelOptions, Options};

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let given: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [reference, model, text, threads] = given.as_slice() else {
        eprintln!("accuracy: run by benches/run.sh accuracy");
        return Ok(());
    };
    let text = std::fs::read_to_string(text).unwrap_or_default();
    let reference = open(reference, "off")?;
    let options = EvaluationOptions {
        n_threads: Auto::Value(threads.parse().unwrap_or(1)),
        ..EvaluationOptions::default()
    };
    let mut found = Vec::new();
    for accel in ["off", "auto"] {
        let model = open(model, accel)?;
        let part: Divergence =
            divergence(&reference, &model, &text, &options, &Monitor::default())?;
        found.push((accel, part));
    }
    println!(
        "{}",
        serde_json::to_string(&serde_json::Map::from_iter(
            found.into_iter().map(|(accel, part)| (accel.to_owned(), serde_json::json!(part)))
        ))
        .unwrap_or_default()
    );
    Ok(())
}

fn open(path: &str, accel: &str) -> Result<Model> {
    let mut options = ModelOptions::default();
    options.set("accel", Input::Str(accel))?;
    Model::open(path, &options)
}
