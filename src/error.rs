//! The one error type: a stable code, and a message that says what was wrong, where, and what to do.

mod codes;

use std::fmt;
use std::path::Path;

pub use codes::Code;

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong: a stable [`Code`] and a message with what, where and the remedy.
#[derive(Debug, Clone)]
pub struct Error {
    code: Code,
    message: String,
}

impl Error {
    /// An error with a code and its message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What was wrong, where, and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Puts `what` before the message: `what: message`.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Names the file the error is about.
    #[must_use]
    pub fn with_path(self, path: impl AsRef<Path>) -> Self {
        self.context(path.as_ref().display())
    }

    /// An error of the operating system, with a code by its kind and the remedy for the usual ones.
    pub fn io(error: &std::io::Error, doing: impl fmt::Display) -> Self {
        use std::io::ErrorKind as Kind;
        let (code, remedy) = match error.kind() {
            Kind::NotFound => (Code::NotFound, "check the path"),
            Kind::PermissionDenied => (Code::PermissionDenied, "check the permissions"),
            Kind::IsADirectory | Kind::NotADirectory => {
                (Code::NotAFile, "give the path of a regular file")
            }
            Kind::OutOfMemory => (Code::OutOfMemory, "free memory and try again"),
            Kind::StorageFull => (Code::Io, "free space on that disk and try again"),
            _ => (Code::Io, "check the disk and try again"),
        };
        Self::new(code, format!("{doing}: {error}; {remedy}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Adds context to the error of a `Result`, as [`Error::context`] does.
pub trait Context<T> {
    /// Puts `what` before the error's message.
    fn context(self, what: impl fmt::Display) -> Result<T>;
    /// Names the file the error is about.
    fn with_path(self, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|e| e.context(what))
    }

    fn with_path(self, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|e| e.with_path(path))
    }
}

/// `bail!(Code, "format", ...)`: return an error from this function.
macro_rules! bail {
    ($code:ident, $($arg:tt)*) => {
        return Err($crate::error::Error::new($crate::error::Code::$code, format!($($arg)*)))
    };
}
/// `err!(Code, "format", ...)`: an error value.
macro_rules! err {
    ($code:ident, $($arg:tt)*) => {
        $crate::error::Error::new($crate::error::Code::$code, format!($($arg)*))
    };
}
pub(crate) use {bail, err};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_ascending() {
        assert!(Code::ALL.windows(2).all(|w| w[0].number() < w[1].number()));
    }

    #[test]
    fn context_goes_before_the_message() {
        let e = Error::new(Code::GgufMagic, "bad magic").context("part 2").with_path("m.gguf");
        assert_eq!(e.to_string(), "m.gguf: part 2: bad magic");
        assert_eq!(e.code(), Code::GgufMagic);
    }
}
