//! `--adapter FILE[=SCALE]`: LoRA adapters for the session.

use clap::{Arg, ArgAction, ArgMatches};
use nestling::adapter::Adapter;
use nestling::model::Model;
use nestling::session::Session;

use crate::failure::Outcome;
use crate::flags;

/// The flag, which may be given several times.
pub fn arg() -> Arg {
    Arg::new("adapter")
        .long("adapter")
        .value_name("FILE[=SCALE]")
        .value_hint(clap::ValueHint::FilePath)
        .action(ArgAction::Append)
        .help("A LoRA adapter (GGUF) to attach, with its scale [1]; may be given several times")
}

/// Loads what [`arg`] names, for a model.
pub fn open(model: &Model, matches: &ArgMatches) -> Outcome<Vec<(Adapter, f32)>> {
    let mut adapters = Vec::new();
    let keys = flags::keys(matches)?;
    for value in matches.get_many::<String>("adapter").into_iter().flatten() {
        let (path, scale) = split(value);
        adapters.push((Adapter::open(model, flags::keyed(path.as_ref(), &keys)?)?, scale));
    }
    Ok(adapters)
}

/// Loads what [`arg`] names and attaches it.
pub fn attach(session: &mut Session, matches: &ArgMatches) -> Outcome {
    let adapters = open(session.model(), matches)?;
    Ok(session.set_adapters(&adapters)?)
}

/// A file and its scale. A file's name may hold `=`: only a number after the last one is a scale.
pub fn split(value: &str) -> (&str, f32) {
    let scaled = value.rsplit_once('=').and_then(|(path, n)| Some((path, n.parse().ok()?)));
    scaled.unwrap_or((value, 1.0))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_scale_is_a_number_after_the_last_sign() {
        assert_eq!(split("a.gguf"), ("a.gguf", 1.0));
        assert_eq!(split("a.gguf=0.5"), ("a.gguf", 0.5));
        assert_eq!(split("x=1/a.gguf"), ("x=1/a.gguf", 1.0));
        assert_eq!(split("x=1/a.gguf=-2"), ("x=1/a.gguf", -2.0));
    }
}
