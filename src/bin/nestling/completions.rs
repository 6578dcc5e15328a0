//! `nestling completions`: a script that lets a shell complete this program's arguments.

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use crate::failure::Outcome;
use crate::output;

pub fn command() -> Command {
    Command::new("completions")
        .about("Print a completion script for a shell")
        .after_help(
            "Examples:\n  nestling completions bash >~/.local/share/bash-completion/completions/nestling\n  \
             nestling completions fish >~/.config/fish/completions/nestling.fish",
        )
        .arg(
            Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(Shell)),
        )
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let Some(&shell) = matches.get_one::<Shell>("shell") else { return Ok(()) };
    // Into memory first: the generator panics when writing fails, on a closed pipe for example.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::program(), "nestling", &mut script);
    output::stream(&String::from_utf8_lossy(&script))
}
