//! `nestling embed`: texts as vectors, or how alike they are.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use nestling::embedding::Embeddings;
use nestling::job::{Job, Monitor};
use nestling::options::{EmbeddingOptions, ModelOptions};
use nestling::{Code, Error};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::interrupt::{self, Idle, Work};
use crate::{flags, load, output, progress};

pub fn command() -> Command {
    let command = Command::new("embed")
        .about("Turn texts into vectors, or say how alike they are")
        .after_help(
            "Examples:\n  \
             nestling embed -m MiniLM.gguf -p \"a cat\" -p \"a kitten\" --similarity\n  \
             nestling embed -m MiniLM.gguf --file lines.txt --json\n\n\
             One line for each text: its numbers, with a space between. With --pooling none a text has a line for each \
             of its tokens.",
        )
        .arg(flags::model())
        .arg(
            Arg::new("text")
                .short('p')
                .long("prompt")
                .value_name("TEXT")
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
                .help("A text; may be given several times"),
        )
        .arg(
            Arg::new("file")
                .long("file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .help("Texts, one on each line; empty lines are left out"),
        )
        .arg(
            Arg::new("similarity")
                .long("similarity")
                .action(ArgAction::SetTrue)
                .help("Print the cosine of every two texts instead: 1 alike, 0 without relation"),
        )
        .arg(flags::json("Print one JSON object"));
    flags::add::<EmbeddingOptions>(flags::add::<ModelOptions>(command))
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let model_options: ModelOptions = flags::read(matches)?;
    let options: EmbeddingOptions = flags::read(matches)?;
    let work = Work::begin();
    interrupt::install(Idle::End)?;
    let texts = texts(matches)?;
    let model = load::model(&flags::model_path(matches), &model_options, work.token())?.model;
    let given = texts.clone();
    let job = Job::spawn("embedding texts", work.token(), move |monitor: &Monitor| {
        model.embed_with(&given, &options, monitor)
    })?;
    let found = progress::wait(job, "embedding")?;
    let similarity = matches.get_flag("similarity");
    if matches.get_flag("json") {
        return output::json(&as_json(&texts, &found, similarity));
    }
    output::stream(&as_text(&found, similarity))
}

fn texts(matches: &ArgMatches) -> Outcome<Vec<String>> {
    let mut texts: Vec<String> = matches.get_many("text").into_iter().flatten().cloned().collect();
    if let Some(path) = matches.get_one::<PathBuf>("file") {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|e| Error::io(&e, "reading the texts").with_path(path))?;
        texts.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
    }
    if texts.is_empty() {
        return Err(Failure::new(
            Code::EmptyPrompt,
            "there is no text; give it with -p TEXT, or lines of a file with --file FILE",
        ));
    }
    Ok(texts)
}

/// Every text beside every other.
fn matrix(found: &Embeddings) -> Vec<Vec<f32>> {
    let row = |a| (0..found.len()).map(|b| found.similarity(a, b)).collect();
    (0..found.len()).map(row).collect()
}

fn as_json(texts: &[String], found: &Embeddings, similarity: bool) -> serde_json::Value {
    let width = found.dimensions().max(1);
    if similarity {
        return json!({"texts": texts, "similarity": matrix(found)});
    }
    let rows = texts.iter().enumerate().map(|(i, text)| {
        json!({"text": text, "vectors": found.get(i).chunks(width).collect::<Vec<_>>()})
    });
    json!({"dimensions": found.dimensions(), "embeddings": rows.collect::<Vec<_>>()})
}

fn as_text(found: &Embeddings, similarity: bool) -> String {
    let mut out = String::new();
    let mut line = |numbers: &mut dyn Iterator<Item = String>| {
        let numbers: Vec<_> = numbers.collect();
        // Writing to a string cannot fail.
        writeln!(out, "{}", numbers.join(" ")).ok();
    };
    if similarity {
        for row in matrix(found) {
            line(&mut row.iter().map(|x| format!("{x:7.4}")));
        }
    } else {
        for vector in found.iter().flat_map(|v| v.chunks(found.dimensions().max(1))) {
            line(&mut vector.iter().map(f32::to_string));
        }
    }
    out
}
