//! What is typed in a chat: lines, blocks of lines, and their history.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use nestling::{Code, Error};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::failure::{Failure, Outcome};

/// Begins and ends a block of lines.
const FENCE: &str = "\"\"\"";
const PROMPT: &str = "> ";
const MORE: &str = ". ";

/// Where turns come from: a terminal with line editing, or a pipe or file.
pub struct Input {
    /// `None` where lines come from a pipe or file.
    editor: Option<Box<DefaultEditor>>,
    history: Option<PathBuf>,
}

/// One thing that was typed.
pub enum Turn {
    Text(String),
    /// Ctrl-C: what was typed is forgotten.
    Dropped,
    End,
}

enum Line {
    Text(String),
    Interrupted,
    End,
}

impl Input {
    pub fn open(history: Option<PathBuf>) -> Outcome<Self> {
        if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
            return Ok(Self { editor: None, history: None });
        }
        let mut editor = DefaultEditor::new().map_err(terminal)?;
        match history.as_deref().map(|path| (path, editor.load_history(path))) {
            Some((path, Err(error))) if !is_missing(&error) => {
                return Err(of_history(path, &error));
            }
            _ => {}
        }
        Ok(Self { editor: Some(Box::new(editor)), history })
    }

    pub fn is_interactive(&self) -> bool {
        self.editor.is_some()
    }

    /// The next turn: a line; lines that end in a backslash together with the next; or a block between two
    /// fences.
    pub fn next_turn(&mut self) -> Outcome<Turn> {
        let first = match self.line(PROMPT)? {
            Line::Text(line) => line,
            Line::Interrupted => return Ok(Turn::Dropped),
            Line::End => return Ok(Turn::End),
        };
        let mut block = Block::begin(&first);
        while !block.done {
            match self.line(MORE)? {
                Line::Text(line) => block.add(&line),
                Line::Interrupted => return Ok(Turn::Dropped),
                // The end of the input ends the block too.
                Line::End => break,
            }
        }
        if let Some(editor) = &mut self.editor {
            // As it was typed, so that it can be called back and sent again.
            editor.add_history_entry(block.typed.as_str()).map_err(terminal)?;
        }
        Ok(Turn::Text(block.text))
    }

    /// Writes the history where it was asked for.
    pub fn close(mut self) -> Outcome {
        let (Some(editor), Some(path)) = (&mut self.editor, &self.history) else { return Ok(()) };
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let io = |e: io::Error| Error::io(&e, "writing the history").context(path.display());
        // Made for its owner only, and in place at once or not at all.
        let file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        editor.save_history(file.path()).map_err(|e| of_history(path, &e))?;
        file.persist(path).map_err(|e| io(e.error))?;
        Ok(())
    }

    fn line(&mut self, prompt: &str) -> Outcome<Line> {
        match &mut self.editor {
            Some(editor) => match editor.readline(prompt) {
                Ok(line) => Ok(Line::Text(line)),
                Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(error) => Err(terminal(error)),
            },
            None => {
                let mut line = String::new();
                if io::stdin().lock().read_line(&mut line)? == 0 {
                    return Ok(Line::End);
                }
                Ok(Line::Text(line.trim_end_matches(['\n', '\r']).to_owned()))
            }
        }
    }
}

/// Lines that become one turn.
struct Block {
    text: String,
    typed: String,
    fenced: bool,
    done: bool,
}

impl Block {
    fn begin(line: &str) -> Self {
        let mut block =
            Self { text: String::new(), typed: line.to_owned(), fenced: false, done: true };
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
        self.typed.push('\n');
        self.typed.push_str(line);
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
        assert_eq!(block.typed, lines.join("\n"));
        (block.text, block.done)
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
