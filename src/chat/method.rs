//! Python's methods of strings, lists and dicts, as templates call them: `content.strip()`, `call.items()`.

use minijinja::value::{Kwargs, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

use super::python::{self, MAX_TEXT, is_space};

/// Calls a method that the engine itself does not know.
pub(super) fn call(
    state: &State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    match value.as_str() {
        Some(text) => match string_method(text, method, args)? {
            Some(result) => Ok(result),
            None => pycompat::unknown_method_callback(state, value, method, args),
        },
        None if value.kind() == ValueKind::Iterable => {
            // A slice of a list is lazy in the engine, and a list in Python.
            let list: Value = value.try_iter()?.take(python::MAX_ITEMS).collect();
            pycompat::unknown_method_callback(state, &list, method, args)
        }
        None => pycompat::unknown_method_callback(state, value, method, args),
    }
}

/// The methods whose result in the compatibility layer is not Python's (or, for `count("")`, never comes); `None`
/// leaves the method to that layer.
fn string_method(text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match method {
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<&str>,) = from_args(args)?;
            let strip = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
            Value::from(match method {
                "strip" => text.trim_matches(strip),
                "lstrip" => text.trim_start_matches(strip),
                _ => text.trim_end_matches(strip),
            })
        }
        "split" | "rsplit" => split(text, method == "rsplit", args)?,
        "splitlines" => {
            let (keep, kwargs): (Option<bool>, Kwargs) = from_args(args)?;
            let keep = keep.or(kwargs.get("keepends")?).unwrap_or(false);
            kwargs.assert_all_used()?;
            lines(text, keep).into_iter().map(Value::from).collect()
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            refuse_empty(separator)?;
            let found = if method == "partition" {
                text.split_once(separator)
            } else {
                text.rsplit_once(separator)
            };
            let parts = match found {
                Some((head, tail)) => [head, separator, tail],
                None if method == "partition" => [text, "", ""],
                None => ["", "", text],
            };
            parts.into_iter().map(Value::from).collect()
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "replace" => {
            let (old, new, count, kwargs): (&str, &str, Option<i64>, Kwargs) = from_args(args)?;
            let count = count.or(kwargs.get("count")?).unwrap_or(-1);
            kwargs.assert_all_used()?;
            Value::from(replace(text, old, new, usize::try_from(count).ok())?)
        }
        "count" => {
            let (what,): (&str,) = from_args(args)?;
            Value::from(text.matches(what).count())
        }
        "find" | "rfind" | "index" | "rindex" => {
            let (what,): (&str,) = from_args(args)?;
            let at = if method.starts_with('r') { text.rfind(what) } else { text.find(what) };
            match at {
                Some(at) => Value::from(text.get(..at).map_or(0, |head| head.chars().count())),
                None if method.ends_with("find") => Value::from(-1),
                None => return Err(invalid("substring not found")),
            }
        }
        "islower" => Value::from(cased(text, char::is_lowercase, char::is_uppercase)),
        "isupper" => Value::from(cased(text, char::is_uppercase, char::is_lowercase)),
        "isspace" => Value::from(every(text, is_space)),
        "isdigit" | "isnumeric" | "isdecimal" => Value::from(every(text, char::is_numeric)),
        "isalpha" => Value::from(every(text, char::is_alphabetic)),
        "isalnum" => Value::from(every(text, char::is_alphanumeric)),
        _ => return Ok(None),
    }))
}

fn split(text: &str, from_right: bool, args: &[Value]) -> Result<Value, Error> {
    let (separator, limit, kwargs): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = separator.or(kwargs.get("sep")?).filter(|value| !value.is_none());
    let limit = limit.or(kwargs.get("maxsplit")?).and_then(|limit| usize::try_from(limit).ok());
    kwargs.assert_all_used()?;
    // "At most n splits" are n + 1 pieces here.
    let pieces = limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
    let Some(separator) = separator else {
        return Ok(split_space(text, from_right, pieces).into_iter().map(Value::from).collect());
    };
    let Some(separator) = separator.as_str() else {
        return Err(invalid("the separator of split must be a string"));
    };
    refuse_empty(separator)?;
    let mut parts: Vec<&str> = if from_right {
        text.rsplitn(pieces, separator).collect()
    } else {
        text.splitn(pieces, separator).collect()
    };
    if from_right {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

/// Pieces between runs of white space, none of them empty.
fn split_space(text: &str, from_right: bool, pieces: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_matches(is_space);
    while !rest.is_empty() {
        let cut = if from_right { rest.rfind(is_space) } else { rest.find(is_space) };
        let (Some(cut), true) = (cut, parts.len() + 1 < pieces) else {
            parts.push(rest);
            break;
        };
        let (head, tail) = rest.split_at(cut);
        if from_right {
            parts.push(tail.trim_start_matches(is_space));
            rest = head.trim_end_matches(is_space);
        } else {
            parts.push(head);
            rest = tail.trim_start_matches(is_space);
        }
    }
    if from_right {
        parts.reverse();
    }
    parts
}

fn lines(text: &str, keep: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    let border = |c| {
        matches!(
            c,
            '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    while let Some(at) = rest.find(border) {
        let (line, tail) = rest.split_at(at);
        let width = match tail.strip_prefix("\r\n") {
            Some(_) => 2,
            None => tail.chars().next().map_or(1, char::len_utf8),
        };
        let (_, after) = tail.split_at(width);
        lines.push(if keep { rest.split_at(at + width).0 } else { line });
        rest = after;
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// `text.replace(old, new)`, unless the result would be larger than a template may make.
pub(super) fn replace(
    text: &str,
    old: &str,
    new: &str,
    count: Option<usize>,
) -> Result<String, Error> {
    let found = text.matches(old).take(count.unwrap_or(usize::MAX)).count();
    if found.saturating_mul(new.len()).saturating_add(text.len()) > MAX_TEXT {
        return Err(invalid("the text made by replace is too large"));
    }
    Ok(text.replacen(old, new, found))
}

fn refuse_empty(separator: &str) -> Result<(), Error> {
    if separator.is_empty() { Err(invalid("empty separator")) } else { Ok(()) }
}

fn cased(text: &str, wanted: fn(char) -> bool, other: fn(char) -> bool) -> bool {
    text.chars().any(wanted) && !text.chars().any(other)
}

fn every(text: &str, test: fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(test)
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
