//! `nestling convert`: a Hugging Face checkpoint as one model file.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, ValueHint, value_parser};
use nestling::convert::{self, Converted};
use nestling::job::Job;
use nestling::options::ConvertOptions;

use crate::failure::Outcome;
use crate::interrupt::{self, Idle, Work};
use crate::output::{self, bytes, count};
use crate::{flags, progress};

pub fn command() -> Command {
    let command = Command::new("convert")
        .about("Make a Hugging Face checkpoint one GGUF file")
        .after_help(
            "Examples:\n  \
             nestling convert SmolLM2-135M-Instruct -o smollm2.gguf\n  \
             nestling convert SmolLM2-135M-Instruct -o smollm2-q4_k_m.gguf --type q4_k_m\n  \
             nestling convert Qwen3-0.6B -o none --dry-run --json\n\n\
             The directory is what save_pretrained writes: config.json, model.safetensors (or shards with \
             model.safetensors.index.json), and tokenizer.json or tokenizer.model. No model is ever in memory: a few rows at \
             a time are read, rounded and written.",
        )
        .arg(
            Arg::new("directory")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::DirPath)
                .required(true)
                .help("The checkpoint's directory"),
        )
        .arg(flags::output("OUT.gguf", "The file to write"))
        .arg(flags::json("Print one JSON object"));
    flags::add::<ConvertOptions>(command).mut_arg("ftype", |arg| arg.long("type").alias("ftype"))
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let options: ConvertOptions = flags::read(matches)?;
    // Begun before the handler is there: from then on, Ctrl-C always ends in an error and never in silence.
    let work = Work::begin();
    interrupt::install(Idle::End)?;
    let (from, to) = (flags::path(matches, "directory"), flags::path(matches, "output"));
    let job = Job::spawn("converting the checkpoint", work.token(), move |monitor| {
        convert::convert(from, to, &options, monitor)
    })?;
    let report = progress::wait(job, "converting")?;
    if matches.get_flag("json") {
        return output::json(&output::value(&report)?);
    }
    print(&report)
}

fn print(report: &Converted) -> Outcome {
    let written = &report.written;
    let bits = 8.0 * written.bytes as f64 / written.n_parameters.max(1) as f64;
    let types: Vec<_> = written.types.iter().map(|(name, n)| format!("{n} {name}")).collect();
    let file = match report.dry_run {
        true => "nothing was written (dry run)".to_owned(),
        false => report.path.display().to_string(),
    };
    let mut facts = vec![
        ("file", file),
        ("model", format!("{} ({})", report.name, report.architecture)),
        ("types", types.join(", ")),
        ("weights", count(written.n_parameters)),
        ("size", format!("{} of {}", bytes(written.bytes), bytes(written.bytes_before))),
        ("bits per weight", format!("{bits:.2}")),
    ];
    if !report.ignored.is_empty() {
        facts.push(("left out", report.ignored.join(", ")));
    }
    output::facts(&facts)
}
