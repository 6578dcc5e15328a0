//! Opening a model with a progress bar.

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use nestling::cancel::CancelToken;
use nestling::model::Model;
use nestling::options::ModelOptions;

use crate::failure::Outcome;

/// Between two looks at the progress.
const STEP: Duration = Duration::from_millis(100);

/// A model, and how long it took.
pub struct Loaded {
    pub model: Model,
    pub seconds: f64,
}

/// Opens the model; on a terminal, a bar on standard error shows how far it is.
pub fn model(path: &Path, options: &ModelOptions, cancel: CancelToken) -> Outcome<Loaded> {
    let started = Instant::now();
    let mut job = Model::open_job(path, options, cancel)?;
    // Where standard error is no terminal, the bar draws nothing.
    let bar = ProgressBar::new(100);
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {percent:>3} %") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message("loading");
    loop {
        let progress = job.step(STEP);
        if progress.done {
            break;
        }
        bar.set_position((progress.fraction * 100.0) as u64);
    }
    bar.finish_and_clear();
    Ok(Loaded { model: job.take()?, seconds: started.elapsed().as_secs_f64() })
}

/// Opens only the tokenizer: no weights are read.
pub fn tokenizer(path: &Path) -> Outcome<Model> {
    Ok(Model::open(path, &ModelOptions { vocab_only: true, ..ModelOptions::default() })?)
}
