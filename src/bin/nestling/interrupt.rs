//! Ctrl-C stops the work that is going on; when nothing is, it usually ends the program.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nestling::cancel::CancelToken;
use nestling::{Code, Error};

use crate::failure::Outcome;

/// The exit status of a program that Ctrl-C ended, as shells expect it.
const INTERRUPTED: i32 = 130;

static CURRENT: Mutex<Option<CancelToken>> = Mutex::new(None);

fn current() -> MutexGuard<'static, Option<CancelToken>> {
    // A token cannot be left half written.
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What Ctrl-C does while there is no work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    End,
    /// For a line editor, which reads Ctrl-C as a key and would leave the terminal in its own mode.
    Ignore,
}

/// Installs the handler: once, before the first [`Work`], and after a line editor was made, as that
/// installs a handler too.
pub fn install(idle: Idle) -> Outcome {
    let handler = move || match current().as_ref() {
        Some(token) => token.trigger(),
        None if idle == Idle::End => std::process::exit(INTERRUPTED),
        None => {}
    };
    ctrlc::set_handler(handler).map_err(|e| {
        Error::new(Code::Io, format!("watching for Ctrl-C: {e}; start the program again")).into()
    })
}

/// Work that Ctrl-C cancels, until it is dropped.
pub struct Work(CancelToken);

impl Work {
    pub fn begin() -> Self {
        let token = CancelToken::new();
        *current() = Some(token.clone());
        Self(token)
    }

    pub fn token(&self) -> CancelToken {
        self.0.clone()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        *current() = None;
    }
}
