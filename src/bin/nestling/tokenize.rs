//! `nestling tokenize`: text to tokens, and back.

use clap::{Arg, ArgAction, ArgMatches, Command};
use nestling::Code;
use nestling::tokenizer::{EncodeOptions, Tokenizer};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::{flags, load, output, prompt};

pub fn command() -> Command {
    let flag = |id: &'static str, help: &'static str| {
        Arg::new(id).long(id).action(ArgAction::SetTrue).help(help)
    };
    let command = Command::new("tokenize")
        .about("Turn text into tokens, or tokens into text")
        .after_help(
            "Examples:\n  nestling tokenize -m MODEL.gguf \"Hello, world\"\n  \
             nestling tokenize -m MODEL.gguf --count <book.txt\n  \
             nestling tokenize -m MODEL.gguf --decode 19556,28,905",
        )
        .arg(flags::model())
        .args(prompt::args("The text"))
        .arg(flags::json("Print one JSON object"))
        .arg(flag("count", "Only the number of tokens"))
        .arg(flag("no-special", "Without the tokens that the model wants around a text"))
        .arg(flag("parse-special", "Read the texts of special tokens as these tokens"))
        .arg(
            Arg::new("decode")
                .long("decode")
                .value_name("IDS")
                .allow_hyphen_values(true)
                .conflicts_with_all(["prompt", "text", "count", "no-special", "parse-special"])
                .help("The text of these tokens: numbers with commas or spaces between them"),
        );
    flags::add_keys(command)
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let ids = matches.get_one::<String>("decode").map(|text| parse_ids(text)).transpose()?;
    let text = if ids.is_none() { prompt::read(matches)? } else { String::new() };
    let model = load::tokenizer(matches)?;
    let tokenizer = Tokenizer::new(&model);
    let as_json = matches.get_flag("json");
    if let Some(ids) = ids {
        let text = tokenizer.decode(&ids, true)?;
        return if as_json {
            output::json_line(&json!({"tokens": ids, "text": text}))
        } else {
            output::stream(&format!("{text}\n"))
        };
    }
    let options = EncodeOptions {
        add_special: !matches.get_flag("no-special"),
        parse_special: matches.get_flag("parse-special"),
    };
    let ids = tokenizer.encode(&text, options)?;
    match (matches.get_flag("count"), as_json) {
        (true, true) => output::json_line(&json!({"count": ids.len()})),
        (true, false) => output::stream(&format!("{}\n", ids.len())),
        (false, true) => {
            let pieces: Vec<_> =
                ids.iter().map(|&id| piece(&tokenizer, id)).collect::<Outcome<_>>()?;
            output::json_line(&json!({"count": ids.len(), "tokens": ids, "pieces": pieces}))
        }
        (false, false) => {
            let row = |&id: &i32| Ok([id.to_string(), shown(&tokenizer, id)?]);
            let rows: Vec<_> = ids.iter().map(row).collect::<Outcome<_>>()?;
            output::table(["id", "piece"], &rows)
        }
    }
}

/// A token's own text; bytes that are part of a character become U+FFFD.
fn piece(tokenizer: &Tokenizer, id: i32) -> Outcome<String> {
    let bytes = tokenizer.decode_bytes(&[id], true)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The same for people: quoted, with the bytes of unfinished characters as `\xE4`.
fn shown(tokenizer: &Tokenizer, id: i32) -> Outcome<String> {
    let bytes = tokenizer.decode_bytes(&[id], true)?;
    Ok(match std::str::from_utf8(&bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("\"{}\"", bytes.escape_ascii()),
    })
}

fn parse_ids(text: &str) -> Outcome<Vec<i32>> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    words
        .map(|word| {
            word.parse().map_err(|_| {
                Failure::new(
                    Code::InvalidArgument,
                    format!("--decode: {word:?} is no token id; give numbers such as 1,15,3"),
                )
            })
        })
        .collect()
}
