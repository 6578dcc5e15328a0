//! `nestling keygen`: keys to encrypt and to sign models with.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use nestling::format::sealed;

use crate::failure::Outcome;
use crate::{file, flags, output};

pub fn command() -> Command {
    Command::new("keygen")
        .about("Make a random key to encrypt models with, or one to sign them with")
        .after_help(
            "Examples:\n  nestling keygen model.key\n  nestling keygen --sign publisher.key\n\n\
             Key files hold hexadecimal digits. With --sign, FILE.pub becomes the public key, which apps check \
             signatures with; FILE itself stays with the publisher. Key files are never replaced.",
        )
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .required(true)
                .help("The key file to write; only you can read it"),
        )
        .arg(
            Arg::new("sign")
                .long("sign")
                .action(ArgAction::SetTrue)
                .help("A key to sign with, and its public key in FILE.pub"),
        )
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let path = flags::path(matches, "file");
    let key = sealed::random_key()?;
    if !matches.get_flag("sign") {
        sealed::write_key(&path, &key)?;
        return output::facts(&[("key", path.display().to_string())]);
    }
    let public = sealed::public_key(&key)?;
    let text: String = public.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut beside = path.clone().into_os_string();
    beside.push(".pub");
    // The secret one first: a public key without it would be of no use.
    sealed::write_key(&path, &key)?;
    file::replace(beside.as_ref(), "writing the public key", |out| writeln!(out, "{text}"))?;
    output::facts(&[
        ("key to sign with", path.display().to_string()),
        ("public key", PathBuf::from(beside).display().to_string()),
    ])
}
