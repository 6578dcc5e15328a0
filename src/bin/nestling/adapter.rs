//! `nestling adapter`: files of adapters: from PEFT and to it, several into one, and what they are.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use nestling::Result;
use nestling::adapter::{self, Converted, Summary};
use nestling::job::{Job, Monitor};
use nestling::options::{AdapterFormat, AdapterOptions};

use crate::adapters::split;
use crate::failure::Outcome;
use crate::interrupt::{self, Idle, Work};
use crate::output::{self, bytes, count};
use crate::{flags, progress};

/// Options that say what is written where: each subcommand has those that it needs.
const OF_ALL: &[&str] = &["base", "base_model_name", "force"];
const OF_AVERAGE: &[&str] = &["format", "method", "normalize", "rank"];

pub fn command() -> Command {
    Command::new("adapter")
        .about("Convert adapters from and to PEFT, average several, and say what they are")
        .after_help(
            "Examples:\n  \
             nestling adapter to-gguf peft-folder -o adapter.gguf --base MODEL.gguf\n  \
             nestling adapter to-peft adapter.gguf -o peft-folder --base MODEL.gguf\n  \
             nestling adapter average a.gguf=120 b.gguf=80 -o both.gguf\n  \
             nestling adapter inspect adapter.gguf",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(written(
            Command::new("to-gguf")
                .about("Convert a directory that PEFT saved to a GGUF adapter")
                .arg(one("input", "DIR", "The directory with adapter_config.json")),
            OF_ALL,
        ))
        .subcommand(written(
            Command::new("to-peft")
                .about("Convert a GGUF adapter to a directory that PEFT loads")
                .arg(one("input", "FILE", "The adapter")),
            OF_ALL,
        ))
        .subcommand(written(
            Command::new("average").about("Make one adapter of several, each with its weight").arg(
                one(
                    "input",
                    "FILE[=WEIGHT]",
                    "GGUF adapters or PEFT directories with their weights [1]",
                )
                .value_parser(value_parser!(String))
                .action(ArgAction::Append)
                .num_args(1..),
            ),
            &[OF_ALL, OF_AVERAGE].concat(),
        ))
        .subcommand(
            Command::new("inspect")
                .about("Say what adapters are: rank, scale, targets, and how much they change")
                .arg(
                    one("input", "FILE|DIR", "GGUF adapters or PEFT directories")
                        .action(ArgAction::Append)
                        .num_args(1..),
                )
                .arg(flags::json("Print one JSON list")),
        )
}

fn one(id: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(id)
        .value_name(value)
        .value_parser(value_parser!(PathBuf))
        .value_hint(ValueHint::AnyPath)
        .required(true)
        .help(help)
}

/// A subcommand that writes, with the flags of these options.
fn written(command: Command, keys: &[&str]) -> Command {
    let all = flags::add::<AdapterOptions>(Command::new(""));
    let wanted = all.get_arguments().filter(|arg| keys.contains(&arg.get_id().as_str())).cloned();
    command
        .arg(flags::output("OUT", "What to write"))
        .arg(flags::json("Print one JSON object"))
        .args(wanted.collect::<Vec<_>>())
}

pub fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("to-gguf", of_it)) => convert(of_it, AdapterFormat::Gguf),
        Some(("to-peft", of_it)) => convert(of_it, AdapterFormat::Peft),
        Some(("average", of_it)) => average(of_it),
        Some((_, of_it)) => inspect(of_it),
        None => Ok(()),
    }
}

fn convert(matches: &ArgMatches, format: AdapterFormat) -> Outcome {
    let options = AdapterOptions { format, ..flags::read(matches)? };
    let (input, output) = (flags::path(matches, "input"), flags::path(matches, "output"));
    let work = move |monitor: &Monitor| adapter::convert(input, output, &options, monitor);
    show(matches, "converting the adapter", work)
}

fn average(matches: &ArgMatches) -> Outcome {
    let options: AdapterOptions = flags::read(matches)?;
    let output = flags::path(matches, "output");
    let inputs = matches.get_many::<String>("input").into_iter().flatten();
    let inputs: Vec<(PathBuf, f32)> =
        inputs.map(|value| split(value)).map(|(path, weight)| (path.into(), weight)).collect();
    let work = move |monitor: &Monitor| adapter::average(&inputs, output, &options, monitor);
    show(matches, "averaging the adapters", work)
}

fn show(
    matches: &ArgMatches,
    doing: &'static str,
    work: impl FnOnce(&Monitor) -> Result<Converted> + Send + 'static,
) -> Outcome {
    let begun = Work::begin();
    interrupt::install(Idle::End)?;
    let made = progress::wait(Job::spawn(doing, begun.token(), work)?, doing)?;
    if matches.get_flag("json") {
        return output::json(&output::value(&made)?);
    }
    let mut rows = vec![
        ("written", flags::path(matches, "output").display().to_string()),
        ("format", made.format.to_owned()),
        ("architecture", made.architecture),
        ("weights changed", made.n_pairs.to_string()),
        ("rank", made.rank.to_string()),
        ("parameters", count(made.n_parameters)),
    ];
    if made.n_folded > 0 {
        rows.push((
            "scales folded",
            format!("{} pairs have a scale of their own, now in B", made.n_folded),
        ));
    }
    output::facts(&rows)
}

fn inspect(matches: &ArgMatches) -> Outcome {
    let paths = matches.get_many::<PathBuf>("input").into_iter().flatten();
    let found = paths.map(|path| Ok((path, adapter::inspect(path)?)));
    let found = found.collect::<Result<Vec<(&PathBuf, Summary)>>>()?;
    if matches.get_flag("json") {
        let list = found.iter().map(|(path, summary)| {
            let mut value = output::value(summary)?;
            value["path"] = path.display().to_string().into();
            Ok(value)
        });
        return output::json(&list.collect::<Outcome<Vec<_>>>()?.into());
    }
    for (i, (path, summary)) in found.iter().enumerate() {
        if i > 0 {
            output::stream("\n")?;
        }
        describe(&path.display().to_string(), summary)?;
    }
    Ok(())
}

fn describe(path: &str, a: &Summary) -> Outcome {
    let or = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let types: Vec<_> = a.types.iter().map(|(name, n)| format!("{n} in {name}")).collect();
    let layers = match (a.layers.first(), a.layers.last()) {
        (Some(first), Some(last)) => format!("{} ({first} to {last})", a.layers.len()),
        _ => "none".to_owned(),
    };
    let rs = if a.rs_lora { ", rsLoRA" } else { "" };
    output::facts(&[
        ("adapter", format!("{path} ({})", a.format)),
        ("name", or(&a.name)),
        ("architecture", or(a.architecture.as_deref().unwrap_or_default())),
        ("base model", or(&a.base_model)),
        ("rank", a.rank.to_string()),
        ("scale", format!("{:.4} (alpha {}{rs})", a.scale, a.alpha)),
        ("pairs", format!("{}: {}", a.n_pairs, types.join(", "))),
        ("parameters", format!("{}, {}", count(a.n_parameters), bytes(a.bytes))),
        ("layers", layers),
        ("norm of all changes", format!("{:.4}", a.norm)),
    ])?;
    output::stream("\n")?;
    let rows: Vec<_> = a
        .targets
        .iter()
        .map(|t| {
            let shape = format!("{} x {}", t.n_in, t.n_out);
            [
                t.target.clone(),
                t.n_layers.to_string(),
                shape,
                t.rank.to_string(),
                format!("{:.4}", t.norm),
            ]
        })
        .collect();
    output::table(["target", "layers", "in x out", "rank", "norm"], &rows)
}
