//! Arguments that are files to read.

use std::path::PathBuf;

use clap::{Arg, ValueHint, value_parser};

fn path(id: &'static str) -> Arg {
    Arg::new(id).value_parser(value_parser!(PathBuf)).value_hint(ValueHint::FilePath)
}

/// A file that is read, as the flag `--id`.
pub fn input(id: &'static str, help: &'static str) -> Arg {
    path(id).long(id).value_name("FILE").required(true).help(help)
}

/// A model, given without a flag.
pub fn model(id: &'static str, help: &'static str) -> Arg {
    path(id).value_name("MODEL.gguf").required(true).help(help)
}
