//! An answer as an iterator.

use super::{EndReason, Generation, Piece};
use crate::cancel::CancelToken;
use crate::error::Result;
use crate::options::GenerationOptions;
use crate::session::{Prompt, Session};

impl Session {
    /// Starts an answer: an iterator of pieces. Nothing is evaluated before its first `next`.
    ///
    /// # Errors
    /// `InvalidOption`.
    pub fn generate(
        &mut self,
        prompt: impl Into<Prompt>,
        options: &GenerationOptions,
    ) -> Result<Stream<'_>> {
        self.generate_with(prompt, options, CancelToken::new())
    }

    /// As [`generate`](Self::generate), with a cancel token.
    pub fn generate_with(
        &mut self,
        prompt: impl Into<Prompt>,
        options: &GenerationOptions,
        cancel: CancelToken,
    ) -> Result<Stream<'_>> {
        Ok(Stream::new(self, Generation::new(prompt, options, cancel)?))
    }
}

/// An answer as an iterator, borrowing its session.
#[derive(Debug)]
pub struct Stream<'a> {
    session: &'a mut Session,
    generation: Generation,
}

impl<'a> Stream<'a> {
    fn new(session: &'a mut Session, generation: Generation) -> Self {
        Self { session, generation }
    }

    /// Why the answer ended; `None` while it goes on, and after an error.
    pub fn end_reason(&self) -> Option<EndReason> {
        self.generation.end_reason()
    }

    /// The session.
    pub fn session(&self) -> &Session {
        self.session
    }

    /// Runs to the end and returns the whole text.
    ///
    /// # Errors
    /// The first error of the iterator.
    pub fn text(&mut self) -> Result<String> {
        self.map(|piece| Ok(piece?.text)).collect()
    }
}

impl Iterator for Stream<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        self.generation.next(self.session).transpose()
    }
}
