//! `nestling prune`: a model file without what a task does not need.

use clap::{ArgMatches, Command};
use nestling::format::Source;
use nestling::job::{Job, Monitor};
use nestling::options::PruneOptions;
use nestling::prune;

use crate::failure::Outcome;
use crate::interrupt::{self, Idle, Work};
use crate::{flags, output, paths, progress};

pub fn command() -> Command {
    let command = Command::new("prune")
        .about("Leave tensors and metadata out of a model file")
        .after_help(
            "Examples:\n  \
             nestling prune MODEL.gguf -o EMBED.gguf --task embedding\n  \
             nestling prune MODEL.gguf -o SMALL.gguf --drop-metadata '^tokenizer\\.chat_template'\n  \
             nestling prune MODEL.gguf -o SMALL.gguf --drop '^output\\.weight$'\n\n\
             The new file is opened before it takes its name: what the model needs is refused. A model without its output \
             matrix makes embeddings as before, but what it generates is of no use.",
        )
        .arg(paths::model("input", "The model: a GGUF file, or the first part of a split one"))
        .arg(flags::output("FILE", "Where the smaller model goes"))
        .arg(flags::json("Print one JSON object"));
    flags::add::<PruneOptions>(command)
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let options: PruneOptions = flags::read(matches)?;
    let (input, out) = (flags::path(matches, "input"), flags::path(matches, "output"));
    // Begun before the handler is there: from then on, Ctrl-C always ends in an error and never in silence.
    let work = Work::begin();
    interrupt::install(Idle::End)?;
    let job = Job::spawn("pruning the model", work.token(), move |monitor: &Monitor| {
        prune::prune(&Source::path(input), &out, &options, monitor)
    })?;
    let report = progress::wait(job, "writing")?;
    if matches.get_flag("json") {
        return output::json(&output::value(&report)?);
    }
    let list = |names: &[String]| match names {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    };
    output::facts(&[
        ("written", report.path.display().to_string()),
        ("tensors left out", list(&report.tensors)),
        ("metadata left out", list(&report.metadata)),
        (
            "size",
            format!("{} of {}", output::bytes(report.bytes), output::bytes(report.bytes_before)),
        ),
    ])
}
