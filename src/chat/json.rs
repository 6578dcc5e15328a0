//! JSON as Python's `json.dumps` writes it, with the options that the `tojson` filter of chat templates takes.

use std::fmt::Write;

use minijinja::value::{Kwargs, Rest, ValueKind, from_args};
use minijinja::{Error, ErrorKind, Value};

use super::python::{self, MAX_DEPTH, MAX_ITEMS, MAX_TEXT};

struct Style {
    /// What one level of nesting is indented by; `None` writes everything on one line.
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
    ensure_ascii: bool,
}

/// The filter `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`. Nothing is escaped for
/// HTML.
pub(super) fn tojson(value: &Value, args: Rest<Value>) -> Result<Value, Error> {
    let (positional, options): (&[Value], Kwargs) = from_args(&args)?;
    let option = |index: usize, name| match positional.get(index) {
        Some(value) => Ok(Some(value.clone())),
        None => options.get::<Option<Value>>(name),
    };
    let ensure_ascii = option(0, "ensure_ascii")?;
    let indent = option(1, "indent")?;
    let separators = option(2, "separators")?;
    let sort_keys = option(3, "sort_keys")?;
    options.assert_all_used()?;
    let indent = match indent {
        Some(value) if value.is_none() || value.is_undefined() => None,
        Some(value) => Some(match value.as_str() {
            Some(text) => text.to_owned(),
            None => " ".repeat(value.as_usize().unwrap_or(0).min(64)),
        }),
        None => None,
    };
    let comma = if indent.is_some() { "," } else { ", " };
    let (item_separator, key_separator) = match separators {
        Some(pair) if !pair.is_none() => {
            (python::str(&pair.get_item_by_index(0)?)?, python::str(&pair.get_item_by_index(1)?)?)
        }
        _ => (comma.to_owned(), ": ".to_owned()),
    };
    let style = Style {
        indent,
        item_separator,
        key_separator,
        sort_keys: sort_keys.is_some_and(|value| value.is_true()),
        ensure_ascii: ensure_ascii.is_some_and(|value| value.is_true()),
    };
    let mut out = String::new();
    write_value(&mut out, value, &style, 0)?;
    Ok(Value::from(out))
}

fn write_value(out: &mut String, value: &Value, style: &Style, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH || out.len() > MAX_TEXT {
        return Err(Error::new(ErrorKind::BadSerialization, "a value is too large for JSON"));
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&number(value)),
        ValueKind::String => write_string(out, value.as_str().unwrap_or_default(), style),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            let mut count = 0;
            for item in value.try_iter()?.take(MAX_ITEMS) {
                separate(out, count, style, depth);
                write_value(out, &item, style, depth + 1)?;
                count += 1;
            }
            close(out, count, style, depth, ']');
        }
        ValueKind::Map => write_map(out, value, style, depth)?,
        kind => {
            return Err(Error::new(
                ErrorKind::BadSerialization,
                format!("a value of the kind {kind} is not JSON serializable"),
            ));
        }
    }
    Ok(())
}

fn write_map(out: &mut String, map: &Value, style: &Style, depth: usize) -> Result<(), Error> {
    let mut keys = map.try_iter()?.take(MAX_ITEMS).collect::<Vec<_>>();
    if style.sort_keys {
        keys.sort();
    }
    out.push('{');
    for (i, key) in keys.iter().enumerate() {
        separate(out, i, style, depth);
        match key.kind() {
            ValueKind::String => write_string(out, key.as_str().unwrap_or_default(), style),
            ValueKind::Number => write_string(out, &number(key), style),
            ValueKind::Bool => {
                write_string(out, if key.is_true() { "true" } else { "false" }, style)
            }
            ValueKind::None => write_string(out, "null", style),
            kind => {
                return Err(Error::new(
                    ErrorKind::BadSerialization,
                    format!("a key of the kind {kind} is not JSON serializable"),
                ));
            }
        }
        out.push_str(&style.key_separator);
        write_value(out, &map.get_item(key)?, style, depth + 1)?;
    }
    close(out, keys.len(), style, depth, '}');
    Ok(())
}

fn number(value: &Value) -> String {
    match python::number(value).as_str() {
        "nan" => "NaN".into(),
        "inf" => "Infinity".into(),
        "-inf" => "-Infinity".into(),
        text => text.to_owned(),
    }
}

fn separate(out: &mut String, index: usize, style: &Style, depth: usize) {
    if index > 0 {
        out.push_str(&style.item_separator);
    }
    if style.indent.is_some() {
        line(out, style, depth + 1);
    }
}

fn close(out: &mut String, count: usize, style: &Style, depth: usize, bracket: char) {
    if count > 0 && style.indent.is_some() {
        line(out, style, depth);
    }
    out.push(bracket);
}

fn line(out: &mut String, style: &Style, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str(style.indent.as_deref().unwrap_or_default());
    }
}

fn write_string(out: &mut String, text: &str, style: &Style) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || (style.ensure_ascii && !(' '..='~').contains(&c)) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
