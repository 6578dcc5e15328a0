//! The library's options as flags: made from the options tables, read back into options.

use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use nestling::Result;
use nestling::format::Source;
use nestling::format::sealed::read_key;
use nestling::options::{Input, Kind, ModelOptions, Options, Spec};

/// `-m MODEL`, which most commands need.
pub fn model() -> Arg {
    Arg::new("model")
        .short('m')
        .long("model")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .value_hint(clap::ValueHint::FilePath)
        .required(true)
        .help("The model: a GGUF file, or the first part of a split one")
}

/// `-o FILE`.
pub fn output(name: &'static str, help: &'static str) -> Arg {
    Arg::new("output")
        .short('o')
        .long("output")
        .value_name(name)
        .value_parser(value_parser!(PathBuf))
        .value_hint(clap::ValueHint::FilePath)
        .required(true)
        .help(help)
}

/// The path that a required argument took.
pub fn path(matches: &ArgMatches, id: &str) -> PathBuf {
    // Clap has refused a command line without it.
    matches.get_one::<PathBuf>(id).cloned().unwrap_or_default()
}

/// `--json`.
pub fn json(help: &'static str) -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help(help)
}

/// The path that [`model`] took.
pub fn model_path(matches: &ArgMatches) -> PathBuf {
    path(matches, "model")
}

/// Adds one flag per option of the kind, under a heading of its own.
pub fn add<O: Options>(command: Command) -> Command {
    let mut heading = format!("{} options", O::NAME);
    if let Some(first) = heading.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let args = O::specs().into_iter().map(|spec| flag(&spec).help_heading(heading.clone()));
    command.args(args)
}

/// The options of the kind as the command line sets them.
pub fn read<O: Options>(matches: &ArgMatches) -> Result<O> {
    let mut options = O::default();
    apply(&mut options, matches)?;
    options.validate()?;
    Ok(options)
}

fn apply<O: Options>(options: &mut O, matches: &ArgMatches) -> Result<()> {
    for spec in O::specs() {
        // A command may have some of the flags only.
        let has = matches.try_contains_id(spec.key).is_ok();
        if !has || matches.value_source(spec.key) != Some(ValueSource::CommandLine) {
            continue;
        }
        let values = matches.get_many::<String>(spec.key).into_iter().flatten();
        for (i, value) in values.enumerate() {
            if spec.kind == Kind::Key {
                let key = read_key(Path::new(value))?;
                options.set(spec.key, Input::Bytes(key.bytes().map_or(&[], |key| key)))?;
                continue;
            }
            let more = i > 0 && matches!(spec.kind, Kind::List | Kind::IntList(_));
            // A list's first value replaces its default.
            options.set(spec.key, if more { Input::Add(value) } else { Input::Str(value) })?;
        }
    }
    Ok(())
}

/// The flag's name: the option's, with dashes. A key comes from a file: a command line can be seen by others.
pub fn name(spec: &Spec) -> String {
    let file = if spec.kind == Kind::Key { "-file" } else { "" };
    spec.key.replace('_', "-") + file
}

/// Adds only the flags of the keys that open a sealed file.
pub fn add_keys(command: Command) -> Command {
    let keys = ModelOptions::specs().into_iter().filter(|spec| spec.kind == Kind::Key);
    command.args(keys.map(|spec| flag(&spec).help_heading("Sealed files")))
}

/// The keys that [`add_keys`] took; all other options have their defaults.
pub fn keys(matches: &ArgMatches) -> Result<ModelOptions> {
    let mut options = ModelOptions::default();
    for (id, key) in [("key", &mut options.key), ("public_key", &mut options.public_key)] {
        if let Some(path) = matches.get_one::<String>(id) {
            *key = read_key(Path::new(path))?;
        }
    }
    Ok(options)
}

/// A file as a source that the keys open. They belong to sealed files: another one is opened without.
pub fn keyed(path: &Path, keys: &ModelOptions) -> Result<Source> {
    let source = Source::path(path);
    Ok(match source.is_sealed()? {
        true => source.with_keys(&keys.key, &keys.public_key),
        false => source,
    })
}

fn flag(spec: &Spec) -> Arg {
    let default = if spec.default.is_empty() { "none" } else { &spec.default };
    let arg = Arg::new(spec.key).long(name(spec)).help(format!("{} [{default}]", spec.doc));
    let arg = match &spec.kind {
        Kind::Bool => {
            return arg
                .num_args(0..=1)
                .require_equals(true)
                .value_parser(PossibleValuesParser::new(["true", "false"]))
                .hide_possible_values(true)
                .default_missing_value("true")
                .value_name("true|false");
        }
        Kind::Int(_) | Kind::AutoInt(_) => arg.value_name("N").allow_negative_numbers(true),
        Kind::Float(_) | Kind::AutoFloat(_) => arg.value_name("X").allow_negative_numbers(true),
        Kind::Key => arg.value_name("FILE").value_hint(clap::ValueHint::FilePath),
        Kind::Text => arg.value_name("TEXT"),
        Kind::Choice(words) => {
            arg.value_name("WORD").value_parser(PossibleValuesParser::new(words.iter().copied()))
        }
        Kind::List => arg.value_name("TEXT").action(ArgAction::Append),
        Kind::IntList(_) => {
            arg.value_name("N").action(ArgAction::Append).allow_negative_numbers(true)
        }
    };
    // The last of several wins, as in `alias n='nestling --seed 1'; n --seed 2`.
    if matches!(spec.kind, Kind::List | Kind::IntList(_)) {
        arg
    } else {
        arg.overrides_with(spec.key)
    }
}
