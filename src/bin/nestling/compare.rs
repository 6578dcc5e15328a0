//! `nestling compare`: several files of a model by numbers, to choose a quantization.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use nestling::eval::{self, ModelComparison};
use nestling::job::{Job, Monitor};
use nestling::options::{CompareOptions, ModelOptions};
use nestling::{Code, Error};

use crate::failure::{Failure, Outcome};
use crate::interrupt::{self, Idle, Work};
use crate::{flags, load, output, paths, progress, size_chart};

pub fn command() -> Command {
    let command = Command::new("compare")
        .about("Compare files of a model on a text: perplexity, divergence, size")
        .after_help(
            "Examples:\n  \
             nestling compare F16.gguf Q8_0.gguf Q4_K_M.gguf --text text.txt\n  \
             nestling compare Q5_K_M.gguf Q4_K_M.gguf --reference F16.gguf --text text.txt --chart sizes.svg\n  \
             nestling compare F16.gguf Q4_K_M.gguf --text text.txt --windows 20 --json\n\n\
             KL is the divergence of a file's predictions from those of the reference, the first file if none is named; \
             `same top` says how often both think the same token most likely. Small numbers can be told apart on a \
             few thousand tokens, where perplexities need many more. All models are open at once.",
        )
        .arg(
            paths::model("models", "The files to compare: GGUF models with the same vocabulary")
                .action(ArgAction::Append)
                .num_args(1..),
        )
        .arg(paths::input("text", "The text to predict, in UTF-8"))
        .arg(
            Arg::new("reference")
                .long("reference")
                .value_name("MODEL.gguf")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .help("What the files are compared with [the first of them]"),
        )
        .arg(
            Arg::new("chart")
                .long("chart")
                .value_name("FILE.svg")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .help("Draw size against divergence"),
        )
        .arg(flags::json("Print one JSON object"));
    flags::add::<CompareOptions>(flags::add::<ModelOptions>(command))
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let model_options: ModelOptions = flags::read(matches)?;
    let options: CompareOptions = flags::read(matches)?;
    let chart = matches.get_one::<PathBuf>("chart");
    if let Some(path) = chart {
        size_chart::check(path)?;
    }
    // Begun before the handler is there: from then on, Ctrl-C always ends in an error and never in silence.
    let work = Work::begin();
    interrupt::install(Idle::End)?;
    let text = text(&flags::path(matches, "text"))?;
    let files = matches.get_many::<PathBuf>("models").into_iter().flatten();
    let mut models = Vec::new();
    for file in matches.get_one::<PathBuf>("reference").into_iter().chain(files) {
        models.push(load::model(file, &model_options, work.token())?.model);
    }
    let job = Job::spawn("comparing the models", work.token(), move |monitor: &Monitor| {
        eval::compare_models(&models, &text, &options, monitor)
    })?;
    let found: ModelComparison = progress::wait(job, "comparing")?;
    if let Some(path) = chart {
        size_chart::write(path, &found)?;
    }
    if matches.get_flag("json") {
        return output::json(&output::value(&found)?);
    }
    output::stream(&found.to_string())
}

fn text(path: &std::path::Path) -> Outcome<String> {
    let bytes =
        std::fs::read(path).map_err(|e| Error::io(&e, "reading the text").with_path(path))?;
    String::from_utf8(bytes).map_err(|_| {
        let words = "the text is not UTF-8; convert it first";
        Failure::Error(Error::new(Code::InvalidUtf8, words).with_path(path))
    })
}
