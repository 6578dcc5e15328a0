//! `nestling quantize`: a model in smaller types.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, ValueHint, value_parser};
use nestling::format::Source;
use nestling::job::Job;
use nestling::options::QuantizeOptions;
use nestling::quantize::{self, Quantized};

use crate::failure::Outcome;
use crate::interrupt::{self, Idle, Work};
use crate::output::{self, bytes, count};
use crate::{flags, progress};

pub fn command() -> Command {
    let command = Command::new("quantize")
        .about("Write a model in smaller types")
        .after_help(
            "Examples:\n  \
             nestling quantize model-f16.gguf -o model-q4_k_m.gguf --type q4_k_m\n  \
             nestling quantize model-f16.gguf -o small.gguf --type q4_k_m --tensor-types 'ffn_down=q6_k'\n  \
             nestling quantize model-f16.gguf -o small.gguf --type iq3_xxs --imatrix model.imatrix.gguf\n  \
             nestling quantize model-f16.gguf -o none --type q3_k_m --dry-run\n\n\
             Start from a file of 16- or 32-bit floats. The types are those that llama.cpp's quantizer gives, byte for \
             byte; `nestling compare` says what was lost.",
        )
        .arg(
            Arg::new("input")
                .value_name("IN.gguf")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .required(true)
                .help("The model: a GGUF file, or the first part of a split one"),
        )
        .arg(flags::output("OUT.gguf", "The file to write"))
        .arg(flags::json("Print one JSON object"));
    flags::add::<QuantizeOptions>(command).mut_arg("ftype", |arg| arg.long("type").alias("ftype"))
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let options: QuantizeOptions = flags::read(matches)?;
    // Begun before the handler is there: from then on, Ctrl-C always ends in an error and never in silence.
    let work = Work::begin();
    interrupt::install(Idle::End)?;
    let input = Source::path(flags::path(matches, "input"));
    let path = flags::path(matches, "output");
    let job = Job::spawn("quantizing the model", work.token(), move |monitor| {
        quantize::quantize(&input, path, &options, monitor)
    })?;
    let report = progress::wait(job, "quantizing")?;
    if matches.get_flag("json") {
        return output::json(&output::value(&report)?);
    }
    print(&report)
}

fn print(report: &Quantized) -> Outcome {
    let written = &report.written;
    let bits = |n: u64| 8.0 * n as f64 / written.n_parameters.max(1) as f64;
    let types: Vec<_> = written.types.iter().map(|(name, n)| format!("{n} {name}")).collect();
    let share = 100.0 * written.bytes as f64 / written.bytes_before.max(1) as f64;
    let file = match report.dry_run {
        true => "nothing was written (dry run)".to_owned(),
        false => report.path.display().to_string(),
    };
    output::facts(&[
        ("file", file),
        ("types", types.join(", ")),
        ("weights", count(written.n_parameters)),
        (
            "size",
            format!("{} of {} ({share:.1} %)", bytes(written.bytes), bytes(written.bytes_before)),
        ),
        ("bits per weight", format!("{:.2}", bits(written.bytes))),
    ])
}
