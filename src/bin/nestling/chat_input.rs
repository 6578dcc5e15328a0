//! What is typed in a chat: lines, blocks of lines, and their history.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use nestling::{Code, Error};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Editor, Helper};

use crate::failure::{Failure, Outcome};
use crate::file;

/// Begins and ends a block of lines.
const FENCE: &str = "\"\"\"";
const PROMPT: &str = "> ";

/// Where turns come from: a terminal with line editing, or a pipe or file.
pub struct Input {
    /// `None` where lines come from a pipe or file.
    editor: Option<Box<Editor<Blocks, DefaultHistory>>>,
    history: Option<PathBuf>,
}

/// One thing that was typed.
pub enum Turn {
    Text(String),
    /// Ctrl-C: what was typed is forgotten.
    Dropped,
    End,
}

impl Input {
    pub fn open(history: Option<PathBuf>) -> Outcome<Self> {
        if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
            return Ok(Self { editor: None, history: None });
        }
        let mut editor = Editor::new().map_err(terminal)?;
        editor.set_helper(Some(Blocks));
        if let Some(path) = &history {
            match editor.load_history(path) {
                Err(error) if !is_missing(&error) => return Err(of_history(path, &error)),
                // The first time, there is none.
                _ => {}
            }
        }
        Ok(Self { editor: Some(Box::new(editor)), history })
    }

    pub fn is_interactive(&self) -> bool {
        self.editor.is_some()
    }

    /// The next turn: a line; lines that end in a backslash together with the next; or a block between two
    /// fences.
    pub fn next_turn(&mut self) -> Outcome<Turn> {
        let Some(editor) = &mut self.editor else { return piped_turn() };
        match editor.readline(PROMPT) {
            Ok(typed) => {
                // As it was typed, so that it can be called back and sent again.
                editor.add_history_entry(typed.as_str()).map_err(terminal)?;
                Ok(Turn::Text(Block::whole(&typed).text))
            }
            Err(ReadlineError::Interrupted) => Ok(Turn::Dropped),
            Err(ReadlineError::Eof) => Ok(Turn::End),
            Err(error) => Err(terminal(error)),
        }
    }

    /// Writes the history where it was asked for.
    pub fn close(mut self) -> Outcome {
        let (Some(editor), Some(path)) = (&mut self.editor, &self.history) else { return Ok(()) };
        file::replace(path, "writing the history", |out| {
            editor.save_history(out.path()).map_err(io::Error::other)
        })
    }
}

/// The next turn of a pipe or file; its end also ends a block.
fn piped_turn() -> Outcome<Turn> {
    let mut lines = io::stdin().lock().lines();
    let Some(first) = lines.next().transpose()? else { return Ok(Turn::End) };
    let mut block = Block::begin(&first);
    while !block.done {
        match lines.next().transpose()? {
            Some(line) => block.add(&line),
            None => break,
        }
    }
    Ok(Turn::Text(block.text))
}

/// Tells the line editor when Enter ends a turn and when it only ends a line.
struct Blocks;

impl Validator for Blocks {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match Block::whole(context.input()).done {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Completer for Blocks {
    type Candidate = String;
}

impl Hinter for Blocks {
    type Hint = String;
}

impl Highlighter for Blocks {}

impl Helper for Blocks {}

/// Lines that become one turn.
struct Block {
    text: String,
    fenced: bool,
    done: bool,
}

impl Block {
    /// Lines that were typed or pasted at once. What follows a finished turn belongs to it too.
    fn whole(typed: &str) -> Self {
        let mut lines = typed.split('\n');
        let mut block = Self::begin(lines.next().unwrap_or_default());
        for line in lines {
            if block.done { block.push(line) } else { block.add(line) }
        }
        block
    }

    fn begin(line: &str) -> Self {
        let mut block = Self { text: String::new(), fenced: false, done: true };
        match line.trim_start().strip_prefix(FENCE) {
            Some(rest) => {
                block.fenced = true;
                block.done = false;
                // The rest of the opening line belongs to the text, unless it is empty.
                if !rest.is_empty() {
                    block.fence_line(rest);
                }
            }
            None => block.plain_line(line),
        }
        block
    }

    fn add(&mut self, line: &str) {
        if self.fenced { self.fence_line(line) } else { self.plain_line(line) }
    }

    fn fence_line(&mut self, line: &str) {
        let (line, done) = match line.trim_end().strip_suffix(FENCE) {
            Some(line) => (line, true),
            None => (line, false),
        };
        self.done = done;
        if done && line.is_empty() {
            return;
        }
        self.push(line);
    }

    fn plain_line(&mut self, line: &str) {
        let (line, done) = match line.strip_suffix('\\') {
            Some(line) => (line, false),
            None => (line, true),
        };
        self.push(line);
        self.done = done;
    }

    fn push(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
    }
}

fn is_missing(error: &ReadlineError) -> bool {
    matches!(error, ReadlineError::Io(e) if e.kind() == io::ErrorKind::NotFound)
}

fn terminal(error: ReadlineError) -> Failure {
    Failure::new(Code::Io, format!("reading from the terminal: {error}; use a pipe instead"))
}

fn of_history(path: &Path, error: &ReadlineError) -> Failure {
    let message = format!("the history file: {error}; name another one or leave --history out");
    Error::new(Code::Io, message).with_path(path).into()
}

#[cfg(test)]
mod tests {
    use super::Block;

    fn text(lines: &[&str]) -> (String, bool) {
        let mut block = Block::begin(lines[0]);
        for line in &lines[1..] {
            assert!(!block.done, "{lines:?} is done before {line:?}");
            block.add(line);
        }
        let whole = Block::whole(&lines.join("\n"));
        assert_eq!((&whole.text, whole.done), (&block.text, block.done), "{lines:?}");
        (block.text, block.done)
    }

    #[test]
    fn a_paste_is_one_turn() {
        assert_eq!(Block::whole("one\ntwo").text, "one\ntwo");
    }

    #[test]
    fn lines_become_turns() {
        for (lines, expected, done) in [
            (&["hello"][..], "hello", true),
            (&["one\\", "two"], "one\ntwo", true),
            (&["one\\"], "one", false),
            (&["\"\"\"", "one", "", "two", "\"\"\""], "one\n\ntwo", true),
            (&["\"\"\"one", "two\\", "three\"\"\""], "one\ntwo\\\nthree", true),
            (&["\"\"\"one line\"\"\""], "one line", true),
            (&["\"\"\"", "one"], "one", false),
            (&["say \"\"\""], "say \"\"\"", true),
        ] {
            assert_eq!(text(lines), (expected.to_owned(), done), "{lines:?}");
        }
    }
}
