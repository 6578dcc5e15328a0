//! `nestling merge`: adapters become a part of their model.

use std::path::PathBuf;

use clap::{ArgMatches, Command};
use nestling::adapter;
use nestling::format::Source;
use nestling::job::{Job, Monitor};
use nestling::options::MergeOptions;

use crate::adapters::{arg, split};
use crate::failure::Outcome;
use crate::interrupt::{self, Idle, Work};
use crate::output::{self, bytes};
use crate::{flags, progress};

pub fn command() -> Command {
    let command = Command::new("merge")
        .about("Write a model with adapters merged into it")
        .after_help(
            "Examples:\n  \
             nestling merge -m MODEL.gguf --adapter adapter.gguf -o merged.gguf\n  \
             nestling merge -m MODEL.gguf --adapter a.gguf=0.5 --adapter peft-folder -o merged.gguf --type q4_k_m\n\n\
             Merge into a model of 16 or 32 bits where there is one, and quantize the result: merged weights of a \
             quantized model are rounded a second time.",
        )
        .arg(flags::model())
        .arg(
            arg()
                .required(true)
                .help("An adapter, a GGUF file or a PEFT directory, with its scale [1]; may be given several times"),
        )
        .arg(flags::output("OUT.gguf", "The file to write"))
        .arg(flags::json("Print one JSON object"));
    flags::add::<MergeOptions>(command).mut_arg("ftype", |arg| arg.long("type").alias("ftype"))
}

pub fn run(matches: &ArgMatches) -> Outcome {
    const DOING: &str = "merging the adapters";
    let options: MergeOptions = flags::read(matches)?;
    let given = matches.get_many::<String>("adapter").into_iter().flatten();
    let adapters: Vec<(PathBuf, f32)> =
        given.map(|value| split(value)).map(|(path, scale)| (path.into(), scale)).collect();
    let (base, output) = (flags::model_path(matches), flags::path(matches, "output"));
    let begun = Work::begin();
    interrupt::install(Idle::End)?;
    let job = Job::spawn(DOING, begun.token(), move |monitor: &Monitor| {
        adapter::merge(Source::path(base), &adapters, output, &options, monitor)
    })?;
    let merged = progress::wait(job, DOING)?;
    if matches.get_flag("json") {
        return output::json(&output::value(&merged)?);
    }
    let written = &merged.quantized.written;
    let types: Vec<_> = written.types.iter().map(|(name, n)| format!("{n} in {name}")).collect();
    output::facts(&[
        ("written", flags::path(matches, "output").display().to_string()),
        ("weights changed", format!("{} of {}", merged.n_merged, written.n_tensors)),
        ("types", types.join(", ")),
        ("size", format!("{}, was {}", bytes(written.bytes), bytes(written.bytes_before))),
    ])
}
