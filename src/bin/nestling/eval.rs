//! `nestling eval`: how well a model predicts a dataset, alone and with adapters.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use nestling::Result;
use nestling::adapter::Adapter;
use nestling::dataset::Dataset;
use nestling::eval::{self, Comparison, Evaluation};
use nestling::job::{Job, Monitor};
use nestling::model::Model;
use nestling::options::{DatasetOptions, EvaluationOptions, ModelOptions};
use serde::Serialize;

use crate::failure::Outcome;
use crate::interrupt::{self, Idle, Work};
use crate::{adapters, flags, load, output, progress, report};

pub fn command() -> Command {
    let command = Command::new("eval")
        .about("Measure how well a model predicts a dataset, alone and with adapters")
        .after_help(
            "Examples:\n  \
             nestling eval -m MODEL.gguf --data held-out.jsonl\n  \
             nestling eval -m MODEL.gguf --data held-out.jsonl --adapter adapter.gguf\n  \
             nestling eval -m MODEL.gguf --data reviews.csv --labels negative,positive --json\n\n\
             The loss is the mean of -ln p over the answers. Examples with a \"label\" are classified, too: the label \
             that the model finds most likely is compared with the right one. With adapters, the model is measured \
             without them and with them.",
        )
        .arg(flags::model())
        .arg(
            Arg::new("data")
                .long("data")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .required(true)
                .action(ArgAction::Append)
                .help("Examples to predict: JSONL, CSV or text; may be given several times"),
        )
        .arg(adapters::arg())
        .arg(flags::json("Print one JSON object"));
    let command = flags::add::<EvaluationOptions>(flags::add::<ModelOptions>(command));
    // Labels rarely hold a comma: those that do can come from the dataset.
    flags::add::<DatasetOptions>(command)
        .mut_arg("labels", |labels| labels.value_delimiter(',').value_name("LABEL,LABEL..."))
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let model_options: ModelOptions = flags::read(matches)?;
    let options: EvaluationOptions = flags::read(matches)?;
    let dataset_options: DatasetOptions = flags::read(matches)?;
    // Begun before the handler is there: from then on, Ctrl-C always ends in an error and never in silence.
    let work = Work::begin();
    interrupt::install(Idle::End)?;
    let paths = matches.get_many::<PathBuf>("data").into_iter().flatten().map(PathBuf::as_path);
    let data = Dataset::open(paths, &dataset_options)?;
    let read = data.report().clone();
    report::dataset("data", &read);
    let model = load::model(&flags::model_path(matches), &model_options, work.token())?.model;
    let adapters = adapters::open(&model, matches)?;
    let job = Job::spawn("evaluating the dataset", work.token(), move |monitor: &Monitor| {
        measure(&model, &adapters, &data, &options, monitor)
    })?;
    let found = progress::wait(job, "evaluating")?;
    if matches.get_flag("json") {
        let mut value = output::value(&found)?;
        value["dataset"] = output::value(&read)?;
        return output::json(&value);
    }
    output::stream(&match found {
        Found::One(evaluation) => evaluation.to_string(),
        Found::Two(comparison) => comparison.to_string(),
    })
}

/// What was measured: the model alone, or without and with adapters.
#[derive(Serialize)]
#[serde(untagged)]
enum Found {
    One(Box<Evaluation>),
    Two(Box<Comparison>),
}

fn measure(
    model: &Model,
    adapters: &[(Adapter, f32)],
    data: &Dataset,
    options: &EvaluationOptions,
    monitor: &Monitor,
) -> Result<Found> {
    Ok(if adapters.is_empty() {
        Found::One(Box::new(eval::evaluate(model, adapters, data, options, monitor)?))
    } else {
        Found::Two(Box::new(eval::compare(model, adapters, data, options, monitor)?))
    })
}
