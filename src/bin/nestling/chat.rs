//! `nestling chat`: a conversation.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, ValueHint, value_parser};
use nestling::Code;
use nestling::chat::{Message, Messages};
use nestling::options::{GenerationOptions, ModelOptions, SessionOptions};
use nestling::session::Session;

use crate::chat_command::{self, Next};
use crate::chat_input::{Input, Turn};
use crate::failure::{self, Failure, Outcome};
use crate::interrupt::{self, Idle, Work};
use crate::{adapters, flags, load, output, report};

pub fn command() -> Command {
    let command = Command::new("chat")
        .about("Talk with a model")
        .after_help(
            "Examples:\n  nestling chat -m MODEL.gguf\n  \
             nestling chat -m MODEL.gguf --system \"Answer in one sentence.\" --temperature 0.2\n  \
             nestling chat -m MODEL.gguf <questions.txt\n\n\
             /help lists what can be typed. Ctrl-C stops the answer, Ctrl-D ends the program.",
        )
        .arg(flags::model())
        .arg(
            Arg::new("system")
                .long("system")
                .value_name("TEXT")
                .help("The system message: how the model should answer"),
        )
        .arg(
            Arg::new("history")
                .long("history")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .help("Keep the lines you type in this file; without it they are forgotten"),
        );
    let command = flags::add::<ModelOptions>(command.arg(adapters::arg()));
    flags::add::<GenerationOptions>(flags::add::<SessionOptions>(command))
}

/// A conversation and the session that holds it.
pub struct Chat {
    pub session: Session,
    pub options: GenerationOptions,
    pub system: Option<String>,
    /// What was said, without the system message.
    pub turns: Vec<Message>,
    pub load_seconds: f64,
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let model_options: ModelOptions = flags::read(matches)?;
    let session_options: SessionOptions = flags::read(matches)?;
    let options: GenerationOptions = flags::read(matches)?;
    let mut input = Input::open(matches.get_one::<PathBuf>("history").cloned())?;
    interrupt::install(if input.is_interactive() { Idle::Ignore } else { Idle::End })?;
    let loading = Work::begin();
    let loaded = load::model(&flags::model_path(matches), &model_options, loading.token())?;
    drop(loading);
    let mut chat = Chat {
        session: Session::new(&loaded.model, &session_options)?,
        options,
        system: matches.get_one::<String>("system").cloned(),
        turns: Vec::new(),
        load_seconds: loaded.seconds,
    };
    adapters::attach(&mut chat.session, matches)?;
    chat.check_template()?;
    if input.is_interactive() {
        let name = loaded.model.info().name.as_deref().unwrap_or("the model");
        report::remark(&format!("{}; /help lists what can be typed", output::printable(name)));
    }
    let ended = chat.talk(&mut input);
    // The history is kept also when the conversation ends in an error.
    input.close()?;
    ended
}

impl Chat {
    fn talk(&mut self, input: &mut Input) -> Outcome {
        loop {
            let text = match input.next_turn()? {
                Turn::Text(text) => text,
                Turn::Dropped => continue,
                Turn::End => return Ok(()),
            };
            if text.trim().is_empty() {
                continue;
            }
            let next = match text.strip_prefix('/') {
                Some(line) => chat_command::run(self, line),
                None => self.answer(text).map(|()| Next::GoOn),
            };
            match next {
                Ok(Next::GoOn) => {}
                Ok(Next::Quit) => return Ok(()),
                // What went wrong with one turn does not end the conversation.
                Err(Failure::Error(error)) => failure::print_error(&error),
                Err(other) => return Err(other),
            }
        }
    }

    /// Streams the answer to `text` and adds both to the conversation. When Ctrl-C stops the answer, what
    /// was said so far stays; after any other error, the turn is taken back.
    fn answer(&mut self, text: String) -> Outcome {
        self.turns.push(Message::new("user", text));
        let work = Work::begin();
        let mut said = String::new();
        let ended = self.stream(&work, &mut said);
        drop(work);
        let stopped = match ended {
            Ok(()) => false,
            Err(Failure::Error(error)) if error.code() == Code::Cancelled => true,
            Err(failure) => {
                self.turns.pop();
                if !said.is_empty() {
                    output::stream("\n")?;
                }
                return Err(failure);
            }
        };
        if !said.ends_with('\n') {
            output::stream("\n")?;
        }
        if stopped {
            report::remark("(stopped)");
        }
        if stopped && said.is_empty() {
            self.turns.pop();
        } else {
            self.turns.push(Message::new("assistant", said));
        }
        Ok(())
    }

    fn stream(&mut self, work: &Work, said: &mut String) -> Outcome {
        let messages = self.messages();
        for piece in self.session.generate_with(messages, &self.options, work.token())? {
            let piece = piece?;
            said.push_str(&piece.text);
            output::stream(&piece.text)?;
        }
        Ok(())
    }

    /// The conversation as the model's template sees it.
    fn messages(&self) -> Messages {
        let system = self.system.iter().map(|text| Message::new("system", text));
        system.chain(self.turns.iter().cloned()).collect()
    }

    /// A model that cannot chat should say so before the first question is typed.
    fn check_template(&mut self) -> Outcome {
        let hello = Messages::from(vec![Message::new("user", "Hello")]);
        match self.session.render(&hello, &self.options) {
            // A template may refuse just this message.
            Err(error) if error.code() != Code::TemplateRender => Err(error.into()),
            _ => Ok(()),
        }
    }
}
