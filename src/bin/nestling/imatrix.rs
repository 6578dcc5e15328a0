//! `nestling imatrix`: which columns of a model's weights matter on a text, for quantizing.

use clap::{ArgMatches, Command};
use nestling::eval;
use nestling::job::{Job, Monitor};
use nestling::options::{ImatrixOptions, ModelOptions};

use crate::failure::Outcome;
use crate::interrupt::{self, Idle, Work};
use crate::{flags, load, output, paths, progress};

pub fn command() -> Command {
    let command = Command::new("imatrix")
        .about("Compute an importance matrix from a text, for quantizing")
        .after_help(
            "Examples:\n  \
             nestling imatrix -m MODEL-F16.gguf --file text.txt -o imatrix.gguf\n  \
             nestling imatrix -m MODEL-F16.gguf --file text.txt --chunks 100 -o imatrix.gguf\n  \
             nestling quantize MODEL-F16.gguf -o MODEL-Q4_K_M.gguf --type q4_k_m --imatrix imatrix.gguf\n\n\
             The text should be of the kind that the model will read. Some hundred chunks are usual; the original model \
             gives the best matrix, and a quantized one will do. The file has llama.cpp's format.",
        )
        .arg(flags::model())
        .arg(paths::input("file", "The text to read, in UTF-8"))
        .arg(flags::output("FILE", "Where the importance matrix goes, in llama.cpp's format"))
        .arg(flags::json("Print one JSON object"));
    flags::add::<ImatrixOptions>(flags::add::<ModelOptions>(command))
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let model_options: ModelOptions = flags::read(matches)?;
    let options: ImatrixOptions = flags::read(matches)?;
    let (text, out) = (flags::path(matches, "file"), flags::path(matches, "output"));
    // Begun before the handler is there: from then on, Ctrl-C always ends in an error and never in silence.
    let work = Work::begin();
    interrupt::install(Idle::End)?;
    let model = load::model(&flags::model_path(matches), &model_options, work.token())?.model;
    let doing = "computing the importance matrix";
    let job = Job::spawn(doing, work.token(), move |monitor: &Monitor| {
        eval::imatrix(&model, &text, &out, &options, monitor)
    })?;
    let report = progress::wait(job, "reading the text")?;
    if matches.get_flag("json") {
        return output::json(&output::value(&report)?);
    }
    let mut rows = vec![
        ("written", report.path.display().to_string()),
        ("weights", report.weights.to_string()),
        ("chunks", format!("{} of {} tokens", report.chunks, report.tokens / report.chunks.max(1))),
        ("time", format!("{:.1} s", report.seconds)),
    ];
    if report.unseen_experts > 0 {
        let text = format!("{} experts were never used; give a longer text", report.unseen_experts);
        rows.push(("warning", text));
    }
    output::facts(&rows)
}
