//! The commands of a chat: lines that begin with a slash.

use std::io::Write as _;
use std::path::Path;

use nestling::chat::{Message, Messages};
use nestling::{Code, Error};
use serde_json::{Value as Json, json};

use crate::chat::Chat;
use crate::failure::{Failure, Outcome};
use crate::output::{self, bytes};
use crate::{file, report};

const HELP: &str = "\
/help          this list
/reset         begin a new conversation; the system message stays
/save FILE     write the conversation to a file, as JSON messages
/load FILE     go on with a conversation that was saved
/system TEXT   change the system message; without TEXT, show it; with -, remove it
/stats         numbers of the last answer and of the session
/quit          end (so does Ctrl-D)

A line that ends in \\ goes on in the next one. A text between two lines of \"\"\" may have many lines.
Ctrl-C stops an answer; what was said so far stays in the conversation.
";

/// What happens after a command.
pub enum Next {
    GoOn,
    Quit,
}

/// Runs the command in `line`, which comes without its slash.
pub fn run(chat: &mut Chat, line: &str) -> Outcome<Next> {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match (name, rest.trim()) {
        ("help", _) => output::stream(HELP)?,
        ("quit" | "exit", _) => return Ok(Next::Quit),
        ("reset", _) => {
            chat.turns.clear();
            chat.session.reset();
            report::remark("(a new conversation)");
        }
        ("stats", _) => stats(chat)?,
        ("system", "") => {
            output::stream(&format!("{}\n", chat.system.as_deref().unwrap_or("(none)")))?;
        }
        ("system", "-") => chat.system = None,
        ("system", text) => chat.system = Some(text.to_owned()),
        ("save" | "load", "") => {
            let message = format!("/{name} needs a file; write /{name} FILE");
            return Err(Failure::new(Code::InvalidArgument, message));
        }
        ("save", file) => save(chat, Path::new(file))?,
        ("load", file) => load(chat, Path::new(file))?,
        _ => {
            let message = format!("there is no command /{name}; /help lists the commands");
            return Err(Failure::new(Code::InvalidArgument, message));
        }
    }
    Ok(Next::GoOn)
}

fn stats(chat: &Chat) -> Outcome {
    let stats = chat.session.stats();
    output::stream(&format!("{}\n", report::line(stats, chat.load_seconds)))?;
    output::stream(&format!(
        "context {} of {} tokens | KV cache {} | compute {} | {} thread(s)\n",
        chat.session.position(),
        chat.session.n_ctx(),
        bytes(stats.kv_cache_bytes),
        bytes(stats.compute_bytes),
        stats.n_threads,
    ))
}

/// Writes the conversation by a temporary file that is renamed; only its owner can read it.
fn save(chat: &Chat, path: &Path) -> Outcome {
    let system = chat.system.iter().map(|text| json!({"role": "system", "content": text}));
    let turns = chat.turns.iter().map(|m| json!({"role": m.role(), "content": m.text()}));
    let messages: Json = system.chain(turns).collect();
    file::replace(path, "writing the conversation", |out| writeln!(out, "{messages:#}"))?;
    report::remark(&format!("(saved {} message(s))", chat.turns.len()));
    Ok(())
}

/// Replaces the conversation by a saved one. The next answer evaluates it.
fn load(chat: &mut Chat, path: &Path) -> Outcome {
    let io = |e: std::io::Error| Error::io(&e, "reading the conversation").with_path(path);
    let text = std::fs::read_to_string(path).map_err(io)?;
    let messages = Messages::from_json(&text).map_err(|e| e.with_path(path))?;
    let (system, turns): (Vec<Message>, Vec<Message>) =
        messages.as_slice().iter().cloned().partition(|m| m.role() == "system");
    chat.system = system.first().map(Message::text);
    chat.turns = turns;
    report::remark(&format!("(loaded {} message(s))", chat.turns.len()));
    Ok(())
}
