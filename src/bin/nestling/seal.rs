//! `nestling seal`: a model that is encrypted, signed, or both.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, ValueHint, value_parser};
use nestling::format::sealed;
use nestling::job::Job;
use nestling::options::SealOptions;

use crate::failure::Outcome;
use crate::interrupt::{self, Idle, Work};
use crate::output::{self, bytes};
use crate::{flags, progress};

pub fn command() -> Command {
    let command = Command::new("seal")
        .about("Encrypt a model, sign it, or both")
        .after_help(
            "Examples:\n  \
             nestling keygen model.key && nestling keygen --sign publisher.key\n  \
             nestling seal MODEL.gguf -o MODEL.nest --key-file model.key --sign-key-file publisher.key\n  \
             nestling generate -m MODEL.nest --key-file model.key --public-key-file publisher.key.pub -p \"Hello\"\n\n\
             Also for adapters. A key file holds 32 bytes or 64 hexadecimal digits.",
        )
        .arg(input("The model or adapter: a GGUF file"))
        .arg(flags::output("FILE", "The sealed file to write"))
        .arg(flags::json("Print one JSON object"));
    flags::add::<SealOptions>(command)
}

/// The file that is read, as an argument without a flag.
pub fn input(help: &'static str) -> Arg {
    Arg::new("input")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .value_hint(ValueHint::FilePath)
        .required(true)
        .help(help)
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let options: SealOptions = flags::read(matches)?;
    let [from, to] = ["input", "output"].map(|id| flags::path(matches, id));
    interrupt::install(Idle::End)?;
    let work = Work::begin();
    let job = Job::spawn("sealing the model", work.token(), move |monitor| {
        sealed::seal(&from, &to, &options, monitor)
    })?;
    let report = progress::wait(job, "sealing")?;
    if matches.get_flag("json") {
        return output::json(&output::value(&report)?);
    }
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    output::facts(&[
        ("model", bytes(report.model_bytes)),
        ("sealed", format!("{} in {} chunk(s)", bytes(report.bytes), report.n_chunks)),
        ("encrypted", yes(report.encrypted)),
        ("signed", report.public_key.map_or_else(|| yes(false), |key| format!("yes, by {key}"))),
        ("tensors", report.n_tensors.to_string()),
        ("SHA-256", report.sha256),
    ])
}
