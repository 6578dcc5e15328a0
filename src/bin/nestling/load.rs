//! Opening a model with a progress bar.

use std::path::Path;
use std::time::Instant;

use clap::ArgMatches;
use nestling::cancel::CancelToken;
use nestling::model::Model;
use nestling::options::ModelOptions;

use crate::failure::Outcome;
use crate::{flags, progress};

/// A model, and how long it took.
pub struct Loaded {
    pub model: Model,
    pub seconds: f64,
}

/// Opens the model; on a terminal, a bar on standard error shows how far it is.
pub fn model(path: &Path, options: &ModelOptions, cancel: CancelToken) -> Outcome<Loaded> {
    let started = Instant::now();
    let job = Model::open_job(path, options, cancel)?;
    let model = progress::wait(job, "loading")?;
    Ok(Loaded { model, seconds: started.elapsed().as_secs_f64() })
}

/// Opens only the tokenizer of `-m`, with the keys of the command line: no weights are read.
pub fn tokenizer(matches: &ArgMatches) -> Outcome<Model> {
    let options = ModelOptions { vocab_only: true, ..flags::keys(matches)? };
    Ok(Model::open(flags::model_path(matches), &options)?)
}
