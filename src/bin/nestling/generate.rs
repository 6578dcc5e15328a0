//! `nestling generate`: one prompt, one answer.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use nestling::chat::{Message, Messages};
use nestling::generation::{EndReason, Piece};
use nestling::model::Model;
use nestling::options::{GenerationOptions, ModelOptions, SessionOptions};
use nestling::session::{Prompt, Session};
use nestling::tokenizer::Tokenizer;
use serde_json::{Value as Json, json};

use crate::failure::Outcome;
use crate::interrupt::{self, Idle, Work};
use crate::{adapters, flags, load, output, prompt, report};

pub fn command() -> Command {
    let path = |id: &'static str, help: &'static str| {
        Arg::new(id)
            .long(id)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .value_hint(ValueHint::FilePath)
            .help(help)
    };
    let command = Command::new("generate")
        .about("Continue a text, or answer a message with --chat")
        .after_help(
            "Examples:\n  \
             nestling generate -m MODEL.gguf -p \"Once upon a time\" --max-tokens 64\n  \
             nestling generate -m MODEL.gguf --chat \"What is a nestling?\" --temperature 0\n  \
             nestling generate -m MODEL.gguf --chat --json <question.txt\n  \
             nestling generate -m MODEL.gguf -p \"The sky is\" --stop . --top-logprobs 3 --json",
        )
        .arg(flags::model())
        .args(prompt::args("The text to continue; with --chat, the message to answer"))
        .arg(
            Arg::new("chat")
                .long("chat")
                .action(ArgAction::SetTrue)
                .help("Put the prompt into the model's chat format as a user's message"),
        )
        .arg(
            Arg::new("system")
                .long("system")
                .value_name("TEXT")
                .requires("chat")
                .help("With --chat: the system message"),
        )
        .arg(flags::json("Print one JSON object per line: each piece, then a summary"))
        .arg(
            Arg::new("stats")
                .long("stats")
                .action(ArgAction::SetTrue)
                .help("Say what is done, and print the numbers (on standard error)"),
        )
        .arg(adapters::arg())
        .arg(path("load-state", "Continue from a state that --save-state wrote"))
        .arg(path("save-state", "Write the session's state when the answer has ended"));
    let command = flags::add::<ModelOptions>(command);
    flags::add::<GenerationOptions>(flags::add::<SessionOptions>(command))
}

pub fn run(matches: &ArgMatches) -> Outcome {
    // All of the command line is checked before the model is loaded.
    let model_options: ModelOptions = flags::read(matches)?;
    let session_options: SessionOptions = flags::read(matches)?;
    let options: GenerationOptions = flags::read(matches)?;
    let prompt = read_prompt(matches)?;
    let talkative = matches.get_flag("stats");
    let path = flags::model_path(matches);

    interrupt::install(Idle::End)?;
    let work = Work::begin();
    if talkative {
        report::remark(&format!("loading {}", path.display()));
    }
    let loaded = load::model(&path, &model_options, work.token())?;
    if talkative {
        report::remark(&describe(&loaded.model));
    }
    let mut session = Session::new(&loaded.model, &session_options)?;
    // Before the state, which belongs to the adapters that it was made with.
    adapters::attach(&mut session, matches)?;
    if let Some(state) = matches.get_one::<PathBuf>("load-state") {
        session.restore(state)?;
    }

    let as_json = matches.get_flag("json");
    let mut text = String::new();
    let ended = stream(&mut session, prompt, &options, &work, as_json, &mut text);
    if !as_json && !text.is_empty() && !text.ends_with('\n') {
        // Also before an error, which must not stand in the answer's last line.
        output::stream("\n")?;
    }
    let reason = ended?;
    if let Some(state) = matches.get_one::<PathBuf>("save-state") {
        session.save(state)?;
    }
    let stats = session.stats();
    if as_json {
        output::json_line(&done_json(&text, reason, report::to_json(stats, loaded.seconds)))?;
    }
    if talkative || (!as_json && io::stderr().is_terminal()) {
        report::remark(&report::line(stats, loaded.seconds));
    }
    Ok(())
}

/// Prints the answer piece by piece, and collects it in `text`.
fn stream(
    session: &mut Session,
    prompt: Prompt,
    options: &GenerationOptions,
    work: &Work,
    as_json: bool,
    text: &mut String,
) -> Outcome<Option<EndReason>> {
    let tokenizer = session.tokenizer().clone();
    let mut stream = session.generate_with(prompt, options, work.token())?;
    for piece in &mut stream {
        let piece = piece?;
        text.push_str(&piece.text);
        if as_json {
            output::json_line(&piece_json(&piece, &tokenizer))?;
        } else {
            output::stream(&piece.text)?;
        }
    }
    Ok(stream.end_reason())
}

fn read_prompt(matches: &ArgMatches) -> Outcome<Prompt> {
    let text = prompt::read(matches)?;
    if !matches.get_flag("chat") {
        return Ok(text.into());
    }
    let system = matches.get_one::<String>("system").map(|text| Message::new("system", text));
    Ok(system.into_iter().chain([Message::new("user", text)]).collect::<Messages>().into())
}

/// The model in one line.
fn describe(model: &Model) -> String {
    let info = model.info();
    let types: Vec<_> = info.quantization.iter().map(|q| q.r#type.as_str()).collect();
    format!(
        "{}: {}, {} parameters, {}, {}",
        output::printable(info.name.as_deref().unwrap_or("model")),
        info.architecture,
        output::count(info.n_params),
        types.join(" + "),
        output::bytes(info.file_bytes),
    )
}

fn piece_json(piece: &Piece, tokenizer: &Tokenizer) -> Json {
    let mut object = json!({"event": "piece", "token": piece.token, "text": piece.text});
    if let Some(logprob) = piece.logprob {
        object["logprob"] = json!(logprob);
    }
    if !piece.top.is_empty() {
        let entry = |token: i32, logprob: f32| {
            // An id without text has an empty one.
            let text = tokenizer.decode(&[token], true).unwrap_or_default();
            json!({"token": token, "logprob": logprob, "text": text})
        };
        object["top"] = piece.top.iter().map(|t| entry(t.token, t.logprob)).collect();
    }
    object
}

fn done_json(text: &str, reason: Option<EndReason>, stats: Json) -> Json {
    json!({"event": "done", "text": text, "end_reason": reason, "stats": stats})
}
