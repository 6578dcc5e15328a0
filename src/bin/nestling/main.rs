//! `nestling`, the command-line program: one file per subcommand, over the public Rust API.

mod adapter;
mod adapters;
mod bench;
mod chat;
mod chat_command;
mod chat_input;
mod compare;
mod completions;
mod convert;
mod devices;
mod embed;
mod eval;
mod failure;
mod file;
mod finetune;
mod finetune_plan;
mod flags;
mod generate;
mod imatrix;
mod inspect;
mod interrupt;
mod keygen;
mod load;
mod loss_curve;
mod merge;
mod metadata;
mod options;
mod output;
mod paths;
mod plan;
mod progress;
mod prompt;
mod prune;
mod quantize;
mod report;
mod seal;
mod size_chart;
mod tokenize;
mod unseal;
mod version;

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};

use failure::{Failure, Outcome};

/// A subcommand: its description for the command line, and what it does.
type Entry = (fn() -> Command, fn(&ArgMatches) -> Outcome);

const SUBCOMMANDS: &[Entry] = &[
    (chat::command, chat::run),
    (generate::command, generate::run),
    (finetune::command, finetune::run),
    (eval::command, eval::run),
    (adapter::command, adapter::run),
    (merge::command, merge::run),
    (embed::command, embed::run),
    (convert::command, convert::run),
    (imatrix::command, imatrix::run),
    (compare::command, compare::run),
    (quantize::command, quantize::run),
    (prune::command, prune::run),
    (inspect::command, inspect::run),
    (tokenize::command, tokenize::run),
    (seal::command, seal::run),
    (unseal::command, unseal::run),
    (keygen::command, keygen::run),
    (plan::command, plan::run),
    (devices::command, devices::run),
    (options::command, options::run),
    (bench::command, bench::run),
    (completions::command, completions::run),
];

/// The whole command line, also for the shell completions.
fn program() -> Command {
    Command::new("nestling")
        .about("Run a language model from a GGUF file")
        .after_help(
            "Examples:\n  nestling chat -m MODEL.gguf\n  \
             nestling generate -m MODEL.gguf -p \"Once upon a time\" --max-tokens 32 --temperature 0\n  \
             nestling inspect MODEL.gguf\n\nExit status: 0 if all went well, 1 on any error.",
        )
        .disable_version_flag(true)
        .arg(
            Arg::new("version")
                .short('V')
                .long("version")
                .action(ArgAction::SetTrue)
                .help("Print the versions of this program and its engine, and how it was built"),
        )
        .subcommands(SUBCOMMANDS.iter().map(|(command, _)| command()))
}

fn main() -> ExitCode {
    match program().try_get_matches().map_err(Failure::from).and_then(|matches| run(&matches)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(matches: &ArgMatches) -> Outcome {
    if matches.get_flag("version") {
        return version::print();
    }
    let Some((name, of_it)) = matches.subcommand() else {
        let error = program().error(
            ErrorKind::MissingSubcommand,
            "no subcommand was given; `nestling --help` lists them",
        );
        return Err(error.into());
    };
    let found = SUBCOMMANDS.iter().find(|(command, _)| command().get_name() == name);
    match found {
        Some((_, run)) => {
            run(of_it)?;
            // What is buffered can still meet a closed pipe.
            Ok(std::io::stdout().flush()?)
        }
        None => Ok(()),
    }
}
