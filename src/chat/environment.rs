//! The environment that chat templates are rendered in: Hugging Face's, with limits.

use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{Timestamp, Zoned, tz::TimeZone};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

use super::python::MAX_TEXT;
use super::{filters, method, python, source};

/// Instructions a render may execute: about a second of work; a message costs a few hundred.
const FUEL: u64 = 10_000_000;
/// Nested calls of macros cost 4 each.
const RECURSION: usize = 240;

/// What a single render needs from outside.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Settings {
    /// Marks put around the text of `{% generation %}` blocks.
    pub(super) marks: Option<(char, char)>,
    /// The time that `strftime_now` shows, in seconds since the Unix epoch (shown as UTC); `None` is the local time.
    pub(super) now: Option<i64>,
}

/// A fresh environment for one render.
pub(super) fn environment(settings: Settings) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(RECURSION);
    env.set_unknown_method_callback(method::call);

    // Text captured by macros and blocks never reaches the writer, so what is printed is counted here.
    let printed = AtomicUsize::new(0);
    env.set_formatter(move |out, _, value| {
        let text = python::str(value)?;
        if printed.fetch_add(text.len(), Ordering::Relaxed) > 8 * MAX_TEXT {
            return Err(Error::new(ErrorKind::InvalidOperation, "the template prints too much"));
        }
        out.write_str(&text).map_err(Error::from)
    });

    filters::add(&mut env);
    env.add_filter(source::GENERATION, move |body: &str| filters::generation(settings.marks, body));
    env.add_filter(source::ASSIGNED, filters::assigned);
    env.add_filter(source::STORED, filters::stored);
    env.add_function("raise_exception", filters::raise_exception);
    env.add_function("strftime_now", move |format: &str| strftime(settings.now, format));
    // Names that Python or Jinja2 do not have must be undefined here as well.
    env.remove_global("debug");
    env
}

fn strftime(now: Option<i64>, format: &str) -> Result<Value, Error> {
    let time = match now.map(Timestamp::from_second) {
        Some(Ok(time)) => time.to_zoned(TimeZone::UTC),
        Some(Err(error)) => return Err(bad_time(error)),
        None => Zoned::now(),
    };
    jiff::fmt::strtime::format(format, &time).map(Value::from).map_err(bad_time)
}

fn bad_time(error: jiff::Error) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {error}"))
}
