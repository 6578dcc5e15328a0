//! The prompt: a flag, an argument or standard input.

use std::io::{IsTerminal, Read as _};

use clap::{Arg, ArgMatches};
use nestling::Code;

use crate::failure::{Failure, Outcome};

/// `-p TEXT`, or the same text as an argument.
pub fn args(what: &'static str) -> [Arg; 2] {
    [
        Arg::new("prompt")
            .short('p')
            .long("prompt")
            .value_name("TEXT")
            .allow_hyphen_values(true)
            .help(what),
        Arg::new("text")
            .value_name("TEXT")
            .conflicts_with("prompt")
            .help("The same, without a flag; with neither, standard input is read"),
    ]
}

/// The text that [`args`] took, or standard input without its last line end.
pub fn read(matches: &ArgMatches) -> Outcome<String> {
    let given = ["prompt", "text"].iter().find_map(|id| matches.get_one::<String>(id));
    match given {
        Some(text) => Ok(text.clone()),
        None => standard_input(),
    }
}

fn standard_input() -> Outcome<String> {
    let mut input = std::io::stdin().lock();
    if input.is_terminal() {
        return Err(Failure::new(
            Code::EmptyPrompt,
            "there is no text; give it with -p TEXT, as an argument, or on standard input",
        ));
    }
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Failure::new(
            Code::InvalidUtf8,
            format!(
                "standard input is not UTF-8 at byte {at}; convert it first, with iconv for example"
            ),
        )
    })?;
    // Shells and editors add it; it is hardly ever meant.
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
