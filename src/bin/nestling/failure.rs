//! How a command ends when it does not end well.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use nestling::{Code, Error};

pub type Outcome<T = ()> = Result<T, Failure>;

#[derive(Debug)]
pub enum Failure {
    /// The library's or a command's own error.
    Error(Error),
    /// The command line is wrong, or its help was asked for.
    Usage(Box<clap::Error>),
    /// Whoever read standard output has gone: nothing is left to do, and nothing went wrong.
    ClosedPipe,
}

impl Failure {
    /// An error of a command itself, worded as the library's: what, where, remedy.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Failure::Error(Error::new(code, message))
    }

    /// Prints the error and gives the exit status: 1 for every error.
    pub fn report(self) -> ExitCode {
        match self {
            Failure::ClosedPipe => ExitCode::SUCCESS,
            Failure::Usage(error) if !error.use_stderr() => {
                // A closed pipe is no reason to fail.
                error.print().ok();
                ExitCode::SUCCESS
            }
            Failure::Usage(error) => {
                write!(anstream::stderr(), "nestling: {}", error.render().ansi()).ok();
                ExitCode::FAILURE
            }
            Failure::Error(error) => {
                print_error(&error);
                ExitCode::FAILURE
            }
        }
    }
}

/// `nestling: error: message [Code]` on standard error.
pub fn print_error(error: &Error) {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let message = crate::output::printable(error.message());
    // Standard error may be closed too; then nobody can be told.
    writeln!(
        anstream::stderr(),
        "nestling: {red}error:{red:#} {message} [{}]",
        error.code().name()
    )
    .ok();
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Failure::Usage(Box::new(error))
    }
}

/// Errors of standard input and output; files have errors of their own, which name them.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Failure::ClosedPipe,
            ErrorKind::InvalidData => {
                Failure::new(Code::InvalidUtf8, "standard input is not UTF-8; convert it first")
            }
            _ => Failure::Error(Error::io(&error, "standard input or output")),
        }
    }
}
