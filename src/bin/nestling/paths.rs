//! Arguments that are paths.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, ValueHint, value_parser};

fn path(id: &'static str) -> Arg {
    Arg::new(id).value_parser(value_parser!(PathBuf)).value_hint(ValueHint::FilePath)
}

/// A file that is read, as the flag `--id`.
pub fn input(id: &'static str, help: &'static str) -> Arg {
    path(id).long(id).value_name("FILE").required(true).help(help)
}

/// `-o FILE`, the file that is written.
pub fn output(help: &'static str) -> Arg {
    path("output").short('o').long("output").value_name("FILE").required(true).help(help)
}

/// A model, given without a flag.
pub fn model(id: &'static str, help: &'static str) -> Arg {
    path(id).value_name("MODEL.gguf").required(true).help(help)
}

/// The path that an argument took; clap has refused a command line without it.
pub fn get(matches: &ArgMatches, id: &str) -> PathBuf {
    matches.get_one::<PathBuf>(id).cloned().unwrap_or_default()
}
