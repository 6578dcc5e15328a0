//! `nestling options`: the printed reference of all options.

use std::io::Write as _;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use nestling::options::{Spec, reference};
use serde_json::json;

use crate::failure::Outcome;
use crate::flags;
use crate::output::{self, BOLD, DIM};

pub fn command() -> Command {
    Command::new("options")
        .about("Print the reference of all options, as flags and as names in code")
        .after_help(
            "Examples:\n  nestling options\n  nestling options session\n  nestling options --json",
        )
        .arg(
            Arg::new("kind")
                .value_name("KIND")
                .value_parser(PossibleValuesParser::new(
                    reference().into_iter().map(|(kind, _)| kind),
                ))
                .help("Only the options of this kind"),
        )
        .arg(flags::json("Print one JSON object"))
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let wanted = matches.get_one::<String>("kind");
    let kinds = reference().into_iter().filter(|(kind, _)| wanted.is_none_or(|w| w == kind));
    if matches.get_flag("json") {
        let all = kinds.map(|(kind, specs)| (kind.to_owned(), specs.iter().map(row).collect()));
        return output::json(&serde_json::Value::Object(all.collect()));
    }
    let mut out = anstream::stdout().lock();
    for (kind, specs) in kinds {
        writeln!(out, "{BOLD}{kind} options{BOLD:#}")?;
        for spec in specs {
            let default = if spec.default.is_empty() { "none" } else { &spec.default };
            writeln!(out, "  --{}  {DIM}{}{DIM:#}", flags::name(&spec), spec.key)?;
            writeln!(out, "      {}", spec.doc)?;
            writeln!(out, "      {}; default {default}", spec.kind)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn row(spec: &Spec) -> serde_json::Value {
    json!({
        "key": spec.key, "flag": format!("--{}", flags::name(spec)), "accepts": spec.kind.to_string(),
        "default": spec.default, "doc": spec.doc,
    })
}
